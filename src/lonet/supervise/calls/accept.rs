//! Carries out accept(2) and accept4(2) for supervised programs.
//!
//! A blocking accept does not wait in the kernel's accept: if its caller were killed, the supervisor might already have taken a
//! connection that another process should get. Instead it polls the listener, and accepts without blocking under a lock.

use super::{Action, Response, Socket};
use crate::supervise::caller::{CallError, Caller, MAX_ADDRESS};
use crate::supervise::workers::{WaitResult, interruptible, wait};
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A lock for each listener, by its cookie. It is held from the check for a connection to the accept.
static LOCKS: LazyLock<Mutex<HashMap<u64, Arc<Mutex<()>>>>> = LazyLock::new(Mutex::default);

pub fn begin(caller: Caller, listener: Socket, flags: i32) -> Result<Action, CallError> {
    if flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    // A socket that does not listen fails at once.
    let listens = sys::getsockopt::<i32>(listener.fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    if listens.is_ok_and(|listens| listens != 0) && listener.is_blocking() {
        return Ok(Action::Defer(Box::new(move || accept_and_wait(&caller, &listener, flags))));
    }
    let file = accept(&caller, &listener, flags)?;
    install(&caller, file, flags).map(Action::from)
}

fn install(caller: &Caller, file: Fd, flags: i32) -> Result<Response, CallError> {
    caller.install_fd(file, flags & libc::SOCK_CLOEXEC != 0).map(Response::Value)
}

fn accept_and_wait(caller: &Caller, listener: &Socket, flags: i32) -> Result<Response, CallError> {
    let timeout = listener.timeout_ms(libc::SO_RCVTIMEO);
    let cookie = sys::cookie(listener.fd())?;
    loop {
        let waited = wait(caller, listener.fd(), libc::POLLIN, timeout);
        caller.ensure_pending()?;
        match waited {
            WaitResult::Ready => {}
            WaitResult::TimedOut => return Err(Errno::EAGAIN.into()),
            WaitResult::Recheck => match caller.pending_signal_error() {
                Some(errno) => return Ok(Response::Errno(if timeout > 0 { libc::EINTR } else { errno })),
                None => continue,
            },
        }
        match with_accept_lock(cookie, || accept_if_ready(caller, listener, flags)) {
            Err(CallError::Errno(Errno::EAGAIN | Errno::EINTR)) => {}
            accepted => return install(caller, accepted?, flags),
        }
    }
}

/// Calls `take` with the listener's lock held.
fn with_accept_lock<T>(cookie: u64, take: impl FnOnce() -> T) -> T {
    let lock = LOCKS.lock().unwrap_or_else(PoisonError::into_inner).entry(cookie).or_default().clone();
    let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let result = take();
    drop(held);
    drop(lock);
    let mut all = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    if all.get(&cookie).is_some_and(|lock| Arc::strong_count(lock) == 1) {
        all.remove(&cookie);
    }
    result
}

fn accept_if_ready(caller: &Caller, listener: &Socket, flags: i32) -> Result<Fd, CallError> {
    // A socket that does not listen any more is ready, too; its accept fails.
    if !sys::ready_within(listener.fd(), libc::POLLIN, Some(0))? {
        return Err(Errno::EAGAIN.into());
    }
    caller.ensure_pending()?;
    // The hook may reset the connection and then block for the next one.
    interruptible(|| accept(caller, listener, flags))
}

fn accept(caller: &Caller, listener: &Socket, flags: i32) -> Result<Fd, CallError> {
    let (to, len_at) = (caller.pointer_arg(1), caller.pointer_arg(2));
    // As in the kernel, a bad pointer is reported when there is a connection, which is then lost.
    let room = if to == 0 { Ok(0) } else { caller.read_u32(len_at) };
    if !caller.may_open_fd() {
        return Err(Errno::EMFILE.into());
    }
    let mut from = [0u8; MAX_ADDRESS];
    let mut len = MAX_ADDRESS as libc::socklen_t;
    let mut accept = || {
        // SAFETY: a buffer with its length.
        let fd = unsafe {
            libc::accept4(listener.fd(), from.as_mut_ptr().cast(), &raw mut len, flags | libc::SOCK_CLOEXEC)
        };
        Errno::result(fd)
    };
    let file = Fd::adopt(accept()?);
    if to != 0 {
        let room = i32::try_from(room?).map_err(|_| Errno::EINVAL)?;
        let n = (room as usize).min(len as usize);
        caller.write(to, from.get(..n).unwrap_or_default())?;
        caller.write(len_at, &len.to_ne_bytes())?;
    }
    Ok(file)
}
