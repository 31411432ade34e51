//! Hooks of getsockopt(2) and setsockopt(2): for options that lonet sets itself (those of IP in `hops`),
//! SO_PEERNAME, which is getpeername as an option, and options that name a peer by its address (`keys`).

mod hops;
mod keys;

use crate::address::{Address, is_plausible};
use crate::ask::{self, Start, ask_of};
use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::log::{self, About};
use crate::{descriptor_hints, kernel, memory, name, process};
use libc::{c_int, c_void, socklen_t};
use lonet_core::control::{Op, Reply};
use lonet_core::limit::Limit;
use nix::errno::Errno;

hook! {
    unsafe fn getsockopt(
        fd: c_int, level: c_int, option: c_int, value: *mut c_void, len: *mut socklen_t
    ) -> c_int => lonet_getsockopt decides(About::Socket(fd)) |real| {
        // SAFETY: the program's pointers.
        unsafe {
            match (level, option) {
                (libc::SOL_SOCKET, libc::SO_ERROR) if log::is_wanted() => log_error(fd, value, len, &real),
                _ => get_as_program_set(fd, level, option, value, len, &real),
            }
        }
    }
}

/// SO_ERROR, by which a program learns the outcome of a dial that did not wait. The value is the kernel's; here it is logged.
///
/// # Safety
/// `value` and `len` are as getsockopt(2) takes them.
unsafe fn log_error(
    fd: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
    real: &dyn Fn() -> c_int,
) -> HookResult {
    if !descriptor_hints::is_set(fd) || kernel::tcp_family(fd).is_none() {
        return Ok(Decision::Libc(Bypass::OtherOption));
    }
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    // SAFETY: the kernel has just written `len` bytes there.
    let error = unsafe {
        if len.read() as usize == size_of::<c_int>() { value.cast::<c_int>().read_unaligned() } else { 0 }
    };
    Ok(if error == 0 { Decision::Done(0) } else { Decision::Told(Errno::from_raw(error)) })
}

hook! {
    unsafe fn setsockopt(
        fd: c_int, level: c_int, option: c_int, value: *const c_void, len: socklen_t
    ) -> c_int => lonet_setsockopt decides(About::Socket(fd)) |real| {
        match (level, option) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR) => set_for_lonetd(fd, value, len),
            (libc::IPPROTO_TCP, keys::TCP_MD5SIG | keys::TCP_MD5SIG_EXT | keys::TCP_AO_ADD_KEY) => {
                keys::set(fd, option, value, len, &real)
            }
            _ if hops::is_one(level, option) => hops::set(fd, option, value, len),
            _ => Ok(Decision::Libc(Bypass::OtherOption)),
        }
    }
}

/// Sets SO_REUSEADDR of a socket that lonet has bound: lonetd records the program's value, the kernel keeps
/// the one that lonet needs. The socket's address tells its network, at one system call: a duplicate, or a
/// descriptor that came by exec or in a message, has no hint.
fn set_for_lonetd(fd: c_int, value: *const c_void, len: socklen_t) -> HookResult {
    let int = std::mem::size_of::<c_int>();
    // Sockets of the C API have hints also in a process whose own calls are not hooked.
    let may_be_lonets = process::is_active() || descriptor_hints::is_set(fd);
    if !may_be_lonets || (len as usize) < int || !memory::is_readable(value.cast(), int) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    let Some(local) = kernel::local(fd).and_then(|a| a.os()) else {
        return Ok(Decision::Libc(Bypass::OtherSocket));
    };
    let Some(client) = process::client_at(*local.ip()) else {
        return Ok(Decision::Libc(Bypass::OtherAddress));
    };
    if kernel::tcp_family(fd).is_none() {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    // SAFETY: an int can be read there.
    let reuse_address = unsafe { value.cast::<c_int>().read_unaligned() } != 0;
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::No };
    match ask_of(Limit::NONE, &client, &Op::Set { cookie: kernel::cookie(fd)?, reuse_address }, start) {
        // At an address of the network, and still not lonet's.
        Ok(Reply::Native) => Ok(Decision::Libc(Bypass::LeftByLonetd)),
        _ => {
            descriptor_hints::set(fd);
            Ok(Decision::Done(0))
        }
    }
}

/// # Safety
/// `value` and `len` are as getsockopt(2) takes them.
unsafe fn get_as_program_set(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
    real: &dyn Fn() -> c_int,
) -> HookResult {
    let ours = matches!(
        (level, option),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_PEERNAME) | (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
    ) || hops::is_one(level, option);
    if !ours {
        return Ok(Decision::Libc(Bypass::OtherOption));
    }
    if !process::is_active() || !is_plausible(value) || !is_plausible(len) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    // SAFETY: the kernel has just written `len` bytes there.
    let room = unsafe { len.read() };
    if hops::is_one(level, option) {
        // SAFETY: as the kernel has filled them.
        unsafe { hops::show_program_value(fd, option, value, room) };
        return Ok(Decision::Done(0));
    }
    if option == libc::SO_PEERNAME && level == libc::SOL_SOCKET {
        if let Some(peer) = name::peer(fd)
            && let Some(family) = kernel::local(fd).map(|a| a.family())
        {
            // Unlike getpeername, SO_PEERNAME reports the length stored, not the full length.
            let mut full = 0;
            // SAFETY: as above.
            unsafe { Address::of(peer, family).copy_out(value.cast(), room, &raw mut full) };
        }
    } else if let Some(settings) = name::named(fd, &mut ask::unbegun()).settings {
        let set = if level == libc::SOL_SOCKET { settings.reuse_address } else { settings.v6only };
        let bytes = c_int::from(set).to_ne_bytes();
        let n = (room as usize).min(bytes.len());
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>(), n) };
    }
    Ok(Decision::Done(0))
}
