//! Hooks of accept(2) and accept4(2).
//!
//! The table names the peer ([`peer`]). This takes one system call to see whether a connection waits already
//! ([`retry`]), and one getsockname, one getpeername and two cookies to identify both sockets. Where the dial
//! has not returned yet or is unverified, the kernel is asked as well: four calls.
//! tests/hot_paths_take_few_system_calls.sh counts them, like those of other frequent paths.

mod courier;
mod peer;
mod retry;

use crate::address::{Address, is_plausible};
use crate::bypass::Bypass;
use crate::log::{self, About, Call};
use crate::panic_barrier::run_isolated;
use crate::{memory, process};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, check};
use nix::errno::Errno;
use peer::{Peer, identify_peer};
use retry::Retry;

hook! {
    unsafe fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int => lonet_accept_hook {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len, None, is_active()) }
    }
}

hook! {
    unsafe fn accept4(
        fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int
    ) -> c_int => lonet_accept4 {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len, Some(&flags), is_active()) }
    }
}

// Not inlined: the hooks' own frames call nothing that could unwind, either.
#[inline(never)]
extern "C" fn is_active() -> bool {
    process::is_active()
}

type Accept = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
type Accept4 = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;

struct PreparedCall {
    accept: Accept,
    accept4: Accept4,
    /// Not lonet's: libc gets the program's pointers unchanged.
    native: bool,
    errno: i32,
    retry: Retry,
}

/// The body of both hooks: see [`run_within`].
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
    let mut limit = Limit::NONE;
    // SAFETY: as the caller promises.
    unsafe { run_within(fd, address, len, flags, active, &mut limit) }
}

/// accept blocks, and a thread may be cancelled or jump out of it: this frame and those above it own nothing, and call nothing
/// that could unwind (see `panic_barrier`). `flags`: accept4's. `active`: whether the hooks apply. `limit`: that of the call for
/// lonetd, for all connections that it rejects.
///
/// # Safety
/// The arguments are as accept(2) takes them.
pub unsafe extern "C" fn run_within(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: Option<&c_int>,
    active: bool,
    limit: &mut Limit,
) -> c_int {
    const { assert!(!std::mem::needs_drop::<Limit>()) };
    let mut call = std::mem::MaybeUninit::<PreparedCall>::uninit();
    let mut peer = std::mem::MaybeUninit::<Address>::uninit();
    // SAFETY: the program's arguments; `prepare` fills the call, `ready` the address.
    unsafe {
        prepare(fd, address, len, active, call.as_mut_ptr());
        let call = &mut *call.as_mut_ptr();
        loop {
            ready(peer.as_mut_ptr());
            // Into memory of our own: a peer that has gone by now has no getpeername any more.
            let own = &mut *peer.as_mut_ptr();
            let (to, to_len) =
                if call.native { (address, len) } else { (own.pointer_mut(), &raw mut own.len) };
            let new = match flags {
                None => (call.accept)(fd, to, to_len),
                Some(flags) => (call.accept4)(fd, to, to_len, *flags),
            };
            if call.native || new < 0 {
                return new;
            }
            match finish(fd, new, own, (address, len), flags, call.errno, limit) {
                BAD_ADDRESS => return -1,
                taken if taken >= 0 || !call.retry.after_rejection(fd, limit) => return taken,
                _ => {}
            }
        }
    }
}

/// # Safety
/// `call` is writable and is filled.
// Not inlined: each frame's space on a small stack is released before the next one.
#[inline(never)]
unsafe extern "C" fn prepare(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    active: bool,
    call: *mut PreparedCall,
) {
    let mut native = !active;
    if !address.is_null() && !native {
        let is_there = memory::is_readable(len.cast(), size_of::<socklen_t>());
        // What the kernel refuses is left for it to refuse.
        // SAFETY: it can be read.
        native = !is_plausible(address) || !is_there || unsafe { len.read() as c_int } < 0;
    }
    let errno = Errno::last_raw();
    if native && active {
        let call = Call { name: "accept", about: About::Socket(fd) };
        run_isolated(|| log::bypassed(call, Bypass::Arguments));
    }
    let retry = if native { Retry::NATIVE } else { Retry::begin(fd) };
    Errno::set_raw(errno);
    let made = PreparedCall { accept: accept.get(), accept4: accept4.get(), native, errno, retry };
    // SAFETY: as the caller promises.
    unsafe { call.write(made) };
}

/// `peer` is writable.
unsafe extern "C" fn ready(peer: *mut Address) {
    // SAFETY: as the caller promises.
    unsafe { peer.write(Address::empty()) };
}

/// The result of [`finish`] where the peer's address cannot be stored: EFAULT. The connection is lost, as it
/// is natively.
const BAD_ADDRESS: c_int = -2;

/// Stores the peer's lonet address. Returns the descriptor for the program; -1 if the connection was not
/// meant for this listener or its peer cannot be identified, and has been reset; or [`BAD_ADDRESS`].
///
/// # Safety
/// `address` and `len` have passed `prepare`.
#[inline(never)]
#[allow(improper_ctypes_definitions, reason = "its only caller is Rust")]
unsafe extern "C" fn finish(
    listener: c_int,
    new: c_int,
    peer: &Address,
    (address, len): (*mut sockaddr, *mut socklen_t),
    flags: Option<&c_int>,
    errno: i32,
    limit: &mut Limit,
) -> c_int {
    let mut shown = *peer;
    // A panic in `identify_peer` must not let anybody in.
    let mut who = Peer::Rejected;
    run_isolated(|| who = identify_peer(listener, new, peer, limit));
    run_isolated(|| report(listener, &who, peer));
    let mut taken = -1;
    run_isolated(|| match who {
        Peer::Named(a) => (shown, taken) = (a, new),
        Peer::Native => taken = new,
        Peer::Foreign(a, connection) => {
            shown = a;
            let flags = flags.map_or(0, |f| *f);
            taken = connection.take(listener, new, flags).unwrap_or(-1);
        }
        Peer::Rejected => reset(new),
    });
    let mut outcome = errno;
    if taken >= 0 && !address.is_null() {
        // SAFETY: as the caller promises.
        let room = unsafe { len.read() };
        // Whether it is writable the kernel finds out by writing another address there.
        let fill = || {
            // SAFETY: the kernel refuses what cannot be written.
            check(unsafe { libc::syscall(libc::SYS_getsockname, taken, address, len) }).is_ok()
        };
        if memory::is_writable(address.cast(), room.min(shown.len) as usize, fill) {
            // SAFETY: both can be written.
            unsafe { shown.copy_out(address, room, len) };
        } else {
            drop(sys::Fd::adopt(taken));
            (taken, outcome) = (BAD_ADDRESS, libc::EFAULT);
        }
    }
    Errno::set_raw(outcome);
    taken
}

/// Writes the line for LONET_LOG.
fn report(listener: c_int, who: &Peer, peer: &Address) {
    if !log::is_wanted() {
        return;
    }
    let named = match who {
        Peer::Named(address) | Peer::Foreign(address, _) => address,
        Peer::Native | Peer::Rejected => peer,
    };
    let call = Call { name: "accept", about: About::From(listener, named.endpoint()) };
    match who {
        Peer::Named(_) => log::ended(call, Ok(()), format_args!("")),
        Peer::Foreign(..) => log::ended(call, Ok(()), format_args!("from a foreign host")),
        Peer::Native => log::bypassed(call, Bypass::Outsider),
        Peer::Rejected => log::ended(
            call,
            Err(Errno::ECONNABORTED),
            format_args!("reset: not meant for this listener, or the peer cannot be identified"),
        ),
    }
}

/// Closes the connection with a reset.
fn reset(fd: c_int) {
    let _ = sys::reset_at_close(fd);
    drop(sys::Fd::adopt(fd));
}
