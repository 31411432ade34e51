//! The messages between a process and lonetd.
//!
//! One exchange is one connection to lonetd's SEQPACKET socket: one request, and one reply where there is
//! anything to answer. A request names everything that it needs (host, options, socket), so that any lonetd,
//! also one that was started after the last one died, can take it. Sockets are named by their cookie, never by
//! a descriptor's number. Whether there is a reply is said by [`Request::delivery`].
//!
//! A message opens with [`MAGIC`] and [`VERSION`], in every version of lonet, so that two that do not speak
//! the same say so. [`NetworkOp::Down`] and the replies to it are the same in every version ([`EVERY_VERSION`]), so that
//! any release ends the network of any other. Nothing here allocates: messages are built and read on the stack of a hook.

pub mod fields;
#[macro_use]
mod messages;
mod reply;
mod request;
mod runs;

pub use reply::{Reply, read_reply, write_down_reply, write_reply};
pub use request::{AnyOp, NetworkOp, Op, read_request, sent_at, write_request};
pub use runs::{Collected, Runs};

use fields::Writer;

use crate::block::Face;

pub const MAGIC: [u8; 4] = *b"lnet";

/// Raised with every change of the messages.
pub const VERSION: u16 = 17;

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
pub struct Requester<'a> {
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
    /// This image of the process has had no reply so far: the process may have executed another program since it was heard of.
    pub is_first: bool,
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
            is_first: false,
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

/// What can be sent to lonetd.
pub trait Request {
    fn delivery(&self) -> Delivery;

    #[doc(hidden)]
    fn write(&self, w: &mut Writer<'_>);

    /// The request to end the network, which is the same in every version; whether it ends its processes, too.
    fn down(&self) -> Option<bool> {
        None
    }
}

/// Whether a request is replied to, and what happens where lonetd has no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Replied,
    /// There is no reply. What changes an address that a program may ask for next is replied to.
    OneWay,
    /// There is no reply, and where there is no room it may be left out: the kernel announces the same.
    Hint,
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
