//! close(2), dup2(2), dup3(2), close_range(2), closefrom(3): hints that a socket may have come to its end. They
//! decide nothing: lonetd asks the kernel.

use crate::ask::tell;
use crate::fence::silently;
use crate::{kernel, marks, process};
use libc::{c_int, c_uint};
use lonet_core::control::Op;

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
fn leaving(fd: c_int) -> Option<u64> {
    if !process::is_active() || !marks::get(fd) {
        return None;
    }
    let mut cookie = None;
    silently(|| {
        cookie = kernel::cookie(fd).ok();
        marks::clear(fd);
    });
    cookie
}

fn left(cookie: Option<u64>) {
    if let Some(cookie) = cookie {
        silently(|| tell(&Op::Closed { cookie }));
    }
}

fn duplicated(old: c_int, new: c_int) {
    if new >= 0 && marks::get(old) {
        marks::set(new);
    }
}

fn review(first: c_uint, last: c_uint) {
    if process::is_active() && marks::any(first, last) {
        silently(|| tell(&Op::Review));
    }
}
