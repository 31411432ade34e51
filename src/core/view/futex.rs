//! Words in the view that processes wait for.

use crate::sys;
use nix::errno::Errno;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// The futex in a word of the view.
pub fn word(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: within the word, whose lifetime it gets, and never used as anything else than this.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
}

/// Waits until the word is woken, if it still `is` that. `false`: the time is over.
pub fn wait(word: &AtomicU32, is: u32, limit: Duration) -> bool {
    let limit = libc::timespec {
        tv_sec: limit.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: limit.subsec_nanos() as libc::c_long,
    };
    // SAFETY: a futex in a mapping, which is shared and may be read-only, and a time to read.
    let woken = sys::check(unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, is, &raw const limit)
    });
    woken != Err(Errno::ETIMEDOUT)
}

/// Wakes whoever waits for it.
pub fn wake(word: &AtomicU32) {
    // SAFETY: a futex in a mapping.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
