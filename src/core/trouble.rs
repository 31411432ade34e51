//! The errors of reaching lonetd and of getting its reply.

use crate::control;
use crate::directory::{self, Unfit};
use crate::limit::TIME_LIMIT_SECONDS;
use crate::lock::MAKE_ROOT;
use nix::errno::Errno;
use std::fmt;

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
    OtherNetworkNamespace,
    /// lonetd started and gave up; its words are in its log and in the caller's buffer.
    Failed,
}

impl Trouble {
    /// What bind and connect fail with.
    pub fn errno(self) -> Errno {
        match self {
            Trouble::NoRoom(e) => e,
            // As a lonetd that runs there says it.
            Trouble::OtherNetworkNamespace => Errno::EACCES,
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
            Trouble::Setup { step: step @ MAKE_ROOT, why: why @ Errno::ENOENT } => {
                write!(f, "cannot {step}: {why} (does the directory exist that TMPDIR or LONET_DIR names?)")
            }
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why}"),
            Trouble::NoCommand => f.write_str(
                "cannot start lonetd: no `lonet` command in LONET_BIN, beside the library, in ../bin or in PATH",
            ),
            Trouble::OtherNetworkNamespace => f.write_str(OTHER_NETWORK_NAMESPACE),
            Trouble::Failed => {
                f.write_str("lonetd could not start; its log is in the network's directory")
            },
        }
    }
}

impl std::error::Error for Trouble {}

/// What a step of the set-up fails with.
pub fn setup(step: &'static str) -> impl Fn(Errno) -> Trouble {
    move |why| match why {
        Errno::EMFILE | Errno::ENFILE => Trouble::NoRoom(why),
        _ => Trouble::Setup { step, why },
    }
}

/// What a lonetd says that was started in another network namespace than the network's programs live in.
pub const OTHER_NETWORK_NAMESPACE: &str = "this process is in another network namespace (a container, unshare -n, ip netns) than the network's \
    programs, whose loopback it does not reach: start all of them in one, or use another network (LONET_NETWORK)";
