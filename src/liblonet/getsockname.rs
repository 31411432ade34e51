//! Hooks of getsockname(2) and getpeername(2).
//!
//! Where the table has the addresses, getsockname takes one system call beside its own (the cookie),
//! getpeername two (the local address and the cookie). tests/hot_paths_take_few_system_calls.sh counts them.

use crate::address::{Address, is_plausible};
use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::log::About;
use crate::{autobound, host, kernel, memory, name, name_server, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::limit::Limit;
use nix::errno::Errno;

hook! {
    unsafe fn getsockname(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int => lonet_getsockname decides(About::Socket(fd)) |real| {
        // SAFETY: the program's pointers.
        unsafe { on_network(fd, address, len, &real, End::Local) }
    }
}

hook! {
    unsafe fn getpeername(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int => lonet_getpeername decides(About::Socket(fd)) |real| {
        // SAFETY: the program's pointers.
        unsafe { on_network(fd, address, len, &real, End::Peer) }
    }
}

/// The address shown for a host's UDP socket that is connected to another host, or to anywhere outside.
/// Programs find the address at which others reach them by connecting one and asking for its name; the kernel
/// would say 127.0.0.1, or an address of the machine that no host can bind.
fn own_address(fd: c_int, local: &Address, limit: &mut Limit) -> Option<Endpoint> {
    let local = local.endpoint().filter(|a| process::is_host() && !a.ip.to_canonical().is_unspecified())?;
    let to = Some(fd).filter(|&fd| kernel::is_udp(fd)).and_then(kernel::remote)?.endpoint()?;
    let Some(Ok(own)) = host::own(limit) else { return None };
    let reaches_out = match process::block()?.place(to.ip) {
        // Unassigned: an address that lonetd uses in place of a name server.
        Place::Host(..) | Place::Unassigned => true,
        Place::NotLonet => !to.ip.to_canonical().is_loopback(),
        _ => false,
    };
    let face = if local.v4().is_some() { Face::V4 } else { Face::V6 };
    reaches_out.then(|| Endpoint::new(own.address(face), local.port))
}

/// Which end of the connection is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Local,
    Peer,
}

/// # Safety
/// `address` and `len` are as the call takes them.
unsafe fn on_network(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    real: &dyn Fn() -> c_int,
    end: End,
) -> HookResult {
    let can_tell = |len: *const socklen_t| memory::is_readable(len.cast(), size_of::<socklen_t>());
    if !process::is_active() {
        return Ok(Decision::Libc(Bypass::Inactive));
    }
    if !is_plausible(address) || !can_tell(len) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    // SAFETY: it can be read.
    let room = unsafe { len.read() };
    // The kernel checks the arguments, and writes the address that stays if lonet has none.
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    let local = match end {
        // SAFETY: the kernel has just written there.
        End::Local => unsafe { Address::copied(address, room.min(len.read())) },
        End::Peer => None,
    };
    let Some(local) = local.or_else(|| kernel::local(fd)) else { return Ok(Decision::Done(0)) };
    let family = local.family();
    let is_ip = matches!(family, libc::AF_INET | libc::AF_INET6);
    let mut limit = Limit::NONE;
    let shown = match end {
        End::Local if is_ip => {
            name::named_at(fd, &local, &mut limit).local.or_else(|| own_address(fd, &local, &mut limit))
        }
        End::Peer if is_ip => {
            // SAFETY: the kernel has just written there.
            let remote = unsafe { Address::copied(address, room.min(len.read())) };
            let remote = remote.or_else(|| kernel::remote(fd));
            remote.and_then(|remote| name::named_by(fd, &local, &remote, &mut limit).peer)
        }
        _ => None,
    };
    if end == End::Local {
        shown.into_iter().for_each(autobound::record_told);
    }
    match shown {
        // SAFETY: as above.
        Some(endpoint) => unsafe { Address::of(endpoint, family).copy_out(address, room, len) },
        // SAFETY: as above.
        None => unsafe { name_server::show_server_address(address, room, len, &mut limit) },
    }
    Ok(Decision::Done(0))
}
