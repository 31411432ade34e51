//! The messages between a process and lonetd.
//!
//! One exchange is one connection to lonetd's SEQPACKET socket: one request, and one reply where there is
//! anything to answer. A request names everything that it needs (host, options, socket), so that any lonetd,
//! also one that was started after the last one died, can take it. Sockets are named by their cookie, never by
//! a descriptor's number. Messages that are [`Op::one_way`] get no reply.
//!
//! A message opens with [`MAGIC`] and [`VERSION`], in every version of lonet, so that two that do not speak
//! the same say so. [`Op::Down`] and the replies to it are the same in every version ([`EVERY_VERSION`]), so that
//! any release ends the network of any other. Nothing here allocates: messages are built and read on the stack of a hook.

use crate::block::{Endpoint, Face};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub const MAGIC: [u8; 4] = *b"lnet";

/// Raised with every change of the messages.
pub const VERSION: u16 = 4;

/// In the place of a version, in what never changes:
///
/// - the request to end a network: MAGIC, this, the key (16 bytes), 1 to end its processes, too, or 0;
/// - the reply to it: MAGIC, this, errno (4 bytes) or 0 once it has ended, and why (2 bytes of length, UTF-8).
const EVERY_VERSION: u16 = 0;

/// The largest message in either direction.
pub const MAX_MESSAGE: usize = 1024;

/// The network's random key, by which processes that dropped their privileges stay members.
pub type Key = [u8; 16];

/// Who asks, and how it wants to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// LONET_HOST, or empty.
    pub host: &'a str,
    /// All zero: none.
    pub key: Key,
    pub options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the host does not serve on its loopback falls through to the machine (LONET_LOOPBACK=real).
    pub real_loopback: bool,
    /// Never bind an OS port equal to the lonet port (LONET_OS_PORTS=private).
    pub private_ports: bool,
    /// Names that no host has are unknown instead of getting an index (LONET_NAMES=strict).
    pub strict_names: bool,
    /// A host that this process brings up accepts on fresh ports, as those of the C API do.
    pub fresh_accept_ports: bool,
    /// Where the search for a free port begins (LONET_AUTOBIND).
    pub autobind_from: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            real_loopback: false,
            private_ports: false,
            strict_names: false,
            fresh_accept_ports: false,
            autobind_from: 1,
        }
    }
}

/// What a program asked of a socket that lonet had to set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub family: Face,
    pub v6only: bool,
    pub reuse_address: bool,
    pub reuse_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// The process is a member; its host is up.
    Join,
    /// May this socket have this address? `attempt` counts OS addresses that the kernel refused.
    Bind { cookie: u64, at: Endpoint, asked: Asked, attempt: u8 },
    /// The kernel has bound it so.
    Bound { cookie: u64, os: SocketAddrV4 },
    /// May this socket listen? `bound`: it has an address already.
    Listen { cookie: u64, bound: bool, asked: Asked, attempt: u8 },
    /// The kernel says that it listens.
    Listening { cookie: u64 },
    /// The kernel refused what lonetd had allowed: undo.
    Failed { cookie: u64 },
    /// Where does this destination lead? `local`: where the kernel has the socket, if it is bound.
    Dial { cookie: u64, to: Endpoint, local: Option<SocketAddrV4>, asked: Asked },
    /// What connect answered, and the source that the kernel chose.
    Dialed { cookie: u64, from: Option<SocketAddrV4>, errno: i32 },
    /// connect(AF_UNSPEC) took the connection off this socket.
    Disconnected { cookie: u64 },
    /// Who calls? `local` and `remote` are the kernel's names of the accepted socket.
    Accept { listener: u64, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4 },
    /// As [`Op::Accept`], by a process that has seen in the view who calls.
    Took { listener: u64, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4 },
    /// What are this socket's addresses?
    Name { cookie: u64, local: SocketAddrV4, remote: Option<SocketAddrV4> },
    /// The program has set SO_REUSEADDR of a bound socket.
    Set { cookie: u64, reuse_address: bool },
    /// Some descriptor of this socket was closed.
    Closed { cookie: u64 },
    /// Descriptors of this process were closed in bulk: look at all its sockets.
    Review,
    /// A host's name, without `.lonet`, as the program spelled it.
    Resolve { name: &'a [u8] },
    /// Whose address is this? IPv4 addresses are v4-mapped.
    Reverse { ip: Ipv6Addr },
    /// A UDP socket with the local port `from` is about to ask this name server: where is it to go instead?
    NameServer { server: Endpoint, from: u16 },
    /// Which name server is behind this address of the stack's?
    Behind { os: SocketAddrV4 },
    /// All hosts and sockets, as JSON, in several packets after [`Reply::Stream`].
    List,
    /// Answer when something listens on each of these, a lonet address a line.
    Wait { addresses: &'a str },
    /// End the network; with `kill`, its processes too.
    Down { kill: bool },
    /// The OS address behind a lonet address.
    Locate { address: &'a str },
    /// The caller's host is to be new, or, with `share`, may be one that is up.
    Announce { share: bool },
    /// The process is the caller's host no more; without a host: no member any more.
    Leave,
    /// As [`Op::Dial`], to a host by its name; an empty one is the caller's own.
    DialHost { cookie: u64, host: &'a str, port: u16, asked: Asked },
    /// As [`Op::Name`], in names of hosts.
    Whois { cookie: u64, local: SocketAddrV4, remote: Option<SocketAddrV4> },
    /// The socket that comes with this message is connected, or on its way, to a foreign peer: shake hands there
    /// on its behalf. `milliseconds`: how long the answer may take before the socket is to be relayed; 0: as
    /// long as any handshake.
    HandOver { cookie: u64, milliseconds: u32 },
    /// Sent on the connection of a [`Op::HandOver`] that is not answered yet: relay it now.
    GiveUp { cookie: u64 },
}

impl Op<'_> {
    /// Whether lonetd sends no reply. What changes an address that is told already is answered: the program may
    /// look into the view right behind it.
    pub fn one_way(&self) -> bool {
        if let Op::Dialed { errno, .. } = self {
            return is_under_way(*errno);
        }
        matches!(
            self,
            Op::Bound { .. } | Op::Listening { .. } | Op::Took { .. } | Op::Closed { .. } | Op::Review
        )
    }
}

/// Whether a connect that ended with `errno` (0: success) has a connection, or one on its way.
pub fn is_under_way(errno: i32) -> bool {
    matches!(errno, 0 | libc::EINPROGRESS | libc::EINTR | libc::EALREADY | libc::EISCONN)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Done,
    /// Not lonet's: do what libc does.
    Native,
    /// Bind the socket there (and, for Listen, listen).
    BindTo {
        os: SocketAddrV4,
    },
    /// Listen; the socket is bound.
    Go,
    /// Connect there, after binding to `from` (with no port) if it is named.
    ConnectTo {
        to: SocketAddrV4,
        from: Option<Ipv4Addr>,
    },
    /// The addresses that the program is to see.
    Accepted {
        local: Endpoint,
        peer: Endpoint,
    },
    /// Not for this listener: close it and accept the next one.
    Drop,
    /// `None`: what the kernel says.
    Named {
        local: Option<Endpoint>,
        peer: Option<Endpoint>,
        reuse_address: bool,
        v6only: bool,
    },
    /// A host, with its name as it was given and as an ASCII label; neither has `.lonet` behind it.
    Host {
        index: u16,
        name: &'a str,
        ascii: &'a str,
    },
    Located {
        os: SocketAddrV4,
    },
    /// As [`Reply::ConnectTo`], with the lonet port that the dial has; one that will be refused would have had it.
    /// `foreign`: as for [`Reply::DialForeign`].
    Way {
        to: SocketAddrV4,
        from: Option<Ipv4Addr>,
        port: u16,
        foreign: bool,
    },
    /// The dial fails with `errno`; `port` is what it would have had, 0 if none.
    NoWay {
        errno: i32,
        port: u16,
    },
    Names {
        local: Name<'a>,
        peer: Option<Name<'a>>,
        /// The asking process bound, dialed or accepted it.
        own: bool,
        /// The asking process is the socket's host.
        member: bool,
    },
    /// As `ConnectTo`, and then [`Op::HandOver`]: it is a foreign peer. As the answer to that: it takes too long;
    /// connect there to be relayed. (`ConnectTo` is the way to a refusal then.)
    DialForeign {
        to: SocketAddrV4,
        from: Option<Ipv4Addr>,
    },
    /// What was accepted is a courier: close it, and receive the connection that it stands for, the descriptor of
    /// which follows in a packet of its own. `buffers`: sizes of the receive and send buffers that a listener
    /// has whose program has set none.
    Courier {
        peer: Endpoint,
        buffers: [u32; 2],
    },
    /// Packets of text follow until the end of the connection.
    Stream,
    /// `errno` is what the call fails with, `text` says why.
    Error {
        errno: i32,
        text: &'a str,
    },
}

/// A lonet address with its host's name; where no host of lonet's is there, with an IP address in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    pub host: &'a str,
    pub port: u16,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not a lonet message at all, or cut short.
    Bytes,
    /// Another version's: that version.
    Version(u16),
}

struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        // A message that does not fit is cut here and refused by the length check in `finish`.
        if let Some(to) = self.buffer.get_mut(self.at..self.at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }
    fn u8(&mut self, v: u8) {
        self.bytes(&[v]);
    }
    fn u16(&mut self, v: u16) {
        self.bytes(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.bytes(&v.to_le_bytes());
    }
    fn i32(&mut self, v: i32) {
        self.bytes(&v.to_le_bytes());
    }
    fn flags(&mut self, flags: &[bool]) {
        self.u8(flags.iter().enumerate().fold(0, |all, (i, f)| all | u8::from(*f) << i));
    }
    fn ip4(&mut self, a: Ipv4Addr) {
        self.bytes(&a.octets());
    }
    fn os(&mut self, a: SocketAddrV4) {
        self.ip4(*a.ip());
        self.u16(a.port());
    }
    fn os_or_none(&mut self, a: Option<SocketAddrV4>) {
        self.u8(u8::from(a.is_some()));
        self.os(a.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
    }
    fn endpoint(&mut self, e: Endpoint) {
        self.bytes(&e.ip.octets());
        self.u16(e.port);
    }
    fn endpoint_or_none(&mut self, e: Option<Endpoint>) {
        self.u8(u8::from(e.is_some()));
        self.endpoint(e.unwrap_or(Endpoint::new(Ipv6Addr::UNSPECIFIED, 0)));
    }
    fn asked(&mut self, a: Asked) {
        self.flags(&[a.family == Face::V6, a.v6only, a.reuse_address, a.reuse_port]);
    }
    fn text(&mut self, t: &[u8]) {
        self.u16(t.len() as u16);
        self.bytes(t);
    }
    fn name(&mut self, n: Name<'_>) {
        self.text(n.host.as_bytes());
        self.u16(n.port);
    }
    fn finish(self) -> Option<usize> {
        (self.at <= self.buffer.len()).then_some(self.at)
    }
}

/// Reads fields in order; each call advances only when the field is there in full.
struct Reader<'b> {
    rest: &'b [u8],
}

type Read<T> = Result<T, Malformed>;

impl<'b> Reader<'b> {
    fn bytes(&mut self, n: usize) -> Read<&'b [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Bytes)?;
        self.rest = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| Malformed::Bytes)
    }
    fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }
    fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_le_bytes)
    }
    fn flags<const N: usize>(&mut self) -> Read<[bool; N]> {
        let all = self.u8()?;
        Ok(std::array::from_fn(|i| all >> i & 1 == 1))
    }
    fn ip4(&mut self) -> Read<Ipv4Addr> {
        self.array::<4>().map(Ipv4Addr::from)
    }
    fn os(&mut self) -> Read<SocketAddrV4> {
        Ok(SocketAddrV4::new(self.ip4()?, self.u16()?))
    }
    fn os_or_none(&mut self) -> Read<Option<SocketAddrV4>> {
        let there = self.u8()? != 0;
        let a = self.os()?;
        Ok(there.then_some(a))
    }
    fn endpoint(&mut self) -> Read<Endpoint> {
        Ok(Endpoint::new(Ipv6Addr::from(self.array::<16>()?), self.u16()?))
    }
    fn endpoint_or_none(&mut self) -> Read<Option<Endpoint>> {
        let there = self.u8()? != 0;
        let e = self.endpoint()?;
        Ok(there.then_some(e))
    }
    fn asked(&mut self) -> Read<Asked> {
        let [v6, v6only, reuse_address, reuse_port] = self.flags()?;
        Ok(Asked { family: if v6 { Face::V6 } else { Face::V4 }, v6only, reuse_address, reuse_port })
    }
    fn text(&mut self) -> Read<&'b [u8]> {
        let n = self.u16()?;
        self.bytes(usize::from(n))
    }
    fn str(&mut self) -> Read<&'b str> {
        std::str::from_utf8(self.text()?).map_err(|_| Malformed::Bytes)
    }
    fn name(&mut self) -> Read<Name<'b>> {
        Ok(Name { host: self.str()?, port: self.u16()? })
    }
    /// [`VERSION`] or [`EVERY_VERSION`].
    fn opening(&mut self) -> Read<u16> {
        if self.array::<4>()? != MAGIC {
            return Err(Malformed::Bytes);
        }
        match self.u16()? {
            version @ (VERSION | EVERY_VERSION) => Ok(version),
            other => Err(Malformed::Version(other)),
        }
    }
    fn end<T>(self, value: T) -> Read<T> {
        if self.rest.is_empty() { Ok(value) } else { Err(Malformed::Bytes) }
    }
}

/// Writes a request; its length, or `None` if it does not fit [`MAX_MESSAGE`].
pub fn write_request(buffer: &mut [u8; MAX_MESSAGE], caller: &Caller<'_>, op: &Op<'_>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    if let Op::Down { kill } = *op {
        w.u16(EVERY_VERSION);
        w.bytes(&caller.key);
        w.u8(u8::from(kill));
        return w.finish();
    }
    w.u16(VERSION);
    w.text(caller.host.as_bytes());
    w.bytes(&caller.key);
    let o = caller.options;
    w.flags(&[o.real_loopback, o.private_ports, o.strict_names, o.fresh_accept_ports]);
    w.u16(o.autobind_from);
    match *op {
        Op::Join => w.u8(0),
        Op::Bind { cookie, at, asked, attempt } => {
            w.u8(1);
            w.u64(cookie);
            w.endpoint(at);
            w.asked(asked);
            w.u8(attempt);
        }
        Op::Bound { cookie, os } => {
            w.u8(2);
            w.u64(cookie);
            w.os(os);
        }
        Op::Listen { cookie, bound, asked, attempt } => {
            w.u8(3);
            w.u64(cookie);
            w.flags(&[bound]);
            w.asked(asked);
            w.u8(attempt);
        }
        Op::Listening { cookie } => {
            w.u8(4);
            w.u64(cookie);
        }
        Op::Failed { cookie } => {
            w.u8(5);
            w.u64(cookie);
        }
        Op::Dial { cookie, to, local, asked } => {
            w.u8(6);
            w.u64(cookie);
            w.endpoint(to);
            w.os_or_none(local);
            w.asked(asked);
        }
        Op::Dialed { cookie, from, errno } => {
            w.u8(7);
            w.u64(cookie);
            w.os_or_none(from);
            w.i32(errno);
        }
        Op::Disconnected { cookie } => {
            w.u8(8);
            w.u64(cookie);
        }
        Op::Accept { listener, cookie, local, remote } => {
            w.u8(9);
            w.u64(listener);
            w.u64(cookie);
            w.os(local);
            w.os(remote);
        }
        Op::Name { cookie, local, remote } => {
            w.u8(10);
            w.u64(cookie);
            w.os(local);
            w.os_or_none(remote);
        }
        Op::Closed { cookie } => {
            w.u8(11);
            w.u64(cookie);
        }
        Op::Review => w.u8(12),
        Op::Resolve { name } => {
            w.u8(13);
            w.text(name);
        }
        Op::List => w.u8(14),
        Op::Wait { addresses } => {
            w.u8(15);
            w.text(addresses.as_bytes());
        }
        // Written above.
        Op::Down { .. } => {}
        Op::Locate { address } => {
            w.u8(17);
            w.text(address.as_bytes());
        }
        Op::HandOver { cookie, milliseconds } => {
            w.u8(30);
            w.u64(cookie);
            w.bytes(&milliseconds.to_le_bytes());
        }
        Op::GiveUp { cookie } => {
            w.u8(31);
            w.u64(cookie);
        }
        Op::Took { listener, cookie, local, remote } => {
            w.u8(50);
            w.u64(listener);
            w.u64(cookie);
            w.os(local);
            w.os(remote);
        }
        Op::Set { cookie, reuse_address } => {
            w.u8(18);
            w.u64(cookie);
            w.flags(&[reuse_address]);
        }
        Op::Reverse { ip } => {
            w.u8(19);
            w.bytes(&ip.octets());
        }
        Op::NameServer { server, from } => {
            w.u8(22);
            w.endpoint(server);
            w.u16(from);
        }
        Op::Behind { os } => {
            w.u8(21);
            w.os(os);
        }
        Op::Announce { share } => {
            w.u8(40);
            w.flags(&[share]);
        }
        Op::Leave => w.u8(41),
        Op::DialHost { cookie, host, port, asked } => {
            w.u8(42);
            w.u64(cookie);
            w.text(host.as_bytes());
            w.u16(port);
            w.asked(asked);
        }
        Op::Whois { cookie, local, remote } => {
            w.u8(43);
            w.u64(cookie);
            w.os(local);
            w.os_or_none(remote);
        }
    }
    w.finish()
}

/// Reads a request.
pub fn read_request(bytes: &[u8]) -> Result<(Caller<'_>, Op<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let caller = Caller { host: "", key: r.array()?, options: Options::default() };
        let op = Op::Down { kill: r.u8()? != 0 };
        return r.end((caller, op));
    }
    let host = r.str()?;
    let key = r.array()?;
    let [real_loopback, private_ports, strict_names, fresh_accept_ports] = r.flags()?;
    let autobind_from = r.u16()?;
    let options = Options { real_loopback, private_ports, strict_names, fresh_accept_ports, autobind_from };
    let caller = Caller { host, key, options };
    let op = match r.u8()? {
        0 => Op::Join,
        1 => Op::Bind { cookie: r.u64()?, at: r.endpoint()?, asked: r.asked()?, attempt: r.u8()? },
        2 => Op::Bound { cookie: r.u64()?, os: r.os()? },
        3 => Op::Listen { cookie: r.u64()?, bound: r.flags::<1>()?[0], asked: r.asked()?, attempt: r.u8()? },
        4 => Op::Listening { cookie: r.u64()? },
        5 => Op::Failed { cookie: r.u64()? },
        6 => Op::Dial { cookie: r.u64()?, to: r.endpoint()?, local: r.os_or_none()?, asked: r.asked()? },
        7 => Op::Dialed { cookie: r.u64()?, from: r.os_or_none()?, errno: r.i32()? },
        8 => Op::Disconnected { cookie: r.u64()? },
        9 => Op::Accept { listener: r.u64()?, cookie: r.u64()?, local: r.os()?, remote: r.os()? },
        10 => Op::Name { cookie: r.u64()?, local: r.os()?, remote: r.os_or_none()? },
        11 => Op::Closed { cookie: r.u64()? },
        12 => Op::Review,
        13 => Op::Resolve { name: r.text()? },
        14 => Op::List,
        15 => Op::Wait { addresses: r.str()? },
        17 => Op::Locate { address: r.str()? },
        30 => Op::HandOver { cookie: r.u64()?, milliseconds: r.u32()? },
        31 => Op::GiveUp { cookie: r.u64()? },
        50 => Op::Took { listener: r.u64()?, cookie: r.u64()?, local: r.os()?, remote: r.os()? },
        18 => Op::Set { cookie: r.u64()?, reuse_address: r.flags::<1>()?[0] },
        19 => Op::Reverse { ip: Ipv6Addr::from(r.array::<16>()?) },
        22 => Op::NameServer { server: r.endpoint()?, from: r.u16()? },
        21 => Op::Behind { os: r.os()? },
        40 => Op::Announce { share: r.flags::<1>()?[0] },
        41 => Op::Leave,
        42 => Op::DialHost { cookie: r.u64()?, host: r.str()?, port: r.u16()?, asked: r.asked()? },
        43 => Op::Whois { cookie: r.u64()?, local: r.os()?, remote: r.os_or_none()? },
        _ => return Err(Malformed::Bytes),
    };
    r.end((caller, op))
}

/// Writes a reply of the network whose block is `block`; its length.
pub fn write_reply(buffer: &mut [u8; MAX_MESSAGE], block: u8, reply: &Reply<'_>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.u16(VERSION);
    w.u8(block);
    match *reply {
        Reply::Done => w.u8(0),
        Reply::Native => w.u8(1),
        Reply::BindTo { os } => {
            w.u8(2);
            w.os(os);
        }
        Reply::Go => w.u8(3),
        Reply::ConnectTo { to, from } => {
            w.u8(4);
            w.os(to);
            w.flags(&[from.is_some()]);
            w.ip4(from.unwrap_or(Ipv4Addr::UNSPECIFIED));
        }
        Reply::Accepted { local, peer } => {
            w.u8(5);
            w.endpoint(local);
            w.endpoint(peer);
        }
        Reply::Drop => w.u8(6),
        Reply::Named { local, peer, reuse_address, v6only } => {
            w.u8(7);
            w.endpoint_or_none(local);
            w.endpoint_or_none(peer);
            w.flags(&[reuse_address, v6only]);
        }
        Reply::Host { index, name, ascii } => {
            w.u8(8);
            w.u16(index);
            w.text(name.as_bytes());
            w.text(ascii.as_bytes());
        }
        Reply::Located { os } => {
            w.u8(9);
            w.os(os);
        }
        Reply::DialForeign { to, from } => {
            w.u8(30);
            w.os(to);
            w.flags(&[from.is_some()]);
            w.ip4(from.unwrap_or(Ipv4Addr::UNSPECIFIED));
        }
        Reply::Courier { peer, buffers } => {
            w.u8(31);
            w.endpoint(peer);
            buffers.iter().for_each(|b| w.bytes(&b.to_le_bytes()));
        }
        Reply::Stream => w.u8(10),
        Reply::Error { errno, text } => {
            w.u8(11);
            w.i32(errno);
            w.text(text.as_bytes());
        }
        Reply::Way { to, from, port, foreign } => {
            w.u8(40);
            w.os(to);
            w.flags(&[from.is_some(), foreign]);
            w.ip4(from.unwrap_or(Ipv4Addr::UNSPECIFIED));
            w.u16(port);
        }
        Reply::NoWay { errno, port } => {
            w.u8(41);
            w.i32(errno);
            w.u16(port);
        }
        Reply::Names { local, peer, own, member } => {
            w.u8(42);
            w.name(local);
            w.flags(&[peer.is_some(), own, member]);
            w.name(peer.unwrap_or(Name { host: "", port: 0 }));
        }
    }
    w.finish()
}

/// Writes the reply to [`Op::Down`]: the network has ended, or why it has not.
pub fn write_down_reply(buffer: &mut [u8; MAX_MESSAGE], outcome: Result<(), (i32, &str)>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.u16(EVERY_VERSION);
    let (errno, text) = outcome.err().unwrap_or_default();
    w.i32(errno);
    w.text(text.as_bytes());
    w.finish()
}

/// Reads a reply: the network's block, 0 in the reply to [`Op::Down`], and the answer.
pub fn read_reply(bytes: &[u8]) -> Result<(u8, Reply<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let reply = match (r.i32()?, r.str()?) {
            (0, _) => Reply::Done,
            (errno, text) => Reply::Error { errno, text },
        };
        return r.end((0, reply));
    }
    let block = r.u8()?;
    let reply = match r.u8()? {
        0 => Reply::Done,
        1 => Reply::Native,
        2 => Reply::BindTo { os: r.os()? },
        3 => Reply::Go,
        kind @ (4 | 30) => {
            let to = r.os()?;
            let [named] = r.flags()?;
            let from = r.ip4()?;
            let from = named.then_some(from);
            if kind == 4 { Reply::ConnectTo { to, from } } else { Reply::DialForeign { to, from } }
        }
        31 => Reply::Courier { peer: r.endpoint()?, buffers: [r.u32()?, r.u32()?] },
        5 => Reply::Accepted { local: r.endpoint()?, peer: r.endpoint()? },
        6 => Reply::Drop,
        7 => {
            let (local, peer) = (r.endpoint_or_none()?, r.endpoint_or_none()?);
            let [reuse_address, v6only] = r.flags()?;
            Reply::Named { local, peer, reuse_address, v6only }
        }
        8 => Reply::Host { index: r.u16()?, name: r.str()?, ascii: r.str()? },
        9 => Reply::Located { os: r.os()? },
        10 => Reply::Stream,
        11 => Reply::Error { errno: r.i32()?, text: r.str()? },
        40 => {
            let to = r.os()?;
            let [named, foreign] = r.flags()?;
            let from = r.ip4()?;
            Reply::Way { to, from: named.then_some(from), port: r.u16()?, foreign }
        }
        41 => Reply::NoWay { errno: r.i32()?, port: r.u16()? },
        42 => {
            let local = r.name()?;
            let [there, own, member] = r.flags()?;
            let peer = r.name()?;
            Reply::Names { local, peer: there.then_some(peer), own, member }
        }
        _ => return Err(Malformed::Bytes),
    };
    r.end((block, reply))
}
