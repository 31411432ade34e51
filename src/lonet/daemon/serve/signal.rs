//! `lonet kill`, `pause` and `resume`: a signal to all processes of a host.
//!
//! Each process is reached by lonetd's pidfd of it, so that another process with its pid is not affected.
//! Children that never sent a message are searched for before the signal, and again after it, as one may have
//! been forked just before.
//!
//! A stopped process gets no signal until it continues. One that is asked to end is continued for that, as service managers and
//! container engines do; for other signals the number of stopped processes is reported.

use super::Daemon;
use super::messages::send_file;
use crate::daemon::members::may_be_signalled_by;
use crate::daemon::process::{asks_to_end, has_ended, is_stopped, pidfd_open, pidfd_signal, stands_for};
use crate::daemon::state::{Host, Index, Pid, Sender};
use lonet_core::control::Reply;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// How many times new processes are searched for: a program that forks faster than that is not followed for
/// ever.
const MAX_SEARCHES: u32 = 16;

/// A request to send a signal.
pub(super) struct Signalling {
    fd: OwnedFd,
    sender: Sender,
    /// It acts for the owner: it may send signals to all processes to which lonetd may.
    is_owner: bool,
    host: Index,
    signal: i32,
    /// The processes that got the signal, and those to which lonetd or the requester may not send it.
    sent: BTreeSet<Pid>,
    refused: BTreeSet<Pid>,
    /// The number of stopped ones among the processes that got the signal.
    stopped: u32,
    /// Processes that stand for another which got it, and which may have ended of it by the next search.
    stood: BTreeSet<Pid>,
    looks: u32,
    /// Whether a search for members has begun since the signal was last sent.
    is_searched: bool,
}

/// The process to which a signal for a member goes.
enum Target<'a> {
    /// The member, by lonetd's pidfd.
    Itself(&'a OwnedFd),
    /// The supervised program for which the member stands.
    Program(Pid, OwnedFd),
}

impl Daemon {
    pub(super) fn signal_host(&mut self, fd: OwnedFd, requester: (Sender, bool), host: &str, signal: u8) {
        let host = self.state.hosts.find(host.as_bytes()).filter(|host| host.is_up()).map(|host| host.index);
        let signal = i32::from(signal);
        let (Some(host), true) = (host, (1..=libc::SIGRTMAX()).contains(&signal)) else {
            let (errno, text) = match host {
                None => (libc::EHOSTUNREACH, "no such host is up"),
                Some(_) => (libc::EINVAL, "no such signal"),
            };
            self.reply(&fd, &Reply::Error { errno, text });
            return;
        };
        let (sender, is_owner) = requester;
        let (sent, refused, stood) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let is_searched = false;
        self.signals.push(Signalling {
            fd,
            sender,
            is_owner,
            host,
            signal,
            sent,
            refused,
            stopped: 0,
            stood,
            looks: 0,
            is_searched,
        });
    }

    pub(super) fn waits_to_signal(&self) -> bool {
        self.signals.iter().any(|s| !s.is_searched)
    }

    pub(super) fn signals_wait_for_search(&mut self) {
        self.signals.iter_mut().for_each(|s| s.is_searched = true);
    }

    /// Continues the requests that have waited for a search.
    pub(super) fn signal_after_search(&mut self) {
        let looked_for: Vec<Signalling> = self.signals.extract_if(.., |s| s.is_searched).collect();
        for mut signalling in looked_for {
            signalling.looks += 1;
            if self.signal_new(&mut signalling) && signalling.looks < MAX_SEARCHES {
                signalling.is_searched = false;
                self.signals.push(signalling);
                continue;
            }
            let text =
                format!("{} {} {}", signalling.sent.len(), signalling.refused.len(), signalling.stopped);
            if let Err(e) = send_file(&signalling.fd, text.as_bytes()) {
                tracing::warn!("signal: {e}");
            }
        }
    }

    /// Sends the signal to the processes that have not had it. Returns whether there were any. A supervised
    /// program gets it once: not also from the process that forwards signals to it.
    fn signal_new(&self, s: &mut Signalling) -> bool {
        let (before, requester) = (s.sent.len(), s.sender.pid);
        let members = self.state.hosts.get(s.host).map(|host: &Host| &host.members);
        // All of them before the first signal: of it a program may end, after which its supervisor seems to
        // stand for itself.
        let targets: Vec<(Pid, Target<'_>)> = (members.into_iter().flatten())
            .filter(|pid| **pid != requester)
            .filter_map(|pid| Some((*pid, self.target(*pid)?)))
            .collect();
        for (pid, target) in targets {
            match target {
                Target::Itself(_) if s.stood.contains(&pid) => {}
                Target::Itself(process) => self.signal_once(s, pid, process),
                Target::Program(program, process) => {
                    s.stood.insert(pid);
                    self.signal_once(s, program, &process);
                }
            }
        }
        s.sent.len() > before
    }

    /// Where a signal for this member goes. `None`: it has ended, or the program for which it stands has.
    fn target(&self, pid: Pid) -> Option<Target<'_>> {
        let process = self.processes.get(pid).filter(|process| !has_ended(process))?;
        let program = stands_for(pid);
        if program == pid {
            return Some(Target::Itself(process));
        }
        // It need not have been found as a member so far.
        let process = pidfd_open(program).ok().filter(|_| stands_for(pid) == program)?;
        Some(Target::Program(program, process))
    }

    fn signal_once(&self, s: &mut Signalling, pid: Pid, process: &OwnedFd) {
        if s.sent.contains(&pid) || s.refused.contains(&pid) {
            return;
        }
        let may = s.is_owner || may_be_signalled_by(s.sender.uid, pid, process);
        let is_stopped = is_stopped(pid);
        match if may { pidfd_signal(process, s.signal) } else { Err(Errno::EPERM) } {
            Ok(()) => {
                s.sent.insert(pid);
                s.stopped += u32::from(is_stopped);
                if is_stopped && asks_to_end(s.signal) {
                    let _ = pidfd_signal(process, libc::SIGCONT);
                }
            }
            Err(Errno::ESRCH) => {}
            Err(_) => _ = s.refused.insert(pid),
        }
    }
}
