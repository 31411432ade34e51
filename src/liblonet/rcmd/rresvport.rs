//! rresvport(3) and rresvport_af: a TCP socket bound to a port below 1024, searched downwards from a given
//! one.

use crate::bind::lonet_bind;
use crate::panic_barrier::catch_panic;
use crate::process;
use libc::{c_int, sa_family_t, sockaddr_storage};
use lonet_core::sys::check;
use nix::errno::Errno;

type RresvportAf = unsafe extern "C" fn(*mut c_int, sa_family_t) -> c_int;
type Rresvport = unsafe extern "C" fn(*mut c_int) -> c_int;

next! {
    // As netdb.h declares it.
    static RRESVPORT_AF: RresvportAf = c"rresvport_af";
    static RRESVPORT: Rresvport = c"rresvport";
}

/// # Safety
/// As for rresvport(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rresvport(port: *mut c_int) -> c_int {
    match RRESVPORT.get() {
        // SAFETY: the program's argument.
        Some(real) if !process::is_active() => unsafe { real(port) },
        // SAFETY: as above.
        _ => unsafe { rresvport_af(port, libc::AF_INET as sa_family_t) },
    }
}

/// # Safety
/// As for rresvport_af(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rresvport_af(port: *mut c_int, family: sa_family_t) -> c_int {
    if let Some(real) = RRESVPORT_AF.get()
        && !process::is_active()
    {
        // SAFETY: the program's arguments.
        return unsafe { real(port, family) };
    }
    let errno = Errno::last_raw();
    let mut socket = Err(Errno::EIO);
    // SAFETY: the program's port, which rresvport reads and writes.
    catch_panic(|| socket = reserve(unsafe { &mut *port }, c_int::from(family)));
    match socket {
        Ok(fd) => {
            Errno::set_raw(errno);
            fd
        }
        Err(e) => {
            e.set();
            -1
        }
    }
}

const LOWEST: c_int = 512;
const HIGHEST: c_int = 1023;

/// A socket bound to the first free port from `port` downwards, and then from 1023; stores it in `port`.
/// EAGAIN: none is free.
pub fn reserve(port: &mut c_int, family: c_int) -> Result<c_int, Errno> {
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    // SAFETY: all zeroes is an address.
    let mut address: sockaddr_storage = unsafe { std::mem::zeroed() };
    address.ss_family = family as sa_family_t;
    let address = &raw mut address;
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_socket, family, libc::SOCK_STREAM, 0) })? as c_int;
    *port = (*port).clamp(LOWEST, HIGHEST);
    for _ in LOWEST..=HIGHEST {
        // SAFETY: an address of ours with its length; both families have the port in the same place.
        let bound = unsafe {
            (*address.cast::<libc::sockaddr_in>()).sin_port = (*port as u16).to_be();
            lonet_bind(fd, address.cast(), len as u32)
        };
        match if bound == 0 { Ok(()) } else { Err(Errno::last()) } {
            Ok(()) => return Ok(fd),
            Err(Errno::EADDRINUSE) => *port = if *port == LOWEST { HIGHEST } else { *port - 1 },
            Err(e) => return close(fd, e),
        }
    }
    close(fd, Errno::EAGAIN)
}

/// Closes a socket that no hook has seen yet, and fails.
fn close(fd: c_int, why: Errno) -> Result<c_int, Errno> {
    // SAFETY: a descriptor of ours.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    Err(why)
}
