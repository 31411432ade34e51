//! Applies the rules to existing sockets.
//!
//! Both ends of a connection are set if both can be reached: one end is enough for data, but not for the reset that the kernel
//! sends when a process dies. A connection that was not accepted yet has the dialing end alone. One whose process has ended has
//! the other end alone, which is opened wide, so that the segments with which the kernel ends the connection pass in both
//! directions. A foreign host has no valve: our end is also given a key ([`tcp_md5`]).

mod reset;
mod untouched;

pub use reset::reset_all;
pub use untouched::Untouched;

use self::reset::Step;
use super::loss::lost_part;
use super::{Reached, Report, Unreached, filter, tcp_md5};
use crate::daemon::kernel::Live;
use crate::daemon::process::{pidfd_open, program};
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

/// The state in which a socket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Shut(Shut),
    /// Open, even if the valve of the other end cannot be opened.
    Wide,
    /// Its connection, if it has one, is to be reset: a step of that.
    Reset(Step),
}

/// A socket that is to be set.
struct Target {
    end: End,
    setting: Setting,
    /// The pace at which it has sent, and at which it is to send.
    paces: [Pace; 2],
    /// The part of incoming segments that it is to lose. `None`: no rule of loss has concerned it or concerns it.
    loss: Option<u64>,
    /// A rule of before has concerned it.
    was_concerned: bool,
    is_set: bool,
    /// The error if it was reached and could not be set.
    refusal: Option<Errno>,
}

impl Target {
    fn new(end: End, setting: Setting) -> Target {
        Target {
            end,
            setting,
            paces: [Pace::default(); 2],
            loss: None,
            was_concerned: false,
            is_set: false,
            refusal: None,
        }
    }
}

type Targets = HashMap<Cookie, Target>;

/// The network's connections, as the kernel lists them.
pub(super) struct KernelConnections<'a> {
    kernel: &'a Live,
    pub by_cookie: HashMap<Cookie, Found>,
    by_ends: HashMap<(SocketAddrV4, SocketAddrV4), Found>,
    block: Block,
}

impl<'a> KernelConnections<'a> {
    pub fn of(kernel: &'a Live, block: Block) -> KernelConnections<'a> {
        let all = kernel.connections(block);
        let by_cookie = all.iter().map(|f| (f.cookie, *f)).collect();
        KernelConnections {
            kernel,
            by_cookie,
            by_ends: all.into_iter().map(|f| ((f.local, f.remote), f)).collect(),
            block,
        }
    }

    /// The address of the other end if it is a foreign host's, or lonetd's as a relay to one.
    fn foreign_peer(&self, cookie: Cookie) -> Option<SocketAddrV4> {
        let f = self.by_cookie.get(&cookie).filter(|f| f.state != Tcp::SYN_SENT)?;
        let is_host = self.block.contains(*f.remote.ip()) && *f.remote.ip() != self.block.stack();
        (!is_host).then_some(f.remote)
    }

    /// The socket at the other end.
    pub fn peer(&self, end: &End) -> Option<&Found> {
        let f = self.by_cookie.get(&end.cookie)?;
        self.by_ends.get(&(f.remote, f.local))
    }

    /// Whether no process holds the other end any more while the kernel is still closing it.
    fn is_peer_orphan(&self, end: &End) -> bool {
        let ends = [Tcp::FIN_WAIT1, Tcp::FIN_WAIT2, Tcp::CLOSING, Tcp::LAST_ACK];
        self.peer(end).is_some_and(|peer| peer.inode == 0 && ends.contains(&peer.state))
    }
}

/// Sets those of these sockets that the rules of before or the current ones concern. `refuser`: the address to which dials
/// without a listener are directed, if these are to be set, too.
pub fn enforce(
    state: &State,
    kernel: &Live,
    table: Table<'_>,
    before: &[Rule],
    ends: Vec<End>,
    refuser: Option<SocketAddrV4>,
    untouched: &mut Untouched,
) -> Report {
    let rules = state.rules();
    let listed = KernelConnections::of(kernel, state.block);
    let mut targets = Targets::new();
    for end in ends {
        let [was, is] = [before, &rules].map(|rules| shut_by(rules.iter().copied(), end.hosts));
        let paces = [before, &rules].map(|rules| pace_by(rules.iter().copied(), end.hosts));
        let found = listed.by_cookie.get(&end.cookie);
        // A socket that the kernel does not list is about to be connected, or has ended.
        let is_held = found.map_or(end.is_dial, |f| f.inode != 0);
        let loses = |r: &Rule| r.loses(end.hosts);
        let (local, peer) = end.hosts;
        let loss = before.iter().chain(&rules).any(loses).then(|| lost_part(&rules, peer, local));
        let is_concerned = was.is_any() || is.is_any() || paces != [Pace::default(); 2] || loss.is_some();
        if !is_concerned || !is_held {
            continue;
        }
        let is_wide = !is.is_any() && listed.is_peer_orphan(&end);
        let setting = if is_wide { Setting::Wide } else { Setting::Shut(is) };
        let was_concerned = was.is_any() || paces[0] != Pace::default() || before.iter().any(loses);
        targets.insert(end.cookie, Target { paces, loss, was_concerned, ..Target::new(end, setting) });
    }
    if let Some(refuser) = refuser {
        refused_dials(state, &listed, &rules, refuser, &mut targets);
    }
    let refusals = set_all(state, table, &listed, &mut targets);
    // The other end of one that cannot be opened is opened wide.
    let stuck: Vec<Cookie> = { targets.values() }
        .filter(|t| !t.is_set && t.setting == Setting::Shut(Shut::NEITHER))
        .filter_map(|t| listed.peer(&t.end).map(|peer| peer.cookie))
        .collect();
    if !stuck.is_empty() {
        for cookie in stuck {
            if let Some(peer) = targets.get_mut(&cookie).filter(|peer| peer.is_set) {
                (peer.setting, peer.is_set) = (Setting::Wide, false);
            }
        }
        set_all(state, table, &listed, &mut targets);
    }
    forget_ended(state, kernel, &listed, &mut targets);
    untouched.sort_out(&listed, &mut targets);
    report(&listed, &targets, &refusals)
}

/// Removes targets that were closed meanwhile, and dials that had not begun: the dialing process applies the rules itself.
fn forget_ended(state: &State, kernel: &Live, listed: &KernelConnections<'_>, targets: &mut Targets) {
    if targets.values().all(|t| t.is_set) {
        return;
    }
    let now = KernelConnections::of(kernel, state.block);
    let is_held = |cookie: &Cookie| now.by_cookie.get(cookie).is_some_and(|f| f.inode != 0);
    targets.retain(|cookie, t| t.is_set || listed.by_cookie.contains_key(cookie) && is_held(cookie));
}

/// Adds dials without a listener, which have no record. They stay shut while a rule concerns a host of their process.
fn refused_dials(
    state: &State,
    listed: &KernelConnections<'_>,
    rules: &[Rule],
    refuser: SocketAddrV4,
    targets: &mut Targets,
) {
    for f in listed.by_cookie.values().filter(|f| f.remote == refuser && f.state == Tcp::SYN_SENT) {
        let is_concerned = |pid: &Pid| {
            let hosts = state.processes.get(pid).map(|p| &p.hosts);
            hosts.into_iter().flatten().any(|host| rules.iter().any(|r| r.from == *host || r.to == *host))
        };
        let mut owner = None;
        for pid in state.processes.keys().filter(|pid| !is_concerned(pid)) {
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

/// Sets the targets that can be reached. Returns the processes whose sockets cannot be reached.
fn set_all(
    state: &State,
    table: Table<'_>,
    listed: &KernelConnections<'_>,
    targets: &mut Targets,
) -> BTreeMap<Pid, Errno> {
    set_by_descriptor(table, listed, targets);
    let mut pending = Pending::of(listed, targets);
    let mut refusals = BTreeMap::new();
    let owners: BTreeSet<Pid> = targets.values().filter(|t| !t.is_set).map(|t| t.end.pid).collect();
    let members = state.processes.keys().copied();
    for pid in
        owners.iter().copied().filter(|pid| *pid != 0).chain(members.filter(|pid| !owners.contains(pid)))
    {
        if pending.n == 0 {
            return refusals;
        }
        if let Err(e) = set_in_process(pid, table, listed, targets, &mut pending) {
            refusals.insert(pid, e);
        }
    }
    // Sockets sent in messages or inherited may be held by processes that are no members.
    if pending.n > 0 {
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if !owners.contains(&pid) && !state.processes.contains_key(&pid) {
                let _ = set_in_process(pid, table, listed, targets, &mut pending);
            }
        }
    }
    refusals
}

/// Sets the targets whose descriptors are known from their processes. Searching for the others takes several times as long.
fn set_by_descriptor(table: Table<'_>, listed: &KernelConnections<'_>, targets: &mut Targets) {
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
                        target.set(table, listed, &socket);
                    }
                    reach::close(socket);
                }
                Err(Errno::EBADF) => {}
                // The process cannot be reached, or has reused the descriptor.
                Err(_) => break,
            }
        }
    }
}

/// The targets that are still to be set.
struct Pending {
    n: usize,
    inodes: HashSet<u32>,
    /// Whether the kernel does not list some of them, so that their inodes are unknown.
    is_any: bool,
}

impl Pending {
    fn of(listed: &KernelConnections<'_>, targets: &Targets) -> Pending {
        let mut pending = Pending { n: 0, inodes: HashSet::new(), is_any: false };
        for cookie in targets.iter().filter(|(_, t)| !t.is_set).map(|(cookie, _)| cookie) {
            pending.n += 1;
            match listed.by_cookie.get(cookie) {
                Some(found) => _ = pending.inodes.insert(found.inode),
                None => pending.is_any = true,
            }
        }
        pending
    }
}

/// Sets the targets that a process holds.
fn set_in_process(
    pid: Pid,
    table: Table<'_>,
    listed: &KernelConnections<'_>,
    targets: &mut Targets,
    Pending { n, inodes, is_any }: &mut Pending,
) -> Result<(), Errno> {
    if *n == 0 {
        return Ok(());
    }
    let is_wanted = |inode| *is_any || inodes.contains(&inode);
    each_socket(pid, &is_wanted, &mut |cookie, socket, _| {
        if let Some(target) = targets.get_mut(&cookie).filter(|t| !t.is_set) {
            target.set(table, listed, socket);
            *n -= usize::from(target.is_set);
        }
        *n > 0
    })
}

impl Target {
    fn set(&mut self, table: Table<'_>, listed: &KernelConnections<'_>, socket: &OwnedFd) {
        self.refusal = set(table, listed, socket, self).err();
        self.is_set = self.refusal.is_none();
    }
}

fn set(
    table: Table<'_>,
    listed: &KernelConnections<'_>,
    socket: &OwnedFd,
    target: &Target,
) -> Result<(), Errno> {
    let (fd, cookie) = (socket.as_raw_fd(), target.end.cookie);
    let [was, is] = target.paces;
    pace::set(fd, was, is)?;
    match target.loss.map(|part| filter::set_loss(fd, part)) {
        // Its valve implements the loss instead.
        None | Some(Ok(()) | Err(Errno::EBUSY | Errno::EPERM)) => {}
        Some(Err(e)) => return Err(e),
    }
    match target.setting {
        Setting::Wide => valve::open_wide(fd),
        Setting::Reset(step) => reset::take(listed, fd, &target.end, step),
        Setting::Shut(shut) => {
            // A connected socket does not dial any more.
            let may_dial = listed.by_cookie.get(&cookie).is_none_or(|f| f.state == Tcp::SYN_SENT);
            let dials = may_dial && matches!(tcp_state(fd)?, Tcp::SYN_SENT | Tcp::CLOSE);
            valve::set(table, fd, cookie, shut, dials)?;
            match listed.foreign_peer(cookie) {
                Some(peer) => tcp_md5::set(fd, peer, shut.sending && shut.receiving),
                None => Ok(()),
            }
        }
    }
}

/// The socket's state, the first byte of TCP_INFO. A socket in CLOSE is about to be connected.
fn tcp_state(fd: i32) -> Result<Tcp, Errno> {
    sys::getsockopt::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO).map(Tcp)
}

fn report(listed: &KernelConnections<'_>, targets: &Targets, refusals: &BTreeMap<Pid, Errno>) -> Report {
    let mut connections = Reached::default();
    let mut missed = BTreeMap::new();
    for (cookie, target) in targets {
        let peer = listed.peer(&target.end).and_then(|peer| targets.get(&peer.cookie));
        let is_peer_set = peer.is_some_and(|peer| peer.is_set);
        // Each connection once.
        if peer.is_some_and(|peer| peer.end.cookie < *cookie) {
            continue;
        }
        // The pace of a direction is set at its sending end alone.
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
