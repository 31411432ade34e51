//! The file of LONET_LOG. It is opened, written and closed for each line, so that no descriptor stays in the
//! program.

use lonet_core::client::Client;
use lonet_core::sys::{self, Fd, Text, check};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;

/// Appends a line. What cannot be written is lost.
pub fn write(client: &Client, line: &[u8]) {
    if let Some(Ok(fd)) = open(client) {
        // SAFETY: a valid buffer.
        unsafe { libc::syscall(libc::SYS_write, fd.raw(), line.as_ptr(), line.len()) };
    }
}

/// Opens the log. `None`: LONET_LOG is not set.
fn open(client: &Client) -> Option<sys::Result<Fd>> {
    let path = client.config.log.as_deref()?.as_os_str().as_bytes();
    let mut text = Text::<{ libc::PATH_MAX as usize }>::new();
    let path = if text.push(path) { text.c_str() } else { None };
    Some(path.map_or(Err(Errno::ENAMETOOLONG), open_at))
}

fn open_at(path: &CStr) -> sys::Result<Fd> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: a path that ends in zero.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) })?;
    Fd::new(fd as i32)
}

/// The error if LONET_LOG is set and cannot be opened.
pub fn open_error(client: &Client) -> Option<Errno> {
    open(client)?.err()
}
