//! close(2), dup2(2), dup3(2), close_range(2), closefrom(3): hints that a socket may have come to its end. They
//! decide nothing: lonetd asks the kernel. A socket of lonet's takes five system calls more for it: its name and its
//! cookie, and what a word to lonetd takes.
//!
//! A descriptor that is none of lonet's costs the look at one bit, and no system call.

use crate::api::net;
use crate::ask::tell_to;
use crate::fence::silently;
use crate::{kernel, marks, process};
use libc::{c_int, c_uint};
use lonet_core::control::Op;
use lonet_core::limit::Limit;
use std::net::Ipv4Addr;

redhook::hook! {
    unsafe fn close(fd: c_int) -> c_int => lonet_close {
        let cookie = leaving(fd);
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(close)(fd) };
        left(cookie);
        result
    }
}

redhook::hook! {
    unsafe fn dup2(old: c_int, new: c_int) -> c_int => lonet_dup2 {
        let cookie = if old == new { None } else { leaving(new) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(dup2)(old, new) };
        duplicated(old, result);
        left(cookie);
        result
    }
}

redhook::hook! {
    unsafe fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int => lonet_dup3 {
        let cookie = if old == new { None } else { leaving(new) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(dup3)(old, new, flags) };
        duplicated(old, result);
        left(cookie);
        result
    }
}

redhook::hook! {
    unsafe fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int => lonet_close_range {
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(close_range)(first, last, flags) };
        if result == 0 && flags & libc::CLOSE_RANGE_CLOEXEC as c_int == 0 {
            review(first, last);
        }
        result
    }
}

redhook::hook! {
    unsafe fn closefrom(first: c_int) -> () => lonet_closefrom {
        // SAFETY: the program's arguments.
        unsafe { redhook::real!(closefrom)(first) };
        review(first.max(0) as c_uint, c_uint::MAX);
    }
}

pub fn resolve_real() {
    close.get();
    dup2.get();
    dup3.get();
    close_range.get();
    closefrom.get();
}

/// The socket that loses this descriptor. Its name has to be taken before: afterwards the number may be
/// anything's.
fn leaving(fd: c_int) -> Option<Leaving> {
    if !marks::get(fd) {
        return None;
    }
    let mut socket = None;
    silently(|| {
        let ip = kernel::local(fd).and_then(|a| a.os()).map(|os| *os.ip());
        socket = kernel::cookie(fd).ok().map(|cookie| Leaving { cookie, ip });
        marks::clear(fd);
    });
    socket
}

/// A socket that loses a descriptor, and its address, which says whose it is.
struct Leaving {
    cookie: u64,
    ip: Option<Ipv4Addr>,
}

fn left(socket: Option<Leaving>) {
    let Some(Leaving { cookie, ip }) = socket else { return };
    silently(|| {
        if let Some(client) = ip.and_then(process::client_at).or_else(process::client) {
            tell_to(Limit::NONE, &client, &Op::Closed { cookie });
        }
    });
}

fn duplicated(old: c_int, new: c_int) {
    if new >= 0 && marks::get(old) {
        marks::set(new);
    }
}

fn review(first: c_uint, last: c_uint) {
    if marks::any(first, last) {
        silently(|| {
            if let Some(client) = process::client() {
                tell_to(Limit::NONE, &client, &Op::Review);
            }
            net::NETS.all().for_each(|net| tell_to(Limit::NONE, &net.client, &Op::Review));
        });
    }
}
