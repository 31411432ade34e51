//! Hooks of gethostname(2), getdomainname(2) and uname(2): a host is called `α.lonet`, in the domain `lonet`.
//!
//! The name is in UTF-8, as it was given, and the resolver finds it. If uname has no room for it with
//! `.lonet`, it stands without. getdomainname returns `lonet`, the domain in the host's name, rather than the
//! machine's NIS domain.

use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult, run_hook};
use crate::host::FullName;
use crate::log::{About, Call};
use crate::next::Next;
use crate::process;
use libc::{c_char, c_int, size_t};
use nix::errno::Errno;
use std::ffi::CStr;

hook! {
    unsafe fn gethostname(name: *mut c_char, len: size_t) -> c_int => lonet_gethostname decides(About::Nothing) |real| {
        // SAFETY: the program's buffer.
        unsafe { put_hostname(name, len) }
    }
}

hook! {
    unsafe fn getdomainname(name: *mut c_char, len: size_t) -> c_int => lonet_getdomainname decides(About::Nothing) |real| {
        // SAFETY: the program's buffer.
        unsafe { put_domain(name, len) }
    }
}

hook! {
    unsafe fn uname(all: *mut libc::utsname) -> c_int => lonet_uname decides(About::Nothing) |real| {
        // SAFETY: the program's pointer.
        unsafe { put_names(all, &real) }
    }
}

type Checked = unsafe extern "C" fn(*mut c_char, size_t, size_t) -> c_int;

next! {
    // As glibc declares them in bits/unistd.h.
    static GETHOSTNAME_CHK: Checked = c"__gethostname_chk";
    static GETDOMAINNAME_CHK: Checked = c"__getdomainname_chk";
}

/// gethostname under _FORTIFY_SOURCE; `room` is the size of the buffer that the compiler knows.
///
/// # Safety
/// As for gethostname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __gethostname_chk(name: *mut c_char, len: size_t, room: size_t) -> c_int {
    // SAFETY: the program's arguments; libc ends the program if they do not fit.
    let real = || unsafe { call_checked(&GETHOSTNAME_CHK, name, len, room) };
    // SAFETY: the program's buffer.
    let put = || unsafe { put_hostname(name, len) };
    let call = Call { name: "gethostname", about: About::Nothing };
    run_hook(call, || if len > room { Ok(Decision::Libc(Bypass::Arguments)) } else { put() }, real)
}

/// As [`__gethostname_chk`].
///
/// # Safety
/// As for getdomainname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __getdomainname_chk(name: *mut c_char, len: size_t, room: size_t) -> c_int {
    // SAFETY: as above.
    let real = || unsafe { call_checked(&GETDOMAINNAME_CHK, name, len, room) };
    // SAFETY: as above.
    let put = || unsafe { put_domain(name, len) };
    let call = Call { name: "getdomainname", about: About::Nothing };
    run_hook(call, || if len > room { Ok(Decision::Libc(Bypass::Arguments)) } else { put() }, real)
}

unsafe fn call_checked(next: &Next<Checked>, name: *mut c_char, len: size_t, room: size_t) -> c_int {
    match next.get() {
        // SAFETY: the program's arguments.
        Some(real) => unsafe { real(name, len, room) },
        None => {
            Errno::ENOSYS.set();
            -1
        }
    }
}

const DOMAIN: &CStr = c"lonet";

/// The host's name as its programs see it. `None`: the process is no host.
fn hostname() -> Option<FullName> {
    let host = process::host().filter(|_| process::is_active())?;
    if process::hostname_fits(&host) { FullName::new(&host) } else { FullName::bare(&host) }
}

/// # Safety
/// `name` is writable for `len` bytes.
unsafe fn put_hostname(name: *mut c_char, len: size_t) -> HookResult {
    let Some(hostname) = hostname() else { return Ok(Decision::Libc(Bypass::NoHost)) };
    // SAFETY: as the caller promises.
    let fits = unsafe { put(name, len, hostname.with_zero()) };
    Ok(if fits { Decision::Done(0) } else { Decision::Fail(Errno::ENAMETOOLONG) })
}

/// # Safety
/// `name` is writable for `len` bytes.
unsafe fn put_domain(name: *mut c_char, len: size_t) -> HookResult {
    if hostname().is_none() {
        return Ok(Decision::Libc(Bypass::NoHost));
    }
    // Truncation is no error, according to getdomainname(2).
    // SAFETY: as the caller promises.
    unsafe { put(name, len, DOMAIN.to_bytes_with_nul()) };
    Ok(Decision::Done(0))
}

/// # Safety
/// `all` is as uname(2) takes it; `real` fills it.
unsafe fn put_names(all: *mut libc::utsname, real: &dyn Fn() -> c_int) -> HookResult {
    let Some(name) = hostname() else { return Ok(Decision::Libc(Bypass::NoHost)) };
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    // SAFETY: the kernel has just written there.
    unsafe {
        put_field(&raw mut (*all).nodename, name.bytes());
        put_field(&raw mut (*all).domainname, DOMAIN.to_bytes());
    }
    Ok(Decision::Done(0))
}

/// Copies as much as fits, like libc; returns whether all did.
///
/// # Safety
/// `to` is writable for `len` bytes.
unsafe fn put(to: *mut c_char, len: size_t, text: &[u8]) -> bool {
    // SAFETY: as the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), text.len().min(len)) };
    text.len() <= len
}

/// Fills a field of utsname, the rest with zeroes.
///
/// # Safety
/// `field` is writable.
unsafe fn put_field<const N: usize>(field: *mut [c_char; N], text: &[u8]) {
    let mut all = [0; N];
    for (to, from) in all.iter_mut().take(N - 1).zip(text) {
        *to = *from as c_char;
    }
    // SAFETY: as the caller promises.
    unsafe { field.write_unaligned(all) };
}
