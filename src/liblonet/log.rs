//! LONET_LOG: says why each call was or was not intercepted. One line at a time, opened, written and closed, so
//! that no descriptor stays in the program; built on the stack.

use crate::process;
use lonet_core::client::{Client, Trouble};
use lonet_core::control::{Op, Reply};
use lonet_core::sys::{Fd, check};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        // What is too long is cut: half a line says more than none.
        let n = s.len().min(self.bytes.len() - 1 - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

pub fn answered(client: &Client, op: &Op<'_>, reply: &Reply<'_>) {
    if client.config.log.is_some() {
        line_of(client, format_args!("{op:?} -> {reply:?}"));
    }
}

pub fn trouble(client: &Client, op: &Op<'_>, trouble: Trouble) {
    line_of(client, format_args!("{op:?} -> {trouble}"));
}

/// Writes a line, if anybody wants it.
pub fn line(text: std::fmt::Arguments<'_>) {
    if let Some(client) = process::client() {
        line_of(&client, text);
    }
}

/// Out of line: its buffers have no place on the stack of calls that are not logged.
#[cold]
#[inline(never)]
fn line_of(client: &Client, text: std::fmt::Arguments<'_>) {
    let Some(path) = client.config.log.as_deref() else { return };
    let mut c_path = [0u8; 4096];
    let bytes = path.as_os_str().as_bytes();
    let Some(to) = c_path[..4095].get_mut(..bytes.len()) else { return };
    to.copy_from_slice(bytes);

    let mut line = Line { bytes: [0; 512], len: 0 };
    let _ = write!(line, "{}: {text}", lonet_core::sys::getpid());
    line.bytes[line.len] = b'\n';

    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: a path that ends in zero.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c_path.as_ptr(), flags, 0o600) });
    if let Ok(fd) = fd.and_then(|fd| Fd::new(fd as i32)) {
        // SAFETY: a valid buffer.
        unsafe { libc::syscall(libc::SYS_write, fd.raw(), line.bytes.as_ptr(), line.len + 1) };
    }
}
