//! The table: the state of a network, in memory that its processes share.
//!
//! # Theory of operation
//!
//! A process that dials, accepts or closes does its own bookkeeping here, with atomic operations and the kernel's answers,
//! and waits for nobody. lonetd does what needs one authority, on the same table: it gives names, indexes and slots, decides
//! about bind and listen, says who listens where, and clears up after the dead.
//!
//! | part | who writes it | what it says |
//! |---|---|---|
//! | [`record`] | the process whose socket it is; lonetd for what it decides | one for each socket: its names and addresses |
//! | [`ports`] | claims: dialing processes; flags: lonetd | who holds which port of a host |
//! | tuples ([`index`]) | dialing processes | dials that nobody has accepted, by the kernel's addresses |
//! | cookies ([`index`]) | who takes a record | records by the kernel's identity of the socket |
//! | [`slot`] | lonetd; the mutex: the process and the kernel | the processes, and whether they may have ended |
//! | [`listeners`] | lonetd | where a dial to a host's port leads |
//! | [`rules`] | lonetd | what is to go wrong between hosts |
//! | [`hops`] | the process that sets an option; lonetd | what programs have set two options to that lonet sets otherwise |
//! | [`events`] | whoever makes one; lonetd leaves those that do not come | what happens, while somebody records it |
//! | hosts, members, names ([`saved`]) | lonetd | what the next lonetd has to know of hosts and processes |
//!
//! **A dial** takes a record, claims the lowest free port with it, enters its connection (source and destination) in the
//! index of tuples, connects, and marks the record `Owned`. Each step is visible before the next one begins; to take a dial
//! back the record is freed first, by which everything that names it becomes nothing, and is cleared afterwards.
//!
//! **An accept** finds the dial by the kernel's addresses of what it has accepted, and marks it `TAKEN`, once. What it finds
//! is believed without a question only if the record is `Owned` and not suspect, and its process is believed; before
//! connect has returned, or where anything is in doubt, the kernel is asked which socket is at the other end.
//!
//! **A close** by the process that made the socket marks its port suspect, before the descriptor is closed. The mark stays:
//! whoever wants a port asks the kernel whether the suspect lives.
//!
//! **Ends that nobody announces** (raw system calls, copies behind the hooks, SIGKILL) lonetd learns from the kernel. A
//! process that ends is seen by the mark in its slot before anybody can know of its end otherwise; who claims a port of its
//! host then has lonetd look first.
//!
//! **Order.** A store releases and a load acquires ([`word`]), and what a program knows of another's deed came through a
//! system call: a step that was finished before another call began is seen by it.

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
pub mod names;
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

/// The parts that dials, accepts and closes work on, of whatever words they are made.
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
    /// Takes a record for a socket and writes it; nobody finds it before [`Parts::show`].
    ///
    /// `from`: where the search for a free record begins.
    pub fn enter(self, from: usize, slot: u16, cookie: u64, entry: &Entry) -> Option<Reference> {
        let reference = self.records.take(from, slot, cookie)?;
        self.records.write(reference, entry, self.block);
        Some(reference)
    }

    /// From now on the record is found by its cookie. `false`: the index has no room.
    pub fn show(self, reference: Reference, cookie: u64) -> bool {
        self.cookies.insert(self.records, cookie_hash(cookie), reference)
    }

    /// The record of a socket. `None`: there is none that can be read.
    pub fn find(self, cookie: u64) -> Option<Found> {
        let found = |reference| self.records.read(reference, self.block).filter(|f| f.cookie == cookie);
        self.cookies.candidates(cookie_hash(cookie)).find_map(found)
    }

    /// As [`Parts::find`], of records in any phase.
    pub fn reference(self, cookie: u64) -> Option<Reference> {
        self.cookies.candidates(cookie_hash(cookie)).find(|r| self.records.cookie(*r) == Some(cookie))
    }

    /// lonetd's: a record with this `entry` takes the place of the socket's, if it has one. `None`: there is no room.
    ///
    /// `slot` and `pid`: of the process that speaks for it. `from`: where the search for a free record begins. `flags`: of its
    /// [`State`](state::State).
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
        // Whoever looks before the old one is freed finds either.
        self.records.change(reference, |s| Some(s.to(Phase::Kept).with(flags)));
        if !self.show(reference, cookie) {
            self.records.change(reference, |s| Some(s.to(Phase::Free)));
            return None;
        }
        if let Some(old) = old {
            self.free(old);
        }
        Some(reference)
    }

    /// Frees a record that can be read, and clears what named it. `false`: somebody else has.
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

    /// Clears what names a record that has been freed.
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

/// The table of a network, mapped.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    layout: &'a Layout,
}

impl<'a> Table<'a> {
    /// The address of the mapping, to keep it in an atomic.
    pub fn address(self) -> usize {
        std::ptr::from_ref(self.layout).expose_provenance()
    }

    /// The table at `address`, which [`Table::address`] gave in this process or one that it is a child of.
    ///
    /// # Safety
    /// `address` is of a mapping that is not taken away meanwhile.
    pub unsafe fn at(address: usize) -> Table<'a> {
        // SAFETY: as the caller promises; all access is atomic.
        Table { layout: unsafe { &*std::ptr::with_exposed_provenance(address) } }
    }

    pub fn header(self) -> &'a Header {
        &self.layout.header
    }

    /// The network's block. `None`: nobody has made anything of the table so far.
    pub fn block(self) -> Option<Block> {
        Block::new(self.header().block.get() as u8)
    }

    /// The range from which the kernel takes source ports.
    pub fn sources(self) -> (u16, u16) {
        let word = self.header().sources.get();
        ((word >> 16) as u16, word as u16)
    }

    /// How many times sockets of the network have begun to listen.
    pub fn listenings(self) -> u64 {
        self.header().listenings.get()
    }

    /// lonetd's: a socket is about to listen. How many times that makes; before a dial can find it.
    pub fn count_listening(self) -> u64 {
        self.header().listenings.add(1) + 1
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
