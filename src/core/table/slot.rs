//! Slots: the processes that act on the table, and how others see that one has ended.
//!
//! lonetd gives a process a slot when it joins, and frees the slot when it has cleaned up after the process.
//! The slot holds a robust mutex that a thread of the process locks and never unlocks. The kernel marks the
//! mutex when that thread ends, before the peers of its sockets see their end and before waitpid returns:
//! reading one word tells whether the process may have ended, where any other way is a system call.
//!
//! The mark has false positives, but no false negatives: it is also set if only the thread ends, and at exec.
//! Then the kernel is asked about the process's sockets until it joins again. A process whose libc has
//! registered no list of robust mutexes would never be marked, and gets no slot.
//!
//! | phase | how others treat the sockets of the process |
//! |---|---|
//! | `Free` | nothing refers to the slot |
//! | `Reserved` | the process has not locked its mutex yet, and has no records |
//! | `Live` | as alive while the mutex is not marked; else they have lonetd look |
//! | `Unverified` | all are marked suspect: lonetd has looked; the process is alive, or others hold its sockets |

use super::word::{Word, update};

/// Room for a robust mutex, which takes 40 bytes on x86-64 and 48 on other machines.
pub const MUTEX_WORDS: usize = 6;

/// A process that acts on the table.
#[repr(C, align(128))]
pub struct Slot<W> {
    mutex: [W; MUTEX_WORDS],
    /// `pid << 32 | host << 16 | phase`
    owner: W,
    /// Start time of the process, in clock ticks since boot, as its pid may be reused.
    began: W,
    /// The next slot of the same host, counted from 1.
    next: W,
    _spare: [W; 7],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Free = 0,
    Reserved = 1,
    Live = 2,
    Unverified = 3,
}

/// The process that has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: i32,
    /// The host that the process dials from.
    pub host: u16,
    pub phase: Phase,
}

impl Owner {
    fn unpack(word: u64) -> Owner {
        let phase = match word as u16 {
            1 => Phase::Reserved,
            2 => Phase::Live,
            3 => Phase::Unverified,
            _ => Phase::Free,
        };
        Owner { pid: (word >> 32) as i32, host: (word >> 16) as u16, phase }
    }

    fn pack(self) -> u64 {
        (self.pid as u32 as u64) << 32 | u64::from(self.host) << 16 | self.phase as u64
    }
}

pub struct Slots<'a, W> {
    all: &'a [Slot<W>],
    /// The first slot of each host, counted from 1.
    heads: &'a [W],
}

impl<W> Clone for Slots<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Slots<'_, W> {}

/// FUTEX_OWNER_DIED: the bit that the kernel sets in the mutex.
const OWNER_DIED: u32 = 0x4000_0000;

impl<'a, W: Word> Slots<'a, W> {
    pub fn new(all: &'a [Slot<W>], heads: &'a [W]) -> Slots<'a, W> {
        Slots { all, heads }
    }

    pub fn get(self, slot: u16) -> Option<&'a Slot<W>> {
        self.all.get(usize::from(slot))
    }

    /// The process that has the slot. `None`: the slot is free.
    pub fn owner(self, slot: u16) -> Option<Owner> {
        Some(Owner::unpack(self.get(slot)?.owner.get())).filter(|o| o.phase != Phase::Free)
    }

    /// Start time of the slot's process, in clock ticks since boot.
    pub fn began(self, slot: u16) -> u64 {
        self.get(slot).map_or(0, |s| s.began.get())
    }

    /// Whether the kernel has marked the mutex: the process may have ended.
    pub fn owner_died(self, slot: u16) -> bool {
        let lock = self.get(slot).map_or(0, |s| s.mutex[0].get());
        // The first four bytes of the mutex are the futex.
        let futex = if cfg!(target_endian = "little") { lock as u32 } else { (lock >> 32) as u32 };
        futex & OWNER_DIED != 0
    }

    /// Whether the slot's process is alive, as far as the table tells.
    pub fn is_live(self, slot: u16) -> bool {
        self.owner(slot).is_some_and(|o| o.phase == Phase::Live) && !self.owner_died(slot)
    }

    /// Whether a process of this host may have ended at which lonetd has not looked yet.
    pub fn has_unseen_end(self, host: u16) -> bool {
        let mut next = self.heads.get(usize::from(host)).map_or(0, Word::get);
        // Bounded: a slot that is freed during the walk may lead into another host's list.
        for _ in 0..self.all.len() {
            let Some(slot) = (next as u16).checked_sub(1).filter(|_| next != 0) else { return false };
            if self.owner_died(slot) && self.owner(slot).is_some_and(|o| o.phase == Phase::Live) {
                return true;
            }
            next = self.get(slot).map_or(0, |s| s.next.get());
        }
        false
    }

    /// For lonetd: gives a process a slot. `None`: all are taken.
    pub fn reserve(self, pid: i32, host: u16, began: u64) -> Option<u16> {
        let index = self.all.iter().position(|s| Owner::unpack(s.owner.get()).phase == Phase::Free)?;
        let (slot, head) = (&self.all[index], self.heads.get(usize::from(host))?);
        slot.mutex.iter().for_each(|w| w.set(0));
        slot.began.set(began);
        slot.owner.set(Owner { pid, host, phase: Phase::Reserved }.pack());
        slot.next.set(head.get());
        head.set(index as u64 + 1);
        Some(index as u16)
    }

    /// For lonetd: frees a slot, to which nothing may refer any more.
    pub fn free(self, slot: u16) {
        let (Some(freed), Some(owner)) = (self.get(slot), self.owner(slot)) else { return };
        let this = u64::from(slot) + 1;
        if let Some(head) = self.heads.get(usize::from(owner.host)) {
            let mut link = head;
            for _ in 0..self.all.len() {
                let next = link.get();
                if next == this {
                    link.set(freed.next.get());
                    break;
                }
                let Some(s) = (next as u16).checked_sub(1).and_then(|s| self.get(s)) else { break };
                link = &s.next;
            }
        }
        freed.owner.set(0);
    }

    /// For lonetd: rebuilds the hosts' lists of slots.
    pub fn rebuild_lists(self) {
        self.heads.iter().filter(|head| head.get() != 0).for_each(|head| head.set(0));
        for (slot, owner) in self.all() {
            if let (Some(s), Some(head)) = (self.get(slot), self.heads.get(usize::from(owner.host))) {
                s.next.set(head.get());
                head.set(u64::from(slot) + 1);
            }
        }
    }

    /// For lonetd: resets the mutex, so that another thread of the process can lock it after the first one
    /// has ended.
    pub fn reset_mutex(self, slot: u16) {
        if let Some(s) = self.get(slot) {
            self.set_phase(slot, Phase::Reserved);
            s.mutex.iter().for_each(|w| w.set(0));
        }
    }

    /// Sets the phase of a slot that is not free.
    pub fn set_phase(self, slot: u16, phase: Phase) {
        if let Some(s) = self.get(slot) {
            update(&s.owner, |is| {
                let owner = Owner::unpack(is);
                (owner.phase != Phase::Free).then_some(Owner { phase, ..owner }.pack())
            });
        }
    }

    pub fn all(self) -> impl Iterator<Item = (u16, Owner)> + 'a {
        (0..self.all.len() as u16).filter_map(move |slot| Some((slot, self.owner(slot)?)))
    }
}

impl<W> Slot<W> {
    /// Pointer to the mutex.
    pub fn mutex(&self) -> *mut libc::pthread_mutex_t {
        const { assert!(size_of::<libc::pthread_mutex_t>() <= MUTEX_WORDS * 8) };
        std::ptr::from_ref(&self.mutex).cast_mut().cast()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    pub fn slot<W>(word: fn() -> W) -> Slot<W> {
        let mutex = std::array::from_fn(|_| word());
        let _spare = std::array::from_fn(|_| word());
        Slot { mutex, owner: word(), began: word(), next: word(), _spare }
    }

    fn slots(n: usize) -> (Vec<Slot<AtomicU64>>, Vec<AtomicU64>) {
        let all = (0..n).map(|_| slot(AtomicU64::default)).collect();
        (all, (0..4).map(|_| AtomicU64::new(0)).collect())
    }

    impl<W: Word> Slot<W> {
        /// Marks the mutex as the kernel does when the thread ends.
        pub fn mark(&self) {
            let died = u64::from(OWNER_DIED | 1);
            self.mutex[0].set(if cfg!(target_endian = "little") { died } else { died << 32 });
        }
    }

    #[test]
    fn end_of_a_process_is_seen_by_its_host_alone() {
        let (all, heads) = slots(4);
        let s = Slots::new(&all, &heads);
        let taken = [(7, 1), (8, 2), (9, 1)].map(|(pid, host)| s.reserve(pid, host, 0).expect("a slot"));
        taken.iter().for_each(|slot| s.set_phase(*slot, Phase::Live));
        assert!(!s.has_unseen_end(1) && s.is_live(taken[0]));
        all[usize::from(taken[0])].mark();
        assert!(s.has_unseen_end(1) && !s.has_unseen_end(2) && !s.is_live(taken[0]));
        s.set_phase(taken[0], Phase::Unverified);
        assert!(!s.has_unseen_end(1));
    }

    #[test]
    fn slot_that_was_taken_back_is_given_again_and_no_other_is_lost() {
        let (all, heads) = slots(3);
        let s = Slots::new(&all, &heads);
        let taken = [1, 2, 3].map(|pid| s.reserve(pid, 1, 5).expect("a slot"));
        assert_eq!(s.reserve(4, 1, 5), None);
        s.free(taken[1]);
        assert_eq!(s.all().map(|(_, o)| o.pid).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(s.reserve(4, 2, 6), Some(taken[1]));
        s.free(taken[0]);
        s.free(taken[2]);
        assert_eq!(s.all().map(|(_, o)| (o.pid, o.host)).collect::<Vec<_>>(), [(4, 2)]);
    }
}
