//! The replies of lonetd, and how they are written to bytes and read from them.

use super::fields::{Read, Reader, Writer};
use super::{EVERY_VERSION, MAGIC, MAX_MESSAGE, Malformed, Name, Opening, VERSION};
use crate::block::Endpoint;
use std::net::{Ipv4Addr, SocketAddrV4};

messages! {
    /// What lonetd answers.
    pub enum Reply {
        0 Done,
        /// Not lonet's: do what libc does.
        1 Native,
        /// Bind the socket there (and, for Listen, listen): it has this lonet port.
        2 BindTo { os: SocketAddrV4, port: u16 },
        /// Listen where the socket is bound.
        3 Listen,
        /// Dial by what the table says.
        4 DialByTable,
        /// Connect there, after binding to `from` (with no port) if it is named.
        5 ConnectTo { to: SocketAddrV4, from: Option<Ipv4Addr> },
        /// As [`Reply::ConnectTo`], and then [`NetworkOp::HandOver`](super::NetworkOp::HandOver): it is a foreign peer.
        6 DialForeign { to: SocketAddrV4, from: Option<Ipv4Addr> },
        /// The foreign peer takes too long: connect there to be relayed.
        7 RelayAt { to: SocketAddrV4 },
        /// The foreign peer refuses: connect there to be refused.
        8 RefusedAt { to: SocketAddrV4 },
        /// The addresses that the program is to see.
        9 Accepted { local: Endpoint, peer: Endpoint },
        /// Not for this listener: close it and accept the next one.
        10 Drop,
        /// What was accepted is a courier: close it, and receive the connection that it stands for, the descriptor of
        /// which follows in a packet of its own. `buffers`: sizes of the receive and send buffers that a listener
        /// has whose program has set none.
        11 Courier { peer: Endpoint, receive_buffer: u32, send_buffer: u32 },
        /// `None`: what the kernel says.
        12 Named { local: Option<Endpoint>, peer: Option<Endpoint>, reuse_address: bool, v6only: bool },
        /// A host, with its name as it was given and as an ASCII label; neither ends in `.lonet`. The process
        /// may cache the reply while names have this generation ([`crate::table::Table::names_generation`]); 0: not at all.
        13 Host { index: u16, name: &'a str, ascii: &'a str, generation: u64 },
        14 Located { os: SocketAddrV4 },
        /// As [`Reply::ConnectTo`], with the lonet port that the dial has; one that will be refused would have had it.
        /// `foreign`: as for [`Reply::DialForeign`].
        15 Way { to: SocketAddrV4, from: Option<Ipv4Addr>, port: u16, foreign: bool },
        /// The dial fails with `errno`; `port` is what it would have had, 0 if none.
        16 NoWay { errno: i32, port: u16 },
        /// The process has this slot of the table (`table::state::NO_SLOT`: none, it asks for everything), and dials from the
        /// host of this index; 0: it has none so far.
        17 Entered { slot: u16, host: u16 },
        18 Names {
            local: Name<'a>,
            peer: Option<Name<'a>>,
            /// The asking process bound, dialed or accepted it.
            own: bool,
            /// The asking process is the socket's host.
            member: bool,
        },
        /// How many rules for faults these are, and how often they have met something.
        19 Met { rules: u32, hits: u64 },
        /// Packets of text follow until the end of the connection.
        20 Stream,
        /// `errno` is what the call fails with, `text` says why.
        21 Error { errno: i32, text: &'a str },
    }
}

/// Writes a reply; its length.
pub fn write_reply(buffer: &mut [u8; MAX_MESSAGE], opening: Opening, reply: &Reply<'_>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.put(VERSION);
    w.put(opening.block);
    w.put(opening.pid);
    reply.put(&mut w);
    w.finish()
}

/// Writes the reply to [`super::NetworkOp::Down`]: the network has ended, or why it has not.
pub fn write_down_reply(buffer: &mut [u8; MAX_MESSAGE], outcome: Result<(), (i32, &str)>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.put(EVERY_VERSION);
    let (errno, text) = outcome.err().unwrap_or_default();
    w.put(errno);
    w.put(text);
    w.finish()
}

/// Reads a reply; that to [`super::NetworkOp::Down`] opens with [`Opening::NOTHING`].
pub fn read_reply(bytes: &[u8]) -> Result<(Opening, Reply<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let reply = match (r.take()?, r.take()?) {
            (0, _) => Reply::Done,
            (errno, text) => Reply::Error { errno, text },
        };
        return r.end((Opening::NOTHING, reply));
    }
    let opening = Opening { block: r.take()?, pid: r.take()? };
    let tag = r.take()?;
    let reply = Reply::take(tag, &mut r)?.ok_or(Malformed::Bytes)?;
    r.end((opening, reply))
}
