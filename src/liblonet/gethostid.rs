//! gethostid(3) and sethostid(3): a host has the number that libc makes of its address, where the machine has none of its
//! own in /etc/hostid. That file is the machine's: a host cannot set it.

use crate::bypass::Bypass;
use crate::fence::{Decision, silently};
use crate::log::About;
use crate::{host, process};
use libc::{c_int, c_long};
use lonet_core::block::Face;
use nix::errno::Errno;

hook! {
    unsafe fn gethostid() -> c_long => lonet_gethostid {
        // libc's answer if there is no address.
        let mut number = Some(0);
        silently(|| number = of_host());
        // SAFETY: it takes nothing.
        number.unwrap_or_else(|| unsafe { redhook::real!(gethostid)() })
    }
}

hook! {
    unsafe fn sethostid(number: c_long) -> c_int => lonet_sethostid decides(About::Nothing) |real| {
        Ok(if process::is_host() { Decision::Fail(Errno::EPERM) } else { Decision::Libc(Bypass::NoHost) })
    }
}

/// `None`: the process is no host.
fn of_host() -> Option<c_long> {
    let address = host::own()?.ok().and_then(|host| host.address(Face::V4).to_ipv4_mapped());
    // As glibc does it: of the number in memory, with the halves exchanged, which is of 32 bits and has a sign.
    Some(address.map_or(0, |ip| c_long::from(u32::from_ne_bytes(ip.octets()).rotate_left(16) as i32)))
}
