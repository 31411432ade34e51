//! Writes a file of expected events from a trace: with exact hosts and ports, but only as much order as is reproducible.
//!
//! The dials and other actions of one host are expected in order, in one block. The events of a connection are expected in order
//! at each of its two ends, in one block each. Blocks are concurrent. Programs and byte counts are not compared.

use super::parse::is_keyword;
use crate::trace::event::{Event, Header, Kind, Scope};
use crate::trace::text::{self, Subject};
use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;

/// Which order is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order in which each host dials and listens.
    OfHosts,
    /// Only that within each connection, with any port at the dialer.
    OfConnections,
}

/// The events of a connection, at its two ends.
#[derive(Default)]
struct Connection<'a> {
    dialer: Vec<&'a Event>,
    listener: Vec<&'a Event>,
}

impl Connection<'_> {
    /// Whether an event is the next one at the dialer's end.
    fn is_dialers(&self, event: &Event) -> bool {
        let (is_end, opens) = (
            self.dialer.iter().any(|e| is_end(e.kind)),
            self.dialer.iter().any(|e| e.kind == Kind::Connected),
        );
        let host = self.dialer.first().and_then(|dial| dial.host.as_deref());
        let is_here = host.is_none() || host == event.host.as_deref();
        match event.kind {
            Kind::Connected | Kind::Refused | Kind::Unreachable | Kind::TimedOut => !is_end && !opens,
            kind => is_close(kind) && is_here && !is_end,
        }
    }

    fn is_listeners(&self, event: &Event) -> bool {
        let (is_end, opens) = (self.listener.iter().any(|e| is_end(e.kind)), !self.listener.is_empty());
        match event.kind {
            Kind::Accepted => !opens,
            kind => {
                is_close(kind)
                    && opens
                    && !is_end
                    && self.listener.first().is_some_and(|e| e.host == event.host)
            }
        }
    }
}

impl Connection<'_> {
    /// Whether no further events are possible.
    fn is_over(&self) -> bool {
        let (dialer, listener) = (self.dialer.last().map(|e| e.kind), self.listener.last().map(|e| e.kind));
        dialer.is_some_and(|kind| is_end(kind) && !is_close(kind))
            || (dialer.is_some_and(is_close) && listener.is_some_and(is_close))
    }
}

/// Whether an event ends one end of a connection.
fn is_close(kind: Kind) -> bool {
    matches!(kind, Kind::Closed | Kind::Reset)
}

fn is_end(kind: Kind) -> bool {
    is_close(kind) || matches!(kind, Kind::Refused | Kind::Unreachable | Kind::TimedOut)
}

/// Whether an event is an action of its own, not a consequence of another one.
fn is_start(kind: Kind) -> bool {
    matches!(kind, Kind::Listening | Kind::Dial | Kind::FaultSet | Kind::FaultHealed)
}

/// The text of a file that expects what happened.
pub fn record(header: &Header, events: &[Event], order: Order) -> String {
    let mut hosts: Vec<(Option<&str>, Vec<&Event>)> = Vec::new();
    let mut connections: Vec<Connection<'_>> = Vec::new();
    let mut others: Vec<&Event> = Vec::new();
    let mut of_key: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for event in
        events.iter().filter(|event| is_start(event.kind) || is_end(event.kind) || is_established(event.kind))
    {
        let key = (event.from.as_deref().unwrap_or("-"), event.to.as_deref().unwrap_or("-"));
        if is_start(event.kind) {
            let host = event.host.as_deref();
            match hosts.iter_mut().find(|(known, _)| *known == host) {
                Some((_, events)) => events.push(event),
                None => hosts.push((host, vec![event])),
            }
            if event.kind == Kind::Dial {
                of_key.entry(key).or_default().push(connections.len());
                connections.push(Connection { dialer: vec![event], listener: Vec::new() });
            }
            continue;
        }
        // Ports are reused: find the earliest connection that lacks this event.
        let of_key = of_key.entry(key).or_default();
        let at = of_key.iter().position(|at| {
            connections.get(*at).is_some_and(|c| c.is_dialers(event) || c.is_listeners(event))
        });
        match at.and_then(|at| Some((at, connections.get_mut(*of_key.get(at)?)?))) {
            None => others.push(event),
            Some((at, connection)) => {
                let is_dialers = connection.is_dialers(event);
                let end = if is_dialers { &mut connection.dialer } else { &mut connection.listener };
                end.push(event);
                if connection.is_over() {
                    of_key.remove(at);
                }
            }
        }
    }
    let mut out = format!(
        "# Recorded by `lonet expect --record`, of network {} at {}.\n# What stands in a block happens in its order; what stands beside it does not.\n",
        header.network, header.time
    );
    let loose = order == Order::OfConnections;
    for (host, events) in &hosts {
        let of_host = events.iter().filter(|event| !loose || event.kind != Kind::Dial).copied();
        let events: Vec<&Event> = of_host.collect();
        match loose {
            true => events.iter().for_each(|event| write_strand(&mut out, &[event], loose)),
            false => {
                _ = writeln!(out, "\n# {}", host.unwrap_or("the network"));
                write_strand(&mut out, &events, loose);
            }
        }
    }
    if !connections.is_empty() {
        _ = writeln!(out, "\n# what becomes of each dial, at its two ends");
    }
    for connection in &connections {
        let dialer = connection.dialer.get(usize::from(!loose)..).unwrap_or_default();
        write_strand(&mut out, dialer, loose);
        write_strand(&mut out, &connection.listener, loose);
    }
    others.iter().for_each(|event| write_strand(&mut out, &[event], loose));
    out
}

fn is_established(kind: Kind) -> bool {
    matches!(kind, Kind::Connected | Kind::Accepted)
}

fn write_strand(out: &mut String, events: &[&Event], loose: bool) {
    match events {
        [] => {}
        [event] => _ = writeln!(out, "meanwhile {}", line(event, loose)),
        events => {
            _ = writeln!(out, "meanwhile {{");
            for event in events {
                _ = writeln!(out, "    {}", line(event, loose));
            }
            _ = writeln!(out, "}}");
        }
    }
}

fn line(event: &Event, loose: bool) -> String {
    let mut line = format!("{} {}", first_word(event.host.as_deref()), event.kind.name());
    let shown = |field: &str| match (field, text::value(event, field)) {
        (_, None) => "-".to_owned(),
        ("at" | "from" | "to", Some(at)) => address(&at, loose && field == "from"),
        (_, Some(_)) => text::subject_text(event, field).unwrap_or_default(),
    };
    match text::subject(event.kind) {
        Subject::Field(field) if text::value(event, field).is_some() => _ = write!(line, " {}", shown(field)),
        Subject::Ends if event.from.is_some() || event.to.is_some() => {
            _ = write!(line, " {} -> {}", shown("from"), shown("to"));
        }
        _ => {}
    }
    if event.scope == Some(Scope::Loopback) {
        line += " scope=loopback";
    }
    if let Some(error) = &event.error {
        _ = write!(line, " error={}", text::word(error));
    }
    line
}

/// A host's name, quoted if it is a keyword.
fn first_word(host: Option<&str>) -> String {
    let Some(host) = host else { return "-".into() };
    match is_keyword(host) {
        true => serde_json::Value::from(host).to_string(),
        false => text::word(host).into_owned(),
    }
}

/// An address. Addresses outside the network vary, so any matches.
fn address(address: &str, any_port: bool) -> String {
    if address.parse::<SocketAddr>().is_ok() {
        return "*".into();
    }
    match address.rsplit_once(':') {
        Some((host, _)) if any_port && !host.is_empty() => format!("{}:*", text::word(host)),
        _ => text::word(address).into_owned(),
    }
}
