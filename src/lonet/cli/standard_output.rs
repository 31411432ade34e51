//! Whether this command was started without a standard output, as by `lonet ls >&-`.
//!
//! Rust's runtime opens /dev/null before `main` where a standard descriptor is closed, and all output seems to be written. So
//! the descriptor is looked at before the runtime starts, by a constructor.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn look() {
    // SAFETY: numbers only.
    let is_open = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } >= 0;
    WAS_CLOSED.store(!is_open, Relaxed);
}

// SAFETY: libc calls what is in this section before main, with arguments that `look` ignores. It uses nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// Fails, as a write would, if the standard output was closed.
pub fn check() -> io::Result<()> {
    if WAS_CLOSED.load(Relaxed) { Err(io::Error::from_raw_os_error(libc::EBADF)) } else { Ok(()) }
}

/// The standard output. If it was closed, each write fails, as it does in other programs.
pub fn open() -> Box<dyn Write> {
    if check().is_err() { Box::new(Closed) } else { Box::new(io::stdout()) }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        check().map(|()| 0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
