//! connect(2) to a foreign host: the program's socket is connected to the peer and lent to lonetd, which performs
//! the handshake on it before the program may use it.
//!
//! The program determines how long it waits. A blocking connect waits as long as the peer takes, unless
//! SO_SNDTIMEO or a signal ends it, or lonetd does not answer ([`crate::handshake_wait`]); a non-blocking one waits a
//! grace period, because most peers answer at once and may then be talked to directly. After that the socket is
//! connected to lonetd, which relays.

use super::Attempt;
use super::step::{Connect, Expects, Target};
use crate::address::Address;
use crate::ask::tell_to;
use crate::failure::Failure;
use crate::handshake_wait::{Signals, Watch, readable_or_interrupted};
use crate::panic_barrier::{catch_panic, run_isolated};
use crate::{kernel, log, process};
use libc::c_int;
use lonet_core::client::{TIME_LIMIT, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, NetworkOp, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;

/// How long a non-blocking connect waits for the peer's answer, in milliseconds. With the questions to lonetd
/// around it a program waits for 50 at most.
pub const GRACE_MS: u32 = 40;

/// The outcome of a handshake.
pub(super) enum Outcome {
    /// The call ends with this errno, 0 for success. It is logged already.
    Ended(i32),
    /// The socket was disconnected, and is to be connected to this.
    Connect(Connect),
}

/// Has lonetd perform the handshake on a socket whose connect to a peer had this result.
// Not inlined: its buffers would enlarge the frame of every connect. C's convention: see `step::decide`.
#[inline(never)]
#[allow(improper_ctypes_definitions, reason = "its only caller is Rust")]
pub(super) extern "C" fn shake_hands(attempt: &Attempt, peer: &Target, result: c_int) -> Outcome {
    let connected = super::outcome(super::errno_of(result));
    let mut handshake = Err(Failure::panicked());
    let _ = catch_panic(|| handshake = on_network(attempt, peer, connected));
    match handshake {
        Ok(outcome) => {
            if matches!(outcome, Outcome::Ended(0)) {
                run_isolated(|| log::ended(attempt.call(), Ok(()), format_args!("")));
            }
            outcome
        }
        Err(failed) => Outcome::Ended(attempt.failure(&failed) as i32),
    }
}

/// How long a program waits for the peer.
enum Timeout {
    /// A grace period: the socket is non-blocking.
    Grace,
    /// SO_SNDTIMEO, in milliseconds.
    After(u32),
    Never,
    /// The kernel's connect has used it up, and reported this.
    Over(Errno),
}

impl Timeout {
    /// 0: there is none.
    fn milliseconds(&self) -> u32 {
        match *self {
            Timeout::Grace => GRACE_MS,
            Timeout::After(n) => n,
            Timeout::Never | Timeout::Over(_) => 0,
        }
    }
}

fn timeout(fd: c_int, connected: Result<(), Errno>) -> Timeout {
    if !kernel::is_blocking(fd) {
        return Timeout::Grace;
    }
    if let Err(e) = connected {
        return Timeout::Over(e);
    }
    match sys::getsockopt::<libc::timeval>(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO) {
        Ok(t) if t.tv_sec > 0 || t.tv_usec > 0 => {
            let milliseconds = t.tv_sec.saturating_mul(1000).saturating_add(t.tv_usec / 1000);
            Timeout::After(u32::try_from(milliseconds).unwrap_or(u32::MAX).max(1))
        }
        _ => Timeout::Never,
    }
}

fn on_network(attempt: &Attempt, peer: &Target, connected: Result<(), Errno>) -> Result<Outcome, Failure> {
    let (fd, cookie) = (attempt.fd, peer.cookie);
    // lonetd has answered; since then the kernel's connect may have waited for the peer.
    let limit = attempt.limit.forgiven(TIME_LIMIT);
    let notify = |errno: Errno| {
        if let Some(client) = process::client() {
            tell_to(limit, &client, &Op::Dialed { cookie, from: None, errno: errno as i32 });
        }
    };
    if let Err(e) = connected
        && !matches!(e, Errno::EINPROGRESS | Errno::EINTR)
    {
        notify(e);
        // Without a listener the host does not exist any more.
        let gone = Failure::new(Errno::EHOSTUNREACH, "the foreign host has gone");
        return Err(if e == Errno::ECONNREFUSED { gone } else { e.into() });
    }
    let timeout = timeout(fd, connected);
    let mut buffer = [0u8; MAX_MESSAGE];
    let mut late = 0;
    let connect = |os, expects| {
        let family = kernel::tcp_family(fd).unwrap_or(libc::AF_INET);
        let target = Target { address: Address::of_os(os, family), ..*peer };
        Outcome::Connect(Connect { target, expects })
    };
    match reply((fd, cookie), &timeout, limit, &mut late, &mut buffer) {
        Ok(Reply::Done) => match (timeout, connected) {
            (Timeout::Grace, Err(e)) => Err(e.into()),
            _ => Ok(Outcome::Ended(0)),
        },
        Ok(Reply::RelayAt { to: os }) => {
            Ok(connect(os, Expects::Relay { os, waited: timeout.milliseconds(), late }))
        }
        Ok(Reply::RefusedAt { to: os }) => Ok(connect(os, Expects::Refusal { was_v6only: false })),
        Ok(Reply::Error { errno, text }) => Err(Failure::new(Errno::from_raw(errno), text)),
        other => {
            let trouble = other.err().unwrap_or(Trouble::Silent(Errno::EPROTO));
            kernel::disconnect(fd, cookie);
            notify(Errno::ENETDOWN);
            Err(trouble.into())
        }
    }
}

/// Lends the socket to lonetd and waits for its reply. `late`: set to the errno with which a connection made after the time
/// limit is reported.
fn reply<'b>(
    (fd, cookie): (c_int, u64),
    timeout: &Timeout,
    limit: Limit,
    late: &mut i32,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    let client = process::client().ok_or(Trouble::NotRunning)?;
    let milliseconds = timeout.milliseconds();
    let control = client.send_with(&NetworkOp::HandOver { cookie, milliseconds }, fd, limit, buffer)?;
    let mut watch = Watch::begin(&client, Limit::NONE);
    let mut give_up = |why: Errno, buffer: &mut [u8; MAX_MESSAGE]| {
        *late = why as i32;
        client.send_on(&control, &NetworkOp::GiveUp { cookie }, buffer)
    };
    let n = match *timeout {
        Timeout::Grace => receive(&control, limit, buffer)?,
        Timeout::Over(e) => {
            give_up(e, buffer)?;
            receive(&control, limit, buffer)?
        }
        Timeout::After(_) | Timeout::Never => match wait(&control, timeout, &mut watch, buffer) {
            Ok(n) => {
                *late = libc::EINPROGRESS;
                n
            }
            Err(Trouble::Silent(Errno::EINTR)) => {
                give_up(Errno::EINTR, buffer)?;
                receive(&control, watch.limit(), buffer)?
            }
            Err(trouble) => return Err(trouble),
        },
    };
    let (_, reply) = control::read_reply(&buffer[..n]).map_err(|_| Trouble::Silent(Errno::EPROTO))?;
    Ok(reply)
}

fn receive(control: &Fd, limit: Limit, buffer: &mut [u8]) -> Result<usize, Trouble> {
    await_reply(control, limit)?;
    match sys::recv(control.raw(), buffer) {
        Ok(0) => Err(Trouble::NotRunning),
        Ok(n) => Ok(n),
        Err(e) => Err(Trouble::Silent(e)),
    }
}

/// Waits as connect would. A signal whose handler restarts system calls restarts this one just where the kernel would
/// restart connect: not where there is a time limit. When that is over lonetd replies.
fn wait(control: &Fd, timeout: &Timeout, watch: &mut Watch<'_>, buffer: &mut [u8]) -> Result<usize, Trouble> {
    loop {
        let signals = match timeout {
            Timeout::Never => Signals::of_handlers(),
            _ => Signals::Interrupt,
        };
        let is_there = if signals == Signals::Both {
            let unlimited = libc::timeval { tv_sec: 0, tv_usec: 0 };
            sys::setsockopt(control.raw(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &unlimited).map(|()| true)
        } else {
            readable_or_interrupted(control)
        };
        let got = match is_there {
            Ok(true) => sys::recv_once(control.raw(), buffer),
            Err(Errno::EINTR) if signals == Signals::Restart => Err(Errno::EAGAIN),
            Ok(false) => Err(Errno::EAGAIN),
            Err(e) => Err(e),
        };
        match got {
            Ok(0) => return Err(Trouble::Silent(Errno::ECONNRESET)),
            Ok(n) => return Ok(n),
            Err(Errno::EAGAIN) => watch.look(control)?,
            Err(e) => return Err(Trouble::Silent(e)),
        }
    }
}
