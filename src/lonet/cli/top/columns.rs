//! Tables that fit the terminal: columns are dropped and narrowed where there is no room for all.

use ratatui::layout::{Alignment, Constraint};
use ratatui::style::Style as Look;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub struct Column {
    pub title: &'static str,
    pub is_number: bool,
    /// The least width.
    pub least: usize,
    /// Columns with higher numbers are dropped first; 0: never.
    pub drop_order: u8,
}

pub const fn text(title: &'static str, least: usize, drop_order: u8) -> Column {
    Column { title, is_number: false, least, drop_order }
}

pub const fn number(title: &'static str, least: usize, drop_order: u8) -> Column {
    Column { title, is_number: true, least, drop_order }
}

/// The space between two columns.
const SPACE: usize = 2;

/// The widths of the columns. `None`: the column is dropped.
fn widths(columns: &[Column], cells: &[Vec<String>], titles: &[String], room: usize) -> Vec<Option<usize>> {
    let natural = |n: usize| {
        let cells = cells.iter().filter_map(|row| row.get(n)).map(|cell| cell.width());
        cells.chain(titles.get(n).map(|title| title.width())).max().unwrap_or(0)
    };
    let wanted: Vec<usize> = (0..columns.len()).map(natural).collect();
    let least = |n: usize| columns.get(n).map_or(0, |c| c.least.min(wanted.get(n).copied().unwrap_or(0)));
    let has_text = |n: &usize| cells.iter().any(|row| row.get(*n).is_some_and(|cell| !cell.is_empty()));
    // Columns without any text are dropped, too.
    let mut kept: Vec<usize> = (0..columns.len()).filter(has_text).collect();
    let sum = |kept: &[usize], of: &dyn Fn(usize) -> usize| {
        kept.iter().map(|n| of(*n)).sum::<usize>() + SPACE * kept.len().saturating_sub(1)
    };
    while sum(&kept, &least) > room {
        let drop_order = |n: &usize| columns.get(*n).map_or(0, |c| c.drop_order);
        let Some(at) = (0..kept.len()).max_by_key(|at| kept.get(*at).map_or(0, drop_order)) else { break };
        if kept.get(at).map_or(0, drop_order) == 0 {
            break;
        }
        kept.remove(at);
    }
    let mut widths: Vec<Option<usize>> = vec![None; columns.len()];
    for n in &kept {
        widths[*n] = wanted.get(*n).copied();
    }
    // Narrow the widest column, step by step.
    while kept.iter().filter_map(|n| widths[*n]).sum::<usize>() + SPACE * kept.len().saturating_sub(1) > room
    {
        let narrows = kept.iter().filter(|n| widths[**n].is_some_and(|width| width > least(**n)));
        let Some(widest) = narrows.max_by_key(|n| widths[**n]) else { break };
        widths[*widest] = widths[*widest].map(|width| width - 1);
    }
    widths
}

/// A text, truncated to `room` terminal columns, with "…" at the end if so.
pub fn fit(text: &str, room: usize) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if text.width() <= room {
        return text.chars().map(clean).collect();
    }
    let (mut fitted, mut width) = (String::new(), 0);
    for c in text.chars().map(clean) {
        let more = c.width().unwrap_or(0);
        if width + more + 1 > room {
            break;
        }
        fitted.push(c);
        width += more;
    }
    if room > 0 {
        fitted.push('…');
    }
    fitted
}

/// The cells of a row, the style of the row, and those of cells that differ.
pub struct Content {
    pub cells: Vec<String>,
    pub look: Look,
    pub looks: Vec<(usize, Look)>,
}

/// A table of these columns. `marked`: the title of the column by which it is sorted; `mark` is added to it.
pub fn table<'a>(
    columns: &[Column],
    rows: Vec<Content>,
    (marked, mark): (Option<&str>, &str),
    heading: Look,
    room: u16,
) -> Table<'a> {
    let title = |column: &Column| match marked == Some(column.title) {
        true => format!("{}{mark}", column.title),
        false => column.title.to_owned(),
    };
    let titles: Vec<String> = columns.iter().map(title).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.cells.clone()).collect();
    let widths = widths(columns, &cells, &titles, usize::from(room));
    let kept = || columns.iter().enumerate().filter_map(|(n, column)| Some((n, column, widths[n]?)));
    let cell = |text: &str, column: &Column, width: usize| {
        let alignment = if column.is_number { Alignment::Right } else { Alignment::Left };
        Text::from(Line::from(fit(text, width)).alignment(alignment))
    };
    let header = kept().map(|(n, column, width)| Cell::from(cell(&titles[n], column, width)));
    let header = Row::new(header.collect::<Vec<_>>()).style(heading);
    let row = |content: &Content| {
        let cells = kept().map(|(n, column, width)| {
            let text = content.cells.get(n).map_or("", String::as_str);
            let look = content.looks.iter().find(|(of, _)| *of == n).map(|(_, look)| *look);
            Cell::from(cell(text, column, width)).style(look.unwrap_or_default())
        });
        Row::new(cells.collect::<Vec<_>>()).style(content.look)
    };
    let all: Vec<Row<'a>> = rows.iter().map(row).collect();
    let lengths = kept().map(|(_, _, width)| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    Table::new(all, lengths.collect::<Vec<_>>()).header(header).column_spacing(SPACE as u16)
}

/// A number in at most five characters: `0`, `950`, `1.2k`, `34M`.
pub fn amount(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "k", "M", "G", "T"] {
        // 999.5 would be rounded to 1000: use the next unit.
        if value < 999.5 || unit == "T" {
            return match (value < 9.95 && !unit.is_empty(), value > 0.0 && value < 0.95) {
                (true, _) => format!("{value:.1}{unit}"),
                (false, true) => format!("{value:.1}"),
                (false, false) => format!("{value:.0}{unit}"),
            };
        }
        value /= 1000.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [
            (0.0, "0"),
            (0.3, "0.3"),
            (0.97, "1"),
            (950.0, "950"),
            (999.4, "999"),
            (999.5, "1.0k"),
            (1234.0, "1.2k"),
            (9_960.0, "10k"),
            (34_000_000.0, "34M"),
            (2e15, "2000T"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }

    #[test]
    fn texts_are_cut_between_characters_of_any_width() {
        for (given, room, want) in [
            ("server", 6, "server"),
            ("server", 5, "serv…"),
            ("数据库", 6, "数据库"),
            ("数据库", 5, "数据…"),
            ("数据库", 4, "数…"),
            ("数据库", 1, "…"),
            ("数据库", 0, ""),
            ("a\nb", 3, "a\u{fffd}b"),
        ] {
            assert_eq!(fit(given, room), want, "{given} in {room}");
        }
    }

    #[test]
    fn columns_are_left_out_and_narrowed_until_they_fit() {
        let columns = [text("NAME", 4, 0), text("ADDRESS", 9, 1), number("N", 1, 0)];
        let cells = vec![vec!["a-long-name".to_owned(), "127.1.0.1".to_owned(), "12".to_owned()]];
        let titles: Vec<String> = columns.iter().map(|c| c.title.to_owned()).collect();
        let of = |room| widths(&columns, &cells, &titles, room);
        assert_eq!(of(80), [Some(11), Some(9), Some(2)]);
        assert_eq!(of(22), [Some(7), Some(9), Some(2)]);
        assert_eq!(of(16), [Some(11), None, Some(2)]);
        assert_eq!(of(8), [Some(4), None, Some(2)]);
        let empty = vec![vec!["web".to_owned(), String::new(), "1".to_owned()]];
        assert_eq!(widths(&columns, &empty, &titles, 80), [Some(4), None, Some(1)]);
    }
}
