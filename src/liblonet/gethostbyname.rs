//! Hooks of gethostbyname(3), gethostbyname2, gethostbyaddr and their reentrant forms.
//!
//! The reentrant ones return 0 and no result if there is no such host, and ERANGE if the buffer is too small,
//! upon which callers retry with a larger one. The others return static memory, which the next call
//! overwrites.
#![allow(clippy::too_many_arguments, reason = "as netdb.h has them")]

use crate::host::{self, Host, LookupError};
use crate::panic_barrier::run_isolated;
use crate::{ask, getaddrinfo, process};
use libc::{c_char, c_int, c_void, hostent, size_t, socklen_t};
use lonet_core::block::Face;
use nix::errno::Errno;
use std::cell::UnsafeCell;
use std::net::{Ipv4Addr, Ipv6Addr};

hook! {
    unsafe fn gethostbyname(name: *const c_char) -> *mut hostent => lonet_gethostbyname {
        // SAFETY: the program's name.
        match in_static(|| unsafe { named(name, libc::AF_INET) }) {
            Some(found) => found,
            // SAFETY: the program's arguments.
            None => unsafe { redhook::real!(gethostbyname)(name) },
        }
    }
}

hook! {
    unsafe fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent => lonet_gethostbyname2 {
        // SAFETY: the program's name.
        match in_static(|| unsafe { named(name, family) }) {
            Some(found) => found,
            // SAFETY: the program's arguments.
            None => unsafe { redhook::real!(gethostbyname2)(name, family) },
        }
    }
}

hook! {
    unsafe fn gethostbyaddr(
        address: *const c_void, len: socklen_t, family: c_int
    ) -> *mut hostent => lonet_gethostbyaddr {
        // SAFETY: the program's address.
        match in_static(|| unsafe { addressed(address, len, family) }) {
            Some(found) => found,
            // SAFETY: the program's arguments.
            None => unsafe { redhook::real!(gethostbyaddr)(address, len, family) },
        }
    }
}

hook! {
    unsafe fn gethostbyname_r(
        name: *const c_char,
        entry: *mut hostent, buffer: *mut c_char, len: size_t, result: *mut *mut hostent, why: *mut c_int
    ) -> c_int => lonet_gethostbyname_r {
        let buffers = ResultBuffers { entry, buffer, len, result, why };
        // SAFETY: the program's name and buffers.
        match unsafe { in_buffers(&buffers, || named(name, libc::AF_INET)) } {
            Some(code) => code,
            // SAFETY: the program's arguments.
            None => unsafe { redhook::real!(gethostbyname_r)(name, entry, buffer, len, result, why) },
        }
    }
}

hook! {
    unsafe fn gethostbyname2_r(
        name: *const c_char, family: c_int,
        entry: *mut hostent, buffer: *mut c_char, len: size_t, result: *mut *mut hostent, why: *mut c_int
    ) -> c_int => lonet_gethostbyname2_r {
        let buffers = ResultBuffers { entry, buffer, len, result, why };
        // SAFETY: the program's name and buffers.
        match unsafe { in_buffers(&buffers, || named(name, family)) } {
            Some(code) => code,
            // SAFETY: the program's arguments.
            None => unsafe { redhook::real!(gethostbyname2_r)(name, family, entry, buffer, len, result, why) },
        }
    }
}

hook! {
    unsafe fn gethostbyaddr_r(
        address: *const c_void, address_len: socklen_t, family: c_int,
        entry: *mut hostent, buffer: *mut c_char, len: size_t, result: *mut *mut hostent, why: *mut c_int
    ) -> c_int => lonet_gethostbyaddr_r {
        let buffers = ResultBuffers { entry, buffer, len, result, why };
        // SAFETY: the program's address and buffers.
        match unsafe { in_buffers(&buffers, || addressed(address, address_len, family)) } {
            Some(code) => code,
            None => {
                let real = redhook::real!(gethostbyaddr_r);
                // SAFETY: the program's arguments.
                unsafe { real(address, address_len, family, entry, buffer, len, result, why) }
            }
        }
    }
}

/// Values of h_errno, from netdb.h.
const NETDB_INTERNAL: c_int = -1;
const NETDB_SUCCESS: c_int = 0;
const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_RECOVERY: c_int = 3;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

/// A host and its address of the requested family.
struct HostAddress {
    host: Host,
    family: c_int,
    ip: Ipv6Addr,
}

/// `None`: not lonet's to say.
type LookupResult = Option<Result<HostAddress, LookupError>>;

/// # Safety
/// `name` is null or a C string.
unsafe fn named(name: *const c_char, family: c_int) -> LookupResult {
    let face = match family {
        libc::AF_INET => Face::V4,
        libc::AF_INET6 => Face::V6,
        _ => return None,
    };
    // SAFETY: as the caller promises.
    let host = unsafe { getaddrinfo::named(name, family, &mut ask::unbegun()) }?;
    Some(host.map(|host| HostAddress { ip: host.address(face), host, family }))
}

/// # Safety
/// `address` is null or readable for `len` bytes.
unsafe fn addressed(address: *const c_void, len: socklen_t, family: c_int) -> LookupResult {
    if !process::is_active() || address.is_null() {
        return None;
    }
    let ip = match (family, len) {
        // SAFETY: readable for this length.
        (libc::AF_INET, 4) => Ipv4Addr::from(unsafe { address.cast::<[u8; 4]>().read() }).to_ipv6_mapped(),
        // SAFETY: readable for this length.
        (libc::AF_INET6, 16) => Ipv6Addr::from(unsafe { address.cast::<[u8; 16]>().read() }),
        _ => return None,
    };
    Some(host::by_address(ip)?.map(|host| HostAddress { ip, host, family }))
}

/// Where a reentrant form stores its result.
struct ResultBuffers {
    entry: *mut hostent,
    buffer: *mut c_char,
    len: usize,
    result: *mut *mut hostent,
    why: *mut c_int,
}

/// The buffers are as the program passed them.
unsafe fn in_buffers(buffers: &ResultBuffers, look: impl FnOnce() -> LookupResult) -> Option<c_int> {
    let mut answer = Some((libc::EIO, NO_RECOVERY));
    run_isolated(|| {
        answer = look().map(|looked| match looked {
            // SAFETY: as the caller promises.
            Ok(found) => match unsafe { fill(&found, buffers.entry, buffers.buffer.cast(), buffers.len) } {
                Some(()) => (0, NETDB_SUCCESS),
                None => (libc::ERANGE, NETDB_INTERNAL),
            },
            Err(LookupError::NotFound) => (0, HOST_NOT_FOUND),
            Err(LookupError::Unavailable) => (libc::EAGAIN, TRY_AGAIN),
        });
    });
    let (code, why) = answer?;
    let there = code == 0 && why == NETDB_SUCCESS;
    // SAFETY: as the caller promises.
    unsafe {
        *buffers.result = if there { buffers.entry } else { std::ptr::null_mut() };
        *buffers.why = why;
    }
    if code != 0 {
        Errno::set_raw(code);
    }
    Some(code)
}

/// The result of the forms that return static memory. Their callers take turns, as they must with libc.
struct Static(UnsafeCell<(hostent, [u64; 128])>);

// SAFETY: threads that use the functions that return it must take turns, according to gethostbyname(3).
unsafe impl Sync for Static {}

// SAFETY: all zeroes is a hostent.
static ANSWER: Static = Static(UnsafeCell::new((unsafe { std::mem::zeroed() }, [0; 128])));

/// `None`: not lonet's to say.
fn in_static(look: impl FnOnce() -> LookupResult) -> Option<*mut hostent> {
    let mut answer = Some((std::ptr::null_mut(), NO_RECOVERY));
    run_isolated(|| {
        answer = look().map(|looked| match looked {
            Ok(found) => {
                let all = ANSWER.0.get();
                // SAFETY: in turns, see above; no reference to it is made.
                let (entry, buffer) = unsafe { (&raw mut (*all).0, &raw mut (*all).1) };
                // SAFETY: as above.
                match unsafe { fill(&found, entry, buffer.cast(), size_of::<[u64; 128]>()) } {
                    Some(()) => (entry, NETDB_SUCCESS),
                    None => (std::ptr::null_mut(), NO_RECOVERY),
                }
            }
            Err(LookupError::NotFound) => (std::ptr::null_mut(), HOST_NOT_FOUND),
            Err(LookupError::Unavailable) => (std::ptr::null_mut(), TRY_AGAIN),
        });
    });
    let (entry, why) = answer?;
    // SAFETY: libc's own variable of this thread.
    unsafe { *__h_errno_location() = why };
    Some(entry)
}

/// Writes an entry, with all that it points to in `buffer`. `None`: the buffer is too small.
///
/// # Safety
/// `entry` is writable, and `buffer` for `len` bytes.
unsafe fn fill(found: &HostAddress, entry: *mut hostent, buffer: *mut u8, len: usize) -> Option<()> {
    let mut rest = Remaining { at: buffer, left: len };
    let v4 = found.ip.to_ipv4_mapped().filter(|_| found.family == libc::AF_INET);
    let (v4, v6) = (v4.map(|ip| ip.octets()), found.ip.octets());
    let address: &[u8] = v4.as_ref().map_or(&v6[..], |octets| &octets[..]);
    let aliased = found.host.given.bytes() != found.host.ascii.bytes();

    // Two arrays of pointers, each with its closing null.
    let pointers = rest.take(4 * size_of::<*mut c_char>(), align_of::<*mut c_char>())?.cast::<*mut c_char>();
    // SAFETY: memory that `take` gave.
    unsafe {
        let addresses = pointers;
        addresses.write(rest.copy(address, 16)?);
        addresses.add(1).write(std::ptr::null_mut());
        let aliases = pointers.add(2);
        let name = rest.copy(found.host.ascii.with_zero(), 1)?;
        aliases.write(if aliased {
            rest.copy(found.host.given.with_zero(), 1)?
        } else {
            std::ptr::null_mut()
        });
        aliases.add(1).write(std::ptr::null_mut());
        entry.write(hostent {
            h_name: name,
            h_aliases: aliases,
            h_addrtype: found.family,
            h_length: address.len() as c_int,
            h_addr_list: addresses,
        });
    }
    Some(())
}

/// The unused rest of a buffer.
struct Remaining {
    at: *mut u8,
    left: usize,
}

impl Remaining {
    fn take(&mut self, len: usize, align: usize) -> Option<*mut u8> {
        let skip = self.at.align_offset(align);
        self.left = self.left.checked_sub(skip.checked_add(len)?)?;
        let taken = self.at.wrapping_add(skip);
        self.at = taken.wrapping_add(len);
        Some(taken)
    }

    /// The rest is writable.
    unsafe fn copy(&mut self, bytes: &[u8], align: usize) -> Option<*mut c_char> {
        let to = self.take(bytes.len(), align)?;
        // SAFETY: `take` gave that many.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Some(to.cast())
    }
}
