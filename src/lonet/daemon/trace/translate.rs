//! Translates the table's events to those of a trace.

use super::{Connection, MAX_REMEMBERED, Recorder};
use crate::daemon::process;
use crate::daemon::state::{EventTexts, Index, Pid, State};
use crate::trace::event::{Event, Kind, Scope};
use crate::trace::moment::Moment;
use lonet_core::block::{Endpoint, Place};
use lonet_core::table::events::{self, Kind as TableKind};
use nix::errno::Errno;

fn kind(noted: TableKind) -> Kind {
    match noted {
        TableKind::HostUp => Kind::HostUp,
        TableKind::HostDown => Kind::HostDown,
        TableKind::Joined => Kind::Joined,
        TableKind::Ended => Kind::Ended,
        TableKind::Bound => Kind::Bound,
        TableKind::Listening => Kind::Listening,
        TableKind::Unlistened => Kind::Unlistened,
        TableKind::Dial | TableKind::UnderWay => Kind::Dial,
        TableKind::Connected => Kind::Connected,
        TableKind::Accepted => Kind::Accepted,
        TableKind::Refused => Kind::Refused,
        TableKind::Unreachable => Kind::Unreachable,
        TableKind::TimedOut => Kind::TimedOut,
        TableKind::Reset => Kind::Reset,
        TableKind::NameAsked => Kind::NameAsked,
        TableKind::NameAnswered => Kind::NameAnswered,
        TableKind::FaultSet => Kind::FaultSet,
        TableKind::FaultHit => Kind::FaultHit,
        TableKind::FaultHealed => Kind::FaultHealed,
        TableKind::Closing | TableKind::Closed => Kind::Closed,
    }
}

/// A host's name; an unknown index as a number.
fn host(state: &State, index: Index) -> Option<String> {
    (index != 0).then(|| state.hosts.get(index).map_or_else(|| index.to_string(), |host| host.name.clone()))
}

/// The text of an address. `own`: the host to which a loopback or wildcard address belongs.
fn address(state: &State, at: Endpoint, own: Index) -> String {
    let name = match state.block.place(at.ip) {
        Place::Host(index, _) => host(state, index),
        Place::Any(_) | Place::Loopback(_) => host(state, own),
        Place::Unassigned | Place::NotLonet => None,
    };
    match (name, at.port) {
        // The socket has had no port.
        (Some(name), 0) => name,
        (Some(name), port) => format!("{name}:{port}"),
        (None, port) => match at.ip.to_ipv4_mapped() {
            Some(ip) => format!("{ip}:{port}"),
            None => format!("[{}]:{port}", at.ip),
        },
    }
}

impl Recorder {
    pub(super) fn ends(&self, state: &State, c: &Connection) -> (Option<String>, Option<String>) {
        let dialer = if c.is_outsiders { 0 } else { c.host };
        (c.from.map(|at| address(state, at, dialer)), c.to.map(|at| address(state, at, c.host)))
    }

    /// The pid and program to show for a process: for a supervisor those of its program.
    pub(super) fn who(&self, state: &State, pid: Pid) -> (Pid, Option<String>) {
        if let Some((program, name)) = self.supervised.get(&pid) {
            return (*program, Some(name.clone()).filter(|name| !name.is_empty()));
        }
        let living = || state.processes.get(&pid).filter(|p| !p.is_lonets).map(|p| p.program.clone());
        (pid, self.ended.get(&pid).cloned().or_else(living).filter(|name| !name.is_empty()))
    }

    /// Whether a living process supervises this one.
    pub(super) fn has_live_supervisor(&self, state: &State, pid: Pid) -> bool {
        self.supervised.iter().any(|(of, (program, _))| *program == pid && state.processes.contains_key(of))
    }

    /// Finds the program that a process of lonet's own supervises, and its name.
    pub(super) fn find_supervised(&mut self, state: &mut State, pid: Pid) {
        let Some(process) = state.processes.get(&pid).filter(|p| p.is_lonets) else { return };
        if !self.looked_at.insert(pid) {
            return;
        }
        let before = self.supervised.get(&pid);
        let known = process.supervises.or(before.map(|(program, _)| *program));
        // When the program has ended, a process that it has left behind takes its place.
        let known = known.filter(|program| !self.ended.contains_key(program));
        let program = known.unwrap_or_else(|| process::stands_for(pid));
        if program == pid {
            return;
        }
        let is_same = |(last, _): &&(Pid, String)| *last == program;
        let name = Some(process::program(program)).filter(|name| !name.is_empty());
        let name = name.or_else(|| before.filter(is_same).map(|(_, name)| name.clone()));
        let name = name.or_else(|| state.processes.get(&program).map(|p| p.program.clone()));
        let name = name.unwrap_or_default();
        if let Some(process) = state.processes.get_mut(&program) {
            process.set_program(name.clone());
        }
        self.supervised.insert(pid, (program, name));
    }

    /// The event of a trace for an event of the table.
    pub(super) fn translate(&mut self, state: &mut State, number: u64, noted: &events::Event) -> Box<Event> {
        let mut event = Box::new(Event::new(number, Moment(noted.time), kind(noted.kind)));
        event.host = host(state, noted.host);
        if noted.pid != 0 {
            if noted.kind == TableKind::Joined {
                self.ended.remove(&noted.pid);
                self.supervised.remove(&noted.pid);
            }
            let (pid, program) = self.who(state, noted.pid);
            (event.pid, event.program) = (Some(pid), program);
        }
        match (noted.from, noted.to) {
            (None, Some(at)) => {
                event.at = Some(address(state, at, noted.host));
                let is_loopback = matches!(state.block.place(at.ip), Place::Loopback(_));
                event.scope = is_loopback.then_some(Scope::Loopback);
            }
            (from, to) => {
                let dialer = if noted.is_outsiders { 0 } else { noted.host };
                event.from = from.map(|at| address(state, at, dialer));
                event.to = to.map(|at| address(state, at, noted.host));
            }
        }
        let [os_from, os_to] = noted.os;
        (event.os_from, event.os_to) = (os_from.map(|os| os.to_string()), os_to.map(|os| os.to_string()));
        if noted.errno != 0 {
            event.error = Some(format!("{:?}", Errno::from_raw(noted.errno.into())));
        }
        if let Some([sent, received]) = noted.numbers {
            (event.sent, event.received) = (Some(sent), Some(received));
        }
        match noted.kind {
            TableKind::Ended => {
                let texts = state.take_texts(number);
                event.program = texts.program.filter(|name| !name.is_empty()).or(event.program);
                event.status = texts.status;
                if self.ended.len() > MAX_REMEMBERED {
                    self.ended.clear();
                }
                if let (Some(program), false) = (&event.program, state.processes.contains_key(&noted.pid)) {
                    self.ended.insert(noted.pid, program.clone());
                }
            }
            TableKind::NameAsked
            | TableKind::NameAnswered
            | TableKind::FaultSet
            | TableKind::FaultHit
            | TableKind::FaultHealed => {
                let EventTexts { name, answer, rule, .. } = state.take_texts(number);
                (event.name, event.answer, event.rule) = (name, answer, rule);
            }
            _ => {}
        }
        event
    }
}
