//! Recordings: the clients that want events to be recorded or to watch them, and when the recorder runs.

use super::connections::has_hung_up;
use super::recorded_sockets::{announced_within, gone, is_held, is_made};
use super::watcher::Watcher;
use super::{CONNECTION, Daemon, event};
use crate::daemon::process::has_ended;
use crate::daemon::state::{Connected, Cookie};
use crate::daemon::trace::Recorder;
use crate::trace::recorded::Recorded;
use lonet_core::control::{Reply, Trace};
use lonet_core::diag::End;
use lonet_core::directory::Directory;
use lonet_core::table::word::Word;
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the recorder reads events: it is not woken for them.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long the holders and watchers of the previous lonetd's recording may take to connect to this one.
const RECONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Bits of the table's word `recording`: started until it is stopped, held by a client, watched by a client.
const STARTED: u64 = 1;
const HELD: u64 = 2;
const WATCHED: u64 = 4;
/// For these a trace is written.
const WRITES_TRACE: u64 = STARTED | HELD;

/// The most bytes that are stored for the previous lonetd's watchers.
const MAX_UNCLAIMED: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Tracing {
    recorder: Option<Recorder>,
    holders: Vec<OwnedFd>,
    waiters: Vec<Waiter>,
    readers: Vec<Reader>,
    watchers: Vec<Watcher>,
    /// The time until which holders and watchers of the previous lonetd are waited for.
    held_until: Option<Instant>,
    /// The lines for these watchers.
    unclaimed: Vec<u8>,
    /// The time when the recorder runs next.
    at: Option<Instant>,
}

/// The beginning of a trace's first line.
const HEADER: &str = "{\"lonet_trace\"";

/// A client that is sent each event of the trace.
struct Reader {
    fd: OwnedFd,
    recorded: Recorded,
    /// The line that was read last, if there was no room to send it.
    line: Option<String>,
}

/// The most lines that are sent to a reader before other work.
const MAX_LINES: usize = 1 << 12;

/// The outcome of sending to a reader.
#[derive(PartialEq, Eq)]
enum Sent {
    /// All lines were sent, or as many as there was room for.
    All,
    /// There are more lines.
    Part,
    /// The client reads no more, or the trace cannot be read.
    Ended,
}

impl Reader {
    /// `None`: the trace cannot be read.
    fn new(directory: Directory, fd: &OwnedFd, all: bool) -> Option<Reader> {
        let mut recorded = Recorded::open(directory).ok()??;
        if !all {
            recorded.go_to_the_end().ok()?;
        }
        Some(Reader { fd: fd.try_clone().ok()?, recorded, line: None })
    }

    /// Sends what can be sent without waiting.
    fn send_lines(&mut self) -> Sent {
        for _ in 0..MAX_LINES {
            let line = match self.line.take().map_or_else(|| self.recorded.next(), |line| Ok(Some(line))) {
                Ok(Some(line)) => line,
                Ok(None) => return Sent::All,
                Err(_) => return Sent::Ended,
            };
            // The header is no event.
            if line.starts_with(HEADER) {
                continue;
            }
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match socket::send(self.fd.as_raw_fd(), line.as_bytes(), flags) {
                Ok(_) => {}
                Err(Errno::EAGAIN) => {
                    self.line = Some(line);
                    return Sent::All;
                }
                Err(_) => return Sent::Ended,
            }
        }
        Sent::Part
    }
}

/// A client that waits until all earlier events are output.
struct Waiter {
    fd: OwnedFd,
    since: Instant,
    /// The number of the last one. `None`: the kernel may still announce earlier ends of sockets.
    last: Option<u64>,
}

impl Daemon {
    fn recording(&self) -> u64 {
        self.store.table().header().recording.get()
    }

    pub(super) fn is_recording(&self) -> bool {
        self.tracing.recorder.is_some()
    }

    /// Whether a recording keeps the network up: one that is only watched does not.
    pub(super) fn recording_keeps_network(&self) -> bool {
        self.is_recording() && self.recording() != WATCHED
    }

    /// The time when the recorder runs next.
    pub(super) fn next_recording(&self) -> Option<Instant> {
        self.tracing.at
    }

    /// Continues the previous lonetd's recording. `left`: the connections that it knew.
    pub(super) fn resume_recording(&mut self, left: Vec<(Cookie, Connected)>) {
        let recording = self.recording();
        if recording == 0 {
            return;
        }
        let has_trace = recording & WRITES_TRACE != 0;
        let recorder = Recorder::resume(&self.directory, &self.config.network, self.store.table(), has_trace);
        match recorder {
            Ok(mut recorder) => {
                recorder.collect_lines(recording & WATCHED != 0);
                recorder.follow(&mut self.state, left);
                self.tracing.recorder = Some(recorder);
                self.state.recording_begins();
                // Nothing has announced the ends from while no lonetd served.
                self.record_lost_ends();
                if let Some(recorder) = &self.tracing.recorder {
                    self.state.note_ends_unserved(|pid| recorder.awaits_end_of(pid));
                }
                let held = recording & (HELD | WATCHED) != 0;
                self.tracing.held_until = held.then(|| Instant::now() + RECONNECT_WITHIN);
                self.tracing.at = Some(Instant::now());
            }
            Err(e) => {
                tracing::error!("the trace cannot be written any more: {e}");
                self.store.table().header().recording.set(0);
            }
        }
    }

    pub(super) fn trace(&mut self, fd: OwnedFd, what: Trace, is_owner: bool) {
        if !is_owner {
            let text = "events are for the network's owner to record";
            self.reply(&fd, &Reply::Error { errno: libc::EACCES, text });
            return self.connections.closer.close(fd);
        }
        let header = self.store.table().header();
        match what {
            Trace::Start | Trace::Hold | Trace::Read | Trace::ReadAll => {
                if let Err(e) = self.begin_trace() {
                    let text = format!("the trace cannot be written: {e}");
                    self.reply(
                        &fd,
                        &Reply::Error { errno: e.raw_os_error().unwrap_or(libc::EIO), text: &text },
                    );
                    return self.connections.closer.close(fd);
                }
                header.recording.set_bits(if what == Trace::Start { STARTED } else { HELD });
                self.commit();
                self.reply(&fd, &Reply::Done);
                if what == Trace::Start {
                    return self.connections.closer.close(fd);
                }
                let _ = self.epoll.add(&fd, event(CONNECTION));
                if what != Trace::Hold {
                    self.record();
                    let place = self.place.open(self.membership.owner).ok();
                    let reader = place.and_then(|here| Reader::new(here, &fd, what == Trace::ReadAll));
                    let Some(reader) = reader else { return self.connections.closer.close(fd) };
                    self.tracing.readers.push(reader);
                }
                self.tracing.holders.push(fd);
            }
            Trace::Watch => {
                self.begin_recording().collect_lines(true);
                header.recording.set_bits(WATCHED);
                self.commit();
                self.reply(&fd, &Reply::Done);
                let _ = self.epoll.add(&fd, event(CONNECTION));
                let mut watcher = Watcher::new(fd);
                if watcher.send(&std::mem::take(&mut self.tracing.unclaimed)) {
                    self.tracing.watchers.push(watcher);
                }
            }
            Trace::Stop | Trace::Write => {
                if what == Trace::Stop {
                    header.recording.clear_bits(STARTED);
                    self.stop_unwanted_trace();
                }
                self.tracing.waiters.push(Waiter { fd, since: Instant::now(), last: None });
                self.record();
            }
        }
    }

    /// Begins a recording if there is none.
    fn begin_recording(&mut self) -> &mut Recorder {
        if !self.is_recording() {
            self.tracing.at = Some(Instant::now());
            self.state.recording_begins();
        }
        self.tracing.recorder.get_or_insert_with(|| Recorder::begin(self.store.table()))
    }

    /// Begins a trace if none is written.
    fn begin_trace(&mut self) -> io::Result<()> {
        if self.tracing.recorder.as_ref().is_some_and(Recorder::writes_trace) {
            return Ok(());
        }
        if self.is_recording() {
            // Somebody watches. The trace is to begin as if it were a new recording.
            self.state.note_hosts();
            self.state.recording_begins();
        }
        let (directory, network) = (self.directory.clone(), self.config.network.clone());
        let begun = self.begin_recording().begin_trace(&directory, &network);
        if begun.is_err() && self.recording() == 0 {
            self.tracing.recorder = None;
            self.tracing.at = None;
        }
        begun
    }

    /// Reads and outputs events, and replies to clients that wait for that.
    pub(super) fn record(&mut self) {
        let Some(mut recorder) = self.tracing.recorder.take() else {
            return self.tracing.waiters.drain(..).for_each(|waiter| {
                super::messages::reply(self.state.block, &waiter.fd, &Reply::Done);
            });
        };
        self.state.note_hosts();
        recorder.take(&mut self.state);
        let kernel = &self.kernel;
        recorder.look_at_dials(&mut self.state, |state, cookie| is_made(state, kernel, cookie));
        recorder.write(|cookie| is_held(&self.state, kernel, cookie));
        let lines = recorder.take_lines();
        let mut has_more = false;
        self.tracing.readers.retain_mut(|reader| {
            let sent = reader.send_lines();
            has_more |= sent == Sent::Part;
            sent != Sent::Ended
        });
        self.tracing.watchers.retain_mut(|watcher| watcher.send(&lines));
        if self.tracing.held_until.is_some() && self.tracing.unclaimed.len() + lines.len() < MAX_UNCLAIMED {
            self.tracing.unclaimed.extend_from_slice(&lines);
        }
        if !self.tracing.waiters.is_empty() {
            let has_ended = |pid| self.processes.get(pid).is_some_and(has_ended);
            let within = |cookie| announced_within(&self.state, kernel, cookie);
            let within = recorder.awaits_ends(&self.state, has_ended, within);
            let last = self.store.table().ring().last();
            let done =
                self.tracing.waiters.iter_mut().filter(|w| w.last.is_none() && w.since.elapsed() >= within);
            done.for_each(|waiter| waiter.last = Some(last));
        }
        let is_done = |w: &mut Waiter| w.last.is_some_and(|last| recorder.has_written(last));
        let done: Vec<Waiter> = self.tracing.waiters.extract_if(.., is_done).collect();
        done.iter().for_each(|waiter| _ = self.reply(&waiter.fd, &Reply::Done));
        self.tracing.recorder = Some(recorder);
        self.tracing.at = Some(Instant::now() + if has_more { Duration::ZERO } else { INTERVAL });
    }

    /// Runs the recorder if it is due, and ends a recording that nobody wants any more.
    pub(super) fn run_recorder(&mut self, now: Instant) {
        if !self.is_recording() {
            return;
        }
        let before = self.tracing.holders.len();
        self.tracing.holders.retain(|fd| !has_hung_up(fd));
        self.tracing.readers.retain(|reader| !has_hung_up(&reader.fd));
        self.tracing.watchers.retain(|watcher| !has_hung_up(&watcher.fd));
        self.tracing.held_until = self.tracing.held_until.filter(|until| now < *until);
        if self.tracing.held_until.is_none() {
            self.tracing.unclaimed = Vec::new();
            let unheld = if self.tracing.holders.is_empty() { HELD } else { 0 };
            let unwatched = if self.tracing.watchers.is_empty() { WATCHED } else { 0 };
            if self.recording() & (unheld | unwatched) != 0 {
                self.store.table().header().recording.clear_bits(unheld | unwatched);
            }
        }
        self.stop_unwanted_trace();
        if self.tracing.at.is_none_or(|at| now >= at) || before > self.tracing.holders.len() {
            self.record();
        }
        let is_done = self.tracing.recorder.as_ref().is_none_or(|recorder| !recorder.is_waiting());
        if self.recording() == 0 && is_done && self.tracing.waiters.is_empty() {
            self.tracing.recorder = None;
            self.tracing.at = None;
        }
    }

    /// Stops the trace if only watchers are left. If nobody is left no more events are made, and all of them are output.
    fn stop_unwanted_trace(&mut self) {
        let recording = self.recording();
        let Some(recorder) = &mut self.tracing.recorder else { return };
        recorder.collect_lines(recording & WATCHED != 0);
        if recording & WRITES_TRACE == 0 && recording != 0 {
            recorder.stop_trace();
        }
    }

    /// Reads the events so far, before what they say of processes changes.
    pub(super) fn read_events(&mut self) {
        if let Some(recorder) = &mut self.tracing.recorder {
            recorder.take(&mut self.state);
        }
    }

    /// Passes the kernel's announcements of ended sockets to the recorder.
    pub(super) fn record_ends(&mut self, ends: &[End]) {
        self.read_events();
        let Some(mut recorder) = self.tracing.recorder.take() else { return };
        ends.iter().for_each(|end| recorder.destroyed(&mut self.state, end));
        self.tracing.recorder = Some(recorder);
    }

    /// Has the recorder look for ends of sockets whose announcements were lost.
    pub(super) fn record_lost_ends(&mut self) {
        let Some(mut recorder) = self.tracing.recorder.take() else { return };
        let (kernel, owner) = (&mut self.kernel, &self.owner);
        recorder.find_ends(&mut self.state, |state, made| gone(state, kernel, owner, made));
        self.tracing.recorder = Some(recorder);
    }

    /// Outputs the last events when the network ends.
    pub(super) fn end_recording(&mut self) {
        let until = Instant::now() + INTERVAL * 20;
        while self.is_recording() && Instant::now() < until {
            self.handle_socket_ends();
            self.record();
            if self.tracing.recorder.as_ref().is_none_or(|recorder| !recorder.is_waiting()) {
                break;
            }
            std::thread::sleep(INTERVAL);
        }
        if let Some(recorder) = &mut self.tracing.recorder {
            recorder.finish();
            let lines = recorder.take_lines();
            self.tracing.watchers.retain_mut(|watcher| watcher.send(&lines));
        }
    }
}
