//! What the supervisor may and its caller may not: a program that root has begun, and that has given up its user id, is not to
//! bind by its supervisor what it could not bind itself.
//!
//! Of the capabilities one counts: what else the kernel asks for, it asks for where the program has made the socket, or in calls
//! that do not come here.

use super::caller::{CallError, Caller};
use lonet_core::sys::{self, check};
use std::os::unix::fs::MetadataExt;

/// From linux/capability.h.
const VERSION: u32 = 0x2008_0522;
const CAP_NET_BIND_SERVICE: u64 = 1 << 10;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// The sets of the lower 32 capabilities, and then those of the upper.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Of this thread.
fn capget() -> sys::Result<[CapabilitySet; 2]> {
    let (header, mut sets) = (Header { version: VERSION, pid: 0 }, [CapabilitySet::default(); 2]);
    // SAFETY: a header, and the two sets of its version.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) })?;
    Ok(sets)
}

/// Of this thread alone.
fn capset(sets: &[CapabilitySet; 2]) -> sys::Result<()> {
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }).map(drop)
}

/// Does what binds a socket for the caller, with no right to privileged ports that the caller has not.
pub fn with_rights_of<T>(caller: &Caller, bind: impl FnOnce() -> T) -> Result<T, CallError> {
    let own = capget()?;
    let [low, high] = own;
    if u64::from(low.effective) & CAP_NET_BIND_SERVICE == 0 || may_bind_privileged(caller)? {
        return Ok(bind());
    }
    let less = CapabilitySet { effective: low.effective & !(CAP_NET_BIND_SERVICE as u32), ..low };
    capset(&[less, high])?;
    let result = bind();
    let errno = nix::errno::Errno::last();
    // What is permitted can be made effective again.
    capset(&own)?;
    errno.set();
    Ok(result)
}

/// Whether the caller has it. Not that of a user namespace below, which the machine's ports do not belong to.
fn may_bind_privileged(caller: &Caller) -> Result<bool, CallError> {
    let namespace = |of: &str| std::fs::metadata(format!("/proc/{of}/ns/user")).map(|m| (m.dev(), m.ino()));
    let has = match (namespace("self"), namespace(&caller.notification.thread.to_string())) {
        (Ok(own), Ok(theirs)) => own == theirs && caller.capabilities() & CAP_NET_BIND_SERVICE != 0,
        _ => false,
    };
    caller.ensure_pending()?;
    Ok(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_this_thread_are_those_that_proc_shows() {
        let [low, high] = capget().expect("capabilities");
        let effective = u64::from(high.effective) << 32 | u64::from(low.effective);
        assert_eq!(super::super::caller::capabilities(sys::gettid()), effective);
        capset(&[low, high]).expect("the same again");
    }
}
