//! What lonetd's state asks of the kernel, as a trait: in tests, a model of the kernel answers.

use super::{Cookie, Pid};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The kernel's sockets and processes. A method that returns `None` could not find out.
pub trait Kernel {
    /// The socket with these two addresses. `Some(None)`: there is none.
    fn connection(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Option<ConnectedSocket>>;
    /// The state of the socket with this cookie, bound to this address and not connected.
    fn unconnected(&mut self, cookie: Cookie, os: SocketAddrV4) -> Option<UnconnectedState>;
    /// Whether an idle socket is bound to this address, which may be another than the one in question. Only where the kernel
    /// does not list such sockets; for a moment nobody else can bind there.
    fn is_bound(&mut self, os: SocketAddrV4) -> Option<bool>;
    /// Whether some descriptor holds a socket with this cookie, in any of the kernel's tables. Slow.
    fn is_held_anywhere(&mut self, cookie: Cookie) -> Option<bool>;
    /// The sockets that a process has descriptors of, whether or not the kernel's tables list them. Slow.
    fn sockets_of(&mut self, pid: Pid) -> Option<BTreeSet<Cookie>>;
    /// For each of these sockets a process that holds it, if one is found; the `members` are tried first.
    /// Slow.
    fn holders(&mut self, sockets: &BTreeSet<Cookie>, members: &[Pid]) -> BTreeMap<Cookie, Pid>;
    /// The sockets whose connect has sent a SYN that nobody has answered. Slow.
    fn dialing(&mut self) -> BTreeSet<Cookie>;
    /// The name of a process's program.
    fn program(&mut self, pid: Pid) -> String;
    /// The process that this one stands for: the program of a supervisor. Most processes stand for
    /// themselves.
    fn stands_for(&mut self, pid: Pid) -> Pid {
        pid
    }
    /// Whether a process executes lonet itself.
    fn is_lonets(&mut self, _pid: Pid) -> bool {
        false
    }
    /// The oldest child of a process that was not reaped.
    fn oldest_child(&mut self, _pid: Pid) -> Option<Pid> {
        None
    }
    /// The start time of a process, in clock ticks since boot; 0: it has ended.
    fn began(&mut self, pid: Pid) -> u64;
    /// Begins a batch of queries about unconnected sockets within a net (address and prefix length): they are
    /// answered from one snapshot. `None` ends the batch.
    fn batch(&mut self, net: Option<(Ipv4Addr, u8)>);
    /// Ends the snapshot of the batch in progress: later queries are answered from a newer one.
    fn renew_batch(&mut self) {}
    /// The time on CLOCK_MONOTONIC, which the next lonetd and the programs go on with.
    fn now(&self) -> Duration;
}

/// A connected socket, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectedSocket {
    pub cookie: Cookie,
    /// A descriptor, or a message in flight, holds it; false also for a socket that is still in a backlog.
    pub held: bool,
    /// Its connect is under way (SYN_SENT): no end of a connection belongs to it.
    pub dialing: bool,
    pub uid: u32,
}

/// The state of an unconnected socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnconnectedState {
    Listening,
    Bound,
    Gone,
}
