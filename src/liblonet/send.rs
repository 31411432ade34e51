//! sendto(2) and sendmsg(2) with MSG_FASTOPEN, which is a connect that takes its first bytes along.
//!
//! Under lonet it is a connect and then a send. The kernel answers in the same two ways: it falls back to a plain
//! handshake whenever it has no cookie of the server's.

use crate::connect;
use crate::process;
use libc::{c_int, c_void, msghdr, size_t, sockaddr, socklen_t, ssize_t};

redhook::hook! {
    unsafe fn sendto(
        fd: c_int, buffer: *const c_void, n: size_t, flags: c_int, address: *const sockaddr, len: socklen_t
    ) -> ssize_t => lonet_sendto {
        // SAFETY: the program's arguments.
        unsafe { send_to(fd, buffer, n, flags, address, len, real_sendto()) }
    }
}

redhook::hook! {
    unsafe fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t => lonet_sendmsg {
        // SAFETY: the program's arguments.
        unsafe { send_message(fd, message, flags, real_sendmsg()) }
    }
}

pub fn resolve_real() {
    sendto.get();
    sendmsg.get();
}

type SendTo =
    unsafe extern "C" fn(c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t;
type SendMsg = unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t;

extern "C" fn real_sendto() -> SendTo {
    sendto.get()
}

extern "C" fn real_sendmsg() -> SendMsg {
    sendmsg.get()
}

/// Whether the address of a send with MSG_FASTOPEN is lonet's.
///
/// # Safety
/// `address` and `len` are as connect(2) takes them.
unsafe extern "C" fn is_dial(address: *const sockaddr, len: socklen_t) -> bool {
    // SAFETY: as the caller promises.
    process::is_active()
        && unsafe { crate::address::read(address, len) }.is_some_and(|(to, _)| process::concerns(to.ip))
}

/// As `connect::run`, a frame that cancellation passes through.
///
/// # Safety
/// The arguments are as sendto(2) takes them; `real` is libc's.
unsafe extern "C" fn send_to(
    fd: c_int,
    buffer: *const c_void,
    n: size_t,
    flags: c_int,
    address: *const sockaddr,
    len: socklen_t,
    real: SendTo,
) -> ssize_t {
    // SAFETY: the program's arguments.
    unsafe {
        if flags & libc::MSG_FASTOPEN == 0 || !is_dial(address, len) {
            return real(fd, buffer, n, flags, address, len);
        }
        if connect::run(fd, address, len) != 0 {
            return -1;
        }
        real(fd, buffer, n, flags & !libc::MSG_FASTOPEN, std::ptr::null(), 0)
    }
}

/// As [`send_to`].
///
/// # Safety
/// The arguments are as sendmsg(2) takes them; `real` is libc's.
unsafe extern "C" fn send_message(fd: c_int, message: *const msghdr, flags: c_int, real: SendMsg) -> ssize_t {
    // SAFETY: the program's arguments; the kernel judges a message that cannot be read.
    unsafe {
        if flags & libc::MSG_FASTOPEN == 0 || message.addr() < 4096 {
            return real(fd, message, flags);
        }
        let (address, len) = ((*message).msg_name.cast::<sockaddr>(), (*message).msg_namelen);
        if !is_dial(address, len) {
            return real(fd, message, flags);
        }
        if connect::run(fd, address, len) != 0 {
            return -1;
        }
        let mut rest = message.read();
        rest.msg_name = std::ptr::null_mut();
        rest.msg_namelen = 0;
        real(fd, &raw const rest, flags & !libc::MSG_FASTOPEN)
    }
}
