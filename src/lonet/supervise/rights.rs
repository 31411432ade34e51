//! Limits the supervisor to its caller's rights: a program that root has started and that has dropped its privileges must not
//! bind ports by its root supervisor that it could not bind itself.
//!
//! Only CAP_NET_BIND_SERVICE matters here. The kernel checks other capabilities when the program makes its socket, or in calls that
//! are not supervised.

use super::caller::{CallError, Caller};
use lonet_core::sys::{self, check};
use std::os::unix::fs::MetadataExt;

/// The version of the structures of capget(2) (linux/capability.h).
const VERSION: u32 = 0x2008_0522;
const CAP_NET_BIND_SERVICE: u64 = 1 << 10;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// The sets of 32 capabilities. The kernel takes two of these, for the lower and the upper ones.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capabilities of this thread.
fn capget() -> sys::Result<[CapabilitySet; 2]> {
    let (header, mut sets) = (Header { version: VERSION, pid: 0 }, [CapabilitySet::default(); 2]);
    // SAFETY: a header, and the two sets of its version.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) })?;
    Ok(sets)
}

/// Changes the capabilities of this thread alone.
fn capset(sets: &[CapabilitySet; 2]) -> sys::Result<()> {
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }).map(drop)
}

/// Calls `bind`, without CAP_NET_BIND_SERVICE if the caller lacks it.
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
    // It stays permitted, so it can be made effective again.
    capset(&own)?;
    errno.set();
    Ok(result)
}

/// Whether the caller has CAP_NET_BIND_SERVICE in this user namespace; that of a nested one does not count for its ports.
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
    fn capget_agrees_with_proc() {
        let [low, high] = capget().expect("capabilities");
        let effective = u64::from(high.effective) << 32 | u64::from(low.effective);
        assert_eq!(super::super::caller::capabilities(sys::gettid()), effective);
        capset(&[low, high]).expect("the same again");
    }
}
