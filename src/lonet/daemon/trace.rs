//! The recorder: reads events from the table, adds what only lonetd knows, and outputs them in the order of their numbers.
//!
//! Theory of operation: the process that makes an event gets a number for it at once ([`lonet_core::table::events`]). The
//! recorder reads the events in the order of numbers and queues them. An event at the front of the queue is output as soon as
//! it is complete. Two kinds of events are waited for. One whose process has the number and has not written the event: until
//! the process has ended, or for [`MISSING_FOR`]. And a close: several descriptors of a socket may be closed, in several
//! processes, and only the last of these closes is the socket's. The kernel announces the end of the socket shortly after it
//! ([`Recorder::destroyed`]); if some process still has the socket, the descriptor that was closed was a copy. If the
//! announcement comes later than that, the last close is output out of order: readers sort by number.
//!
//! A socket that ends without a close has ended with its process, or was closed where no hook sees it.
//!
//! Where announcements are lost, as lonetd did not read them in time or none served, the kernel is asked about each connection
//! ([`Recorder::find_ends`]), and, as it does not show sockets that were reset, the processes that may have them.
//!
//! The next lonetd continues with the ring, after the last number that is noted in the table as output, and with the connections
//! that the table has ([`Recorder::follow`]). Events that the killed one had written to the trace before it noted their number are
//! not written again.
//!
//! The outputs are the trace, if one is written ([`output`]), and watchers. A trace has the events between its start and its
//! stop, whether somebody watches or not.

mod ends;
pub mod file;
mod output;
mod translate;

use super::current_directory::CurrentDirectory;
use super::state::{Cookie, Pid, State};
use crate::trace::event::{Event, Kind};
use crate::trace::moment::Moment;
use lonet_core::block::{Endpoint, Place};
use lonet_core::sys::Traffic;
use lonet_core::table::Table;
use lonet_core::table::events::{self, Kind as TableKind, Taken};
use lonet_core::table::state::NO_SLOT;
use lonet_core::table::word::Word;
use output::TraceOutput;
pub use output::line;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

/// How long an event is waited for whose process lives.
const MISSING_FOR: Duration = Duration::from_secs(1);

/// How soon after a close the kernel is asked whether some process has the socket, unless it has announced the socket's end.
const CHECK_AFTER: Duration = Duration::from_millis(50);

/// How long the announcement of the end of a socket that no process has may take.
pub const ANNOUNCED_WITHIN: Duration = Duration::from_secs(5);

/// How long the announcement is awaited while the kernel still has the socket, until the other end is closed, too.
pub const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// The largest number of entries about ended processes and half-closed connections: some are never needed again.
const MAX_REMEMBERED: usize = 1 << 16;

/// An entry of the queue.
enum Item {
    /// Ready for output.
    Complete(Box<Event>),
    /// A close of a descriptor of this socket, and when it was read. It may be the socket's last one.
    Close(Cookie, Instant, Box<Event>),
    /// Not written yet by its process, since this time.
    Missing(Instant),
    /// This many events are lost.
    Lost(u64),
    /// Nothing to output.
    Nothing,
}

/// An end of a connection.
#[derive(Clone)]
struct Connection {
    pid: Pid,
    program: Option<String>,
    host: u16,
    from: Option<Endpoint>,
    to: Option<Endpoint>,
    /// Whether this end has dialed.
    dialed: bool,
    /// Whether the dialer is no host.
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
    /// The trace. `None`: none is written.
    output: Option<TraceOutput>,
    /// Lines for the watchers. `None`: there are none.
    watched: Option<Vec<u8>>,
    table: Table<'static>,
    /// The number to be read next.
    next: u64,
    queue: BTreeMap<u64, Item>,
    /// The numbers of [`Item::Missing`].
    missing: Vec<u64>,
    /// Connections made since the recording began, and those that the previous lonetd has left.
    live: HashMap<Cookie, Connection>,
    /// Dials whose outcome is unknown.
    dials: HashMap<Cookie, Connection>,
    /// Those of them whose connect has returned.
    under_way: Vec<Cookie>,
    /// The numbers of the closes in the queue, by socket.
    closes: HashMap<Cookie, Vec<u64>>,
    /// The last close of each socket whose end was not announced in time.
    late: HashMap<Cookie, (u64, Box<Event>)>,
    /// The programs of processes that have ended.
    ended: HashMap<Pid, String>,
    /// The programs that lonet's own processes supervise, with their names, by the pids of these.
    supervised: HashMap<Pid, (Pid, String)>,
    /// The processes of lonet's own that were looked at since events were last read: what their programs execute only the kernel
    /// tells.
    looked_at: HashSet<Pid>,
    /// The ends of half-closed connections that were closed; `true`: the dialer's.
    half_closed: HashSet<(Ends, bool)>,
    /// Sockets whose ends were found by the last [`Recorder::find_ends`], and may be announced yet.
    found_ended: HashSet<Cookie>,
}

impl Recorder {
    /// Begins with the events from now on, without an output.
    pub fn begin(table: Table<'static>) -> Recorder {
        table.header().events_taken.set(table.ring().last());
        Recorder::new(None, table)
    }

    /// Continues the previous lonetd's recording. `has_trace`: it has written a trace, which is continued.
    pub fn resume(
        directory: &CurrentDirectory,
        network: &str,
        table: Table<'static>,
        has_trace: bool,
    ) -> io::Result<Recorder> {
        let output = if has_trace {
            Some(TraceOutput::resume(directory, network, table.header().events_taken.get())?)
        } else {
            None
        };
        Ok(Recorder::new(output, table))
    }

    fn new(output: Option<TraceOutput>, table: Table<'static>) -> Recorder {
        Recorder {
            output,
            watched: None,
            table,
            next: table.header().events_taken.get() + 1,
            queue: BTreeMap::new(),
            missing: Vec::new(),
            live: HashMap::new(),
            dials: HashMap::new(),
            under_way: Vec::new(),
            closes: HashMap::new(),
            late: HashMap::new(),
            ended: HashMap::new(),
            supervised: HashMap::new(),
            looked_at: HashSet::new(),
            half_closed: HashSet::new(),
            found_ended: HashSet::new(),
        }
    }

    /// Whether all events up to this number were output.
    pub fn has_written(&self, number: u64) -> bool {
        self.table.header().events_taken.get() >= number
    }

    /// How long connections whose processes have ended may be awaited that were not announced as ended yet.
    /// `has_ended`: whether a process has, though lonetd has not dealt with its end. `within`: how long a socket is; `None`:
    /// some process has it.
    pub fn awaits_ends(
        &self,
        state: &State,
        has_ended: impl Fn(Pid) -> bool,
        within: impl Fn(Cookie) -> Option<Duration>,
    ) -> Duration {
        let pids: HashSet<Pid> = self.live.values().map(|c| c.pid).collect();
        let is_over = |pid: &Pid| !state.processes.contains_key(pid) || has_ended(*pid);
        let over: HashSet<Pid> =
            pids.into_iter().filter(|pid| is_over(pid) && !self.has_live_supervisor(state, *pid)).collect();
        let live = self.live.iter().filter(|(_, c)| over.contains(&c.pid));
        live.filter_map(|(cookie, _)| within(*cookie)).max().unwrap_or_default()
    }

    /// Reads the events that were made since the last call.
    pub fn take(&mut self, state: &mut State) {
        let ring = self.table.ring();
        let last = ring.last();
        self.looked_at.clear();
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
            let is_late = since.elapsed() >= MISSING_FOR;
            let may_skip = match slot {
                // Of the previous lonetd, or of a process without a slot.
                Some(NO_SLOT) | None => is_late,
                Some(slot) => state.parts().slots.owner(slot).is_none(),
            };
            if may_skip && ring.skip(number) {
                taken = Taken::Lost;
            } else if is_late {
                // It was written just then; or a stopped process has had its place in the ring since an earlier round.
                taken = ring.take(number);
            } else {
                self.missing.push(number);
                self.queue.insert(number, Item::Missing(since));
                return;
            }
        }
        let item = match taken {
            Taken::Event(words) => match events::Event::unpack(&words, state.block) {
                Some(event) => self.interpret(state, number, &event),
                None => Item::Nothing,
            },
            Taken::Lost | Taken::NotYet(_) => Item::Lost(1),
        };
        self.queue.insert(number, item);
    }

    fn interpret(&mut self, state: &mut State, number: u64, event: &events::Event) -> Item {
        let cookie = event.cookie;
        self.find_supervised(state, event.pid);
        match event.kind {
            // The process has recorded it before it asked lonetd.
            TableKind::Dial if self.dials.contains_key(&cookie) => return Item::Nothing,
            TableKind::Dial => {
                self.dials.insert(cookie, self.connection(state, event));
                if let Some(Place::Host(to, _)) = event.to.map(|to| state.block.place(to.ip)) {
                    let port = event.to.map_or(0, |to| to.port);
                    state.note_hits(event.pid, (event.host, to), port);
                }
            }
            TableKind::Connected | TableKind::Accepted => {
                self.dials.remove(&cookie);
                let made = self.connection(state, event);
                self.half_closed.remove(&(made.ends(), !made.dialed));
                self.live.insert(cookie, made);
            }
            TableKind::Refused | TableKind::Unreachable | TableKind::TimedOut => {
                let dial = self.dials.remove(&cookie);
                if let Some(dial) = dial {
                    let event = events::Event { from: dial.from, to: dial.to, ..*event };
                    return Item::Complete(self.translate(state, number, &event));
                }
            }
            TableKind::Reset if event.from.is_none() => {
                let traffic = Traffic::unpack(event.number, [0; 2]);
                let is_new = |c: &&mut Connection| !c.was_reset && traffic.was_cut_off(c.dialed);
                let Some(c) = self.live.get_mut(&cookie).filter(is_new) else { return Item::Nothing };
                c.was_reset = true;
                let event = events::Event { from: c.from, to: c.to, host: c.host, ..*event };
                return Item::Complete(self.translate(state, number, &event));
            }
            TableKind::Reset => _ = self.dials.remove(&cookie),
            TableKind::UnderWay => {
                if self.dials.contains_key(&cookie) {
                    self.under_way.push(cookie);
                }
                return Item::Nothing;
            }
            TableKind::Closing => return self.closing(state, number, event),
            TableKind::Closed => return self.closed(state, number, event),
            _ => {}
        }
        Item::Complete(self.translate(state, number, event))
    }

    /// Outputs complete events. `is_held`: whether some process has a socket.
    pub fn write(&mut self, is_held: impl Fn(Cookie) -> bool) {
        let mut events = Vec::new();
        let mut last = None;
        while let Some(entry) = self.queue.first_entry() {
            let number = *entry.key();
            match entry.get() {
                Item::Missing(_) => break,
                Item::Close(cookie, since, _) => {
                    let waited = since.elapsed();
                    if waited < CHECK_AFTER || waited < ANNOUNCED_WITHIN && !is_held(*cookie) {
                        break;
                    }
                }
                _ => {}
            }
            last = Some(number);
            match entry.remove() {
                Item::Complete(event) => events.push(*event),
                Item::Close(cookie, _, event) => {
                    if let Some(numbers) = self.closes.get_mut(&cookie) {
                        numbers.retain(|other| *other != number);
                        if numbers.is_empty() {
                            self.closes.remove(&cookie);
                        }
                    }
                    self.late.insert(cookie, (number, event));
                }
                Item::Lost(n) => {
                    last = Some(number + n - 1);
                    events.push(lost(number + n - 1, n));
                }
                Item::Nothing | Item::Missing(_) => {}
            }
        }
        self.put(&events);
        if let Some(last) = last {
            if let Some(output) = &mut self.output {
                output.number_is_noted(last);
            }
            self.table.header().events_taken.set(last);
        }
    }

    /// Writes events to the trace and to the watchers' lines.
    fn put(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        if let Some(output) = &mut self.output {
            output.put(events);
        }
        if let Some(watched) = &mut self.watched {
            events.iter().for_each(|event| line(watched, event));
        }
    }

    /// Outputs the whole queue when no more events come. Each socket's last close counts as its end.
    pub fn finish(&mut self) {
        let mut events = Vec::new();
        let mut closes: HashMap<Cookie, (u64, Box<Event>)> = std::mem::take(&mut self.late);
        for (number, item) in std::mem::take(&mut self.queue) {
            match item {
                Item::Complete(event) => events.push(*event),
                Item::Close(cookie, _, event) => _ = closes.insert(cookie, (number, event)),
                Item::Missing(_) => events.push(lost(number, 1)),
                Item::Lost(n) => events.push(lost(number + n - 1, n)),
                Item::Nothing => {}
            }
        }
        events.extend(closes.into_values().map(|(_, event)| *event));
        events.sort_by_key(|event| event.seq);
        self.closes.clear();
        self.put(&events);
    }

    /// Whether events wait for output.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }
}

/// An event that stands for lost ones: their number, and the number of the last one.
pub fn lost(number: u64, count: u64) -> Event {
    Event { count: Some(count), ..Event::new(number, Moment::now(), Kind::Lost) }
}
