//! A dial that reads where it leads instead of asking.
//!
//! The view says where the listener is. lonetd is told in its mailbox, while the kernel connects, and
//! decides as it would have when asked; connect returns when the view says what it has decided. Where that is not
//! what was read, the connection is taken back and lonetd is asked. Whatever the view does not say is asked from the
//! beginning: a destination without a listener here, the first dial of a process, a socket that has an address.
//!
//! The budget, counted by tests/hot_paths_take_few_system_calls.sh: six getsockopt for what the socket is, four calls to
//! bind it to its host's address, one that asks who this is for each of the two words to lonetd, two getsockname,
//! getpid; and a futex where lonetd has to be woken, and one where it is slower than the kernel. A question, for
//! comparison, is eight calls and two switches of the processor.

use super::{Plan, Step, disconnect, set_out, source_of, tell_of};
use crate::address::Address;
use crate::ask::{Start, ask_of, tell_to};
use crate::fence::guard;
use crate::{kernel, process};
use libc::c_int;
use lonet_core::block::{Block, Endpoint, Face, Place};
use lonet_core::client::{Client, TIME_LIMIT};
use lonet_core::control::{Asked, MAX_MESSAGE, Op, Reply, is_under_way};
use lonet_core::sys::getpid;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The address that this process dials from, as lonetd has said once, below its pid: a child of a fork may have a
/// host of its own.
static OWN: AtomicU64 = AtomicU64::new(0);

/// How long lonetd may take to show what it makes of a dial before it is asked.
const PATIENCE: Duration = Duration::from_millis(50);

fn pid() -> u64 {
    getpid() as u64
}

/// lonetd has said where this process dials from.
pub fn learn_own(client: &Client, from: Ipv4Addr) {
    if process::view(client).is_some() {
        OWN.store(pid() << 32 | u64::from(u32::from(from)), Ordering::Relaxed);
    }
}

fn own(block: Block) -> Option<Ipv4Addr> {
    let known = OWN.load(Ordering::Relaxed);
    let ip = Ipv4Addr::from(known as u32);
    (known >> 32 == pid() && ip.octets()[1] == block.number()).then_some(ip)
}

/// Where the view says that a dial to `to` leads, and where it is to come from.
fn way(client: &Client, to: Endpoint) -> Option<(SocketAddrV4, Ipv4Addr)> {
    let view = process::view(client)?;
    let block = process::block()?;
    let from = own(block)?;
    let [_, _, high, low] = from.octets();
    let (host, face, class) = match block.place(to.ip) {
        Place::Host(index, face) => (index, face, 0),
        Place::Loopback(face) | Place::Any(face) => (u16::from_be_bytes([high, low]), face, 1),
        Place::Nobody | Place::Elsewhere => return None,
    };
    let class = class + if face == Face::V6 { 2 } else { 0 };
    Some((view.listener(host, to.port, class)?, from))
}

/// Where a socket is connected to that has dialed `to` before: connect is called again to learn what came of it.
pub fn arrived_at(client: &Client, fd: c_int, cookie: u64, to: Endpoint) -> Option<SocketAddrV4> {
    let entry = process::view(client)?.find(cookie).filter(|e| e.is_dial && e.peer == Some(to))?;
    // What was reset since is connected no more, and dials anew.
    (kernel::remote(fd)?.os()? == entry.os_remote).then_some(entry.os_remote)
}

/// Tells lonetd of a dial that the view knows the way for, and makes the plan for it. `false`: it has to be asked for.
pub fn plan(
    client: &Client,
    fd: c_int,
    (family, asked): (c_int, Asked),
    to: Endpoint,
    local: Option<SocketAddrV4>,
    plan: &mut Plan,
) -> Result<bool, Errno> {
    // What IPV6_V6ONLY keeps from IPv4 addresses is lonetd's to say. A socket with an address may have dialed before, and
    // the view would say at once what became of that dial.
    if local.is_some() || asked.v6only {
        return Ok(false);
    }
    let Some((os, from)) = way(client, to) else { return Ok(false) };
    let mut buffer = [0u8; MAX_MESSAGE];
    let op = Op::SetOut { cookie: plan.cookie, to, from, os, asked };
    if client.say(&op, &mut buffer).is_err() {
        return Ok(false);
    }
    set_out(plan.limit, client, fd, (family, asked), (plan.cookie, Some(from)))?;
    plan.to = to;
    plan.asked = asked;
    plan.target = Address::of_os(os, family);
    plan.os = os;
    plan.step = Step::Seen;
    Ok(true)
}

/// What connect has answered stands, if lonetd has taken the dial for what it was. Else the socket is as it was before,
/// and lonetd is to be asked; where it has been, in vain or with a refusal, the plan is to fail.
pub extern "C" fn stands(fd: c_int, result: c_int, plan: &mut Plan) -> bool {
    let errno = if result == 0 { 0 } else { Errno::last_raw() };
    let mut stands = true;
    let _ = guard(|| stands = is_settled(fd, errno, plan));
    Errno::set_raw(if stands && result != 0 { errno } else { plan.errno });
    stands
}

fn is_settled(fd: c_int, errno: i32, plan: &mut Plan) -> bool {
    let Some(client) = process::client() else { return true };
    // Otherwise the listener has gone, or moved: lonetd knows.
    if is_under_way(errno) {
        let source = source_of(fd);
        match is_taken(&client, source, plan) {
            Ok(true) => {
                tell_of(plan.limit, &client, plan.cookie, source, errno);
                return true;
            }
            Ok(false) => {}
            Err(e) => plan.fail(e),
        }
        disconnect(fd, plan.cookie);
    }
    // Said, not asked: a lonetd that does not answer has had its time, and one that does takes this before the question.
    tell_to(plan.limit, &client, &Op::TakenBack { cookie: plan.cookie });
    false
}

/// Whether lonetd leads the dial where it has been connected to, which is not to the socket itself.
fn is_taken(client: &Client, source: Option<SocketAddrV4>, plan: &mut Plan) -> Result<bool, Errno> {
    if source == Some(plan.os) {
        return Ok(false);
    }
    if let Some(entry) = process::view(client).and_then(|view| view.await_dial(plan.cookie, PATIENCE)) {
        return Ok(entry.os_remote == plan.os);
    }
    let op = Op::Dial { cookie: plan.cookie, to: plan.to, local: source, asked: plan.asked };
    plan.limit = plan.limit.or_of_lonetd(TIME_LIMIT);
    Ok(ask_of(plan.limit, client, &op, Start::Yes)? == Reply::ConnectTo { to: plan.os, from: None })
}
