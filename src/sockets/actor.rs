//! A process that acts on the table by itself.

use crate::pending_dials::PendingDials;
use lonet_core::table::events::{Event, Kind};
use lonet_core::table::record::FreeRecordCursor;
use lonet_core::table::{Parts, Table};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who acts: the table of its network, its slot there, and the host that it dials from.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub table: Table<'a>,
    pub parts: Parts<'a, AtomicU64>,
    pub slot: u16,
    /// The index of the host; 0: none so far.
    pub host: u16,
    /// It dials for other processes, which close their sockets unseen: its dials are in doubt as soon as they are made.
    pub supervises: bool,
    pub own: &'a ProcessState,
}

/// What a process keeps to itself; all zeroes at first.
#[repr(C)]
#[derive(Default)]
pub struct ProcessState {
    pub random: AtomicU64,
    pub records: FreeRecordCursor,
    pub dials: PendingDials,
}

impl Actor<'_> {
    /// Makes an event of a host, if somebody records.
    #[inline]
    pub fn note(&self, kind: Kind, host: u16, with: impl FnOnce(&mut Event)) {
        self.table.note(self.slot, || {
            let pid = self.parts.slots.owner(self.slot).map_or(0, |owner| owner.pid);
            let mut event = Event::new(kind, pid, host);
            with(&mut event);
            event
        });
    }

    /// Where the search for a free record begins: processes begin at places of their own, so that each works on few pages,
    /// and not on one that all others work on.
    pub fn first_record(&self) -> usize {
        self.own.records.from(usize::from(self.slot) * 64 % self.parts.records.capacity())
    }

    /// A number that nobody can expect, as source ports are chosen by. (A step of a linear congruential generator.)
    pub fn random(&self) -> u32 {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        let next = self
            .own
            .random
            .load(Ordering::Relaxed)
            .wrapping_mul(FACTOR)
            .wrapping_add(1_442_695_040_888_963_407);
        self.own.random.store(next, Ordering::Relaxed);
        (next >> 33) as u32
    }
}
