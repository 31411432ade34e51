//! Draws popups over the panes: help, the choice of hosts, and the confirmation of a command.

use super::choice::Choice;
use super::columns::fit;
use super::source::{FaultCommand, Verb};
use super::style::Style;
use super::view::{Mode, View};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

pub fn draw(frame: &mut Frame<'_>, view: &View, style: Style) {
    let (title, lines) = match &view.mode {
        Mode::Browse | Mode::Filter(_) => return,
        Mode::Help => ("Keys".to_owned(), help(style)),
        Mode::Choose(choice) => {
            (choice.title(), choices(choice, usize::from(frame.area().height).saturating_sub(8), style))
        }
        Mode::Confirm(command) => (title_of(command), question(command, style)),
    };
    let area = frame.area();
    let width = lines.iter().map(Line::width).chain([title.width() + 2]).max().unwrap_or(0) + 4;
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    frame.render_widget(Clear, place);
    let title = fit(&title, usize::from(width).saturating_sub(4));
    let title = Span::styled(format!(" {title} "), style.bold());
    let block = Block::bordered().border_type(BorderType::Rounded).title(title);
    let inside = block.inner(place);
    frame.render_widget(block, place);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    frame.render_widget(Paragraph::new(lines), inside);
}

const HELP: [(&str, &str); 15] = [
    ("Tab  Shift-Tab  1-5", "another pane"),
    ("↑ ↓  j k  PgUp PgDn  g G", "another row, earlier events"),
    ("Enter  z", "this pane alone, or all"),
    ("/", "show only rows with this text"),
    ("s", "sort by the next column"),
    ("r", "the other way round"),
    ("p  Space", "stop what is shown, and go on"),
    ("c", "cut two hosts off from each other"),
    ("h", "heal: hosts, a fault, or everything"),
    ("q  Esc  Ctrl-C", "quit"),
    ("", ""),
    ("SENT RECV", "bytes, and bytes a second, of the host or dialer"),
    ("DIALS/s", "dials a second by the host"),
    ("(80)", "a port of the host's loopback alone"),
    ("-", "not known: the kernel does not tell"),
];

fn help(style: Style) -> Vec<Line<'static>> {
    let line = |(keys, what): (&'static str, &'static str)| {
        let gap = " ".repeat(26_usize.saturating_sub(keys.width()));
        Line::from(vec![Span::styled(keys, style.bold()), Span::raw(gap), Span::raw(what)])
    };
    HELP.into_iter().map(line).collect()
}

/// The rows of the choice of hosts, as many as there is room for.
fn choices(choice: &Choice, room: usize, style: Style) -> Vec<Line<'static>> {
    let targets = choice.targets();
    let room = room.max(3);
    let start = (choice.selected + 1).saturating_sub(room);
    let line = |(n, (_, text)): (usize, &(Option<&str>, String))| match n == choice.selected {
        true => Line::styled(format!("▶ {text} "), style.selected()),
        false => Line::raw(format!("  {text} ")),
    };
    let mut lines: Vec<Line<'static>> = targets.iter().enumerate().skip(start).take(room).map(line).collect();
    if targets.is_empty() {
        lines.push(Line::styled(format!("  no host has {:?} in its name", choice.typed), style.dim()));
    } else if targets.len() > room {
        lines.push(Line::styled(format!("  {} of {}", choice.selected + 1, targets.len()), style.dim()));
    }
    let typed = if choice.typed.is_empty() { String::new() } else { format!("name: {}▏  ", choice.typed) };
    lines.push(Line::styled(format!("{typed}Enter: choose   Esc: leave it"), style.dim()));
    lines
}

fn title_of(command: &FaultCommand) -> String {
    match command.verb {
        Verb::Cut => "Cut hosts off from each other?".to_owned(),
        Verb::Heal => "Undo faults?".to_owned(),
    }
}

fn question(command: &FaultCommand, style: Style) -> Vec<Line<'static>> {
    let names = |all: &[String]| if all.is_empty() { "all others".to_owned() } else { all.join(", ") };
    let (from, to) = (names(&command.between.from), names(&command.between.to));
    let what = match (command.verb, command.between.from.is_empty(), command.between.to.is_empty()) {
        (Verb::Cut, ..) => format!("Nothing that {from} and {to} send to each other will arrive."),
        (Verb::Heal, true, _) => "All faults of the network will be undone.".to_owned(),
        (Verb::Heal, false, true) => format!("All faults that name {from} will be undone."),
        (Verb::Heal, false, false) if command.between.one_way => {
            format!("The faults of what {from} sends to {to} will be undone.")
        }
        (Verb::Heal, false, false) => format!("The faults between {from} and {to} will be undone."),
    };
    vec![
        Line::raw(what),
        Line::styled(command.command(), style.dim()),
        Line::raw(""),
        Line::from(vec![
            Span::styled("y", style.bold()),
            Span::raw(" do it   "),
            Span::styled("n", style.bold()),
            Span::raw(" leave it"),
        ]),
    ]
}
