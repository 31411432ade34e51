//! What another process does as a whole between any two steps of this one.

use crate::table::word::Word;
use std::cell::RefCell;
use std::sync::atomic::AtomicU64;

pub type Other = Box<dyn FnOnce()>;

thread_local! {
    /// How many more steps there are before the other one comes.
    static NEXT: RefCell<Option<(usize, Other)>> = const { RefCell::new(None) };
}

fn step() {
    let other = NEXT.with_borrow_mut(|next| {
        let (steps, other) = next.take()?;
        if steps == 0 {
            return Some(other);
        }
        *next = Some((steps - 1, other));
        None
    });
    other.into_iter().for_each(|other| other());
}

/// A word to which the other one may come before any access.
pub struct Stepped(AtomicU64);

pub fn stepped() -> Stepped {
    Stepped(AtomicU64::new(0))
}

impl Word for Stepped {
    fn get(&self) -> u64 {
        step();
        self.0.get()
    }
    fn set(&self, value: u64) {
        step();
        self.0.set(value);
    }
    fn swap_if(&self, is: u64, to: u64) -> Result<(), u64> {
        step();
        self.0.swap_if(is, to)
    }
    fn set_bits(&self, bits: u64) -> u64 {
        step();
        self.0.set_bits(bits)
    }
    fn clear_bits(&self, bits: u64) -> u64 {
        step();
        self.0.clear_bits(bits)
    }
    fn add(&self, n: u64) -> u64 {
        step();
        self.0.add(n)
    }
}

/// Runs it with the other one before its first step, its second and so on, until it ends before the other one has come.
pub fn at_each_step(run: impl Fn(&dyn Fn(Other))) {
    for steps in 0.. {
        run(&|other| NEXT.set(Some((steps, other))));
        if NEXT.take().is_some() {
            return;
        }
    }
}
