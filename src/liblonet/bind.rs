//! The hook of bind(2), and the binding of sockets to addresses that lonetd assigns.

use crate::ask::{self, Start, ask_of, tell_to};
use crate::bypass::Bypass;
use crate::failure::Failure;
use crate::hook::{Decision, HookResult};
use crate::log::About;
use crate::panic_barrier::run_isolated;
use crate::sandbox::{self, UNPRIVILEGED};
use crate::{autobound, descriptor_hints, kernel, memory, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::block::Endpoint;
use lonet_core::client::Client;
use lonet_core::control::{Asked, Collected, Op, Reply};
use lonet_core::limit::Limit;
use nix::errno::Errno;
use std::net::SocketAddrV4;

hook! {
    unsafe fn bind(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int => lonet_bind decides(About::At(address, len)) |real| {
        on_network(fd, address, len)
    }
}

/// How many OS addresses are tried before the port counts as taken. A lonet port used natively may belong to
/// another program or be below 1024, and some of lonet's own choice may be taken, too.
pub const ATTEMPTS: u8 = 16;

fn on_network(fd: c_int, address: *const sockaddr, len: socklen_t) -> HookResult {
    let (at, family) = match concerns(fd, address, len) {
        Ok(there) => there,
        Err(why) => return Ok(Decision::Libc(why)),
    };
    let asked = kernel::asked(fd, family);
    let cookie = kernel::cookie(fd)?;
    let start = if process::is_certain(at.ip) { Start::Yes } else { Start::No };
    let may = || sandbox::may_bind(at.port);
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    let is_autobind = at.port == 0 && process::is_own(&client);
    let skip = if is_autobind { autobound::to_skip(at.ip) } else { Collected::nothing() };
    let request = |attempt| Op::Bind { cookie, at, asked, attempt, past: skip.runs() };
    let limit = ask::limit();
    let bound = match bind_assigned(limit, &client, fd, (family, asked), request, &may, start) {
        // For a port that its sandbox forbids, the program gets EACCES even if it is taken.
        Err(failed) if failed.errno == Errno::EADDRINUSE && !may() => {
            Err(Failure::new(Errno::EACCES, "the program's sandbox forbids the port"))
        }
        bound => bound,
    };
    match bound? {
        BindOutcome::Native => Ok(Decision::Libc(Bypass::LeftByLonetd)),
        BindOutcome::Already => Ok(Decision::Fail(Errno::EINVAL)),
        BindOutcome::At { os, port } => {
            tell_to(limit, &client, &Op::Bound { cookie, os });
            descriptor_hints::set(fd);
            if is_autobind {
                autobound::record_autobind(Endpoint::new(at.ip, port));
            } else {
                autobound::record_told(Endpoint::new(at.ip, port));
            }
            Ok(Decision::Done(0))
        }
    }
}

/// The requested address of a TCP socket, with its family, if the bind is lonet's to handle.
fn concerns(fd: c_int, address: *const sockaddr, len: socklen_t) -> Result<(Endpoint, c_int), Bypass> {
    if !process::is_active() {
        return Err(Bypass::Inactive);
    }
    let (at, family) = memory::address(address, len).ok_or(Bypass::NoAddress)?;
    process::concerns(at.ip)?;
    let is_tcp = kernel::tcp_family(fd) == Some(family) && kernel::is_stream(fd);
    if is_tcp { Ok((at, family)) } else { Err(Bypass::OtherSocket) }
}

/// Whether binding this socket there is lonet's to handle, or may be.
pub fn is_lonets(fd: c_int, address: *const sockaddr, len: socklen_t) -> bool {
    let mut is = true;
    run_isolated(|| is = concerns(fd, address, len).is_ok());
    is
}

/// The outcome of [`bind_assigned`].
pub enum BindOutcome {
    /// Not lonet's to bind.
    Native,
    /// The socket is bound already.
    Already,
    /// Bound to the OS address `os`; `port` is the lonet port.
    At { os: SocketAddrV4, port: u16 },
}

/// Asks lonetd for an OS address and binds there, repeatedly while the kernel refuses the address. `may`:
/// whether the program's sandbox allows the port.
pub fn bind_assigned<'a>(
    limit: Limit,
    client: &Client,
    fd: c_int,
    (family, asked): (c_int, Asked),
    request: impl Fn(u8) -> Op<'a>,
    may: &dyn Fn() -> bool,
    start: Start,
) -> Result<BindOutcome, Failure> {
    for attempt in 0..ATTEMPTS {
        let op = request(attempt);
        let (os, port) = match ask_of(limit, client, &op, start)? {
            Reply::Native => return Ok(BindOutcome::Native),
            Reply::Listen => return Ok(BindOutcome::Already),
            Reply::BindTo { os, port } => (os, port),
            _ => return Err(Errno::ENETDOWN.into()),
        };
        let (Op::Bind { cookie, .. } | Op::Listen { cookie, .. }) = op else {
            return Err(Errno::EPROTO.into());
        };
        let socket = sandbox::Socket { client, limit, fd, cookie };
        match kernel::bind(fd, family, os, asked, &|at| socket.bind(at, may)) {
            Ok(()) => return Ok(BindOutcome::At { os, port }),
            Err(Errno::EADDRINUSE) => {}
            // This OS port needs a privilege; another one may not.
            Err(Errno::EACCES) if os.port() < UNPRIVILEGED && may() => {}
            Err(e) => {
                give_up(limit, client, &op);
                return Err(e.into());
            }
        }
    }
    give_up(limit, client, &request(0));
    Err(Failure::new(Errno::EADDRINUSE, "no OS address that was tried is free"))
}

fn give_up(limit: Limit, client: &Client, op: &Op<'_>) {
    if let Op::Bind { cookie, .. } | Op::Listen { cookie, .. } = *op {
        tell_to(limit, client, &Op::Failed { cookie });
    }
}
