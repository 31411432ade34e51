//! Loss: a socket that may have a filter ([`filter`]) drops each segment that it is sent with the probability of the rule. The
//! valves of others are shut for moments, in which what is sent is dropped.
//!
//! A thread beside lonetd's loop shuts and opens them. How long a valve is shut is chosen between [`SHORTEST`] and [`LONGEST`],
//! and how long it is open afterwards so that, on the whole, it is shut for the part of the time that the rule says, however
//! late the thread wakes up. It keeps a copy of the socket's descriptor only while the valve is shut: a copy keeps the socket
//! when its program closes it, and one that was closed while it is shut could not be opened, and would hear no more.
//!
//! lonetd's loop looks for the sockets that rules are about, each [`LOOK_EVERY`]: a connection that has come since then loses
//! nothing so far. Whoever takes a socket off the list, with the lock, knows that its valve is not shut any more, once it has
//! been set as the rules have it.

use super::enforce::Seen;
use super::filter;
use crate::daemon::kernel::Live;
use crate::daemon::process::pidfd_open;
use crate::daemon::reach::{self, copy_of, each_socket};
use crate::daemon::state::{Cookie, End, Index, Pid, State};
use lonet_core::diag::State as Tcp;
use lonet_core::sys;
use lonet_core::table::Table;
use lonet_core::table::rules::{Kind, LOSS_WHOLE, Rule};
use lonet_core::valve::{self, Shut};
use nix::errno::Errno;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const LOOK_EVERY: Duration = Duration::from_millis(100);

const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(1);

/// A socket whose valve is shut now and then.
struct Socket {
    process: Arc<OwnedFd>,
    number: i32,
    hosts: (Index, Index),
    /// What is shut then.
    directions: Shut,
    /// For which part of the time.
    part: f64,
    is_shut: bool,
    /// While it is shut.
    copy: Option<OwnedFd>,
    since: Instant,
    next: Instant,
    /// For how many seconds it has been shut too little so far.
    owed: f64,
}

/// A machine that has slept is not to lose all for as long.
const OWED_MOST: f64 = 0.02;

type Sockets = HashMap<Cookie, Socket>;

#[derive(Default)]
struct Shared {
    sockets: Mutex<Sockets>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By which process and which descriptor there a socket is reached.
struct Place {
    process: Arc<OwnedFd>,
    number: i32,
    /// Its valve is shut now and then.
    turns: bool,
    /// The part that it was to lose by a filter, and whether it does.
    filter: Option<(u64, bool)>,
}

impl Place {
    /// Whether the socket loses this part of what it is sent by itself.
    fn filters(&mut self, cookie: Cookie, part: u64) -> bool {
        if let Some((_, does)) = self.filter.filter(|(is, _)| *is == part) {
            return does;
        }
        let does = copy_of(&self.process, self.number, cookie).is_ok_and(|copy| {
            let lost = filter::lose(copy.as_raw_fd(), part);
            reach::close(copy);
            lost.is_ok()
        });
        self.filter = Some((part, does));
        does
    }
}

type Places = HashMap<Cookie, Place>;

/// The thread, once there has been a rule.
#[derive(Default)]
pub struct Loss {
    shared: Option<Arc<Shared>>,
    looked: Option<Instant>,
    /// As the last look has found them: they need not be looked for again.
    places: Places,
}

impl Loss {
    /// When to look for sockets again.
    pub fn until(&self) -> Option<Instant> {
        self.looked.map(|looked| looked + LOOK_EVERY)
    }

    /// Looks for the sockets that rules are about.
    pub fn look(&mut self, state: &State, kernel: &Live, table: Table<'static>) {
        let rules = state.rules();
        if !rules.iter().any(|r| r.kind == Kind::Loss && r.at == 0) {
            self.looked = None;
            self.places.clear();
            if let Some(shared) = &self.shared {
                shared.lock().drain().for_each(|(cookie, socket)| socket.release(cookie, table));
            }
            return;
        }
        let shared = self.shared.get_or_insert_with(|| begin(table));
        // What the thread has taken off the list could not be reached there any more.
        let sockets = shared.lock();
        self.places.retain(|cookie, place| !place.turns || sockets.contains_key(cookie));
        drop(sockets);
        let found = find(state, &Seen::of(kernel, state.block), &rules, &mut self.places);
        self.looked = Some(Instant::now());
        let mut sockets = shared.lock();
        let is_over =
            |cookie: &Cookie, socket: &mut Socket| found.get(cookie).is_none_or(|f| !f.process_is(socket));
        sockets.extract_if(is_over).for_each(|(cookie, socket)| socket.release(cookie, table));
        for (cookie, new) in found {
            match sockets.get_mut(&cookie) {
                Some(socket) => (socket.directions, socket.part) = (new.directions, new.part),
                None => _ = sockets.insert(cookie, new),
            }
        }
        drop(sockets);
        shared.changed.notify_one();
    }
}

impl Socket {
    fn process_is(&self, other: &Socket) -> bool {
        self.number == other.number && self.hosts == other.hosts
    }
}

/// How much of [`LOSS_WHOLE`] of what one host sends to another is lost.
pub(super) fn part(rules: &[Rule], from: Index, to: Index) -> u64 {
    let is = |r: &&Rule| r.kind == Kind::Loss && r.at == 0 && r.concerns(from, to);
    let of = rules.iter().filter(is).map(|r| r.value);
    of.max().unwrap_or(0).min(LOSS_WHOLE)
}

/// Ends of connections, with what part is lost of what they send and of what they are sent.
type Ends = HashMap<Cookie, (End, (u64, u64))>;

/// The sockets at which something is to be lost: where it arrives, or where it is sent if that cannot be reached.
fn find(state: &State, seen: &Seen, rules: &[Rule], places: &mut Places) -> Sockets {
    let ends = state.ends().into_iter().filter_map(|end| {
        let parts = (part(rules, end.hosts.0, end.hosts.1), part(rules, end.hosts.1, end.hosts.0));
        let is_made =
            seen.by_cookie.get(&end.cookie).is_some_and(|f| f.inode != 0 && f.state != Tcp::SYN_SENT);
        (is_made && parts != (0, 0)).then_some((end.cookie, (end, parts)))
    });
    let ends: Ends = ends.collect();
    places.retain(|cookie, _| ends.contains_key(cookie));
    find_places(state, seen, &ends, places);
    let mut sockets = Sockets::new();
    let now = Instant::now();
    for (cookie, (end, (sent, received))) in ends {
        let is_peer_reached = seen.peer(&end).is_some_and(|peer| places.contains_key(&peer.cookie));
        let Some(place) = places.get_mut(&cookie) else { continue };
        let is_filtered = received > 0 && place.filters(cookie, received);
        let directions =
            Shut { receiving: received > 0 && !is_filtered, sending: sent > 0 && !is_peer_reached };
        let of = |is_shut, part| if is_shut { part as f64 / LOSS_WHOLE as f64 } else { 0.0 };
        let part = of(directions.sending, sent).max(of(directions.receiving, received));
        place.turns = directions.is_any();
        if place.turns {
            let socket = Socket {
                process: Arc::clone(&place.process),
                number: place.number,
                hosts: end.hosts,
                directions,
                part,
                is_shut: false,
                copy: None,
                since: now,
                next: now,
                owed: 0.0,
            };
            sockets.insert(cookie, socket);
        }
    }
    sockets
}

/// Finds where the ends are that have no place so far.
fn find_places(state: &State, seen: &Seen, ends: &Ends, places: &mut Places) {
    let pids: BTreeSet<Pid> = ends.values().map(|(end, _)| end.pid).collect();
    for pid in pids.into_iter().chain(state.processes.keys().copied()) {
        if places.len() == ends.len() {
            return;
        }
        let Ok(process) = pidfd_open(pid).map(Arc::new) else { continue };
        let place = |number| Place { process: Arc::clone(&process), number, turns: false, filter: None };
        // Its process has said by which descriptor.
        let its = ends.values().map(|(end, _)| end).filter(|end| end.pid == pid);
        for end in its {
            let Some(number) = end.descriptor.filter(|_| !places.contains_key(&end.cookie)) else { continue };
            match copy_of(&process, number, end.cookie) {
                Ok(copy) => {
                    places.insert(end.cookie, place(number));
                    reach::close(copy);
                }
                Err(Errno::EBADF) => {}
                Err(_) => break,
            }
        }
        let left = ends.keys().filter(|cookie| !places.contains_key(cookie));
        let left: HashSet<u32> = left.filter_map(|cookie| Some(seen.by_cookie.get(cookie)?.inode)).collect();
        if !left.is_empty() {
            let _ = each_socket(pid, &|inode| left.contains(&inode), &mut |cookie, _, number| {
                places.entry(cookie).or_insert_with(|| place(number));
                true
            });
        }
    }
}

fn begin(table: Table<'static>) -> Arc<Shared> {
    let shared = Arc::new(Shared::default());
    let its = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("lonetd-loss".into()).spawn(move || lose(&its, table));
    if let Err(e) = thread {
        tracing::warn!("nothing is lost, as there is no thread for it: {e}");
    }
    shared
}

fn lose(shared: &Shared, table: Table<'_>) {
    let mut random = Random(RandomState::new().build_hasher().finish() | 1);
    let mut sockets = shared.lock();
    loop {
        let now = Instant::now();
        // One that cannot be reached any more is found again, if it is there.
        sockets
            .retain(|cookie, socket| socket.next > now || socket.turn(*cookie, table, &mut random).is_ok());
        let next = sockets.values().map(|socket| socket.next).min();
        sockets = match next {
            None => shared.changed.wait(sockets).unwrap_or_else(PoisonError::into_inner),
            Some(next) => {
                let rest = next.saturating_duration_since(Instant::now());
                shared.changed.wait_timeout(sockets, rest).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

impl Socket {
    /// Shuts it if it is open, and opens it if it is shut.
    fn turn(&mut self, cookie: Cookie, table: Table<'_>, random: &mut Random) -> sys::Result<()> {
        let socket = match self.copy.take() {
            Some(socket) => socket,
            None => reach::copy(&self.process, self.number.into())?,
        };
        let fd = socket.as_raw_fd();
        self.is_shut = !self.is_shut;
        let set = match sys::cookie(fd)? == cookie {
            false => Err(Errno::EBADF),
            true => loop {
                let (rules, mut shut) = table.shut_between(self.hosts);
                shut.receiving |= self.is_shut && self.directions.receiving;
                shut.sending |= self.is_shut && self.directions.sending;
                let set = valve::set(table, fd, cookie, shut, false);
                if set.is_err() || table.faults() == rules {
                    break set;
                }
            },
        };
        match set {
            Ok(_) if self.is_shut => self.copy = Some(socket),
            _ => reach::close(socket),
        }
        let now = Instant::now();
        let lasted = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        let open_for_shut = (1.0 - self.part) / self.part;
        let (shortest, longest) = (SHORTEST.as_secs_f64(), LONGEST.as_secs_f64());
        let next = if self.is_shut {
            self.owed += lasted / open_for_shut;
            shortest + (longest - shortest) * random.uniform()
        } else {
            self.owed -= lasted;
            let usual = f64::midpoint(shortest, longest);
            (usual - self.owed).max(0.0) * open_for_shut * random.exponential()
        };
        self.owed = self.owed.clamp(-OWED_MOST, OWED_MOST);
        self.next = now + Duration::from_secs_f64(next);
        set
    }
}

impl Socket {
    /// Opens it, as far as rules leave it open, if it is shut: nobody else may have it any more.
    fn release(self, cookie: Cookie, table: Table<'_>) {
        let Some(socket) = self.copy else { return };
        let (_, shut) = table.shut_between(self.hosts);
        let _ = valve::set(table, socket.as_raw_fd(), cookie, shut, false);
        reach::close(socket);
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    /// In 0..1.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 1 on average.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_are_to_be_on_average() {
        let mut random = Random(7);
        let n = 100_000;
        let average = (0..n).map(|_| random.exponential()).sum::<f64>() / f64::from(n);
        assert!((0.98..1.02).contains(&average), "{average}");
        assert!((0..n).all(|_| (0.0..1.0).contains(&random.uniform())));
    }

    #[test]
    fn greatest_loss_of_a_direction_counts() {
        let rule = |from, to, value| Rule { value, ..Rule::new(Kind::Loss, from, to) };
        let rules = [rule(1, 2, LOSS_WHOLE / 10), rule(1, 0, LOSS_WHOLE / 5), rule(1, 3, LOSS_WHOLE / 2)];
        assert_eq!(
            [(1, 2), (1, 3), (2, 1)].map(|(a, b)| part(&rules, a, b)),
            [LOSS_WHOLE / 5, LOSS_WHOLE / 2, 0]
        );
    }
}
