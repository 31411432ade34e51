//! Connected descriptors: lonet_dial and lonet_dial_start.

use super::addr::Written;
use super::error::{Error, Failed, Result, Shown, call};
use super::handle::Used;
use super::host::{self, Host, LonetHost, still_open};
use super::{ask, bytes};
use crate::address::Address;
use crate::ask::tell_to;
use crate::connect::foreign::Waits;
use crate::{connect, kernel, marks};
use lonet_core::address::host_and_port;
use lonet_core::config::bare_host;
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use std::ffi::{c_char, c_int};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_dial(host: *mut LonetHost, addr: *const c_char, timeout_ms: c_int) -> c_int {
    call(|| {
        if timeout_ms < -1 {
            return Err(Error::Invalid.because("dial", format_args!("a time limit of {timeout_ms} ms")));
        }
        let host = host::get(host, "dial")?;
        let limit = (timeout_ms >= 0).then_some(i64::from(timeout_ms));
        // SAFETY: null or a C string, as lonet.h says.
        let dial = Dial::start(&host, unsafe { bytes(addr) }, Waits::For(limit))?;
        match dial.wait(limit).map_err(|e| e.of(dial.path)).and_then(|()| still_open(&host, dial.path)) {
            Ok(()) => Ok(dial.fd.into_raw()),
            Err(failed) => Err(dial.give_up(failed)),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_dial_start(host: *mut LonetHost, addr: *const c_char) -> c_int {
    call(|| {
        let host = host::get(host, "dial")?;
        // SAFETY: null or a C string, as lonet.h says.
        let dial = Dial::start(&host, unsafe { bytes(addr) }, Waits::Moment)?;
        match still_open(&host, dial.path) {
            Ok(()) => Ok(dial.fd.into_raw()),
            Err(failed) => Err(dial.give_up(failed)),
        }
    })
}

/// Who dials whom: `dial lonetmynet β:1->α:11`.
#[derive(Clone, Copy)]
struct Path<'a> {
    network: &'a str,
    from: &'a str,
    /// 0 while it is not known.
    port: u16,
    to: &'a str,
    to_port: u16,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial lonet{} ", self.network)?;
        match self.port {
            0 => f.write_str(self.from)?,
            port => write!(f, "{}", Written(self.from, port))?,
        }
        write!(f, "->{}", Written(self.to, self.to_port))
    }
}

/// A dial under way, on a non-blocking socket.
struct Dial<'a> {
    host: &'a Used<Host>,
    path: Path<'a>,
    fd: Fd,
    cookie: u64,
}

impl<'a> Dial<'a> {
    fn start(host: &'a Used<Host>, addr: Option<&'a [u8]>, waits: Waits) -> Result<Dial<'a>> {
        let Some(addr) = addr else {
            return Err(Error::Invalid.because("dial", "the address is NULL"));
        };
        let (to, to_port) = host_and_port(addr).map_err(|e| {
            Error::Invalid.because(format_args!("dial lonet{} \"{}\"", host.network(), Shown(addr)), e)
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
        let way = ask(&host.client, &op, path, |_, reply| match reply {
            Reply::Way { to, from, port, foreign } => Some(Ok(Way { to, from, port, foreign })),
            Reply::NoWay { errno, port } => Some(Err((Errno::from_raw(errno), port))),
            _ => None,
        })?;
        let way = way.map_err(|(errno, port)| Error::from_errno(errno).of(Path { port, ..path }))?;
        path.port = way.port;
        let dial = Dial { host, path, fd, cookie };
        match dial.connect(&way, asked) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(e) => return Err(dial.give_up(Error::from_errno(e).of(path))),
        }
        match way.foreign.then(|| dial.shake_hands(waits)) {
            None | Some(Ok(())) => Ok(dial),
            Some(Err(failed)) => Err(dial.give_up(failed)),
        }
    }

    /// With a foreign peer: lonetd does it.
    fn shake_hands(&self, waits: Waits) -> Result<()> {
        let (client, fd, path) = (&self.host.client, self.fd.raw(), self.path);
        let mut buffer = [0; MAX_MESSAGE];
        match connect::foreign::lend(client, fd, self.cookie, waits, &mut buffer) {
            Ok(Some(Reply::Done)) => Ok(()),
            Ok(Some(Reply::ConnectTo { .. })) => Err(Error::Refused.of(path)),
            // It takes longer than lonet_dial_start waits: lonetd relays.
            Ok(Some(Reply::DialForeign { to, .. })) => match self.connect_to(to) {
                Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
                Err(e) => Err(Error::from_errno(e).of(path)),
            },
            Ok(Some(Reply::Error { errno, text })) => {
                Err(Error::from_errno(Errno::from_raw(errno)).because(path, text))
            }
            Ok(Some(_)) => Err(Error::Protocol.of(path)),
            Ok(None) => Err(Error::TimedOut.of(path)),
            Err(trouble) => Err(Error::from(trouble).because(path, trouble)),
        }
    }

    fn connect(&self, way: &Way, asked: lonet_core::control::Asked) -> std::result::Result<(), Errno> {
        let client = &self.host.client;
        let refused = *way.to.ip() == self.host.block.stack();
        connect::set_out(client, self.fd.raw(), (libc::AF_INET, asked), self.cookie, way.from)?;
        let told = match (refused, way.foreign) {
            (false, false) => return self.connect_to(way.to),
            (true, _) => self.real_connect(way.to),
            // lonetd hears of it in the handshake.
            (false, true) => match self.real_connect(way.to) {
                0 => 0,
                libc::EINPROGRESS => libc::EINPROGRESS,
                errno => {
                    connect::arrived(client, self.fd.raw(), self.cookie, way.to, errno);
                    // Where nobody listens there is no such host any more.
                    if errno == libc::ECONNREFUSED { libc::EHOSTUNREACH } else { errno }
                }
            },
        };
        if told == 0 { Ok(()) } else { Err(Errno::from_raw(told)) }
    }

    /// To a listener of the network's; lonetd is told what came of it.
    fn connect_to(&self, to: SocketAddrV4) -> std::result::Result<(), Errno> {
        let errno = self.real_connect(to);
        match connect::arrived(&self.host.client, self.fd.raw(), self.cookie, to, errno) {
            0 => Ok(()),
            told => Err(Errno::from_raw(told)),
        }
    }

    /// The kernel's connect: its errno, 0 for none.
    fn real_connect(&self, to: SocketAddrV4) -> i32 {
        let target = Address::of_os(to, libc::AF_INET);
        // SAFETY: an address of ours with its length.
        let result = unsafe { sys::connect(self.fd.raw(), target.pointer(), target.len) };
        result.err().map_or(0, |e| e as i32)
    }

    /// Waits for the connection, and makes the socket a blocking one.
    fn wait(&self, limit: Option<i64>) -> std::result::Result<(), Error> {
        let fd = self.fd.raw();
        if !sys::ready_within(fd, libc::POLLOUT, limit).map_err(Error::from_errno)? {
            return Err(Error::TimedOut);
        }
        match sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, libc::SO_ERROR).map_err(Error::from_errno)? {
            0 => {}
            errno => return Err(Error::from_errno(Errno::from_raw(errno))),
        }
        let flags = check(fcntl(fd, libc::F_GETFL, 0)).map_err(Error::from_errno)?;
        let blocking = flags & !libc::c_long::from(libc::O_NONBLOCK);
        check(fcntl(fd, libc::F_SETFL, blocking)).map_err(Error::from_errno)?;
        Ok(())
    }

    /// Closes the socket; its port is free again when this returns. A host that was closed meanwhile is the reason
    /// for whatever has failed.
    fn give_up(self, failed: Failed) -> Failed {
        marks::clear(self.fd.raw());
        drop(self.fd);
        tell_to(&self.host.client, &Op::Closed { cookie: self.cookie });
        still_open(self.host, self.path).err().unwrap_or(failed)
    }
}

/// Where lonetd says that a dial leads.
struct Way {
    to: SocketAddrV4,
    from: Option<Ipv4Addr>,
    port: u16,
    foreign: bool,
}

fn fcntl(fd: c_int, command: c_int, value: libc::c_long) -> libc::c_long {
    // SAFETY: commands without pointers.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, command, value) }
}
