//! sethostname(2) and setdomainname(2): EPERM for a host. Its name is `lonet run`'s to give; the calls would rename
//! the machine, under its other programs.

use crate::fence::{Decided, Decision, decide};
use crate::process;
use libc::{c_char, c_int, size_t};
use nix::errno::Errno;

redhook::hook! {
    unsafe fn sethostname(name: *const c_char, len: size_t) -> c_int => lonet_sethostname {
        // SAFETY: the program's arguments.
        decide(not_for_hosts, || unsafe { redhook::real!(sethostname)(name, len) })
    }
}

redhook::hook! {
    unsafe fn setdomainname(name: *const c_char, len: size_t) -> c_int => lonet_setdomainname {
        // SAFETY: the program's arguments.
        decide(not_for_hosts, || unsafe { redhook::real!(setdomainname)(name, len) })
    }
}

fn not_for_hosts() -> Decided {
    Ok(if process::is_host() { Decision::Fail(Errno::EPERM) } else { Decision::Libc })
}

pub fn resolve_real() {
    sethostname.get();
    setdomainname.get();
}
