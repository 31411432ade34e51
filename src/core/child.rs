//! Runs work that needs a descriptor in a child process, when this process has no descriptor left.
//!
//! The child is made by a bare clone without an exit signal, as `start` makes lonetd: the program gets no
//! SIGCHLD, and its wait(-1) finds nothing. The child closes a descriptor in its copy of the descriptor table
//! and stores the result in shared memory. All signals are blocked meanwhile, so that no handler of the
//! program runs in the child.

use crate::launch;
use crate::sys::{self, check};
use nix::errno::Errno;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// The page that the two processes share.
struct Shared<T> {
    is_done: AtomicU32,
    result: std::mem::MaybeUninit<T>,
}

const PAGE: usize = 4096;
const ALL_SIGNALS: u64 = u64::MAX;

fn set_signal_mask(mask: u64) -> sys::Result<u64> {
    let mut before = 0u64;
    // SAFETY: two masks of the size that is passed.
    check(unsafe {
        let (new, old) = (&raw const mask, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, size_of::<u64>())
    })?;
    Ok(before)
}

/// Runs `work` in a child in which the descriptor `spare` is closed, and returns what it returns.
///
/// `work` may use system calls and existing memory only, as after fork in a program with threads. `T` must
/// not hold anything that belongs to one process, such as a descriptor. After an error there is no result,
/// and the parent is unchanged.
pub fn run_in_child<T: Copy>(spare: RawFd, work: impl FnOnce() -> T) -> sys::Result<T> {
    const { assert!(size_of::<Shared<T>>() <= PAGE && align_of::<Shared<T>>() <= PAGE) }
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping where the kernel likes.
    let page = unsafe { sys::mmap(std::ptr::null_mut(), PAGE, both, flags, -1) }?;
    let shared = page.cast::<Shared<T>>();
    let child = set_signal_mask(ALL_SIGNALS).and_then(|mask| {
        // Flags 0: no exit signal, nothing shared but what fork shares.
        // SAFETY: like fork; the child never leaves this function, and keeps to what `work` promises.
        let child = check(unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) });
        if child == Ok(0) {
            // SAFETY: the page belongs to this process and its parent, which reads the result after the flag
            // is set.
            unsafe {
                libc::syscall(libc::SYS_close, spare);
                if let Ok(result) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                    (&raw mut (*shared).result).write(std::mem::MaybeUninit::new(result));
                    (*shared).is_done.store(1, Ordering::Release);
                }
                loop {
                    libc::syscall(libc::SYS_exit_group, 0);
                }
            }
        }
        if let Ok(child) = child {
            launch::wait_for(child as i32);
        }
        let _ = set_signal_mask(mask);
        child
    });
    // SAFETY: a fresh page is zero, which is a flag that is not set; if the child has set it there is a
    // result.
    let result = unsafe {
        let is_done = (*shared).is_done.load(Ordering::Acquire) == 1;
        is_done.then(|| (*shared).result.assume_init_read())
    };
    // SAFETY: the child has ended, and the result is a copy.
    unsafe { sys::munmap(page, PAGE) };
    child?;
    // The child was killed.
    result.ok_or(Errno::ECHILD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> sys::Fd {
        sys::open(c"/dev/null", libc::O_RDONLY).expect("a descriptor")
    }

    fn is_open(fd: RawFd) -> bool {
        // SAFETY: no pointers.
        unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn spare_descriptor_is_closed_in_the_child_alone() {
        let (spare, other) = (null(), null());
        let seen = run_in_child(spare.raw(), || (is_open(spare.raw()), is_open(other.raw())));
        assert_eq!(seen, Ok((false, true)));
        assert!(is_open(spare.raw()));
    }

    #[test]
    fn child_that_is_killed_gives_no_result() {
        let spare = null();
        let result = run_in_child(spare.raw(), || {
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_kill, sys::getpid(), libc::SIGKILL) };
        });
        assert_eq!(result, Err(Errno::ECHILD));
    }

    #[test]
    fn signal_mask_is_as_before() {
        let before = set_signal_mask(1 << 9).expect("a mask");
        run_in_child(null().raw(), || {}).expect("a result");
        assert_eq!(set_signal_mask(before), Ok(1 << 9));
    }
}
