//! The end of a network: asked for, or because nobody is in it.

use super::messages::has_hung_up;
use super::{Daemon, EMPTY_FOR, KILL_AGAIN, TERM_TO_KILL};
use crate::daemon::kernel;
use crate::daemon::state::Pid;
use lonet_core::control::{self, MAX_MESSAGE};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, MsgFlags};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

/// `lonet down` under way.
#[derive(Default)]
pub(super) struct Ending {
    /// Who wait for it: members perhaps, but none to wait for.
    askers: Vec<(Pid, OwnedFd)>,
    /// `--kill`: when KILL is due next. Without it programs that come meanwhile are left alone, and it comes to nothing.
    pub kill_at: Option<Instant>,
}

impl Ending {
    pub fn is_asked_by(&self, pid: Pid) -> bool {
        self.askers.iter().any(|(asker, _)| *asker == pid)
    }
}

impl Daemon {
    pub(super) fn down(&mut self, fd: OwnedFd, asker: Pid, kill: bool) {
        self.adopt(Some(asker));
        // What is believed to be alive keeps the network: it had better be.
        self.state.review_all(&mut self.kernel);
        self.settle();
        let is_empty = self.state.is_empty();
        if !is_empty && !kill && self.ending.as_ref().is_none_or(|e| e.kill_at.is_none()) {
            return reply_to_down(&fd, Err((libc::EBUSY, &self.who_is_there())));
        }
        self.put_aside(&fd);
        let ending = self.ending.get_or_insert_default();
        ending.askers.push((asker, fd));
        if !is_empty && ending.kill_at.is_none() {
            ending.kill_at = Some(Instant::now() + TERM_TO_KILL);
            self.signal_all(Signal::SIGTERM);
        }
    }

    fn who_is_there(&self) -> String {
        let names: Vec<String> =
            self.state.processes.keys().map(|pid| format!("{} (pid {pid})", kernel::program(*pid))).collect();
        let names = if names.is_empty() { "sockets of unknown processes".into() } else { names.join(", ") };
        let mut text = format!("network {:?} is in use by {names}", self.config.network);
        text.truncate(text.floor_char_boundary(MAX_MESSAGE - 64));
        text
    }

    /// What is due of an end that was asked for.
    pub(super) fn go_on_ending(&mut self, now: Instant) {
        let Some(ending) = &mut self.ending else { return };
        match ending.kill_at {
            // A program has come before the end: it is not this one's to wait for.
            None if !self.state.is_empty() => {
                let text = self.who_is_there();
                for (_, fd) in self.ending.take().into_iter().flat_map(|e| e.askers) {
                    reply_to_down(&fd, Err((libc::EBUSY, &text)));
                }
            }
            // Again and again: who is killed may have started others just before. Until nobody waits for it any more.
            Some(at) if now >= at => {
                ending.askers.retain(|(_, fd)| !has_hung_up(fd));
                ending.kill_at = Some(now + KILL_AGAIN);
                let go_on = !ending.askers.is_empty();
                self.adopt(None);
                self.settle();
                self.signal_all(Signal::SIGKILL);
                if !go_on {
                    self.ending = None;
                }
            }
            _ => {}
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
        let file = match self.directory.file(c"lock", libc::O_WRONLY | libc::O_CREAT) {
            Ok(file) => file,
            // The directory is not there any more, or not writable: nothing to take away.
            Err(_) => return true,
        };
        let Ok(lock) = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) else {
            // Somebody starts: what it asks will say more.
            self.empty_since = Some(Instant::now());
            return false;
        };
        self.take_what_is_said();
        self.accept(0);
        self.accept(1);
        if self.ending.is_none() {
            self.adopt(None);
            self.settle();
        }
        if !self.state.is_empty() || !self.pending.is_empty() {
            self.empty_since = None;
            return false;
        }
        self.foreign.leave();
        if let Some(view) = &mut self.view {
            view.leave();
        }
        tracing::info!("the network has ended");
        // The lock file goes last: who waits for it looks whether it is still the one at its path.
        // What a killed lonetd is known by goes shortly before.
        for file in [c"key", c"log", c"view", c"state.new", c"state", c"control", c"lock"] {
            let _ = self.directory.remove(file);
        }
        // What the path leads to by now need not be this directory.
        if let Ok(root) = self.place.root(self.membership.owner) {
            root.remove(self.place.name(), &self.directory);
        }
        drop(lock);
        for (_, fd) in self.ending.take().into_iter().flat_map(|e| e.askers) {
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
