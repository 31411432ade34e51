//! A dial that the table decides: see [`lonet_sockets::dial`].
//!
//! The budget, counted by tests/hot_paths_take_few_system_calls.sh: six getsockopt for what the socket is, one getsockname,
//! four calls to bind it to its host's address, one for its valve and two for its source port, and one getsockname behind connect.

use super::Attempt;
use super::plan::{Socket, Target};
use crate::address::Address;
use crate::ask::{Failed, Start, ask_of};
use crate::fence::guard;
use crate::{actor, kernel, log, marks};
use libc::c_int;
use lonet_core::block::{Endpoint, Place};
use lonet_core::client::{Client, TIME_LIMIT};
use lonet_core::control::{Asked, Op};
use lonet_core::limit::Limit;
use lonet_core::sys;
use lonet_sockets::Actor;
use lonet_sockets::dial::{self, DialParams, DialStart, Looked, Outcome};
use nix::errno::Errno;
use std::net::SocketAddrV4;
use std::time::Duration;

/// How long a dial without a descriptor waits for lonetd to enter the listener of a bound port.
const ENTERED_WITHIN: Duration = Duration::from_secs(1);

/// Where a socket is connected to that has dialed `to` before: connect is called again to learn what came of it.
pub fn arrived_at(client: &Client, fd: c_int, cookie: u64, to: Endpoint) -> Option<SocketAddrV4> {
    let table = actor::table(client)?;
    let call = table.parts(table.block()?).find(cookie)?.entry.call.filter(|call| call.peer == to)?;
    // What was reset since is connected no more, and dials anew.
    (kernel::remote(fd)?.os()? == call.os_remote).then_some(call.os_remote)
}

/// A dial of this socket, which has no port, was left before connect, and is taken back.
pub fn was_left(client: &Client, fd: c_int, cookie: u64) -> bool {
    actor::dials().is_some_and(|dials| dials.is_left(cookie))
        && actor::actor(client, true).is_some_and(|actor| dial::roll_back(&actor, fd, cookie))
}

/// A socket with an address may have dialed before, or its program has chosen the port. What IPV6_V6ONLY keeps from IPv4
/// addresses lonetd says.
fn may_decide(asked: Asked, local: Option<SocketAddrV4>) -> bool {
    local.is_none() && !asked.v6only
}

/// Whether the table decides about such a dial, if it has what is dialed.
pub fn decides(client: &Client, asked: Asked, local: Option<SocketAddrV4>) -> bool {
    may_decide(asked, local) && actor::actor(client, true).is_some()
}

/// A dial that the table decides, before its connect.
pub struct Dial {
    pub target: Target,
    /// As it was when the dial began: the thread that joined may end meanwhile.
    actor: Actor<'static>,
    dial: dial::Dial,
}

/// Begins a dial that the table decides. `None`: lonetd decides.
#[inline(never)]
pub fn begin(attempt: &mut Attempt, socket: &Socket<'_>, to: Endpoint) -> Result<Option<Dial>, Failed> {
    let &Socket { client, fd, family, asked, cookie, local } = socket;
    if !may_decide(asked, local) {
        return Ok(None);
    }
    let Some(actor) = actor::actor(client, true) else { return Ok(None) };
    let autobind_from = client.config.options.autobind_from;
    // First: a thread that is made to leave this closes the socket.
    marks::set(fd);
    let params = DialParams { fd, cookie, family, asked, to, autobind_from };
    let begun = match dial::begin(&actor, &params, Looked::NotYet)? {
        DialStart::Look => {
            attempt.limit = attempt.limit.or_of_lonetd(TIME_LIMIT);
            let looked = match ask_of(attempt.limit, client, &Op::Look, Start::Yes) {
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
) -> Result<Option<Dial>, Failed> {
    let limit = Limit::within(ENTERED_WITHIN);
    let may_be_entered = || {
        let actor = actor::actor(socket.client, true).filter(|_| may_decide(socket.asked, socket.local))?;
        let host = match actor.parts.block.place(to.ip) {
            Place::Host(host, _) => host,
            Place::Loopback(_) | Place::Any(_) => actor.host,
            Place::Unassigned | Place::NotLonet => return None,
        };
        actor.parts.ports.is_bound(host, to.port).then_some(())
    };
    while !limit.is_over() && may_be_entered().is_some() {
        if let Some(dial) = begin(attempt, socket, to)? {
            return Ok(Some(dial));
        }
        let _ = sys::ready_within(-1, 0, Some(1));
    }
    Ok(None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Settled {
    /// The program gets what the kernel has answered; errno is as it is to be.
    Done,
    /// Connect once more.
    Again,
    /// lonetd decides.
    Ask,
}

/// What becomes of a connect that had this result.
#[inline(never)]
pub extern "C" fn settle(attempt: &Attempt, result: c_int, begun: &mut Dial) -> Settled {
    let errno = super::errno_of(result);
    let mut settled = Settled::Done;
    let _ = guard(|| {
        let Dial { actor, dial, .. } = begun;
        settled = match dial.finish(actor, errno) {
            Outcome::Done => {
                log::ended(attempt.call(), super::outcome(errno), format_args!(""));
                Settled::Done
            }
            Outcome::Ask => Settled::Ask,
            Outcome::Again => {
                dial.prepare_connect(actor);
                Settled::Again
            }
        };
    });
    Errno::set_raw(if settled == Settled::Done && result != 0 { errno } else { attempt.errno });
    settled
}
