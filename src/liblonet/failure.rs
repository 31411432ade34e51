//! The failure of a call: an errno for the program, and a reason for the log.

use lonet_core::client::Trouble;
use lonet_core::sys::Text;
use nix::errno::Errno;
use std::fmt::{Display, Write};

pub struct Failure {
    pub errno: Errno,
    why: Text<MAX_REASON>,
}

/// The longest reason, in bytes. The rest is cut off.
const MAX_REASON: usize = 200;

impl Failure {
    pub fn new(errno: Errno, why: impl Display) -> Failure {
        let mut failure = Failure::from(errno);
        let _ = write!(Truncated(&mut failure.why), "{why}");
        failure
    }

    /// The failure of a call in which the library panicked.
    pub fn panicked() -> Failure {
        Failure::new(Errno::EIO, "a fault in liblonet, which is to be reported")
    }

    /// The reason; empty if the errno says it all.
    pub fn why(&self) -> &str {
        std::str::from_utf8(self.why.bytes()).unwrap_or_default()
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, why: Text::new() }
    }
}

impl From<Failure> for Errno {
    fn from(failure: Failure) -> Errno {
        failure.errno
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        Failure::new(trouble.errno(), trouble)
    }
}

/// Writes as much as fits.
struct Truncated<'t>(&'t mut Text<MAX_REASON>);

impl Write for Truncated<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let room = MAX_REASON - self.0.bytes().len();
        self.0.push(s.get(..s.floor_char_boundary(room.min(s.len()))).unwrap_or_default().as_bytes());
        Ok(())
    }
}
