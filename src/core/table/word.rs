//! The atomic words that the table is made of.
//!
//! Everything in the table is a 64-bit word, and every access to one is atomic. The protocols are generic
//! over the word, so that a model checker can substitute its own.
//!
//! Memory order: a load acquires, a store releases, and a read-modify-write does both. A process that sees a
//! value sees everything that its writer had stored before.

use std::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit atomic.
pub trait Word: Send + Sync {
    fn get(&self) -> u64;
    fn set(&self, value: u64);
    /// Compare-and-swap: stores `to` if the value is `is`. `Err`: the actual value.
    fn swap_if(&self, is: u64, to: u64) -> Result<(), u64>;
    /// Sets these bits. Returns the value before.
    fn set_bits(&self, bits: u64) -> u64;
    /// Clears these bits. Returns the value before.
    fn clear_bits(&self, bits: u64) -> u64;
    /// Adds to the word, wrapping. Returns the value before.
    fn add(&self, n: u64) -> u64;
}

impl Word for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Ordering::Acquire)
    }
    fn set(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
    fn swap_if(&self, is: u64, to: u64) -> Result<(), u64> {
        self.compare_exchange(is, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
    fn set_bits(&self, bits: u64) -> u64 {
        self.fetch_or(bits, Ordering::AcqRel)
    }
    fn clear_bits(&self, bits: u64) -> u64 {
        self.fetch_and(!bits, Ordering::AcqRel)
    }
    fn add(&self, n: u64) -> u64 {
        self.fetch_add(n, Ordering::AcqRel)
    }
}

/// Replaces the value of a word by `next` of it, atomically; `next` must be pure, as it is called again after
/// each concurrent change. `None` from `next` leaves the word as it is. Returns the value before.
pub fn update<W: Word>(word: &W, mut next: impl FnMut(u64) -> Option<u64>) -> u64 {
    let mut is = word.get();
    while let Some(to) = next(is) {
        match word.swap_if(is, to) {
            Ok(()) => break,
            Err(now) => is = now,
        }
    }
    is
}
