//! getsockopt(2), for the two options that lonet sets on a socket for itself.

use crate::address::is_plausible;
use crate::fence::{Decided, Decision, decide};
use crate::{name, process};
use libc::{c_int, c_void, socklen_t};
use nix::errno::Errno;

redhook::hook! {
    unsafe fn getsockopt(
        fd: c_int, level: c_int, option: c_int, value: *mut c_void, len: *mut socklen_t
    ) -> c_int => lonet_getsockopt {
        // SAFETY: libc's function with the program's arguments.
        let real = || unsafe { redhook::real!(getsockopt)(fd, level, option, value, len) };
        // SAFETY: the program's pointers.
        decide(|| unsafe { as_set(fd, level, option, value, len, &real) }, real)
    }
}

pub fn resolve_real() {
    getsockopt.get();
}

/// # Safety
/// `value` and `len` are as getsockopt(2) takes them.
unsafe fn as_set(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
    real: &dyn Fn() -> c_int,
) -> Decided {
    let ours = matches!(
        (level, option),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) | (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
    );
    if !ours || !process::is_active() || !is_plausible(value) || !is_plausible(len) {
        return Ok(Decision::Libc);
    }
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    if let Some(settings) = name::named(fd).settings {
        let set = if level == libc::SOL_SOCKET { settings.reuse_address } else { settings.v6only };
        let bytes = c_int::from(set).to_ne_bytes();
        // SAFETY: the kernel has just written `len` bytes there.
        unsafe {
            let n = (len.read() as usize).min(bytes.len());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>(), n);
        }
    }
    Ok(Decision::Done(0))
}
