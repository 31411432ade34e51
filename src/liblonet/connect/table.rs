//! connect(2) to a listener of a running host, which the process does by the table, without lonetd: see
//! [`lonet_sockets::dial`].
//!
//! Its system calls, which tests/hot_paths_take_few_system_calls.sh counts: six getsockopt about the socket, one getsockname,
//! four calls to bind it to its host's address, one for its valve and two for its source port, and one getsockname after connect.

use super::Attempt;
use super::foreign_peer::GRACE_MS;
use super::step::{Socket, Target};
use crate::address::Address;
use crate::ask::{Start, ask_in_call};
use crate::failure::Failure;
use crate::panic_barrier::catch_panic;
use crate::{actor, descriptor_hints, kernel, log, process, seat};
use libc::c_int;
use lonet_core::block::{Endpoint, Place};
use lonet_core::client::Client;
use lonet_core::control::{Asked, Op};
use lonet_core::limit::Limit;
use lonet_core::sys;
use lonet_sockets::Actor;
use lonet_sockets::dial::{self, DialParams, DialStart, Looked, Outcome};
use nix::errno::Errno;
use std::net::SocketAddrV4;
use std::time::Duration;

/// How long a dial without a descriptor waits for lonetd to enter the listener of a bound port, on a blocking and on a
/// non-blocking socket.
const ENTERED_WITHIN: Duration = Duration::from_secs(1);
const ENTERED_WITHIN_GRACE: Duration = Duration::from_millis(GRACE_MS as u64);

/// The longest pause in this wait, in milliseconds. Where the kernel has to be asked about a listener, a look costs a process, as
/// there is no descriptor for it.
const LONGEST_PAUSE_MS: i64 = 64;

/// The peer's OS address of a socket that has dialed `to` before: connect is called again to learn the outcome.
pub fn connected_to(client: &Client, fd: c_int, cookie: u64, to: Endpoint) -> Option<SocketAddrV4> {
    let table = process::table(client)?;
    let call = table.parts(table.block()?).find(cookie)?.entry.call.filter(|call| call.peer == to)?;
    // A socket that was reset since is not connected any more, and dials anew.
    (kernel::remote(fd)?.os()? == call.os_remote).then_some(call.os_remote)
}

/// Rolls back a dial of this socket that was abandoned before connect. `false`: there is none.
pub fn roll_back_abandoned(attempt: &mut Attempt, client: &Client, cookie: u64) -> bool {
    seat::dials().is_some_and(|dials| dials.is_left(cookie))
        && actor::actor(client, true, &mut attempt.limit)
            .is_some_and(|actor| dial::roll_back(&actor, attempt.fd, cookie))
}

/// Whether a dial of such a socket is one for the table. A socket with an address may have dialed before, or its program has
/// chosen the port. Dials with IPV6_V6ONLY may be refused for the family, which lonetd decides.
fn may_decide(asked: Asked, local: Option<SocketAddrV4>) -> bool {
    local.is_none() && !asked.v6only
}

/// Whether the table decides about such a dial if it has the listener.
pub fn decides(attempt: &mut Attempt, client: &Client, asked: Asked, local: Option<SocketAddrV4>) -> bool {
    may_decide(asked, local) && actor::actor(client, true, &mut attempt.limit).is_some()
}

/// A dial that the table decides, before its connect.
pub struct Dial {
    pub target: Target,
    /// The actor when the dial began: the thread that joined may end meanwhile.
    actor: Actor<'static>,
    dial: dial::Dial,
}

/// Begins a dial that the table decides. `None`: lonetd decides.
#[inline(never)]
pub fn begin(attempt: &mut Attempt, socket: &Socket<'_>, to: Endpoint) -> Result<Option<Dial>, Failure> {
    let &Socket { client, fd, family, asked, cookie, local } = socket;
    if !may_decide(asked, local) {
        return Ok(None);
    }
    let Some(actor) = actor::actor(client, true, &mut attempt.limit) else { return Ok(None) };
    let autobind_from = client.config.options.autobind_from;
    // This comes first: a thread that is cancelled here closes the socket later.
    descriptor_hints::set(fd);
    let params = DialParams { fd, cookie, family, asked, to, autobind_from };
    let begun = match dial::begin(&actor, &params, Looked::NotYet)? {
        DialStart::Look => {
            let looked = match ask_in_call(&mut attempt.limit, client, &Op::Look, Start::Yes) {
                Ok(_) => Looked::Yes,
                Err(failed) if matches!(failed.errno, Errno::EMFILE | Errno::ENFILE) => Looked::Cannot,
                Err(failed) => return Err(failed),
            };
            dial::begin(&actor, &params, looked)?
        }
        begun => begun,
    };
    let DialStart::Dial(mut dial) = begun else { return Ok(None) };
    dial.prepare_connect(&actor);
    let target = Target { cookie, port: to.port, address: Address::of_os(dial.to(), family) };
    Ok(Some(Dial { target, actor, dial }))
}

/// Begins a dial whose listener lonetd may be about to enter in the table, where no descriptor is left to ask it: listen
/// tells lonetd without waiting. `None`: there is none, or not in time.
#[inline(never)]
pub fn begin_when_entered(
    attempt: &mut Attempt,
    socket: &Socket<'_>,
    to: Endpoint,
) -> Result<Option<Dial>, Failure> {
    if !may_decide(socket.asked, socket.local) {
        return Ok(None);
    }
    let Some(actor) = actor::actor(socket.client, true, &mut attempt.limit) else { return Ok(None) };
    let host = match actor.parts.block.place(to.ip) {
        Place::Host(host, _) => host,
        Place::Loopback(_) | Place::Any(_) => actor.host,
        Place::Unassigned | Place::NotLonet => return Ok(None),
    };
    let within = if kernel::is_blocking(socket.fd) { ENTERED_WITHIN } else { ENTERED_WITHIN_GRACE };
    let (limit, mut pause) = (Limit::within(within), 1);
    while !limit.is_over() && actor.parts.ports.is_bound(host, to.port) {
        if let Some(dial) = begin(attempt, socket, to)? {
            return Ok(Some(dial));
        }
        let _ = sys::ready_within(-1, 0, Some(pause));
        pause = LONGEST_PAUSE_MS.min(pause * 2);
    }
    Ok(None)
}

/// The step after the kernel's connect.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Next {
    /// Return the kernel's result; errno is set.
    Return,
    /// Call connect again.
    Retry,
    /// Ask lonetd.
    AskLonetd,
}

/// Decides the step after a connect with this result.
#[inline(never)]
pub extern "C" fn finish(attempt: &Attempt, result: c_int, begun: &mut Dial) -> Next {
    let errno = super::errno_of(result);
    let mut next = Next::Return;
    let _ = catch_panic(|| {
        let Dial { actor, dial, .. } = begun;
        next = match dial.finish(actor, errno) {
            Outcome::Done => {
                let outcome = super::outcome(super::for_log(attempt.fd, errno));
                log::ended(attempt.call(), outcome, format_args!(""));
                Next::Return
            }
            Outcome::Ask => Next::AskLonetd,
            Outcome::Again => {
                dial.prepare_connect(actor);
                Next::Retry
            }
        };
    });
    Errno::set_raw(if next == Next::Return && result != 0 { errno } else { attempt.errno });
    next
}
