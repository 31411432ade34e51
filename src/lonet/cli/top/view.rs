//! The state of the screen, without its drawing: the data to show, the selection and the mode, and what each key does.

use super::choice::{Choice, Target};
use super::rows::{Order, Rows};
use super::snapshot::Snapshot;
use super::source::{FaultCommand, NetworkStatus, Update, Verb};
use crate::daemon::faults::Between;
use crate::trace::event::{Event, Kind};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::VecDeque;

/// How many events are kept.
const MAX_EVENTS: usize = 5000;

/// How many rows PgUp and PgDn move by.
const PAGE: isize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Hosts,
    Listeners,
    Connections,
    Faults,
    Events,
}

impl Pane {
    pub const ALL: [Pane; 5] = [Pane::Hosts, Pane::Listeners, Pane::Connections, Pane::Faults, Pane::Events];

    pub fn number(self) -> usize {
        self as usize
    }

    pub fn title(self) -> &'static str {
        match self {
            Pane::Hosts => "Hosts",
            Pane::Listeners => "Listeners",
            Pane::Connections => "Connections",
            Pane::Faults => "Faults",
            Pane::Events => "Events",
        }
    }
}

/// What keys act on.
#[derive(Clone, Debug)]
pub enum Mode {
    Browse,
    /// The filter is being typed; its value before, for Esc.
    Filter(String),
    /// Hosts are being chosen.
    Choose(Choice),
    /// This command is to be confirmed.
    Confirm(FaultCommand),
    Help,
}

/// What the caller has to do after a key.
#[derive(Debug)]
pub enum Action {
    Nothing,
    Quit,
    Suspend,
    Order(FaultCommand),
}

/// An event as a line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    seq: u64,
    pub kind: Kind,
    pub text: String,
}

pub struct View {
    pub network: String,
    pub status: NetworkStatus,
    /// The last snapshot.
    latest: Snapshot,
    events: VecDeque<Line>,
    /// Snapshot and events at the time when the view was paused.
    paused: Option<(Snapshot, VecDeque<Line>)>,
    pub no_events: Option<String>,
    /// The outcome of the last command, or that it was sent.
    pub outcome: Option<Result<String, String>>,
    pub filter: String,
    pub mode: Mode,
    pub focus: Pane,
    /// Only the pane with the focus is shown.
    pub zoomed: bool,
    pub orders: [Order; 5],
    /// The name of the selected row in each pane.
    selected: [Option<String>; 5],
    /// How many events the list is scrolled back from its end.
    pub behind: usize,
}

impl View {
    pub fn new(network: &str) -> View {
        View {
            network: network.to_owned(),
            status: NetworkStatus::default(),
            latest: Snapshot::default(),
            events: VecDeque::new(),
            paused: None,
            no_events: None,
            outcome: None,
            filter: String::new(),
            mode: Mode::Browse,
            focus: Pane::Hosts,
            zoomed: false,
            orders: Pane::ALL.map(Order::first),
            selected: Default::default(),
            behind: 0,
        }
    }

    pub fn update(&mut self, updates: Update) {
        match updates {
            Update::Status(status) => self.status = status,
            Update::Snapshot(shown) => self.latest = *shown,
            Update::Events(events) => self.add_events(&events),
            Update::NoEvents(why) => self.no_events = Some(why),
            Update::Done(outcome) => self.outcome = Some(outcome),
        }
    }

    fn add_events(&mut self, events: &[Event]) {
        self.no_events = None;
        let new = events.iter().rev().take(MAX_EVENTS).rev();
        let line = |event: &Event| Line { seq: event.seq, kind: event.kind, text: event.to_string() };
        let new: Vec<Line> = new.map(line).collect();
        if self.behind > 0 && self.paused.is_none() {
            // Scroll further back, so that the lines on the screen stay.
            let filter = self.filter.to_lowercase();
            self.behind += new.iter().filter(|line| matches_filter(&filter, &[&line.text])).count();
        }
        self.events.extend(new);
        // Closes may arrive after later events.
        self.events.make_contiguous().sort_by_key(|line| line.seq);
        let spare = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..spare);
    }

    /// Shows that a command was sent.
    pub fn show_pending(&mut self, command: &FaultCommand) {
        self.outcome = Some(Ok(format!("{} …", command.command())));
    }

    /// The snapshot to show: the last one, or that of the pause.
    pub fn shown(&self) -> &Snapshot {
        self.paused.as_ref().map_or(&self.latest, |(shown, _)| shown)
    }

    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The filtered and sorted rows of the panes.
    pub fn rows(&self) -> Rows<'_> {
        Rows::of(self.shown(), &self.filter.to_lowercase(), &self.orders)
    }

    /// The events that match the filter.
    pub fn lines(&self) -> Vec<&Line> {
        let events = self.paused.as_ref().map_or(&self.events, |(_, events)| events);
        let filter = self.filter.to_lowercase();
        events.iter().filter(|line| matches_filter(&filter, &[&line.text])).collect()
    }

    /// The place of a pane's selected row in a list of names; the first one by default.
    pub fn selected(&self, pane: Pane, names: &[String]) -> Option<usize> {
        let selected = self.selected[pane.number()].as_ref();
        let found = selected.and_then(|selected| names.iter().position(|name| name == selected));
        found.or(if names.is_empty() { None } else { Some(0) })
    }

    pub fn key(&mut self, key: KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Action::Quit,
            KeyCode::Char('z') if control => return Action::Suspend,
            _ if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                return Action::Nothing;
            }
            _ => {}
        }
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse => self.browse(key.code),
            Mode::Filter(before) => {
                self.type_filter(key.code, before);
                Action::Nothing
            }
            Mode::Choose(choice) => {
                self.choose(key.code, choice);
                Action::Nothing
            }
            Mode::Confirm(command) => match key.code {
                KeyCode::Char('y' | 'Y') => Action::Order(command),
                KeyCode::Esc | KeyCode::Char('n' | 'N' | 'q') => Action::Nothing,
                _ => {
                    self.mode = Mode::Confirm(command);
                    Action::Nothing
                }
            },
            Mode::Help => Action::Nothing,
        }
    }

    fn browse(&mut self, code: KeyCode) -> Action {
        self.outcome = None;
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter(self.filter.clone()),
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Char('s') => {
                let order = &mut self.orders[self.focus.number()];
                *order = order.next(self.focus);
            }
            KeyCode::Char('r') => {
                let order = &mut self.orders[self.focus.number()];
                order.is_reversed = !order.is_reversed;
            }
            KeyCode::Char('z') | KeyCode::Enter => self.zoomed = !self.zoomed,
            KeyCode::Char('c') => self.begin_command(Verb::Cut),
            KeyCode::Char('h') => self.begin_command(Verb::Heal),
            KeyCode::Tab | KeyCode::Right => self.switch_pane(1),
            KeyCode::BackTab | KeyCode::Left => self.switch_pane(Pane::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => {
                self.focus = Pane::ALL[digit as usize - '1' as usize];
            }
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::PageUp => self.move_by(-PAGE),
            KeyCode::PageDown => self.move_by(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            _ => {}
        }
        Action::Nothing
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => {
                self.behind = 0;
                None
            }
            None => Some((self.latest.clone(), self.events.clone())),
        };
    }

    fn switch_pane(&mut self, by: usize) {
        self.focus = Pane::ALL[(self.focus.number() + by) % Pane::ALL.len()];
    }

    /// Selects another row in the pane with the focus.
    fn move_by(&mut self, by: isize) {
        if self.focus == Pane::Events {
            let most = self.lines().len().saturating_sub(1);
            let behind = isize::try_from(self.behind).unwrap_or(0).saturating_sub(by).max(0);
            self.behind = usize::try_from(behind).unwrap_or(0).min(most);
            return;
        }
        let mut names = self.rows().names(self.focus);
        let Some(at) = self.selected(self.focus, &names) else { return };
        let to = isize::try_from(at).unwrap_or(0).saturating_add(by).max(0);
        let to = usize::try_from(to).unwrap_or(0).min(names.len() - 1);
        self.selected[self.focus.number()] = Some(names.swap_remove(to));
    }

    fn type_filter(&mut self, code: KeyCode, before: String) {
        match code {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.filter = before;
                return;
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
        self.behind = 0;
        self.mode = Mode::Filter(before);
    }

    /// Opens the dialog to cut or heal the selected row.
    fn begin_command(&mut self, verb: Verb) {
        let rows = self.rows();
        let at = self.selected(self.focus, &rows.names(self.focus)).unwrap_or(0);
        let pair = |from: &str, to: &str| Between {
            from: vec![from.to_owned()],
            to: vec![to.to_owned()],
            ..Between::default()
        };
        let connection = rows.connections.get(at).filter(|_| self.focus == Pane::Connections);
        let fault = rows.faults.get(at).filter(|_| self.focus == Pane::Faults && verb == Verb::Heal);
        let between = match (connection, fault) {
            (Some(connection), _) if connection.from.host != connection.to.host => {
                Some(pair(&connection.from.host, &connection.to.host))
            }
            (_, Some(fault)) => Some(fault.between()),
            _ => None,
        };
        if let Some(between) = between {
            self.mode = Mode::Confirm(FaultCommand { verb, between });
            return;
        }
        let host = match self.focus {
            Pane::Hosts => rows.hosts.get(at).map(|host| host.name.clone()),
            Pane::Listeners => rows.listeners.get(at).map(|listener| listener.host.clone()),
            _ => None,
        };
        let mut hosts: Vec<String> = self.shown().hosts.iter().map(|host| host.name.clone()).collect();
        hosts.sort();
        let choice = Choice::new(verb, hosts, host);
        match choice.targets().is_empty() {
            true => self.outcome = Some(Err("no host is up".into())),
            false => self.mode = Mode::Choose(choice),
        }
    }

    fn choose(&mut self, code: KeyCode, mut choice: Choice) {
        match code {
            KeyCode::Esc => return,
            KeyCode::Up => choice.move_by(-1),
            KeyCode::Down => choice.move_by(1),
            KeyCode::PageUp => choice.move_by(-PAGE),
            KeyCode::PageDown => choice.move_by(PAGE),
            KeyCode::Home => choice.move_by(isize::MIN),
            KeyCode::End => choice.move_by(isize::MAX),
            KeyCode::Backspace => choice.pop_char(),
            KeyCode::Char(c) => choice.push_char(c),
            KeyCode::Enter => match choice.choose() {
                Some(Target::FaultCommand(command)) => {
                    self.mode = Mode::Confirm(command);
                    return;
                }
                Some(Target::Next(next)) => choice = next,
                None => {}
            },
            _ => {}
        }
        self.mode = Mode::Choose(choice);
    }
}

/// Whether one of a row's texts contains the filter, which is in lower case.
pub fn matches_filter(filter: &str, texts: &[&str]) -> bool {
    filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(filter))
}

#[cfg(test)]
mod tests;
