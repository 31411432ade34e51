//! lonetd's connect in the place of the kernel's, where a sandbox forbids the OS port and allows the port that the program dials.
//!
//! lonetd does not wait for the connection. A program that is to wait calls connect(2) again, so that its signals and
//! SO_SNDTIMEO apply. For a socket that is being connected the kernel ignores the address of that call, and the sandbox checks
//! its port alone. So the call has the port that the program dials, and an address to which TCP cannot connect, whatever
//! happens to the socket meanwhile.

use super::Attempt;
use super::step::Target;
use crate::address::Address;
use crate::panic_barrier::catch_panic;
use crate::{kernel, process, sandbox};
use libc::c_int;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The outcome of lonetd's connect.
#[repr(C)]
struct Lent {
    /// 0: it is connected.
    errno: c_int,
    /// Whether the program is to wait for the connection.
    waits: bool,
}

/// Has lonetd connect the socket to the target, after the kernel has said EACCES. Cancellation passes through this frame, as
/// through [`super::run`].
///
/// # Safety
/// The socket is the program's.
pub unsafe extern "C" fn connect(attempt: &Attempt, target: &Target) -> c_int {
    let lent = by_lonetd(attempt, target);
    if !lent.waits {
        return returned(lent.errno);
    }
    let nowhere =
        Address::of_os(SocketAddrV4::new(Ipv4Addr::BROADCAST, target.port), target.address.family());
    // SAFETY: an address of ours with its length.
    let result = unsafe { (attempt.real)(attempt.fd, nowhere.pointer(), nowhere.len) };
    // EALREADY is for a dial that began before this call; this one began in it.
    let is_late = result != 0 && Errno::last_raw() == libc::EALREADY;
    if is_late { returned(lent.errno) } else { result }
}

extern "C" fn returned(errno: c_int) -> c_int {
    if errno == 0 {
        return 0;
    }
    Errno::set_raw(errno);
    -1
}

#[inline(never)]
extern "C" fn by_lonetd(attempt: &Attempt, target: &Target) -> Lent {
    let Attempt { fd, limit, .. } = *attempt;
    let mut outcome = Err(Errno::EACCES);
    let mut waits = false;
    let _ = catch_panic(|| {
        let Some(client) = process::client().filter(|_| sandbox::may_connect(target.port)) else { return };
        let socket = sandbox::Socket { client: &client, limit, fd, cookie: target.cookie };
        outcome = socket.connect(&target.address);
        waits = matches!(outcome, Err(Errno::EINPROGRESS | Errno::EALREADY)) && kernel::is_blocking(fd);
    });
    Lent { errno: outcome.err().map_or(0, |e| e as c_int), waits }
}
