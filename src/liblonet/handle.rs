//! Handles, which a C program holds as `lonet_net *` and `lonet_host *`.
//!
//! A handle is not an address but a number that is never reused: a table index, the generation of that slot,
//! and the kind of handle. A closed handle is therefore recognised with certainty, where the address of a
//! freed object may be another's by then, and nothing that a program passes is ever dereferenced. The object
//! is in a slot and is freed by its last user, so that a thread may close a host on which another one dials.
//!
//! There is no lock: each operation is one compare-and-swap of the slot's state. So handles work in signal
//! handlers, and in the child of a fork whatever other threads were doing; what those held is never freed in
//! that child.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The top 16 bits of every handle: no address of user memory has them.
const MAGIC: u64 = 0x4c4e;

/// A slot's state: the number of users in the low bits, how it ended, whether it is open, and its generation.
const USERS: u64 = (1 << 20) - 1;
const WITH_NETWORK: u64 = 1 << 20;
const OPEN: u64 = 1 << 21;
const GENERATION_SHIFT: u32 = 32;
const GENERATIONS: u64 = (1 << 30) - 1;

struct Slot<T> {
    state: AtomicU64,
    object: AtomicPtr<T>,
}

/// All handles of one kind, which is 1 to 3. All zero at first, so that it takes no room in the file (.bss),
/// and no memory before it is used.
pub struct Table<T: 'static, const KIND: u64, const N: usize> {
    slots: [Slot<T>; N],
    /// The slots from this one on were never used.
    end: AtomicUsize,
}

/// Why a handle has no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Null, or no handle that was ever given.
    NoHandle,
    /// Closed.
    Closed,
    /// Closed when its network was left.
    ClosedWithNetwork,
}

/// A reference to an object, which keeps it alive until it is dropped, also if its handle is closed
/// meanwhile.
pub struct Used<T: 'static> {
    slot: &'static Slot<T>,
    object: *const T,
    pub handle: u64,
    _not_send: PhantomData<*const ()>,
}

impl<T> Deref for Used<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot keeps the object for as long as it has users, and this is one.
        unsafe { &*self.object }
    }
}

impl<T> Used<T> {
    pub fn is_open(&self) -> bool {
        self.slot.state.load(Ordering::Acquire) & OPEN != 0
    }
}

impl<T> Drop for Used<T> {
    fn drop(&mut self) {
        let mut state = self.slot.state.load(Ordering::Acquire);
        loop {
            let last = state & USERS == 1 && state & OPEN == 0;
            if last {
                // No other user can come or go: the slot is not open, and available for another object only
                // when it has no users.
                let object = self.slot.object.swap(null_mut(), Ordering::AcqRel);
                if !object.is_null() {
                    // SAFETY: it came from a Box and this was its last user.
                    drop(unsafe { Box::from_raw(object) });
                }
            }
            match self.slot.state.compare_exchange_weak(state, state - 1, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }
}

impl<T: 'static, const KIND: u64, const N: usize> Table<T, KIND, N> {
    pub const fn new() -> Self {
        assert!(
            N <= 1 << 14 && KIND >= 1 && KIND <= 3,
            "a handle has 14 bits for the slot and 2 for the kind"
        );
        Table {
            slots: [const { Slot { state: AtomicU64::new(0), object: AtomicPtr::new(null_mut()) } }; N],
            end: AtomicUsize::new(0),
        }
    }

    fn handle(&self, index: usize, generation: u64) -> u64 {
        MAGIC << 48 | generation << 18 | (index as u64) << 2 | KIND
    }

    /// Makes a handle for `object`, with a reference for the caller. `None`: all slots are taken.
    pub fn open(&'static self, object: T) -> Option<Used<T>> {
        for (index, slot) in self.slots.iter().enumerate() {
            let state = slot.state.load(Ordering::Relaxed);
            if state & (USERS | OPEN) != 0 {
                continue;
            }
            let generation = ((state >> GENERATION_SHIFT) + 1) & GENERATIONS;
            let claimed = generation << GENERATION_SHIFT | 1;
            if slot.state.compare_exchange(state, claimed, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            let object = Box::into_raw(Box::new(object));
            slot.object.store(object, Ordering::Release);
            slot.state.fetch_or(OPEN, Ordering::AcqRel);
            self.end.fetch_max(index + 1, Ordering::AcqRel);
            return Some(Used {
                slot,
                object,
                handle: self.handle(index, generation),
                _not_send: PhantomData,
            });
        }
        None
    }

    fn find(&'static self, handle: u64) -> Result<(&'static Slot<T>, u64), Stale> {
        let index = (handle >> 2) as usize & ((1 << 14) - 1);
        let generation = (handle >> 18) & GENERATIONS;
        let slot = self.slots.get(index).ok_or(Stale::NoHandle)?;
        let used = slot.state.load(Ordering::Acquire) >> GENERATION_SHIFT;
        if handle != self.handle(index, generation) || generation == 0 || generation > used {
            return Err(Stale::NoHandle);
        }
        Ok((slot, generation))
    }

    /// A reference to the object of a handle.
    pub fn get(&'static self, handle: u64) -> Result<Used<T>, Stale> {
        let (slot, generation) = self.find(handle)?;
        let mut state = slot.state.load(Ordering::Acquire);
        loop {
            check(state, generation)?;
            match slot.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        Ok(Used { slot, object: slot.object.load(Ordering::Acquire), handle, _not_send: PhantomData })
    }

    /// Closes a handle; if several threads try, one succeeds.
    pub fn close(&'static self, handle: u64, with_network: bool) -> Result<Used<T>, Stale> {
        let (slot, generation) = self.find(handle)?;
        let mut state = slot.state.load(Ordering::Acquire);
        loop {
            check(state, generation)?;
            let how = if with_network { WITH_NETWORK } else { 0 };
            let closed = (state & !OPEN | how) + 1;
            match slot.state.compare_exchange_weak(state, closed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        Ok(Used { slot, object: slot.object.load(Ordering::Acquire), handle, _not_send: PhantomData })
    }

    /// References to all objects whose handles are open.
    pub fn all(&'static self) -> impl Iterator<Item = Used<T>> {
        (0..self.end.load(Ordering::Acquire)).filter_map(move |index| {
            let state = self.slots[index].state.load(Ordering::Acquire);
            self.get(self.handle(index, state >> GENERATION_SHIFT)).ok()
        })
    }
}

fn check(state: u64, generation: u64) -> Result<(), Stale> {
    match state >> GENERATION_SHIFT == generation {
        true if state & OPEN != 0 => Ok(()),
        true if state & WITH_NETWORK != 0 => Err(Stale::ClosedWithNetwork),
        _ => Err(Stale::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn closed_handle_is_stale_and_never_reused() {
        static TABLE: Table<String, 1, 2> = Table::new();
        let first = TABLE.open("a".into()).map(|u| u.handle).expect("a slot");
        assert_eq!(TABLE.get(first).map(|u| u.clone()), Ok("a".to_owned()));
        drop(TABLE.close(first, false));
        let second = TABLE.open("b".into()).map(|u| u.handle).expect("the same slot");
        assert_ne!(first, second);
        assert_eq!(TABLE.get(first).err(), Some(Stale::Closed));
        assert_eq!(TABLE.close(first, false).err(), Some(Stale::Closed));
        drop(TABLE.close(second, true));
        assert_eq!(TABLE.get(second).err(), Some(Stale::ClosedWithNetwork));
    }

    #[test]
    fn unknown_number_is_no_handle() {
        static HOSTS: Table<u8, 1, 2> = Table::new();
        static NETS: Table<u8, 2, 2> = Table::new();
        let host = HOSTS.open(1).map(|u| u.handle).expect("a slot");
        for wrong in [0, 1, 4096, 0x7fff_0000_0000, u64::MAX, host + 4, host + (1 << 18)] {
            assert_eq!(HOSTS.get(wrong).err(), Some(Stale::NoHandle), "{wrong:x}");
        }
        assert_eq!(NETS.get(host).err(), Some(Stale::NoHandle));
    }

    #[test]
    fn object_lives_as_long_as_a_reference() {
        static TABLE: Table<Arc<()>, 1, 1> = Table::new();
        let watch = Arc::new(());
        let user = TABLE.open(watch.clone()).expect("a slot");
        drop(TABLE.close(user.handle, false));
        assert!(!user.is_open() && TABLE.open(watch.clone()).is_none());
        assert_eq!(Arc::strong_count(&watch), 2);
        drop(user);
        assert_eq!(Arc::strong_count(&watch), 1);
        assert!(TABLE.open(watch.clone()).is_some());
    }

    #[test]
    fn threads_open_use_and_close_concurrently() {
        static TABLE: Table<u64, 1, 4> = Table::new();
        std::thread::scope(|scope| {
            for n in 0..4u64 {
                scope.spawn(move || {
                    for i in 0..10_000 {
                        let Some(used) = TABLE.open(n << 32 | i) else { continue };
                        assert_eq!(TABLE.get(used.handle).map(|u| *u).ok(), Some(n << 32 | i));
                        assert!(TABLE.all().count() <= 4);
                        assert!(TABLE.close(used.handle, false).is_ok());
                    }
                });
            }
        });
        assert_eq!(TABLE.all().count(), 0);
    }
}
