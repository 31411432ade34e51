//! rexec(3) and rexec_af: a command on another host, with a user name and a password. As with rcmd, libc
//! dials and listens inside itself; for a host of the network this is done here as libc does it.

use crate::getsockname::lonet_getsockname;
use crate::listen::lonet_listen_hook;
use crate::rcmd::circuit::{HostAddresses, Socket, bytes, descriptor_of, print_errno};
use crate::rcmd::sleep;
use crate::{address, connect, process};
use libc::{addrinfo, c_char, c_int, sa_family_t};
use lonet_core::sys::{Text, check};
use nix::errno::Errno;
use std::fmt::Write;
use std::sync::atomic::AtomicPtr;

type Strings = [*const c_char; 3];
type RexecAf = unsafe extern "C" fn(
    *mut *mut c_char,
    c_int,
    *const c_char,
    *const c_char,
    *const c_char,
    *mut c_int,
    sa_family_t,
) -> c_int;
type UserPass = unsafe extern "C" fn(*const c_char, *mut *const c_char, *mut *const c_char) -> c_int;

next! {
    // As netdb.h declares it.
    static REXEC_AF: RexecAf = c"rexec_af";
    // As libc's rexec calls it: the entry of ~/.netrc for a host, in memory of malloc's. netdb.h does not
    // declare it.
    static RUSERPASS: UserPass = c"ruserpass";
}

/// # Safety
/// As for rexec(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rexec(
    host: *mut *mut c_char,
    port: c_int,
    user: *const c_char,
    password: *const c_char,
    command: *const c_char,
    errors: *mut c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { rexec_af(host, port, user, password, command, errors, libc::AF_INET as sa_family_t) }
}

/// # Safety
/// As for rexec_af(3); `port` is in network byte order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rexec_af(
    host: *mut *mut c_char,
    port: c_int,
    user: *const c_char,
    password: *const c_char,
    command: *const c_char,
    errors: *mut c_int,
    family: sa_family_t,
) -> c_int {
    let real = || match REXEC_AF.get() {
        // SAFETY: the program's arguments.
        Some(real) => unsafe { real(host, port, user, password, command, errors, family) },
        None => {
            Errno::ENOSYS.set();
            -1
        }
    };
    if !process::is_active() {
        return real();
    }
    let mut native = false;
    let result = descriptor_of(|| {
        // SAFETY: the program's arguments.
        unsafe {
            let host_addresses =
                HostAddresses::of(*host, u16::from_be(port as u16), c_int::from(family)).ok()?;
            native = !host_addresses.any_in_network();
            if native { None } else { run(&host_addresses, host, [user, password, command], errors) }
        }
    });
    if native { real() } else { result }
}

/// # Safety
/// As for rexec(3).
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
            print_errno(b"rexec: strdup");
            return None;
        }
        let login = Login::of(*host, strings[0], strings[1]);
        let first = host_addresses.all().next()?;
        let socket = dial(first)?;
        let second = if errors.is_null() {
            socket.write(b"\0");
            None
        } else {
            Some(accept_second(&socket, first)?)
        };
        socket.write_strings([login.user, login.password, strings[2]]);
        match socket.byte() {
            None => print_errno(bytes(*host)),
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

/// A user name and a password: the program's, or if it gives none, those that libc finds in ~/.netrc or asks
/// the user for.
struct Login {
    user: *const c_char,
    password: *const c_char,
    given: [*const c_char; 2],
}

impl Login {
    /// # Safety
    /// C strings, or null.
    unsafe fn of(host: *const c_char, user: *const c_char, password: *const c_char) -> Login {
        let mut login = Login { user, password, given: [user, password] };
        if let Some(find) = RUSERPASS.get() {
            // SAFETY: as the caller promises, and places to write to.
            unsafe { find(host, &raw mut login.user, &raw mut login.password) };
        }
        login
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        for (is, was) in [self.user, self.password].into_iter().zip(self.given) {
            if is != was {
                // SAFETY: memory of malloc's that nobody else has.
                unsafe { libc::free(is.cast_mut().cast()) };
            }
        }
    }
}

fn tcp(family: c_int) -> Option<Socket> {
    // SAFETY: no pointers.
    let made = check(unsafe { libc::syscall(libc::SYS_socket, family, libc::SOCK_STREAM, 0) });
    made.map_err(|e| e.set()).ok().and_then(|fd| Socket::new(fd as c_int))
}

/// Dials, and again after growing pauses while it is refused.
fn dial(to: &addrinfo) -> Option<Socket> {
    let mut pause = 1;
    loop {
        let Some(socket) = tcp(to.ai_family) else {
            print_errno(b"rexec: socket");
            return None;
        };
        // SAFETY: an address with its length.
        if unsafe { connect::run(socket.fd(), to.ai_addr, to.ai_addrlen) } == 0 {
            return Some(socket);
        }
        if Errno::last() != Errno::ECONNREFUSED || pause > 16 {
            // SAFETY: a C string of the list's.
            print_errno(unsafe { bytes(to.ai_canonname) });
            return None;
        }
        drop(socket);
        sleep(pause);
        pause *= 2;
    }
}

/// Accepts the connection for stderr, which the other end makes to a port that it is told.
fn accept_second(first: &Socket, like: &addrinfo) -> Option<Socket> {
    let listener = tcp(like.ai_family)?;
    // SAFETY: all zeroes is an address.
    let mut at: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&at) as libc::socklen_t;
    let to = (&raw mut at).cast::<libc::sockaddr>();
    // SAFETY: room for any address, and its length.
    let named = unsafe {
        lonet_listen_hook(listener.fd(), 1);
        lonet_getsockname(listener.fd(), to, &raw mut len)
    };
    if named != 0 {
        print_errno(b"getsockname");
        return None;
    }
    // SAFETY: getsockname has written there.
    let port = unsafe { address::read(to, len) }.map_or(0, |(own, _)| own.port);
    let mut number = Text::<8>::new();
    let _ = write!(number, "{port}\0");
    first.write(number.bytes());
    match listener.accept() {
        Some((socket, _)) => Some(socket),
        None => {
            print_errno(b"accept");
            None
        }
    }
}
