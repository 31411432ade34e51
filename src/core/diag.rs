//! Asks the kernel about the machine's TCP sockets, by NETLINK_SOCK_DIAG (sock_diag(7)).
//!
//! # For who uses it
//!
//! [`Diag::lookup`] asks for one 4-tuple, [`Diag::dump`] lists many sockets, [`Destroyed`] tells of sockets
//! that have ended, [`cookie`] gives the identity by which all of them name a socket. IPv4 sockets and
//! AF_INET6 sockets with v4-mapped addresses are found alike and look alike in the answers. Other IPv6
//! sockets are left out; a dual-stack `[::]` is shown as 0.0.0.0.
//!
//! *Not found is not dead.* The look-up knows connected and listening sockets only. A socket that is open,
//! but bound and idle, refused, reset, disconnected or shut down, is not found by its tuple. Bound ones are
//! listed by a dump of [`State::BOUND_INACTIVE`], on kernels that can: who has a bound socket of his own in the
//! dump knows. A socket that changes state *during* a dump may be listed twice or not at all. An error always
//! means "cannot ask".
//!
//! *Found is not held.* The inode is 0 while a connection waits in the backlog, and again when the last
//! descriptor is gone: a closed connection goes on as FIN_WAIT or TIME_WAIT, a minisocket that reports uid 0.
//!
//! A `Diag` sees the network namespace in which it was opened. It must not be used on both sides of a fork:
//! the two would take each other's answers.
//!
//! # For who maintains it
//!
//! An exact look-up is one SOCK_DIAG_BY_FAMILY request of AF_INET and one answer. A dump is the older
//! TCPDIAG_GETSOCK, which walks the kernel's tables once for both families; SOCK_DIAG_BY_FAMILY has to be
//! asked for each. `ss` uses it too.
//!
//! ENOENT says "no such socket", but also "this kernel has no tcp_diag". The first ENOENT of each `Diag` is
//! therefore followed by a dump of no states at all, which costs nothing and fails (EOPNOTSUPP) where tcp_diag
//! is missing.
//!
//! Nothing here calls libc's bind, connect or close: see `sys`. Errors are made without allocation.

mod destroyed;
mod kept;
pub mod layout;
mod netlink;
mod proc;
mod several;
#[cfg(test)]
mod tests;
pub mod wire;

pub use destroyed::{Destroyed, End};
pub use kept::{Loan, keep};
pub use proc::proc_dump;
pub use several::{SEVERAL, SocketQuestion};

use crate::sys;
use netlink::Netlink;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

/// The state of a TCP socket, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State(pub u8);

impl State {
    pub const ESTABLISHED: State = State(1);
    pub const SYN_SENT: State = State(2);
    /// The handshake is under way. A connection that has just arrived has a cookie, but no inode and no owner.
    pub const SYN_RECV: State = State(3);
    pub const FIN_WAIT1: State = State(4);
    pub const FIN_WAIT2: State = State(5);
    pub const TIME_WAIT: State = State(6);
    pub const CLOSE: State = State(7);
    pub const CLOSE_WAIT: State = State(8);
    pub const LAST_ACK: State = State(9);
    pub const LISTEN: State = State(10);
    pub const CLOSING: State = State(11);
    /// Bound, and neither listening nor connected. Only a dump shows it, from Linux 6.8 on.
    pub const BOUND_INACTIVE: State = State(13);

    /// Everything that a dump can show.
    pub const ALL: u32 = 0x3ffe;

    /// The bit of this state in the mask that [`Diag::dump`] takes.
    pub const fn bit(self) -> u32 {
        // 0 for a number beyond the mask, which the kernel does not have.
        if self.0 < 32 { 1 << self.0 } else { 0 }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            State::ESTABLISHED => "ESTABLISHED",
            State::SYN_SENT => "SYN_SENT",
            State::SYN_RECV => "SYN_RECV",
            State::FIN_WAIT1 => "FIN_WAIT1",
            State::FIN_WAIT2 => "FIN_WAIT2",
            State::TIME_WAIT => "TIME_WAIT",
            State::CLOSE => "CLOSE",
            State::CLOSE_WAIT => "CLOSE_WAIT",
            State::LAST_ACK => "LAST_ACK",
            State::LISTEN => "LISTEN",
            State::CLOSING => "CLOSING",
            State::BOUND_INACTIVE => "BOUND_INACTIVE",
            State(other) => return write!(f, "State({other})"),
        };
        f.write_str(name)
    }
}

/// One TCP socket, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    pub state: State,
    /// What SO_COOKIE says; 0 when it is not known ([`proc_dump`]).
    pub cookie: u64,
    /// 0: no process holds a descriptor of it.
    pub inode: u32,
    /// The owner; 0 also for what is no full socket (SYN_RECV, TIME_WAIT).
    pub uid: u32,
    pub local: SocketAddrV4,
    /// 0.0.0.0:0 when there is none.
    pub remote: SocketAddrV4,
}

/// What has become of the segments of a TCP socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many were for it and were dropped.
    pub dropped: u32,
    /// How many it has sent again.
    pub sent_again: u32,
}

/// What the kernel says to the question for one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketAnswer {
    Found(SocketInfo),
    /// It named a socket with other addresses. So it can be asked, and there is none with these.
    Another,
    /// There is none, or this kernel does not tell: whoever acts on it first asks for a socket that is there.
    Nobody,
}

impl SocketAnswer {
    fn found(self) -> Option<SocketInfo> {
        if let SocketAnswer::Found(found) = self { Some(found) } else { None }
    }
}

/// The remote address of a socket that has none.
pub const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// A dump that the kernel says was interrupted is tried so many times.
const DUMP_TRIES: usize = 5;

/// The kernel fills at most 32 KiB for one read of a dump.
const DUMP_BUFFER: usize = 32 << 10;

/// A way to ask the kernel about TCP sockets: one netlink socket, closed on drop.
///
/// For one thread at a time (it is not `Sync`): question and answer share the socket.
#[derive(Debug)]
pub struct Diag {
    netlink: Netlink,
    sequence: Cell<u32>,
    /// Whether it is known that the kernel has tcp_diag.
    answers: Cell<bool>,
}

impl Diag {
    pub fn open() -> io::Result<Diag> {
        Ok(Diag { netlink: Netlink::open(0)?, sequence: Cell::new(0), answers: Cell::new(false) })
    }

    /// The socket with these addresses; `remote` is [`NOBODY`] for a listener. `None`: there is none.
    ///
    /// The caller compares the cookie: the addresses may have passed to another socket. Of several listeners
    /// that share an address by SO_REUSEPORT the kernel names one, always the same one while the group does
    /// not change; ask for a certain one with [`Diag::listener`].
    ///
    /// An answer with other addresses than those asked for counts as none. The kernel gives such answers: for
    /// an address that nobody listens on it names the machine's wildcard listener of that port, and for a
    /// connection that has ended the listener it came from.
    pub fn lookup(&self, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<SocketInfo>> {
        self.exact(local, remote, None).map(SocketAnswer::found)
    }

    /// As [`Diag::lookup`], with what it is that an absence rests on.
    pub fn answer(&self, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<SocketAnswer> {
        self.exact(local, remote, None)
    }

    /// As [`Diag::lookup`], but only the socket of that cookie: the kernel compares.
    ///
    /// Not for listeners in a SO_REUSEPORT group. The kernel first chooses a member by the addresses, then
    /// compares, and so answers "none" for all members but one: [`Diag::listener`].
    pub fn lookup_cookie(
        &self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        cookie: u64,
    ) -> io::Result<Option<SocketInfo>> {
        self.exact(local, remote, Some(cookie)).map(SocketAnswer::found)
    }

    /// The listener of that address and cookie, also in a SO_REUSEPORT group: a look-up, and if that finds
    /// none, a dump of the listeners of this address. The dump allocates memory.
    pub fn listener(&self, local: SocketAddrV4, cookie: u64) -> io::Result<Option<SocketInfo>> {
        if let Some(found) = self.lookup_cookie(local, NOBODY, cookie)? {
            return Ok(Some(found));
        }
        let filter = wire::Filter { address: *local.ip(), prefix: 32, port: Some(local.port()) };
        let mut listener = None;
        self.dump_filtered(State::LISTEN.bit(), Some(filter), &mut |found| {
            if found.cookie == cookie {
                listener = Some(found);
            }
        })?;
        Ok(listener)
    }

    /// Calls `each` for every socket in one of `states` ([`State::bit`]), and with `local`, given as an address
    /// and the length of its prefix, only for those bound within it.
    ///
    /// `each` may see a socket more than once. `Ok`: the kernel has gone through all its tables.
    ///
    /// A dump of [`State::LISTEN`] alone reads a small table. Any other walks all connections of the machine, of every
    /// network namespace and in every state, whatever it is to list: about 50 ns each.
    pub fn dump(
        &self,
        states: u32,
        local: Option<(Ipv4Addr, u8)>,
        each: &mut dyn FnMut(SocketInfo),
    ) -> io::Result<()> {
        if local.is_some_and(|(_, prefix)| prefix > 32) {
            return Err(error(libc::EINVAL));
        }
        let filter = local.map(|(address, prefix)| wire::Filter { address, prefix, port: None });
        self.dump_filtered(states, filter, each)
    }

    /// As [`Diag::dump`], with what has become of the segments of each socket.
    pub fn dump_traffic(&self, states: u32, each: &mut dyn FnMut(SocketInfo, Traffic)) -> io::Result<()> {
        let mut buffer = vec![0; DUMP_BUFFER];
        let mut each = |found: SocketInfo, attributes: &[u8]| {
            if states & found.state.bit() != 0 {
                each(found, wire::traffic(attributes));
            }
        };
        self.dump_whole(&wire::Dump { states, filter: None, traffic: true }, &mut buffer, &mut each)
    }

    /// As [`Diag::dump`] of connections within `local`, with the bytes that each has carried. What the kernel does not tell
    /// of is left out.
    pub fn dump_carried(
        &self,
        (address, prefix): (Ipv4Addr, u8),
        each: &mut dyn FnMut(SocketInfo, sys::Traffic),
    ) -> io::Result<()> {
        if prefix > 32 {
            return Err(error(libc::EINVAL));
        }
        let filter = wire::Filter { address, prefix, port: None };
        let states = State::ESTABLISHED.bit() | State::CLOSE_WAIT.bit() | State::FIN_WAIT2.bit();
        let mut buffer = vec![0; DUMP_BUFFER];
        let mut each = |found: SocketInfo, attributes: &[u8]| {
            let is_wanted = states & found.state.bit() != 0 && filter.matches(found.local);
            if let Some(carried) = wire::carried_of(attributes).filter(|_| is_wanted) {
                each(found, carried);
            }
        };
        self.dump_whole(&wire::Dump { states, filter: Some(filter), traffic: true }, &mut buffer, &mut each)
    }

    fn exact(
        &self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        cookie: Option<u64>,
    ) -> io::Result<SocketAnswer> {
        let sequence = self.next_sequence();
        self.netlink.send(wire::exact_request(sequence, local, remote, cookie).bytes())?;
        // The head of the answer is what counts; what does not fit is attributes.
        let mut buffer = [0; 512];
        loop {
            let received = self.netlink.receive(&mut buffer)?.0;
            let Some(message) = wire::messages(received).find(|m| m.sequence == sequence) else { continue };
            let answer = several::understand(&message, (local, remote))?;
            if answer == SocketAnswer::Nobody {
                self.check_that_it_answers()?;
            }
            return Ok(answer);
        }
    }

    /// The positive control for ENOENT.
    fn check_that_it_answers(&self) -> io::Result<()> {
        if !self.answers.get() {
            let nothing = wire::Dump { states: 0, filter: None, traffic: false };
            self.dump_once(&nothing, &mut [0; 512], &mut |_, _| {})?;
            self.answers.set(true);
        }
        Ok(())
    }

    fn dump_filtered(
        &self,
        states: u32,
        filter: Option<wire::Filter>,
        each: &mut dyn FnMut(SocketInfo),
    ) -> io::Result<()> {
        let mut buffer = vec![0; DUMP_BUFFER];
        // Filtered again here, so that the result does not rest on the kernel's reading of the filter.
        let mut each = |found: SocketInfo, _: &[u8]| {
            if states & found.state.bit() != 0 && filter.is_none_or(|f| f.matches(found.local)) {
                each(found);
            }
        };
        self.dump_whole(&wire::Dump { states, filter, traffic: false }, &mut buffer, &mut each)
    }

    fn dump_whole(
        &self,
        what: &wire::Dump,
        buffer: &mut [u8],
        each: &mut dyn FnMut(SocketInfo, &[u8]),
    ) -> io::Result<()> {
        for _ in 0..DUMP_TRIES {
            if self.dump_once(what, buffer, each)? {
                return Ok(());
            }
        }
        Err(error(libc::EBUSY))
    }

    /// `false`: the tables have changed under the dump, and it is not complete.
    fn dump_once(
        &self,
        what: &wire::Dump,
        buffer: &mut [u8],
        each: &mut dyn FnMut(SocketInfo, &[u8]),
    ) -> io::Result<bool> {
        // A dump that was given up half-way would keep the kernel from starting another (EBUSY).
        self.netlink.drain(buffer);
        let sequence = self.next_sequence();
        self.netlink.send(wire::dump_request(sequence, what).bytes())?;
        let mut complete = true;
        loop {
            let (received, cut) = self.netlink.receive(buffer)?;
            if cut {
                return Err(error(libc::EMSGSIZE));
            }
            for message in wire::messages(received).filter(|m| m.sequence == sequence) {
                complete &= message.flags & wire::DUMP_INTERRUPTED == 0;
                match message.kind {
                    // Of a dump this can only mean that nobody is there to make it.
                    wire::ERROR if message.errno() == libc::ENOENT => return Err(error(libc::EOPNOTSUPP)),
                    wire::DONE | wire::ERROR if message.errno() != 0 => return Err(error(message.errno())),
                    wire::DONE => return Ok(complete),
                    _ if !message.is_socket() => return Err(error(libc::EPROTO)),
                    _ => {
                        if let Some(found) = wire::socket(message.body) {
                            each(found, wire::attributes(message.body));
                        }
                    }
                }
            }
        }
    }

    fn next_sequence(&self) -> u32 {
        let next = self.sequence.get().wrapping_add(1);
        self.sequence.set(next);
        next
    }
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// The identity of the network namespace of a socket of any family. Linux 5.14.
///
/// The namespace in which the socket was made. That of an accepted AF_UNIX socket is its client's.
pub fn netns_cookie(fd: RawFd) -> io::Result<u64> {
    Ok(sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE)?)
}
