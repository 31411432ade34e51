//! The recorder: takes events out of the table, adds what only lonetd knows, and writes them in the order of their numbers.
//!
//! Theory of operation: whoever makes an event has a number for it at once ([`lonet_core::table::events`]). The recorder takes
//! the numbers in order and puts what it finds into a queue; what stands at its front and is known in full is written. Two
//! things are waited for there. An event whose maker has its number and has not written it: until the maker has ended, or
//! [`COMES_WITHIN`]. And a close: of a socket several descriptors may be closed, in several processes, and the last of these
//! closes is the socket's. Which one it was the kernel tells, shortly afterwards ([`Recorder::destroyed`]); where somebody has the
//! socket still it was a copy that was closed. If the kernel tells of the end of the socket later, the last close
//! is written behind its turn: readers sort by number.
//!
//! A socket that ends without a close has ended with its process, or was closed where no hook sees it.
//!
//! Another lonetd takes up the number that was written last, and the ring. What the one before had written when it was killed,
//! before it could note the number, is not written again.
//!
//! What is written goes to the trace, if it is kept ([`kept`]), and to who watches. A trace that begins while somebody watches
//! has the events from then on, and one that ends meanwhile those until then: who reads it does not see that somebody watches.

mod ends;
pub mod file;
mod kept;
mod words;

use super::current_directory::CurrentDirectory;
use super::state::{Cookie, Pid, State};
use crate::trace::event::{Event, Kind};
use crate::trace::moment::Moment;
use kept::Kept;
pub use kept::line;
use lonet_core::block::{Endpoint, Place};
use lonet_core::sys::Traffic;
use lonet_core::table::Table;
use lonet_core::table::events::{self, Kind as Noted, Taken};
use lonet_core::table::state::NO_SLOT;
use lonet_core::table::word::Word;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

/// How long an event is waited for whose maker lives.
const COMES_WITHIN: Duration = Duration::from_secs(1);

/// How soon after a close the kernel is asked whether somebody has a copy of the descriptor, if it has not told of the end of the
/// socket by then.
const HELD: Duration = Duration::from_millis(50);

/// How long it may take to tell of the end of a socket that nobody has.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// So much is remembered of what may be heard of no more.
const MANY: usize = 1 << 16;

enum Item {
    Known(Box<Event>),
    /// A descriptor of this socket was closed.
    Held(Cookie, Instant, Box<Event>),
    Missing(Instant),
    Lost(u64),
    /// Nothing to write.
    Void,
}

/// An end of a connection.
#[derive(Clone)]
struct Connection {
    pid: Pid,
    program: Option<String>,
    host: u16,
    from: Option<Endpoint>,
    to: Option<Endpoint>,
    /// It is the end that has dialed.
    dialed: bool,
    /// Its dialer is no host.
    is_outsiders: bool,
    was_reset: bool,
}

impl Connection {
    fn ends(&self) -> Ends {
        (self.from, self.to)
    }
}

type Ends = (Option<Endpoint>, Option<Endpoint>);

pub struct Recorder {
    kept: Option<Kept>,
    /// The lines for who watches. `None`: nobody does.
    watched: Option<Vec<u8>>,
    table: Table<'static>,
    /// The number to be taken next.
    next: u64,
    queue: BTreeMap<u64, Item>,
    missing: Vec<u64>,
    /// Connections that were made since the recording began.
    live: HashMap<Cookie, Connection>,
    /// Dials that are not known to have succeeded or failed.
    open: HashMap<Cookie, Connection>,
    /// Those of them whose connect has returned.
    under_way: Vec<Cookie>,
    /// The closes in the queue of each socket.
    held: HashMap<Cookie, Vec<u64>>,
    /// The last close of a socket that the kernel has not told of.
    late: HashMap<Cookie, (u64, Box<Event>)>,
    /// What processes are that have ended, or stand for others.
    programs: HashMap<Pid, (Pid, String)>,
    /// Processes that stand for themselves.
    met: HashSet<Pid>,
    /// The ends of connections that were closed before the other one was; `true`: the dialer's.
    closed: HashSet<(Ends, bool)>,
}

impl Recorder {
    /// Begins with the events from now on. Nothing is written so far.
    pub fn begin(table: Table<'static>) -> Recorder {
        table.header().events_taken.set(table.ring().last());
        Recorder::new(None, table)
    }

    /// Goes on where a lonetd before has left off. `keeps`: the trace is written on.
    pub fn resume(
        directory: &CurrentDirectory,
        network: &str,
        table: Table<'static>,
        keeps: bool,
    ) -> io::Result<Recorder> {
        let kept = if keeps {
            Some(Kept::resume(directory, network, table.header().events_taken.get())?)
        } else {
            None
        };
        Ok(Recorder::new(kept, table))
    }

    fn new(kept: Option<Kept>, table: Table<'static>) -> Recorder {
        Recorder {
            kept,
            watched: None,
            table,
            next: table.header().events_taken.get() + 1,
            queue: BTreeMap::new(),
            missing: Vec::new(),
            live: HashMap::new(),
            open: HashMap::new(),
            under_way: Vec::new(),
            held: HashMap::new(),
            late: HashMap::new(),
            programs: HashMap::new(),
            met: HashSet::new(),
            closed: HashSet::new(),
        }
    }

    /// All events up to this number have been written.
    pub fn has_written(&self, number: u64) -> bool {
        self.table.header().events_taken.get() >= number
    }

    /// Connections are believed to be there whose processes have ended.
    pub fn has_left(&self, state: &State) -> bool {
        self.live.values().any(|c| !state.processes.contains_key(&c.pid) && !self.stands(state, c.pid))
    }

    /// Takes what there is.
    pub fn take(&mut self, state: &mut State) {
        let ring = self.table.ring();
        let last = ring.last();
        for number in std::mem::take(&mut self.missing) {
            self.take_one(state, number);
        }
        let oldest = (last + 1).saturating_sub(ring.room());
        if self.next < oldest {
            self.queue.insert(self.next, Item::Lost(oldest - self.next));
            self.next = oldest;
        }
        while self.next <= last {
            self.take_one(state, self.next);
            self.next += 1;
        }
    }

    fn take_one(&mut self, state: &mut State, number: u64) {
        let ring = self.table.ring();
        let mut taken = ring.take(number);
        if let Taken::NotYet(slot) = taken {
            let since = match self.queue.get(&number) {
                Some(Item::Missing(since)) => *since,
                _ => Instant::now(),
            };
            let is_late = since.elapsed() >= COMES_WITHIN;
            let may_leave = match slot {
                // Lonetd's before, or that of a process without a slot.
                Some(NO_SLOT) | None => is_late,
                Some(slot) => state.parts().slots.owner(slot).is_none(),
            };
            if may_leave && ring.skip(number) {
                taken = Taken::Lost;
            } else if is_late {
                // It has come just then; or its place is held by a process that stands still, maybe rounds ago.
                taken = ring.take(number);
            } else {
                self.missing.push(number);
                self.queue.insert(number, Item::Missing(since));
                return;
            }
        }
        let item = match taken {
            Taken::Event(words) => match events::Event::unpack(&words, state.block) {
                Some(event) => self.item(state, number, &event),
                None => Item::Void,
            },
            Taken::Lost | Taken::NotYet(_) => Item::Lost(1),
        };
        self.queue.insert(number, item);
    }

    fn item(&mut self, state: &mut State, number: u64, event: &events::Event) -> Item {
        let cookie = event.cookie;
        match event.kind {
            // One that the process began and lonetd had to decide.
            Noted::Dial if self.open.contains_key(&cookie) => return Item::Void,
            Noted::Dial => {
                self.open.insert(cookie, self.connection(state, event));
                if let Some(Place::Host(to, _)) = event.to.map(|to| state.block.place(to.ip)) {
                    let port = event.to.map_or(0, |to| to.port);
                    state.note_hits(event.pid, (event.host, to), port);
                }
            }
            Noted::Connected | Noted::Accepted => {
                self.open.remove(&cookie);
                let made = self.connection(state, event);
                self.closed.remove(&(made.ends(), !made.dialed));
                self.live.insert(cookie, made);
            }
            Noted::Refused | Noted::Unreachable | Noted::TimedOut => {
                let dial = self.open.remove(&cookie);
                if let Some(dial) = dial {
                    let event = events::Event { from: dial.from, to: dial.to, ..*event };
                    return Item::Known(self.words(state, number, &event));
                }
            }
            Noted::Reset if event.from.is_none() => {
                let traffic = Traffic::unpack(event.number, [0; 2]);
                let is_new = |c: &&mut Connection| !c.was_reset && traffic.was_cut_off(c.dialed);
                let Some(c) = self.live.get_mut(&cookie).filter(is_new) else { return Item::Void };
                c.was_reset = true;
                let event = events::Event { from: c.from, to: c.to, host: c.host, ..*event };
                return Item::Known(self.words(state, number, &event));
            }
            Noted::Reset => _ = self.open.remove(&cookie),
            Noted::UnderWay => {
                if self.open.contains_key(&cookie) {
                    self.under_way.push(cookie);
                }
                return Item::Void;
            }
            Noted::Closing => return self.closing(state, number, event),
            Noted::Closed => return self.closed(state, number, event),
            _ => {}
        }
        Item::Known(self.words(state, number, event))
    }

    /// Writes what is known in full. `is_held`: whether some process has a socket.
    pub fn write(&mut self, is_held: impl Fn(Cookie) -> bool) {
        let mut events = Vec::new();
        let mut written = None;
        while let Some(entry) = self.queue.first_entry() {
            let number = *entry.key();
            match entry.get() {
                Item::Missing(_) => break,
                Item::Held(cookie, since, _) => {
                    let waited = since.elapsed();
                    if waited < HELD || waited < ENDS_WITHIN && !is_held(*cookie) {
                        break;
                    }
                }
                _ => {}
            }
            written = Some(number);
            match entry.remove() {
                Item::Known(event) => events.push(*event),
                Item::Held(cookie, _, event) => {
                    if let Some(numbers) = self.held.get_mut(&cookie) {
                        numbers.retain(|other| *other != number);
                        if numbers.is_empty() {
                            self.held.remove(&cookie);
                        }
                    }
                    self.late.insert(cookie, (number, event));
                }
                Item::Lost(n) => {
                    written = Some(number + n - 1);
                    events.push(lost(number + n - 1, n));
                }
                Item::Void | Item::Missing(_) => {}
            }
        }
        self.put(&events);
        if let Some(written) = written {
            if let Some(kept) = &mut self.kept {
                kept.is_noted(written);
            }
            self.table.header().events_taken.set(written);
        }
    }

    fn put(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        if let Some(kept) = &mut self.kept {
            kept.put(events);
        }
        if let Some(watched) = &mut self.watched {
            events.iter().for_each(|event| line(watched, event));
        }
    }

    /// Writes all that is there: nothing more comes. Of each socket the last close is the socket's.
    pub fn finish(&mut self) {
        let mut events = Vec::new();
        let mut closes: HashMap<Cookie, (u64, Box<Event>)> = std::mem::take(&mut self.late);
        for (number, item) in std::mem::take(&mut self.queue) {
            match item {
                Item::Known(event) => events.push(*event),
                Item::Held(cookie, _, event) => _ = closes.insert(cookie, (number, event)),
                Item::Missing(_) => events.push(lost(number, 1)),
                Item::Lost(n) => events.push(lost(number + n - 1, n)),
                Item::Void => {}
            }
        }
        events.extend(closes.into_values().map(|(_, event)| *event));
        events.sort_by_key(|event| event.seq);
        self.held.clear();
        self.put(&events);
    }

    /// Something waits to be written.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }
}

/// Says in place of events that they are missing.
pub fn lost(number: u64, count: u64) -> Event {
    Event { count: Some(count), ..Event::new(number, Moment::now(), Kind::Lost) }
}
