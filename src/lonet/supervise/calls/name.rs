//! Carries out getsockname(2), getpeername(2), uname(2), sethostname(2) and setdomainname(2) for supervised programs.

use super::{Response, Socket};
use crate::supervise::caller::{CallError, Caller, MAX_ADDRESS};
use nix::errno::Errno;

/// getsockname or getpeername.
type NameFunction = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

pub fn socket_name(caller: &Caller, socket: &Socket, name: NameFunction) -> Result<Response, CallError> {
    let mut bytes = [0u8; MAX_ADDRESS];
    let mut len = MAX_ADDRESS as libc::socklen_t;
    // SAFETY: a buffer with its length.
    Errno::result(unsafe { name(socket.fd(), bytes.as_mut_ptr().cast(), &raw mut len) })?;
    let (at, len_at) = (caller.pointer_arg(1), caller.pointer_arg(2));
    let room = i32::try_from(caller.read_u32(len_at)?).map_err(|_| Errno::EINVAL)?;
    let n = (room as usize).min(len as usize);
    caller.write(at, bytes.get(..n).unwrap_or_default())?;
    caller.write(len_at, &len.to_ne_bytes())?;
    Ok(Response::Value(0))
}

pub fn uname(caller: &Caller) -> Result<Response, CallError> {
    // SAFETY: a structure of arrays of bytes may be all zeroes.
    let mut all: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: a structure to fill.
    Errno::result(unsafe { libc::uname(&raw mut all) })?;
    // SAFETY: a structure of arrays of bytes, which lives until the end.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const all).cast::<u8>(), size_of_val(&all)) };
    caller.write(caller.pointer_arg(0), bytes)?;
    Ok(Response::Value(0))
}

/// The size of uname(2)'s fields, without the zero.
const LONGEST: usize = 64;

/// sethostname or setdomainname. A program without a UTS namespace of its own would rename the machine: EPERM, as the hooks say,
/// after errors in the arguments. The thread cannot change its namespace while its call is suspended.
pub fn set_name(caller: &Caller) -> Result<Response, CallError> {
    if caller.has_own_names()? {
        return Ok(Response::Continue);
    }
    let mut name = [0u8; LONGEST];
    let len = usize::try_from(caller.int_arg(1)).map_err(|_| Errno::EINVAL)?;
    caller.read(caller.pointer_arg(0), name.get_mut(..len).ok_or(Errno::EINVAL)?)?;
    Err(Errno::EPERM.into())
}
