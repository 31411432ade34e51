//! `lonet trace`: who wants events to be recorded, and the recorder's turn.

use super::connections::has_hung_up;
use super::watcher::Watcher;
use super::{CONNECTION, Daemon, event};
use crate::daemon::state::{Cookie, State};
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

/// How often the recorder looks for events: it is not woken for them.
const EVERY: Duration = Duration::from_millis(10);

/// How long who had held the recording may take to come back to a lonetd that has followed another one.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Bits of the table's word `recording`: until it is stopped, while somebody holds it, and while somebody watches.
const STARTED: u64 = 1;
const HELD: u64 = 2;
const WATCHED: u64 = 4;
/// For these a trace is kept.
const KEPT: u64 = STARTED | HELD;

/// So many bytes are kept for watchers that a lonetd before had.
const UNCLAIMED: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Tracing {
    recorder: Option<Recorder>,
    holders: Vec<OwnedFd>,
    waiters: Vec<Waiter>,
    readers: Vec<Reader>,
    watchers: Vec<Watcher>,
    /// Until when it is recorded for holders and watchers that a lonetd before had.
    held_until: Option<Instant>,
    /// The lines for these watchers.
    unclaimed: Vec<u8>,
    at: Option<Instant>,
}

/// How the first line of a trace begins.
const HEADER: &str = "{\"lonet_trace\"";

/// Is sent each event.
struct Reader {
    fd: OwnedFd,
    recorded: Recorded,
    /// What was read last, if there was no room to send it.
    line: Option<String>,
}

/// So many events are sent to a reader at once: a trace may be long, and there is other work.
const MAX_LINES: usize = 1 << 12;

/// What becomes of a reader.
#[derive(PartialEq, Eq)]
enum Sent {
    /// All that there is, or for which there is room.
    All,
    /// There is more.
    Some,
    /// Nobody reads any more, or the trace cannot be read.
    Over,
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
    fn go_on(&mut self) -> Sent {
        for _ in 0..MAX_LINES {
            let line = match self.line.take().map_or_else(|| self.recorded.next(), |line| Ok(Some(line))) {
                Ok(Some(line)) => line,
                Ok(None) => return Sent::All,
                Err(_) => return Sent::Over,
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
                Err(_) => return Sent::Over,
            }
        }
        Sent::Some
    }
}

/// Waits until all events that there were have been written.
struct Waiter {
    fd: OwnedFd,
    since: Instant,
    /// The last of them; `None`: the kernel may have ends to tell of that were before.
    last: Option<u64>,
}

/// How long the kernel may take to tell of the ends of what killed processes have left.
const ENDS_WITHIN: Duration = Duration::from_millis(200);

impl Daemon {
    fn recording(&self) -> u64 {
        self.store.table().header().recording.get()
    }

    pub(super) fn is_recording(&self) -> bool {
        self.tracing.recorder.is_some()
    }

    /// Whether a recording keeps the network up: who only watches does not.
    pub(super) fn keeps_recording(&self) -> bool {
        self.is_recording() && self.recording() != WATCHED
    }

    /// When the recorder looks next.
    pub(super) fn next_recording(&self) -> Option<Instant> {
        self.tracing.at
    }

    /// Goes on with what a lonetd before has recorded.
    pub(super) fn resume_recording(&mut self) {
        let recording = self.recording();
        if recording == 0 {
            return;
        }
        let keeps = recording & KEPT != 0;
        let recorder = Recorder::resume(&self.directory, &self.config.network, self.store.table(), keeps);
        match recorder {
            Ok(mut recorder) => {
                recorder.watch(recording & WATCHED != 0);
                self.tracing.recorder = Some(recorder);
                self.state.recording_begins();
                let held = recording & (HELD | WATCHED) != 0;
                self.tracing.held_until = held.then(|| Instant::now() + COMES_BACK_WITHIN);
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
            return self.connections.closer.end(fd);
        }
        let header = self.store.table().header();
        match what {
            Trace::Start | Trace::Hold | Trace::Read | Trace::ReadAll => {
                if let Err(e) = self.keep_recording() {
                    let text = format!("the trace cannot be written: {e}");
                    self.reply(
                        &fd,
                        &Reply::Error { errno: e.raw_os_error().unwrap_or(libc::EIO), text: &text },
                    );
                    return self.connections.closer.end(fd);
                }
                header.recording.set_bits(if what == Trace::Start { STARTED } else { HELD });
                self.commit();
                self.reply(&fd, &Reply::Done);
                if what == Trace::Start {
                    return self.connections.closer.end(fd);
                }
                let _ = self.epoll.add(&fd, event(CONNECTION));
                if what != Trace::Hold {
                    self.record();
                    let place = self.place.open(self.membership.owner).ok();
                    let reader = place.and_then(|here| Reader::new(here, &fd, what == Trace::ReadAll));
                    let Some(reader) = reader else { return self.connections.closer.end(fd) };
                    self.tracing.readers.push(reader);
                }
                self.tracing.holders.push(fd);
            }
            Trace::Watch => {
                self.begin_recording().watch(true);
                header.recording.set_bits(WATCHED);
                self.commit();
                self.reply(&fd, &Reply::Done);
                let _ = self.epoll.add(&fd, event(CONNECTION));
                let mut watcher = Watcher::new(fd);
                if watcher.take(&std::mem::take(&mut self.tracing.unclaimed)) {
                    self.tracing.watchers.push(watcher);
                }
            }
            Trace::Stop | Trace::Write => {
                if what == Trace::Stop {
                    header.recording.clear_bits(STARTED);
                    self.end_kept();
                }
                self.tracing.waiters.push(Waiter { fd, since: Instant::now(), last: None });
                self.record();
            }
        }
    }

    fn begin_recording(&mut self) -> &mut Recorder {
        if !self.is_recording() {
            self.tracing.at = Some(Instant::now());
            self.state.recording_begins();
        }
        self.tracing.recorder.get_or_insert_with(|| Recorder::begin(self.store.table()))
    }

    /// Begins a trace, if none is written.
    fn keep_recording(&mut self) -> io::Result<()> {
        if self.tracing.recorder.as_ref().is_some_and(Recorder::keeps) {
            return Ok(());
        }
        if self.is_recording() {
            // Somebody watches: what was so far does not belong to it, and what is asked for is to be seen in it.
            self.state.note_hosts();
            self.state.recording_begins();
        }
        let (directory, network) = (self.directory.clone(), self.config.network.clone());
        let kept = self.begin_recording().keep(&directory, &network);
        if kept.is_err() && self.recording() == 0 {
            self.tracing.recorder = None;
            self.tracing.at = None;
        }
        kept
    }

    /// Takes and writes events, and answers who waits for that.
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
        let lines = recorder.take_watched();
        let mut has_more = false;
        self.tracing.readers.retain_mut(|reader| {
            let sent = reader.go_on();
            has_more |= sent == Sent::Some;
            sent != Sent::Over
        });
        self.tracing.watchers.retain_mut(|watcher| watcher.take(&lines));
        if self.tracing.held_until.is_some() && self.tracing.unclaimed.len() + lines.len() < UNCLAIMED {
            self.tracing.unclaimed.extend_from_slice(&lines);
        }
        let waits = !self.tracing.waiters.is_empty() && recorder.has_left(&self.state);
        for waiter in &mut self.tracing.waiters {
            if waiter.last.is_none() && (!waits || waiter.since.elapsed() >= ENDS_WITHIN) {
                waiter.last = Some(self.store.table().ring().last());
            }
        }
        let is_done = |w: &mut Waiter| w.last.is_some_and(|last| recorder.has_written(last));
        let done: Vec<Waiter> = self.tracing.waiters.extract_if(.., is_done).collect();
        done.iter().for_each(|waiter| _ = self.reply(&waiter.fd, &Reply::Done));
        self.tracing.recorder = Some(recorder);
        self.tracing.at = Some(Instant::now() + if has_more { Duration::ZERO } else { EVERY });
    }

    /// The recorder's turn.
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
        self.end_kept();
        if self.tracing.at.is_none_or(|at| now >= at) || before > self.tracing.holders.len() {
            self.record();
        }
        let is_done = self.tracing.recorder.as_ref().is_none_or(|recorder| !recorder.is_waiting());
        if self.recording() == 0 && is_done && self.tracing.waiters.is_empty() {
            self.tracing.recorder = None;
            self.tracing.at = None;
        }
    }

    /// Ends what is kept if only who watches goes on; if nobody does, no more events are made, and all of them are written.
    fn end_kept(&mut self) {
        let recording = self.recording();
        let Some(recorder) = &mut self.tracing.recorder else { return };
        recorder.watch(recording & WATCHED != 0);
        if recording & KEPT == 0 && recording != 0 {
            recorder.keep_no_more();
        }
    }

    /// The kernel tells of these ends of sockets.
    pub(super) fn record_ends(&mut self, ends: &[End]) {
        let Some(mut recorder) = self.tracing.recorder.take() else { return };
        recorder.take(&mut self.state);
        ends.iter().for_each(|end| recorder.destroyed(&mut self.state, end));
        self.tracing.recorder = Some(recorder);
    }

    /// The network ends.
    pub(super) fn end_recording(&mut self) {
        let until = Instant::now() + EVERY * 20;
        while self.is_recording() && Instant::now() < until {
            self.handle_socket_ends();
            self.record();
            if self.tracing.recorder.as_ref().is_none_or(|recorder| !recorder.is_waiting()) {
                break;
            }
            std::thread::sleep(EVERY);
        }
        if let Some(recorder) = &mut self.tracing.recorder {
            recorder.finish();
            let lines = recorder.take_watched();
            self.tracing.watchers.retain_mut(|watcher| watcher.take(&lines));
        }
    }
}

/// Whether a dial that was under way has been made. `None`: it is still on its way, or it cannot be told.
fn is_made(state: &State, kernel: &crate::daemon::kernel::Live, cookie: Cookie) -> Option<bool> {
    let found = state.parts().find(cookie)?;
    let call = found.entry.call?;
    kernel.is_made(cookie, call.os_local?, call.os_remote)
}

/// Whether some process has a socket. What the kernel does not tell is so.
fn is_held(state: &State, kernel: &crate::daemon::kernel::Live, cookie: Cookie) -> bool {
    let ends = state.parts().find(cookie).and_then(|found| {
        let call = found.entry.call?;
        Some((call.os_local?, call.os_remote))
    });
    ends.is_none_or(|(local, remote)| kernel.is_held(cookie, local, remote))
}
