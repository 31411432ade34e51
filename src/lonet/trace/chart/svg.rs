//! Writes a chart as SVG, with colours for print and for dark mode.

use super::{Arrow, Band, Chart, ChartRow, Column, Line, Mark, REPEAT_NAMES_EVERY, Row, Shape, elapsed};
use std::fmt::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Lengths, in pixels: the margin with the times; the names on top; a row.
pub const LEFT: usize = 76;
pub const TOP: usize = 64;
pub const ROW: usize = 26;
/// A column is as wide as its name wants, and what stands beside it, within these. With many hosts it may be narrower.
const MIN_WIDTH: usize = 112;
const MIN_WIDTH_OF_MANY: usize = 84;
const MAX_WIDTH: usize = 190;
/// More hosts than this are many.
const MANY: usize = 8;

pub const STYLE: &str = "\
svg{--ink:#1b1f24;--paper:#fff;--soft:#6a737d;--faint:#d5dae0;--line:#0b57a4;--bad:#b3201b;--fault:#e39a1a;--good:#1a7f45;\
background:var(--paper);font:12px system-ui,'DejaVu Sans',sans-serif}\
@media (prefers-color-scheme:dark){svg{--ink:#e6edf3;--paper:#12161b;--soft:#93a0ad;--faint:#323a43;--line:#6cb2ff;--bad:#ff7b72;--fault:#d29922;--good:#57c785}}\
@media print{svg{--ink:#000;--paper:#fff;--soft:#555;--faint:#ccc;--line:#0b57a4;--bad:#b3201b;--fault:#e39a1a;--good:#1a7f45}}\
text{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}\
.row .time,.pause,.again{fill:var(--soft);font-size:11px}.name{font-weight:600;text-anchor:middle}.again{text-anchor:middle}\
.also{display:none}.title{font-size:13px}.box{fill:var(--paper);stroke:var(--ink)}.life{stroke:var(--faint);stroke-width:1.5}\
.shaft{stroke:var(--line);stroke-width:1.6;fill:none}.tip{fill:var(--line)}.note{font-size:10.5px;text-anchor:middle;fill:var(--soft)}\
.port{font-size:11px}.connection .port,.dial .port{fill:var(--line)}\
.dial .shaft{stroke-dasharray:6 3}.close .shaft{stroke:var(--soft);stroke-dasharray:2 3;stroke-width:1.2}.close .tip{fill:var(--soft)}.close .port{fill:var(--soft)}\
.failed .shaft,.reset .shaft{stroke:var(--bad)}.failed .tip,.reset .tip{fill:none;stroke:var(--bad);stroke-width:2.2}\
.failed text,.reset text{fill:var(--bad)}.reset .shaft{stroke-dasharray:8 3 2 3}.reset .tip{fill:var(--bad)}\
.dot{fill:var(--ink)}.listening .dot{fill:var(--good)}.unlistened .dot{fill:var(--paper);stroke:var(--good);stroke-width:1.5}\
.killed .dot,.trouble .dot{stroke:var(--bad);stroke-width:2.4}.killed text,.trouble text{fill:var(--bad)}.say{font-size:11px}\
.up .say,.ended .say,.down .say{fill:var(--soft)}.up .dot,.ended .dot,.down .dot{fill:var(--soft)}\
.band{fill:var(--fault);fill-opacity:.16}.edge{stroke:var(--fault);stroke-width:1.5;stroke-dasharray:5 3}.across text.say{font-weight:600}\
.row:hover .shaft{stroke-width:2.6}.row .hit{fill:transparent}.row:hover .hit{fill:var(--faint);fill-opacity:.4}";

/// Escapes text, or an attribute's value, for XML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            // XML does not allow these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The positions of columns and rows.
struct Layout {
    column: usize,
    hosts: usize,
    /// The level of each row.
    levels: Vec<usize>,
    /// The first row of each level.
    first: Vec<Row>,
    below: usize,
}

fn level_y(level: usize) -> usize {
    TOP + level * ROW + ROW
}

impl Layout {
    fn of(chart: &Chart) -> Layout {
        let longest = chart.hosts.iter().map(|host| host.name.width()).max().unwrap_or(0);
        let text_width = chart.rows.iter().filter_map(|row_content| match &row_content.mark {
            Mark::Point { text, .. } => Some(text.width()),
            _ => None,
        });
        let text_width = text_width.max().unwrap_or(0) * 13 / 2 + 20;
        let narrowest = if chart.hosts.len() > MANY { MIN_WIDTH_OF_MANY } else { MIN_WIDTH };
        let column = (longest * 8 + 28).max(text_width).clamp(narrowest, MAX_WIDTH);
        let mut first = vec![usize::MAX; chart.levels];
        for (row, row_content) in chart.rows.iter().enumerate().rev() {
            if let Some(place) = first.get_mut(row_content.level) {
                *place = row;
            }
        }
        let levels = chart.rows.iter().map(|row_content| row_content.level).collect();
        Layout { column, hosts: chart.hosts.len().max(1), levels, first, below: chart.levels }
    }

    fn x(&self, column: Column) -> usize {
        LEFT + column * self.column + self.column / 2
    }

    fn y(&self, row: Row) -> usize {
        level_y(self.levels.get(row).copied().unwrap_or(self.below))
    }

    fn width(&self) -> usize {
        // Room for texts to the right of the last column.
        LEFT + self.hosts * self.column + 70
    }

    fn bottom(&self) -> usize {
        level_y(self.below) + ROW / 2
    }
}

/// The picture.
pub fn svg(chart: &Chart) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = write(&mut out, chart);
    out
}

fn write(out: &mut String, chart: &Chart) -> fmt::Result {
    let at = Layout::of(chart);
    let (width, height) = (at.width(), at.bottom() + 34);
    write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" data-column="{}">"#,
        at.column
    )?;
    let title = format!("network {}, from {}", chart.network, chart.begin);
    writeln!(out, "<title>{}</title><style>{STYLE}</style>", escape(&title))?;
    let rect = r#"<rect width="100%" height="100%" fill="var(--paper)"/>"#;
    writeln!(out, r#"{rect}<text class="title" x="12" y="19">{}</text>"#, escape(&title))?;
    chart.bands.iter().try_for_each(|band| write_band(out, chart, &at, band))?;
    for (column, host) in chart.hosts.iter().enumerate() {
        let x = at.x(column);
        writeln!(out, r#"<g class="host" data-host="{column}">"#)?;
        for (begin, end) in &host.lifetimes {
            let (from, to) = (begin.map_or(TOP, |row| at.y(row)), end.map_or(at.bottom(), |row| at.y(row)));
            let rows = |row: &Option<Row>| row.map_or(String::new(), |row| row.to_string());
            writeln!(
                out,
                r#"<line class="life" x1="{x}" x2="{x}" y1="{from}" y2="{to}" data-first="{}" data-last="{}"/>"#,
                rows(begin),
                rows(end)
            )?;
        }
        write_name(out, &host.name, x, TOP - 22, at.column - 12, "head")?;
        write_name(out, &host.name, x, at.bottom() + 14, at.column - 12, "foot")?;
        out.push_str("</g>\n");
    }
    for level in (REPEAT_NAMES_EVERY..chart.levels).step_by(REPEAT_NAMES_EVERY) {
        for (column, host) in chart.hosts.iter().enumerate() {
            let (x, y) = (at.x(column), level_y(level) + 4);
            writeln!(out, r#"<text class="again" x="{x}" y="{y}">{}</text>"#, escape(&host.name))?;
        }
    }
    for (row, row_content) in chart.rows.iter().enumerate() {
        write_row(out, chart, &at, row, row_content)?;
    }
    out.push_str("</svg>\n");
    Ok(())
}

fn write_name(out: &mut String, name: &str, x: usize, y: usize, width: usize, class: &str) -> fmt::Result {
    let left = x - width / 2;
    let box_ = format!(r#"<rect class="box" x="{left}" y="{}" width="{width}" height="22" rx="4"/>"#, y - 11);
    let long = if name.width() * 8 > width {
        format!(r#" textLength="{}" lengthAdjust="spacingAndGlyphs""#, width - 8)
    } else {
        String::new()
    };
    let name = escape(name);
    writeln!(
        out,
        r#"<g class="{class}">{box_}<text class="name" x="{x}" y="{}"{long}>{name}</text></g>"#,
        y + 4
    )
}

fn write_band(out: &mut String, chart: &Chart, at: &Layout, band: &Band) -> fmt::Result {
    let last = band.last.map_or(at.bottom(), |row| at.y(row));
    let columns = || band.hosts.iter().copied();
    let left = columns().min().map_or(LEFT, |column| at.x(column) - at.column / 2 + 6);
    let right = columns()
        .max()
        .map_or(LEFT + chart.hosts.len() * at.column, |column| at.x(column) + at.column / 2 - 6);
    // A fault of one host concerns all others, too.
    let (left, right) =
        if columns().count() == 1 { (LEFT, LEFT + chart.hosts.len() * at.column) } else { (left, right) };
    let y = at.y(band.first);
    let hosts: Vec<String> = columns().map(|column| column.to_string()).collect();
    let last_row = band.last.map_or(String::new(), |row| row.to_string());
    writeln!(
        out,
        r#"<g class="fault" data-first="{}" data-last="{last_row}" data-hosts="{}"><title>{}</title><rect class="band" x="{left}" y="{y}" width="{}" height="{}"/></g>"#,
        band.first,
        hosts.join(" "),
        escape(&band.label()),
        right - left,
        last.saturating_sub(y)
    )
}

fn write_row(out: &mut String, chart: &Chart, at: &Layout, row: Row, row_content: &ChartRow) -> fmt::Result {
    let (class, hosts) = match &row_content.mark {
        Mark::Arrow(arrow) => (class_of(arrow.line), format!("{} {}", arrow.from, arrow.to)),
        Mark::Point { host, shape, .. } => (class_of_point(*shape), host.to_string()),
        Mark::Across { .. } => ("across", String::new()),
        Mark::Pause(_) => ("pause", String::new()),
    };
    write!(
        out,
        r#"<g class="row {class}" data-hosts="{hosts}" data-level="{}" transform="translate(0,{})">"#,
        row_content.level,
        at.y(row)
    )?;
    if !row_content.events_text.is_empty() {
        write!(out, "<title>{}</title>", escape(&row_content.events_text.join("\n")))?;
        write!(out, r#"<rect class="hit" y="-{}" width="{}" height="{ROW}"/>"#, ROW / 2 + 2, at.width())?;
    }
    match &row_content.mark {
        Mark::Pause(micros) => {
            let seconds = format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10);
            write!(
                out,
                r#"<text class="pause" x="{LEFT}" y="4" text-anchor="end">⋮</text><text class="pause" x="{}" y="4">{seconds} pass</text>"#,
                LEFT + 8
            )?;
        }
        mark => {
            // The time is shown once for a level.
            let is_first = at.first.get(row_content.level) == Some(&row);
            let class = if is_first { "time" } else { "time also" };
            write!(
                out,
                r#"<text class="{class}" x="10" y="4">{}</text>"#,
                elapsed(chart.begin, row_content.time)
            )?;
            match mark {
                Mark::Arrow(arrow) => write_arrow(out, at, arrow)?,
                Mark::Point { host, shape, text } => write_point(out, at.x(*host), *shape, text)?,
                Mark::Across { text } => {
                    let right = LEFT + at.hosts * at.column;
                    write!(
                        out,
                        r#"<line class="edge" x1="{LEFT}" x2="{right}"/><text class="say" x="{}" y="-4">{}</text>"#,
                        LEFT + 8,
                        escape(text)
                    )?;
                }
                Mark::Pause(_) => {}
            }
        }
    }
    out.push_str("</g>\n");
    Ok(())
}

fn class_of(line: Line) -> &'static str {
    match line {
        Line::Dial => "dial",
        Line::Connection => "connection",
        Line::Failed => "failed",
        Line::Close => "close",
        Line::Reset => "reset",
    }
}

fn class_of_point(shape: Shape) -> &'static str {
    match shape {
        Shape::Up => "up",
        Shape::Listening => "listening",
        Shape::Unlistened => "unlistened",
        Shape::Ended => "ended",
        Shape::Killed => "killed",
        Shape::Down => "down",
        Shape::Failed => "trouble",
    }
}

/// Writes an arrow. The script of the page finds and moves its parts by their classes.
fn write_arrow(out: &mut String, at: &Layout, arrow: &Arrow) -> fmt::Result {
    let (from, to) = (at.x(arrow.from), at.x(arrow.to));
    let [tail, head] = arrow
        .ports
        .each_ref()
        .map(|port| if port.is_empty() { String::new() } else { format!(":{}", escape(port)) });
    let note = escape(&arrow.note);
    if from == to {
        let x = from;
        write!(
            out,
            r#"<path class="shaft loop" transform="translate({x},0)" d="M0,-6 h26 q8,0 8,6 t-8,6 h-18"/>"#
        )?;
        write!(out, r#"<g class="tip" transform="translate({x},6) scale(-1,1)">{}</g>"#, tip(arrow.line))?;
        let ports = format!("{tail} → {head} {note}");
        return write!(out, r#"<text class="port loop" x="{}" y="4">{ports}</text>"#, x + 42);
    }
    let is_right = to > from;
    let (near, far, scale) = if is_right { ("start", "end", 1) } else { ("end", "start", -1) };
    let shift = |x: usize, by: i64| i64::try_from(x).unwrap_or(0) + by * scale;
    write!(
        out,
        r#"<line class="shaft" x1="{from}" x2="{}" data-from="{}" data-to="{}"/>"#,
        shift(to, -3),
        arrow.from,
        arrow.to
    )?;
    write!(out, r#"<g class="tip" transform="translate({to},0) scale({scale},1)">{}</g>"#, tip(arrow.line))?;
    write!(
        out,
        r#"<text class="port tail" x="{}" y="-4" text-anchor="{near}">{tail}</text>"#,
        shift(from, 5)
    )?;
    write!(out, r#"<text class="port head" x="{}" y="-4" text-anchor="{far}">{head}</text>"#, shift(to, -9))?;
    write!(out, r#"<text class="note" x="{}" y="11">{note}</text>"#, (from + to) / 2)
}

/// The end of an arrow that points to the right, at 0.
fn tip(line: Line) -> &'static str {
    match line {
        Line::Failed => r#"<path d="M-14,-5 l10,10 m0,-10 l-10,10"/>"#,
        _ => r#"<path d="M0,0 l-9,-4.5 v9 z"/>"#,
    }
}

fn write_point(out: &mut String, x: usize, shape: Shape, text: &str) -> fmt::Result {
    let dot = match shape {
        Shape::Listening | Shape::Unlistened => r#"<rect class="dot" x="-5" y="-5" width="10" height="10"/>"#,
        Shape::Killed | Shape::Failed => r#"<path class="dot" d="M-5,-5 l10,10 m0,-10 l-10,10"/>"#,
        Shape::Ended | Shape::Down => r#"<rect class="dot" x="-8" y="-1.5" width="16" height="3"/>"#,
        Shape::Up => r#"<circle class="dot" r="3.5"/>"#,
    };
    write!(
        out,
        r#"<g class="at" transform="translate({x},0)">{dot}<text class="say" x="11" y="4">{}</text></g>"#,
        escape(text)
    )
}
