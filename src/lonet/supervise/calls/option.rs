//! Carries out getsockopt(2) and setsockopt(2) for supervised programs, for the options of which the filter notifies.

use super::{Response, Socket};
use crate::supervise::caller::{CallError, Caller};
use nix::errno::Errno;

/// More than any of these options takes, in bytes.
const MAX_VALUE: usize = 512;

pub fn set(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let len = usize::try_from(caller.int_arg(4)).map_err(|_| Errno::EINVAL)?.min(MAX_VALUE);
    let mut value = [0u8; MAX_VALUE];
    let wanted = value.get_mut(..len).unwrap_or_default();
    caller.read(caller.pointer_arg(3), wanted)?;
    // SAFETY: a value with its length.
    super::result(unsafe {
        libc::setsockopt(
            socket.fd(),
            caller.int_arg(1),
            caller.int_arg(2),
            value.as_ptr().cast(),
            len as libc::socklen_t,
        )
    })
}

pub fn get(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let (at, len_at) = (caller.pointer_arg(3), caller.pointer_arg(4));
    let room = usize::try_from(caller.read_u32(len_at)? as i32).map_err(|_| Errno::EINVAL)?;
    let mut value = [0u8; MAX_VALUE];
    let mut len = room.min(MAX_VALUE) as libc::socklen_t;
    // SAFETY: a buffer with its length.
    Errno::result(unsafe {
        libc::getsockopt(
            socket.fd(),
            caller.int_arg(1),
            caller.int_arg(2),
            value.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    caller.write(at, value.get(..(len as usize).min(room)).unwrap_or_default())?;
    caller.write(len_at, &len.to_ne_bytes())?;
    Ok(Response::Value(0))
}
