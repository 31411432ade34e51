//! The hook of connect(2), from the program's arguments to its result. [`step`] decides before the kernel's connect what it
//! does.

pub mod foreign_peer;
mod lent;
mod step;
mod table;

use crate::ask::{Start, ask_of, tell_to};
use crate::failure::Failure;
use crate::log::{self, About, Call};
use crate::panic_barrier::run_isolated;
use crate::{autobound, descriptor_hints, kernel, name, process, sandbox};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::client::Client;
use lonet_core::control::{Asked, Op};
use lonet_core::limit::Limit;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};
use step::{Connect, Decider, Disconnect, Expects, NextStep, Target};
use table::Next;

hook! {
    unsafe fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int => lonet_connect {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len) }
    }
}

/// connect's other name, as with [`crate::close::__close`].
///
/// # Safety
/// As for connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { run(fd, address, len) }
}

/// libc's connect.
type Real = unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int;

/// One call of connect(2).
struct Attempt {
    real: Real,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
    /// errno before the call, which a success leaves as it was.
    errno: i32,
    /// The time limit for lonetd, from the first request on.
    limit: Limit,
}

impl Attempt {
    // As for `step::decide`.
    #[allow(improper_ctypes_definitions, reason = "its only caller is Rust")]
    extern "C" fn new(fd: c_int, address: *const sockaddr, len: socklen_t) -> Attempt {
        Attempt { real: connect.get(), fd, address, len, errno: Errno::last_raw(), limit: Limit::NONE }
    }

    fn call(&self) -> Call {
        Call { name: "connect", about: About::To(self.address, self.len) }
    }

    /// Logs why the call fails, and returns the errno for the program.
    fn failure(&self, failed: &Failure) -> Errno {
        run_isolated(|| log::ended(self.call(), Err(failed.errno), format_args!("{}", failed.why())));
        failed.errno
    }

    /// Ends the call with 0, or with -1 and this errno.
    extern "C" fn returns(&self, errno: i32) -> c_int {
        Errno::set_raw(if errno == 0 { self.errno } else { errno });
        if errno == 0 { 0 } else { -1 }
    }
}

/// The hook. connect may block, and a thread may be cancelled or jump out of it: this frame and those above it
/// hold nothing, and call nothing that could unwind, so that cancellation passes through them (see `panic_barrier`).
///
/// # Safety
/// The arguments are as connect(2) takes them.
pub unsafe extern "C" fn run(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    const { assert!(!std::mem::needs_drop::<NextStep>()) };
    let mut attempt = Attempt::new(fd, address, len);
    let real = attempt.real;
    // SAFETY: the program's arguments, and addresses of ours.
    unsafe {
        let mut step = step::decide(&mut attempt, Decider::Table);
        loop {
            match &mut step {
                NextStep::Libc(_) => return real(fd, address, len),
                NextStep::Fail(errno) => return attempt.returns(*errno as i32),
                NextStep::Disconnect(from) => {
                    return finish_disconnect(&attempt, real(fd, address, len), from);
                }
                NextStep::NameServer(to) => {
                    let mut result = real(fd, to.pointer(), to.len);
                    // A sandbox may allow port 53 alone: then the server itself is asked.
                    if result == -1 && Errno::last() == Errno::EACCES {
                        result = real(fd, address, len);
                    }
                    return finish_to_name_server(&attempt, result);
                }
                NextStep::Connect(to) => return finish(&attempt, connect_to(&attempt, &to.target), to),
                NextStep::Table(dial) => {
                    let result = connect_to(&attempt, &dial.target);
                    match table::finish(&attempt, result, dial) {
                        Next::Return => return result,
                        Next::Retry => {}
                        Next::AskLonetd => step = step::decide(&mut attempt, Decider::Lonetd),
                    }
                }
                NextStep::Foreign(peer) => {
                    let result = real(fd, peer.address.pointer(), peer.address.len);
                    match foreign_peer::shake_hands(&attempt, peer, result) {
                        foreign_peer::Outcome::Ended(errno) => return attempt.returns(errno),
                        foreign_peer::Outcome::Connect(to) => {
                            let address = &to.target.address;
                            return finish(&attempt, real(fd, address.pointer(), address.len), &to);
                        }
                    }
                }
            }
        }
    }
}

/// The kernel's connect to the target, or lonetd's in its place where a sandbox forbids the OS port. Cancellation passes through
/// this frame, as through [`run`].
///
/// # Safety
/// The socket is the program's.
unsafe extern "C" fn connect_to(attempt: &Attempt, target: &Target) -> c_int {
    // SAFETY: an address of ours with its length.
    let result = unsafe { (attempt.real)(attempt.fd, target.address.pointer(), target.address.len) };
    if result == 0 || Errno::last_raw() != libc::EACCES {
        return result;
    }
    // SAFETY: as the caller promises.
    unsafe { lent::connect(attempt, target) }
}

/// The errno of a connect with this result; 0: it returned 0.
fn errno_of(result: c_int) -> i32 {
    if result == 0 { 0 } else { Errno::last_raw() }
}

fn outcome(errno: i32) -> Result<(), Errno> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) }
}

/// The errno to log for a dial. A non-blocking one is under way for the program also if the connection is made already.
fn for_log(fd: c_int, errno: i32) -> i32 {
    let is_made = || log::is_wanted() && kernel::remote(fd).is_some();
    if errno == libc::EINPROGRESS && is_made() { 0 } else { errno }
}

/// Notifies lonetd of the outcome of a connect, logs it, and returns from the program's call.
#[inline(never)]
extern "C" fn finish(attempt: &Attempt, result: c_int, to: &Connect) -> c_int {
    let by_kernel = errno_of(result);
    let mut errno = by_kernel;
    run_isolated(|| {
        let Some(client) = process::client() else { return };
        let Connect { target, expects } = to;
        let (limit, cookie) = (attempt.limit, target.cookie);
        match *expects {
            Expects::SelfConnect => {
                notify_dialed(limit, &client, cookie, kernel::source(attempt.fd), by_kernel);
            }
            Expects::Listener { os } => {
                errno = conclude(limit, &client, attempt.fd, cookie, os, by_kernel);
            }
            Expects::Relay { os, late, .. } => {
                errno = conclude(limit, &client, attempt.fd, cookie, os, by_kernel);
                if errno == 0 {
                    errno = late;
                }
            }
            // A socket that has a port stays open to IPv4.
            Expects::Refusal { was_v6only: true } => set_v6only(attempt.fd, true),
            Expects::Refusal { .. } | Expects::Connected => {}
        }
    });
    run_isolated(|| report(attempt, errno, result != 0, &to.expects));
    attempt.returns(errno)
}

/// Logs the call.
#[inline(never)]
fn report(attempt: &Attempt, errno: i32, by_kernel: bool, expects: &Expects) {
    let call = attempt.call();
    // That a relay is connected says nothing of the peer.
    let is_settled = !matches!(expects, Expects::Relay { .. });
    let errno = if is_settled { for_log(attempt.fd, errno) } else { errno };
    let refuses = matches!(expects, Expects::Refusal { .. });
    match *expects {
        _ if errno == libc::ECONNREFUSED && by_kernel => log::refused(call),
        // The refusal comes while connect sends its segment, and waits in the socket until the program asks for it.
        _ if refuses && errno == libc::EINPROGRESS && !kernel::has_connection(attempt.fd) => {
            log::refused(call);
        }
        Expects::Relay { waited, .. } if waited != 0 => {
            let why = format_args!("relayed, as the peer has not answered within {waited} ms");
            log::ended(call, outcome(errno), why);
        }
        _ => log::ended(call, outcome(errno), format_args!("")),
    }
}

/// Notifies lonetd that the socket was disconnected, and returns from the program's call.
#[inline(never)]
extern "C" fn finish_disconnect(attempt: &Attempt, result: c_int, from: &Disconnect) -> c_int {
    let errno = errno_of(result);
    run_isolated(|| {
        let client = || process::client_at(*from.local.ip()).or_else(process::client);
        let Some(client) = (errno == 0).then(client).flatten() else { return };
        let is_certain = process::is_certain(from.local.ip().to_ipv6_mapped());
        let start = if is_certain { Start::Yes } else { Start::No };
        let _ = ask_of(attempt.limit, &client, &Op::Disconnected { cookie: from.cookie }, start);
    });
    run_isolated(|| match errno {
        libc::ECONNREFUSED => log::refused(attempt.call()),
        _ => log::ended(attempt.call(), outcome(errno), format_args!("")),
    });
    attempt.returns(errno)
}

#[inline(never)]
extern "C" fn finish_to_name_server(attempt: &Attempt, result: c_int) -> c_int {
    let errno = errno_of(result);
    run_isolated(|| log::ended(attempt.call(), outcome(errno), format_args!("lonetd is the name server")));
    attempt.returns(errno)
}

/// Binds a socket to the source address that lonetd has named for its dial to this port.
pub fn bind_for_dial(
    socket: &sandbox::Socket<'_>,
    (family, asked): (c_int, Asked),
    from: Option<Ipv4Addr>,
    port: u16,
) -> Result<(), Errno> {
    let fd = socket.fd;
    let call = |at: &crate::address::Address| socket.bind(at, || sandbox::may_connect(port));
    match from.map_or(Ok(()), |ip| kernel::bind_address(fd, family, ip, asked, &call)) {
        // EINVAL: the program has bound it past lonet, and dials from there.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(e) => {
            notify_dialed(socket.limit, socket.client, socket.cookie, None, e as i32);
            return Err(e);
        }
    }
    descriptor_hints::set(fd);
    Ok(())
}

fn notify_dialed(limit: Limit, client: &Client, cookie: u64, from: Option<SocketAddrV4>, errno: i32) {
    tell_to(limit, client, &Op::Dialed { cookie, from, errno });
}

/// Notifies lonetd of the outcome of a connect to `os`. Returns the errno for the program.
pub fn conclude(limit: Limit, client: &Client, fd: c_int, cookie: u64, os: SocketAddrV4, errno: i32) -> i32 {
    let source = kernel::source(fd);
    if source == Some(os) {
        // The listener has gone, and the kernel chose its port as the source: the socket is connected to itself.
        kernel::disconnect(fd, cookie);
        notify_dialed(limit, client, cookie, None, libc::ECONNREFUSED);
        return libc::ECONNREFUSED;
    }
    notify_dialed(limit, client, cookie, source, errno);
    errno
}

/// Records that the port of a bound socket is used: it dials.
fn record_port_use(fd: c_int, limit: &mut Limit) {
    if !autobound::is_empty() {
        name::named(fd, limit).local.into_iter().for_each(autobound::record_use);
    }
}

fn set_v6only(fd: c_int, value: bool) {
    let _ = lonet_core::sys::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &i32::from(value));
}
