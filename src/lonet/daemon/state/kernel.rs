//! What the machine asks of the kernel.

use super::{Cookie, Pid};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// `None` from any of them: cannot tell.
pub trait Kernel {
    /// The socket of this connection.
    fn connection(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Option<ConnectedSocket>>;
    /// What the socket with this cookie, bound to this address and not connected, does.
    fn unconnected(&mut self, cookie: Cookie, os: SocketAddrV4) -> Option<UnconnectedState>;
    /// Whether some descriptor holds a socket with this cookie that the kernel has in any of its tables; slow.
    fn is_held_anywhere(&mut self, cookie: Cookie) -> Option<bool>;
    /// The sockets that a process has descriptors of, whatever the kernel's tables say of them; slow.
    fn sockets_of(&mut self, pid: Pid) -> Option<BTreeSet<Cookie>>;
    /// For each of these sockets a process that holds it, if one is found; the `members` are looked at first. Slow.
    fn holders(&mut self, sockets: &BTreeSet<Cookie>, members: &[Pid]) -> BTreeMap<Cookie, Pid>;
    /// The name of a process' program.
    fn program(&mut self, pid: Pid) -> String;
    /// The process in whose place this one is: a supervisor's program. Most are there for themselves.
    fn stands_for(&mut self, pid: Pid) -> Pid {
        pid
    }
    /// When a process began, in clock ticks since boot; 0: it has ended.
    fn began(&mut self, pid: Pid) -> u64;
    /// Many unconnected sockets within this net, an address and the length of its prefix, are about to be asked for, as they
    /// are at one moment; `None`: no more are.
    fn batch(&mut self, net: Option<(Ipv4Addr, u8)>);
    /// Time since some fixed instant.
    fn now(&self) -> Duration;
}

/// A connected socket, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectedSocket {
    pub cookie: Cookie,
    /// Some descriptor, or message in flight, holds it; false for what is still in a backlog, too.
    pub held: bool,
    pub uid: u32,
}

/// What an unconnected socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnconnectedState {
    Listening,
    Bound,
    Gone,
}
