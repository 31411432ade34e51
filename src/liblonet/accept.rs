//! accept(2) and accept4(2).
//!
//! Who calls the table tells: one getsockname, one getpeername and two cookies for what both sockets are. Where the dial has
//! not returned yet, or is in doubt, the kernel is asked as well: four calls. Counted by
//! tests/hot_paths_take_few_system_calls.sh, as are the other paths that programs take all the time.

mod courier;

use crate::address::{Address, is_plausible};
use crate::ask::{Start, ask_for_more, tell_to};
use crate::fence::silently;
use crate::{actor, kernel, marks, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::block::Block;
use lonet_core::control::{Op, Reply};
use lonet_core::sys;
use lonet_sockets::accept::{Accepted, Peer, identify};
use nix::errno::Errno;

redhook::hook! {
    unsafe fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int => lonet_accept_hook {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len, None, process::is_active()) }
    }
}

redhook::hook! {
    unsafe fn accept4(
        fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int
    ) -> c_int => lonet_accept4 {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len, Some(&flags), process::is_active()) }
    }
}

pub fn resolve_real() {
    accept.get();
    accept4.get();
}

type Accept = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
type Accept4 = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;

struct Plan {
    accept: Accept,
    accept4: Accept4,
    /// Not lonet's: libc takes the program's pointers as they are.
    native: bool,
    errno: i32,
}

/// The hooks. accept blocks, and a thread may be cancelled or jump out of it: this frame and those above it hold
/// nothing, and call nothing that could unwind (see `fence`). `flags`: accept4's. `active`: lonet has a say.
///
/// # Safety
/// The arguments are as accept(2) takes them.
pub unsafe extern "C" fn run(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: Option<&c_int>,
    active: bool,
) -> c_int {
    let mut plan = std::mem::MaybeUninit::<Plan>::uninit();
    let mut caller = std::mem::MaybeUninit::<Address>::uninit();
    // SAFETY: the program's arguments; `prepare` fills the plan, `ready` the address.
    unsafe {
        prepare(address, len, active, plan.as_mut_ptr());
        let plan = &*plan.as_ptr();
        loop {
            ready(caller.as_mut_ptr());
            // Into memory of our own: a caller that has gone by now has no getpeername any more.
            let own = &mut *caller.as_mut_ptr();
            let (to, to_len) =
                if plan.native { (address, len) } else { (own.pointer_mut(), &raw mut own.len) };
            let new = match flags {
                None => (plan.accept)(fd, to, to_len),
                Some(flags) => (plan.accept4)(fd, to, to_len, *flags),
            };
            if plan.native || new < 0 {
                return new;
            }
            let taken = finish(fd, new, own, address, len, flags, plan.errno);
            if taken >= 0 {
                return taken;
            }
        }
    }
}

/// # Safety
/// `plan` is writable and is filled.
unsafe extern "C" fn prepare(address: *mut sockaddr, len: *mut socklen_t, active: bool, plan: *mut Plan) {
    let mut native = !active;
    if !address.is_null() && !native {
        // SAFETY: where it can be valid, the program has promised that it is.
        let room = if is_plausible(len) { unsafe { len.read() } } else { 0 };
        // What the kernel refuses, it is to refuse in its own way.
        native = !is_plausible(address) || !is_plausible(len) || (room as c_int) < 0;
    }
    let made = Plan { accept: accept.get(), accept4: accept4.get(), native, errno: Errno::last_raw() };
    // SAFETY: as the caller promises.
    unsafe { plan.write(made) };
}

/// # Safety
/// `caller` is writable.
unsafe extern "C" fn ready(caller: *mut Address) {
    // SAFETY: as the caller promises.
    unsafe { caller.write(Address::empty()) };
}

/// Names the caller to the program. The descriptor that it gets; -1: who called was not meant to come here, and
/// the connection has been closed.
///
/// # Safety
/// `address` and `len` have passed `prepare`.
unsafe extern "C" fn finish(
    listener: c_int,
    new: c_int,
    caller: &Address,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: Option<&c_int>,
    errno: i32,
) -> c_int {
    let mut shown = *caller;
    let mut taken = new;
    silently(|| match who_calls(listener, new, caller) {
        Some(Caller::Named(a)) => shown = a,
        Some(Caller::Kernels) => {}
        Some(Caller::Foreign(a, connection)) => {
            shown = a;
            let flags = flags.map_or(0, |f| *f);
            taken = connection.take(listener, new, flags).unwrap_or(-1);
        }
        None => {
            reset(new);
            taken = -1;
        }
    });
    if taken >= 0 && !address.is_null() {
        // SAFETY: as the caller promises.
        unsafe { shown.copy_out(address, len.read(), len) };
    }
    Errno::set_raw(errno);
    taken
}

enum Caller {
    /// As lonet names it.
    Named(Address),
    /// A courier came in this one's place.
    Foreign(Address, courier::Connection),
    /// As the kernel does.
    Kernels,
}

/// `None`: not for this listener.
fn who_calls(listener_fd: c_int, new: c_int, caller: &Address) -> Option<Caller> {
    let native = Some(Caller::Kernels);
    let Some(remote) = caller.os() else { return native };
    let Some(local) = kernel::local(new).and_then(|a| a.os()) else { return native };
    let Some(client) = process::client_at(*local.ip()) else { return native };
    let (Ok(listener), Ok(cookie)) = (kernel::cookie(listener_fd), kernel::cookie(new)) else {
        return native;
    };
    marks::set(new);
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::No };
    // For whom the stack itself calls is in no record.
    let stack = Block::new(local.ip().octets()[1]).map(Block::stack);
    if stack != Some(*remote.ip())
        && let Some(actor) = actor::actor(&client, false)
    {
        let accepted = Accepted { listener, cookie, fd: new, local, remote };
        if let Peer::Dialer { name, is_last } = identify(&actor, &accepted) {
            if is_last {
                tell_to(&client, &Op::Closed { cookie });
            }
            return Some(Caller::Named(Address::of(name, caller.family())));
        }
    }
    match ask_for_more(&client, &Op::Accept { listener, cookie, local, remote }, start) {
        Ok((_, Reply::Accepted { peer, .. })) => Some(Caller::Named(Address::of(peer, caller.family()))),
        Ok((Some(control), Reply::Courier { peer, buffers })) => {
            let connection = courier::Connection::new(control, buffers);
            Some(Caller::Foreign(Address::of(peer, caller.family()), connection))
        }
        Ok((_, Reply::Drop)) => None,
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
