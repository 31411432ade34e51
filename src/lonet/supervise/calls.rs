//! Carries out the suspended calls: each by libc's function of the same name, on a duplicate of the program's socket. The
//! supervisor is a hooked program, so the hooks do for the program what they do for hooked ones.
//!
//! A call with an address on an IPv4 or IPv6 socket is never continued in the kernel, which would read the address again from
//! memory that the program may have changed since it was checked. Calls on sockets of other families are continued, as no
//! address that they take leads to the network.

mod accept;
mod datagram;
mod name;
mod option;

use super::caller::{CallError, Caller, MAX_ADDRESS};
use super::notify_fd::NotifyFd;
use super::rights;
use super::workers::{Job, interruptible};
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The response to a suspended call.
pub enum Response {
    Value(i64),
    /// The call fails with this errno, which may be one of the kernel's internal ones.
    Errno(i32),
    /// The kernel carries out the call.
    Continue,
}

/// How a suspended call is handled.
pub enum Action {
    Respond(Response),
    /// The call may block: a worker thread makes it.
    Defer(Job),
    /// A worker thread makes the call if one can begin at once.
    Share(Job),
}

impl From<Response> for Action {
    fn from(response: Response) -> Action {
        Action::Respond(response)
    }
}

/// The most binds that worker threads make at a time. lonetd queries the kernel once for all requests that arrive together.
const MAX_BINDS: usize = 32;

/// The number of binds that worker threads are making.
static BINDS: AtomicUsize = AtomicUsize::new(0);

/// Counts as one of [`BINDS`] until it is dropped.
struct BindCount;

impl BindCount {
    fn begin() -> BindCount {
        BINDS.fetch_add(1, Relaxed);
        BindCount
    }
}

impl Drop for BindCount {
    fn drop(&mut self) {
        BINDS.fetch_sub(1, Relaxed);
    }
}

/// Carries out a call, or makes a job of it if it may block. `others`: more calls are suspended, which must not wait for
/// lonetd's reply to a bind.
pub fn dispatch(caller: Caller, others: bool) -> Result<Action, CallError> {
    match caller.notification.number {
        libc::SYS_uname => name::uname(&caller).map(Action::from),
        libc::SYS_sethostname | libc::SYS_setdomainname => name::set_name(&caller).map(Action::from),
        number => {
            let file = caller.duplicate_fd()?;
            let Some(socket) = Socket::of(file) else { return Ok(Response::Continue.into()) };
            match number {
                libc::SYS_bind if others && BINDS.load(Relaxed) < MAX_BINDS => {
                    let counted = BindCount::begin();
                    Ok(Action::Share(Box::new(move || {
                        let _counted = counted;
                        bind(&caller, &socket)
                    })))
                }
                libc::SYS_bind => bind(&caller, &socket).map(Action::from),
                libc::SYS_listen => {
                    // SAFETY: no pointers.
                    result(unsafe { libc::listen(socket.fd(), caller.int_arg(1)) }).map(Action::from)
                }
                libc::SYS_connect => connect(caller, socket),
                libc::SYS_accept => accept::begin(caller, socket, 0),
                libc::SYS_accept4 => {
                    let flags = caller.int_arg(3);
                    accept::begin(caller, socket, flags)
                }
                libc::SYS_getsockname => {
                    name::socket_name(&caller, &socket, libc::getsockname).map(Action::from)
                }
                libc::SYS_getpeername => {
                    name::socket_name(&caller, &socket, libc::getpeername).map(Action::from)
                }
                libc::SYS_setsockopt => option::set(&caller, &socket).map(Action::from),
                libc::SYS_getsockopt => option::get(&caller, &socket).map(Action::from),
                libc::SYS_sendto => datagram::sendto(&caller, &socket).map(Action::from),
                libc::SYS_sendmsg | libc::SYS_sendmmsg => {
                    datagram::sendmsg(&caller, &socket).map(Action::from)
                }
                libc::SYS_recvfrom => datagram::recvfrom(caller, socket),
                libc::SYS_recvmsg => datagram::recvmsg(caller, socket),
                // The filter notifies of no other call.
                _ => Ok(Response::Errno(libc::ENOSYS).into()),
            }
        }
    }
}

/// Ends a suspended call.
pub fn respond(notify_fd: &NotifyFd, id: u64, result: Result<Response, CallError>) {
    match result {
        Ok(Response::Value(value)) => notify_fd.return_value(id, value),
        Ok(Response::Errno(errno)) => notify_fd.return_error(id, errno),
        Ok(Response::Continue) => notify_fd.continue_call(id),
        Err(CallError::Errno(errno)) => notify_fd.return_error(id, errno as i32),
        Err(CallError::CallerGone) => {}
    }
}

/// A duplicate of an IPv4 or IPv6 socket of the program.
pub struct Socket {
    file: Fd,
    kind: i32,
}

impl Socket {
    /// `None` for any other file, whose calls the kernel carries out.
    fn of(file: Fd) -> Option<Socket> {
        let option = |name| sys::getsockopt::<i32>(file.raw(), libc::SOL_SOCKET, name);
        let domain = option(libc::SO_DOMAIN).ok()?;
        let kind = option(libc::SO_TYPE).ok()?;
        matches!(domain, libc::AF_INET | libc::AF_INET6).then_some(Socket { file, kind })
    }

    fn fd(&self) -> RawFd {
        self.file.raw()
    }

    /// Whether calls on it may block: O_NONBLOCK is not set.
    fn is_blocking(&self) -> bool {
        // SAFETY: no pointers.
        let flags = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, self.fd(), libc::F_GETFL) });
        flags.is_ok_and(|flags| flags as i32 & libc::O_NONBLOCK == 0)
    }

    /// The value of SO_RCVTIMEO or SO_SNDTIMEO in milliseconds; 0: no timeout.
    fn timeout_ms(&self, option: i32) -> i32 {
        let limit = sys::getsockopt::<libc::timeval>(self.fd(), libc::SOL_SOCKET, option);
        limit.map_or(0, |limit| {
            let milliseconds = limit.tv_sec.saturating_mul(1000).saturating_add((limit.tv_usec + 999) / 1000);
            milliseconds.clamp(0, i32::MAX.into()) as i32
        })
    }
}

/// A socket address that the program has passed to a call.
struct ProgramAddress {
    bytes: [u8; MAX_ADDRESS],
    len: libc::socklen_t,
}

impl ProgramAddress {
    /// Reads the address in these arguments, with the checks that the kernel makes.
    fn read(caller: &Caller, address_arg: usize, len_arg: usize) -> Result<ProgramAddress, CallError> {
        let len = usize::try_from(caller.int_arg(len_arg))
            .ok()
            .filter(|len| *len <= MAX_ADDRESS)
            .ok_or(Errno::EINVAL)?;
        let mut address = ProgramAddress { bytes: [0; MAX_ADDRESS], len: len as libc::socklen_t };
        let wanted = address.bytes.get_mut(..len).ok_or(Errno::EINVAL)?;
        caller.read(caller.pointer_arg(address_arg), wanted)?;
        Ok(address)
    }

    fn pointer(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// The port, if it is an IPv4 or IPv6 address.
    fn port(&self) -> Option<u16> {
        let is_ip = matches!(self.family(), libc::AF_INET | libc::AF_INET6);
        is_ip.then(|| u16::from_be_bytes([self.bytes[2], self.bytes[3]]))
    }
}

/// The response for the return value of a libc function.
fn result(value: i32) -> Result<Response, CallError> {
    if value >= 0 { Ok(Response::Value(value.into())) } else { Err(Errno::last().into()) }
}

fn bind(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let at = ProgramAddress::read(caller, 1, 2)?;
    // SAFETY: an address with its length.
    rights::with_rights_of(caller, || result(unsafe { libc::bind(socket.fd(), at.pointer(), at.len) }))?
}

fn connect(caller: Caller, socket: Socket) -> Result<Action, CallError> {
    let to = ProgramAddress::read(&caller, 1, 2)?;
    if socket.kind == libc::SOCK_STREAM && socket.is_blocking() && to.family() != libc::AF_UNSPEC {
        return Ok(Action::Defer(Box::new(move || connect_and_wait(&caller, &socket, &to))));
    }
    datagram::note_connect(&socket, &to)?;
    // SAFETY: an address with its length.
    result(unsafe { libc::connect(socket.fd(), to.pointer(), to.len) }).map(Action::from)
}

fn connect_and_wait(caller: &Caller, socket: &Socket, to: &ProgramAddress) -> Result<Response, CallError> {
    caller.ensure_pending()?;
    loop {
        // SAFETY: an address with its length.
        let connected = interruptible(|| result(unsafe { libc::connect(socket.fd(), to.pointer(), to.len) }));
        if !matches!(connected, Err(CallError::Errno(Errno::EINTR))) {
            return connected;
        }
        caller.ensure_pending()?;
        if let Some(errno) = caller.pending_signal_error() {
            // As in the kernel, a call with a timeout is not restarted.
            return Ok(Response::Errno(if socket.timeout_ms(libc::SO_SNDTIMEO) > 0 {
                libc::EINTR
            } else {
                errno
            }));
        }
    }
}
