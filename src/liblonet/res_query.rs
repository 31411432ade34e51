//! res_query(3), res_search, res_send and their forms with a state: DNS answers for hosts of the network, made
//! here; all other questions are libc's.
//!
//! Each has a second name, `__res_…`, by which programs know it that were linked before glibc 2.34.

use crate::fence::silently;
use crate::host::{self, Miss};
use crate::next::Next;
use crate::process;
use libc::{c_char, c_int, c_uchar, c_void};
use lonet_core::block::Face;
use lonet_core::dns::{self, Code, Found, MAX_ANSWER, Question, Subject};
use nix::errno::Errno;
use std::ffi::CStr;

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

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_DATA: c_int = 4;

/// Room for a query with the longest name.
const MAX_QUERY: usize = 300;

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

/// An answer of ours, in the program's buffer.
struct Answered {
    len: c_int,
    /// 0: there are records.
    h_errno: c_int,
}

impl Answered {
    /// What res_query answers; h_errno is set.
    fn result(&self) -> c_int {
        if self.h_errno == 0 {
            return self.len;
        }
        // SAFETY: libc's own variable of this thread.
        unsafe { *__h_errno_location() = self.h_errno };
        -1
    }
}

/// The answer to a question about `name`. `None`: not lonet's to give.
///
/// # Safety
/// As for res_query(3).
unsafe fn to_name(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> Option<Answered> {
    if !process::is_active() || name.is_null() {
        return None;
    }
    // Unless it works out, what ends in .lonet is no name.
    // SAFETY: a C string, as the caller promises.
    let none = unsafe { host::is_ours(name) }.then_some(Answered { len: 0, h_errno: HOST_NOT_FOUND });
    let mut answered = None;
    silently(|| {
        let mut query = [0; MAX_QUERY];
        // SAFETY: a C string, as the caller promises.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        answered = dns::write_query(&mut query, 0, name, kind as u16, class as u16)
            // SAFETY: as the caller promises.
            .and_then(|n| unsafe { respond(query.get(..n)?, answer, len) });
    });
    answered.or(none)
}

/// The length of the answer to a message. `None`: not lonet's to give.
///
/// # Safety
/// As for res_send(3).
unsafe fn to_message(
    query: *const c_uchar,
    query_len: c_int,
    answer: *mut c_uchar,
    len: c_int,
) -> Option<c_int> {
    let n = usize::try_from(query_len).ok()?;
    if !process::is_active() || query.is_null() {
        return None;
    }
    let mut answered = None;
    silently(|| {
        // SAFETY: as the caller promises.
        answered = unsafe { respond(std::slice::from_raw_parts(query, n), answer, len) };
    });
    answered.map(|a| a.len)
}

/// # Safety
/// `answer` is writable for `len` bytes.
unsafe fn respond(query: &[u8], answer: *mut c_uchar, len: c_int) -> Option<Answered> {
    let question = Question::read(query)?;
    let host = match question.subject() {
        Subject::Other => return None,
        Subject::Host(b"") => None,
        Subject::Host(name) => Some(host::by_bare_name(name)?),
        Subject::Address(ip) => Some(host::by_address(ip)?),
    };
    let found = match (&host, question.subject()) {
        (None, _) => Found::Domain,
        (Some(Ok(host)), Subject::Address(_)) => Found::Name(host.label()),
        (Some(Ok(host)), _) => {
            Found::Host { v4: host.address(Face::V4).to_ipv4_mapped()?, v6: host.address(Face::V6) }
        }
        (Some(Err(Miss::Unknown)), _) => Found::Not(Code::NoName),
        (Some(Err(Miss::Trouble)), _) => Found::Not(Code::ServerFailure),
    };
    let mut made = [0; MAX_ANSWER];
    let written = dns::answer(&mut made, query, &question, found)?;
    let room = usize::try_from(len).unwrap_or(0);
    // SAFETY: as the caller promises. Of what does not fit the head is there, as in libc, and the length of all.
    unsafe { std::ptr::copy_nonoverlapping(made.as_ptr(), answer, written.len.min(room)) };
    let h_errno = match written.code {
        Code::Fine if written.records == 0 => NO_DATA,
        Code::Fine => 0,
        Code::NoName => HOST_NOT_FOUND,
        Code::ServerFailure => TRY_AGAIN,
    };
    Some(Answered { len: written.len as c_int, h_errno })
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
