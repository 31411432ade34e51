//! IP_TTL and IP_MINTTL: lonet has them set otherwise than the program (`lonet_core::valve`), which is shown what it has set.
//! IPV6_UNICAST_HOPS and its kin say nothing of IPv4, which is below all of lonet's connections.

use crate::bypass::Bypass;
use crate::fence::{Decision, HookResult};
use crate::{kernel, memory, process, valve};
use libc::{c_int, c_void, socklen_t};
use lonet_core::valve::{Hops, IP_MINTTL, IP_TTL};
use nix::errno::Errno;
use std::sync::atomic::Ordering;

pub fn is_one(level: c_int, option: c_int) -> bool {
    level == libc::SOL_IP && matches!(option, IP_TTL | IP_MINTTL)
}

/// What the program asks for, as the kernel reads it: an int, or a byte. `None`: the kernel says what is wrong with it.
fn requested(option: c_int, value: *const c_void, len: socklen_t) -> Option<Hops> {
    let int = size_of::<c_int>();
    let n = if len as usize >= int { int } else { 1 };
    if len == 0 || !memory::is_readable(value.cast(), n) {
        return None;
    }
    let value = match n {
        // SAFETY: so much can be read.
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
    // A socket that has no place in the network has what its program sets, until it gets one.
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

/// Puts what the program has set in the place of what the kernel has answered: `len` bytes.
///
/// # Safety
/// `value` and `len` are as the kernel has filled them.
pub unsafe fn correct(fd: c_int, option: c_int, value: *mut c_void, len: socklen_t) {
    let Some(hops) = valve::program_hops(fd) else { return };
    let shown = match (option, hops.ttl) {
        (IP_TTL, Some(ttl)) => c_int::from(ttl),
        (IP_TTL, None) => system_ttl().unwrap_or(64),
        _ => c_int::from(hops.least),
    };
    // Of a byte the kernel has made use as of one.
    let bytes = shown.to_ne_bytes();
    let n = (len as usize).min(bytes.len());
    // SAFETY: the kernel has written so much there.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>(), n) };
}

/// The TTL of a socket of which nobody has set it.
fn system_ttl() -> Result<c_int, Errno> {
    let fresh = lonet_core::sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    lonet_core::sys::getsockopt(fresh.raw(), libc::SOL_IP, IP_TTL)
}
