//! What processes send to lonetd, and how it is written to bytes and read from them.

use super::fields::{Read, Reader, Writer};
use super::{
    Asked, Delivery, EVERY_VERSION, Fault, MAGIC, MAX_MESSAGE, Malformed, Options, Request, Requester, Runs,
    Trace, VERSION, is_under_way,
};
use crate::block::Endpoint;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

messages! {
    /// About the sockets, names and membership of a process: what lonetd's state decides.
    pub enum Op {
        /// The process is a member; its host is up. `supervises`: it waits for a program that a child of its runs, and is none
        /// itself.
        0 Join { supervises: bool },
        /// The process is a member that acts on the table by itself, in the slot that it is given.
        1 Enter {
            /// It wants to know the host that it dials from, which is named after its program if it is no other.
            dials: bool,
            /// The slot that this image of the process has had so far (`table::state::NO_SLOT`: none), where the thread that
            /// held it has ended.
            seat: u16,
        },
        /// May this socket have this address?
        2 Bind {
            cookie: u64,
            at: Endpoint,
            asked: Asked,
            /// Counts OS addresses that the kernel refused.
            attempt: u8,
            /// The ports that are not to be given for port 0, unless no other is free.
            past: Runs<'a>,
        },
        /// The kernel has bound it so.
        3 Bound { cookie: u64, os: SocketAddrV4 },
        /// May this socket listen? `bound`: it has an address already.
        4 Listen { cookie: u64, bound: bool, asked: Asked, attempt: u8 },
        /// The kernel says that it listens.
        5 Listening { cookie: u64 },
        /// The kernel refused what lonetd had allowed: undo.
        6 Failed { cookie: u64 },
        /// Where does this destination lead?
        7 Dial {
            cookie: u64,
            to: Endpoint,
            /// Where the kernel has the socket, if it is bound.
            local: Option<SocketAddrV4>,
            asked: Asked,
            /// The process acts on the table, and dials by itself what can be dialed so
            /// ([`Reply::DialByTable`](super::Reply::DialByTable)).
            acts: bool,
            /// The program cannot know at which port the socket is: it does not mean to dial itself.
            unaware: bool,
        },
        /// What connect answered, and the source that the kernel chose.
        8 Dialed { cookie: u64, from: Option<SocketAddrV4>, errno: i32 },
        /// connect(AF_UNSPEC) took the connection off this socket, or ended its listening.
        9 Disconnected { cookie: u64 },
        /// Who calls? `local` and `remote` are the kernel's names of the accepted socket.
        10 Accept { listener: u64, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4 },
        /// What are this socket's addresses?
        11 Name { cookie: u64, local: SocketAddrV4, remote: Option<SocketAddrV4> },
        /// The program has set SO_REUSEADDR of a bound socket. [`Reply::Native`](super::Reply::Native): it is none of lonet's.
        12 Set { cookie: u64, reuse_address: bool },
        /// Some descriptor of this socket was closed.
        13 Closed { cookie: u64 },
        /// Descriptors of this process were closed in bulk: look at all its sockets.
        14 Review,
        /// A process of the caller's host may have ended, or a bound socket of it was closed: see to what it has left.
        15 Look,
        /// A host's name, without `.lonet`, as the program spelled it. `strict`: one that no host has is unknown, whatever the
        /// caller's options say.
        16 Resolve { name: &'a [u8], strict: bool },
        /// Whose address is this? IPv4 addresses are v4-mapped.
        17 Reverse { ip: Ipv6Addr },
        /// The OS address behind a lonet address.
        18 Locate { address: &'a str },
        /// The caller's host is to be new, or, with `share`, may be one that is up.
        19 Announce { share: bool },
        /// The process is the caller's host no more; without a host: no member any more.
        20 Leave,
        /// As [`Op::Dial`], to a host by its name; an empty one is the caller's own.
        21 DialHost { cookie: u64, host: &'a str, port: u16, asked: Asked },
        /// As [`Op::Name`], in names of hosts.
        22 Whois { cookie: u64, local: SocketAddrV4, remote: Option<SocketAddrV4> },
        /// The sender supervises its oldest child, which is a member on the sender's host from now on.
        23 Supervise,
    }
}

messages! {
    /// About the network: what lonetd does beside its state.
    pub enum NetworkOp {
        /// All hosts and sockets, as JSON, in several packets after [`Reply::Stream`](super::Reply::Stream).
        40 List,
        /// Answer when something listens on each of the lonet addresses, one a line, in the sealed memory file that comes
        /// with this message.
        41 Wait {
            /// Answer at once, with a file of those on which nothing listens if there are such.
            now: bool,
            /// Answer with EHOSTDOWN and its name when a host of theirs has had a process meanwhile and has none for a second.
            fails: bool,
            /// Who listens on its host's loopback alone counts whoever asks.
            loopback: bool,
            /// When the wait began, in nanoseconds on CLOCK_MONOTONIC, if lonetd, or one before it, was asked already; else 0:
            /// it begins now.
            since: u64,
        },
        /// End the network; with `kill`, its processes too.
        42 Down { kill: bool },
        /// Send this signal to all processes of a host. The answer is a file with three numbers: how many had it, to how many
        /// lonetd may not send it, and how many of those that had it were stopped.
        43 Signal { host: &'a str, signal: u8 },
        /// The socket that comes with this message is connected, or on its way, to a foreign peer: shake hands there
        /// on its behalf. `milliseconds`: how long the answer may take before the socket is to be relayed; 0: as
        /// long as any handshake.
        44 HandOver { cookie: u64, milliseconds: u32 },
        /// Sent on the connection of a [`NetworkOp::HandOver`] that is not answered yet: relay it now.
        45 GiveUp { cookie: u64 },
        /// Bind the socket that comes with this message there, or connect it: a sandbox keeps its program from the OS port.
        46 Lend { cookie: u64, os: SocketAddrV4, connects: bool },
        /// A socket with the local port `from` is about to ask this name server, by UDP or TCP: where is it to go instead?
        47 NameServer { server: Endpoint, from: u16, tcp: bool },
        /// Which name server is behind this address of the stack's?
        48 Behind { os: SocketAddrV4 },
        /// What is to go wrong between hosts: the order is in the sealed memory file that comes with this message, as JSON, and
        /// the answer is one.
        49 Faults,
        /// The same for a program, as `lonet cut` and `lonet heal` take it; the answer is
        /// [`Reply::Met`](super::Reply::Met).
        50 Fault { what: Fault, from: &'a str, to: &'a str },
        /// Record events, or what was recorded: for the network's owner.
        51 Trace(what: Trace),
    }
}

impl Request for Op<'_> {
    fn delivery(&self) -> Delivery {
        match *self {
            Op::Closed { .. } | Op::Review => Delivery::Hint,
            Op::Bound { .. } | Op::Listening { .. } => Delivery::OneWay,
            Op::Dialed { errno, .. } if is_under_way(errno) => Delivery::OneWay,
            _ => Delivery::Replied,
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.put(w);
    }
}

impl Request for NetworkOp<'_> {
    fn delivery(&self) -> Delivery {
        Delivery::Replied
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.put(w);
    }

    fn down(&self) -> Option<bool> {
        if let NetworkOp::Down { kill } = *self { Some(kill) } else { None }
    }
}

impl Op<'_> {
    /// The socket that the message is about, where lonetd decides about it.
    pub fn socket(&self) -> Option<u64> {
        match *self {
            Op::Bind { cookie, .. }
            | Op::Listen { cookie, .. }
            | Op::Dial { cookie, .. }
            | Op::DialHost { cookie, .. }
            | Op::Disconnected { cookie }
            | Op::Name { cookie, .. }
            | Op::Whois { cookie, .. }
            | Op::Set { cookie, .. } => Some(cookie),
            _ => None,
        }
    }
}

/// A request, as lonetd gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyOp<'a> {
    Op(Op<'a>),
    Network(NetworkOp<'a>),
}

impl AnyOp<'_> {
    pub fn as_request(&self) -> &dyn Request {
        match self {
            AnyOp::Op(op) => op,
            AnyOp::Network(op) => op,
        }
    }
}

/// Writes a request; its length, or `None` if it does not fit [`MAX_MESSAGE`]. `at`: when it is sent, see [`sent_at`].
pub fn write_request(
    buffer: &mut [u8; MAX_MESSAGE],
    at: Duration,
    requester: &Requester<'_>,
    request: &dyn Request,
) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    if let Some(kill) = request.down() {
        w.put(EVERY_VERSION);
        w.put(requester.key);
        w.put(kill);
        return w.finish();
    }
    w.put(VERSION);
    w.put(at.as_nanos() as u64);
    w.put(requester.host);
    w.put(requester.key);
    w.put(requester.options);
    request.write(&mut w);
    w.finish()
}

/// When a request was sent, on CLOCK_MONOTONIC: lonetd listens at two sockets, and the kernel does not tell in which order
/// something came to both. `None`: it does not say.
pub fn sent_at(bytes: &[u8]) -> Option<Duration> {
    let mut r = Reader { rest: bytes };
    let says = r.opening().ok()? != EVERY_VERSION;
    says.then(|| r.take().ok().map(Duration::from_nanos)).flatten()
}

/// Reads a request.
pub fn read_request(bytes: &[u8]) -> Result<(Requester<'_>, AnyOp<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let requester = Requester { host: "", key: r.take()?, options: Options::default() };
        let down = NetworkOp::Down { kill: r.take()? };
        return r.end((requester, AnyOp::Network(down)));
    }
    let _at: u64 = r.take()?;
    let requester = Requester { host: r.take()?, key: r.take()?, options: r.take()? };
    let tag = r.take()?;
    let request = match Op::take(tag, &mut r)? {
        Some(op) => AnyOp::Op(op),
        None => AnyOp::Network(NetworkOp::take(tag, &mut r)?.ok_or(Malformed::Bytes)?),
    };
    // It is not one of this version's messages.
    if matches!(request, AnyOp::Network(NetworkOp::Down { .. })) {
        return Err(Malformed::Bytes);
    }
    r.end((requester, request))
}
