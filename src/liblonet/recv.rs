//! Hooks of recvfrom(2), recvmsg(2) and recvmmsg(2): datagrams that lonetd sends in place of a name server
//! get the server's address. Everything else is unchanged.
//!
//! These calls block: as in `connect`, the frames around the real call own nothing.

use crate::{memory, name_server, process};
use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};
use lonet_core::limit::Limit;
use nix::errno::Errno;

hook! {
    unsafe fn recvfrom(
        fd: c_int, buffer: *mut c_void, n: size_t, flags: c_int, from: *mut sockaddr, len: *mut socklen_t
    ) -> ssize_t => lonet_recvfrom {
        // SAFETY: the program's arguments.
        unsafe {
            let room = room_at(from, len);
            let got = real_recvfrom()(fd, buffer, n, flags, from, len);
            named(got, from, room, len)
        }
    }
}

hook! {
    unsafe fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t => lonet_recvmsg {
        // SAFETY: the program's arguments.
        unsafe {
            let (from, room) = name_at(message);
            let got = real_recvmsg()(fd, message, flags);
            if from.is_null() { got } else { named(got, from, room, &raw mut (*message).msg_namelen) }
        }
    }
}

hook! {
    unsafe fn recvmmsg(
        fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, limit: *mut timespec
    ) -> c_int => lonet_recvmmsg {
        // SAFETY: the program's arguments.
        unsafe {
            let roomy = messages_with_room(messages, count);
            let got = real_recvmmsg()(fd, messages, count, flags, limit);
            named_all(got, messages, roomy)
        }
    }
}

type RecvFromChk =
    unsafe extern "C" fn(c_int, *mut c_void, size_t, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;

next! {
    // As glibc declares it in bits/socket2.h.
    static RECVFROM_CHK: RecvFromChk = c"__recvfrom_chk";
}

/// recvfrom under _FORTIFY_SOURCE.
///
/// # Safety
/// As for recvfrom(2); `size` is what the compiler knows of the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buffer: *mut c_void,
    n: size_t,
    size: size_t,
    flags: c_int,
    from: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    let Some(real) = RECVFROM_CHK.get() else {
        Errno::ENOSYS.set();
        return -1;
    };
    // SAFETY: the program's arguments.
    unsafe {
        let room = room_at(from, len);
        let got = real(fd, buffer, n, size, flags, from, len);
        named(got, from, room, len)
    }
}

type RecvFrom =
    unsafe extern "C" fn(c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
type RecvMsg = unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t;
type RecvMmsg = unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int, *mut timespec) -> c_int;

extern "C" fn real_recvfrom() -> RecvFrom {
    recvfrom.get()
}

extern "C" fn real_recvmsg() -> RecvMsg {
    recvmsg.get()
}

extern "C" fn real_recvmmsg() -> RecvMmsg {
    recvmmsg.get()
}

/// The room for the address; 0 if it is not wanted, or the kernel will report an error.
extern "C" fn room_at(from: *const sockaddr, len: *const socklen_t) -> u32 {
    let wanted = process::is_active() && !from.is_null();
    // SAFETY: it can be read.
    if wanted && memory::is_readable(len.cast(), size_of::<socklen_t>()) { unsafe { len.read() } } else { 0 }
}

/// Whether the hooks are active and the message can be read.
extern "C" fn is_message(message: *const msghdr) -> bool {
    process::is_active() && memory::is_readable(message.cast(), size_of::<msghdr>())
}

/// Where the message's address is stored, and its room; null: nowhere.
unsafe extern "C" fn name_of(message: *const msghdr, room: *mut u32) -> *mut sockaddr {
    if !is_message(message) {
        return std::ptr::null_mut();
    }
    // SAFETY: the program's message.
    unsafe {
        room.write((*message).msg_namelen);
        (*message).msg_name.cast()
    }
}

unsafe fn name_at(message: *const msghdr) -> (*mut sockaddr, u32) {
    let mut room = 0;
    // SAFETY: the program's message.
    let from = unsafe { name_of(message, &raw mut room) };
    (from, room)
}

unsafe extern "C" fn named(got: ssize_t, from: *mut sockaddr, room: u32, len: *mut socklen_t) -> ssize_t {
    if got >= 0 {
        let mut limit = Limit::NONE;
        // SAFETY: the kernel has just written there.
        unsafe { name_server::show_server_address(from, room, len, &mut limit) };
    }
    got
}

/// Bit `i`: message `i` has room for any address. Messages after the first 64 keep the kernel's addresses.
extern "C" fn messages_with_room(messages: *const mmsghdr, count: c_uint) -> u64 {
    // The header is the first field of mmsghdr.
    let headers = (0..count.min(64) as usize).map(|i| messages.wrapping_add(i).cast::<msghdr>());
    headers.take_while(|header| is_message(*header)).enumerate().fold(0, |all, (i, header)| {
        // SAFETY: it can be read.
        let room = unsafe { (*header).msg_namelen };
        all | u64::from(room as usize >= size_of::<libc::sockaddr_in6>()) << i
    })
}

unsafe extern "C" fn named_all(got: c_int, messages: *mut mmsghdr, roomy: u64) -> c_int {
    let mut limit = Limit::NONE;
    for i in (0..got.clamp(0, 64) as usize).filter(|i| roomy & 1 << i != 0) {
        // SAFETY: the kernel has just filled it.
        unsafe {
            let message = &raw mut (*messages.add(i)).msg_hdr;
            let room = size_of::<libc::sockaddr_in6>() as u32;
            let len = &raw mut (*message).msg_namelen;
            name_server::show_server_address((*message).msg_name.cast(), room, len, &mut limit);
        }
    }
    got
}
