//! connect(2) to a foreign host: the program's socket is connected to the peer, and lonetd, to which it is lent,
//! shakes hands on it before the program may use it.
//!
//! How long the program waits is for the program to say. A blocking connect waits as long as the peer takes, unless
//! SO_SNDTIMEO or a signal ends it; a non-blocking one waits a moment, because most peers answer at once and may
//! then be talked to directly. After that the socket is connected to lonetd, which relays.

use super::{Plan, Step};
use crate::address::Address;
use crate::ask::{Failed, tell};
use crate::fence::{PANIC, guard};
use crate::{kernel, process};
use libc::c_int;
use lonet_core::client::Trouble;
use lonet_core::control::{self, MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;

/// How long a non-blocking connect waits for the peer's answer, in milliseconds. With the questions to lonetd
/// around it a program waits for 50 at most.
pub const MOMENT: u32 = 40;

/// Has lonetd shake hands on a socket whose connect had this result. Whether connect is to be called once more,
/// with the plan's new target; else `result` and the plan say how it ended.
///
/// # Safety
/// The pointer is valid.
// Its buffers have no place in the frame of each connect.
#[inline(never)]
pub(super) extern "C" fn shake_hands(fd: c_int, result: *mut c_int, plan: &mut Plan) -> bool {
    // SAFETY: as the caller promises.
    let outcome = if unsafe { *result } == 0 { None } else { Some(Errno::last()) };
    let mut again = false;
    let done = guard(|| {
        let (code, more) = on_network(fd, outcome, plan);
        again = more;
        // SAFETY: as the caller promises.
        unsafe { *result = code };
    });
    if done.is_none() {
        plan.fail(Failed::new(Errno::EIO, PANIC));
        // SAFETY: as the caller promises.
        unsafe { *result = -1 };
    }
    again
}

/// How a socket waits.
enum Patience {
    Moment,
    /// SO_SNDTIMEO, in milliseconds.
    Limited(u32),
    Endless,
    /// The kernel's part has used it up: what connect reported.
    Over(Errno),
}

impl Patience {
    /// 0: there is no limit.
    fn milliseconds(&self) -> u32 {
        match *self {
            Patience::Moment => MOMENT,
            Patience::Limited(n) => n,
            Patience::Endless | Patience::Over(_) => 0,
        }
    }
}

fn patience(fd: c_int, outcome: Option<Errno>) -> Patience {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL) }).unwrap_or(0);
    if flags & i64::from(libc::O_NONBLOCK) != 0 {
        return Patience::Moment;
    }
    if let Some(e) = outcome {
        return Patience::Over(e);
    }
    match sys::getsockopt::<libc::timeval>(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO) {
        Ok(t) if t.tv_sec > 0 || t.tv_usec > 0 => {
            let milliseconds = t.tv_sec.saturating_mul(1000).saturating_add(t.tv_usec / 1000);
            Patience::Limited(u32::try_from(milliseconds).unwrap_or(u32::MAX).max(1))
        }
        _ => Patience::Endless,
    }
}

/// The result of the call, and whether connect is to be called again.
fn on_network(fd: c_int, outcome: Option<Errno>, plan: &mut Plan) -> (c_int, bool) {
    let cookie = plan.cookie;
    if let Some(e) = outcome.filter(|e| !matches!(e, Errno::EINPROGRESS | Errno::EINTR)) {
        tell(&Op::Dialed { cookie, from: None, errno: e as i32 });
        // Where nobody listens there is no such host any more.
        let gone = Failed::new(Errno::EHOSTUNREACH, "the foreign host has gone");
        plan.fail(if e == Errno::ECONNREFUSED { gone } else { e.into() });
        return (-1, false);
    }
    let patience = patience(fd, outcome);
    let mut buffer = [0u8; MAX_MESSAGE];
    let answer = answer(fd, cookie, &patience, plan, &mut buffer);
    if !matches!(answer, Ok(Reply::DialForeign { .. })) {
        // It is decided: nothing comes late.
        plan.late = 0;
    }
    match answer {
        Ok(Reply::Done) => match (patience, outcome) {
            (Patience::Moment, Some(e)) => {
                plan.fail(e.into());
                (-1, false)
            }
            _ => {
                plan.step = Step::Done;
                (0, false)
            }
        },
        Ok(Reply::DialForeign { to, .. }) => {
            plan.slow = patience.milliseconds();
            connect_to(fd, plan, Step::Dial, to)
        }
        Ok(Reply::ConnectTo { to, .. }) => connect_to(fd, plan, Step::Refusal, to),
        Ok(Reply::Error { errno, text }) => {
            plan.fail(Failed::new(Errno::from_raw(errno), text));
            (-1, false)
        }
        other => {
            let trouble = other.err().unwrap_or(Trouble::Silent(Errno::EPROTO));
            kernel::disconnect(fd, plan.cookie);
            tell(&Op::Dialed { cookie, from: None, errno: libc::ENETDOWN });
            plan.fail(trouble.into());
            (-1, false)
        }
    }
}

fn connect_to(fd: c_int, plan: &mut Plan, step: Step, to: std::net::SocketAddrV4) -> (c_int, bool) {
    let family = kernel::tcp_family(fd).unwrap_or(libc::AF_INET);
    plan.target = Address::of_os(to, family);
    plan.os = to;
    plan.step = step;
    (-1, true)
}

/// Lends the socket to lonetd and waits for what it says. Sets what a late connection is to be reported as.
fn answer<'b>(
    fd: c_int,
    cookie: u64,
    patience: &Patience,
    plan: &mut Plan,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    let client = process::client().ok_or(Trouble::NotRunning)?;
    let milliseconds = patience.milliseconds();
    let control = client.send_with(&Op::HandOver { cookie, milliseconds }, fd, Limit::NONE, buffer)?;
    let mut give_up = |why: Errno, buffer: &mut [u8; MAX_MESSAGE]| {
        plan.late = why as i32;
        client.send_on(&control, &Op::GiveUp { cookie }, buffer)
    };
    let n = match *patience {
        Patience::Moment => receive(&control, buffer)?,
        Patience::Over(e) => {
            give_up(e, buffer)?;
            receive(&control, buffer)?
        }
        Patience::Limited(_) | Patience::Endless => match wait(&control, milliseconds, buffer) {
            Ok(n) => {
                plan.late = libc::EINPROGRESS;
                n
            }
            Err(Errno::EINTR) => {
                give_up(Errno::EINTR, buffer)?;
                receive(&control, buffer)?
            }
            Err(e) => return Err(Trouble::Silent(e)),
        },
    };
    let (_, reply) = control::read_reply(&buffer[..n]).map_err(|_| Trouble::Silent(Errno::EPROTO))?;
    Ok(reply)
}

fn receive(control: &Fd, buffer: &mut [u8]) -> Result<usize, Trouble> {
    match sys::recv(control.raw(), buffer) {
        Ok(0) => Err(Trouble::NotRunning),
        Ok(n) => Ok(n),
        Err(e) => Err(Trouble::Silent(e)),
    }
}

/// Waits as connect would. A signal whose handler restarts system calls restarts this one just where the
/// kernel would restart connect: not where there is a time limit.
fn wait(control: &Fd, milliseconds: u32, buffer: &mut [u8]) -> Result<usize, Errno> {
    let seconds = if milliseconds == 0 { 0 } else { i64::from(milliseconds / 1000) + 10 };
    let limit = libc::timeval { tv_sec: seconds, tv_usec: 0 };
    sys::setsockopt(control.raw(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &limit)?;
    let n = sys::recv_once(control.raw(), buffer);
    let usual = libc::timeval { tv_sec: lonet_core::client::TIME_LIMIT_SECONDS, tv_usec: 0 };
    sys::setsockopt(control.raw(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &usual)?;
    match n? {
        0 => Err(Errno::ECONNRESET),
        n => Ok(n),
    }
}
