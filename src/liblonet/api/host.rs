//! `lonet_host`: a host that the process runs, possibly beside others.

use super::error::{Error, EscapedBytes, Result, call};
use super::named::{self, LonetHost, LonetNet, refuse_host};
use super::{ask, bytes, room_for_two};
use crate::ask::{limit, tell_to};
use crate::handle::{Stale, Used};
use crate::joined::{HOSTS, Host};
use crate::{kernel, process};
use lonet_core::address::MAX_HOST;
use lonet_core::block::Block;
use lonet_core::client::{Client, TIME_LIMIT, Trouble};
use lonet_core::config::{Config, bare_host};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys;
use std::ffi::{CString, c_char, c_int};

const LONET_SHARE: c_int = 1;
const LONET_TCP_PORTS: c_int = 2;

/// Fails if the host was closed during a call for it.
pub fn still_open(host: &Used<Host>, what: impl std::fmt::Display) -> Result<()> {
    match HOSTS.get(host.handle) {
        Ok(_) => Ok(()),
        Err(stale) => Err(Error::from(stale).of(what)),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_host_new(
    net: *mut LonetNet,
    name: *const c_char,
    flags: c_int,
    host: *mut *mut LonetHost,
) -> c_int {
    call(|| {
        // SAFETY: null or a C string, as lonet.h says.
        let name = unsafe { bytes(name) };
        let made = new(net, name, flags)?;
        if !host.is_null() {
            // SAFETY: a place for a handle, as lonet.h says.
            unsafe { host.write(std::ptr::without_provenance_mut(made.handle as usize)) };
        }
        Ok(0)
    })
}

fn new(net: *const LonetNet, name: Option<&[u8]>, flags: c_int) -> Result<Used<Host>> {
    let net = named::net(net, "host")?;
    let network = &net.client.config.network;
    let Some(name) = name else {
        return Err(Error::Invalid.because(format_args!("host lonet{network}"), "the host's name is NULL"));
    };
    let what = format!("host lonet{network} {}", EscapedBytes(name));
    if flags & !(LONET_SHARE | LONET_TCP_PORTS) != 0 {
        return Err(Error::Invalid.because(what, format_args!("unknown flags {flags:#x}")));
    }
    if name.len() > MAX_HOST {
        let (what, long) = (format_args!("host lonet{network}"), name.len());
        return Err(Error::Invalid.because(what, format_args!("a name of {long} bytes")));
    }
    let not_utf8 = |_| Error::Invalid.because(&what, "the name is not UTF-8");
    let name = bare_host(std::str::from_utf8(name).map_err(not_utf8)?);
    if name.is_empty() {
        return Err(Error::Invalid.because(what, "the name is empty"));
    }
    let mut config = Config { host: Some(name.to_owned()), ..net.client.config.clone() };
    config.options.fresh_accept_ports = flags & LONET_TCP_PORTS == 0;
    let client = Client::new(config, process::library_directory().as_deref(), net.client.owner());
    let share = flags & LONET_SHARE != 0;
    let (block, ip) = ask(&client, &Op::Announce { share }, &what, |block, reply| match reply {
        Reply::Located { os } => Some((Block::new(block)?, *os.ip())),
        _ => None,
    })?;
    if let Some(table) = &net.table {
        // SAFETY: the host keeps it, and the client is of the same network.
        unsafe { client.look_at(table.table()) };
    }
    let c_name = CString::new(name).unwrap_or_default();
    let made = HOSTS
        .open(Host { client, block, net: net.handle, c_name, ip, _table: net.table.clone() })
        .ok_or_else(|| Error::Memory.because(&what, "too many hosts in one process"))?;
    if !net.is_open() {
        let _ = close(limit(), made.handle, true);
        return Err(Error::NetworkDown.because(what, "the network was left"));
    }
    Ok(made)
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_host_name(host: *const LonetHost) -> *const c_char {
    let mut name = std::ptr::null();
    call(|| {
        name = named::host(host, "lonet_host_name")?.c_name.as_ptr();
        Ok(0)
    });
    name
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_host_close(host: *mut LonetHost) -> c_int {
    call(|| {
        let open = named::host(host, "close")?;
        let what = format!("close lonet{} {}", open.network(), open.name());
        drop(open);
        room_for_two().map_err(|e| e.of(what))?;
        close(limit(), host.addr() as u64, false).map_err(|stale| refuse_host(stale, "close"))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_set_default_host(host: *mut LonetHost) -> c_int {
    call(|| {
        if host.is_null() {
            process::set_default_host(0);
            return Ok(0);
        }
        let used = named::host(host, "default host")?;
        process::set_default_host(used.handle);
        // If it was closed meanwhile it must not become the default.
        if !used.is_open() {
            process::forget_default_host(used.handle);
        }
        Ok(0)
    })
}

/// Ends a host, unless the process has another handle of it. lonetd is notified before any socket is shut
/// down, so that whoever is woken by that finds the host down.
pub fn close(limit: Limit, handle: u64, with_network: bool) -> std::result::Result<(), Stale> {
    let host = HOSTS.close(handle, with_network)?;
    process::forget_default_host(handle);
    if HOSTS.all().any(|other| other.is_also(&host)) {
        return Ok(());
    }
    let mut lonetd = Responder { limit, is_silent: false };
    let sockets = own_sockets(&mut lonetd, &host);
    let limit = lonetd.next_limit();
    // Without a lonetd the host is down already.
    let _ = host.client.ask(limit, &Op::Leave, &mut [0; MAX_MESSAGE]);
    for (fd, cookie) in sockets {
        if kernel::cookie(fd) == Ok(cookie) {
            let listens = sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == Ok(1);
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_shutdown, fd, libc::SHUT_RDWR) };
            if listens {
                // This has also ended the connections in its queue.
                tell_to(limit, &host.client, &Op::Closed { cookie });
            }
        }
    }
    Ok(())
}

/// lonetd, as far as it has answered the requests of a call.
struct Responder {
    limit: Limit,
    is_silent: bool,
}

impl Responder {
    /// The limit of the next request: another one begins where lonetd has answered each request in time.
    fn next_limit(&mut self) -> Limit {
        if !self.is_silent {
            self.limit = self.limit.forgiven(TIME_LIMIT);
        }
        self.limit
    }
}

/// The descriptors and cookies of the sockets that this process has bound, dialed or accepted as this host.
/// Inherited ones are its parent's.
fn own_sockets(lonetd: &mut Responder, host: &Host) -> Vec<(c_int, u64)> {
    let mut all = Vec::new();
    let _ = sys::each_descriptor(|fd| all.push(fd));
    all.into_iter().filter_map(|fd| Some((fd, own_socket(lonetd, host, fd)?))).collect()
}

/// The cookie of `fd`, if it is one.
fn own_socket(lonetd: &mut Responder, host: &Host, fd: c_int) -> Option<u64> {
    let cookie = kernel::cookie(fd).ok()?;
    let local = kernel::local(fd)?.os()?;
    // Connections that lonetd relays have lonetd's address.
    if *local.ip() != host.ip && *local.ip() != host.block.stack() {
        return None;
    }
    let remote = kernel::remote(fd).and_then(|a| a.os());
    let mut buffer = [0; MAX_MESSAGE];
    let op = Op::Whois { cookie, local, remote };
    // Without a lonetd, or with one that has not answered about another socket, only the address tells.
    let by_address = (*local.ip() == host.ip).then_some(cookie);
    if lonetd.is_silent {
        return by_address;
    }
    match host.client.ask(lonetd.next_limit(), &op, &mut buffer) {
        Ok((_, Reply::Names { local: named, own, .. })) => {
            let here = *local.ip() == host.ip || named.host == host.name();
            (own && here).then_some(cookie)
        }
        Ok(_) => None,
        Err(trouble) => {
            lonetd.is_silent = matches!(trouble, Trouble::Silent(_));
            by_address
        }
    }
}
