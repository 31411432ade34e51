//! Loss of segments, which `lonet loss` asks for. A socket that may have a filter ([`filter`]) drops each incoming segment with
//! the probability of the rule. The valves of other sockets are shut for short times, in which segments are dropped.
//!
//! A thread beside lonetd's loop shuts and opens these valves. The time for which a valve is shut is chosen at random between
//! [`SHORTEST`] and [`LONGEST`], and the time for which it is then open such that, on average, it is shut for the part of the
//! time that the rule says, however late the thread wakes up. The thread holds a copy of the socket's descriptor only while the
//! valve is shut: a copy keeps a socket alive when its program closes it, and without one a socket that is closed while its
//! valve is shut could not be opened any more, and would receive nothing.
//!
//! lonetd's loop looks for the sockets that rules concern every [`CHECK_EVERY`]: a newer connection loses nothing yet. A socket
//! is removed from the list under the lock, and set by the rules then: after that its valve is not shut any more.

use super::enforce::KernelConnections;
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

pub const CHECK_EVERY: Duration = Duration::from_millis(100);

const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(1);

/// A socket whose valve is shut for a part of the time.
struct Socket {
    process: Arc<OwnedFd>,
    number: i32,
    hosts: (Index, Index),
    /// The directions that are shut.
    directions: Shut,
    /// The part of the time.
    part: f64,
    is_shut: bool,
    /// A copy of the descriptor, while it is shut.
    copy: Option<OwnedFd>,
    /// The times of the last change and of the next one.
    since: Instant,
    next: Instant,
    /// The seconds for which it should have been shut so far, and was not.
    deficit: f64,
}

/// Limits the deficit: after a suspension of the machine not everything is lost for as long.
const MAX_DEFICIT: f64 = 0.02;

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

/// How a socket is reached: a process, and the number of its descriptor there.
struct Handle {
    process: Arc<OwnedFd>,
    number: i32,
    /// Whether its valve is shut for a part of the time.
    toggles: bool,
    /// The part that a filter was to lose, and whether it was attached.
    filter: Option<(u64, bool)>,
}

impl Handle {
    /// Attaches a filter that loses this part of incoming segments. Returns whether the socket has one.
    fn attach_filter(&mut self, cookie: Cookie, part: u64) -> bool {
        if let Some((_, has_filter)) = self.filter.filter(|(is, _)| *is == part) {
            return has_filter;
        }
        let has_filter = copy_of(&self.process, self.number, cookie).is_ok_and(|copy| {
            let attached = filter::set_loss(copy.as_raw_fd(), part);
            reach::close(copy);
            attached.is_ok()
        });
        self.filter = Some((part, has_filter));
        has_filter
    }
}

type Handles = HashMap<Cookie, Handle>;

/// The sockets that lose segments, and the thread that toggles their valves; it starts with the first rule.
#[derive(Default)]
pub struct Loss {
    shared: Option<Arc<Shared>>,
    looked: Option<Instant>,
    /// The sockets that the last look has found: they are not searched for again.
    handles: Handles,
}

impl Loss {
    /// When to look for sockets again.
    pub fn until(&self) -> Option<Instant> {
        self.looked.map(|looked| looked + CHECK_EVERY)
    }

    /// Looks for the sockets that rules concern.
    pub fn look(&mut self, state: &State, kernel: &Live, table: Table<'static>) {
        let rules = state.rules();
        if !rules.iter().any(|r| r.kind == Kind::Loss && r.at == 0) {
            self.looked = None;
            self.handles.clear();
            if let Some(shared) = &self.shared {
                shared.lock().drain().for_each(|(cookie, socket)| socket.release(cookie, table));
            }
            return;
        }
        let shared = self.shared.get_or_insert_with(|| start_thread(table));
        // Sockets that the thread has removed cannot be reached by their handles any more.
        let sockets = shared.lock();
        self.handles.retain(|cookie, handle| !handle.toggles || sockets.contains_key(cookie));
        drop(sockets);
        let found = find(state, &KernelConnections::of(kernel, state.block), &rules, &mut self.handles);
        self.looked = Some(Instant::now());
        let mut sockets = shared.lock();
        let is_over =
            |cookie: &Cookie, socket: &mut Socket| found.get(cookie).is_none_or(|f| !f.has_handle_of(socket));
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
    fn has_handle_of(&self, other: &Socket) -> bool {
        self.number == other.number && self.hosts == other.hosts
    }
}

/// The part, of [`LOSS_WHOLE`], that is lost of the segments from one host to another.
pub(super) fn lost_part(rules: &[Rule], from: Index, to: Index) -> u64 {
    let is = |r: &&Rule| r.kind == Kind::Loss && r.at == 0 && r.concerns(from, to);
    let of = rules.iter().filter(is).map(|r| r.value);
    of.max().unwrap_or(0).min(LOSS_WHOLE)
}

/// Ends of connections, with the parts lost of the segments that they send and that they receive.
type Ends = HashMap<Cookie, (End, (u64, u64))>;

/// The sockets whose valves are to be shut: of the receiving end, or of the sending one if that cannot be reached.
fn find(state: &State, listed: &KernelConnections, rules: &[Rule], handles: &mut Handles) -> Sockets {
    let ends = state.ends().into_iter().filter_map(|end| {
        let (local, peer) = end.hosts;
        let parts = (lost_part(rules, local, peer), lost_part(rules, peer, local));
        let is_made =
            listed.by_cookie.get(&end.cookie).is_some_and(|f| f.inode != 0 && f.state != Tcp::SYN_SENT);
        (is_made && parts != (0, 0)).then_some((end.cookie, (end, parts)))
    });
    let ends: Ends = ends.collect();
    handles.retain(|cookie, _| ends.contains_key(cookie));
    find_handles(state, listed, &ends, handles);
    let mut sockets = Sockets::new();
    let now = Instant::now();
    for (cookie, (end, (sent, received))) in ends {
        let is_peer_reached = listed.peer(&end).is_some_and(|peer| handles.contains_key(&peer.cookie));
        let Some(handle) = handles.get_mut(&cookie) else { continue };
        let is_filtered = received > 0 && handle.attach_filter(cookie, received);
        let directions =
            Shut { receiving: received > 0 && !is_filtered, sending: sent > 0 && !is_peer_reached };
        let of = |is_shut, part| if is_shut { part as f64 / LOSS_WHOLE as f64 } else { 0.0 };
        let part = of(directions.sending, sent).max(of(directions.receiving, received));
        handle.toggles = directions.is_any();
        if handle.toggles {
            let socket = Socket {
                process: Arc::clone(&handle.process),
                number: handle.number,
                hosts: end.hosts,
                directions,
                part,
                is_shut: false,
                copy: None,
                since: now,
                next: now,
                deficit: 0.0,
            };
            sockets.insert(cookie, socket);
        }
    }
    sockets
}

/// Finds handles for the ends that have none yet.
fn find_handles(state: &State, listed: &KernelConnections, ends: &Ends, handles: &mut Handles) {
    let pids: BTreeSet<Pid> = ends.values().map(|(end, _)| end.pid).collect();
    for pid in pids.into_iter().chain(state.processes.keys().copied()) {
        if handles.len() == ends.len() {
            return;
        }
        let Ok(process) = pidfd_open(pid).map(Arc::new) else { continue };
        let handle = |number| Handle { process: Arc::clone(&process), number, toggles: false, filter: None };
        // The descriptor is known from the process.
        let its = ends.values().map(|(end, _)| end).filter(|end| end.pid == pid);
        for end in its {
            let Some(number) = end.descriptor.filter(|_| !handles.contains_key(&end.cookie)) else {
                continue;
            };
            match copy_of(&process, number, end.cookie) {
                Ok(copy) => {
                    handles.insert(end.cookie, handle(number));
                    reach::close(copy);
                }
                Err(Errno::EBADF) => {}
                Err(_) => break,
            }
        }
        let left = ends.keys().filter(|cookie| !handles.contains_key(cookie));
        let left: HashSet<u32> =
            left.filter_map(|cookie| Some(listed.by_cookie.get(cookie)?.inode)).collect();
        if !left.is_empty() {
            let _ = each_socket(pid, &|inode| left.contains(&inode), &mut |cookie, _, number| {
                handles.entry(cookie).or_insert_with(|| handle(number));
                true
            });
        }
    }
}

fn start_thread(table: Table<'static>) -> Arc<Shared> {
    let shared = Arc::new(Shared::default());
    let its = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("lonetd-loss".into()).spawn(move || run(&its, table));
    if let Err(e) = thread {
        tracing::warn!("nothing is lost, as there is no thread for it: {e}");
    }
    shared
}

fn run(shared: &Shared, table: Table<'_>) {
    let mut random = Random(RandomState::new().build_hasher().finish() | 1);
    let mut sockets = shared.lock();
    loop {
        let now = Instant::now();
        // A socket that cannot be reached any more is searched for again.
        sockets
            .retain(|cookie, socket| socket.next > now || socket.toggle(*cookie, table, &mut random).is_ok());
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
    /// Shuts the valve if it is open, opens it if it is shut.
    fn toggle(&mut self, cookie: Cookie, table: Table<'_>, random: &mut Random) -> sys::Result<()> {
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
            self.deficit += lasted / open_for_shut;
            shortest + (longest - shortest) * random.uniform()
        } else {
            self.deficit -= lasted;
            let mean = f64::midpoint(shortest, longest);
            (mean - self.deficit).max(0.0) * open_for_shut * random.exponential()
        };
        self.deficit = self.deficit.clamp(-MAX_DEFICIT, MAX_DEFICIT);
        self.next = now + Duration::from_secs_f64(next);
        set
    }
}

impl Socket {
    /// Opens the valve if it is shut, as far as the rules allow: without its copy lonetd may not reach the socket any more.
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
    /// Uniform in 0..1.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential, with mean 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_times_have_their_mean() {
        let mut random = Random(7);
        let n = 100_000;
        let average = (0..n).map(|_| random.exponential()).sum::<f64>() / f64::from(n);
        assert!((0.98..1.02).contains(&average), "{average}");
        assert!((0..n).all(|_| (0.0..1.0).contains(&random.uniform())));
    }

    #[test]
    fn greatest_loss_of_a_direction_applies() {
        let rule = |from, to, value| Rule { value, ..Rule::new(Kind::Loss, from, to) };
        let rules = [rule(1, 2, LOSS_WHOLE / 10), rule(1, 0, LOSS_WHOLE / 5), rule(1, 3, LOSS_WHOLE / 2)];
        assert_eq!(
            [(1, 2), (1, 3), (2, 1)].map(|(a, b)| lost_part(&rules, a, b)),
            [LOSS_WHOLE / 5, LOSS_WHOLE / 2, 0]
        );
    }
}
