//! Draws the screen: a line with totals, the panes, and a line with keys.

use super::columns::{amount, fit, table, text};
use super::popups;
use super::rows::Rows;
use super::source::NetworkStatus;
use super::style::Style;
use super::tables::{contents, marked};
use super::view::{Mode, Pane, View};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style as Look;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, TableState};
use unicode_width::UnicodeWidthStr;

/// From this width on, panes are in two columns.
const WIDE: u16 = 150;

/// From this height on, one column has room for all panes.
const HIGH: u16 = 46;

/// The least size of a terminal.
const LEAST: (u16, u16) = (30, 8);

pub fn draw(frame: &mut Frame<'_>, view: &View, style: Style) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("lonet top needs {} columns and {} lines", LEAST.0, LEAST.1);
        return frame.render_widget(Paragraph::new(text), area);
    }
    let rows = view.rows();
    let top = Rect { height: 1, ..area };
    let bottom = Rect { y: area.y + area.height - 1, height: 1, ..area };
    let middle = Rect { y: area.y + 1, height: area.height - 2, ..area };
    frame.render_widget(header_line(view, style, area.width), top);
    let message = message(view, style);
    let middle = match message {
        Some((text, look)) => {
            let at = Rect { y: bottom.y - 1, height: 1, ..area };
            let line = Line::styled(fit(&text, usize::from(area.width)), look);
            frame.render_widget(Paragraph::new(line), at);
            Rect { height: middle.height - 1, ..middle }
        }
        None => middle,
    };
    for (pane, area) in layout(view, &rows, middle) {
        draw_pane(frame, view, &rows, (pane, area), style);
    }
    frame.render_widget(footer_line(view, style, area.width), bottom);
    popups::draw(frame, view, style);
}

fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// As [`amount`], with a space before the unit: `1.2 M`.
fn spaced_amount(bytes: f64) -> String {
    let text = amount(bytes);
    match text.strip_suffix(char::is_alphabetic) {
        Some(number) => format!("{number} {}", &text[number.len()..]),
        None => text + " ",
    }
}

/// The first line: the network, totals, and whether what is shown is current.
fn header_line(view: &View, style: Style, width: u16) -> Paragraph<'static> {
    let shown = view.shown();
    let dials: Option<f64> = shown.hosts.iter().map(|host| host.dials).sum();
    let bytes: Option<f64> = shown.hosts.iter().map(|host| host.rate.map(|(sent, _)| sent)).sum();
    let has_rates = !shown.hosts.is_empty();
    let parts = [
        Some(count(shown.hosts.len(), "host")),
        Some(count(shown.listeners.len(), "listener")),
        Some(count(shown.connections.len(), "connection")),
        (!shown.faults.is_empty()).then(|| count(shown.faults.len(), "fault")),
        dials.filter(|_| has_rates).map(|dials| format!("{} dials/s", amount(dials))),
        bytes.filter(|_| has_rates).map(|bytes| format!("{}B/s", spaced_amount(bytes))),
    ];
    let mut left = vec![format!(" {} ", view.network)];
    left.push(parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let left = left.join(" ");
    let filter = if view.filter.is_empty() { String::new() } else { format!(" /{} ", view.filter) };
    let filter = fit(&filter, usize::from(width) / 3);
    let state = match &view.status {
        _ if view.is_paused() => " PAUSED ",
        NetworkStatus::Ended => " ENDED ",
        NetworkStatus::Awaited(_) => " NOT RUNNING ",
        NetworkStatus::Failing(_) => " NO ANSWER ",
        NetworkStatus::Unknown => " … ",
        NetworkStatus::Running => "",
    };
    let room = usize::from(width).saturating_sub(state.width() + filter.width());
    let left = fit(&left, room);
    let gap = room - left.width();
    let spans = vec![Span::raw(left), Span::raw(" ".repeat(gap)), Span::styled(filter + state, style.bold())];
    Paragraph::new(Line::from(spans)).style(style.bar())
}

/// The message to show above the last line, if there is one.
fn message(view: &View, style: Style) -> Option<(String, Look)> {
    match (&view.outcome, &view.status) {
        (Some(Ok(text)), _) => Some((text.clone(), style.good())),
        (Some(Err(why)), _) => Some((why.clone(), style.error())),
        (None, NetworkStatus::Failing(why)) => Some((why.clone(), style.error())),
        (None, NetworkStatus::Awaited(why)) => Some((format!("{why}; waiting for it"), style.bold())),
        (None, NetworkStatus::Ended) => {
            let text = format!("network {:?} has ended: this is the last of it; q quits", view.network);
            Some((text, style.bold()))
        }
        (None, NetworkStatus::Running | NetworkStatus::Unknown) => None,
    }
}

fn footer_line(view: &View, style: Style, width: u16) -> Paragraph<'static> {
    if let Mode::Filter(_) = view.mode {
        let line = Line::from(vec![
            Span::styled(" / ", style.bar()),
            Span::raw(format!(" {}", view.filter)),
            Span::styled("▏", style.bold()),
            Span::styled("  Enter: keep   Esc: as before", style.dim()),
        ]);
        return Paragraph::new(line);
    }
    let pause = if view.is_paused() { "go on" } else { "pause" };
    let keys = [
        ("Tab", "pane"),
        ("/", "filter"),
        ("s", "sort"),
        ("p", pause),
        ("c", "cut"),
        ("h", "heal"),
        ("Enter", "zoom"),
        ("?", "help"),
        ("q", "quit"),
    ];
    let (mut spans, mut used) = (Vec::new(), 0);
    for (key, what) in keys {
        let text = (format!(" {key} "), format!("{what} "));
        used += text.0.width() + text.1.width();
        if used > usize::from(width) {
            break;
        }
        spans.extend([Span::styled(text.0, style.bold()), Span::styled(text.1, style.dim())]);
    }
    Paragraph::new(Line::from(spans))
}

/// How many lines a pane needs, with its title and column headings.
fn wanted(pane: Pane, view: &View, rows: &Rows<'_>) -> u16 {
    let n = match pane {
        Pane::Hosts => rows.hosts.len() + 2,
        Pane::Listeners => rows.listeners.len() + 2,
        Pane::Connections => rows.connections.len() + 2,
        Pane::Faults => rows.faults.len().max(1) + 1,
        Pane::Events => view.lines().len().max(9) + 1,
    };
    u16::try_from(n.max(2)).unwrap_or(u16::MAX)
}

/// The panes to show, with their places.
fn layout(view: &View, rows: &Rows<'_>, area: Rect) -> Vec<(Pane, Rect)> {
    if view.zoomed {
        return vec![(view.focus, area)];
    }
    let has_faults = !view.shown().faults.is_empty() || view.focus == Pane::Faults;
    let of = |panes: &[Pane], area: Rect| {
        let panes: Vec<Pane> = panes.iter().copied().filter(|p| *p != Pane::Faults || has_faults).collect();
        stack(&panes, view, rows, area)
    };
    if area.width >= WIDE {
        // The right column is wider, as connections have more columns.
        let left = Rect { width: area.width * 9 / 20, ..area };
        let right = Rect { x: area.x + left.width + 2, width: area.width - left.width - 2, ..area };
        let mut all = of(&[Pane::Hosts, Pane::Listeners, Pane::Faults], left);
        all.extend(of(&[Pane::Connections, Pane::Events], right));
        return all;
    }
    if area.height >= HIGH {
        return of(&Pane::ALL, area);
    }
    let sockets = if view.focus == Pane::Listeners { Pane::Listeners } else { Pane::Connections };
    of(&[Pane::Hosts, sockets, Pane::Faults, Pane::Events], area)
}

/// Stacks panes: each gets its least height, then those that need more share the rest.
fn stack(panes: &[Pane], view: &View, rows: &Rows<'_>, area: Rect) -> Vec<(Pane, Rect)> {
    let wanted: Vec<u16> = panes.iter().map(|pane| wanted(*pane, view, rows)).collect();
    let least = |pane: &Pane| if *pane == Pane::Faults { 2 } else { 3 };
    let mut heights: Vec<u16> =
        panes.iter().zip(&wanted).map(|(pane, wanted)| least(pane).min(*wanted)).collect();
    let mut left = area.height.saturating_sub(heights.iter().sum());
    while left > 0 {
        let before = left;
        for (n, pane) in panes.iter().enumerate() {
            // The pane with the focus, and faults, get more.
            let share = if *pane == view.focus || *pane == Pane::Faults { 3 } else { 1 };
            let more = share.min(wanted[n].saturating_sub(heights[n])).min(left);
            heights[n] += more;
            left -= more;
        }
        if left == before {
            break;
        }
    }
    // The last pane gets what is left.
    if let Some(last) = heights.last_mut() {
        *last += left;
    }
    let mut y = area.y;
    let mut place = |(pane, height): (&Pane, u16)| {
        let height = height.min(area.bottom().saturating_sub(y));
        let at = Rect { y, height, ..area };
        y += height;
        (*pane, at)
    };
    panes.iter().zip(heights).map(&mut place).filter(|(_, at)| at.height > 0).collect()
}

fn draw_pane(frame: &mut Frame<'_>, view: &View, rows: &Rows<'_>, (pane, area): (Pane, Rect), style: Style) {
    let has_focus = view.focus == pane;
    let shown = view.shown();
    let (n, all) = match pane {
        Pane::Hosts => (rows.hosts.len(), shown.hosts.len()),
        Pane::Listeners => (rows.listeners.len(), shown.listeners.len()),
        Pane::Connections => (rows.connections.len(), shown.connections.len()),
        Pane::Faults => (rows.faults.len(), shown.faults.len()),
        Pane::Events => (0, 0),
    };
    let number = match (pane, n == all) {
        (Pane::Events, _) if view.behind > 0 => format!(" {} later", view.behind),
        (Pane::Events, _) => String::new(),
        (_, true) => format!(" {n}"),
        (_, false) => format!(" {n} of {all}"),
    };
    let mark = if has_focus { "▶ " } else { "" };
    let title = Span::styled(format!(" {mark}{}{number} ", pane.title()), style.title(has_focus));
    let block = Block::new().borders(Borders::TOP).title(title).border_style(style.dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if inside.height == 0 {
        return;
    }
    let inside = Rect { x: inside.x + 1, width: inside.width - 1, ..inside };
    if pane == Pane::Events {
        return draw_events(frame, view, inside, style);
    }
    let order = view.orders[pane.number()];
    let marked = (marked(pane, order), order.mark());
    let (columns, contents) = contents(pane, rows, style);
    if contents.is_empty() {
        let text = empty_text(view, pane, all);
        return frame.render_widget(Paragraph::new(Line::styled(text, style.dim())), inside);
    }
    let table = match columns.is_empty() {
        true => table(&[text("", 1, 0)], contents, (None, ""), style.heading(), inside.width),
        false => table(&columns, contents, marked, style.heading(), inside.width),
    };
    // Faults are commands, which need no column heading.
    let table =
        if columns.is_empty() { table.header(ratatui::widgets::Row::default().height(0)) } else { table };
    let selected = view.selected(pane, &rows.names(pane)).filter(|_| has_focus);
    let table = table.row_highlight_style(style.selected());
    frame.render_stateful_widget(table, inside, &mut TableState::new().with_selected(selected));
}

/// The text in an empty pane.
fn empty_text(view: &View, pane: Pane, all: usize) -> String {
    let what = pane.title().to_lowercase();
    match (all, &view.status) {
        (1.., _) => format!("none of {all} matches /{}", view.filter),
        (0, NetworkStatus::Unknown | NetworkStatus::Awaited(_)) => String::new(),
        (0, _) => format!("no {what}"),
    }
}

fn draw_events(frame: &mut Frame<'_>, view: &View, area: Rect, style: Style) {
    let lines = view.lines();
    if let (Some(why), true) = (&view.no_events, lines.is_empty()) {
        return frame.render_widget(Paragraph::new(Line::styled(why.clone(), style.dim())), area);
    }
    let end = lines.len().saturating_sub(view.behind).max(usize::from(area.height).min(lines.len()));
    let start = end.saturating_sub(usize::from(area.height));
    let shown = lines.get(start..end).unwrap_or_default();
    let line = |line: &&super::view::Line| {
        Line::styled(fit(&line.text, usize::from(area.width)), style.event(line.kind))
    };
    frame.render_widget(Paragraph::new(shown.iter().map(line).collect::<Vec<_>>()), area);
}

#[cfg(test)]
mod tests;
