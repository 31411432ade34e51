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
const MOST: u32 = 16;

pub struct Turn {
    /// Somebody was there before the call.
    at_once: bool,
    turned_away: u32,
}

impl Turn {
    pub const NATIVE: Turn = Turn { at_once: false, turned_away: 0 };

    /// Of a listener that this process has not seen yet, such as one that it was executed with, nothing is known: it may
    /// be no business of lonet's.
    pub fn begin(listener: c_int) -> Turn {
        Turn { at_once: marks::get(listener) && somebody_waits(listener), turned_away: 0 }
    }

    /// Somebody was turned away: whether accept is to be called again. `false`: the call fails with errno.
    pub extern "C" fn goes_on(&mut self, listener: c_int) -> bool {
        self.turned_away = self.turned_away.saturating_add(1);
        if !self.at_once {
            return true;
        }
        let errno = Errno::last_raw();
        // Of a non-blocking listener the kernel says that nobody is there.
        let goes_on = self.turned_away < MOST && (somebody_waits(listener) || !may_wait(listener));
        Errno::set_raw(if goes_on { errno } else { libc::ECONNABORTED });
        goes_on
    }
}

fn somebody_waits(listener: c_int) -> bool {
    sys::readable_within(listener, 0) == Ok(true)
}

fn may_wait(listener: c_int) -> bool {
    // SAFETY: no pointers.
    let flags = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, listener, libc::F_GETFL) });
    flags.is_ok_and(|flags| flags & libc::c_long::from(libc::O_NONBLOCK) == 0)
}
