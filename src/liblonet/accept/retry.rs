//! What a call of accept does when it has found somebody who is not let in.
//!
//! A program that polls before it accepts expects that accept does not wait: where a caller was there before the call, that is
//! kept, and the call fails with ECONNABORTED if there is nobody else. A call that had to wait for somebody goes on waiting: an
//! accept loop that has no answer to an error is not ended by others. Whether a caller was there is looked up
//! beforehand, as nothing tells it afterwards; it takes one system call (0.3 µs), and none of what is not lonet's.

use crate::marks;
use libc::c_int;
use lonet_core::sys;
use nix::errno::Errno;

/// How many are turned away by one call that others do not expect to wait.
const MAX_REJECTED: u32 = 16;

pub struct Retry {
    /// Somebody was there before the call.
    was_readable: bool,
    rejected: u32,
}

impl Retry {
    pub const NATIVE: Retry = Retry { was_readable: false, rejected: 0 };

    /// Of a listener that this process has not seen yet, such as one that it was executed with, nothing is known: it may
    /// be no business of lonet's.
    pub fn begin(listener: c_int) -> Retry {
        Retry { was_readable: marks::get(listener) && has_waiting_peer(listener), rejected: 0 }
    }

    /// Somebody was turned away: whether accept is to be called again. `false`: the call fails with errno.
    pub extern "C" fn after_rejection(&mut self, listener: c_int) -> bool {
        self.rejected = self.rejected.saturating_add(1);
        if !self.was_readable {
            return true;
        }
        let errno = Errno::last_raw();
        // Of a non-blocking listener the kernel says that nobody is there.
        let goes_on = self.rejected < MAX_REJECTED && (has_waiting_peer(listener) || !is_blocking(listener));
        Errno::set_raw(if goes_on { errno } else { libc::ECONNABORTED });
        goes_on
    }
}

fn has_waiting_peer(listener: c_int) -> bool {
    sys::readable_within(listener, 0) == Ok(true)
}

fn is_blocking(listener: c_int) -> bool {
    // SAFETY: no pointers.
    let flags = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, listener, libc::F_GETFL) });
    flags.is_ok_and(|flags| flags & libc::c_long::from(libc::O_NONBLOCK) == 0)
}
