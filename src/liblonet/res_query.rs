//! Hooks of res_query(3), res_search, res_querydomain, res_send and their forms with a state: DNS queries
//! about hosts of the network are answered here, all others by libc.
//!
//! Each has a second name, `__res_…`, which programs use that were linked before glibc 2.34.

mod answer;
mod domain;

use crate::ask;
use crate::host::FullName;
use crate::next::Next;
use crate::panic_barrier::run_isolated;
use crate::resolver_state::ResolverState;
use crate::search::{self, Search};
use answer::{to_message, to_name};
use libc::{c_char, c_int, c_uchar};
use lonet_core::limit::Limit;
use nix::errno::Errno;
use std::ffi::CStr;

type Query = unsafe extern "C" fn(*const c_char, c_int, c_int, *mut c_uchar, c_int) -> c_int;
type StateQuery =
    unsafe extern "C" fn(*mut ResolverState, *const c_char, c_int, c_int, *mut c_uchar, c_int) -> c_int;
type Send = unsafe extern "C" fn(*const c_uchar, c_int, *mut c_uchar, c_int) -> c_int;
type StateSend =
    unsafe extern "C" fn(*mut ResolverState, *const c_uchar, c_int, *mut c_uchar, c_int) -> c_int;

next! {
    // These six are as resolv.h declares them. Before glibc 2.34 they were in a library of their own.
    static QUERY: Query = c"res_query";
    static SEARCH: Query = c"res_search";
    static SEND: Send = c"res_send";
    static STATE_QUERY: StateQuery = c"res_nquery";
    static STATE_SEARCH: StateQuery = c"res_nsearch";
    static STATE_SEND: StateSend = c"res_nsend";
}

/// # Safety
/// As for res_query(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_query(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { query(&QUERY, name, class, kind, answer, len, &mut ask::unbegun()) }
}

/// # Safety
/// As for res_search(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_search(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { search(name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nquery(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nquery(
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_QUERY, state, name, class, kind, answer, len, &mut ask::unbegun()) }
}

/// # Safety
/// As for res_nsearch(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nsearch(
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_search(state, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_send(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_send(
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    match (unsafe { to_message(query, query_len, answer, len) }, SEND.get()) {
        (Some(answered), _) => answered,
        // SAFETY: the program's arguments.
        (None, Some(real)) => unsafe { real(query, query_len, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_nsend(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nsend(
    state: *mut ResolverState,
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    match (unsafe { to_message(query, query_len, answer, len) }, STATE_SEND.get()) {
        (Some(answered), _) => answered,
        // SAFETY: the program's arguments.
        (None, Some(real)) => unsafe { real(state, query, query_len, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_query(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_query(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { query(&QUERY, name, class, kind, answer, len, &mut ask::unbegun()) }
}

/// # Safety
/// As for res_search(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_search(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { search(name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nquery(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nquery(
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_QUERY, state, name, class, kind, answer, len, &mut ask::unbegun()) }
}

/// # Safety
/// As for res_nsearch(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nsearch(
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_search(state, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_send(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_send(
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { res_send(query, query_len, answer, len) }
}

/// # Safety
/// As for res_nsend(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nsend(
    state: *mut ResolverState,
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { res_nsend(state, query, query_len, answer, len) }
}

fn missing() -> c_int {
    Errno::ENOSYS.set();
    -1
}

/// # Safety
/// As for res_query(3).
unsafe fn query(
    next: &Next<Query>,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
    limit: &mut Limit,
) -> c_int {
    // SAFETY: as the caller promises.
    match (unsafe { to_name(name, class, kind, answer, len, limit) }, next.get()) {
        (Some(answered), _) => answered.result(),
        // SAFETY: as the caller promises.
        (None, Some(real)) => unsafe { real(name, class, kind, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_nquery(3).
#[allow(clippy::too_many_arguments, reason = "as resolv.h has them")]
unsafe fn state_query(
    next: &Next<StateQuery>,
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
    limit: &mut Limit,
) -> c_int {
    // SAFETY: as the caller promises.
    match (unsafe { to_name(name, class, kind, answer, len, limit) }, next.get()) {
        (Some(answered), _) => {
            // SAFETY: as the caller promises.
            unsafe { (*state).h_errno = answered.h_errno };
            answered.result()
        }
        // SAFETY: as the caller promises.
        (None, Some(real)) => unsafe { real(state, name, class, kind, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_search(3).
unsafe fn search(name: *const c_char, class: c_int, kind: c_int, answer: *mut c_uchar, len: c_int) -> c_int {
    let dns_knows = |full: &CStr| {
        // SAFETY: as the caller promises.
        QUERY.get().is_some_and(|real| unsafe { real(full.as_ptr(), class, kind, answer, len) } > 0)
    };
    let mut limit = Limit::NONE;
    // SAFETY: as the caller promises; a full name ends in zero.
    unsafe {
        let full = full_name(name, search::state, &dns_knows, &mut limit);
        let name = full.as_ref().map_or(name, FullName::pointer);
        query(&SEARCH, name, class, kind, answer, len, &mut limit)
    }
}

/// # Safety
/// As for res_nsearch(3).
unsafe fn state_search(
    state: *mut ResolverState,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    let dns_knows = |full: &CStr| {
        // SAFETY: as the caller promises.
        STATE_QUERY
            .get()
            .is_some_and(|real| unsafe { real(state, full.as_ptr(), class, kind, answer, len) } > 0)
    };
    let mut limit = Limit::NONE;
    // SAFETY: as the caller promises; a full name ends in zero.
    unsafe {
        let full = full_name(name, || Some(state), &dns_knows, &mut limit);
        let name = full.as_ref().map_or(name, FullName::pointer);
        state_query(&STATE_SEARCH, state, name, class, kind, answer, len, &mut limit)
    }
}

/// The full name of the host that a search for `name` finds. `None`: libc searches.
///
/// # Safety
/// As for res_search(3); `state` gives one of libc's.
unsafe fn full_name(
    name: *const c_char,
    state: impl FnOnce() -> Option<*mut ResolverState>,
    dns_knows: &dyn Fn(&CStr) -> bool,
    limit: &mut Limit,
) -> Option<FullName> {
    let mut full = None;
    run_isolated(|| {
        let search = || Some(Search { state: state()?, files_for: None, dns_knows });
        // SAFETY: as the caller promises.
        full = match unsafe { search::find(name, search, limit) } {
            Some(Ok(host)) => Some(host.ascii),
            // SAFETY: a C string, as it has been searched for.
            Some(Err(_)) => unsafe { CStr::from_ptr(name) }.to_str().ok().and_then(FullName::new),
            None => None,
        };
    });
    full
}
