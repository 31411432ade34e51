//! Hook of getaddrinfo_a(3). libc's threads call libc's own getaddrinfo, which no hook sees. So names of the
//! network are answered at once, and the rest is left to libc, with the notification.

use crate::getaddrinfo;
use crate::panic_barrier::run_isolated;
use libc::{addrinfo, c_char, c_int, sigevent};
use lonet_core::limit::Limit;

/// struct gaicb of netdb.h.
#[repr(C)]
pub struct Request {
    name: *const c_char,
    service: *const c_char,
    request: *const addrinfo,
    result: *mut addrinfo,
    answer: c_int,
    reserved: [c_int; 5],
}

type Real = unsafe extern "C" fn(c_int, *mut *mut Request, c_int, *mut sigevent) -> c_int;

next! {
    // As netdb.h declares it. Before glibc 2.34 it was in a library of its own.
    static REAL: Real = c"getaddrinfo_a";
}

/// # Safety
/// As for getaddrinfo_a(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo_a(
    mode: c_int,
    list: *mut *mut Request,
    count: c_int,
    event: *mut sigevent,
) -> c_int {
    let Some(real) = REAL.get() else { return libc::EAI_SYSTEM };
    let mut rest = Ok(None);
    // SAFETY: the program's arguments.
    run_isolated(|| rest = unsafe { answer_ours(mode, list, count) });
    // SAFETY: the program's arguments, or a copy of the list without what has been answered.
    unsafe {
        match rest {
            Ok(None) => real(mode, list, count, event),
            Ok(Some(copy)) => {
                let result = real(mode, copy, count, event);
                // libc has copied the list.
                libc::free(copy.cast());
                result
            }
            Err(code) => code,
        }
    }
}

/// Answers the requests that are lonet's. Returns a copy of the list if there were any, with null in their
/// place, which libc skips.
///
/// # Safety
/// As for getaddrinfo_a(3).
unsafe fn answer_ours(
    mode: c_int,
    list: *mut *mut Request,
    count: c_int,
) -> Result<Option<*mut *mut Request>, c_int> {
    const MODES: [c_int; 2] = [0, 1];
    let mut limit = Limit::NONE;
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: as the caller promises.
    let at = |i: usize| unsafe { list.add(i) };
    // SAFETY: entries of the list are null or requests.
    let is_ours = |i: usize, limit: &mut Limit| unsafe {
        let request = *at(i);
        !request.is_null() && getaddrinfo::is_ours((*request).name, (*request).request, limit)
    };
    if !MODES.contains(&mode) || list.is_null() || !(0..count).any(|i| is_ours(i, &mut limit)) {
        return Ok(None);
    }
    // SAFETY: new memory.
    let copy: *mut *mut Request = unsafe { libc::malloc(count * size_of::<*mut Request>()) }.cast();
    if copy.is_null() {
        return Err(libc::EAI_MEMORY);
    }
    for i in 0..count {
        let ours = is_ours(i, &mut limit);
        // SAFETY: within both lists.
        unsafe {
            let request = *at(i);
            copy.add(i).write(if ours { std::ptr::null_mut() } else { request });
            if ours {
                let mut found = std::ptr::null_mut();
                let r = &*request;
                let code = getaddrinfo::run(r.name, r.service, r.request, &raw mut found, &mut limit);
                (*request).result = if code == 0 { found } else { std::ptr::null_mut() };
                (*request).answer = code;
            }
        }
    }
    Ok(Some(copy))
}
