//! The decision whether accept goes on after it has rejected a connection.
//!
//! A program that polls before it accepts expects accept not to wait: where a connection waited before the
//! call, the call fails with ECONNABORTED once no other one waits. A call that had to wait goes on waiting:
//! rejected peers must not end an accept loop that does not handle errors. Whether a connection waited must
//! be looked up before the call, as nothing tells it afterwards; that takes one system call (0.3 µs), and
//! none for a listener that is not lonet's.
//!
//! All connections that one call rejects share the time limit for a lonetd that does not answer. Where it has answered, or the
//! call waits for peers again, another one begins: what the call waits for then is not lonetd.

use crate::{descriptor_hints, kernel};
use libc::c_int;
use lonet_core::limit::Limit;
use lonet_core::sys;
use nix::errno::Errno;

/// The most connections that one call rejects if it is expected not to wait.
const MAX_REJECTED: u32 = 16;

pub struct Retry {
    /// A connection waited before the call.
    was_readable: bool,
    rejected: u32,
}

impl Retry {
    pub const NATIVE: Retry = Retry { was_readable: false, rejected: 0 };

    /// Called before accept. Looks only at listeners that have a descriptor hint: one without, such as one
    /// inherited by exec, may not be lonet's.
    pub fn begin(listener: c_int) -> Retry {
        Retry { was_readable: descriptor_hints::is_set(listener) && has_waiting_peer(listener), rejected: 0 }
    }

    /// Called after a connection was rejected: whether to call accept again. `false`: the call fails with
    /// errno. `limit`: that of the call for lonetd.
    // Not inlined: the clean-up of what this calls would be the hook's, and cancellation could not pass through that.
    #[inline(never)]
    pub extern "C" fn after_rejection(&mut self, listener: c_int, limit: &mut Limit) -> bool {
        self.rejected = self.rejected.saturating_add(1);
        let errno = Errno::last_raw();
        let waits = || !self.was_readable && !has_waiting_peer(listener) && kernel::is_blocking(listener);
        if !limit.is_over() || waits() {
            *limit = Limit::NONE;
        }
        if !self.was_readable {
            Errno::set_raw(errno);
            return true;
        }
        // On a non-blocking listener the kernel itself reports that no connection waits.
        let goes_on =
            self.rejected < MAX_REJECTED && (has_waiting_peer(listener) || !kernel::is_blocking(listener));
        Errno::set_raw(if goes_on { errno } else { libc::ECONNABORTED });
        goes_on
    }
}

fn has_waiting_peer(listener: c_int) -> bool {
    sys::readable_within(listener, 0) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    #[test]
    fn limit_of_an_answered_request_ends_with_the_rejection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let _waiting = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        for was_readable in [false, true] {
            let after = |mut limit: Limit| {
                let mut retry = Retry { was_readable, rejected: 0 };
                assert!(retry.after_rejection(listener.as_raw_fd(), &mut limit));
                limit.left()
            };
            assert_eq!(after(Limit::within(Duration::from_secs(60))), None);
            assert_eq!(after(Limit::within(Duration::ZERO)), Some(0), "lonetd has not answered");
        }
    }
}
