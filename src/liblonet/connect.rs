//! connect(2).

use crate::address::Address;
use crate::ask::{Start, ask, tell};
use crate::fence::{Decided, Decision, decide};
use crate::{address as c_address, kernel, marks, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::control::{Op, Reply};
use nix::errno::Errno;
use std::net::SocketAddrV4;

redhook::hook! {
    unsafe fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int => lonet_connect {
        decide(
            // SAFETY: the program's address, as connect takes it.
            || unsafe { on_network(fd, address, len) },
            // SAFETY: the program's arguments.
            || unsafe { redhook::real!(connect)(fd, address, len) },
        )
    }
}

pub fn resolve_real() {
    connect.get();
}

/// # Safety
/// `address` and `len` are as connect(2) takes them.
unsafe fn on_network(fd: c_int, address: *const sockaddr, len: socklen_t) -> Decided {
    if !process::is_active() {
        return Ok(Decision::Libc);
    }
    // SAFETY: as the caller promises.
    let Some((to, family)) = (unsafe { c_address::read(address, len) }) else {
        // SAFETY: as the caller promises.
        return unsafe { disconnect(fd, address, len) };
    };
    if !process::concerns(to.ip) || kernel::tcp_family(fd) != Some(family) {
        return Ok(Decision::Libc);
    }
    let asked = kernel::asked(fd, family);
    let cookie = kernel::cookie(fd)?;
    let local = kernel::local(fd).and_then(|a| a.os()).filter(|a| a.port() != 0 || !a.ip().is_unspecified());
    let start = if process::is_certain(to.ip) { Start::Yes } else { Start::No };
    let (os, from) = match ask(&Op::Dial { cookie, to, local, asked }, start)? {
        Reply::Native => return Ok(Decision::Libc),
        Reply::ConnectTo { to, from } => (to, from),
        _ => return Err(Errno::ENETDOWN),
    };
    let refused = process::block().is_some_and(|b| *os.ip() == b.stack());
    if let Some(ip) = from
        && let Err(e) = kernel::bind_address(fd, family, ip, asked)
    {
        tell(&Op::Dialed { cookie, from: None, errno: e as i32 });
        return Err(e);
    }
    if refused && asked.v6only {
        open_to_v4(fd);
    }
    marks::set(fd);
    let target = Address::of_os(os, family);
    // SAFETY: an address of ours with its length.
    let result = unsafe { redhook::real!(connect)(fd, target.pointer(), target.len) };
    let errno = if result == 0 { Errno::UnknownErrno } else { Errno::last() };
    if refused {
        return Ok(if result == 0 { Decision::Done(0) } else { Decision::Fail(errno) });
    }
    let source = kernel::local(fd).and_then(|a| a.os()).filter(|a| a.port() != 0);
    if source == Some(os) {
        return Ok(undo_self_connect(fd, cookie));
    }
    tell(&Op::Dialed { cookie, from: source, errno: errno as i32 });
    Ok(if result == 0 { Decision::Done(0) } else { Decision::Fail(errno) })
}

fn open_to_v4(fd: c_int) {
    let _ = lonet_core::sys::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &0i32);
}

/// The listener has gone and the kernel chose its port for the source: the socket would talk to itself.
fn undo_self_connect(fd: c_int, cookie: u64) -> Decision {
    let mut nobody = Address::of_os(SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0), libc::AF_INET);
    // SAFETY: the family field is within the storage, and the address has its length.
    unsafe {
        nobody.pointer_mut().cast::<libc::sa_family_t>().write(libc::AF_UNSPEC as libc::sa_family_t);
        let _ = lonet_core::sys::connect(fd, nobody.pointer(), nobody.len);
    }
    tell(&Op::Dialed { cookie, from: None, errno: libc::ECONNREFUSED });
    Decision::Fail(Errno::ECONNREFUSED)
}

/// connect with AF_UNSPEC takes the connection off a socket.
///
/// # Safety
/// As for [`on_network`].
unsafe fn disconnect(fd: c_int, address: *const sockaddr, len: socklen_t) -> Decided {
    // SAFETY: as the caller promises.
    if unsafe { c_address::family(address, len) } != Some(libc::AF_UNSPEC) || !marks::get(fd) {
        return Ok(Decision::Libc);
    }
    // SAFETY: the program's arguments.
    let result = unsafe { redhook::real!(connect)(fd, address, len) };
    if result != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    if kernel::tcp_family(fd).is_some() {
        tell(&Op::Disconnected { cookie: kernel::cookie(fd)? });
    }
    Ok(Decision::Done(0))
}
