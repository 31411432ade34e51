//! The network's owner: the user that lonetd runs as.

use lonet_core::{sys, uids};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// Identifies the owner among other users.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    uid: u32,
    /// In lonetd's user namespace other users may be shown with the owner's uid, as they have none of their
    /// own there.
    is_shared: bool,
}

impl Owner {
    /// lonetd's own user, in the user namespace in which it stays.
    pub fn here() -> Owner {
        let uid = sys::geteuid();
        // What the map does not say, or a number that root has changed, is treated as the worse case.
        let overflow = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
        let overflow = overflow.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(uids::OVERFLOW);
        Owner { uid, is_shared: uid == overflow && uids::all_have_numbers() != Some(true) }
    }

    #[cfg(test)]
    pub fn with_uid(uid: u32) -> Owner {
        Owner { uid, is_shared: false }
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether this uid is the owner's. No is certain; yes is certain only if no other user is shown with the
    /// same uid.
    pub fn has_number(&self, uid: u32) -> bool {
        uid == self.uid
    }

    /// The owner's uid, if no other user is shown with it.
    pub fn if_told_by_number(&self) -> Option<u32> {
        (!self.is_shared).then_some(self.uid)
    }

    /// Whether a process with the owner's uid is the owner's. If the uid does not tell, the kernel is asked,
    /// which compares users: lonetd, which has no privilege over others in such a namespace, may send signals
    /// to its own user's processes.
    pub fn has(&self, process: &OwnedFd) -> bool {
        !self.is_shared || may_signal(process)
    }
}

fn may_signal(process: &OwnedFd) -> bool {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what kill(2) would send; 0 is no signal.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), 0, info, 0) };
    Errno::result(sent).is_ok()
}
