//! rcmd(3) and rcmd_af: a command on another host, with ports below 1024 at both ends of both connections.
//! libc dials and listens inside itself; for a host of the network this is done here as libc does it,
//! including the messages on stderr.

pub mod circuit;
mod rresvport;

use crate::connect;
use crate::listen::lonet_listen_hook;
use crate::process;
use circuit::{HostAddresses, Socket, bytes, descriptor_of, endpoint, print, print_errno};
use libc::{addrinfo, c_char, c_int, sa_family_t};
use lonet_core::sys::{self, Text};
use nix::errno::Errno;
use rresvport::reserve;
use std::fmt::Write;
use std::sync::atomic::AtomicPtr;

type Strings = [*const c_char; 3];
type RcmdAf = unsafe extern "C" fn(
    *mut *mut c_char,
    u16,
    *const c_char,
    *const c_char,
    *const c_char,
    *mut c_int,
    sa_family_t,
) -> c_int;

next! {
    // As netdb.h declares it.
    static RCMD_AF: RcmdAf = c"rcmd_af";
}

/// # Safety
/// As for rcmd(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rcmd(
    host: *mut *mut c_char,
    port: u16,
    local_user: *const c_char,
    remote_user: *const c_char,
    command: *const c_char,
    errors: *mut c_int,
) -> c_int {
    let family = libc::AF_INET as sa_family_t;
    // SAFETY: the program's arguments.
    unsafe { rcmd_af(host, port, local_user, remote_user, command, errors, family) }
}

/// # Safety
/// As for rcmd_af(3); `port` is in network byte order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rcmd_af(
    host: *mut *mut c_char,
    port: u16,
    local_user: *const c_char,
    remote_user: *const c_char,
    command: *const c_char,
    errors: *mut c_int,
    family: sa_family_t,
) -> c_int {
    let real = || match RCMD_AF.get() {
        // SAFETY: the program's arguments.
        Some(real) => unsafe { real(host, port, local_user, remote_user, command, errors, family) },
        None => {
            Errno::ENOSYS.set();
            -1
        }
    };
    let known = [libc::AF_INET, libc::AF_INET6, libc::AF_UNSPEC].contains(&c_int::from(family));
    if !process::is_active() || !known {
        return real();
    }
    let mut native = false;
    let strings = [local_user, remote_user, command];
    let result = descriptor_of(|| {
        // SAFETY: the program's arguments.
        unsafe {
            let host_addresses = find(*host, u16::from_be(port), c_int::from(family))?;
            native = !host_addresses.any_in_network();
            if native { None } else { run(&host_addresses, host, strings, errors) }
        }
    });
    if native { real() } else { result }
}

/// The addresses of the host; prints an error if there are none.
///
/// # Safety
/// A C string, or null.
unsafe fn find(host: *const c_char, port: u16, family: c_int) -> Option<HostAddresses> {
    // SAFETY: as the caller promises; gai_strerror returns a static string.
    unsafe {
        match HostAddresses::of(host, port, family) {
            Ok(host_addresses) => return Some(host_addresses),
            Err(libc::EAI_NONAME) if !host.is_null() => print(&[bytes(host), b": Unknown host\n"]),
            Err(code) => print(&[b"rcmd: getaddrinfo: ", bytes(libc::gai_strerror(code)), b"\n"]),
        }
    }
    None
}

/// # Safety
/// As for rcmd(3).
unsafe fn run(
    host_addresses: &HostAddresses,
    host: *mut *mut c_char,
    strings: Strings,
    errors: *mut c_int,
) -> Option<c_int> {
    static NAME: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
    // SAFETY: the program's arguments.
    unsafe {
        if host_addresses.name_to(host, &NAME).is_none() {
            print(&[b"rcmd: Cannot allocate memory\n"]);
            return None;
        }
        let _blocked = SigurgBlocked::new();
        let (socket, family, mut port) = dial(host_addresses, bytes(*host))?;
        let second = if errors.is_null() {
            socket.write(b"\0");
            None
        } else {
            Some(accept_second(&socket, &mut port, family)?)
        };
        socket.write_strings(strings);
        match socket.byte() {
            None if Errno::last_raw() == 0 => print(&[b"rcmd: ", bytes(*host), b": short read"]),
            None => {
                print(&[b"rcmd: "]);
                print_errno(bytes(*host));
            }
            Some(0) => {
                if let Some(second) = second {
                    errors.write(second.into_program());
                }
                return Some(socket.into_program());
            }
            Some(_) => socket.copy_line_to_stderr(),
        }
    }
    None
}

/// Dials from a port below 1024: one address after the other, and again after growing pauses while they
/// refuse. Returns the socket, its family and the next port to try.
fn dial(host_addresses: &HostAddresses, name: &[u8]) -> Option<(Socket, c_int, c_int)> {
    let (mut port, mut pause, mut refused) = (1023, 1, false);
    let mut all = host_addresses.all().peekable();
    let mut at = all.next()?;
    loop {
        let socket = from_reserved(&mut port, at.ai_family)?;
        // SAFETY: no pointers; an address with its length.
        let result = unsafe {
            libc::syscall(libc::SYS_fcntl, socket.fd(), libc::F_SETOWN, sys::getpid());
            connect::run(socket.fd(), at.ai_addr, at.ai_addrlen)
        };
        if result == 0 {
            return Some((socket, at.ai_family, port - 1));
        }
        let errno = Errno::last();
        drop(socket);
        refused |= errno == Errno::ECONNREFUSED;
        if errno == Errno::EADDRINUSE {
            port -= 1;
        } else if all.peek().is_some() {
            print_address(b"connect to address ", at, b": ");
            print(&[errno.desc().as_bytes(), b"\n"]);
            at = all.next()?;
            print_address(b"Trying ", at, b"...\n");
        } else if refused && pause <= 16 {
            sleep(pause);
            (pause, refused) = (2 * pause, false);
            all = host_addresses.all().peekable();
            at = all.next()?;
        } else {
            errno.set();
            print_errno(name);
            return None;
        }
    }
}

fn from_reserved(port: &mut c_int, family: c_int) -> Option<Socket> {
    match reserve(port, family) {
        Ok(fd) => return Socket::new(fd),
        Err(Errno::EAGAIN) => print(&[b"rcmd: socket: All ports in use\n"]),
        Err(e) => print(&[b"rcmd: socket: ", e.desc().as_bytes(), b"\n"]),
    }
    None
}

fn print_address(before: &[u8], at: &addrinfo, after: &[u8]) {
    let mut text = Text::<64>::new();
    let _ = match endpoint(at).map(|to| (to.ip, to.ip.to_ipv4_mapped())) {
        Some((_, Some(v4))) => write!(text, "{v4}"),
        Some((v6, None)) => write!(text, "{v6}"),
        None => Ok(()),
    };
    print(&[before, text.bytes(), after]);
}

/// Accepts the connection for stderr, which the other end makes to a port that it is told.
fn accept_second(first: &Socket, port: &mut c_int, family: c_int) -> Option<Socket> {
    let listener = reserve(port, family).ok().and_then(Socket::new)?;
    // SAFETY: no pointers.
    unsafe { lonet_listen_hook(listener.fd(), 1) };
    let mut number = Text::<8>::new();
    let _ = write!(number, "{port}\0");
    if !first.write(number.bytes()) {
        print_errno(b"rcmd: write (setting up stderr)");
        return None;
    }
    if !await_second(first, &listener) {
        match Errno::last_raw() {
            0 => print(&[b"poll: protocol failure in circuit setup\n"]),
            _ => print_errno(b"rcmd: poll (setting up stderr)"),
        }
        return None;
    }
    let Some((socket, from)) = listener.accept() else {
        print_errno(b"rcmd: accept");
        return None;
    };
    if !from.is_some_and(|from| (512..1024).contains(&from.port)) {
        print(&[b"socket: protocol failure in circuit setup\n"]);
        return None;
    }
    Some(socket)
}

/// Waits until a connection arrives at the listener. `false`: data arrived on the first connection before,
/// or, if errno is not 0, the wait failed.
fn await_second(first: &Socket, listener: &Socket) -> bool {
    let of = |socket: &Socket| libc::pollfd { fd: socket.fd(), events: libc::POLLIN, revents: 0 };
    let mut both = [of(first), of(listener)];
    Errno::set_raw(sys::poll(&mut both, None).err().map_or(0, |e| e as i32));
    both[1].revents & libc::POLLIN != 0
}

pub fn sleep(seconds: i64) {
    let time = libc::timespec { tv_sec: seconds, tv_nsec: 0 };
    // SAFETY: a time; the rest of it after a signal is not wanted.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, std::ptr::null_mut::<libc::timespec>()) };
}

/// Blocks SIGURG, which the sockets send to the process, until it is dropped.
struct SigurgBlocked(u64);

impl SigurgBlocked {
    fn new() -> SigurgBlocked {
        let mut before = 0;
        mask(libc::SIG_BLOCK, 1 << (libc::SIGURG - 1), &raw mut before);
        SigurgBlocked(before)
    }
}

impl Drop for SigurgBlocked {
    fn drop(&mut self) {
        mask(libc::SIG_SETMASK, self.0, std::ptr::null_mut());
    }
}

fn mask(how: c_int, set: u64, before: *mut u64) {
    // SAFETY: a set of the kernel's size, and null or room for another.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set, before, 8) };
}
