//! Checks that the process which serves the network belongs to the network's owner.
//!
//! The owner is known by number, from LONET_KEY or as the process' own, and so is who listens on the control socket. In a
//! user namespace the two may be of different worlds: `unshare -r` and `bwrap --uid` give the own user another number, and
//! all users without one are shown by the same, which may be the owner's. There, numbers say that lonetd is the own
//! user's, and the kernel says that the network's directory is. What cannot be told is refused.

use super::{Client, Trouble};
use crate::directory::Directory;
use crate::{sys, uids};
use std::sync::atomic::Ordering;

impl Client {
    /// `by_path`: it was reached through `directory`, the network's.
    pub(super) fn check_owner(
        &self,
        peer: &libc::ucred,
        directory: Option<&Directory>,
        by_path: bool,
    ) -> Result<(), Trouble> {
        // One that has been found to be the owner's stays that, as long as it has the pid, also when this process has gone
        // to a user namespace where nobody has a number. 0 is any of another pid namespace.
        if peer.pid != 0 && self.owners_pid.load(Ordering::Relaxed) == peer.pid.unsigned_abs() {
            return Ok(());
        }
        let is_owners = if peer.uid == self.owner && peer.uid != uids::OVERFLOW {
            true
        } else if uids::all_have_numbers() == Some(true) {
            peer.uid == self.owner
        } else {
            // In a directory that is closed to all but this user nobody else has made a socket.
            peer.uid == sys::geteuid()
                && (by_path || peer.uid != uids::OVERFLOW)
                && directory.is_some_and(|directory| uids::is_own_closed_directory(directory.raw()))
        };
        if !is_owners {
            return Err(match uids::all_have_numbers() {
                Some(true) => Trouble::NotOurs { uid: peer.uid },
                Some(false) | None => Trouble::UserNamespace { uid: peer.uid },
            });
        }
        self.owners_pid.store(peer.pid.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }
}
