//! Finds out which close or end of a socket was the end of a connection, for the recorder.

use super::{Connection, Item, MAX_REMEMBERED, Recorder};
use crate::daemon::state::{Connected, Cookie, Pid, State};
use crate::trace::event::{By, Event, Kind};
use lonet_core::diag::End;
use lonet_core::sys::Traffic;
use lonet_core::table::events::{self, Kind as TableKind};
use std::collections::BTreeSet;
use std::time::Instant;

/// After how many ends, which may each be an event, events are read.
const TAKE_AFTER: usize = 1 << 12;

impl Recorder {
    pub(super) fn connection(&self, state: &State, event: &events::Event) -> Connection {
        let (pid, program) = self.who(state, event.pid);
        let dialed = event.kind != TableKind::Accepted;
        let (from, to) = (event.from, event.to);
        let is_outsiders = event.is_outsiders;
        Connection { pid, program, host: event.host, from, to, dialed, is_outsiders, was_reset: false }
    }

    /// A connection that is older than the recording, or than this lonetd, by its record.
    fn recorded_connection(&self, state: &State, known: Connected) -> Connection {
        let (pid, program) = self.who(state, known.pid);
        let (from, to) = known.ends;
        Connection {
            pid,
            program,
            host: known.host,
            from: Some(from),
            to: Some(to),
            dialed: known.has_dialed,
            is_outsiders: false,
            was_reset: false,
        }
    }

    fn connection_of(&self, state: &State, cookie: Cookie) -> Option<Connection> {
        let found = || state.connection(cookie).map(|known| self.recorded_connection(state, known));
        self.live.get(&cookie).or_else(|| self.dials.get(&cookie)).cloned().or_else(found)
    }

    /// Continues to follow the connections that the previous lonetd knew.
    pub fn follow(&mut self, state: &mut State, left: Vec<(Cookie, Connected)>) {
        for (cookie, known) in left {
            self.find_supervised(state, known.pid);
            let mut connection = self.recorded_connection(state, known);
            if state.was_lonets(known.pid) {
                // Its program is unknown, and no process of lonet's own has events.
                connection.pid = 0;
            }
            self.live.insert(cookie, connection);
        }
    }

    pub(super) fn closing(&mut self, state: &mut State, number: u64, event: &events::Event) -> Item {
        if self.found_ended.contains(&event.cookie) {
            return Item::Nothing;
        }
        let Some(c) = self.connection_of(state, event.cookie) else { return Item::Nothing };
        let event = events::Event { host: c.host, ..*event };
        let mut closed = self.translate(state, number, &event);
        closed.by = Some(By::Program);
        if let Some(numbers) = event.numbers {
            let traffic = Traffic::unpack(event.number, numbers);
            closed.received =
                Some(traffic.received - u64::from(traffic.is_done(c.dialed)).min(traffic.received));
        }
        (closed.from, closed.to) = self.ends(state, &c);
        self.live.entry(event.cookie).or_insert(c);
        self.closes.entry(event.cookie).or_default().push(number);
        Item::Close(event.cookie, Instant::now(), closed)
    }

    /// Handles the end of a socket whose close was not seen.
    pub(super) fn closed(&mut self, state: &mut State, number: u64, event: &events::Event) -> Item {
        let Some(c) = self.live.remove(&event.cookie) else { return Item::Nothing };
        let event = events::Event { host: c.host, pid: c.pid, ..*event };
        let mut closed = self.translate(state, number, &event);
        // The FIN of the other end is counted as a byte.
        if self.is_other_closed(&c) {
            closed.received = closed.received.map(|received| received.saturating_sub(1));
        }
        closed.by = Some(if event.number == 0 { By::Program } else { By::Death });
        (closed.from, closed.to) = self.ends(state, &c);
        // The process may supervise another program by now.
        closed.pid = (c.pid != 0).then_some(c.pid);
        closed.program = c.program.or(closed.program);
        Item::Complete(closed)
    }

    /// Whether the other end of a connection was closed before this one.
    fn is_other_closed(&mut self, c: &Connection) -> bool {
        let is_closed = self.half_closed.remove(&(c.ends(), !c.dialed));
        if !is_closed {
            // The other ends of outsiders' connections are never seen.
            if self.half_closed.len() > MAX_REMEMBERED {
                self.half_closed.clear();
            }
            self.half_closed.insert((c.ends(), c.dialed));
        }
        is_closed
    }

    /// Handles the kernel's announcement of a socket's end. All earlier events were read.
    pub fn destroyed(&mut self, state: &mut State, end: &End) {
        if !self.found_ended.remove(&end.cookie) {
            self.end(state, end);
        }
    }

    /// Finds the ends whose announcements were lost, of all connections that this lonetd knows. `find_gone`: those of these sockets,
    /// each with the process that made it, which nobody has any more.
    pub fn find_ends(
        &mut self,
        state: &mut State,
        find_gone: impl FnOnce(&State, Vec<(Cookie, Pid)>) -> BTreeSet<Cookie>,
    ) {
        self.take(state);
        // What was found before has been announced by now, or is not announced any more.
        self.found_ended.clear();
        let recorded = self.live.keys().chain(self.closes.keys()).chain(self.late.keys()).copied();
        let all: BTreeSet<Cookie> = recorded.chain(state.entered_connections()).collect();
        let made = |cookie| Some((cookie, self.connection_of(state, cookie)?.pid));
        let all: Vec<(Cookie, Pid)> = all.into_iter().filter_map(made).collect();
        for (n, cookie) in find_gone(state, all).into_iter().enumerate() {
            self.end(state, &End { cookie, traffic: None });
            self.found_ended.insert(cookie);
            // There may be more ends than the ring has room for.
            if n % TAKE_AFTER == TAKE_AFTER - 1 {
                self.take(state);
            }
        }
    }

    /// Whether the end of a process is among the events that are not output yet.
    pub fn awaits_end_of(&self, pid: Pid) -> bool {
        let is_its = |event: &Event| event.kind == Kind::Ended && event.pid == Some(pid);
        self.queue.values().any(|item| matches!(item, Item::Complete(event) if is_its(event)))
    }

    fn end(&mut self, state: &mut State, end: &End) {
        let cookie = end.cookie;
        // If more was sent since this close, another process had a copy, and its close was not seen.
        let is_last =
            |event: &Event| end.traffic.is_none_or(|t| event.sent.is_none_or(|sent| sent >= t.sent));
        let mut close = self.late.remove(&cookie).map(|(_, event)| event).filter(|event| is_last(event));
        let held = self.closes.remove(&cookie).unwrap_or_default();
        let is_held = !held.is_empty();
        for number in &held {
            let Some(item) = self.queue.get_mut(number) else { continue };
            if let Item::Close(_, _, event) = std::mem::replace(item, Item::Nothing) {
                close = Some(event).filter(|event| is_last(event));
            }
        }
        if let Some(event) = close {
            if let Some(c) = self.live.remove(&cookie) {
                self.is_other_closed(&c);
            }
            match is_held {
                true => _ = self.queue.insert(event.seq, Item::Complete(event)),
                false => self.put(&[*event]),
            }
        } else if let Some(dial) = self.dials.get(&cookie) {
            if self.under_way.contains(&cookie) {
                self.under_way.retain(|other| *other != cookie);
                state.note_unmade(cookie, (dial.pid, dial.host));
            }
        } else if let Some(c) = self.connection_of(state, cookie) {
            let died = !self.has_live_supervisor(state, c.pid) && state.may_have_ended(c.pid);
            self.live.insert(cookie, c);
            let numbers = end.traffic.map(|t| [t.sent, t.received]);
            state.note_closed(cookie, died, numbers);
        }
    }

    /// Checks dials that were in progress. `is_made`: whether a dial has succeeded; `None`: unknown yet.
    pub fn look_at_dials(&mut self, state: &mut State, is_made: impl Fn(&State, Cookie) -> Option<bool>) {
        let all = std::mem::take(&mut self.under_way);
        for cookie in all {
            let Some(dial) = self.dials.get(&cookie) else { continue };
            match is_made(state, cookie) {
                None => self.under_way.push(cookie),
                Some(true) => state.note_made(cookie, dial.pid, dial.host, (dial.from, dial.to)),
                Some(false) => state.note_unmade(cookie, (dial.pid, dial.host)),
            }
        }
    }
}
