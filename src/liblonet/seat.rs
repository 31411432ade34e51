//! The process's seat in the table: the slot and host that it has joined with, and its dials in progress.
//!
//! They are in a page that the kernel clears in a child of a fork, which joins for itself (`actor`).

use lonet_core::sys::check;
use lonet_core::table::Table;
use lonet_core::table::state::NO_SLOT;
use lonet_core::table::word::Word;
use lonet_sockets::ProcessState;
use lonet_sockets::pending_dials::PendingDials;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The address of the page that is cleared in a child of a fork; 0: there is none.
static PAGE: AtomicUsize = AtomicUsize::new(0);
const PAGE_SIZE: usize = 4096;

/// The contents of the page.
#[repr(C)]
pub struct Page {
    /// A [`Seat`].
    seat: AtomicU64,
    /// The pid of the lonetd that may duplicate this process's sockets; 0: none.
    tracer: AtomicU64,
    pub own: ProcessState,
}

/// How far the process has joined.
#[derive(Clone, Copy)]
pub enum Seat {
    /// Not at all: as after a fork.
    Empty,
    /// A thread is joining.
    Joining,
    /// It cannot join: it asks lonetd for everything.
    CannotJoin,
    Joined {
        slot: u16,
        host: u16,
    },
}

const JOINED: u64 = 1 << 63;
const JOINING: u64 = 1 << 62;
const CANNOT_JOIN: u64 = 1 << 61;

impl Seat {
    /// The word of the page.
    fn word(self) -> u64 {
        match self {
            Seat::Empty => 0,
            Seat::Joining => JOINING,
            Seat::CannotJoin => CANNOT_JOIN,
            Seat::Joined { slot, host } => JOINED | u64::from(slot) << 16 | u64::from(host),
        }
    }

    fn of(word: u64) -> Seat {
        match word {
            _ if word & JOINED != 0 => Seat::Joined { slot: (word >> 16) as u16, host: word as u16 },
            JOINING => Seat::Joining,
            CANNOT_JOIN => Seat::CannotJoin,
            _ => Seat::Empty,
        }
    }

    /// The slot; `NO_SLOT`: none.
    pub fn slot(self) -> u16 {
        if let Seat::Joined { slot, .. } = self { slot } else { NO_SLOT }
    }
}

impl Page {
    pub fn seat(&self) -> Seat {
        Seat::of(self.seat.load(Ordering::Acquire))
    }

    /// Sets the seat to [`Seat::Joining`] if it is still `from`; returns whether it was.
    pub fn begin_joining(&self, from: Seat) -> bool {
        let joining = Seat::Joining.word();
        self.seat.compare_exchange(from.word(), joining, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub fn set_seat(&self, seat: Seat) {
        self.seat.store(seat.word(), Ordering::Release);
    }
}

/// See [`lonet_sockets::Actor::supervises`].
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

pub fn page() -> Option<&'static Page> {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: a page of this process that is never given back; all zeroes is a `Page` of atomic words.
    (page != 0).then(|| unsafe { &*std::ptr::with_exposed_provenance::<Page>(page) })
}

/// This process's slot; `NO_SLOT`: none.
pub fn slot() -> u16 {
    page().map_or(NO_SLOT, |page| page.seat().slot())
}

/// Whether this process supervises programs.
pub fn supervises() -> bool {
    SUPERVISES.load(Ordering::Relaxed)
}

/// This process's dials that have not returned.
pub fn dials() -> Option<&'static PendingDials> {
    page().map(|page| &page.own.dials)
}

/// Permits lonetd to duplicate this process's sockets (pidfd_getfd), for faults, where Yama would forbid it
/// (kernel.yama.ptrace_scope is 1). The permission survives exec. A new lonetd gets it with the next request
/// to it.
pub fn allow_ptrace_by_lonetd(table: Table<'_>) {
    const PR_SET_PTRACER: i32 = 0x5961_6d61;
    let Some(page) = page() else { return };
    let lonetd = table.header().lonetd.get();
    let is_joined = matches!(page.seat(), Seat::Joined { .. });
    // A member that is not the owner's may have written the table, and some values permit every process.
    let is_pid = (1..=i32::MAX as u64).contains(&lonetd);
    if is_joined && is_pid && page.tracer.swap(lonetd, Ordering::Relaxed) != lonetd {
        // Without Yama the call fails, and is not needed.
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_prctl, PR_SET_PTRACER, lonetd, 0, 0, 0) };
    }
}
