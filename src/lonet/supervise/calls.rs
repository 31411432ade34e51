//! What is done about each call: libc's function of the same name, on a duplicate of the program's socket. The supervisor is
//! a hooked program, so that this is what lonet does for hooked programs.
//!
//! No call of an IPv4 or IPv6 socket goes on whose address matters: the kernel would read memory again that the program may have
//! changed meanwhile. A socket of another family goes on, as nothing that it is given leads to the network.

mod accept;
mod datagram;
mod name;
mod option;

use super::caller::{Caller, MAX_ADDRESS, Trouble};
use super::listener::Listener;
use super::rights;
use super::workers::{Job, interruptible};
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a call comes to.
pub enum Answer {
    Value(i64),
    /// An errno, or what only the kernel sees.
    Fails(i32),
    /// The kernel does what the program asks for.
    GoesOn,
}

/// What is done about a call.
pub enum Step {
    Answer(Answer),
    /// It may wait: a thread does it.
    Waits(Job),
}

impl From<Answer> for Step {
    fn from(answer: Answer) -> Step {
        Step::Answer(answer)
    }
}

/// How many binds threads do at once. lonetd asks the kernel once for all that it is asked together.
const BINDS: usize = 32;

/// How many binds threads do.
static BINDING: AtomicUsize = AtomicUsize::new(0);

/// One of [`BINDING`].
struct Binding;

impl Binding {
    fn begin() -> Binding {
        BINDING.fetch_add(1, Relaxed);
        Binding
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        BINDING.fetch_sub(1, Relaxed);
    }
}

/// Looks at a call. `others`: more calls wait, which are not to wait for lonetd's answer to a bind.
pub fn begin(caller: Caller, others: bool) -> Result<Step, Trouble> {
    match caller.notice.number {
        libc::SYS_uname => name::uname(&caller).map(Step::from),
        number => {
            let file = caller.file()?;
            let Some(socket) = Socket::of(file) else { return Ok(Answer::GoesOn.into()) };
            match number {
                libc::SYS_bind if others && BINDING.load(Relaxed) < BINDS => {
                    let counted = Binding::begin();
                    Ok(Step::Waits(Box::new(move || {
                        let _counted = counted;
                        bind(&caller, &socket)
                    })))
                }
                libc::SYS_bind => bind(&caller, &socket).map(Step::from),
                libc::SYS_listen => {
                    // SAFETY: no pointers.
                    result(unsafe { libc::listen(socket.fd(), caller.int(1)) }).map(Step::from)
                }
                libc::SYS_connect => connect(caller, socket),
                libc::SYS_accept => accept::begin(caller, socket, 0),
                libc::SYS_accept4 => {
                    let flags = caller.int(3);
                    accept::begin(caller, socket, flags)
                }
                libc::SYS_getsockname => name::of_socket(&caller, &socket, libc::getsockname).map(Step::from),
                libc::SYS_getpeername => name::of_socket(&caller, &socket, libc::getpeername).map(Step::from),
                libc::SYS_setsockopt => option::set(&caller, &socket).map(Step::from),
                libc::SYS_getsockopt => option::get(&caller, &socket).map(Step::from),
                libc::SYS_sendto => datagram::send(&caller, &socket).map(Step::from),
                libc::SYS_sendmsg | libc::SYS_sendmmsg => {
                    datagram::send_fast(&caller, &socket).map(Step::from)
                }
                libc::SYS_recvfrom => datagram::receive(caller, socket),
                libc::SYS_recvmsg => datagram::receive_message(caller, socket),
                // The filter notifies nothing else.
                _ => Ok(Answer::Fails(libc::ENOSYS).into()),
            }
        }
    }
}

/// Answers a call.
pub fn answer(listener: &Listener, id: u64, result: Result<Answer, Trouble>) {
    match result {
        Ok(Answer::Value(value)) => listener.value(id, value),
        Ok(Answer::Fails(errno)) => listener.fail(id, errno),
        Ok(Answer::GoesOn) => listener.go_on(id),
        Err(Trouble::Fails(errno)) => listener.fail(id, errno as i32),
        Err(Trouble::Gone) => {}
    }
}

/// An IPv4 or IPv6 socket of the program's.
pub struct Socket {
    file: Fd,
    kind: i32,
}

impl Socket {
    /// `None`: it is another file, whose calls are the kernel's.
    fn of(file: Fd) -> Option<Socket> {
        let option = |name| sys::getsockopt::<i32>(file.raw(), libc::SOL_SOCKET, name);
        let domain = option(libc::SO_DOMAIN).ok()?;
        let kind = option(libc::SO_TYPE).ok()?;
        matches!(domain, libc::AF_INET | libc::AF_INET6).then_some(Socket { file, kind })
    }

    fn fd(&self) -> RawFd {
        self.file.raw()
    }

    /// Calls of it wait for what they want.
    fn waits(&self) -> bool {
        // SAFETY: no pointers.
        let flags = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, self.fd(), libc::F_GETFL) });
        flags.is_ok_and(|flags| flags as i32 & libc::O_NONBLOCK == 0)
    }

    /// SO_RCVTIMEO or SO_SNDTIMEO in milliseconds; 0: none.
    fn limit(&self, option: i32) -> i32 {
        let limit = sys::getsockopt::<libc::timeval>(self.fd(), libc::SOL_SOCKET, option);
        limit.map_or(0, |limit| {
            let milliseconds = limit.tv_sec.saturating_mul(1000).saturating_add((limit.tv_usec + 999) / 1000);
            milliseconds.clamp(0, i32::MAX.into()) as i32
        })
    }
}

/// An address that the program has given.
struct Given {
    bytes: [u8; MAX_ADDRESS],
    len: libc::socklen_t,
}

impl Given {
    /// From these arguments, as the kernel takes them.
    fn read(caller: &Caller, address: usize, len: usize) -> Result<Given, Trouble> {
        let len =
            usize::try_from(caller.int(len)).ok().filter(|len| *len <= MAX_ADDRESS).ok_or(Errno::EINVAL)?;
        let mut given = Given { bytes: [0; MAX_ADDRESS], len: len as libc::socklen_t };
        let wanted = given.bytes.get_mut(..len).ok_or(Errno::EINVAL)?;
        caller.read(caller.pointer(address), wanted)?;
        Ok(given)
    }

    fn pointer(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// Of an IPv4 or IPv6 address.
    fn port(&self) -> Option<u16> {
        let is_ip = matches!(self.family(), libc::AF_INET | libc::AF_INET6);
        is_ip.then(|| u16::from_be_bytes([self.bytes[2], self.bytes[3]]))
    }
}

/// What libc's function has returned.
fn result(value: i32) -> Result<Answer, Trouble> {
    if value >= 0 { Ok(Answer::Value(value.into())) } else { Err(Errno::last().into()) }
}

fn bind(caller: &Caller, socket: &Socket) -> Result<Answer, Trouble> {
    let at = Given::read(caller, 1, 2)?;
    // SAFETY: an address with its length.
    rights::of(caller, || result(unsafe { libc::bind(socket.fd(), at.pointer(), at.len) }))?
}

fn connect(caller: Caller, socket: Socket) -> Result<Step, Trouble> {
    let to = Given::read(&caller, 1, 2)?;
    if socket.kind == libc::SOCK_STREAM && socket.waits() && to.family() != libc::AF_UNSPEC {
        return Ok(Step::Waits(Box::new(move || connect_and_wait(&caller, &socket, &to))));
    }
    datagram::connects(&socket, &to)?;
    // SAFETY: an address with its length.
    result(unsafe { libc::connect(socket.fd(), to.pointer(), to.len) }).map(Step::from)
}

fn connect_and_wait(caller: &Caller, socket: &Socket, to: &Given) -> Result<Answer, Trouble> {
    caller.is_there()?;
    loop {
        // SAFETY: an address with its length.
        let connected = interruptible(|| result(unsafe { libc::connect(socket.fd(), to.pointer(), to.len) }));
        if !matches!(connected, Err(Trouble::Fails(Errno::EINTR))) {
            return connected;
        }
        caller.is_there()?;
        if let Some(errno) = caller.interruption() {
            // As the kernel: what has a time limit is not begun again.
            return Ok(Answer::Fails(if socket.limit(libc::SO_SNDTIMEO) > 0 { libc::EINTR } else { errno }));
        }
    }
}
