//! IP_TTL and IP_MINTTL: lonet sets them for faults (`lonet_core::valve`), and shows the program its own
//! values. IPV6_UNICAST_HOPS and similar options do not affect IPv4, which carries all lonet connections.

use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::{kernel, memory, process, valve};
use libc::{c_int, c_void, socklen_t};
use lonet_core::valve::{Hops, IP_MINTTL, IP_TTL};
use nix::errno::Errno;
use std::sync::atomic::Ordering;

pub fn is_one(level: c_int, option: c_int) -> bool {
    level == libc::SOL_IP && matches!(option, IP_TTL | IP_MINTTL)
}

/// The program's value, read as the kernel reads it: an int or a byte. `None`: the kernel reports the error.
fn requested(option: c_int, value: *const c_void, len: socklen_t) -> Option<Hops> {
    let int = size_of::<c_int>();
    let n = if len as usize >= int { int } else { 1 };
    if len == 0 || !memory::is_readable(value.cast(), n) {
        return None;
    }
    let value = match n {
        // SAFETY: that many bytes can be read.
        1 => c_int::from(unsafe { value.cast::<u8>().read() }),
        // SAFETY: as above.
        _ => unsafe { value.cast::<c_int>().read_unaligned() },
    };
    match (option, u8::try_from(value)) {
        (IP_TTL, _) if value == -1 => Some(Hops::default()),
        (IP_TTL, Ok(ttl @ 1..)) => Some(Hops { ttl: Some(ttl), least: 0 }),
        (IP_MINTTL, Ok(least)) => Some(Hops { ttl: None, least }),
        _ => None,
    }
}

pub fn set(fd: c_int, option: c_int, value: *const c_void, len: socklen_t) -> HookResult {
    if !process::is_active() {
        return Ok(Decision::Libc(Bypass::Inactive));
    }
    // A socket that is not yet in the network has in the kernel what its program sets.
    kernel::SETS_HOPS.store(true, Ordering::Relaxed);
    let Some(wanted) = requested(option, value, len) else { return Ok(Decision::Libc(Bypass::Arguments)) };
    let change = |hops: &mut Hops| match option {
        IP_TTL => hops.ttl = wanted.ttl,
        _ => hops.least = wanted.least,
    };
    match valve::set_hops(fd, change) {
        None => Ok(Decision::Libc(Bypass::OtherSocket)),
        Some(set) => set.map(|()| Decision::Done(0)).map_err(Into::into),
    }
}

/// Replaces the kernel's value, of `len` bytes, by the program's.
///
/// # Safety
/// `value` and `len` are as the kernel has filled them.
pub unsafe fn show_program_value(fd: c_int, option: c_int, value: *mut c_void, len: socklen_t) {
    let Some(hops) = valve::program_hops(fd) else { return };
    let shown = match (option, hops.ttl) {
        (IP_TTL, Some(ttl)) => c_int::from(ttl),
        (IP_TTL, None) => system_ttl().unwrap_or(64),
        _ => c_int::from(hops.least),
    };
    // A short buffer gets the first bytes, as from the kernel.
    let bytes = shown.to_ne_bytes();
    let n = (len as usize).min(bytes.len());
    // SAFETY: the kernel has written that many bytes there.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>(), n) };
}

/// The default TTL.
fn system_ttl() -> Result<c_int, Errno> {
    let fresh = lonet_core::sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    lonet_core::sys::getsockopt(fresh.raw(), libc::SOL_IP, IP_TTL)
}
