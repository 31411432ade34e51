//! Functions that make connected descriptors: lonet_dial and lonet_dial_start.

mod foreign_dial;

use super::addr::HostPort;
use super::error::{Error, EscapedBytes, Reported, Result, call};
use super::host::still_open;
use super::named::{self, LonetHost};
use super::{ask_within, bytes};
use crate::address::Address;
use crate::ask::tell_to;
use crate::handle::Used;
use crate::joined::Host;
use crate::sandbox::{self, Socket};
use crate::{connect, descriptor_hints, kernel, valve};
use lonet_core::address::host_and_port;
use lonet_core::client::TIME_LIMIT;
use lonet_core::config::bare_host;
use lonet_core::control::{Asked, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use std::ffi::{c_char, c_int};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_dial(host: *mut LonetHost, addr: *const c_char, timeout_ms: c_int) -> c_int {
    call(|| {
        if timeout_ms < -1 {
            return Err(Error::Invalid.because("dial", format_args!("a time limit of {timeout_ms} ms")));
        }
        let host = named::host(host, "dial")?;
        let limit =
            u64::try_from(timeout_ms).map_or(Limit::NONE, |ms| Limit::within(Duration::from_millis(ms)));
        // A dial that does not wait for the peer still waits for lonetd: nothing can be dialed without its
        // reply.
        let lonetds = if timeout_ms == 0 { Limit::NONE } else { limit };
        // SAFETY: null or a C string, as lonet.h says.
        let (mut dial, foreign) = Dial::start(&host, lonetds, unsafe { bytes(addr) })?;
        let waited = dial.wait(limit);
        // That was for the peer.
        dial.limit = dial.limit.forgiven(TIME_LIMIT);
        let connected = match (waited, foreign) {
            // Nothing listens at the peer's address: the foreign host has ended.
            (Err(Error::Refused), true) => {
                connect::conclude(
                    dial.limit,
                    &host.client,
                    dial.fd.raw(),
                    dial.cookie,
                    dial.os,
                    libc::ECONNREFUSED,
                );
                Err(Error::Unreachable.of(dial.path))
            }
            (Ok(()), true) => foreign_dial::shake_hands(&dial, limit),
            (waited, _) => waited.map_err(|e| e.of(dial.path)),
        };
        let connected = connected.and_then(|()| dial.block().map_err(|e| e.of(dial.path)));
        match connected.and_then(|()| still_open(&host, dial.path)) {
            Ok(()) => Ok(dial.fd.into_raw()),
            Err(failed) => Err(dial.give_up(failed)),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_dial_start(host: *mut LonetHost, addr: *const c_char) -> c_int {
    call(|| {
        let host = named::host(host, "dial")?;
        // SAFETY: null or a C string, as lonet.h says.
        let (dial, foreign) = Dial::start(&host, Limit::NONE, unsafe { bytes(addr) })?;
        let started = match foreign {
            true => foreign_dial::start(&dial),
            false => Ok(()),
        };
        match started.and_then(|()| still_open(&host, dial.path)) {
            Ok(()) => Ok(dial.fd.into_raw()),
            Err(failed) => Err(dial.give_up(failed)),
        }
    })
}

/// The dialer and the destination, for messages: `dial lonetmynet β:1->α:11`.
#[derive(Clone, Copy)]
struct Path<'a> {
    network: &'a str,
    from: &'a str,
    /// 0 while it is unknown.
    port: u16,
    to: &'a str,
    to_port: u16,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial lonet{} ", self.network)?;
        match self.port {
            0 => f.write_str(self.from)?,
            port => write!(f, "{}", HostPort(self.from, port))?,
        }
        write!(f, "->{}", HostPort(self.to, self.to_port))
    }
}

/// A dial under way, on a non-blocking socket.
struct Dial<'a> {
    host: &'a Used<Host>,
    path: Path<'a>,
    fd: Fd,
    cookie: u64,
    /// The time limit of the call for lonetd.
    limit: Limit,
    /// The OS address of the destination.
    os: SocketAddrV4,
}

impl<'a> Dial<'a> {
    /// Starts a dial; also returns whether it is to a foreign host.
    fn start(host: &'a Used<Host>, limit: Limit, addr: Option<&'a [u8]>) -> Result<(Dial<'a>, bool)> {
        let limit = limit.and_of_lonetd(TIME_LIMIT);
        let Some(addr) = addr else {
            return Err(Error::Invalid.because("dial", "the address is NULL"));
        };
        let (to, to_port) = host_and_port(addr).map_err(|e| {
            Error::Invalid.because(format_args!("dial lonet{} \"{}\"", host.network(), EscapedBytes(addr)), e)
        })?;
        let to = match bare_host(to) {
            "" => host.name(),
            to => to,
        };
        let mut path = Path { network: host.network(), from: host.name(), port: 0, to, to_port };
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, kind, 0) });
        let fd = Fd::adopt(fd.map_err(|e| Error::from_errno(e).of(path))? as i32);
        let cookie = kernel::cookie(fd.raw()).map_err(|e| Error::from_errno(e).of(path))?;
        let asked = kernel::asked(fd.raw(), libc::AF_INET);

        let op = Op::DialHost { cookie, host: to, port: to_port, asked };
        let route = ask_within(limit, &host.client, &op, path, |_, reply| match reply {
            Reply::Way { to, from, port, foreign } => Some(Ok(Route { to, from, port, foreign })),
            Reply::NoWay { errno, port } => Some(Err((Errno::from_raw(errno), port))),
            _ => None,
        })?;
        let route = route.map_err(|(errno, port)| Error::from_errno(errno).of(Path { port, ..path }))?;
        path.port = route.port;
        let limit = limit.forgiven(TIME_LIMIT);
        let mut dial = Dial { host, path, fd, cookie, limit, os: route.to };
        match dial.connect(&route, asked) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok((dial, route.foreign)),
            // Nothing listens at the peer's address: the foreign host has ended.
            Err(Errno::ECONNREFUSED) if route.foreign => Err(dial.give_up(Error::Unreachable.of(path))),
            Err(e) => Err(dial.give_up(Error::from_errno(e).of(path))),
        }
    }

    fn connect(&mut self, route: &Route, asked: Asked) -> std::result::Result<(), Errno> {
        let client = &self.host.client;
        let refused = *route.to.ip() == self.host.block.stack();
        let socket = Socket { client, limit: self.limit, fd: self.fd.raw(), cookie: self.cookie };
        connect::bind_for_dial(&socket, (libc::AF_INET, asked), route.from, self.path.to_port)?;
        valve::before_connect(client, self.fd.raw(), self.cookie, None, &mut self.limit);
        let target = Address::of_os(route.to, libc::AF_INET);
        // SAFETY: an address of ours with its length.
        let mut result = unsafe { sys::connect(self.fd.raw(), target.pointer(), target.len) };
        if result == Err(Errno::EACCES) && sandbox::may_connect(self.path.to_port) {
            result = socket.connect(&target);
        }
        let errno = result.err().map_or(0, |e| e as i32);
        // The handshake tells lonetd the outcome of a foreign dial.
        let errno = match refused || route.foreign {
            true => errno,
            false => connect::conclude(self.limit, client, self.fd.raw(), self.cookie, route.to, errno),
        };
        if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
    }

    /// Waits until the connection is established or has failed.
    fn wait(&self, limit: Limit) -> std::result::Result<(), Error> {
        let fd = self.fd.raw();
        if !sys::ready_within(fd, libc::POLLOUT, limit.left()).map_err(Error::from_errno)? {
            return Err(Error::TimedOut);
        }
        match sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, libc::SO_ERROR).map_err(Error::from_errno)? {
            0 => Ok(()),
            errno => Err(Error::from_errno(Errno::from_raw(errno))),
        }
    }

    /// Makes the socket blocking.
    fn block(&self) -> std::result::Result<(), Error> {
        let fd = self.fd.raw();
        let flags = check(fcntl(fd, libc::F_GETFL, 0)).map_err(Error::from_errno)?;
        let blocking = flags & !libc::c_long::from(libc::O_NONBLOCK);
        check(fcntl(fd, libc::F_SETFL, blocking)).map_err(Error::from_errno)?;
        Ok(())
    }

    /// Closes the socket; its port is free when this returns. If the host was closed meanwhile, that is the
    /// reason of any failure.
    fn give_up(self, failed: Reported) -> Reported {
        descriptor_hints::clear(self.fd.raw());
        drop(self.fd);
        tell_to(self.limit, &self.host.client, &Op::Closed { cookie: self.cookie });
        still_open(self.host, self.path).err().unwrap_or(failed)
    }
}

/// The route of a dial, from lonetd.
struct Route {
    to: SocketAddrV4,
    from: Option<Ipv4Addr>,
    port: u16,
    foreign: bool,
}

fn fcntl(fd: c_int, command: c_int, value: libc::c_long) -> libc::c_long {
    // SAFETY: commands without pointers.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, command, value) }
}
