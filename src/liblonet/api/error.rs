//! The errors of the API, and the texts of lonet_errmsg.

use crate::handle::Stale;
use lonet_core::client::Trouble;
use nix::errno::Errno;
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int};
use std::fmt::{self, Display, Write};

macro_rules! errors {
    ($($variant:ident $name:ident $text:literal,)*) => {
        /// All errors, each with its errno, its name in C and its text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Error {
            $($variant,)*
        }

        impl Error {
            #[cfg(test)]
            pub const ALL: &[Error] = &[$(Error::$variant,)*];

            pub fn errno(self) -> Errno {
                match self {
                    $(Error::$variant => Errno::$name,)*
                }
            }

            /// As in <errno.h>.
            #[cfg(test)]
            pub fn name(self) -> &'static str {
                match self {
                    $(Error::$variant => stringify!($name),)*
                }
            }

            pub fn text(self) -> &'static str {
                match self {
                    $(Error::$variant => $text,)*
                }
            }

            /// The error for an errno of the kernel or lonetd. One that no call documents is an internal
            /// error of lonet.
            pub fn from_errno(errno: Errno) -> Error {
                match errno {
                    $(Errno::$name => Error::$variant,)*
                    Errno::EPERM | Errno::EROFS => Error::Access,
                    Errno::ENOBUFS => Error::Memory,
                    Errno::ENETUNREACH => Error::NetworkDown,
                    _ => Error::Fault,
                }
            }
        }
    };
}

errors! {
    Invalid         EINVAL          "invalid argument",
    BadDescriptor   EBADF           "not a descriptor",
    NoSocket        ENOTSOCK        "not a socket",
    NotConnected    ENOTCONN        "not connected",
    HostTaken       EEXIST          "host already registered",
    AddressInUse    EADDRINUSE      "address already in use",
    NotThisHosts    EADDRNOTAVAIL   "not an address of this host",
    Refused         ECONNREFUSED    "connection refused",
    Unreachable     EHOSTUNREACH    "no such host",
    TimedOut        ETIMEDOUT       "connection timed out",
    Reset           ECONNRESET      "connection reset by peer",
    NetworkDown     ENETDOWN        "network is down",
    HostDown        EHOSTDOWN       "host is down",
    Protocol        EPROTO          "protocol error",
    WouldBlock      EAGAIN          "no connection waits",
    Interrupted     EINTR           "interrupted by a signal",
    Aborted         ECONNABORTED    "connection aborted",
    Descriptors     EMFILE          "too many open files",
    SystemFiles     ENFILE          "too many open files in the system",
    Memory          ENOMEM          "out of memory",
    Access          EACCES          "permission denied",
    NoDirectory     ENOENT          "no such directory",
    NameTooLong     ENAMETOOLONG    "path too long",
    NoSpace         ENOSPC          "no space left on device",
    Fault           EIO             "internal error of lonet",
}

impl From<Stale> for Error {
    fn from(stale: Stale) -> Error {
        match stale {
            Stale::NoHandle => Error::Invalid,
            Stale::Closed => Error::HostDown,
            Stale::ClosedWithNetwork => Error::NetworkDown,
        }
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        match trouble {
            Trouble::NoRoom(e) => Error::from_errno(e),
            Trouble::NotOurs { .. }
            | Trouble::UserNamespace { .. }
            | Trouble::Directory(_)
            | Trouble::OtherNetworkNamespace => Error::Access,
            Trouble::Setup { why, .. } => match why {
                Errno::ENOTDIR => Error::NoDirectory,
                _ => Error::from_errno(why),
            },
            Trouble::Version { .. } => Error::Protocol,
            Trouble::TooLong => Error::Invalid,
            Trouble::NotRunning | Trouble::Silent(_) | Trouble::NoCommand | Trouble::Failed => {
                Error::NetworkDown
            }
        }
    }
}

/// A failure whose text is in place for lonet_errmsg.
#[derive(Clone, Copy, Debug)]
pub struct Reported(pub Errno);

pub type Result<T> = std::result::Result<T, Reported>;

impl Error {
    /// Fails with `what: text`.
    pub fn of(self, what: impl Display) -> Reported {
        self.because(what, self.text())
    }

    /// Fails with `what: why`.
    pub fn because(self, what: impl Display, why: impl Display) -> Reported {
        let _ = MESSAGE.try_with(|message| {
            // SAFETY: the thread's own, and nobody else has a reference: formatting `what` and `why` never
            // asks for it.
            let bytes = unsafe { &mut *message.get() };
            let mut line = Line { bytes, len: 0 };
            let _ = write!(line, "{what}: {why}");
            line.end();
        });
        Reported(self.errno())
    }
}

/// The size of a text: a dial names two hosts of at most 255 bytes. Longer texts are cut.
const LENGTH: usize = 1024;

thread_local! {
    /// Without a destructor, so that it can be used also while a thread ends.
    static MESSAGE: UnsafeCell<[u8; LENGTH]> = const { UnsafeCell::new([0; LENGTH]) };
}

struct Line<'a> {
    bytes: &'a mut [u8; LENGTH],
    len: usize,
}

impl Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = LENGTH - 1 - self.len;
        let n = s.floor_char_boundary(room.min(s.len()));
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        if n < s.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Line<'_> {
    fn end(self) {
        self.bytes[self.len] = 0;
        // A zero byte would end the text for C.
        for byte in self.bytes[..self.len].iter_mut().filter(|b| **b == 0) {
            *byte = b'?';
        }
    }
}

/// Bytes that a program passed, for a message: those that are not UTF-8 appear as `\xNN`.
pub struct EscapedBytes<'a>(pub &'a [u8]);

impl Display for EscapedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Runs a function of the API: returns its result, or -1 with errno. A panic becomes EIO.
pub fn call(work: impl FnOnce() -> Result<c_int>) -> c_int {
    let errno = Errno::last_raw();
    let mut result = Err(None);
    let survived = crate::panic_barrier::catch_panic(|| result = work().map_err(Some));
    let result = match (survived, result) {
        (Some(()), Err(Some(failed))) => Err(failed),
        (Some(()), Ok(value)) => Ok(value),
        _ => Err(Error::Fault.of("lonet")),
    };
    match result {
        Ok(value) => {
            Errno::set_raw(errno);
            value
        }
        Err(Reported(e)) => {
            e.set();
            -1
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_errmsg() -> *const c_char {
    MESSAGE.try_with(|message| message.get().cast_const().cast()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> String {
        // SAFETY: the thread's message, which ends in zero.
        unsafe { std::ffi::CStr::from_ptr(lonet_errmsg()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn each_error_has_its_own_errno_and_a_line_in_the_header() {
        let header = include_str!("../../../include/lonet.h");
        for error in Error::ALL {
            assert_eq!(Error::from_errno(error.errno()), *error);
            let line = header.lines().find(|l| l.contains(&format!(" {} ", error.name())));
            let text = line.unwrap_or_default();
            assert!(text.contains(error.text()), "lonet.h on {}: {text:?}", error.name());
        }
    }

    #[test]
    fn undocumented_errno_is_a_fault() {
        assert_eq!(Error::from_errno(Errno::EXDEV), Error::Fault);
    }

    #[test]
    fn message_names_the_addresses_of_a_dial() {
        let failed = Error::Refused.of(format_args!("dial lonet{} {}:1->{}:11", "mynet", "β", "α"));
        assert_eq!(failed.0, Errno::ECONNREFUSED);
        assert_eq!(message(), "dial lonetmynet β:1->α:11: connection refused");
    }

    #[test]
    fn long_message_is_cut_between_characters() {
        let _ = Error::Invalid.of("α".repeat(2000));
        assert!(message().len() >= LENGTH - 2 && message().chars().all(|c| c == 'α'));
    }

    #[test]
    fn invalid_utf8_and_zeroes_are_escaped_in_a_message() {
        let _ = Error::Invalid.of(EscapedBytes(b"a\xffb\0c"));
        assert_eq!(message(), "a\\xffb?c: invalid argument");
    }

    #[test]
    fn panic_becomes_eio() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = call(|| {
            let nothing: Option<i32> = std::hint::black_box(None);
            Ok(nothing.expect("a panic"))
        });
        std::panic::set_hook(quiet);
        assert_eq!((result, Errno::last()), (-1, Errno::EIO));
    }
}
