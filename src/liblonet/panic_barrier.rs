//! The panic barrier: no panic of the library leaves a hook.
//!
//! On a panic redhook would call the real function with the program's address, so that a bug in lonet would
//! reach the machine's network. Behind the barrier the call fails instead.

use nix::errno::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A point at which scripts/check-panic-barrier makes the library panic: at the n-th that the process
/// reaches, where LONET_PANIC_AT is n. A close of an impossible descriptor marks the point in the test's
/// trace.
#[cfg(feature = "panics")]
#[allow(clippy::panic, reason = "what is tested")]
pub fn panic_point() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static REACHED: AtomicU32 = AtomicU32::new(0);
    static WANTED: once_cell::race::OnceNonZeroUsize = once_cell::race::OnceNonZeroUsize::new();
    let variable = || std::env::var("LONET_PANIC_AT").ok()?.parse().ok();
    let wanted = WANTED.get_or_init(|| variable().unwrap_or(std::num::NonZeroUsize::MAX));
    if REACHED.fetch_add(1, Ordering::Relaxed) as usize + 1 == wanted.get() {
        // SAFETY: no such descriptor.
        unsafe { libc::syscall(libc::SYS_close, -4711) };
        panic!("as LONET_PANIC_AT wants it");
    }
}

#[cfg(not(feature = "panics"))]
#[inline(always)]
pub fn panic_point() {}

/// Runs `work`; `None` if it panicked.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| {
        panic_point();
        work()
    }))
    .ok()
}

/// Runs `work` with thread cancellation disabled: a cancellation cannot pass through a frame that catches
/// panics, and would leak what `work` holds.
pub fn without_cancellation<T>(work: impl FnOnce() -> T) -> T {
    const PTHREAD_CANCEL_DISABLE: libc::c_int = 1;
    unsafe extern "C" {
        fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
    }
    let mut before = 0;
    // SAFETY: the thread's own state, and room for its old value.
    unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
    let result = work();
    // SAFETY: as above.
    unsafe { pthread_setcancelstate(before, std::ptr::null_mut()) };
    result
}

/// Makes panics print nothing: the standard streams are the program's.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Runs `work`, whose failure or panic must not change the result of the call around it; errno stays as it
/// is.
pub fn run_isolated(work: impl FnOnce()) {
    let errno = Errno::last_raw();
    let _ = catch_panic(work);
    Errno::set_raw(errno);
}
