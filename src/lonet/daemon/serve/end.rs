//! The end of a network: asked for, or because nobody is in it.

use super::{Daemon, EMPTY_FOR, Ending, TERM_TO_KILL};
use crate::daemon::kernel;
use crate::daemon::state::Pid;
use lonet_core::control::{self, MAX_MESSAGE};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, MsgFlags};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

impl Daemon {
    pub(super) fn down(&mut self, fd: OwnedFd, asker: Pid, kill: bool) {
        self.adopt(Some(asker));
        if self.state.is_empty() {
            self.ending = Some(Ending { fd: Some(fd), kill_at: None });
        } else if kill {
            self.signal_all(Signal::SIGTERM);
            self.ending = Some(Ending { fd: Some(fd), kill_at: Some(Instant::now() + TERM_TO_KILL) });
        } else {
            let names: Vec<String> = self
                .state
                .processes
                .keys()
                .map(|pid| format!("{} (pid {pid})", kernel::program(*pid)))
                .collect();
            let mut text = format!("network {:?} is in use by {}", self.config.network, names.join(", "));
            text.truncate(text.floor_char_boundary(MAX_MESSAGE - 64));
            reply_to_down(&fd, Err((libc::EBUSY, &text)));
        }
    }

    pub(super) fn signal_all(&self, signal: Signal) {
        for (pid, fd) in &self.processes {
            if let Err(e) = pidfd_signal(fd, signal) {
                tracing::warn!("{signal} to pid {pid}: {e}");
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let asked = self.ending.is_some() && self.state.is_empty();
        asked || self.empty_since.is_some_and(|since| since.elapsed() >= EMPTY_FOR)
    }

    /// Takes the network's files away, if nobody is about to come. Whether it has ended.
    pub(super) fn end(&mut self) -> bool {
        let Ok(lock) = nix::fcntl::Flock::lock(
            match std::fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(self.config.dir.join("lock"))
            {
                Ok(file) => file,
                // The directory is not there any more, or not writable: nothing to take away.
                Err(_) => return true,
            },
            nix::fcntl::FlockArg::LockExclusiveNonblock,
        ) else {
            // Somebody starts: what it asks will say more.
            self.empty_since = Some(Instant::now());
            return false;
        };
        self.take_what_is_said();
        self.accept(0);
        self.accept(1);
        if self.ending.is_none() {
            self.adopt(None);
        }
        if !self.state.is_empty() || !self.pending.is_empty() {
            self.empty_since = None;
            return false;
        }
        self.foreign.leave();
        tracing::info!("the network has ended");
        // The lock file goes last: who waits for it looks whether it is still the one at its path.
        for file in ["control", "said", "key", "log", "state", "view", "lock"] {
            let _ = std::fs::remove_file(self.config.dir.join(file));
        }
        let _ = std::fs::remove_dir(&self.config.dir);
        drop(lock);
        if let Some(fd) = self.ending.as_mut().and_then(|e| e.fd.take()) {
            reply_to_down(&fd, Ok(()));
        }
        true
    }
}

/// Who asked to end the network may be of another version.
pub(super) fn reply_to_down(fd: &OwnedFd, outcome: Result<(), (i32, &str)>) {
    let mut buffer = [0u8; MAX_MESSAGE];
    if let Some(n) = control::write_down_reply(&mut buffer, outcome) {
        let _ = socket::send(fd.as_raw_fd(), &buffer[..n], MsgFlags::MSG_NOSIGNAL);
    }
}

pub(super) fn pidfd_signal(fd: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what kill(2) would send.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal as i32, info, 0) };
    Errno::result(sent).map(drop)
}
