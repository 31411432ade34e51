//! The dialing side of the handshake: a program of this network dials a foreign host, on its own socket.
//!
//! The connect hook has connected the socket, or is about to have it connected, and waits for the reply. A
//! program that does not wait as long as the peer takes (non-blocking, SO_SNDTIMEO, a signal) cannot keep the
//! connection: it would see the peer's reply in its data. So the socket is disconnected, lonetd dials the
//! peer once more itself, and the program's socket is connected to lonetd, which relays or, if the dial
//! fails, resets. The peer sees a dialer that gave up, and another one. If a peer was too slow for a program
//! that does not wait, such programs do not dial it directly for [`SLOW_FOR`]: it would only see one more
//! connection without a request before the dial.

use super::io::{self, LineRead};
use super::relay::Relay;
use super::{HANDSHAKE, Task, TaskContext, TaskEvent};
use crate::daemon::state::{Cookie, Outgoing};
use lonet_core::control::{self, AnyOp, NetworkOp};
use lonet_core::handshake::{DialRequest, LineBuf, MAX_LINE, Reply, ReplyError, cause};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The longest timeout, in milliseconds, of a program that counts as not waiting.
const HARDLY_WAITS_MS: u32 = 50;

/// How long a slow peer counts as slow.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// The state of a handshake, on any socket.
struct Handshake {
    os: SocketAddrV4,
    request: DialRequest,
    /// `None`: the request has not been sent yet.
    line: Option<LineBuf>,
}

/// The progress of a handshake.
enum Progress {
    Pending,
    Done(u64),
    /// The connection has failed with this error.
    Kernel(Errno),
    /// The peer's refusal, or the reason why its reply makes no sense.
    Peer(Result<Reply, ReplyError>),
}

impl Handshake {
    fn new(network: &[u8], out: Outgoing) -> Handshake {
        let request = DialRequest { network: network.to_vec(), src: out.from, dst: out.to };
        Handshake { os: out.os, request, line: None }
    }

    fn restarted(&self) -> Handshake {
        Handshake { os: self.os, request: self.request.clone(), line: None }
    }

    /// The events to watch the socket for.
    fn flags(&self) -> EpollFlags {
        if self.line.is_none() { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
    }

    fn go_on(&mut self, fd: &OwnedFd) -> Progress {
        if self.line.is_none() {
            if !io::is_decided(fd) {
                return Progress::Pending;
            }
            if let Some(e) = io::error(fd) {
                return Progress::Kernel(e);
            }
            if let Err(e) = io::send_line(fd, &self.request.to_line()) {
                return Progress::Kernel(e);
            }
        }
        let line = self.line.get_or_insert_default();
        match io::read_line(fd, line) {
            LineRead::More => Progress::Pending,
            LineRead::End => Progress::Peer(Err(ReplyError::UnexpectedEof)),
            LineRead::Failed(e) => Progress::Kernel(e),
            LineRead::Line(line) => match Reply::parse(&line, &self.request) {
                Ok(Reply::Connected(at)) => Progress::Done(at.port),
                other => Progress::Peer(other),
            },
        }
    }
}

pub struct Dialer {
    control: OwnedFd,
    program: OwnedFd,
    cookie: Cookie,
    handshake: Handshake,
    until: Instant,
    give_up_at: Option<Instant>,
    /// The program counts as not waiting.
    hardly_waits: bool,
}

impl Dialer {
    /// `milliseconds`: the program's timeout; 0: that of the handshake.
    pub fn begin(
        cx: &mut TaskContext<'_, '_>,
        control: OwnedFd,
        program: OwnedFd,
        cookie: Cookie,
        milliseconds: u32,
    ) -> Option<Task> {
        let out = (io::cookie(&program) == cookie).then(|| cx.event_loop.state.outgoing(cookie)).flatten();
        let handshake = out.map(|out| Handshake::new(&cx.shared.network, out));
        let Some(handshake) = handshake.filter(|s| s.request.to_line().len() <= MAX_LINE) else {
            let text = "no such dial, or names too long for it";
            cx.reply(&control, &control::Reply::Error { errno: libc::EHOSTUNREACH, text });
            return None;
        };
        let now = Instant::now();
        cx.shared.slow.retain(|_, since| now < *since + SLOW_FOR);
        let give_up_at = (milliseconds > 0).then(|| now + Duration::from_millis(milliseconds.into()));
        cx.watch(1, &control, EpollFlags::EPOLLIN);
        let hardly_waits = (1..=HARDLY_WAITS_MS).contains(&milliseconds);
        let until = now + HANDSHAKE;
        let dialer = Dialer { control, program, cookie, handshake, until, give_up_at, hardly_waits };
        if dialer.hardly_waits && cx.shared.slow.contains_key(&dialer.handshake.os) {
            return dialer.relay(cx);
        }
        dialer.go_on(cx)
    }

    pub fn until(&self) -> Instant {
        self.give_up_at.unwrap_or(self.until).min(self.until)
    }

    pub fn step(self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        match event {
            TaskEvent::Ready { side: 1, .. } => self.program_ready(cx),
            TaskEvent::Ready { .. } => self.go_on(cx),
            TaskEvent::TimedOut if self.give_up_at.is_some_and(|at| at <= Instant::now()) => {
                if self.hardly_waits {
                    cx.shared.slow.insert(self.handshake.os, Instant::now());
                }
                self.relay(cx)
            }
            TaskEvent::TimedOut => {
                let text = format!("the peer at {} does not answer", self.handshake.os);
                self.fail(cx, &control::Reply::Error { errno: libc::ETIMEDOUT, text: &text })
            }
        }
    }

    /// Handles the program's message that it gives up, or the end of its connection.
    fn program_ready(self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        let mut buffer = [0u8; control::MAX_MESSAGE];
        match io::receive(&self.control, &mut buffer) {
            Ok(n)
                if matches!(
                    control::read_request(&buffer[..n]),
                    Ok((_, AnyOp::Network(NetworkOp::GiveUp { .. })))
                ) =>
            {
                self.relay(cx)
            }
            Err(Errno::EAGAIN) => Some(Task::Dialer(self)),
            _ => self.fail(cx, &control::Reply::Done),
        }
    }

    fn go_on(mut self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        match self.handshake.go_on(&self.program) {
            Progress::Pending => {
                cx.watch(0, &self.program, self.handshake.flags());
                Some(Task::Dialer(self))
            }
            Progress::Done(port) => {
                cx.unwatch(&self.program);
                if let Some(from) = io::local(&self.program) {
                    cx.event_loop.state.foreign_connected(self.cookie, from, self.handshake.os, port);
                }
                cx.reply(&self.control, &control::Reply::Done);
                None
            }
            Progress::Kernel(e) => {
                let errno = host_down(cx, self.handshake.os, e);
                let text = format!("connection to {}: {e}", self.handshake.os);
                tracing::info!("{text}");
                self.fail(cx, &control::Reply::Error { errno: errno as i32, text: &text })
            }
            Progress::Peer(Ok(Reply::Refused)) => {
                // The program connects to a closed port instead, so that the kernel refuses.
                let to = cx.event_loop.state.refuser();
                self.fail(cx, &control::Reply::RefusedAt { to })
            }
            Progress::Peer(outcome) => {
                let text = self.handshake.request.failure(self.handshake.os, &outcome).unwrap_or_default();
                tracing::info!("{text}");
                let text = cause(self.handshake.os, &outcome).unwrap_or_default();
                let errno = errno_of(&outcome) as i32;
                let end = text.floor_char_boundary(control::MAX_MESSAGE - 64);
                self.fail(cx, &control::Reply::Error { errno, text: &text[..end] })
            }
        }
    }

    fn fail(self, cx: &mut TaskContext<'_, '_>, reply: &control::Reply<'_>) -> Option<Task> {
        cx.unwatch(&self.program);
        io::disconnect(&self.program);
        cx.event_loop.state.foreign_failed(cx.event_loop.kernel, self.cookie);
        cx.reply(&self.control, reply);
        None
    }

    /// Dials the peer anew for a program that does not wait any longer, to relay its connection.
    fn relay(self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        cx.unwatch(&self.program);
        io::disconnect(&self.program);
        match io::connect(None, self.handshake.os) {
            Ok(peer) => {
                let to = cx.shared.listener;
                tracing::info!("a dial to {} is relayed: it takes too long", self.handshake.os);
                cx.event_loop.state.foreign_relayed(self.cookie, to);
                cx.shared.expected.insert(self.cookie, cx.id);
                let handshake = self.handshake.restarted();
                let slow = SlowDial {
                    peer,
                    program: None,
                    cookie: self.cookie,
                    handshake,
                    until: Instant::now() + HANDSHAKE,
                    phase: Phase::Pending,
                    since: Instant::now(),
                };
                let next = slow.go_on(cx);
                cx.reply(&self.control, &control::Reply::RelayAt { to });
                next
            }
            Err(e) => {
                let errno = host_down(cx, self.handshake.os, e);
                let text = format!("connect to {}: {e}", self.handshake.os);
                self.fail(cx, &control::Reply::Error { errno: errno as i32, text: &text })
            }
        }
    }
}

/// The program's error for a failed connection: if nothing listens there, the foreign host is down.
fn host_down(cx: &mut TaskContext<'_, '_>, os: SocketAddrV4, e: Errno) -> Errno {
    if e != Errno::ECONNREFUSED {
        return e;
    }
    cx.event_loop.state.foreign_gone(os);
    Errno::EHOSTUNREACH
}

fn errno_of(outcome: &Result<Reply, ReplyError>) -> Errno {
    match outcome {
        Ok(Reply::Error(text)) if text.ends_with(b": no such host") => Errno::EHOSTUNREACH,
        Ok(_) => Errno::ECONNREFUSED,
        Err(ReplyError::UnexpectedEof) => Errno::ECONNRESET,
        Err(_) => Errno::EPROTO,
    }
}

/// A dial by lonetd for a program whose socket is, or will be, connected to lonetd.
pub struct SlowDial {
    peer: OwnedFd,
    program: Option<OwnedFd>,
    cookie: Cookie,
    handshake: Handshake,
    pub until: Instant,
    phase: Phase,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Done,
    Failed,
}

impl SlowDial {
    /// Handles the arrival of the program's socket.
    pub fn arrived(mut self, cx: &mut TaskContext<'_, '_>, program: OwnedFd) -> Option<Task> {
        cx.watch(1, &program, EpollFlags::empty());
        self.program = Some(program);
        self.conclude(cx)
    }

    pub fn step(self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        match event {
            TaskEvent::Ready { side: 0, .. } if self.phase == Phase::Pending => self.go_on(cx),
            // The program's socket has not arrived yet.
            TaskEvent::Ready { side: 0, .. } => Some(Task::SlowDial(self)),
            TaskEvent::Ready { .. } | TaskEvent::TimedOut => self.end(cx),
        }
    }

    fn go_on(mut self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        match self.handshake.go_on(&self.peer) {
            Progress::Pending => {
                cx.watch(0, &self.peer, self.handshake.flags());
                return Some(Task::SlowDial(self));
            }
            Progress::Done(port) => {
                cx.event_loop.state.foreign_accepted(self.cookie, port);
                self.phase = Phase::Done;
                if self.since.elapsed() < Duration::from_millis(20) {
                    cx.shared.slow.remove(&self.handshake.os);
                }
            }
            Progress::Kernel(e) => {
                let _ = host_down(cx, self.handshake.os, e);
                self.phase = Phase::Failed;
            }
            Progress::Peer(outcome) => {
                let text = self.handshake.request.failure(self.handshake.os, &outcome).unwrap_or_default();
                tracing::info!("{text}");
                self.phase = Phase::Failed;
            }
        }
        cx.unwatch(&self.peer);
        self.conclude(cx)
    }

    /// Relays or resets, by the outcome of the dial, as soon as the program's socket has arrived.
    fn conclude(mut self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        match (self.phase, self.program.take()) {
            (Phase::Done, Some(program)) => Some(Relay::begin(cx, [self.peer, program], None)),
            (Phase::Failed, Some(program)) => {
                io::reset(program);
                None
            }
            (_, program) => {
                self.program = program;
                Some(Task::SlowDial(self))
            }
        }
    }

    fn end(self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        cx.shared.expected.remove(&self.cookie);
        if let Some(program) = self.program {
            io::reset(program);
        }
        None
    }
}
