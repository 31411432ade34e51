//! Construction of DNS answers about hosts of the network in the program's buffer.

use crate::ask;
use crate::host::{self, LookupError};
use crate::panic_barrier::run_isolated;
use crate::process;
use libc::{c_char, c_int, c_uchar};
use lonet_core::block::Face;
use lonet_core::dns_message::{self, Lookup, MAX_ANSWER, Question, Rcode, Subject};
use lonet_core::limit::Limit;
use std::ffi::CStr;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_DATA: c_int = 4;

/// The size of a query with the longest name.
const MAX_QUERY: usize = 300;

/// An answer in the program's buffer.
pub struct Answered {
    len: c_int,
    /// 0 if there are records.
    pub h_errno: c_int,
}

impl Answered {
    /// The result of res_query; sets h_errno.
    pub fn result(&self) -> c_int {
        if self.h_errno == 0 {
            return self.len;
        }
        // SAFETY: libc's own variable of this thread.
        unsafe { *__h_errno_location() = self.h_errno };
        -1
    }
}

/// The answer to a query about `name`. `None`: not lonet's. `limit`: that of the program's call.
///
/// # Safety
/// As for res_query(3).
pub unsafe fn to_name(
    name: *const c_char,
    class: c_int,
    kind: c_int,
    answer: *mut c_uchar,
    len: c_int,
    limit: &mut Limit,
) -> Option<Answered> {
    if !process::is_active() || name.is_null() {
        return None;
    }
    // If the query fails, a name that ends in .lonet does not exist.
    // SAFETY: a C string, as the caller promises.
    let none = unsafe { host::is_ours(name) }.then_some(Answered { len: 0, h_errno: HOST_NOT_FOUND });
    let mut answered = None;
    run_isolated(|| {
        let mut query = [0; MAX_QUERY];
        // SAFETY: a C string, as the caller promises.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        answered = dns_message::write_query(&mut query, 0, name, kind as u16, class as u16)
            // SAFETY: as the caller promises.
            .and_then(|n| unsafe { respond(query.get(..n)?, answer, len, limit) });
    });
    answered.or(none)
}

/// The length of the answer to a query message. `None`: not lonet's.
///
/// # Safety
/// As for res_send(3).
pub unsafe fn to_message(
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
    run_isolated(|| {
        // SAFETY: as the caller promises.
        answered = unsafe { respond(std::slice::from_raw_parts(query, n), answer, len, &mut ask::unbegun()) };
    });
    answered.map(|a| a.len)
}

/// # Safety
/// `answer` is writable for `len` bytes.
unsafe fn respond(query: &[u8], answer: *mut c_uchar, len: c_int, limit: &mut Limit) -> Option<Answered> {
    let question = Question::read(query)?;
    let host = match question.subject() {
        Subject::Other => return None,
        Subject::Host(b"") => None,
        Subject::Host(name) => Some(host::by_bare_name(name, limit)?),
        Subject::Address(ip) => Some(host::by_address(ip)?),
    };
    let found = match (&host, question.subject()) {
        (None, _) => Lookup::Domain,
        (Some(Ok(host)), Subject::Address(_)) => Lookup::Name(host.label()),
        (Some(Ok(host)), _) => {
            Lookup::Host { v4: host.address(Face::V4).to_ipv4_mapped()?, v6: host.address(Face::V6) }
        }
        (Some(Err(LookupError::NotFound)), _) => Lookup::Failed(Rcode::NxDomain),
        (Some(Err(LookupError::Unavailable)), _) => Lookup::Failed(Rcode::ServFail),
    };
    let mut made = [0; MAX_ANSWER];
    let written = dns_message::answer(&mut made, query, &question, found)?;
    let room = usize::try_from(len).unwrap_or(0);
    // SAFETY: as the caller promises. An answer that does not fit is cut, and its full length returned, as in
    // libc.
    unsafe { std::ptr::copy_nonoverlapping(made.as_ptr(), answer, written.len.min(room)) };
    let h_errno = match written.code {
        Rcode::NoError if written.records == 0 => NO_DATA,
        Rcode::NoError => 0,
        Rcode::NxDomain => HOST_NOT_FOUND,
        Rcode::ServFail => TRY_AGAIN,
    };
    Some(Answered { len: written.len as c_int, h_errno })
}
