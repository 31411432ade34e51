//! Hooks of sendto(2), sendmsg(2) and sendmmsg(2). Queries to a name server go to lonetd instead (`dns`). A
//! send with MSG_FASTOPEN, a connect that carries its first bytes, becomes a connect and then a send; the
//! kernel, too, falls back to a plain handshake whenever it has no cookie of the server.

use crate::address::Address;
use crate::name_server::{self, Sockets};
use crate::{connect, memory, process};
use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use lonet_core::limit::Limit;
use std::mem::MaybeUninit;

hook! {
    unsafe fn sendto(
        fd: c_int, buffer: *const c_void, n: size_t, flags: c_int, address: *const sockaddr, len: socklen_t
    ) -> ssize_t => lonet_sendto {
        // SAFETY: the program's arguments.
        unsafe { send_to(fd, buffer, n, flags, address, len, real_sendto()) }
    }
}

hook! {
    unsafe fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t => lonet_sendmsg {
        let mut limit = Limit::NONE;
        // SAFETY: the program's arguments.
        unsafe { send_message(fd, message, flags, real_sendmsg(), &mut limit) }
    }
}

hook! {
    unsafe fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int => lonet_sendmmsg {
        // SAFETY: the program's arguments.
        unsafe { send_messages(fd, messages, count, flags, real_sendmmsg()) }
    }
}

type SendTo =
    unsafe extern "C" fn(c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t;
type SendMmsg = unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int) -> c_int;
type SendMsg = unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t;

// These are not inlined: the frames that call them contain nothing that could unwind, so that cancellation passes through.
#[inline(never)]
extern "C" fn real_sendto() -> SendTo {
    sendto.get()
}

#[inline(never)]
extern "C" fn real_sendmsg() -> SendMsg {
    sendmsg.get()
}

#[inline(never)]
extern "C" fn real_sendmmsg() -> SendMmsg {
    sendmmsg.get()
}

/// Whether the address may be a name server's.
extern "C" fn is_name_server(address: *const sockaddr, len: socklen_t) -> bool {
    process::is_active()
        && memory::address(address, len).is_some_and(|(to, _)| to.port == lonet_core::dns_message::PORT)
}

/// Whether the address of a send with MSG_FASTOPEN is lonet's.
extern "C" fn is_dial(address: *const sockaddr, len: socklen_t) -> bool {
    process::is_active()
        && memory::address(address, len).is_some_and(|(to, _)| process::concerns(to.ip).is_ok())
}

/// Whether a message may be lonet's and can be read. The kernel refuses unreadable ones.
extern "C" fn is_message(message: *const msghdr) -> bool {
    process::is_active() && memory::is_readable(message.cast(), size_of::<msghdr>())
}

/// A frame that cancellation passes through, like `connect::run`.
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
        if is_name_server(address, len) {
            let (mut instead, mut limit) = (MaybeUninit::<Address>::uninit(), Limit::NONE);
            if name_server::redirect(fd, address, len, Sockets::Udp, instead.as_mut_ptr(), &mut limit) {
                let to = instead.as_ptr();
                return real(fd, buffer, n, flags, (*to).pointer(), (*to).len);
            }
        }
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
unsafe extern "C" fn send_message(
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
    real: SendMsg,
    limit: &mut Limit,
) -> ssize_t {
    // SAFETY: the program's arguments, once it is known that they can be read.
    unsafe {
        if !is_message(message) {
            return real(fd, message, flags);
        }
        let (address, len) = ((*message).msg_name.cast::<sockaddr>(), (*message).msg_namelen);
        if is_name_server(address, len) {
            let mut instead = MaybeUninit::<Address>::uninit();
            if name_server::redirect(fd, address, len, Sockets::Udp, instead.as_mut_ptr(), limit) {
                let mut other = message.read();
                other.msg_name = (*instead.as_mut_ptr()).pointer_mut().cast();
                other.msg_namelen = (*instead.as_ptr()).len;
                return real(fd, &raw const other, flags);
            }
        }
        if flags & libc::MSG_FASTOPEN == 0 || !is_dial(address, len) {
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

/// Sends the messages one by one if one of them may be redirected or dial. As [`send_to`].
///
/// # Safety
/// The arguments are as sendmmsg(2) takes them; `real` is libc's.
unsafe extern "C" fn send_messages(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    real: SendMmsg,
) -> c_int {
    // SAFETY: the program's arguments, once it is known that they can be read.
    unsafe {
        if !any_elsewhere(messages, count, flags) {
            return real(fd, messages, count, flags);
        }
        let mut limit = Limit::NONE;
        // The most that the kernel takes (UIO_MAXIOV).
        for i in 0..count.min(1024) as usize {
            let message = messages.add(i);
            let sent = send_message(fd, &raw const (*message).msg_hdr, flags, real_sendmsg(), &mut limit);
            if sent < 0 {
                return if i > 0 { i as c_int } else { -1 };
            }
            (*message).msg_len = sent as c_uint;
        }
        count.min(1024) as c_int
    }
}

/// Whether one of the messages is for a name server or, with MSG_FASTOPEN, for an address of lonet's. Looks
/// as far as the first unreadable one, at which the kernel stops.
extern "C" fn any_elsewhere(messages: *const mmsghdr, count: c_uint, flags: c_int) -> bool {
    // The header is the first field of mmsghdr.
    let headers = (0..count.min(1024) as usize).map(|i| messages.wrapping_add(i).cast::<msghdr>());
    headers.take_while(|header| is_message(*header)).any(|header| {
        // SAFETY: it can be read.
        let (address, len) = unsafe { ((*header).msg_name.cast(), (*header).msg_namelen) };
        is_name_server(address, len) || flags & libc::MSG_FASTOPEN != 0 && is_dial(address, len)
    })
}
