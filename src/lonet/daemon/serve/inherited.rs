//! Decides when inherited members are searched for, and what waits for it.
//!
//! One search serves all processes that have ended before it. It begins when a reply depends on it, when the
//! network is about to end, and otherwise so seldom that it costs little processor time; not while programs
//! that are to end are known to be left.

use super::Daemon;
use crate::daemon::members::search::Search;
use crate::daemon::members::{Inherited, Members};
use crate::daemon::state::{Index, Pid, State};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much processor time of a search a reply waits for. A host that is still unverified then counts as up.
const VERIFY_WORK: Duration = Duration::from_millis(250);

/// How long a reply waits for a search in all: programs are answered within five seconds.
const VERIFY_WITHIN: Duration = Duration::from_secs(2);

/// A search that nothing waits for begins after a pause of this many times the duration of the last one.
const REST: u32 = 10;

/// A search in progress, and what depends on it.
struct Underway {
    since: Instant,
    /// The processor time that the searching thread had used before.
    used: Duration,
    hosts: BTreeSet<Index>,
    /// No member was known when it began: if it finds none, the network ends.
    is_last: bool,
}

pub struct Inheritance {
    pub members: Arc<Members>,
    /// `None`: the thread could not be started, and lonetd's loop searches itself.
    search: Option<Search>,
    underway: Option<Underway>,
    /// The earliest time of a search that nothing waits for.
    not_before: Instant,
    /// A search has found no member since none is known.
    nobody_is_left: bool,
}

impl Inheritance {
    pub fn new(members: Arc<Members>) -> Inheritance {
        let search = Search::new(&members)
            .inspect_err(|e| tracing::warn!("no thread to look for members, lonetd does it itself: {e}"))
            .ok();
        let not_before = Instant::now();
        Inheritance { members, search, underway: None, not_before, nobody_is_left: false }
    }

    /// Notes that a process has ended, which may have left children.
    pub fn process_ended(&mut self) {
        self.nobody_is_left = false;
        if let Some(underway) = &mut self.underway {
            underway.is_last = false;
        }
    }

    pub fn search_done(&self) -> Option<impl AsFd> {
        self.search.as_ref().map(Search::done)
    }
}

impl Daemon {
    /// Begins a search if something waits for one and none is in progress.
    pub(super) fn search_if_needed(&mut self, now: Instant) {
        if !self.is_due() {
            self.inheritance.nobody_is_left = false;
        }
        if self.inheritance.underway.is_some() {
            return;
        }
        let is_last = self.is_due() && !self.inheritance.nobody_is_left;
        if is_last || self.next_search().is_some_and(|at| now >= at) || self.is_search_requested() {
            self.begin_search();
        }
    }

    /// The time of the next search that nothing waits for.
    pub(super) fn next_search(&self) -> Option<Instant> {
        let waits = self.inheritance.underway.is_some()
            || self.state.unverified().is_empty()
            || self.ends_everybody() && !self.state.processes.is_empty();
        (!waits).then_some(self.inheritance.not_before)
    }

    /// Whether the network may end, by the last search for members.
    pub(super) fn nobody_is_left(&self) -> bool {
        self.inheritance.nobody_is_left
    }

    pub(super) fn begin_search(&mut self) {
        if self.inheritance.underway.is_some() {
            return;
        }
        let known: BTreeSet<Pid> = self.state.processes.keys().copied().collect();
        self.inheritance.underway = Some(Underway {
            since: Instant::now(),
            used: self.inheritance.search.as_ref().map_or(Duration::ZERO, Search::used),
            hosts: self.state.unverified().clone(),
            is_last: self.state.is_empty(),
        });
        self.search_begins();
        if !self.inheritance.search.as_ref().is_some_and(|search| search.begin(known.clone())) {
            let found = self.inheritance.members.find(&known);
            self.search_is_done(found);
        }
    }

    /// Handles the result of a search, if it is done.
    pub(super) fn handle_search_result(&mut self) {
        let found = self.inheritance.search.as_ref().and_then(|search| search.result(Duration::ZERO));
        if let Some(found) = found {
            self.search_is_done(found);
        }
    }

    /// Waits, with a time limit, until it is known whether unverified hosts are up, if `depends` says that it
    /// matters. The search in progress may have begun too early.
    pub(super) fn verify_hosts(&mut self, depends: impl Fn(&State) -> bool) {
        for _ in 0..2 {
            if !depends(&self.state) {
                return;
            }
            self.begin_search();
            let Inheritance { search, underway, .. } = &self.inheritance;
            if let (Some(search), Some(underway)) = (search, underway)
                && let Some(found) =
                    search.await_result(underway.used + VERIFY_WORK, underway.since + VERIFY_WITHIN)
            {
                self.search_is_done(found);
            }
        }
    }

    fn search_is_done(&mut self, found: Vec<Inherited>) {
        let Some(underway) = self.inheritance.underway.take() else { return };
        let now = Instant::now();
        let new: Vec<Pid> = found.into_iter().filter_map(|member| self.adopt(member)).collect();
        self.state.verified(&underway.hosts);
        self.inheritance.not_before = now + REST * now.saturating_duration_since(underway.since);
        self.inheritance.nobody_is_left = underway.is_last && self.state.is_empty();
        self.commit();
        self.members_found(&new);
    }

    /// Adds a process that inherited membership, unless it waits for the network's end. The caller calls
    /// [`Daemon::commit`]. A process that has ended since it was found is added as well: it may have left a
    /// child, which is searched for when its end is noticed.
    fn adopt(&mut self, member: Inherited) -> Option<Pid> {
        let Inherited { pid, process, host } = member;
        if self.state.processes.contains_key(&pid) || self.waits_for_end(pid) {
            return None;
        }
        self.processes.add(pid, process);
        self.state.adopt(&mut self.kernel, pid, host.as_deref());
        Some(pid)
    }
}
