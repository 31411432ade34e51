//! Runs a test once for each step of a process, with all actions of another process before that step.

use crate::table::word::Word;
use std::cell::RefCell;
use std::sync::atomic::AtomicU64;

/// The actions of the other process.
pub type Other = Box<dyn FnOnce()>;

thread_local! {
    /// The other process, and the number of steps before it acts.
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

/// A word before each access to which the other process may act.
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

/// Calls `run` again and again, with the other process before its first step, its second and so on, until it
/// completes before the other process acts.
pub fn at_each_step(run: impl Fn(&dyn Fn(Other))) {
    for steps in 0.. {
        run(&|other| NEXT.set(Some((steps, other))));
        if NEXT.take().is_some() {
            return;
        }
    }
}
