//! Support for programs with a resolver of their own: what a UDP socket sends to a name server of the machine,
//! or a TCP socket that is connected to one, goes to lonetd instead, which answers for hosts and forwards everything
//! else. The program sees the server's address.

use crate::address::{self, Address, is_plausible};
use crate::ask::{RequestResult, Start, ask_unless_silent};
use crate::panic_barrier::run_isolated;
use crate::{kernel, memory, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::block::{Endpoint, is_name_server};
use lonet_core::control::{NetworkOp, Reply};
use lonet_core::dns_message::PORT;
use lonet_core::limit::Limit;
use lonet_core::sys;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which sockets [`redirect`] is about.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Sockets {
    Udp,
    UdpAndTcp,
}

/// Fills `instead` with the address to use in place of a name server's; `false`: the address is not
/// redirected; nor is a TCP socket's that may be a host's, see [`tcp_server`]. `limit`: that of the program's call, which may
/// have several messages. Holds nothing and contains no cancellation point, so that callers need no cleanup.
///
/// # Safety
/// `to` and `len` are as connect(2) takes them; `instead` is writable.
pub unsafe extern "C" fn redirect(
    fd: c_int,
    to: *const sockaddr,
    len: socklen_t,
    sockets: Sockets,
    instead: *mut Address,
    limit: &mut Limit,
) -> bool {
    if !process::is_active() {
        return false;
    }
    let mut found = false;
    run_isolated(|| {
        if let Some((to, family)) = memory::address(to, len)
            && to.port == PORT
            && let Ok(Some(address)) = match protocol(fd) {
                Ok(libc::IPPROTO_TCP)
                    if sockets == Sockets::UdpAndTcp && process::concerns(to.ip).is_err() =>
                {
                    resolver_address(fd, (to, family), true, limit)
                }
                Ok(libc::IPPROTO_UDP) => resolver_address(fd, (to, family), false, limit),
                other => other.map(|_| None),
            }
        {
            // SAFETY: as the caller promises.
            unsafe { instead.write(address) };
            found = true;
        }
    });
    found
}

/// As [`redirect`], for a TCP socket that is to be connected to the machine's loopback, as its host does not listen there.
pub fn tcp_server(fd: c_int, server: Endpoint, family: c_int, limit: &mut Limit) -> Option<Address> {
    if server.port != PORT {
        return None;
    }
    resolver_address(fd, (server, family), true, limit).ok().flatten()
}

fn protocol(fd: c_int) -> Result<c_int, Errno> {
    sys::getsockopt::<c_int>(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)
}

fn ask(op: &NetworkOp<'_>, start: Start, limit: &mut Limit) -> RequestResult {
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    ask_unless_silent(limit, &client, op, start)
}

fn resolver_address(
    fd: c_int,
    (server, family): (Endpoint, c_int),
    tcp: bool,
    limit: &mut Limit,
) -> Result<Option<Address>, Errno> {
    let get = |level, option| sys::getsockopt::<c_int>(fd, level, option);
    if get(libc::SOL_SOCKET, libc::SO_DOMAIN)? != family
        || family == libc::AF_INET6 && get(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)? != 0
    {
        return Ok(None);
    }
    let mut local = kernel::local(fd).and_then(|a| a.endpoint()).ok_or(Errno::EBADF)?;
    // From any other address of the machine no loopback address can be reached.
    let v4 = local.ip.to_ipv4_mapped();
    let is_any = local.ip.is_unspecified() || v4.is_some_and(|ip| ip.is_unspecified());
    if !is_any && !v4.is_some_and(|ip| ip.is_loopback()) {
        return Ok(None);
    }
    let instead =
        |from, limit: &mut Limit| match ask(&NetworkOp::NameServer { server, from, tcp }, Start::Yes, limit)?
        {
            Reply::ConnectTo { to, .. } => Ok::<_, Errno>(Some(Address::of_os(to, family))),
            _ => Ok(None),
        };
    if local.port == 0 {
        // A socket of another server's keeps what it is bound to.
        if instead(0, limit)?.is_none() {
            return Ok(None);
        }
        // lonetd identifies the program by the socket's port, so it needs one.
        let any = if family == libc::AF_INET {
            Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()
        } else {
            Ipv6Addr::UNSPECIFIED
        };
        let own = Address::of(Endpoint::new(if is_any { any } else { local.ip }, 0), family);
        // SAFETY: an address with its length.
        unsafe { sys::bind(fd, own.pointer(), own.len) }?;
        local = kernel::local(fd).and_then(|a| a.endpoint()).ok_or(Errno::EBADF)?;
    }
    instead(local.port, limit)
}

/// Replaces the address that a call has stored by the name server's, if it is one that lonetd uses in place
/// of a server. `limit`: as for [`redirect`].
///
/// `at` is writable for `room` bytes, and so is `len`, or they are as the call has accepted them.
pub unsafe fn show_server_address(at: *mut sockaddr, room: u32, len: *mut socklen_t, limit: &mut Limit) {
    if !process::is_active() || !is_plausible(at) || !is_plausible(len) {
        return;
    }
    // SAFETY: as the caller promises; the call has written that much.
    unsafe {
        let Some((from, family)) = address::read(at, room.min(len.read())) else { return };
        if let Some(os) = from.v4().filter(|os| is_name_server(*os.ip())) {
            run_isolated(|| {
                let answer = ask(&NetworkOp::Behind { os }, Start::No, limit);
                if let Ok(Reply::Named { peer: Some(server), .. }) = answer {
                    Address::of(server, family).copy_out(at, room, len);
                }
            });
        }
    }
}
