//! `lonet wait`: replies when something listens on each of many addresses.
//!
//! The addresses come in a memory file, as there may be more of them than a message holds. The client can
//! also be told when a host that it waits for has died: one that has had a process since, and has had none
//! for [`GONE_FOR`]. A host goes down and up again when one program follows another on it. The time at which a
//! host's last process has left it is in the table, so that the wait can go on with another lonetd.

use super::connections::has_hung_up;
use super::messages::send_file;
use super::rights::Right;
use super::{CONNECTION, Daemon, event};
use crate::daemon::state::{By, Kernel, State};
use crate::memory_file;
use lonet_core::address::Address;
use lonet_core::control::Reply;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The largest file of addresses, in bytes: 60,000 of the longest.
const MOST: u64 = 16 << 20;

/// How long a host that is waited for may have no process.
const GONE_FOR: Duration = Duration::from_secs(1);

/// How often hosts that are waited for are checked: there may be many, and something about them changes all
/// the time.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// All waiting clients.
pub(super) struct Waiting {
    waiters: Vec<Waiter>,
    /// The time of the last check of their hosts, and [`touches`](crate::daemon::state::Hosts::touches) then.
    looked: (Instant, u64),
}

/// A client that waits until something listens on all these addresses.
struct Waiter {
    fd: OwnedFd,
    addresses: Vec<Address>,
    /// Whether a listener on its host's loopback alone counts, whichever host the client is; and the client's
    /// host, or empty.
    loopback: bool,
    host: String,
    /// The address that had no listener at the last check. It is checked first: until something listens
    /// there, the others need no check.
    missing: usize,
    /// The hosts whose death the client wants to know.
    hosts: Vec<Watched>,
}

struct Watched {
    name: String,
    /// When the wait began, by [`Kernel::now`].
    since: Duration,
    /// It has been up since.
    has_been_up: bool,
    /// The time since when it is down.
    gone_since: Option<Instant>,
}

impl Waiting {
    pub(super) fn new() -> Waiting {
        Waiting { waiters: Vec::new(), looked: (Instant::now(), 0) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The time of the next check of hosts if nothing happens.
    pub(super) fn until(&self, state: &State) -> Option<Instant> {
        let hosts = || self.waiters.iter().flat_map(|w| &w.hosts);
        let ends = hosts().filter_map(|host| host.gone_since).map(|since| since + GONE_FOR).min();
        let (at, touches) = self.looked;
        let look = (touches != state.hosts.touches() && hosts().next().is_some()).then_some(at + CHECK_EVERY);
        [ends, look].into_iter().flatten().min()
    }
}

impl Waiter {
    fn by(&self) -> By<'_> {
        if self.loopback { By::Anybody } else { By::Host(&self.host) }
    }
}

impl Watched {
    fn new(name: &str, since: Duration) -> Watched {
        Watched { name: name.to_owned(), since, has_been_up: false, gone_since: None }
    }

    /// Checks the host. Returns whether it has died.
    fn look(&mut self, state: &State, now: Instant) -> bool {
        let host = state.hosts.find(self.name.as_bytes());
        if host.is_some_and(|host| host.is_up() || host.foreign.is_some()) {
            (self.has_been_up, self.gone_since) = (true, None);
            return false;
        }
        if !self.has_been_up && host.is_none_or(|host| host.left < self.since) {
            return false;
        }
        *self.gone_since.get_or_insert(now) + GONE_FOR <= now
    }
}

impl Daemon {
    /// Handles `lonet wait`. `fails`: the client wants to know if a host has died; `since`: when it asked
    /// first, perhaps a lonetd before this one; 0: it asks for the first time.
    pub(super) fn wait(
        &mut self,
        fd: OwnedFd,
        file: Option<Right>,
        by: By<'_>,
        (fails, since): (bool, Duration),
    ) {
        let Some(addresses) = self.addresses(&fd, file) else { return };
        let names: BTreeSet<&str> =
            addresses.iter().filter(|_| fails).map(|address| address.host.as_str()).collect();
        let since = if since.is_zero() { self.kernel.now() } else { since };
        let mut hosts: Vec<Watched> = names.into_iter().map(|name| Watched::new(name, since)).collect();
        hosts.iter_mut().for_each(|host| _ = host.look(&self.state, Instant::now()));
        let _ = self.epoll.add(&fd, event(CONNECTION));
        let (loopback, host) = match by {
            By::Anybody => (true, String::new()),
            By::Host(host) => (false, host.to_owned()),
        };
        self.waiting.waiters.push(Waiter { fd, addresses, loopback, host, missing: 0, hosts });
        self.answer_waiters();
    }

    /// Reads the file: a lonet address a line. If something is wrong with it, replies with the error.
    fn addresses(&self, fd: &OwnedFd, file: Option<Right>) -> Option<Vec<Address>> {
        let read = |file: OwnedFd| {
            let file = File::from(file);
            let text = memory_file::text(&file, MOST).map_err(|e| format!("the file of addresses: {e}"));
            self.connections.closer.close(file.into());
            text?.lines().map(|line| Address::parse(line).map_err(|e| e.to_string())).collect()
        };
        match file.and_then(Right::take).ok_or("without the file of addresses".into()).and_then(read) {
            Ok(addresses) => Some(addresses),
            Err(text) => {
                self.reply(fd, &Reply::Error { errno: libc::EINVAL, text: &text });
                None
            }
        }
    }

    /// Replies at once with the addresses on which nothing listens.
    pub(super) fn tell_missing(&mut self, fd: &OwnedFd, file: Option<Right>, by: By<'_>) {
        let Some(addresses) = self.addresses(fd, file) else { return };
        let (state, kernel) = (&mut self.state, &mut self.kernel);
        let is_missing = |a: &&Address| !state.listens(kernel, a, by);
        let lines: Vec<String> = addresses.iter().filter(is_missing).map(Address::to_string).collect();
        if lines.is_empty() {
            self.reply(fd, &Reply::Done);
        } else if let Err(e) = send_file(fd, lines.join("\n").as_bytes()) {
            tracing::warn!("wait: {e}");
        }
    }

    pub(super) fn answer_waiters(&mut self) {
        let waiters = std::mem::take(&mut self.waiting.waiters);
        for mut waiter in waiters {
            let (state, kernel) = (&mut self.state, &mut self.kernel);
            let (addresses, by) = (&waiter.addresses, waiter.by());
            let from_missing = (0..addresses.len()).map(|n| (waiter.missing + n) % addresses.len());
            let missing = { from_missing }.find(|n| !state.listens(kernel, &addresses[*n], by));
            match missing {
                None => _ = self.reply(&waiter.fd, &Reply::Done),
                Some(_) if has_hung_up(&waiter.fd) => {}
                Some(missing) => {
                    waiter.missing = missing;
                    self.waiting.waiters.push(waiter);
                }
            }
        }
    }

    pub(super) fn drop_waiters_that_left(&mut self) {
        self.waiting.waiters.retain(|w| !has_hung_up(&w.fd));
    }

    /// Replies to clients that wait for a host that has died.
    pub(super) fn check_waited_hosts(&mut self, now: Instant) {
        if self.waiting.until(&self.state).is_none_or(|at| now < at) {
            return;
        }
        self.waiting.looked = (now, self.state.hosts.touches());
        let waiters = std::mem::take(&mut self.waiting.waiters);
        for mut waiter in waiters {
            let died = |host: &mut Watched| host.look(&self.state, now).then(|| host.name.clone());
            match waiter.hosts.iter_mut().find_map(died) {
                Some(name) => {
                    self.reply(&waiter.fd, &Reply::Error { errno: libc::EHOSTDOWN, text: &name });
                }
                None => self.waiting.waiters.push(waiter),
            }
        }
    }
}
