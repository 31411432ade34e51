//! A process that acts on the table by itself, without asking lonetd.

use crate::pending_dials::PendingDials;
use lonet_core::table::events::{Event, Kind};
use lonet_core::table::record::FreeRecordCursor;
use lonet_core::table::{Parts, Table};
use std::sync::atomic::{AtomicU64, Ordering};

/// The acting process: the table of its network, its slot there, and the host that it dials from.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub table: Table<'a>,
    pub parts: Parts<'a, AtomicU64>,
    pub slot: u16,
    /// Index of the host; 0: none yet.
    pub host: u16,
    /// The process dials for supervised programs, whose closes go unseen: its dials are suspect from the
    /// beginning.
    pub supervises: bool,
    pub process: &'a ProcessState,
}

/// State of a process that is not in the table. All zeroes at first.
#[repr(C)]
#[derive(Default)]
pub struct ProcessState {
    /// State of the random number generator.
    pub random: AtomicU64,
    pub records: FreeRecordCursor,
    pub dials: PendingDials,
}

impl Actor<'_> {
    /// Writes an event of a host, if events are recorded.
    #[inline]
    pub fn note(&self, kind: Kind, host: u16, with: impl FnOnce(&mut Event)) {
        self.table.note(self.slot, || {
            let pid = self.parts.slots.owner(self.slot).map_or(0, |owner| owner.pid);
            let mut event = Event::new(kind, pid, host);
            with(&mut event);
            event
        });
    }

    /// Index at which the search for a free record begins. Each process has a base of its own, so that it
    /// works on few pages, and not on those of all others.
    pub fn first_record(&self) -> usize {
        self.process.records.from(usize::from(self.slot) * 64 % self.parts.records.capacity())
    }

    /// A random number for the choice of source ports, by a linear congruential generator.
    pub fn random(&self) -> u32 {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        let next = self
            .process
            .random
            .load(Ordering::Relaxed)
            .wrapping_mul(FACTOR)
            .wrapping_add(1_442_695_040_888_963_407);
        self.process.random.store(next, Ordering::Relaxed);
        (next >> 33) as u32
    }
}
