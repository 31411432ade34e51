//! Identifies the sender of a message, and decides whether it is let in.
//!
//! A connection has the pid and uid of the process that made it. A pid alone identifies no process: it may
//! have ended and left the connection to others, and another process may have the pid. So a process that is
//! to be watched, or is let in for its pid, is held by the kernel's own reference to the process that
//! connected.

use super::Daemon;
use crate::daemon::members::may_be_signalled_by;
use crate::daemon::process::has_ended;
use crate::daemon::state::Sender;
use crate::daemon::tally::{self, Kind};
use lonet_core::control::Key;
use nix::errno::Errno;
use nix::sys::socket::{self, sockopt};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// From linux/socket.h, Linux 6.5.
const SO_PEERPIDFD: libc::c_int = 77;

/// The process at the other end of a connection.
pub(super) struct Peer {
    pub sender: Sender,
    /// It acts for the owner, or for root, which may do anything.
    pub is_owner: bool,
}

/// The reasons for which a sender is not let in.
const NO_MEMBER: &str = "not a member: another user's process without the network's LONET_KEY";
const UNCERTAIN: &str = "not a member, as far as can be told: in lonetd's user namespace other users have its uid, too; \
    give the process the network's LONET_KEY";

impl Daemon {
    /// Decides about the sender of a message. `Err`: it is not let in, with the reason.
    pub(super) fn admit(&mut self, fd: &OwnedFd, key: &Key) -> Result<Peer, &'static str> {
        let peer = match socket::getsockopt(fd, sockopt::PeerCredentials) {
            Ok(peer) => peer,
            Err(e) => {
                tally::count(Kind::NoSender, &e);
                return Err(NO_MEMBER);
            }
        };
        let sender = Sender { pid: peer.pid(), uid: peer.uid() };
        let by_number = self.owner.if_told_by_number();
        let known = self.processes.get(sender.pid);
        let is_known = known.is_some_and(|process| !has_ended(process));
        let process = if is_known && by_number == Some(sender.uid) { Ok(None) } else { peer_process(fd) };
        let is_owner = match &process {
            _ if by_number.is_some() => by_number == Some(sender.uid),
            Ok(Some(process)) => self.owner.has_number(sender.uid) && self.owner.has(process),
            Ok(None) | Err(_) => false,
        };
        let is_member = is_owner
            || *key == self.membership.key
            || is_known
                && match (&process, known) {
                    (Ok(Some(process)), _) => !has_ended(process),
                    // A kernel without SO_PEERPIDFD: the process with the pid is one that this user may end.
                    (Err(Errno::ENOPROTOOPT), Some(known)) => {
                        may_be_signalled_by(sender.uid, sender.pid, known)
                    }
                    _ => false,
                };
        if !is_member {
            tally::count(Kind::NotLetIn, &format_args!("pid {} of uid {}", sender.pid, sender.uid));
            let is_uncertain = by_number.is_none() && self.owner.has_number(sender.uid);
            return Err(if is_uncertain { UNCERTAIN } else { NO_MEMBER });
        }
        let sender_process = process.ok().flatten().filter(|_| !is_known);
        self.processes.set_sender(sender_process.map(|process| (sender.pid, process)));
        Ok(Peer { sender, is_owner: is_owner || sender.uid == 0 })
    }
}

/// A pidfd of the process that connected, even if that has ended. An error other than ENOPROTOOPT: it has
/// ended.
fn peer_process(fd: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let number = lonet_core::sys::getsockopt::<libc::c_int>(fd.as_raw_fd(), libc::SOL_SOCKET, SO_PEERPIDFD)?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}
