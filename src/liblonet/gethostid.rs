//! Hooks of gethostid(3) and sethostid(3). A host's id is what libc derives from its address where the
//! machine has none in /etc/hostid. That file is the machine's: a host cannot set it.

use crate::bypass::Bypass;
use crate::hook::Decision;
use crate::log::About;
use crate::panic_barrier::run_isolated;
use crate::{ask, host, process};
use libc::{c_int, c_long};
use lonet_core::block::Face;
use nix::errno::Errno;

hook! {
    unsafe fn gethostid() -> c_long => lonet_gethostid {
        // libc's result if there is no address.
        let mut number = Some(0);
        run_isolated(|| number = of_host());
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
    let address =
        host::own(&mut ask::unbegun())?.ok().and_then(|host| host.address(Face::V4).to_ipv4_mapped());
    // As in glibc: the address as it is in memory, with its halves exchanged, as a signed number of 32 bits.
    Some(address.map_or(0, |ip| c_long::from(u32::from_ne_bytes(ip.octets()).rotate_left(16) as i32)))
}
