//! The end of a network: on request, or because it is empty.
//!
//! `lonet down --kill` by the owner or root ends all programs. Members of other users may use the network:
//! they can end those programs that they may send signals to themselves, and are told which are left.

use super::connections::has_hung_up;
use super::{Daemon, EMPTY_FOR, KILL_AGAIN, TERM_TO_KILL};
use crate::daemon::members::may_be_signalled_by;
use crate::daemon::process::{asks_to_end, is_stopped, pidfd_signal};
use crate::daemon::state::{Pid, Sender};
use crate::daemon::{process, store, trace};
use lonet_core::control::{self, MAX_MESSAGE};
use lonet_core::directory::Directory;
use lonet_core::table::word::Word;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, MsgFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

/// The programs that a request may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Everybody,
    User(u32),
}

/// A request to end the network, whose process waits for that. The process may be a member, which then does
/// not keep the network from ending.
pub(super) struct DownRequest {
    pid: Pid,
    fd: OwnedFd,
    reach: Reach,
    kill: bool,
    /// Whether a search for members has begun since its request.
    is_searched: bool,
}

impl DownRequest {
    pub fn new(fd: OwnedFd, sender: Sender, is_owner: bool, kill: bool) -> DownRequest {
        let reach = if is_owner { Reach::Everybody } else { Reach::User(sender.uid) };
        DownRequest { pid: sender.pid, fd, reach, kill, is_searched: false }
    }
}

/// Programs that are being ended.
struct Kill {
    /// The time when KILL is due next.
    at: Instant,
    /// The programs at the last check; not needed if all programs are ended.
    programs: BTreeSet<Pid>,
}

/// `lonet down` in progress.
#[derive(Default)]
pub(super) struct Ending {
    /// Requests that wait for a search for members.
    new_requests: Vec<DownRequest>,
    requests: Vec<DownRequest>,
    kills: BTreeMap<Reach, Kill>,
}

impl Ending {
    pub fn until(&self) -> Option<Instant> {
        self.kills.values().map(|kill| kill.at).min()
    }

    fn all(&self) -> impl Iterator<Item = &DownRequest> {
        self.new_requests.iter().chain(&self.requests)
    }

    fn pids(&self) -> BTreeSet<Pid> {
        self.all().map(|request| request.pid).collect()
    }

    /// Whether the programs of this request are being ended already.
    fn kills_for(&self, reach: Reach) -> bool {
        self.kills.contains_key(&Reach::Everybody) || self.kills.contains_key(&reach)
    }
}

impl Daemon {
    pub(super) fn queue_down_request(&mut self, request: DownRequest) {
        self.ending.get_or_insert_default().new_requests.push(request);
    }

    pub(super) fn waits_for_end(&self, pid: Pid) -> bool {
        self.ending.as_ref().is_some_and(|e| e.all().any(|request| request.pid == pid))
    }

    pub(super) fn ends_everybody(&self) -> bool {
        self.ending.as_ref().is_some_and(|e| e.kills.contains_key(&Reach::Everybody))
    }

    pub(super) fn is_search_requested(&self) -> bool {
        let ends =
            self.ending.as_ref().is_some_and(|e| e.new_requests.iter().any(|request| !request.is_searched));
        ends || self.waits_to_signal()
    }

    pub(super) fn search_begins(&mut self) {
        self.ending
            .iter_mut()
            .flat_map(|e| &mut e.new_requests)
            .for_each(|request| request.is_searched = true);
        self.signals_wait_for_search();
    }

    /// Handles the result of a search: these members are new.
    pub(super) fn members_found(&mut self, new: &[Pid]) {
        self.signal_after_search();
        let Some(ending) = &mut self.ending else { return };
        let searched: Vec<DownRequest> =
            ending.new_requests.extract_if(.., |request| request.is_searched).collect();
        if ending.kills.contains_key(&Reach::Everybody) {
            self.signal(new, Signal::SIGTERM);
        }
        if !searched.is_empty() {
            self.watch_again();
            // Sockets that count as alive keep the network from ending, so they are examined.
            self.review_all();
            self.commit();
        }
        for request in searched {
            self.handle_down_request(request);
        }
    }

    /// Begins to end the network, whose members are known now.
    fn handle_down_request(&mut self, request: DownRequest) {
        let (is_empty, reach) = (self.state.is_empty(), request.reach);
        let is_under_way = self.ending.as_ref().is_some_and(|e| e.kills_for(reach));
        if !is_empty && !is_under_way {
            if !request.kill {
                return reply_to_down(&request.fd, Err((libc::EBUSY, &self.occupants())));
            }
            let programs = self.programs_of(reach, &BTreeSet::from([request.pid]));
            if programs.is_empty() && reach != Reach::Everybody {
                return self.refuse_without_programs(&request);
            }
            self.signal(&programs, Signal::SIGTERM);
            let kill = Kill { at: Instant::now() + TERM_TO_KILL, programs: programs.into_iter().collect() };
            self.ending.get_or_insert_default().kills.insert(reach, kill);
        }
        self.ending.get_or_insert_default().requests.push(request);
    }

    /// Replies to a request none of whose programs are left.
    fn refuse_without_programs(&self, request: &DownRequest) {
        let Reach::User(uid) = request.reach else { return };
        let text = format!("uid {uid} may end no other user's programs; {}", self.occupants());
        reply_to_down(&request.fd, Err((libc::EACCES, &text)));
    }

    /// The programs within this reach, without members that wait for their end.
    fn programs_of(&self, reach: Reach, waiting: &BTreeSet<Pid>) -> Vec<Pid> {
        let is_in_reach = |(pid, process): &(Pid, &OwnedFd)| match reach {
            Reach::Everybody => true,
            Reach::User(uid) => !waiting.contains(pid) && may_be_signalled_by(uid, *pid, process),
        };
        self.processes.iter().filter(is_in_reach).map(|(pid, _)| pid).collect()
    }

    fn occupants(&self) -> String {
        let programs: BTreeSet<Pid> =
            self.state.processes.keys().map(|pid| process::stands_for(*pid)).collect();
        let name = |pid: &Pid| match process::program(*pid) {
            // It has just ended, or there is no descriptor to read its name.
            program if program.is_empty() => format!("pid {pid}"),
            program => format!("{program} (pid {pid})"),
        };
        let names: Vec<String> = programs.iter().map(name).collect();
        let names = if names.is_empty() { "sockets of unknown processes".into() } else { names.join(", ") };
        let mut text = format!("network {:?} is in use by {names}", self.config.network);
        text.truncate(text.floor_char_boundary(MAX_MESSAGE - 128));
        text
    }

    /// Does what is due of an end in progress.
    pub(super) fn continue_ending(&mut self, now: Instant) {
        let Some(mut ending) = self.ending.take() else { return };
        // KILL is repeated, as a killed process may have started others just before, until no request waits
        // any more.
        let due: Vec<Reach> =
            ending.kills.iter().filter(|(_, k)| now >= k.at).map(|(reach, _)| *reach).collect();
        let is_due = !due.is_empty();
        for reach in due {
            ending.requests.retain(|request| !has_hung_up(&request.fd));
            let programs = self.programs_of(reach, &ending.pids());
            self.signal(&programs, Signal::SIGKILL);
            ending.kills.remove(&reach);
            if ending.requests.iter().any(|request| request.reach == reach) {
                let kill = Kill { at: now + KILL_AGAIN, programs: programs.into_iter().collect() };
                ending.kills.insert(reach, kill);
            }
        }
        if !self.state.is_empty() {
            self.reply_to_done(&mut ending);
        }
        let holders_are_unknown = is_due && self.state.processes.is_empty();
        if !(ending.new_requests.is_empty() && ending.requests.is_empty() && ending.kills.is_empty()) {
            self.ending = Some(ending);
        }
        if holders_are_unknown {
            self.begin_search();
        }
    }

    /// Replies to the requests for which nothing more will be done, though programs are left.
    fn reply_to_done(&mut self, ending: &mut Ending) {
        let waiting = ending.pids();
        for (reach, kill) in &mut ending.kills {
            if *reach != Reach::Everybody && !kill.programs.iter().any(|pid| self.processes.contains(*pid)) {
                kill.programs = self.programs_of(*reach, &waiting).into_iter().collect();
                self.signal(&Vec::from_iter(kill.programs.iter().copied()), Signal::SIGTERM);
            }
        }
        ending.kills.retain(|reach, kill| *reach == Reach::Everybody || !kill.programs.is_empty());
        let is_done = |request: &mut DownRequest| {
            !ending.kills.contains_key(&Reach::Everybody) && !ending.kills.contains_key(&request.reach)
        };
        let done: Vec<DownRequest> = ending.requests.extract_if(.., is_done).collect();
        for request in done {
            match request.reach {
                Reach::User(_) if request.kill => self.refuse_without_programs(&request),
                // A program has joined before the end: this request does not wait for it.
                _ => reply_to_down(&request.fd, Err((libc::EBUSY, &self.occupants()))),
            }
        }
    }

    /// Sends a signal. A supervised program gets it once: not also from the process that forwards signals to
    /// it.
    fn signal(&self, programs: &[Pid], signal: Signal) {
        let is_itself = |pid: &&Pid| match process::stands_for(**pid) {
            program if program == **pid => true,
            program => !programs.contains(&program),
        };
        let programs = programs.iter().filter(is_itself);
        for (pid, process) in programs.filter_map(|pid| Some((pid, self.processes.get(*pid)?))) {
            let is_stopped = is_stopped(*pid);
            if let Err(e) = pidfd_signal(process, signal as i32) {
                tracing::warn!("{signal} to pid {pid}: {e}");
            } else if is_stopped && asks_to_end(signal as i32) {
                let _ = pidfd_signal(process, libc::SIGCONT);
            }
        }
    }

    /// Whether the network is to end, by its known members.
    pub(super) fn is_due(&self) -> bool {
        let asked = self.ending.is_some() && self.state.is_empty();
        asked || self.has_no_request() && self.empty_since.is_some_and(|since| since.elapsed() >= EMPTY_FOR)
    }

    /// Whether no request of a member or of a foreign peer is in progress.
    fn has_no_request(&self) -> bool {
        self.foreign.is_idle() && self.early.is_empty() && !self.connections.has_members()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_due() && self.nobody_is_left()
    }

    /// Removes the network's files, unless a program is about to join. Returns whether the network has ended.
    pub(super) fn end(&mut self) -> bool {
        self.check_directory();
        let file = match self.directory.get().file(c"lock", libc::O_WRONLY | libc::O_CREAT) {
            Ok(file) => file,
            // The directory has gone, or is not writable: there is nothing to remove.
            Err(_) => return true,
        };
        let Ok(lock) = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) else {
            // A program is starting: its messages follow.
            self.empty_since = Some(Instant::now());
            return false;
        };
        self.handle_ends();
        self.handle_messages();
        if !self.is_over() || !self.state.is_empty() || self.connections.has_members() {
            return false;
        }
        self.foreign.leave();
        self.end_recording();
        let header = self.store.table().header();
        let [kernel_chose, tried_again] = [&header.kernel_chose, &header.tried_again].map(Word::get);
        self.store.table().leave();
        tracing::info!(
            "the network has ended; {kernel_chose} dials had the kernel choose their source port, {tried_again} tries met a port \
             in use"
        );
        let directory = self.directory.get();
        // If its key was deleted, another lonetd may serve in the directory.
        if directory.leads_to(c"key", self.service.as_raw_fd()) {
            remove_files(&directory);
            // The path may lead to another directory by now.
            if let Ok(root) = self.place.root(self.membership.owner) {
                root.remove(self.place.name(), &directory);
            }
            self.place.remove_root(self.membership.owner, &self.config.tmp);
        }
        drop(lock);
        for request in self.ending.take().iter().flat_map(Ending::all) {
            reply_to_down(&request.fd, Ok(()));
        }
        true
    }
}

/// Removes lonetd's files from a network's directory.
pub(super) fn remove_files(directory: &Directory) {
    // The lock file is removed last: a process that gets the lock checks that the file is still the one at
    // its path. The files by which a killed lonetd is recognised are removed shortly before.
    for file in
        [c"key", c"log", c"log.old", trace::file::NAME, trace::file::OLD, store::FILE, c"control", c"lock"]
    {
        let _ = directory.remove(file);
    }
}

/// Replies to `lonet down`, which may be of another version.
pub(super) fn reply_to_down(fd: &OwnedFd, outcome: Result<(), (i32, &str)>) {
    let mut buffer = [0u8; MAX_MESSAGE];
    if let Some(n) = control::write_down_reply(&mut buffer, outcome) {
        let _ = socket::send(fd.as_raw_fd(), &buffer[..n], MsgFlags::MSG_NOSIGNAL);
    }
}
