//! Answers what lonetd's state asks of the kernel (the trait [`Kernel`]), by NETLINK_SOCK_DIAG and /proc.

mod batch;
mod probe;

use super::holders;
use super::owner::Owner;
use super::process::{self, pidfd_open};
use super::state::{ConnectedSocket, Cookie, Kernel, KernelSocket, Pid, UnconnectedState};
use batch::Unconnected;
use lonet_core::block::Block;
use lonet_core::diag::{self, Diag, NOBODY, SocketAnswer, State, Traffic};
use lonet_core::sys;
use probe::Probe;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Queries NETLINK_SOCK_DIAG, and /proc for programs' names.
pub struct Live {
    diag: Option<Diag>,
    shows_bound: bool,
    /// A listener of lonetd's own, which the kernel must find: otherwise its "there is none" proves nothing.
    control: SocketAddrV4,
    /// The time when the kernel last found `control`.
    confirmed: Cell<Option<Instant>>,
    /// The current batch of queries about unconnected sockets.
    unconnected: Unconnected,
    /// What probes addresses where the kernel does not list bound sockets.
    probe: Probe,
}

/// How long a found control is valid. It fails if a module of the kernel is unloaded, if ever.
const CONTROL_VALID_FOR: Duration = Duration::from_millis(100);

/// The states of sockets that are connected, connecting or closing.
const CONNECTIONS: u32 =
    State::ALL & !(State::LISTEN.bit() | State::BOUND_INACTIVE.bit() | State::TIME_WAIT.bit());

fn is_of(block: Block, found: &diag::SocketInfo) -> bool {
    block.contains(*found.local.ip()) || block.contains(*found.remote.ip())
}

impl Live {
    /// `control`: a listener of lonetd's own. `shows_bound`: whether this kernel lists bound idle sockets.
    pub fn new(control: SocketAddrV4, shows_bound: bool) -> Live {
        let diag = Diag::open().ok().filter(|d| matches!(d.lookup(control, NOBODY), Ok(Some(_))));
        let (confirmed, unconnected) = (Cell::new(None), Unconnected::OneByOne);
        Live { diag, shows_bound, control, confirmed, unconnected, probe: Probe::default() }
    }

    /// Like [`Kernel::batch`], for all of the block.
    pub fn many(&mut self, many: bool) {
        self.batch(many.then_some(self.net()));
    }

    /// The addresses of the block, as a prefix and its length.
    fn net(&self) -> (Ipv4Addr, u8) {
        let [a, b, ..] = self.control.ip().octets();
        (Ipv4Addr::new(a, b, 0, 0), 16)
    }

    /// What this kernel cannot report, for the log.
    pub fn shortcomings(&self) -> Option<&'static str> {
        match (&self.diag, self.shows_bound) {
            (None, _) => {
                Some("this kernel has no sock_diag: ports of ended processes are freed late or never")
            }
            (Some(_), false) => Some(
                "this kernel does not list bound sockets (6.8 does): ports with connections may be freed late",
            ),
            (Some(_), true) => None,
        }
    }

    /// Whether a negative answer of the kernel's is reliable.
    fn is_reliable(&self) -> bool {
        let now = Instant::now();
        if self.confirmed.get().is_some_and(|at| now.duration_since(at) < CONTROL_VALID_FOR) {
            return true;
        }
        let tells = self.diag.as_ref().is_some_and(|d| matches!(d.lookup(self.control, NOBODY), Ok(Some(_))));
        self.confirmed.set(tells.then_some(now));
        tells
    }

    /// All sockets of a block. `None`: the kernel cannot be asked.
    pub fn kernel_sockets(&self, block: Block) -> Option<BTreeMap<Cookie, KernelSocket>> {
        if !self.shows_bound || !self.is_reliable() {
            return None;
        }
        let mut all = BTreeMap::new();
        let net = (Ipv4Addr::new(127, block.number(), 0, 0), 16);
        let dumped = self.diag.as_ref()?.dump(State::ALL, Some(net), &mut |f| {
            let idle =
                if f.state == State::LISTEN { UnconnectedState::Listening } else { UnconnectedState::Bound };
            // A socket that was reset and is bound still has its last peer's address.
            let connected = f.remote != NOBODY && f.state != State::BOUND_INACTIVE;
            let remote = connected.then_some(f.remote);
            let held = f.inode != 0 && f.state != State::TIME_WAIT;
            all.insert(f.cookie, KernelSocket { local: f.local, remote, idle, held });
        });
        dumped.ok().map(|()| all)
    }

    /// All connections of a block, and those that dial into it from elsewhere. Empty if the kernel cannot be
    /// asked.
    pub fn connections(&self, block: Block) -> Vec<diag::SocketInfo> {
        let mut all = Vec::new();
        let dumped = self.diag.as_ref().map(|diag| {
            diag.dump(CONNECTIONS, None, &mut |f| {
                if is_of(block, &f) {
                    all.push(f);
                }
            })
        });
        if dumped.is_some_and(|dumped| dumped.is_err()) { Vec::new() } else { all }
    }

    /// Like [`Live::connections`], with the counts of their segments.
    pub fn traffic(&self, block: Block) -> Vec<(diag::SocketInfo, Traffic)> {
        let mut all = Vec::new();
        let dumped = self.diag.as_ref().map(|diag| {
            diag.dump_traffic(CONNECTIONS, &mut |f, traffic| {
                if is_of(block, &f) {
                    all.push((f, traffic));
                }
            })
        });
        if dumped.is_some_and(|dumped| dumped.is_err()) { Vec::new() } else { all }
    }

    fn is_listed(&self, states: u32, local: Option<(Ipv4Addr, u8)>, cookie: Cookie) -> Option<bool> {
        let mut there = false;
        let dumped = self.diag.as_ref()?.dump(states, local, &mut |f| {
            // Without an inode it is the remnant of a closed connection.
            there |= f.cookie == cookie && f.inode != 0;
        });
        match dumped {
            Ok(()) if there => Some(true),
            Ok(()) => self.is_reliable().then_some(false),
            Err(_) => None,
        }
    }
}

/// The cookies of all sockets that a process holds. A socket that is neither bound nor connected is in none
/// of the tables that sock_diag reads; only its descriptor shows it. Fails if the kernel does not let lonetd
/// copy another process's descriptors (before 5.6, and by the rules of ptrace).
fn held_by(pid: Pid) -> io::Result<BTreeSet<Cookie>> {
    let process = pidfd_open(pid)?;
    let take = |number: libc::c_long| {
        // SAFETY: numbers only.
        match unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) } {
            // SAFETY: a new descriptor that nobody else has.
            fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let is_socket = std::fs::read_link(entry.path())
            .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let Some(number) = entry.file_name().to_str().and_then(|n| n.parse().ok()).filter(|_| is_socket)
        else {
            continue;
        };
        match take(number) {
            Ok(copy) => {
                all.extend(lonet_core::sys::getsockopt::<Cookie>(
                    copy.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_COOKIE,
                ));
            }
            // Closed meanwhile.
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

impl Live {
    /// Whether a socket is connected between these addresses. `None`: it is connecting, or the kernel cannot
    /// be asked.
    pub fn is_made(&self, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4) -> Option<bool> {
        match self.diag.as_ref()?.answer(local, remote).ok()? {
            SocketAnswer::Found(f) if f.cookie == cookie => {
                (f.state != State::SYN_SENT).then_some(f.state != State::CLOSE)
            }
            SocketAnswer::Found(_) | SocketAnswer::Another => Some(false),
            SocketAnswer::Nobody => self.is_reliable().then_some(false),
        }
    }

    /// Whether some process holds a socket that is, or was, connected between these addresses; true if the
    /// kernel cannot be asked.
    pub fn is_held(&self, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4) -> bool {
        !matches!(self.holding(cookie, local, remote), Some(Holding::Left | Holding::Gone))
    }

    /// What the kernel has of a socket that is, or was, connected between these addresses. `None`: it cannot be asked.
    pub fn holding(&self, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Holding> {
        match self.diag.as_ref()?.answer(local, remote).ok()? {
            SocketAnswer::Found(f) if f.cookie == cookie && f.inode != 0 => Some(Holding::Held),
            SocketAnswer::Found(f) if f.cookie == cookie => Some(Holding::Left),
            SocketAnswer::Found(_) | SocketAnswer::Another => Some(Holding::Gone),
            // The kernel answers the same for a socket that was reset and is open: its end is announced
            // later.
            SocketAnswer::Nobody => self.is_reliable().then_some(Holding::Gone),
        }
    }
}

/// What the kernel has of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Some process holds it.
    Held,
    /// No process holds it, and it has not ended.
    Left,
    /// It is in none of the kernel's tables.
    Gone,
}

impl Kernel for Live {
    fn connection(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Option<ConnectedSocket>> {
        match self.diag.as_ref()?.answer(local, remote).ok() {
            Some(SocketAnswer::Found(f)) => {
                let over = f.state == State::TIME_WAIT || f.state == State::CLOSE;
                let (held, dialing) = (f.inode != 0 && !over, f.state == State::SYN_SENT);
                Some(Some(ConnectedSocket { cookie: f.cookie, held, dialing, uid: f.uid }))
            }
            Some(SocketAnswer::Another) => Some(None),
            Some(SocketAnswer::Nobody) => self.is_reliable().then_some(None),
            None => None,
        }
    }

    fn unconnected(&mut self, cookie: Cookie, os: SocketAddrV4) -> Option<UnconnectedState> {
        if self.is_found_listening(cookie, os)
            || self.is_in_batch(State::LISTEN, (cookie, *os.ip())) == Some(true)
        {
            return Some(UnconnectedState::Listening);
        }
        let is_bound =
            if self.shows_bound { self.is_in_batch(State::BOUND_INACTIVE, (cookie, *os.ip())) } else { None };
        if is_bound == Some(true) {
            return Some(UnconnectedState::Bound);
        }
        // Also one that is in neither list: it may have begun to listen between them, and a list may lack a
        // socket next to which another was closed meanwhile.
        match self.diag.as_ref()?.listener(os, cookie) {
            Ok(Some(_)) => return Some(UnconnectedState::Listening),
            Ok(None) => {}
            Err(_) => return None,
        }
        if !self.shows_bound {
            return None;
        }
        let is_bound = match is_bound {
            Some(is_bound) => is_bound,
            None => self.is_listed(State::BOUND_INACTIVE.bit(), Some((*os.ip(), 32)), cookie)?,
        };
        Some(if is_bound { UnconnectedState::Bound } else { UnconnectedState::Gone })
    }

    fn is_bound(&mut self, os: SocketAddrV4) -> Option<bool> {
        if self.shows_bound { None } else { self.probe(os) }
    }

    fn is_held_anywhere(&mut self, cookie: Cookie) -> Option<bool> {
        // No process holds a socket in TIME_WAIT, of which a machine may list a hundred thousand.
        self.is_listed(State::ALL & !State::TIME_WAIT.bit(), None, cookie)
    }

    fn sockets_of(&mut self, pid: Pid) -> Option<BTreeSet<Cookie>> {
        held_by(pid).ok()
    }

    fn dialing(&mut self) -> BTreeSet<Cookie> {
        let mut all = BTreeSet::new();
        if let Some(diag) = &self.diag {
            // What it has named is so, even if it breaks off.
            _ = diag.dump(State::SYN_SENT.bit(), Some(self.net()), &mut |f| _ = all.insert(f.cookie));
        }
        all
    }

    fn holders(&mut self, sockets: &BTreeSet<Cookie>, members: &[Pid]) -> BTreeMap<Cookie, Pid> {
        let block = Some(self.net());
        let mut by_inode = BTreeMap::new();
        let all = State::ALL & !State::TIME_WAIT.bit();
        let dumped = self.diag.as_ref().map(|diag| {
            diag.dump(all, block, &mut |f| {
                if sockets.contains(&f.cookie) {
                    by_inode.insert(u64::from(f.inode), f.cookie);
                }
            })
        });
        match dumped {
            Some(Ok(())) => holders::find(by_inode, members, &Owner::here()),
            Some(Err(_)) | None => BTreeMap::new(),
        }
    }

    fn program(&mut self, pid: Pid) -> String {
        process::program(pid)
    }

    fn stands_for(&mut self, pid: Pid) -> Pid {
        process::stands_for(pid)
    }

    fn is_lonets(&mut self, pid: Pid) -> bool {
        process::is_lonets(pid)
    }

    fn oldest_child(&mut self, pid: Pid) -> Option<Pid> {
        process::children(pid).first().copied()
    }

    fn began(&mut self, pid: Pid) -> u64 {
        process::began(pid).unwrap_or(0)
    }

    fn batch(&mut self, net: Option<(Ipv4Addr, u8)>) {
        self.unconnected = Unconnected::of(net);
    }

    fn renew_batch(&mut self) {
        if let Unconnected::Batch { net, .. } = self.unconnected {
            self.batch(Some(net));
        }
    }

    fn now(&self) -> Duration {
        sys::clock(libc::CLOCK_MONOTONIC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_socket_outside_the_batch_is_found() {
        use nix::sys::socket::{self, SockaddrIn};
        let control = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let name = |fd| SocketAddrV4::from(socket::getsockname::<SockaddrIn>(fd).expect("its name"));
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
        socket::bind(socket.raw(), &SockaddrIn::new(127, 0, 0, 2, 0)).expect("an address");
        let (cookie, os) = (sys::cookie(socket.raw()).expect("a cookie"), name(socket.raw()));
        let mut live = Live::new(name(control.as_raw_fd()), true);
        if live.unconnected(cookie, os) != Some(UnconnectedState::Bound) {
            println!("SKIPPED: this kernel does not list bound sockets");
            return;
        }
        live.batch(Some((Ipv4Addr::new(127, 0, 0, 3), 32)));
        assert_eq!(live.unconnected(cookie, os), Some(UnconnectedState::Bound));
    }
}
