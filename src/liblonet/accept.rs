//! accept(2) and accept4(2).

use crate::address::{Address, is_plausible};
use crate::ask::{Start, ask};
use crate::fence::{Decided, Decision, decide};
use crate::{kernel, marks, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::control::{Op, Reply};
use lonet_core::sys;
use nix::errno::Errno;

redhook::hook! {
    unsafe fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int => lonet_accept_hook {
        decide(
            // SAFETY: the program's pointers; libc's function.
            || unsafe { on_network(fd, address, len, &|a, l| redhook::real!(accept)(fd, a, l)) },
            // SAFETY: the program's arguments.
            || unsafe { redhook::real!(accept)(fd, address, len) },
        )
    }
}

redhook::hook! {
    unsafe fn accept4(
        fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int
    ) -> c_int => lonet_accept4 {
        decide(
            // SAFETY: the program's pointers; libc's function.
            || unsafe { on_network(fd, address, len, &|a, l| redhook::real!(accept4)(fd, a, l, flags)) },
            // SAFETY: the program's arguments.
            || unsafe { redhook::real!(accept4)(fd, address, len, flags) },
        )
    }
}

pub fn resolve_real() {
    accept.get();
    accept4.get();
}

/// # Safety
/// `address` and `len` are as accept(2) takes them; `real` is libc's function.
unsafe fn on_network(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    real: &dyn Fn(*mut sockaddr, *mut socklen_t) -> c_int,
) -> Decided {
    if !process::is_active() {
        return Ok(Decision::Libc);
    }
    let wanted = !address.is_null();
    // SAFETY: where it can be valid, the program has promised that it is.
    let room = if wanted && is_plausible(len) { unsafe { len.read() } } else { 0 };
    if wanted && is_bad(address, len, room) {
        return Ok(Decision::Libc);
    }
    loop {
        // Into memory of our own: a caller that has gone by now has no getpeername any more.
        let mut caller = Address::empty();
        let new = real(caller.pointer_mut(), &raw mut caller.len);
        if new < 0 {
            return Ok(Decision::Fail(Errno::last()));
        }
        match who_calls(fd, new, &caller) {
            Some(Caller::Named(a)) => caller = a,
            Some(Caller::Kernels) => {}
            None => {
                reset(new);
                continue;
            }
        }
        if wanted {
            // SAFETY: the program's pointers, which passed.
            unsafe { caller.copy_out(address, room, len) };
        }
        return Ok(Decision::Done(new));
    }
}

/// Pointers that the kernel refuses, and says how.
fn is_bad(address: *mut sockaddr, len: *mut socklen_t, room: u32) -> bool {
    !is_plausible(address) || !is_plausible(len) || (room as c_int) < 0
}

enum Caller {
    /// As lonet names it.
    Named(Address),
    /// As the kernel does.
    Kernels,
}

/// `None`: not for this listener.
fn who_calls(listener: c_int, new: c_int, caller: &Address) -> Option<Caller> {
    let native = Some(Caller::Kernels);
    let Some(remote) = caller.os() else { return native };
    let Some(local) = kernel::local(new).and_then(|a| a.os()) else { return native };
    if !process::may_be_ours(local.ip().to_ipv6_mapped()) {
        return native;
    }
    let (Ok(listener), Ok(cookie)) = (kernel::cookie(listener), kernel::cookie(new)) else { return native };
    marks::set(new);
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::No };
    match ask(&Op::Accept { listener, cookie, local, remote }, start) {
        Ok(Reply::Accepted { peer, .. }) => Some(Caller::Named(Address::of(peer, caller.family()))),
        Ok(Reply::Drop) => None,
        // Without an answer the kernel's names stand: accept does not fail for lonet's sake.
        _ => native,
    }
}

/// Closes with a reset: who called was not meant to come here.
fn reset(fd: c_int) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    drop(sys::Fd::adopt(fd));
}
