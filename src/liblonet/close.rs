//! Hooks of close(2), dup2(2), dup3(2), close_range(2), closefrom(3) and shutdown(2). They give hints that a
//! socket may have ended, on which no result depends: whoever needs its port asks the kernel. A lonet socket
//! takes one more system call, for its cookie; one that lonetd decides about also takes getsockname and a
//! message to lonetd.
//!
//! A descriptor that is not lonet's costs the test of one bit, and no system call.

use crate::ask::tell_to;
use crate::panic_barrier::run_isolated;
use crate::{descriptor_hints, joined, kernel, process, seat, table_map};
use libc::{c_int, c_uint};
use lonet_core::control::Op;
use lonet_core::limit::Limit;
use lonet_core::table::Parts;
use lonet_sockets::close::{Notify, closing as close_in, note, shutting_down};
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;

hook! {
    unsafe fn close(fd: c_int) -> c_int => lonet_close {
        let cookie = before_close(fd);
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(close)(fd) };
        after_close(cookie);
        result
    }
}

hook! {
    unsafe fn dup2(old: c_int, new: c_int) -> c_int => lonet_dup2 {
        let cookie = if old == new { None } else { before_close(new) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(dup2)(old, new) };
        duplicated(old, result);
        after_close(cookie);
        result
    }
}

hook! {
    unsafe fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int => lonet_dup3 {
        let cookie = if old == new { None } else { before_close(new) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(dup3)(old, new, flags) };
        duplicated(old, result);
        after_close(cookie);
        result
    }
}

/// close's other name: libc exports some calls also under its internal names.
///
/// # Safety
/// As for close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __close(fd: c_int) -> c_int {
    // SAFETY: the program's argument.
    unsafe { lonet_close(fd) }
}

/// dup2's other name.
///
/// # Safety
/// As for dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __dup2(old: c_int, new: c_int) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { lonet_dup2(old, new) }
}

hook! {
    unsafe fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int => lonet_close_range {
        let closes = flags & libc::CLOSE_RANGE_CLOEXEC as c_int == 0;
        let must_notify = closes && before_close_all(first, last);
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(close_range)(first, last, flags) };
        after_close_all(must_notify);
        result
    }
}

hook! {
    unsafe fn closefrom(first: c_int) -> () => lonet_closefrom {
        let must_notify = before_close_all(first.max(0) as c_uint, c_uint::MAX);
        // SAFETY: the program's arguments.
        unsafe { redhook::real!(closefrom)(first) };
        after_close_all(must_notify);
    }
}

hook! {
    unsafe fn shutdown(fd: c_int, how: c_int) -> c_int => lonet_shutdown {
        let mut socket = None;
        if descriptor_hints::is_set(fd) {
            run_isolated(|| socket = note_in_table(fd, shutting_down));
        }
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(shutdown)(fd, how) };
        after_close(socket);
        result
    }
}

/// Called before `fd` is closed: the socket, if lonetd must be notified. It must be identified first, as
/// afterwards the number may be anything's.
pub fn before_close(fd: c_int) -> Option<ClosingSocket> {
    if !descriptor_hints::is_set(fd) {
        return None;
    }
    let mut socket = None;
    run_isolated(|| {
        socket = closing(fd);
        descriptor_hints::clear(fd);
    });
    socket
}

fn closing(fd: c_int) -> Option<ClosingSocket> {
    note_in_table(fd, |parts, cookie| {
        if let Some(table) = table_map::table() {
            note(table, seat::slot(), fd, cookie);
        }
        close_in(parts, seat::slot(), seat::dials(), fd, cookie)
    })
}

/// Records in the table, by `say`, what is about to happen to a socket. Returns the socket if lonetd must be
/// notified.
fn note_in_table(
    fd: c_int,
    record: impl FnOnce(Parts<'static, AtomicU64>, u64) -> Notify,
) -> Option<ClosingSocket> {
    let cookie = kernel::cookie(fd).ok()?;
    if table_map::parts().is_some_and(|parts| record(parts, cookie) == Notify::Nothing) {
        return None;
    }
    Some(ClosingSocket { cookie, ip: kernel::local(fd).and_then(|a| a.os()).map(|os| *os.ip()) })
}

/// A socket about to lose a descriptor, and its address, which tells its network.
pub struct ClosingSocket {
    cookie: u64,
    ip: Option<Ipv4Addr>,
}

pub fn after_close(socket: Option<ClosingSocket>) {
    let Some(ClosingSocket { cookie, ip }) = socket else { return };
    run_isolated(|| {
        if let Some(client) = ip.and_then(process::client_at).or_else(process::client) {
            tell_to(Limit::NONE, &client, &Op::Closed { cookie });
        }
    });
}

fn duplicated(old: c_int, new: c_int) {
    if new >= 0 && descriptor_hints::is_set(old) {
        descriptor_hints::set(new);
    }
}

/// Called before descriptors are closed in bulk: whether lonetd must be notified.
fn before_close_all(first: c_uint, last: c_uint) -> bool {
    let mut must_notify = false;
    if descriptor_hints::any(first, last) {
        run_isolated(|| descriptor_hints::each(first, last, |fd| must_notify |= closing(fd).is_some()));
    }
    must_notify
}

fn after_close_all(must_notify: bool) {
    if must_notify {
        run_isolated(|| {
            if let Some(client) = process::client() {
                tell_to(Limit::NONE, &client, &Op::Review);
            }
            joined::NETS.all().for_each(|net| tell_to(Limit::NONE, &net.client, &Op::Review));
        });
    }
}
