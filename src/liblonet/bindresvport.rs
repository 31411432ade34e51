//! Hook of bindresvport(3). libc tries ports below 1024 one after the other, inside itself; here they are the
//! host's ports.
//!
//! libc starts with a port that depends on the pid. A host's ports must be predictable, so the hook starts
//! with 600, the lowest of libc's preferred range.

use crate::bind::{is_lonets, lonet_bind};
use libc::{c_int, sockaddr_in, socklen_t};
use nix::errno::Errno;
use std::sync::atomic::{AtomicU16, Ordering};

hook! {
    unsafe fn bindresvport(fd: c_int, address: *mut sockaddr_in) -> c_int => lonet_bindresvport {
        // SAFETY: all zeroes is a sockaddr_in.
        let mut any: sockaddr_in = unsafe { std::mem::zeroed() };
        any.sin_family = libc::AF_INET as libc::sa_family_t;
        let at = if address.is_null() { &raw mut any } else { address };
        // SAFETY: an address of our own, or the program's, which bindresvport takes with room for an IPv4 address.
        unsafe {
            if is_lonets(fd, at.cast(), LEN) {
                bind_to_any(fd, at)
            } else {
                redhook::real!(bindresvport)(fd, address)
            }
        }
    }
}

const LEN: socklen_t = size_of::<sockaddr_in>() as socklen_t;

/// First 600 to 1023, then 512 to 599, which libc leaves for last.
const FIRST: u16 = 600;
const END: u16 = 1024;
const LAST: u16 = 512;
const COUNT: u16 = END - LAST;

/// How many ports have been tried. Each call goes on where the last one ended, as in libc, so that a port
/// that was just released is not the next one given.
static TRIED: AtomicU16 = AtomicU16::new(0);

fn port(tried: u16) -> u16 {
    match FIRST + tried % COUNT {
        port if port < END => port,
        beyond => beyond - COUNT,
    }
}

/// # Safety
/// `address` is an IPv4 address, whose port is set.
unsafe fn bind_to_any(fd: c_int, address: *mut sockaddr_in) -> c_int {
    let errno = Errno::last_raw();
    for _ in 0..COUNT {
        let port = port(TRIED.fetch_add(1, Ordering::Relaxed));
        // SAFETY: as the caller promises.
        let bound = unsafe {
            (*address).sin_port = port.to_be();
            lonet_bind(fd, address.cast(), LEN)
        };
        if bound == 0 {
            Errno::set_raw(errno);
            return 0;
        }
        if Errno::last() != Errno::EADDRINUSE {
            return -1;
        }
    }
    -1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_from_512_to_1023_is_tried() {
        let all: Vec<u16> = (0..COUNT).map(port).collect();
        assert_eq!((all[0], all[423], all[424], all[511]), (600, 1023, 512, 599));
        assert!((LAST..END).all(|p| all.contains(&p)));
        assert_eq!(port(COUNT), 600);
    }
}
