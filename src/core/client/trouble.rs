//! What goes wrong on the way to lonetd.

use super::{Client, TIME_LIMIT_SECONDS};
use crate::directory::{self, Unfit};
use crate::limit::Limit;
use crate::sys::{self, Fd};
use crate::{control, start};
use nix::errno::Errno;
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no answer. `Display` says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody serves the network, and the question was not worth a start.
    NotRunning,
    /// No descriptor, or no memory, for the exchange.
    NoRoom(Errno),
    /// Somebody else's socket.
    NotOurs { uid: u32 },
    /// In this user namespace it cannot be told whose the socket is.
    UserNamespace { uid: u32 },
    /// A directory that others can reach, or can put another in the place of.
    Directory(directory::Trouble),
    /// lonetd did not answer in time, or the exchange failed otherwise.
    Silent(Errno),
    /// lonetd speaks another version of the protocol.
    Version { theirs: u16 },
    /// The request does not fit a message.
    TooLong,
    /// The network's directory, lock or socket cannot be made: the step, and why.
    Setup { step: &'static str, why: Errno },
    /// No lonet command anywhere.
    NoCommand,
    /// The network's programs live in another network namespace.
    Elsewhere,
    /// lonetd started and gave up; its words are in its log and in the caller's buffer.
    Failed,
}

impl Trouble {
    /// What bind and connect fail with.
    pub fn errno(self) -> Errno {
        match self {
            Trouble::NoRoom(e) => e,
            // As a lonetd that runs there says it.
            Trouble::Elsewhere => Errno::EACCES,
            _ => Errno::ENETDOWN,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NotRunning => f.write_str("the network is not running"),
            Trouble::NoRoom(e) => write!(f, "no descriptor left to ask lonetd: {e}"),
            Trouble::NotOurs { uid } => {
                write!(f, "the network's daemon belongs to uid {uid}; use another network (LONET_NETWORK)")
            }
            Trouble::Directory(trouble) => match trouble.unfit() {
                Unfit::Unknown(uid) => Trouble::UserNamespace { uid }.fmt(f),
                _ => trouble.fmt(f),
            },
            Trouble::UserNamespace { uid } => write!(
                f,
                "cannot tell whether the network is its owner's: this user namespace shows uid {uid}; run the program \
                 in the network's user namespace, or as the owner in one where it finds the network's directory"
            ),
            Trouble::Silent(e) => {
                write!(f, "lonetd did not answer within {TIME_LIMIT_SECONDS} s ({e}); its log is in the network's directory")
            }
            Trouble::Version { theirs } => write!(
                f,
                "lonetd speaks version {theirs} of lonet's protocol, and this program's liblonet.so version {}: \
                 end the network (`lonet down --kill`) and use one release of lonet",
                control::VERSION
            ),
            Trouble::TooLong => f.write_str("the request is too long"),
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why}"),
            Trouble::NoCommand => f.write_str(
                "cannot start lonetd: no `lonet` command in LONET_BIN, beside the library, in ../bin or in PATH",
            ),
            Trouble::Elsewhere => f.write_str(start::ELSEWHERE),
            Trouble::Failed => {
                f.write_str("lonetd could not start; its log is in the network's directory")
            },
        }
    }
}

impl std::error::Error for Trouble {}

/// As a command says it, with the paths of the network's.
pub struct TroubleOf {
    trouble: Trouble,
    /// The network's directory.
    dir: PathBuf,
    /// Who serves it, where that is another version: the process and its program, as the kernel shows them.
    lonetd: String,
}

impl Trouble {
    /// What went wrong for this client. For commands: it allocates.
    pub fn of(self, client: &Client) -> TroubleOf {
        let lonetd = match self {
            Trouble::Version { .. } => lonetd_of(client),
            _ => String::new(),
        };
        TroubleOf { trouble: self, dir: client.way().0.place.path(), lonetd }
    }
}

/// Who answers for the network, if it can be told.
fn lonetd_of(client: &Client) -> String {
    let fd = client.connect(Limit::within(Duration::from_secs(1)));
    let peer = |fd: &Fd| sys::getsockopt::<libc::ucred>(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED).ok();
    let Some(pid) = fd.ok().as_ref().and_then(peer).map(|peer| peer.pid) else { return String::new() };
    let mut buffer = [0; libc::PATH_MAX as usize];
    let link = CString::new(format!("/proc/{pid}/exe"));
    match link.map(|link| sys::real_path(&link, &mut buffer)) {
        Ok(Ok(program)) => format!(" (pid {pid}, {})", String::from_utf8_lossy(program)),
        _ => format!(" (pid {pid})"),
    }
}

impl fmt::Display for TroubleOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        let root = self.dir.parent().unwrap_or(&self.dir).display();
        match self.trouble {
            Trouble::NotOurs { uid } => {
                write!(f, "another user, uid {uid}, serves the network in {dir}: use another network (-n)")
            }
            Trouble::Directory(directory::Trouble::Root(why)) if why.is_remedied_elsewhere() => {
                write!(
                    f,
                    "{root}, the directory of all networks, {why}: set TMPDIR to a directory of your own"
                )
            }
            Trouble::Directory(directory::Trouble::Network(why)) if why.is_remedied_elsewhere() => {
                write!(f, "{dir}, the network's directory, {why}: use another network (-n), or remove it")
            }
            Trouble::Silent(e) => {
                write!(f, "lonetd did not answer within {TIME_LIMIT_SECONDS} s ({e}); its log is {dir}/log")
            }
            Trouble::Failed => write!(f, "lonetd could not start; its log is {dir}/log"),
            Trouble::Version { theirs } => {
                let lonetd = &self.lonetd;
                let this = std::env::current_exe().unwrap_or_default();
                write!(
                    f,
                    "lonetd{lonetd} speaks version {theirs} of lonet's protocol, and this command ({}, lonet {}) version {}: \
                     `lonet down --kill` ends the network, whatever its version; or use the lonet that started it",
                    this.display(),
                    env!("CARGO_PKG_VERSION"),
                    control::VERSION
                )
            }
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why} (the directory is {dir})"),
            other => other.fmt(f),
        }
    }
}
