//! The dialog in which two hosts are chosen, one after the other, to cut them off from each other or to heal them.

use super::source::{FaultCommand, Verb};
use super::view::matches_filter;
use crate::daemon::faults::Between;

#[derive(Clone, Debug)]
pub struct Choice {
    pub verb: Verb,
    hosts: Vec<String>,
    /// The first host, when the second one is being chosen.
    pub first: Option<String>,
    /// The number of the selected row.
    pub selected: usize,
    /// The typed text; only names that contain it are listed.
    pub typed: String,
}

/// What follows after a choice.
pub enum Target {
    Next(Choice),
    FaultCommand(FaultCommand),
}

impl Choice {
    /// `initial`: the host that is selected at first.
    pub fn new(verb: Verb, hosts: Vec<String>, initial: Option<String>) -> Choice {
        let mut choice = Choice { verb, hosts, first: None, selected: 0, typed: String::new() };
        let at =
            initial.and_then(|host| choice.targets().iter().position(|(target, _)| *target == Some(&host)));
        choice.selected = at.unwrap_or(0);
        choice
    }

    /// The rows: a host, or `None` for all others, with its text.
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
        // At the end, as it affects more than two hosts.
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

    /// Chooses the selected row. `None`: there is none.
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
