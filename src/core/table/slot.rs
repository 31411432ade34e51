//! Slots: the processes that act on the table, and the sign that one has ended.
//!
//! lonetd gives a process its slot when it joins, and takes it back when it has seen to what the process has left. The slot
//! holds a robust mutex that a thread of the process locks for good. The kernel marks the mutex when that thread ends, before
//! the peers of its sockets see their end and before waitpid returns: a look at one word says whether the process may
//! have ended, where any other way is a system call.
//!
//! The mark says too much, never too little, where the thread ends and the process goes on, and after exec: then what the
//! process holds is asked of the kernel until it joins anew. It says nothing of a process whose libc has registered no list
//! of robust mutexes: that one gets no slot.
//!
//! | phase | what others do with what the process holds |
//! |---|---|
//! | `Free` | nothing refers to the slot |
//! | `Reserved` | the process has not locked its mutex so far, and holds nothing |
//! | `Live` | believe it while the mutex is not marked; else have lonetd look |
//! | `Unverified` | lonetd has looked, and the process lives, or others have its sockets: everything of it is marked suspect |

use super::word::{Word, update};

/// A robust mutex takes 40 bytes on x86-64 and 48 on other machines.
pub const MUTEX_WORDS: usize = 6;

#[repr(C, align(128))]
pub struct Slot<W> {
    mutex: [W; MUTEX_WORDS],
    /// `pid << 32 | host << 16 | phase`
    owner: W,
    /// When the process began, in clock ticks since boot: its pid may be another's later.
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

/// Whose a slot is.
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

/// The bit that the kernel sets in the mutex.
const OWNER_DIED: u32 = 0x4000_0000;

impl<'a, W: Word> Slots<'a, W> {
    pub fn new(all: &'a [Slot<W>], heads: &'a [W]) -> Slots<'a, W> {
        Slots { all, heads }
    }

    pub fn get(self, slot: u16) -> Option<&'a Slot<W>> {
        self.all.get(usize::from(slot))
    }

    /// Whose the slot is; `None`: nobody's.
    pub fn owner(self, slot: u16) -> Option<Owner> {
        Some(Owner::unpack(self.get(slot)?.owner.get())).filter(|o| o.phase != Phase::Free)
    }

    pub fn began(self, slot: u16) -> u64 {
        self.get(slot).map_or(0, |s| s.began.get())
    }

    /// The process may have ended.
    pub fn owner_died(self, slot: u16) -> bool {
        let lock = self.get(slot).map_or(0, |s| s.mutex[0].get());
        // The first four bytes of the mutex are the futex.
        let futex = if cfg!(target_endian = "little") { lock as u32 } else { (lock >> 32) as u32 };
        futex & OWNER_DIED != 0
    }

    /// The process that speaks for a record is there, as far as can be seen without asking anybody.
    pub fn is_live(self, slot: u16) -> bool {
        self.owner(slot).is_some_and(|o| o.phase == Phase::Live) && !self.owner_died(slot)
    }

    /// A process of this host may have ended, and lonetd has not seen to it.
    pub fn has_unseen_end(self, host: u16) -> bool {
        let mut next = self.heads.get(usize::from(host)).map_or(0, Word::get);
        // A slot that is taken back meanwhile may lead into another host's.
        for _ in 0..self.all.len() {
            let Some(slot) = (next as u16).checked_sub(1).filter(|_| next != 0) else { return false };
            if self.owner_died(slot) && self.owner(slot).is_some_and(|o| o.phase == Phase::Live) {
                return true;
            }
            next = self.get(slot).map_or(0, |s| s.next.get());
        }
        false
    }

    /// lonetd's: gives a process a slot.
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

    /// lonetd's: takes a slot back. Nothing refers to it any more.
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

    /// lonetd's: leads to all slots from their hosts anew.
    pub fn link(self) {
        self.heads.iter().filter(|head| head.get() != 0).for_each(|head| head.set(0));
        for (slot, owner) in self.all() {
            if let (Some(s), Some(head)) = (self.get(slot), self.heads.get(usize::from(owner.host))) {
                s.next.set(head.get());
                head.set(u64::from(slot) + 1);
            }
        }
    }

    /// lonetd's: the thread that held the mutex has ended, and another one of its process is to lock it.
    pub fn renew(self, slot: u16) {
        if let Some(s) = self.get(slot) {
            self.enter(slot, Phase::Reserved);
            s.mutex.iter().for_each(|w| w.set(0));
        }
    }

    /// The process has locked its mutex, or lonetd has looked at what it holds.
    pub fn enter(self, slot: u16, phase: Phase) {
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
    /// Where the mutex lies.
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
        /// As the kernel does it when the thread ends.
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
        taken.iter().for_each(|slot| s.enter(*slot, Phase::Live));
        assert!(!s.has_unseen_end(1) && s.is_live(taken[0]));
        all[usize::from(taken[0])].mark();
        assert!(s.has_unseen_end(1) && !s.has_unseen_end(2) && !s.is_live(taken[0]));
        s.enter(taken[0], Phase::Unverified);
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
