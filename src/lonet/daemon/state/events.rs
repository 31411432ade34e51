//! The events that lonetd makes while a recording is in progress; see [`lonet_core::table::events`].

use super::dial::Dial;
use super::{Cookie, Index, Kernel, Named, Pid, Process, Sender, State};
use crate::trace::event::Status;
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::Requester;
use lonet_core::table::entry::{self, Entry};
use lonet_core::table::events::{Event, Kind};
use lonet_core::table::record::Found;
use lonet_core::table::state::{MADE, NO_SLOT, Phase, TAKEN};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// The texts of an event, for which the table has no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTexts {
    pub program: Option<String>,
    pub name: Option<String>,
    pub answer: Option<String>,
    pub rule: Option<String>,
    pub status: Option<Status>,
}

/// Data for the recorder, beside the events in the table.
#[derive(Default)]
pub(super) struct EventNotes {
    /// By the event's number.
    texts: BTreeMap<u64, EventTexts>,
    /// The hosts that were last reported as up.
    up: BTreeSet<Index>,
    /// [`Hosts::touches`](super::Hosts::touches) at the last check.
    touches: u64,
    /// Exit statuses of processes whose end the state has not handled so far.
    statuses: BTreeMap<Pid, Option<Status>>,
    /// Programs that have ended while no lonetd served, each with a host.
    pub(super) ended_unserved: BTreeSet<(Pid, Index)>,
    /// Processes of lonet's own that have ended while no lonetd served.
    pub(super) ended_lonets: BTreeSet<Pid>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    pub host: Index,
    pub pid: Pid,
    pub has_dialed: bool,
    /// The lonet addresses of both ends, the dialer's first.
    pub ends: (Endpoint, Endpoint),
}

/// The number of a role.
const CONNECTED: u8 = super::Role::Connected as u8;

impl Connected {
    /// `role`: its number in a record. `None`: it has no connection.
    fn of(entry: &Entry, role: u8, pid: Pid) -> Option<Connected> {
        let call = entry.call?;
        let (has_dialed, ends) = match role {
            entry::ACCEPTED => (false, (call.peer, call.local)),
            // The port that was dialed, even if the connection is accepted at another one.
            entry::DIAL | CONNECTED => (true, (call.local, Endpoint::new(call.peer.ip, call.dialed_port))),
            _ => return None,
        };
        Some(Connected { host: entry.host, pid, has_dialed, ends })
    }
}

impl State {
    /// Makes an event if a recording is in progress. Returns its number.
    pub(super) fn note(
        &self,
        kind: Kind,
        pid: Pid,
        host: Index,
        with: impl FnOnce(&mut Event),
    ) -> Option<u64> {
        self.table.table().note(NO_SLOT, || {
            let mut event = Event::new(kind, pid, host);
            with(&mut event);
            event
        })
    }

    /// Like [`State::note`], with texts.
    pub fn note_with_texts(
        &mut self,
        kind: Kind,
        pid: Pid,
        host: Index,
        texts: impl FnOnce(&State) -> EventTexts,
    ) {
        if let Some(number) = self.note(kind, pid, host, |_| {}) {
            let texts = texts(self);
            self.event_notes.texts.insert(number, texts);
        }
    }

    /// The texts of this event; returned once.
    pub fn take_texts(&mut self, number: u64) -> EventTexts {
        self.event_notes.texts.remove(&number).unwrap_or_default()
    }

    /// Prepares for a recording: hosts that are up are not reported as coming up.
    pub fn recording_begins(&mut self) {
        self.event_notes.texts.clear();
        self.event_notes.up = self.hosts.all().filter(|h| h.is_up()).map(|h| h.index).collect();
        self.event_notes.touches = self.hosts.touches();
        // Name queries are to be recorded, so they must not be answered from the programs' caches.
        self.changes.names = true;
    }

    /// Makes the events of a process that becomes a member of a host; for lonet's own only that of the host.
    pub(super) fn note_up(&mut self, host: Index, pid: Pid) {
        if !self.is_recorded() {
            return;
        }
        if self.event_notes.up.insert(host) {
            self.note(Kind::HostUp, 0, host, |_| {});
        }
        if !self.processes.get(&pid).is_some_and(|process| process.is_lonets) {
            self.note(Kind::Joined, pid, host, |_| {});
        }
    }

    pub fn is_recorded(&self) -> bool {
        self.table.table().is_recorded()
    }

    /// Makes events of the hosts that have come up without a process, or gone down.
    pub fn note_hosts(&mut self) {
        if !self.is_recorded() || self.event_notes.touches == self.hosts.touches() {
            return;
        }
        self.event_notes.touches = self.hosts.touches();
        let up: BTreeSet<Index> = self.hosts.all().filter(|h| h.is_up()).map(|h| h.index).collect();
        let before = std::mem::replace(&mut self.event_notes.up, up);
        for host in before.symmetric_difference(&self.event_notes.up) {
            let kind = if before.contains(host) { Kind::HostDown } else { Kind::HostUp };
            self.note(kind, 0, *host, |_| {});
        }
    }

    /// Like [`State::resolve`], with events of the query and the reply. The reply is not cached, so that the
    /// next query is recorded, too.
    pub(super) fn resolve_recorded(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        (name, strict): (&[u8], bool),
    ) -> Result<Named, (Errno, String)> {
        if !self.is_recorded() {
            return self.resolve(kernel, sender, requester, (name, strict));
        }
        let own = self.processes.get(&sender.pid).and_then(|p| p.implicit_host);
        let host = self.hosts.find(requester.host.as_bytes()).map(|h| h.index).or(own).unwrap_or(0);
        let known = self.hosts.find(name).map(|host| host.name.clone());
        let name_asked = known.unwrap_or_else(|| String::from_utf8_lossy(name).into_owned());
        let asked = Some(format!("{name_asked}.lonet"));
        let question = EventTexts { name: asked.clone(), ..EventTexts::default() };
        self.note_with_texts(Kind::NameAsked, sender.pid, host, |_| question);
        let found = self.resolve(kernel, sender, requester, (name, strict));
        self.note_with_texts(Kind::NameAnswered, sender.pid, host, |state| {
            let answer = match &found {
                Ok(named) => state.block.address(named.index).to_string(),
                Err((Errno::ENOENT, _)) => "none".into(),
                Err(_) => "fail".into(),
            };
            EventTexts { name: asked, answer: Some(answer), ..EventTexts::default() }
        });
        found.map(|named| Named { is_cacheable: false, ..named })
    }

    /// Notes the exit status of a process whose end is handled next, and the program that it executed at last, if known.
    pub fn ended_as(&mut self, pid: Pid, status: Option<Status>, program: Option<String>) {
        self.event_notes.statuses.insert(pid, status);
        if let (Some(process), Some(program)) = (self.processes.get_mut(&pid), program) {
            process.set_program(program);
        }
    }

    /// Makes the events of a process that has ended.
    pub(super) fn note_end(&mut self, pid: Pid, process: &Process) {
        let status = self.event_notes.statuses.remove(&pid).flatten();
        if process.is_lonets || !self.is_recorded() {
            return;
        }
        let texts = EventTexts { program: Some(process.program.clone()), status, ..EventTexts::default() };
        for host in &process.hosts {
            self.note_with_texts(Kind::Ended, pid, *host, |_| texts.clone());
        }
    }

    /// Whether a process that has ended while no lonetd served was lonet's own; until [`State::note_ends_unserved`].
    pub fn was_lonets(&self, pid: Pid) -> bool {
        self.event_notes.ended_lonets.contains(&pid)
    }

    /// Makes the events of the processes that have ended while no lonetd served, and lets those of their hosts be made.
    /// `is_noted`: whether the previous lonetd has made that of a process.
    pub fn note_ends_unserved(&mut self, is_noted: impl Fn(Pid) -> bool) {
        self.event_notes.ended_lonets.clear();
        for (pid, host) in std::mem::take(&mut self.event_notes.ended_unserved) {
            if self.hosts.get(host).is_some() {
                self.event_notes.up.insert(host);
                self.hosts.touch(host);
                if !is_noted(pid) {
                    self.note(Kind::Ended, pid, host, |_| {});
                }
            }
        }
    }

    /// Makes an event of a socket that the state decides about; of its connection, if it has one.
    pub(super) fn note_socket(&self, kind: Kind, cookie: Cookie) {
        self.note_of(kind, cookie, 0, None);
    }

    /// As [`State::note_socket`], of a dial whose source the kernel has chosen: this one.
    pub(super) fn note_dialed(&self, kind: Kind, cookie: Cookie, from: SocketAddrV4) {
        self.note_of(kind, cookie, 0, Some(from));
    }

    /// Makes the event of a dial that has failed.
    pub(super) fn note_failed(&self, cookie: Cookie, errno: i32) {
        self.note_of(Kind::of_failure(errno), cookie, errno, None);
    }

    fn note_of(&self, kind: Kind, cookie: Cookie, errno: i32, os_from: Option<SocketAddrV4>) {
        let Some(s) = self.sockets.get(&cookie).filter(|_| self.is_recorded()) else { return };
        self.note(kind, s.pid, s.host, |event| {
            (event.from, event.to) = match s.call {
                // The port that was dialed, even if the connection is accepted at another one.
                Some(call) => (Some(call.local), Some(Endpoint::new(call.peer.ip, call.dialed_port))),
                None => (None, s.at.map(|at| Endpoint::new(at.ip, s.port))),
            };
            (event.cookie, event.errno) = (cookie, errno as u16);
            event.os =
                s.call.map_or([None; 2], |call| [os_from.or(call.os_local).or(s.os), Some(call.os_remote)]);
        });
    }

    /// Makes the events of a dial without a listener, from the port that it would have had.
    pub(super) fn note_refused(
        &mut self,
        kernel: &mut dyn Kernel,
        pid: Pid,
        host: Index,
        dial: &Dial,
        autobind_from: u16,
    ) {
        if self.is_recorded() {
            let own = self.sockets.get(&dial.cookie).map(|s| s.port);
            let port = own.or_else(|| self.first_free(kernel, host, autobind_from).ok()).unwrap_or(0);
            self.note_failure(pid, (host, port), dial, libc::ECONNREFUSED);
        }
    }

    pub fn connection(&self, cookie: Cookie) -> Option<Connected> {
        let found = self.parts().find(cookie)?;
        let is_kept = found.state.phase == Phase::Kept;
        let kept = self.sockets.get(&cookie);
        if is_kept && kept.is_none() {
            return None;
        }
        let pid = kept.map_or_else(|| self.pid_of(found.state.slot), |s| s.pid);
        Connected::of(&found.entry, kept.map_or(found.entry.role, |s| s.role as u8), pid)
    }

    /// The connections that the previous lonetd knew, by the table that it has left, before they are restored: they may have ended
    /// since. Dials whose outcome is not in the table are none.
    pub fn connections_left(&self) -> Vec<(Cookie, Connected)> {
        let parts = self.parts();
        let is_made = |found: &Found| match found.state.phase {
            Phase::Server => true,
            Phase::Owned => found.state.is(MADE) || found.state.is(TAKEN),
            _ => matches!(found.entry.role, CONNECTED | entry::ACCEPTED),
        };
        let of = |found: Found| {
            let pid = match found.state.phase {
                Phase::Kept => parts.records.pid(found.reference),
                _ => self.pid_of(found.state.slot),
            };
            Some((found.cookie, Connected::of(&found.entry, found.entry.role, pid)?))
        };
        let wanted = |phase| matches!(phase, Phase::Owned | Phase::Server | Phase::Kept);
        self.entered_in(wanted).filter(is_made).filter_map(of).collect()
    }

    /// Whether the process has ended, as far as can be seen.
    pub fn may_have_ended(&self, pid: Pid) -> bool {
        match self.processes.get(&pid) {
            None => true,
            Some(process) => process.slot.is_some_and(|slot| self.parts().slots.owner_died(slot)),
        }
    }

    /// Makes the event of a socket whose close was not announced.
    pub fn note_closed(&self, cookie: Cookie, died: bool, numbers: Option<[u64; 2]>) {
        self.note(Kind::Closed, 0, 0, |event| {
            (event.cookie, event.number, event.numbers) = (cookie, died.into(), numbers);
        });
    }

    /// Makes the event of a dial that was in progress and has succeeded.
    pub fn note_made(
        &self,
        cookie: Cookie,
        pid: Pid,
        host: Index,
        ends: (Option<Endpoint>, Option<Endpoint>),
    ) {
        let call = self.parts().find(cookie).and_then(|found| found.entry.call);
        self.note(Kind::Connected, pid, host, |event| {
            (event.from, event.to) = ends;
            event.cookie = cookie;
            event.os = call.map_or([None; 2], |call| [call.os_local, Some(call.os_remote)]);
        });
    }

    /// Makes the event of a dial that was in progress and has failed: with ETIMEDOUT if a rule cuts the
    /// connection.
    pub fn note_unmade(&self, cookie: Cookie, (pid, host): (Pid, Index)) {
        let found = self.parts().find(cookie);
        let hosts = found.and_then(|f| Some((f.entry.host, f.entry.call?.peer_host)));
        let is_cut = hosts.is_some_and(|hosts| self.table.table().shut_between(hosts).1.is_any());
        let errno = if is_cut { libc::ETIMEDOUT } else { libc::ECONNREFUSED };
        self.note(Kind::of_failure(errno), pid, host, |event| {
            (event.cookie, event.errno) = (cookie, errno as u16);
        });
    }

    /// Makes the events of a dial that lonetd refuses.
    pub(super) fn note_failure(&self, pid: Pid, (host, port): (Index, u16), dial: &Dial, errno: i32) {
        let ip = match self.block.place(dial.to.ip) {
            Place::Host(..) => self.block.shown(host, Face::V4),
            _ => dial.to.ip,
        };
        let from = (host != 0).then(|| Endpoint::new(ip, port));
        for (kind, errno) in [(Kind::Dial, 0), (Kind::of_failure(errno), errno)] {
            self.note(kind, pid, host, |event| {
                (event.from, event.to) = (from, Some(dial.to));
                (event.cookie, event.errno) = (dial.cookie, errno as u16);
            });
        }
    }
}
