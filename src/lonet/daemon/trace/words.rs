//! An event of the table in the words of a trace.

use super::{Connection, MANY, Recorder};
use crate::daemon::kernel;
use crate::daemon::state::{Index, Pid, Said, State};
use crate::trace::event::{Event, Kind, Scope};
use crate::trace::moment::Moment;
use lonet_core::block::{Endpoint, Place};
use lonet_core::table::events::{self, Kind as Noted};
use nix::errno::Errno;

fn kind(noted: Noted) -> Kind {
    match noted {
        Noted::HostUp => Kind::HostUp,
        Noted::HostDown => Kind::HostDown,
        Noted::Joined => Kind::Joined,
        Noted::Ended => Kind::Ended,
        Noted::Bound => Kind::Bound,
        Noted::Listening => Kind::Listening,
        Noted::Unlistened => Kind::Unlistened,
        Noted::Dial | Noted::UnderWay => Kind::Dial,
        Noted::Connected => Kind::Connected,
        Noted::Accepted => Kind::Accepted,
        Noted::Refused => Kind::Refused,
        Noted::Unreachable => Kind::Unreachable,
        Noted::TimedOut => Kind::TimedOut,
        Noted::Reset => Kind::Reset,
        Noted::NameAsked => Kind::NameAsked,
        Noted::NameAnswered => Kind::NameAnswered,
        Noted::FaultSet => Kind::FaultSet,
        Noted::FaultHit => Kind::FaultHit,
        Noted::FaultHealed => Kind::FaultHealed,
        Noted::Closing | Noted::Closed => Kind::Closed,
    }
}

/// A host's name; an index that none has is said as it is.
fn host(state: &State, index: Index) -> Option<String> {
    (index != 0).then(|| state.hosts.get(index).map_or_else(|| index.to_string(), |host| host.name.clone()))
}

/// An address of a host, or one outside. `own`: the host whose loopback it may be of.
fn address(state: &State, at: Endpoint, own: Index) -> String {
    let name = match state.block.place(at.ip) {
        Place::Host(index, _) => host(state, index),
        Place::Any(_) | Place::Loopback(_) => host(state, own),
        Place::Unassigned | Place::NotLonet => None,
    };
    match (name, at.port) {
        // It has had none.
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

    /// A process, and what it is called, for people: a supervisor is its program.
    pub(super) fn who(&self, state: &State, pid: Pid) -> (Pid, Option<String>) {
        if let Some((pid, program)) = self.programs.get(&pid) {
            return (*pid, Some(program.clone()));
        }
        let program = state.processes.get(&pid).map(|process| process.program.clone());
        (pid, program.filter(|program| !program.is_empty() && program != "lonet"))
    }

    /// Another process stands for this one, and lives.
    pub(super) fn stands(&self, state: &State, pid: Pid) -> bool {
        self.programs.iter().any(|(of, (program, _))| *program == pid && state.processes.contains_key(of))
    }

    /// Looks once what a process of lonet's own stands for.
    fn meet(&mut self, state: &State, pid: Pid) {
        let is_known = self.programs.contains_key(&pid) || self.met.contains(&pid);
        let Some(process) = state.processes.get(&pid).filter(|_| !is_known) else { return };
        let program = kernel::stands_for(pid);
        if program != pid {
            self.programs.insert(pid, (program, kernel::program(program)));
        } else if process.program != "lonet" {
            self.met.insert(pid);
        }
    }

    pub(super) fn words(&mut self, state: &mut State, number: u64, noted: &events::Event) -> Box<Event> {
        let mut event = Box::new(Event::new(number, Moment(noted.time), kind(noted.kind)));
        event.host = host(state, noted.host);
        if noted.pid != 0 {
            self.meet(state, noted.pid);
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
            Noted::Ended => {
                self.met.remove(&noted.pid);
                let said = state.said(number);
                event.program = event.program.take().or(said.program);
                event.status = said.status;
                if self.programs.len() > MANY {
                    self.programs.clear();
                }
                if let (Some(program), false) = (&event.program, state.processes.contains_key(&noted.pid)) {
                    self.programs.insert(noted.pid, (event.pid.unwrap_or(noted.pid), program.clone()));
                }
            }
            Noted::Joined => {
                self.programs.remove(&noted.pid);
                self.met.remove(&noted.pid);
            }
            Noted::NameAsked
            | Noted::NameAnswered
            | Noted::FaultSet
            | Noted::FaultHit
            | Noted::FaultHealed => {
                let Said { name, answer, rule, .. } = state.said(number);
                (event.name, event.answer, event.rule) = (name, answer, rule);
            }
            _ => {}
        }
        event
    }
}
