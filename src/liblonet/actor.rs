//! The process's own access to its network's table: how it gets a slot there, and when it may act without
//! asking lonetd.
//!
//! A process joins with its first dial, listen or accept: lonetd assigns it a slot, and the joining thread
//! locks the slot's mutex for the rest of its life, so that the other processes notice its end. A child of a
//! fork has the mapping of the table (`table_map`), but no seat (`seat`), and joins for itself.
//!
//! A process that has dropped the owner's uid before it joins does not act by itself. Where anything is
//! missing (the table, a list of robust mutexes, a slot) it asks lonetd for everything.

use crate::ask::{Start, ask_in_call};
use crate::seat::{self, Page, Seat};
use crate::{process, table_map};
use lonet_core::client::Client;
use lonet_core::control::{Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, check};
use lonet_core::table::slot;
use lonet_core::table::state::NO_SLOT;
use lonet_sockets::Actor;
use std::sync::atomic::Ordering;

/// This process as an actor on the table of `client`'s network, which it joins if necessary. `None`: ask
/// lonetd.
///
/// `dials`: the actor's host must be known, as for a dial. `limit`: that of the program's call, for all its requests.
pub fn actor(client: &Client, dials: bool, limit: &mut Limit) -> Option<Actor<'static>> {
    if !process::is_own(client) {
        return None;
    }
    let page = seat::page()?;
    let seat = page.seat();
    if let Some(actor) = seated(client, page, seat).filter(|a| a.host != 0 || !dials) {
        return Some(actor);
    }
    // A call for which lonetd has not answered in time does not ask again.
    if matches!(seat, Seat::Joining | Seat::CannotJoin) || limit.is_over() || !page.begin_joining(seat) {
        return None;
    }
    let joined = join(client, page, dials, seat.slot(), limit);
    // A request that failed is tried again with the next call.
    page.set_seat(joined.unwrap_or(Seat::Empty));
    process::table(client).into_iter().for_each(seat::allow_ptrace_by_lonetd);
    seated(client, page, joined?)
}

/// The actor for a seat. `None`: not joined, or the thread that joined has ended, or the network has.
fn seated(client: &Client, page: &'static Page, seat: Seat) -> Option<Actor<'static>> {
    let Seat::Joined { slot, host } = seat else { return None };
    let table = process::table(client)?;
    let parts = table.parts(table.block()?);
    let supervises = seat::supervises();
    let is_valid = !table_map::has_ended(table) && !parts.slots.owner_died(slot);
    is_valid.then_some(Actor { table, parts, slot, host, supervises, process: &page.own })
}

/// Joins the network, with the slot that the process has, if any. `None`: the request to lonetd failed.
fn join(client: &Client, page: &Page, dials: bool, seat: u16, limit: &mut Limit) -> Option<Seat> {
    if sys::geteuid() != client.owner() || !has_robust_list() {
        return Some(Seat::CannotJoin);
    }
    let reply = ask_in_call(limit, client, &Op::Enter { dials, seat }, Start::Yes).ok()?;
    let Reply::Entered { slot, host } = reply else { return Some(Seat::CannotJoin) };
    table_map::map(client);
    let Some(table) = process::table(client).filter(|_| slot != NO_SLOT) else {
        return Some(Seat::CannotJoin);
    };
    let Some(parts) = table.block().map(|block| table.parts(block)) else { return Some(Seat::CannotJoin) };
    let Some(seat) = parts.slots.get(slot) else { return Some(Seat::CannotJoin) };
    if parts.slots.owner(slot).is_some_and(|o| o.phase == slot::Phase::Reserved) && !lock(seat.mutex()) {
        return Some(Seat::CannotJoin);
    }
    parts.slots.set_phase(slot, slot::Phase::Live);
    page.own.random.store(seed(slot), Ordering::Relaxed);
    Some(Seat::Joined { slot, host })
}

fn seed(slot: u16) -> u64 {
    let mut random = [0u8; 8];
    // SAFETY: the buffer is valid for its length. If it fails, the slot alone tells processes apart.
    unsafe { libc::syscall(libc::SYS_getrandom, random.as_mut_ptr(), random.len(), libc::GRND_NONBLOCK) };
    u64::from_ne_bytes(random) ^ u64::from(slot) << 32
}

/// Whether the kernel marks robust mutexes of this thread when it ends.
fn has_robust_list() -> bool {
    let mut head: usize = 0;
    let mut len: usize = 0;
    // SAFETY: two words to fill; 0 is the calling thread.
    let got = check(unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) });
    got.is_ok() && head != 0
}

/// Locks the slot's mutex for as long as this thread lives. lonetd has left it all zeroes.
fn lock(mutex: *mut libc::pthread_mutex_t) -> bool {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::zeroed();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: attributes of our own, and a mutex in a mapping that stays, which nobody else makes or locks: the slot is
    // this process's, and one thread of it joins at a time.
    unsafe {
        libc::pthread_mutexattr_init(attributes) == 0
            && libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) == 0
            && libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) == 0
            && libc::pthread_mutex_init(mutex, attributes) == 0
            && libc::pthread_mutex_lock(mutex) == 0
    }
}
