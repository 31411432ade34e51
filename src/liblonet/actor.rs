//! The process's own access to its network's table: how it gets a slot there, and when it may act without
//! asking lonetd.
//!
//! A process joins with its first dial, listen or accept: lonetd assigns it a slot, and the joining thread
//! locks the slot's mutex for the rest of its life, so that the other processes notice its end. The state of
//! this is in a page that the kernel clears in a child of a fork, which joins for itself. The mapping of the
//! table passes to the child.
//!
//! A process that has dropped the owner's uid before it joins does not act by itself. Where anything is
//! missing (the table, a list of robust mutexes, a slot) it asks lonetd for everything.

use crate::ask::{Start, ask_of};
use crate::process;
use lonet_core::client::Client;
use lonet_core::control::{Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, check};
use lonet_core::table::state::NO_SLOT;
use lonet_core::table::word::Word;
use lonet_core::table::{Parts, Table, slot};
use lonet_sockets::pending_dials::PendingDials;
use lonet_sockets::{Actor, ProcessState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The address of the table's mapping; 0: not mapped.
static TABLE: AtomicUsize = AtomicUsize::new(0);

/// The address of the page that is cleared in a child of a fork; 0: there is none.
static PAGE: AtomicUsize = AtomicUsize::new(0);
const PAGE_SIZE: usize = 4096;

/// The contents of the page.
#[repr(C)]
struct Page {
    /// `JOINED | slot << 16 | host`, `JOINING` while a thread joins, `CANNOT_JOIN`, or 0.
    seat: AtomicU64,
    /// The pid of the lonetd that may duplicate this process's sockets; 0: none.
    tracer: AtomicU64,
    own: ProcessState,
}

const JOINED: u64 = 1 << 63;
const JOINING: u64 = 1 << 62;
const CANNOT_JOIN: u64 = 1 << 61;

/// See [`Actor::supervises`].
static SUPERVISES: AtomicBool = AtomicBool::new(false);

/// Maps the page. Called once, before any hook does anything.
pub fn map_page(supervises: bool) {
    SUPERVISES.store(supervises, Ordering::Relaxed);
    if supervises {
        lonet_core::diag::keep();
    }
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let anywhere = std::ptr::null_mut::<u8>();
    // SAFETY: a new mapping at an address that the kernel chooses.
    let page =
        check(unsafe { libc::syscall(libc::SYS_mmap, anywhere, PAGE_SIZE, protection, flags, -1, 0usize) });
    let Ok(page) = page else { return };
    // SAFETY: the mapping that was just made.
    let wiped = check(unsafe { libc::syscall(libc::SYS_madvise, page, PAGE_SIZE, libc::MADV_WIPEONFORK) });
    if wiped.is_ok() {
        PAGE.store(page as usize, Ordering::Release);
    }
}

fn page() -> Option<&'static Page> {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: a page of this process that is never given back; all zeroes is a `Page` of atomic words.
    (page != 0).then(|| unsafe { &*std::ptr::with_exposed_provenance::<Page>(page) })
}

/// Maps the network's table, if lonetd provides it.
pub fn map(client: &Client) {
    let is = TABLE.load(Ordering::Acquire);
    // SAFETY: a mapping that is never given back.
    if is != 0 && !has_ended(unsafe { Table::at(is) }) {
        return;
    }
    if let Some(mapping) = client.map_table() {
        let address = mapping.table().address();
        if TABLE.compare_exchange(is, address, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // SAFETY: the mapping is never unmapped.
            unsafe { client.look_at(mapping.keep()) };
        }
    }
}

/// Whether the network has ended; a new one of the same name has another table.
fn has_ended(table: Table<'_>) -> bool {
    table.header().service.get() as u32 == 0
}

/// The table of `client`'s network, if that is the environment's and the process maps it.
pub fn table(client: &Client) -> Option<Table<'static>> {
    if process::is_own(client) { mapped_table() } else { None }
}

/// The table of the environment's network, if the process maps it.
pub fn mapped_table() -> Option<Table<'static>> {
    let address = TABLE.load(Ordering::Acquire);
    // SAFETY: a mapping that is never given back.
    (address != 0).then(|| unsafe { Table::at(address) })
}

/// The parts of the environment's network's table, if the process maps it.
pub fn mapped() -> Option<Parts<'static, AtomicU64>> {
    let table = mapped_table()?;
    Some(table.parts(table.block()?))
}

/// This process's slot; `NO_SLOT`: none.
pub fn slot() -> u16 {
    let seat = page().map_or(0, |page| page.seat.load(Ordering::Acquire));
    if seat & JOINED != 0 { (seat >> 16) as u16 } else { NO_SLOT }
}

/// This process's dials that have not returned.
pub fn dials() -> Option<&'static PendingDials> {
    page().map(|page| &page.own.dials)
}

/// This process as an actor on the table of `client`'s network, which it joins if necessary. `None`: ask
/// lonetd.
///
/// `dials`: the actor's host must be known, as for a dial.
pub fn actor(client: &Client, dials: bool) -> Option<Actor<'static>> {
    if !process::is_own(client) {
        return None;
    }
    let page = page()?;
    let is = page.seat.load(Ordering::Acquire);
    if let Some(actor) = seated(client, page, is).filter(|a| a.host != 0 || !dials) {
        return Some(actor);
    }
    if is & (CANNOT_JOIN | JOINING) != 0 {
        return None;
    }
    page.seat.compare_exchange(is, JOINING, Ordering::AcqRel, Ordering::Relaxed).ok()?;
    let seat = join(client, page, dials, if is & JOINED != 0 { (is >> 16) as u16 } else { NO_SLOT });
    // A request that failed is tried again with the next call.
    page.seat.store(seat.unwrap_or(0), Ordering::Release);
    allow_ptrace_by_lonetd(client);
    seated(client, page, seat?)
}

/// The actor for a value of `Page::seat`. `None`: not joined, or the thread that joined has ended, or the
/// network has.
fn seated(client: &Client, page: &'static Page, seat: u64) -> Option<Actor<'static>> {
    let table = table(client).filter(|_| seat & JOINED != 0)?;
    let parts = table.parts(table.block()?);
    let (slot, host) = ((seat >> 16) as u16, seat as u16);
    (!has_ended(table) && !parts.slots.owner_died(slot)).then_some(Actor {
        table,
        parts,
        slot,
        host,
        supervises: SUPERVISES.load(Ordering::Relaxed),
        process: &page.own,
    })
}

/// Permits lonetd to duplicate this process's sockets (pidfd_getfd), for faults, where Yama would forbid it
/// (kernel.yama.ptrace_scope is 1). The permission survives exec. A new lonetd gets it with the next request
/// to it.
pub fn allow_ptrace_by_lonetd(client: &Client) {
    const PR_SET_PTRACER: i32 = 0x5961_6d61;
    let (Some(page), Some(table)) = (page(), table(client)) else { return };
    let lonetd = table.header().lonetd.get();
    let is_joined = page.seat.load(Ordering::Relaxed) & JOINED != 0;
    // A member that is not the owner's may have written the table, and some values permit every process.
    let is_pid = (1..=i32::MAX as u64).contains(&lonetd);
    if is_joined && is_pid && page.tracer.swap(lonetd, Ordering::Relaxed) != lonetd {
        // Without Yama the call fails, and is not needed.
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_prctl, PR_SET_PTRACER, lonetd, 0, 0, 0) };
    }
}

/// Joins the network: the new value of `Page::seat`. `None`: the request to lonetd failed.
fn join(client: &Client, page: &Page, dials: bool, seat: u16) -> Option<u64> {
    if sys::geteuid() != client.owner() || !has_robust_list() {
        return Some(CANNOT_JOIN);
    }
    let reply = ask_of(Limit::NONE, client, &Op::Enter { dials, seat }, Start::Yes).ok()?;
    let Reply::Entered { slot, host } = reply else { return Some(CANNOT_JOIN) };
    map(client);
    let Some(table) = table(client).filter(|_| slot != NO_SLOT) else { return Some(CANNOT_JOIN) };
    let Some(parts) = table.block().map(|block| table.parts(block)) else { return Some(CANNOT_JOIN) };
    let Some(seat) = parts.slots.get(slot) else { return Some(CANNOT_JOIN) };
    if parts.slots.owner(slot).is_some_and(|o| o.phase == slot::Phase::Reserved) && !lock(seat.mutex()) {
        return Some(CANNOT_JOIN);
    }
    parts.slots.set_phase(slot, slot::Phase::Live);
    page.own.random.store(seed(slot), Ordering::Relaxed);
    Some(JOINED | u64::from(slot) << 16 | u64::from(host))
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
