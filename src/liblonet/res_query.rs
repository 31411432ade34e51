//! res_query(3), res_search, res_querydomain, res_send and their forms with a state: DNS answers for hosts of the network, made
//! here; all other questions are libc's.
//!
//! Each has a second name, `__res_…`, by which programs know it that were linked before glibc 2.34.

mod answer;
mod domain;

use crate::next::Next;
use answer::{to_message, to_name};
use libc::{c_char, c_int, c_uchar, c_void};
use nix::errno::Errno;

type Query = unsafe extern "C" fn(*const c_char, c_int, c_int, *mut c_uchar, c_int) -> c_int;
type StateQuery = unsafe extern "C" fn(*mut State, *const c_char, c_int, c_int, *mut c_uchar, c_int) -> c_int;
type Send = unsafe extern "C" fn(*const c_uchar, c_int, *mut c_uchar, c_int) -> c_int;
type StateSend = unsafe extern "C" fn(*mut State, *const c_uchar, c_int, *mut c_uchar, c_int) -> c_int;

// SAFETY: these six are as resolv.h declares them. Before glibc 2.34 they were in a library of their own.
static QUERY: Next<Query> = unsafe { Next::new(c"res_query") };
// SAFETY: as above.
static SEARCH: Next<Query> = unsafe { Next::new(c"res_search") };
// SAFETY: as above.
static SEND: Next<Send> = unsafe { Next::new(c"res_send") };
// SAFETY: as above.
static STATE_QUERY: Next<StateQuery> = unsafe { Next::new(c"res_nquery") };
// SAFETY: as above.
static STATE_SEARCH: Next<StateQuery> = unsafe { Next::new(c"res_nsearch") };
// SAFETY: as above.
static STATE_SEND: Next<StateSend> = unsafe { Next::new(c"res_nsend") };

pub fn resolve_real() {
    QUERY.resolve();
    SEARCH.resolve();
    SEND.resolve();
    STATE_QUERY.resolve();
    STATE_SEARCH.resolve();
    STATE_SEND.resolve();
    domain::resolve_real();
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
    unsafe { query(&QUERY, name, class, kind, answer, len) }
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
    unsafe { query(&SEARCH, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nquery(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nquery(
    state: *mut State,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_QUERY, state, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nsearch(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn res_nsearch(
    state: *mut State,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_SEARCH, state, name, class, kind, answer, len) }
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
    state: *mut State,
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
    unsafe { query(&QUERY, name, class, kind, answer, len) }
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
    unsafe { query(&SEARCH, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nquery(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nquery(
    state: *mut State,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_QUERY, state, name, class, kind, answer, len) }
}

/// # Safety
/// As for res_nsearch(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __res_nsearch(
    state: *mut State,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { state_query(&STATE_SEARCH, state, name, class, kind, answer, len) }
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
    state: *mut State,
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { res_nsend(state, query, query_len, answer, len) }
}

/// struct __res_state of resolv.h, to the field that tells what went wrong.
#[repr(C)]
pub struct State {
    times: [c_int; 2],
    options: libc::c_ulong,
    count: c_int,
    servers: [libc::sockaddr_in; 3],
    id: u16,
    search: [*mut c_char; 7],
    domain: [c_char; 256],
    codes: libc::c_ulong,
    bits: u32,
    sort: [[u32; 2]; 10],
    hooks: [*mut c_void; 2],
    h_errno: c_int,
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
) -> c_int {
    // SAFETY: as the caller promises.
    match (unsafe { to_name(name, class, kind, answer, len) }, next.get()) {
        (Some(answered), _) => answered.result(),
        // SAFETY: as the caller promises.
        (None, Some(real)) => unsafe { real(name, class, kind, answer, len) },
        (None, None) => missing(),
    }
}

/// # Safety
/// As for res_nquery(3).
unsafe fn state_query(
    next: &Next<StateQuery>,
    state: *mut State,
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> c_int {
    // SAFETY: as the caller promises.
    match (unsafe { to_name(name, class, kind, answer, len) }, next.get()) {
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

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_state_is_laid_out_as_in_resolv_h() {
        // offsetof(struct __res_state, res_h_errno), by gcc.
        assert_eq!(std::mem::offset_of!(super::State, h_errno), 496);
    }
}
