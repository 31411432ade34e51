//! The rows of each pane: those that match the filter, sorted.

use super::snapshot::{Connection, Fault, Host, Listener, Snapshot};
use super::view::{Pane, matches_filter};
use std::cmp::Ordering;

/// The keys by which the rows of a pane can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Name,
    To,
    Connections,
    Dials,
    Bytes,
    Total,
    /// The order of arrival.
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub by: By,
    /// Names descend, amounts ascend.
    pub is_reversed: bool,
}

impl Order {
    fn all(pane: Pane) -> &'static [By] {
        match pane {
            Pane::Hosts => &[By::Name, By::Bytes, By::Dials, By::Connections],
            Pane::Listeners => &[By::Name, By::Connections],
            Pane::Connections => &[By::Bytes, By::Total, By::Name, By::To],
            Pane::Faults | Pane::Events => &[By::Time],
        }
    }

    pub fn first(pane: Pane) -> Order {
        Order { by: Order::all(pane).first().copied().unwrap_or(By::Name), is_reversed: false }
    }

    pub fn next(self, pane: Pane) -> Order {
        let all = Order::all(pane);
        let at = all.iter().position(|by| *by == self.by).unwrap_or(0);
        Order { by: all.get((at + 1) % all.len()).copied().unwrap_or(self.by), is_reversed: false }
    }

    /// The mark of the column by which rows are sorted: ▼ if the first name or the greatest amount is on top.
    pub fn mark(self) -> &'static str {
        if self.is_reversed { "▲" } else { "▼" }
    }

    fn sort<T>(self, rows: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
        rows.sort_by(|a, b| if self.is_reversed { compare(b, a) } else { compare(a, b) });
    }
}

pub struct Rows<'a> {
    pub hosts: Vec<&'a Host>,
    pub listeners: Vec<&'a Listener>,
    pub connections: Vec<&'a Connection>,
    pub faults: Vec<&'a Fault>,
}

fn sum<T: Copy + Default + std::ops::Add<Output = T>>(bytes: Option<(T, T)>) -> T {
    bytes.map_or_else(T::default, |(sent, received)| sent + received)
}

impl<'a> Rows<'a> {
    pub fn of(shown: &'a Snapshot, filter: &str, orders: &[Order; 5]) -> Rows<'a> {
        let hosts =
            shown.hosts.iter().filter(|h| matches_filter(filter, &[&h.name, &h.address, &h.programs]));
        let listeners = shown.listeners.iter().filter(|l| matches_filter(filter, &[&l.at, &l.program]));
        let connections = shown.connections.iter().filter(|c| {
            matches_filter(filter, &[&c.from.at, &c.to.at, &c.from.program, &c.to.program, &c.faults])
        });
        let faults = shown.faults.iter().filter(|fault| matches_filter(filter, &[&fault.command]));
        let mut rows = Rows {
            hosts: hosts.collect(),
            listeners: listeners.collect(),
            connections: connections.collect(),
            faults: faults.collect(),
        };
        let [of_hosts, of_listeners, of_connections, ..] = orders;
        of_hosts.sort(&mut rows.hosts, |a, b| {
            let amount = match of_hosts.by {
                By::Bytes => sum(b.rate).total_cmp(&sum(a.rate)),
                By::Dials => b.dials.unwrap_or(0.0).total_cmp(&a.dials.unwrap_or(0.0)),
                By::Connections => b.connections.cmp(&a.connections),
                _ => Ordering::Equal,
            };
            amount.then_with(|| a.name.cmp(&b.name))
        });
        of_listeners.sort(&mut rows.listeners, |a, b| {
            let amount = match of_listeners.by {
                By::Connections => b.connections.cmp(&a.connections),
                _ => Ordering::Equal,
            };
            amount.then_with(|| (&a.host, a.port).cmp(&(&b.host, b.port)))
        });
        of_connections.sort(&mut rows.connections, |a, b| {
            let names = |c: &'a Connection| (&c.from.at, &c.to.at);
            let amount = match of_connections.by {
                By::Bytes => sum(b.rate).total_cmp(&sum(a.rate)),
                By::Total => sum(b.total).cmp(&sum(a.total)),
                By::To => a.to.at.cmp(&b.to.at),
                _ => Ordering::Equal,
            };
            amount.then_with(|| names(a).cmp(&names(b)))
        });
        rows
    }

    /// A name for each row of a pane, by which it stays selected.
    pub fn names(&self, pane: Pane) -> Vec<String> {
        match pane {
            Pane::Hosts => self.hosts.iter().map(|host| host.name.clone()).collect(),
            Pane::Listeners => self.listeners.iter().map(|l| format!("{} {}", l.at, l.reached)).collect(),
            Pane::Connections => {
                self.connections.iter().map(|c| format!("{} {}", c.from.at, c.to.at)).collect()
            }
            // Without the hits, which change.
            Pane::Faults => {
                let command =
                    |fault: &&Fault| fault.command.split("  #").next().unwrap_or_default().to_owned();
                self.faults.iter().map(command).collect()
            }
            Pane::Events => Vec::new(),
        }
    }
}
