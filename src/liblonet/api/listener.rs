//! Functions of listening descriptors: lonet_listen and lonet_accept.

use super::addr::{HostPort, LonetAddr, Whois, candidate, client_for, store_addr, whois};
use super::error::{Error, EscapedBytes, Reported, Result, call};
use super::host::still_open;
use super::named::{self, LonetHost};
use super::{bytes, room_for_two};
use crate::ask::{self, Start, ask_for_text, ask_of, tell_to};
use crate::bind::{BindOutcome, bind_assigned};
use crate::handle::Used;
use crate::joined::Host;
use crate::{accept, descriptor_hints, kernel, sandbox};
use lonet_core::address::host_and_port;
use lonet_core::block::Endpoint;
use lonet_core::config::bare_host;
use lonet_core::control::{MAX_MESSAGE, Op, Reply, Runs};
use lonet_core::limit::Limit;
use lonet_core::sys::{Fd, check};
use nix::errno::Errno;
use std::ffi::{c_char, c_int};
use std::net::Ipv4Addr;
use std::ptr::null_mut;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_listen(host: *mut LonetHost, laddr: *const c_char, backlog: c_int) -> c_int {
    call(|| {
        let host = named::host(host, "listen")?;
        // SAFETY: null or a C string, as lonet.h says.
        let Some(laddr) = (unsafe { bytes(laddr) }) else {
            return Err(Error::Invalid.because("listen", "the address is NULL"));
        };
        let (name, port) = match laddr {
            b"" => ("", 0),
            laddr => host_and_port(laddr).map_err(|e| {
                Error::Invalid
                    .because(format_args!("listen lonet{} \"{}\"", host.network(), EscapedBytes(laddr)), e)
            })?,
        };
        let name = bare_host(name);
        let what = Listen { network: host.network(), host: host.name(), port };
        let limit = ask::limit();
        if !name.is_empty() && !is_name_of(limit, &host, name).map_err(|e| e.of(what))? {
            still_open(&host, what)?;
            return Err(Error::NotThisHosts.of(Listen { host: name, ..what }));
        }
        let fd = listen(limit, &host, port, backlog, what)?;
        Ok(fd.into_raw())
    })
}

/// Whether this is a spelling of the host's name. In plain ASCII spellings differ in case alone; of others lonetd knows which are
/// one host.
// Not inlined: the buffer would enlarge the frame of a call that may be made on a small stack.
#[inline(never)]
fn is_name_of(limit: Limit, host: &Host, name: &str) -> std::result::Result<bool, Error> {
    let is_plain = |name: &str| {
        name.is_ascii() && !name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
    };
    if name.eq_ignore_ascii_case(host.name()) {
        return Ok(true);
    }
    if is_plain(name) && is_plain(host.name()) {
        return Ok(false);
    }
    let op = Op::Resolve { name: name.as_bytes(), strict: true };
    match ask_for_text(limit, &host.client, &op, Start::Yes, &mut [0; MAX_MESSAGE]) {
        Ok(Reply::Host { index, .. }) => Ok(host.block.address(index) == host.ip),
        Ok(_) => Err(Error::Protocol),
        // It is nobody's, or a rule for faults says so, which is never about the host's own name.
        Err(failed) if matches!(failed.errno, Errno::ENOENT | Errno::EAGAIN) => Ok(false),
        Err(failed) => Err(Error::from_errno(failed.errno)),
    }
}

#[derive(Clone, Copy)]
struct Listen<'a> {
    network: &'a str,
    host: &'a str,
    port: u16,
}

impl std::fmt::Display for Listen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "listen lonet{} {}", self.network, HostPort(self.host, self.port))
    }
}

/// A listener bound to 0.0.0.0, so that the host's own loopback reaches it, too.
fn listen(limit: Limit, host: &Used<Host>, port: u16, backlog: c_int, what: Listen<'_>) -> Result<Fd> {
    if let Some(fd) = listen_from(limit, host, port, backlog, what, 0)? {
        return Ok(fd);
    }
    listen_from(limit, host, port, backlog, what, 1)?.ok_or_else(|| Error::AddressInUse.of(what))
}

/// `attempt`: 0 if the OS port may be the lonet port. `None`: another socket listens at this OS port.
fn listen_from(
    limit: Limit,
    host: &Used<Host>,
    port: u16,
    backlog: c_int,
    what: Listen<'_>,
    attempt: u8,
) -> Result<Option<Fd>> {
    let fail = |e: Errno| Error::from_errno(e).of(what);
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0) });
    let fd = Fd::adopt(fd.map_err(fail)? as i32);
    let cookie = kernel::cookie(fd.raw()).map_err(fail)?;
    let listening = listen_with(limit, host, (fd.raw(), cookie), port, backlog, attempt);
    // If the host was closed meanwhile, that is the reason of any failure: its ports are others' by now.
    let outcome = still_open(host, what).and_then(|()| listening.map_err(fail));
    if let Ok(true) = outcome {
        return Ok(Some(fd));
    }
    descriptor_hints::clear(fd.raw());
    drop(fd);
    tell_to(Limit::NONE, &host.client, &Op::Closed { cookie });
    outcome.map(|_| None)
}

/// `Ok(false)`: the socket shares its OS address with another one, which has begun to listen meanwhile. That is one with which
/// another thread was about to listen when its host, of the same name, was closed.
fn listen_with(
    limit: Limit,
    host: &Host,
    (fd, cookie): (c_int, u64),
    port: u16,
    backlog: c_int,
    first_attempt: u8,
) -> std::result::Result<bool, Errno> {
    let asked = kernel::asked(fd, libc::AF_INET);
    let at = Endpoint::new(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), port);
    let request =
        |attempt: u8| Op::Bind { cookie, at, asked, attempt: attempt.max(first_attempt), past: Runs::NONE };
    let may = || sandbox::may_bind(port);
    match bind_assigned(limit, &host.client, fd, (libc::AF_INET, asked), request, &may, Start::Yes)? {
        BindOutcome::At { os, .. } => tell_to(limit, &host.client, &Op::Bound { cookie, os }),
        BindOutcome::Native | BindOutcome::Already => return Err(Errno::EPROTO),
    }
    descriptor_hints::set(fd);
    let op = Op::Listen { cookie, bound: true, asked, attempt: 0 };
    match ask_of(limit, &host.client, &op, Start::Yes)? {
        Reply::Listen => {}
        _ => return Err(Errno::EPROTO),
    }
    // SAFETY: no pointers.
    if let Err(e) = check(unsafe { libc::syscall(libc::SYS_listen, fd, backlog) }) {
        tell_to(limit, &host.client, &Op::Failed { cookie });
        return if e == Errno::EADDRINUSE { Ok(false) } else { Err(e) };
    }
    tell_to(limit, &host.client, &Op::Listening { cookie });
    Ok(true)
}

/// A frame that cancellation passes through, like `accept::run`, which may block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_accept(
    lfd: c_int,
    flags: c_int,
    local: *mut LonetAddr,
    peer: *mut LonetAddr,
) -> c_int {
    let mut limit = Limit::NONE;
    // SAFETY: null for an address that is not wanted; outputs as lonet.h says.
    unsafe {
        if check_arguments(lfd, flags) != 0 {
            return -1;
        }
        let new = accept::run_within(lfd, null_mut(), null_mut(), Some(&flags), true, &mut limit);
        finish_accept(lfd, new, local, peer, &mut limit)
    }
}

/// Checks the arguments, before a connection is taken out of the queue.
extern "C" fn check_arguments(lfd: c_int, flags: c_int) -> c_int {
    call(|| {
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Error::Invalid.because("accept", format_args!("unknown flags {flags:#x}")));
        }
        let listener = candidate(lfd, "accept")?;
        client_for(listener.local, "accept")?;
        room_for_two().map_err(|e| e.of("accept"))?;
        Ok(0)
    })
}

/// # Safety
/// The outputs are null or writable.
unsafe extern "C" fn finish_accept(
    lfd: c_int,
    new: c_int,
    local: *mut LonetAddr,
    peer: *mut LonetAddr,
    limit: &mut Limit,
) -> c_int {
    let errno = Errno::last();
    call(|| {
        if new < 0 {
            return Err(accept_error(lfd, errno, limit));
        }
        if local.is_null() && peer.is_null() {
            return Ok(new);
        }
        let named = whois(limit, new, "accept", |all| {
            let name = all.peer.ok_or_else(|| Error::Aborted.of("accept"))?;
            // SAFETY: as the caller promises.
            unsafe {
                store_addr(local, all.local)?;
                store_addr(peer, name)
            }
        });
        match named {
            Ok(_) => Ok(new),
            Err(failed) => {
                drop(Fd::adopt(new));
                Err(failed)
            }
        }
    })
}

/// The reason of a failed accept. A listener that was shut down belongs to a host or network that has ended,
/// or was no listener.
fn accept_error(lfd: c_int, errno: Errno, limit: &mut Limit) -> Reported {
    if errno != Errno::EINVAL {
        return Error::from_errno(errno).of("accept");
    }
    let failure = whois(limit, lfd, "accept", |Whois { local, member, .. }| {
        let what = format_args!("accept {}", HostPort(local.host, local.port));
        Err::<(), _>(match member {
            true => Error::Invalid.because(what, "not a listening descriptor"),
            false => Error::HostDown.of(what),
        })
    });
    failure.err().unwrap_or(Reported(errno))
}
