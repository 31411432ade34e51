//! `struct lonet_addr`: lonet addresses as text, and those of a descriptor.

use super::error::{Error, EscapedBytes, Result, call};
use super::{ask_within, bytes};
use crate::{ask, autobound, joined, kernel, name, process};
use lonet_core::address::{MAX_HOST, host_and_port};
use lonet_core::client::TIME_LIMIT;
use lonet_core::control::{Name, Op, Reply};
use lonet_core::limit::Limit;
use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_int};
use std::fmt::{self, Display, Write};
use std::net::SocketAddrV4;

#[repr(C)]
pub struct LonetAddr {
    host: [c_char; MAX_HOST + 1],
    port: u16,
}

impl LonetAddr {
    /// `None`: the host's name is too long for the C struct.
    fn of(name: Name<'_>) -> Option<LonetAddr> {
        let mut host = [0; MAX_HOST + 1];
        let room = host[..MAX_HOST].get_mut(..name.host.len())?;
        for (to, from) in room.iter_mut().zip(name.host.bytes()) {
            *to = from as c_char;
        }
        Some(LonetAddr { host, port: name.port })
    }
}

/// An address as text: `α:80`, with brackets if the host contains colons.
pub struct HostPort<'a>(pub &'a str, pub u16);

impl Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]:{}", self.0, self.1)
        } else {
            write!(f, "{}:{}", self.0, self.1)
        }
    }
}

/// A writer into C's memory that behaves as snprintf does.
struct SnprintfBuffer {
    to: *mut u8,
    room: usize,
    len: usize,
}

impl Write for SnprintfBuffer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if let Some(left) = self.room.checked_sub(self.len + 1) {
            // SAFETY: `room` bytes are writable, and one stays for the zero.
            unsafe { std::ptr::copy_nonoverlapping(s.as_ptr(), self.to.add(self.len), s.len().min(left)) };
        }
        self.len += s.len();
        Ok(())
    }
}

impl SnprintfBuffer {
    fn end(self) -> usize {
        if let Some(last) = self.room.checked_sub(1) {
            // SAFETY: within the `room` bytes.
            unsafe { self.to.add(self.len.min(last)).write(0) };
        }
        self.len
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_addr_parse(text: *const c_char, addr: *mut LonetAddr) -> c_int {
    call(|| {
        // SAFETY: null or a C string, as lonet.h says.
        let Some(text) = (unsafe { bytes(text) }) else {
            return Err(Error::Invalid.because("address", "the text is NULL"));
        };
        let (host, port) = host_and_port(text)
            .map_err(|e| Error::Invalid.because(format_args!("address \"{}\"", EscapedBytes(text)), e))?;
        // SAFETY: null or a place for an address, as lonet.h says.
        unsafe { store_addr(addr, Name { host, port }) }
    })
}

/// Stores an address in an output that may be null.
///
/// # Safety
/// `to` is null or writable.
pub unsafe fn store_addr(to: *mut LonetAddr, name: Name<'_>) -> Result<c_int> {
    let addr = LonetAddr::of(name)
        .ok_or_else(|| Error::Protocol.because("address", "the host's name is too long"))?;
    if !to.is_null() {
        // SAFETY: as the caller promises.
        unsafe { to.write(addr) };
    }
    Ok(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_addr_format(addr: *const LonetAddr, buf: *mut c_char, size: usize) -> c_int {
    call(|| {
        let bad = |why: &str| Error::Invalid.because("address", why);
        // SAFETY: null or an address, as lonet.h says.
        let addr = unsafe { addr.as_ref() }.ok_or_else(|| bad("the address is NULL"))?;
        if buf.is_null() && size > 0 {
            return Err(bad("the buffer is NULL"));
        }
        // SAFETY: c_char is a byte.
        let host = unsafe { std::slice::from_raw_parts(addr.host.as_ptr().cast::<u8>(), addr.host.len()) };
        let host = CStr::from_bytes_until_nul(host).map_err(|_| bad("the host's name has no end"))?;
        let host = host.to_str().map_err(|_| bad("the host's name is not UTF-8"))?;
        let mut out = SnprintfBuffer { to: buf.cast(), room: size, len: 0 };
        let _ = write!(out, "{}", HostPort(host, addr.port));
        Ok(out.end() as c_int)
    })
}

/// What lonetd knows of a descriptor.
pub struct Whois<'a> {
    pub local: Name<'a>,
    pub peer: Option<Name<'a>>,
    /// Whether the process is a member as the socket's host.
    pub member: bool,
}

/// A TCP socket that may be lonet's.
pub struct Candidate {
    pub cookie: u64,
    pub local: SocketAddrV4,
}

/// Fails with the error of a descriptor that cannot be lonet's, before lonetd is asked.
pub fn candidate(fd: c_int, what: impl Display + Copy) -> Result<Candidate> {
    let cookie = kernel::cookie(fd).map_err(|e| match e {
        Errno::EBADF => Error::BadDescriptor.of(what),
        Errno::ENOTSOCK => Error::NoSocket.of(what),
        _ => Error::Invalid.because(what, "not a lonet socket"),
    })?;
    let local = kernel::local(fd).and_then(|a| a.os()).filter(|_| kernel::tcp_family(fd).is_some());
    let local = local.ok_or_else(|| Error::Invalid.because(what, "not a lonet socket"))?;
    Ok(Candidate { cookie, local })
}

/// The client of the network that a socket belongs to.
pub fn client_for(local: SocketAddrV4, what: impl Display) -> Result<process::ClientRef> {
    // Until its block is known, the environment's network may have any.
    let own = process::block().is_some_and(|block| block.contains(*local.ip()));
    if !own && joined::is_left(*local.ip()) {
        return Err(Error::NetworkDown.because(what, "the network was left"));
    }
    process::client_at(*local.ip()).ok_or_else(|| Error::Invalid.because(what, "not a lonet socket"))
}

/// Asks lonetd about a descriptor. `limit`: that of the call for lonetd.
pub fn whois<R>(
    limit: &mut Limit,
    fd: c_int,
    what: impl Display + Copy,
    then: impl FnOnce(Whois<'_>) -> Result<R>,
) -> Result<R> {
    let Candidate { cookie, local } = candidate(fd, what)?;
    let client = client_for(local, what)?;
    let remote = kernel::remote(fd).and_then(|a| a.os());
    *limit = limit.or_of_lonetd(TIME_LIMIT);
    let answered =
        ask_within(*limit, &client, &Op::Whois { cookie, local, remote }, what, |_, reply| match reply {
            Reply::Names { local, peer, member, .. } => Some(then(Whois { local, peer, member })),
            _ => None,
        })?;
    *limit = limit.forgiven(TIME_LIMIT);
    answered
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_local_addr(fd: c_int, addr: *mut LonetAddr) -> c_int {
    call(|| {
        let mut limit = Limit::NONE;
        // SAFETY: null or a place for an address, as lonet.h says.
        let stored = whois(&mut limit, fd, "local address", |all| unsafe { store_addr(addr, all.local) });
        if stored.is_ok() && !autobound::is_empty() {
            name::named(fd, &mut limit).local.into_iter().for_each(autobound::record_told);
        }
        stored
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_peer_addr(fd: c_int, addr: *mut LonetAddr) -> c_int {
    call(|| {
        whois(&mut ask::unbegun(), fd, "peer address", |all| {
            let peer = all.peer.ok_or_else(|| Error::NotConnected.of("peer address"))?;
            // SAFETY: null or a place for an address, as lonet.h says.
            unsafe { store_addr(addr, peer) }
        })
    })
}
