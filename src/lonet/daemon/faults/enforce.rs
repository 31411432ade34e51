//! The valves of the sockets that there are, set as the rules have it.
//!
//! Both ends of a connection are set where both can be had: one is enough for what passes, but not for the reset that the
//! kernel sends when a process dies. A connection that nobody has accepted has the dialing end alone; one whose process has
//! gone has the other end alone, which is opened so wide that the kernel's last words pass in both directions. Of a connection with
//! a foreign host, which has no valve, ours is the only one: it is also given a key ([`signed`]).

use super::loss::part;
use super::{Reached, Report, Unreached, filter, signed};
use crate::daemon::kernel::{Live, program};
use crate::daemon::process::pidfd_open;
use crate::daemon::reach::{self, copy_of, each_socket, why};
use crate::daemon::state::{Cookie, End, Pid, State};
use lonet_core::block::Block;
use lonet_core::diag::{Found, State as Tcp};
use lonet_core::pace::{self, Pace};
use lonet_core::sys;
use lonet_core::table::Table;
use lonet_core::table::rules::{Rule, pace_by, shut_by};
use lonet_core::valve::{self, Shut};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

/// How a socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Shut(Shut),
    /// Open, whatever the other end is stuck with.
    Wide,
    /// Its connection is reset, if it has one.
    Reset,
}

/// A socket that is to be set.
struct Target {
    end: End,
    setting: Setting,
    /// How fast and how late it sent, and is to send.
    paces: [Pace; 2],
    /// How much it is to lose of what it is sent, where it did or is to.
    loss: Option<u64>,
    is_set: bool,
    /// Why it could be reached, but not set.
    refusal: Option<Errno>,
}

impl Target {
    fn new(end: End, setting: Setting) -> Target {
        Target { end, setting, paces: [Pace::default(); 2], loss: None, is_set: false, refusal: None }
    }
}

type Targets = HashMap<Cookie, Target>;

/// What the kernel has of the network's connections.
pub(super) struct Seen {
    pub by_cookie: HashMap<Cookie, Found>,
    by_ends: HashMap<(SocketAddrV4, SocketAddrV4), Found>,
    block: Block,
}

impl Seen {
    pub fn of(kernel: &Live, block: Block) -> Seen {
        let all = kernel.connections(block);
        let by_cookie = all.iter().map(|f| (f.cookie, *f)).collect();
        Seen { by_cookie, by_ends: all.into_iter().map(|f| ((f.local, f.remote), f)).collect(), block }
    }

    /// The address of the other end, if that is a foreign host's, or lonetd's, which carries on to one.
    fn foreign(&self, cookie: Cookie) -> Option<SocketAddrV4> {
        let f = self.by_cookie.get(&cookie).filter(|f| f.state != Tcp::SYN_SENT)?;
        let is_host = self.block.contains(*f.remote.ip()) && *f.remote.ip() != self.block.stack();
        (!is_host).then_some(f.remote)
    }

    /// The socket at the other end.
    pub fn peer(&self, end: &End) -> Option<&Found> {
        let f = self.by_cookie.get(&end.cookie)?;
        self.by_ends.get(&(f.remote, f.local))
    }

    /// The other end of its connection has been closed by all that held it, and the kernel still tries to end it.
    fn is_peer_orphan(&self, end: &End) -> bool {
        let ends = [Tcp::FIN_WAIT1, Tcp::FIN_WAIT2, Tcp::CLOSING, Tcp::LAST_ACK];
        self.peer(end).is_some_and(|peer| peer.inode == 0 && ends.contains(&peer.state))
    }
}

/// Sets those of these sockets that the rules of before or those of now are about. `refuser`: where dials end that find nobody,
/// if they are to be set, too.
pub fn enforce(
    state: &State,
    kernel: &Live,
    table: Table<'_>,
    before: &[Rule],
    ends: Vec<End>,
    refuser: Option<SocketAddrV4>,
) -> Report {
    let rules = state.rules();
    let seen = Seen::of(kernel, state.block);
    let mut targets = Targets::new();
    for end in ends {
        let [was, is] = [before, &rules].map(|rules| shut_by(rules.iter().copied(), end.hosts));
        let paces = [before, &rules].map(|rules| pace_by(rules.iter().copied(), end.hosts));
        let found = seen.by_cookie.get(&end.cookie);
        // What no table of the kernel's has is about to be connected, or has ended.
        let is_held = found.map_or(end.is_dial, |f| f.inode != 0);
        let loses = |r: &Rule| r.loses(end.hosts);
        let (here, there) = end.hosts;
        let loss = before.iter().chain(&rules).any(loses).then(|| part(&rules, there, here));
        let is_about = was.is_any() || is.is_any() || paces != [Pace::default(); 2] || loss.is_some();
        if !is_about || !is_held {
            continue;
        }
        let is_wide = !is.is_any() && seen.is_peer_orphan(&end);
        let setting = if is_wide { Setting::Wide } else { Setting::Shut(is) };
        targets.insert(end.cookie, Target { paces, loss, ..Target::new(end, setting) });
    }
    if let Some(refuser) = refuser {
        refused_dials(state, &seen, &rules, refuser, &mut targets);
    }
    let refusals = set_all(state, table, &seen, &mut targets);
    // What cannot be opened again is reached from its other end.
    let stuck: Vec<Cookie> = { targets.values() }
        .filter(|t| !t.is_set && t.setting == Setting::Shut(Shut::NEITHER))
        .filter_map(|t| seen.peer(&t.end).map(|peer| peer.cookie))
        .collect();
    if !stuck.is_empty() {
        for cookie in stuck {
            if let Some(peer) = targets.get_mut(&cookie).filter(|peer| peer.is_set) {
                (peer.setting, peer.is_set) = (Setting::Wide, false);
            }
        }
        set_all(state, table, &seen, &mut targets);
    }
    forget_ended(state, kernel, &seen, &mut targets);
    report(&seen, &targets, &refusals)
}

/// Leaves out what was closed while it was looked for, and dials that were not begun: who begins one follows the rules.
fn forget_ended(state: &State, kernel: &Live, seen: &Seen, targets: &mut Targets) {
    if targets.values().all(|t| t.is_set) {
        return;
    }
    let now = Seen::of(kernel, state.block);
    let is_held = |cookie: &Cookie| now.by_cookie.get(cookie).is_some_and(|f| f.inode != 0);
    targets.retain(|cookie, t| t.is_set || seen.by_cookie.contains_key(cookie) && is_held(cookie));
}

/// Resets the connections that are made between these hosts. Which sockets have been.
pub fn reset_all(state: &State, kernel: &Live, table: Table<'_>, between: &[Rule]) -> (Report, Vec<Cookie>) {
    let seen = Seen::of(kernel, state.block);
    let mut targets = Targets::new();
    for end in state.ends() {
        let is_made = |f: &&Found| f.inode != 0 && f.state != Tcp::SYN_SENT;
        let is_held = seen.by_cookie.get(&end.cookie).filter(is_made).is_some();
        if is_held && shut_by(between.iter().copied(), end.hosts).is_any() {
            targets.insert(end.cookie, Target::new(end, Setting::Reset));
        }
    }
    let refusals = set_all(state, table, &seen, &mut targets);
    forget_ended(state, kernel, &seen, &mut targets);
    let report = report(&seen, &targets, &refusals);
    (report, targets.into_iter().filter(|(_, t)| t.is_set).map(|(cookie, _)| cookie).collect())
}

/// Dials to where nobody listens have no record. They are shut while a rule is about a host of their process.
fn refused_dials(state: &State, seen: &Seen, rules: &[Rule], refuser: SocketAddrV4, targets: &mut Targets) {
    for f in seen.by_cookie.values().filter(|f| f.remote == refuser && f.state == Tcp::SYN_SENT) {
        let is_about = |pid: &Pid| {
            let hosts = state.processes.get(pid).map(|p| &p.hosts);
            hosts.into_iter().flatten().any(|host| rules.iter().any(|r| r.from == *host || r.to == *host))
        };
        let mut owner = None;
        for pid in state.processes.keys().filter(|pid| !is_about(pid)) {
            let _ = each_socket(*pid, &|inode| inode == f.inode, &mut |cookie, _, _| {
                if cookie == f.cookie {
                    owner = Some(*pid);
                }
                owner.is_none()
            });
        }
        if let Some(pid) = owner {
            let end = End { cookie: f.cookie, hosts: (0, 0), pid, is_dial: true, descriptor: None };
            targets.insert(f.cookie, Target::new(end, Setting::Shut(Shut::NEITHER)));
        }
    }
}

/// Sets whatever can be reached. The processes whose sockets cannot.
fn set_all(state: &State, table: Table<'_>, seen: &Seen, targets: &mut Targets) -> BTreeMap<Pid, Errno> {
    set_by_number(table, seen, targets);
    let mut left = Left::of(seen, targets);
    let mut refusals = BTreeMap::new();
    let owners: BTreeSet<Pid> = targets.values().filter(|t| !t.is_set).map(|t| t.end.pid).collect();
    let members = state.processes.keys().copied();
    for pid in
        owners.iter().copied().filter(|pid| *pid != 0).chain(members.filter(|pid| !owners.contains(pid)))
    {
        if left.n == 0 {
            return refusals;
        }
        if let Err(e) = set_of(pid, table, seen, targets, &mut left) {
            refusals.insert(pid, e);
        }
    }
    // Held by processes that the network does not know: sent in messages, or inherited.
    if left.n > 0 {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if !owners.contains(&pid) && !state.processes.contains_key(&pid) {
                let _ = set_of(pid, table, seen, targets, &mut left);
            }
        }
    }
    refusals
}

/// Sets those whose processes have said by which descriptors they have them, if they still do. To look for the others takes
/// several times as long.
fn set_by_number(table: Table<'_>, seen: &Seen, targets: &mut Targets) {
    let mut by_process: BTreeMap<Pid, Vec<(i32, Cookie)>> = BTreeMap::new();
    for (cookie, target) in targets.iter().filter(|(_, t)| !t.is_set) {
        if let Some(number) = target.end.descriptor {
            by_process.entry(target.end.pid).or_default().push((number, *cookie));
        }
    }
    for (pid, sockets) in by_process {
        let Ok(process) = pidfd_open(pid) else { continue };
        for (number, cookie) in sockets {
            match copy_of(&process, number, cookie) {
                Ok(socket) => {
                    if let Some(target) = targets.get_mut(&cookie) {
                        target.set(table, seen, &socket);
                    }
                    reach::close(socket);
                }
                Err(Errno::EBADF) => {}
                // It cannot be reached, or does other things with its descriptors than it says.
                Err(_) => break,
            }
        }
    }
}

/// What is still to be set.
struct Left {
    n: usize,
    inodes: HashSet<u32>,
    /// Of what no table has the inode is not known.
    is_any: bool,
}

impl Left {
    fn of(seen: &Seen, targets: &Targets) -> Left {
        let mut left = Left { n: 0, inodes: HashSet::new(), is_any: false };
        for cookie in targets.iter().filter(|(_, t)| !t.is_set).map(|(cookie, _)| cookie) {
            left.n += 1;
            match seen.by_cookie.get(cookie) {
                Some(found) => _ = left.inodes.insert(found.inode),
                None => left.is_any = true,
            }
        }
        left
    }
}

/// Sets what a process holds.
fn set_of(
    pid: Pid,
    table: Table<'_>,
    seen: &Seen,
    targets: &mut Targets,
    Left { n, inodes, is_any }: &mut Left,
) -> Result<(), Errno> {
    if *n == 0 {
        return Ok(());
    }
    let is_wanted = |inode| *is_any || inodes.contains(&inode);
    each_socket(pid, &is_wanted, &mut |cookie, socket, _| {
        if let Some(target) = targets.get_mut(&cookie).filter(|t| !t.is_set) {
            target.set(table, seen, socket);
            *n -= usize::from(target.is_set);
        }
        *n > 0
    })
}

impl Target {
    fn set(&mut self, table: Table<'_>, seen: &Seen, socket: &OwnedFd) {
        self.refusal = set(table, seen, socket, self).err();
        self.is_set = self.refusal.is_none();
    }
}

fn set(table: Table<'_>, seen: &Seen, socket: &OwnedFd, target: &Target) -> Result<(), Errno> {
    let (fd, cookie) = (socket.as_raw_fd(), target.end.cookie);
    let [was, is] = target.paces;
    pace::set(fd, was, is)?;
    match target.loss.map(|part| filter::lose(fd, part)) {
        // Its valve is what loses.
        None | Some(Ok(()) | Err(Errno::EBUSY | Errno::EPERM)) => {}
        Some(Err(e)) => return Err(e),
    }
    match target.setting {
        Setting::Wide => valve::open_wide(fd),
        Setting::Reset => reset(fd),
        Setting::Shut(shut) => {
            // What is connected dials no more.
            let may_dial = seen.by_cookie.get(&cookie).is_none_or(|f| f.state == Tcp::SYN_SENT);
            let dials = may_dial && matches!(tcp_state(fd)?, Tcp::SYN_SENT | Tcp::CLOSE);
            valve::set(table, fd, cookie, shut, dials)?;
            match seen.foreign(cookie) {
                Some(peer) => signed::set(fd, peer, shut.sending && shut.receiving),
                None => Ok(()),
            }
        }
    }
}

/// The state is what TCP_INFO begins with. A socket in CLOSE is about to be connected.
fn tcp_state(fd: i32) -> Result<Tcp, Errno> {
    sys::getsockopt::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO).map(Tcp)
}

/// Sends a reset, and has the socket look as if it had been sent one.
fn reset(fd: i32) -> Result<(), Errno> {
    if matches!(tcp_state(fd)?, Tcp::SYN_SENT | Tcp::CLOSE) {
        return Ok(());
    }
    sys::disconnect(fd)?;
    // Wakes whoever waits for it.
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_shutdown, fd, libc::SHUT_RDWR) };
    Ok(())
}

fn report(seen: &Seen, targets: &Targets, refusals: &BTreeMap<Pid, Errno>) -> Report {
    let mut connections = Reached::default();
    let mut missed = BTreeMap::new();
    for (cookie, target) in targets {
        let peer = seen.peer(&target.end).and_then(|peer| targets.get(&peer.cookie));
        let is_peer_set = peer.is_some_and(|peer| peer.is_set);
        // Each connection once.
        if peer.is_some_and(|peer| peer.end.cookie < *cookie) {
            continue;
        }
        // What an end sends is paced there alone.
        let is_unpaced = |t: &Target| !t.is_set && t.paces != [Pace::default(); 2];
        let is_missed = is_unpaced(target) || peer.is_some_and(is_unpaced);
        match (target.is_set, is_peer_set) {
            (true, true) => connections.both += 1,
            (a, b) if is_missed || !a && !b => {
                connections.none += 1;
                let unset = [Some(target), peer].into_iter().flatten().filter(|t| !t.is_set);
                missed.extend(unset.map(|t| (t.end.pid, t.refusal)));
            }
            _ => connections.one += 1,
        }
    }
    let reason = |pid: Pid, refusal: Option<Errno>| match (refusals.get(&pid), refusal) {
        (Some(errno), _) => why(pid, *errno),
        (None, Some(Errno::ENOPROTOOPT)) => {
            "what is sent to a foreign host cannot be cut, as this kernel has no TCP_MD5SIG".into()
        }
        (None, Some(errno)) => errno.desc().to_owned(),
        (None, None) => "no process has the socket that lonetd can look into".into(),
    };
    let unreached = missed.into_iter().map(|(pid, refusal)| Unreached {
        pid,
        program: program(pid),
        why: reason(pid, refusal),
    });
    Report { connections, unreached: unreached.collect(), ..Report::default() }
}
