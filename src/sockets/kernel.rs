//! The state that the kernel has of a socket of the program, and the options that lonet sets on it.

pub use lonet_core::sys::{cookie, traffic};

use crate::address::Address;
use lonet_core::block::Face;
use lonet_core::child::run_in_child;
use lonet_core::control::Asked;
use lonet_core::diag::{Diag, Loan, NOBODY, State};
use lonet_core::sys::{self, check};
use lonet_core::valve;
use nix::errno::Errno;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the process has set IP_TTL or IP_MINTTL of some socket, so that lonet has to respect its values.
pub static SETS_HOPS: AtomicBool = AtomicBool::new(false);

/// AF_INET or AF_INET6 if `fd` is a TCP socket. Others, including MPTCP, are not lonet's. It takes a raw socket of TCP's
/// protocol for one: see [`is_stream`] and [`is_raw`].
pub fn tcp_family(fd: i32) -> Option<i32> {
    let protocol: i32 = sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL).ok()?;
    let domain: i32 = sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN).ok()?;
    (protocol == libc::IPPROTO_TCP && matches!(domain, libc::AF_INET | libc::AF_INET6)).then_some(domain)
}

/// Whether calls on this socket wait. `false` if the descriptor is not open.
pub fn is_blocking(fd: i32) -> bool {
    // SAFETY: no pointers.
    let flags = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL) });
    flags.is_ok_and(|flags| flags & libc::c_long::from(libc::O_NONBLOCK) == 0)
}

/// Whether a socket of TCP's protocol is no raw one.
pub fn is_stream(fd: i32) -> bool {
    sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
}

/// Whether a socket of TCP's protocol at this local port is a raw one. The kernel is asked only where it can be: the port of
/// a raw socket is the number of its protocol.
pub fn is_raw(fd: i32, port: u16) -> bool {
    i32::from(port) == libc::IPPROTO_TCP && !is_stream(fd)
}

pub fn is_udp(fd: i32) -> bool {
    sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_UDP)
}

fn flag(fd: i32, level: i32, name: i32) -> bool {
    sys::getsockopt::<i32>(fd, level, name).is_ok_and(|v| v != 0)
}

pub fn listens(fd: i32) -> bool {
    flag(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)
}

/// Whether a TCP socket has a connection: established, being made, or being closed.
pub fn has_connection(fd: i32) -> bool {
    state(fd).is_some_and(|state| ![State::CLOSE, State::LISTEN].contains(&state))
}

/// Whether a TCP socket is in SYN_SENT.
pub fn is_dialing(fd: i32) -> bool {
    state(fd) == Some(State::SYN_SENT)
}

fn state(fd: i32) -> Option<State> {
    // The state is the first byte of TCP_INFO.
    sys::getsockopt::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO).ok().map(State)
}

/// The options that the program has requested so far.
pub fn asked(fd: i32, family: i32) -> Asked {
    let v6 = family == libc::AF_INET6;
    Asked {
        family: if v6 { Face::V6 } else { Face::V4 },
        v6only: v6 && flag(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        reuse_address: flag(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR),
        reuse_port: flag(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT),
    }
}

fn address(call: libc::c_long, fd: i32) -> Option<Address> {
    let mut a = Address::empty();
    // SAFETY: room for any address.
    check(unsafe { libc::syscall(call, fd, a.pointer_mut(), &raw mut a.len) }).ok()?;
    Some(a)
}

/// The socket's own address, as the kernel has it.
pub fn local(fd: i32) -> Option<Address> {
    address(libc::SYS_getsockname, fd)
}

/// The socket's own OS address, if it has a port.
pub fn source(fd: i32) -> Option<SocketAddrV4> {
    local(fd).and_then(|a| a.os()).filter(|a| a.port() != 0)
}

pub fn remote(fd: i32) -> Option<Address> {
    address(libc::SYS_getpeername, fd)
}

/// Binds the program's socket to an OS address: with SO_REUSEADDR, as lonet alone decides what is in use;
/// without IPV6_V6ONLY, as IPv4 underlies both families; and with a valve (`lonet_core::valve`). On failure
/// the program's settings are restored.
///
/// `call` is bind(2) or a substitute.
pub fn bind(
    fd: i32,
    family: i32,
    os: SocketAddrV4,
    asked: Asked,
    call: &dyn Fn(&Address) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let set = |level, name, value: bool| sys::setsockopt(fd, level, name, &i32::from(value));
    set(libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
    if asked.v6only {
        set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, false)?;
    }
    let a = Address::of_os(os, family);
    let bound = call(&a);
    if bound.is_ok() {
        // It can fail only if IP_MINTTL does not exist, and then the kernel never drops a segment for it.
        let _ = if SETS_HOPS.load(Ordering::Relaxed) { valve::fit_as_set(fd) } else { valve::fit(fd) };
    } else {
        let _ = set(libc::SOL_SOCKET, libc::SO_REUSEADDR, asked.reuse_address);
        if asked.v6only {
            let _ = set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, true);
        }
    }
    bound
}

/// As [`bind`], to an address without a port: connect chooses one for each destination.
pub fn bind_address(
    fd: i32,
    family: i32,
    ip: std::net::Ipv4Addr,
    asked: Asked,
    call: &dyn Fn(&Address) -> Result<(), Errno>,
) -> Result<(), Errno> {
    const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
    let set = |value: i32| sys::setsockopt(fd, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, &value);
    let before: i32 = sys::getsockopt(fd, libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT)?;
    set(1)?;
    let bound = bind(fd, family, SocketAddrV4::new(ip, 0), asked, call);
    if before == 0 {
        set(0)?;
    }
    bound
}

/// Disconnects a socket, unless another thread has reused its descriptor for another socket.
pub fn disconnect(fd: i32, socket: u64) {
    if cookie(fd) == Ok(socket) {
        let _ = sys::disconnect(fd);
    }
}

/// The cookie of the socket that listens at this address. `Some(None)`: there is none. `None`: the kernel
/// cannot be asked.
///
/// If the process has no descriptor left a child asks, in which the descriptor `spare` is closed.
pub fn listener(os: SocketAddrV4, spare: i32) -> Option<Option<u64>> {
    let look = |diag: &Diag| diag.lookup(os, NOBODY).map(|found| found.map(|f| f.cookie));
    match Loan::open().and_then(|mut loan| loan.ask(look)) {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            run_in_child(spare, || Diag::open().and_then(|diag| look(&diag)).ok()).ok()?
        }
        seen => seen.ok(),
    }
}
