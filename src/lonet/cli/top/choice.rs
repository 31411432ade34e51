//! The choice of the hosts that are to be cut off from each other, or healed: one, then the other.

use super::source::{FaultCommand, Verb};
use super::view::matches_filter;
use crate::daemon::faults::Between;

#[derive(Clone, Debug)]
pub struct Choice {
    pub verb: Verb,
    hosts: Vec<String>,
    /// The first host, if it is the second one that is chosen.
    pub first: Option<String>,
    /// The row that is chosen.
    pub selected: usize,
    /// What was typed: only names with it are listed.
    pub typed: String,
}

/// What the choice of a row leads to.
pub enum Target {
    Next(Choice),
    FaultCommand(FaultCommand),
}

impl Choice {
    /// `selected`: the host with which it begins.
    pub fn new(verb: Verb, hosts: Vec<String>, initial: Option<String>) -> Choice {
        let mut choice = Choice { verb, hosts, first: None, selected: 0, typed: String::new() };
        let at =
            initial.and_then(|host| choice.targets().iter().position(|(target, _)| *target == Some(&host)));
        choice.selected = at.unwrap_or(0);
        choice
    }

    /// The rows: a host, or all others, with what is said of it.
    pub fn targets(&self) -> Vec<(Option<&str>, String)> {
        let typed = self.typed.to_lowercase();
        let hosts = self.hosts.iter().filter(|host| Some(*host) != self.first.as_ref());
        let hosts =
            hosts.filter(|host| matches_filter(&typed, &[host])).map(|host| (Some(&**host), host.clone()));
        let all = match (&self.first, self.verb) {
            (None, Verb::Cut) => None,
            (None, Verb::Heal) => Some("everything"),
            (Some(_), _) => Some("all others"),
        };
        let all = all.filter(|_| self.typed.is_empty() && !self.hosts.is_empty());
        // What concerns more than two hosts does not come first.
        hosts.chain(all.map(|text| (None, text.to_owned()))).collect()
    }

    pub fn title(&self) -> String {
        match (self.verb, &self.first) {
            (Verb::Cut, None) => "Cut: which host?".to_owned(),
            (Verb::Cut, Some(first)) => format!("Cut {first} off from:"),
            (Verb::Heal, None) => "Heal: which host?".to_owned(),
            (Verb::Heal, Some(first)) => format!("Heal between {first} and:"),
        }
    }

    pub fn move_by(&mut self, by: isize) {
        let last = self.targets().len().saturating_sub(1);
        let to = isize::try_from(self.selected).unwrap_or(0).saturating_add(by).max(0);
        self.selected = usize::try_from(to).unwrap_or(0).min(last);
    }

    pub fn push_char(&mut self, c: char) {
        self.typed.push(c);
        self.selected = 0;
    }

    pub fn pop_char(&mut self) {
        self.typed.pop();
        self.selected = 0;
    }

    /// Takes the row that is chosen. `None`: there is none.
    pub fn choose(&self) -> Option<Target> {
        let targets = self.targets();
        let (host, _) = targets.get(self.selected)?;
        let names = |host: Option<&str>| host.map(str::to_owned).into_iter().collect();
        let command = |from, to| {
            let between = Between { from, to, ..Between::default() };
            Target::FaultCommand(FaultCommand { verb: self.verb, between })
        };
        Some(match (&self.first, host) {
            (None, None) => command(Vec::new(), Vec::new()),
            (None, Some(host)) => Target::Next(Choice {
                first: Some((*host).to_owned()),
                selected: 0,
                typed: String::new(),
                ..self.clone()
            }),
            (Some(first), host) => command(vec![first.clone()], names(*host)),
        })
    }
}
