//! Hooks of sethostname(2) and setdomainname(2): EPERM for a host, whatever its privileges. `lonet run` gives
//! it its name; the calls would rename the machine, under its other programs. Errors in the arguments come
//! first, as the kernel reports them to privileged callers.

use crate::bypass::Bypass;
use crate::failure::Failure;
use crate::hook::{Decision, HookResult};
use crate::log::About;
use crate::process;
use libc::{c_char, c_int, size_t};
use nix::errno::Errno;

hook! {
    unsafe fn sethostname(name: *const c_char, len: size_t) -> c_int => lonet_sethostname decides(About::Nothing) |real| {
        refuse_for_hosts(name, len)
    }
}

hook! {
    unsafe fn setdomainname(name: *const c_char, len: size_t) -> c_int => lonet_setdomainname decides(About::Nothing) |real| {
        refuse_for_hosts(name, len)
    }
}

/// The size of uname(2)'s fields, without the zero.
const LONGEST: size_t = 64;

fn refuse_for_hosts(name: *const c_char, len: size_t) -> HookResult {
    if !process::is_host() {
        return Ok(Decision::Libc(Bypass::NoHost));
    }
    if len > LONGEST {
        return Err(Errno::EINVAL.into());
    }
    if !is_readable(name, len) {
        return Err(Errno::EFAULT.into());
    }
    Err(Failure::new(Errno::EPERM, "a host keeps its name"))
}

/// Whether the kernel can read this memory, which is on two pages at most. The kernel is made to read the
/// aligned eight bytes at either end as a signal mask, with an invalid operation: it reports EINVAL only
/// after it has read them.
fn is_readable(at: *const c_char, len: size_t) -> bool {
    const WORD: usize = 8;
    const NOTHING: c_int = -1;
    let is_read = |byte: *const c_char| {
        let word = byte.map_addr(|address| address & !(WORD - 1));
        // SAFETY: the kernel checks the pointer.
        let asked = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, NOTHING, word, 0, WORD) };
        asked == -1 && Errno::last() == Errno::EINVAL
    };
    len == 0 || is_read(at) && is_read(at.wrapping_add(len - 1))
}
