//! The C API that include/lonet.h describes, with one file for each of its nouns.
//!
//! Conventions. Each function takes C types and passes them at once to plain Rust inside [`error::call`], the
//! API's panic barrier. It fails with -1, errno and a text for lonet_errmsg. Outputs are written last, when
//! nothing can fail any more. A handle that a program passes is looked up and never dereferenced
//! (`handle`). Descriptors are returned as the system calls gave them, or closed.
//!
//! Calls on a handle or a descriptor neither lock nor allocate, like the hooks, with which they share bind,
//! connect and accept. Only calls that create or end a handle allocate.

mod addr;
mod conn;
pub mod error;
mod faults;
mod host;
mod listener;
mod named;
mod net;
mod trace;

use error::{Error, EscapedBytes, Result};
use lonet_core::client::{Client, StartIf, TIME_LIMIT, Trouble};
use lonet_core::control::{MAX_MESSAGE, Reply, Request};
use lonet_core::limit::Limit;
use lonet_core::sys;
use nix::errno::Errno;
use std::ffi::{CStr, c_char};
use std::fmt::Display;

#[unsafe(no_mangle)]
pub extern "C" fn lonet_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The bytes of a C string; `None` for null.
///
/// # Safety
/// `text` is null or a C string that stays as it is for `'a`.
unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// Sends a request to lonetd, and starts one if none runs. `then` gets the network's block and the reply, and
/// returns `None` for an unexpected reply. A failure is described as `what: why`.
fn ask<R>(
    client: &Client,
    request: &dyn Request,
    what: impl Display,
    then: impl FnOnce(u8, Reply<'_>) -> Option<R>,
) -> Result<R> {
    ask_within(Limit::NONE, client, request, what, then)
}

/// As [`ask`], within a time limit.
fn ask_within<R>(
    limit: Limit,
    client: &Client,
    request: &dyn Request,
    what: impl Display,
    then: impl FnOnce(u8, Reply<'_>) -> Option<R>,
) -> Result<R> {
    let mut buffer = [0; MAX_MESSAGE];
    let trouble =
        match client.ask_insisting(StartIf::Asked, limit.and_of_lonetd(TIME_LIMIT), request, &mut buffer) {
            Ok((_, Reply::Error { errno, text })) => {
                let error = Error::from_errno(Errno::from_raw(errno));
                return Err(if text.is_empty() { error.of(what) } else { error.because(what, text) });
            }
            Ok((opening, reply)) => {
                return then(opening.block, reply).ok_or_else(|| Error::Protocol.of(what));
            }
            Err(trouble) => trouble,
        };
    if limit.without_lonetds().is_over() && matches!(trouble, Trouble::Silent(_)) {
        return Err(Error::TimedOut.because(what, "lonetd does not answer within the time limit"));
    }
    if trouble == Trouble::Failed {
        let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
        let why = format_args!("lonetd could not start: {}", EscapedBytes(&buffer[..end])).to_string();
        return Err(Error::NetworkDown.because(what, why));
    }
    Err(Error::from(trouble).because(what, trouble))
}

/// Fails unless two descriptors are free: one for the result, and one to ask lonetd about it. Called before
/// what cannot be undone, such as taking a connection out of a listener's queue.
fn room_for_two() -> std::result::Result<(), Error> {
    let socket = || sys::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0).map_err(Error::from_errno);
    let _first = socket()?;
    socket().map(drop)
}
