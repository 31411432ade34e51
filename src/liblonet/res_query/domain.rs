//! Hooks of res_querydomain(3) and res_nquerydomain: res_query with the name in two parts.

use super::answer::{Answered, to_name};
use super::missing;
use crate::ask;
use crate::process;
use crate::resolver_state::ResolverState;
use libc::{c_char, c_int, c_uchar};
use std::ffi::CStr;

type Query = unsafe extern "C" fn(*const c_char, *const c_char, c_int, c_int, *mut c_uchar, c_int) -> c_int;
type StateQuery = unsafe extern "C" fn(
    *mut ResolverState,
    *const c_char,
    *const c_char,
    c_int,
    c_int,
    *mut c_uchar,
    c_int,
) -> c_int;

next! {
    // As resolv.h declares it. Before glibc 2.34 it was in a library of its own.
    static QUERY: Query = c"res_querydomain";
    static STATE_QUERY: StateQuery = c"res_nquerydomain";
}

/// # Safety
/// As for res_querydomain(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_querydomain(
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    match (unsafe { to_parts(name, domain, class, kind, answer, len) }, QUERY.get()) {
        (Some(answered), _) => answered.result(),
        // SAFETY: the program's arguments.
        (None, Some(real)) => unsafe { real(name, domain, class, kind, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_nquerydomain(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nquerydomain(
    state: *mut ResolverState,
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    match (unsafe { to_parts(name, domain, class, kind, answer, len) }, STATE_QUERY.get()) {
        (Some(answered), _) => {
            // SAFETY: the program's state.
            unsafe { (*state).h_errno = answered.h_errno };
            answered.result()
        }
        // SAFETY: the program's arguments.
        (None, Some(real)) => unsafe { real(state, name, domain, class, kind, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_querydomain(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_querydomain(
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { res_querydomain(name, domain, class, kind, answer, len) }
}

/// # Safety
/// As for res_nquerydomain(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nquerydomain(
    state: *mut ResolverState,
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { res_nquerydomain(state, name, domain, class, kind, answer, len) }
}

/// MAXDNAME: libc's longest name, with the zero.
const MAX_NAME: usize = 1025;

/// As [`to_name`], about `name.domain`, or `name` alone without a domain. `None` also for a name that is too
/// long, which libc refuses.
///
/// # Safety
/// As for res_querydomain(3).
unsafe fn to_parts(
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> Option<Answered> {
    if !process::is_active() || name.is_null() {
        return None;
    }
    if domain.is_null() {
        // SAFETY: as the caller promises.
        return unsafe { to_name(name, class, kind, answer, len, &mut ask::unbegun()) };
    }
    // SAFETY: C strings, as the caller promises.
    let (name, domain) = unsafe { (CStr::from_ptr(name).to_bytes(), CStr::from_ptr(domain).to_bytes()) };
    let mut whole = [0; MAX_NAME];
    let (before, after) = whole.get_mut(..name.len() + 1 + domain.len() + 1)?.split_at_mut(name.len());
    before.copy_from_slice(name);
    let (dot, after) = after.split_first_mut()?;
    *dot = b'.';
    after.get_mut(..domain.len())?.copy_from_slice(domain);
    // SAFETY: a C string, and the rest as the caller promises.
    unsafe { to_name(whole.as_ptr().cast(), class, kind, answer, len, &mut ask::unbegun()) }
}
