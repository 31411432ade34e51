//! The messages between a process and lonetd.
//!
//! One exchange is one connection to lonetd's SEQPACKET socket: one request, and one reply where there is
//! anything to answer. A request names everything that it needs (host, options, socket), so that any lonetd,
//! also one that was started after the last one died, can take it. Sockets are named by their cookie, never by
//! a descriptor's number. Messages that are [`Op::one_way`] have no reply.
//!
//! A message opens with [`MAGIC`] and [`VERSION`], in every version of lonet, so that two that do not speak
//! the same say so. [`Op::Down`] and the replies to it are the same in every version ([`EVERY_VERSION`]), so that
//! any release ends the network of any other. Nothing here allocates: messages are built and read on the stack of a hook.

pub mod fields;
mod reply;
mod request;
mod runs;

pub use reply::{read_reply, write_down_reply, write_reply};
pub use request::{read_request, sent_at, write_request};
pub use runs::{Collected, Runs};

use crate::block::{Endpoint, Face};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub const MAGIC: [u8; 4] = *b"lnet";

/// Raised with every change of the messages.
pub const VERSION: u16 = 15;

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
    /// It acts for supervised programs, of whose closes nobody is told.
    pub closes_unseen: bool,
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
            closes_unseen: false,
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
    /// May this socket have this address? `attempt` counts OS addresses that the kernel refused. `past`: the ports that are
    /// not to be given for port 0, unless no other is free.
    Bind { cookie: u64, at: Endpoint, asked: Asked, attempt: u8, past: Runs<'a> },
    /// The kernel has bound it so.
    Bound { cookie: u64, os: SocketAddrV4 },
    /// May this socket listen? `bound`: it has an address already.
    Listen { cookie: u64, bound: bool, asked: Asked, attempt: u8 },
    /// The kernel says that it listens.
    Listening { cookie: u64 },
    /// The kernel refused what lonetd had allowed: undo.
    Failed { cookie: u64 },
    /// Where does this destination lead? `local`: where the kernel has the socket, if it is bound. `acts`: the process acts on
    /// the table, and dials by itself what can be dialed so ([`Reply::Go`]).
    Dial { cookie: u64, to: Endpoint, local: Option<SocketAddrV4>, asked: Asked, acts: bool },
    /// The process is a member that acts on the table by itself, in the slot that it is given. `dials`: it wants to know the
    /// host that it dials from, which is named after its program if it is no other. `seat`: the slot that this image of the
    /// process has had so far (`table::state::NO_SLOT`: none), where the thread that held it has ended.
    Enter { dials: bool, seat: u16 },
    /// A process of the caller's host may have ended, or a bound socket of it was closed: see to what it has left.
    Look,
    /// What connect answered, and the source that the kernel chose.
    Dialed { cookie: u64, from: Option<SocketAddrV4>, errno: i32 },
    /// connect(AF_UNSPEC) took the connection off this socket.
    Disconnected { cookie: u64 },
    /// Who calls? `local` and `remote` are the kernel's names of the accepted socket.
    Accept { listener: u64, cookie: u64, local: SocketAddrV4, remote: SocketAddrV4 },
    /// What are this socket's addresses?
    Name { cookie: u64, local: SocketAddrV4, remote: Option<SocketAddrV4> },
    /// The program has set SO_REUSEADDR of a bound socket. [`Reply::Native`]: it is none of lonet's.
    Set { cookie: u64, reuse_address: bool },
    /// Some descriptor of this socket was closed.
    Closed { cookie: u64 },
    /// Descriptors of this process were closed in bulk: look at all its sockets.
    Review,
    /// A host's name, without `.lonet`, as the program spelled it. `strict`: one that no host has is unknown, whatever the
    /// caller's options say.
    Resolve { name: &'a [u8], strict: bool },
    /// Whose address is this? IPv4 addresses are v4-mapped.
    Reverse { ip: Ipv6Addr },
    /// A UDP socket with the local port `from` is about to ask this name server: where is it to go instead?
    NameServer { server: Endpoint, from: u16 },
    /// Which name server is behind this address of the stack's?
    Behind { os: SocketAddrV4 },
    /// All hosts and sockets, as JSON, in several packets after [`Reply::Stream`].
    List,
    /// Answer when something listens on each of the lonet addresses, one a line, in the sealed memory file that comes
    /// with this message; `now`: answer at once, with a file of those on which nothing does if there are such. `fails`: not
    /// when a host of theirs has had a process meanwhile and has none for a second: then the answer is EHOSTDOWN, with
    /// its name. `loopback`: who listens on its host's loopback alone counts whoever asks.
    Wait { now: bool, fails: bool, loopback: bool },
    /// End the network; with `kill`, its processes too.
    Down { kill: bool },
    /// Send this signal to all processes of a host. The answer is a file with two numbers: how many had it, and to how many
    /// lonetd may not send it.
    Signal { host: &'a str, signal: u8 },
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
    /// Bind the socket that comes with this message there, or connect it: a sandbox keeps its program from the OS port.
    Lend { cookie: u64, os: SocketAddrV4, connects: bool },
    /// Sent on the connection of a [`Op::HandOver`] that is not answered yet: relay it now.
    GiveUp { cookie: u64 },
    /// What is to go wrong between hosts: the order is in the sealed memory file that comes with this message, as JSON, and the
    /// answer is one.
    Faults,
    /// The same for a program, as `lonet cut` and `lonet heal` take it; the answer is [`Reply::Met`].
    Fault { what: Fault, from: &'a str, to: &'a str },
    /// Record events, or what was recorded: for the network's owner.
    Trace(Trace),
}

/// What a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut,
    Heal,
    /// Only how it stands.
    Count,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Cut, Fault::Heal, Fault::Count];
}

/// What is to be done about recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trace {
    /// Record until [`Trace::Stop`], anew if nobody records.
    Start = 0,
    Stop = 1,
    /// Answer when all events that there are have been written.
    Write = 2,
    /// Record for as long as the connection is open; the answer comes when it is so.
    Hold = 3,
    /// As [`Trace::Hold`]; then each event comes in a packet of its own, as a line of JSON, from now on, or from the first one
    /// that was recorded on.
    Read = 4,
    ReadAll = 5,
    /// Events are sent for as long as the connection is open, as lines of JSON, several in a packet. Nothing is recorded for
    /// it: whether somebody watches is not seen in a trace.
    Watch = 6,
}

impl Trace {
    pub const ALL: [Trace; 7] =
        [Trace::Start, Trace::Stop, Trace::Write, Trace::Hold, Trace::Read, Trace::ReadAll, Trace::Watch];
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

    /// Whether there is nothing to reply. What changes an address that a program may ask for next is replied to.
    pub fn one_way(&self) -> bool {
        if let Op::Dialed { errno, .. } = self {
            return is_under_way(*errno);
        }
        matches!(self, Op::Bound { .. } | Op::Listening { .. } | Op::Closed { .. } | Op::Review)
    }
}

/// Whether a connect that ended with `errno` (0: success) has a connection, or one on its way.
pub fn is_under_way(errno: i32) -> bool {
    matches!(errno, 0 | libc::EINPROGRESS | libc::EINTR | libc::EALREADY | libc::EISCONN)
}

/// What every reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The network's block.
    pub block: u8,
    /// The pid of who asked, as lonetd sees it; 0: not said.
    pub pid: u32,
}

impl Opening {
    pub const NOTHING: Opening = Opening { block: 0, pid: 0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    Done,
    /// Not lonet's: do what libc does.
    Native,
    /// Bind the socket there (and, for Listen, listen): it has this lonet port.
    BindTo {
        os: SocketAddrV4,
        port: u16,
    },
    /// Listen; the socket is bound. Or: dial by what the table says.
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
    /// A host, with its name as it was given and as an ASCII label; neither has `.lonet` behind it. `stands`: the same is
    /// answered to this process while the table has this count of names ([`crate::table::Table::names`]); 0: ask each time.
    Host {
        index: u16,
        name: &'a str,
        ascii: &'a str,
        stands: u64,
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
    /// The process has this slot of the table (`table::state::NO_SLOT`: none, it asks for everything), and dials from the
    /// host of this index; 0: it has none so far.
    Entered {
        slot: u16,
        host: u16,
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
    /// How many rules for faults these are, and how often they have met something.
    Met {
        rules: u32,
        hits: u64,
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
