//! No panic leaves a hook. redhook would answer a panic by calling the real function, with the address that the
//! program gave: a fault of ours would then reach the machine's network. Here it becomes an error.

use nix::errno::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a hook has decided.
pub enum Decision {
    /// Not lonet's: do what libc does, with the arguments as given.
    Libc,
    /// Done, with this result; errno stays as the program had it.
    Done(libc::c_int),
    Fail(Errno),
}

pub type Decided = Result<Decision, Errno>;

/// Runs `decide`, and `libc` if it says so.
pub fn decide(decide: impl FnOnce() -> Decided, libc: impl FnOnce() -> libc::c_int) -> libc::c_int {
    let errno = Errno::last_raw();
    let decided = catch_unwind(AssertUnwindSafe(decide)).unwrap_or(Err(Errno::EIO));
    match decided {
        Ok(Decision::Libc) => {
            Errno::set_raw(errno);
            libc()
        }
        Ok(Decision::Done(value)) => {
            Errno::set_raw(errno);
            value
        }
        Ok(Decision::Fail(e)) | Err(e) => {
            e.set();
            -1
        }
    }
}

/// Runs `work`; `None` if it panicked.
pub fn guard(work: impl FnOnce()) -> Option<()> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs what cannot fail a call that has already been made; errno stays as it is.
pub fn silently(work: impl FnOnce()) {
    let errno = Errno::last_raw();
    let _ = catch_unwind(AssertUnwindSafe(work));
    Errno::set_raw(errno);
}
