//! The table: the state of a network, in shared memory that all its processes map.
//!
//! # Theory of operation
//!
//! A process that dials, accepts or closes does its own bookkeeping here, with atomic operations and by
//! asking the kernel; it waits for no other process. lonetd works on the same table and does what needs one
//! authority: it assigns names, indexes and slots, decides about bind and listen, publishes the listeners,
//! and cleans up after processes that have ended.
//!
//! | part | writer | contents |
//! |---|---|---|
//! | [`record`] | the socket's process; lonetd for what it decides | names and addresses of each socket |
//! | [`ports`] | claims: dialing processes; flags: lonetd | which socket holds which port of a host |
//! | tuples ([`index`]) | dialing processes | dials not yet accepted, by the kernel's addresses |
//! | cookies ([`index`]) | whoever takes a record | records by SO_COOKIE |
//! | [`slot`] | lonetd; the mutex: the process and the kernel | the processes, and whether they may have ended |
//! | [`listeners`] | lonetd | OS address and record of the listener for each host and port |
//! | [`rules`] | lonetd | faults to inject between hosts |
//! | [`hops`] | the process that sets an option; lonetd | the program's values of options that lonet overrides |
//! | [`events`] | whoever makes one; lonetd skips those that never arrive | what happens, while it is recorded |
//! | hosts, members, names ([`saved`]) | lonetd | what the next lonetd restores of hosts and processes |
//!
//! **A dial** takes a record, claims the lowest free port with it, enters its connection (source and
//! destination) in the index of tuples, connects, and marks the record `Owned`. Each step is visible before
//! the next one begins. To roll a dial back, its record is freed first, which invalidates every reference to
//! it; the references are cleared afterwards.
//!
//! **An accept** finds the dial by the kernel's addresses of the accepted connection, and marks it `TAKEN`,
//! once. It trusts the record without asking the kernel only if the record is `Owned` and not suspect and its
//! process is live. Before connect has returned, or if anything is unverified, it asks the kernel which
//! socket is at the other end.
//!
//! **A close** by the process that made the socket marks its port suspect before the descriptor is closed.
//! The mark stays: whoever wants the port asks the kernel whether the suspect is alive.
//!
//! **Ends that no hook announces** (raw system calls, copies behind the hooks, SIGKILL): the kernel tells
//! lonetd. The kernel marks the slot of a process that ends before anybody can learn of the end in another
//! way; whoever then claims a port of that host has lonetd look first.
//!
//! **Order.** A store releases and a load acquires ([`word`]), and a program learns of another's action
//! through a system call only: a step finished before another call began is visible to that call.

mod abstract_name;
pub mod claim;
pub mod dial;
pub mod entry;
pub mod event;
pub mod events;
pub mod hops;
pub mod index;
pub mod layout;
pub mod listeners;
mod map;
pub mod names_generation;
pub mod ports;
pub mod record;
pub mod rules;
pub mod saved;
mod service;
pub mod slot;
pub mod state;
#[cfg(test)]
mod tests;
pub mod word;

pub use map::Mapping;

use crate::block::Block;
use entry::Entry;
use index::{Index, cookie_hash, tuple_hash};
use layout::{Header, Layout};
use listeners::Listeners;
use ports::Ports;
use record::{Found, Records};
use slot::Slots;
use state::{Phase, Reference};
use std::sync::atomic::AtomicU64;
use word::Word;

/// The parts of the table that dials, accepts and closes use; generic over the word for the tests.
pub struct Parts<'a, W> {
    pub block: Block,
    pub records: Records<'a, W>,
    pub cookies: Index<'a, W>,
    pub tuples: Index<'a, W>,
    pub ports: Ports<'a, W>,
    pub slots: Slots<'a, W>,
    pub listeners: Listeners<'a, W>,
}

impl<W> Clone for Parts<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Parts<'_, W> {}

impl<W: Word> Parts<'_, W> {
    /// Takes a record for a socket and writes its body. [`Parts::index_record`] makes it findable.
    ///
    /// `from`: number of the record at which the search for a free one begins. `None`: all are taken.
    pub fn enter(self, from: usize, slot: u16, cookie: u64, entry: &Entry) -> Option<Reference> {
        let reference = self.records.take(from, slot, cookie)?;
        self.records.write(reference, entry, self.block);
        Some(reference)
    }

    /// Makes the record findable by its cookie. `false`: the index has no room.
    pub fn index_record(self, reference: Reference, cookie: u64) -> bool {
        self.cookies.insert(self.records, cookie_hash(cookie), reference)
    }

    /// The record of the socket with this cookie. `None`: it has none, or one that is still being written.
    pub fn find(self, cookie: u64) -> Option<Found> {
        let found = |reference| self.records.read(reference, self.block).filter(|f| f.cookie == cookie);
        self.cookies.candidates(cookie_hash(cookie)).find_map(found)
    }

    /// Reference to the record of the socket with this cookie, in any phase but `Free`.
    pub fn reference(self, cookie: u64) -> Option<Reference> {
        self.cookies.candidates(cookie_hash(cookie)).find(|r| self.records.cookie(*r) == Some(cookie))
    }

    /// For lonetd: gives the socket a record with this `entry`, in place of the one that it may have. `None`:
    /// there is no room.
    ///
    /// `slot` and `pid`: of the process that owns the socket. `from`: as for [`Parts::enter`]. `flags`: of
    /// the new record's [`State`](state::State).
    pub fn keep(
        self,
        from: usize,
        cookie: u64,
        (slot, pid): (u16, i32),
        entry: &Entry,
        flags: u8,
    ) -> Option<Reference> {
        let old = self.reference(cookie);
        let reference = self.enter(from, slot, cookie, entry)?;
        self.records.set_pid(reference, pid);
        // A reader may find either until the old one is freed; each is consistent.
        self.records.change(reference, |s| Some(s.to(Phase::Kept).with(flags)));
        if !self.index_record(reference, cookie) {
            self.records.change(reference, |s| Some(s.to(Phase::Free)));
            return None;
        }
        if let Some(old) = old {
            self.free(old);
        }
        Some(reference)
    }

    /// Frees a record, and clears the references to it if its body was written. `false`: it was free already.
    pub fn free(self, reference: Reference) -> bool {
        let found = self.records.read(reference, self.block);
        if self.records.change(reference, |s| Some(s.to(Phase::Free))).is_none() {
            return false;
        }
        if let Some(Found { cookie, entry, .. }) = found {
            self.clear(reference, cookie, &entry);
        }
        true
    }

    /// Clears the references to a record that has been freed.
    fn clear(self, reference: Reference, cookie: u64, entry: &Entry) {
        self.cookies.remove(cookie_hash(cookie), reference);
        self.clear_tuple(reference, entry);
        self.ports.release(entry.host, entry.port, reference);
    }

    fn clear_tuple(self, reference: Reference, entry: &Entry) {
        if let Some(call) = entry.call {
            self.tuples.remove(tuple_hash(call.os_local, call.os_remote), reference);
        }
    }
}

/// A network's table, mapped into this process.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    layout: &'a Layout,
}

impl<'a> Table<'a> {
    /// Address of the mapping, for storage in an atomic.
    pub fn address(self) -> usize {
        std::ptr::from_ref(self.layout).expose_provenance()
    }

    /// The table at `address`, which [`Table::address`] returned in this process or an ancestor.
    ///
    /// # Safety
    /// The mapping at `address` must stay for as long as the result is used.
    pub unsafe fn at(address: usize) -> Table<'a> {
        // SAFETY: as the caller promises; all access is atomic.
        Table { layout: unsafe { &*std::ptr::with_exposed_provenance(address) } }
    }

    pub fn header(self) -> &'a Header {
        &self.layout.header
    }

    /// The network's block of addresses. `None`: no lonetd has initialised the table yet.
    pub fn block(self) -> Option<Block> {
        Block::new(self.header().block.get() as u8)
    }

    /// Lowest and highest port of the range from which the kernel takes source ports.
    pub fn sources(self) -> (u16, u16) {
        let word = self.header().sources.get();
        ((word >> 16) as u16, word as u16)
    }

    /// Number of times that sockets of the network have begun to listen.
    pub fn listen_count(self) -> u64 {
        self.header().listen_count.get()
    }

    /// For lonetd: counts a socket that is about to listen, before dials can find it. Returns the new count.
    pub fn count_listen(self) -> u64 {
        self.header().listen_count.add(1) + 1
    }

    pub fn parts(self, block: Block) -> Parts<'a, AtomicU64> {
        let (l, h) = (self.layout, self.header());
        Parts {
            block,
            records: Records::new(&l.records, &h.records_used),
            cookies: Index::new(&l.cookies),
            tuples: Index::new(&l.tuples),
            ports: Ports::new(&l.directory, &l.pages, &l.marks),
            slots: Slots::new(&l.slots, &l.heads),
            listeners: Listeners::new(&l.listeners),
        }
    }
}
