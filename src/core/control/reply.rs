//! Replies as bytes.

use super::fields::{Reader, Writer};
use super::{EVERY_VERSION, MAGIC, MAX_MESSAGE, Malformed, Name, Opening, Reply, VERSION};
use std::net::Ipv4Addr;

/// Writes a reply; its length.
pub fn write_reply(buffer: &mut [u8; MAX_MESSAGE], opening: Opening, reply: &Reply<'_>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.u16(VERSION);
    w.u8(opening.block);
    w.bytes(&opening.pid.to_le_bytes());
    match *reply {
        Reply::Done => w.u8(0),
        Reply::Native => w.u8(1),
        Reply::BindTo { os, port } => {
            w.u8(2);
            w.os(os);
            w.u16(port);
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
        Reply::Host { index, name, ascii, stands } => {
            w.u8(8);
            w.u16(index);
            w.text(name.as_bytes());
            w.text(ascii.as_bytes());
            w.u64(stands);
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
        Reply::Entered { slot, host } => {
            w.u8(50);
            w.u16(slot);
            w.u16(host);
        }
        Reply::Met { rules, hits } => {
            w.u8(80);
            w.bytes(&rules.to_le_bytes());
            w.u64(hits);
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

/// Writes the reply to [`super::Op::Down`]: the network has ended, or why it has not.
pub fn write_down_reply(buffer: &mut [u8; MAX_MESSAGE], outcome: Result<(), (i32, &str)>) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    w.u16(EVERY_VERSION);
    let (errno, text) = outcome.err().unwrap_or_default();
    w.i32(errno);
    w.text(text.as_bytes());
    w.finish()
}

/// Reads a reply; that to [`super::Op::Down`] opens with [`Opening::NOTHING`].
pub fn read_reply(bytes: &[u8]) -> Result<(Opening, Reply<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let reply = match (r.i32()?, r.str()?) {
            (0, _) => Reply::Done,
            (errno, text) => Reply::Error { errno, text },
        };
        return r.end((Opening::NOTHING, reply));
    }
    let opening = Opening { block: r.u8()?, pid: r.u32()? };
    let reply = match r.u8()? {
        0 => Reply::Done,
        1 => Reply::Native,
        2 => Reply::BindTo { os: r.os()?, port: r.u16()? },
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
        8 => Reply::Host { index: r.u16()?, name: r.str()?, ascii: r.str()?, stands: r.u64()? },
        9 => Reply::Located { os: r.os()? },
        10 => Reply::Stream,
        80 => Reply::Met { rules: r.u32()?, hits: r.u64()? },
        11 => Reply::Error { errno: r.i32()?, text: r.str()? },
        40 => {
            let to = r.os()?;
            let [named, foreign] = r.flags()?;
            let from = r.ip4()?;
            Reply::Way { to, from: named.then_some(from), port: r.u16()?, foreign }
        }
        50 => Reply::Entered { slot: r.u16()?, host: r.u16()? },
        41 => Reply::NoWay { errno: r.i32()?, port: r.u16()? },
        42 => {
            let local = r.name()?;
            let [there, own, member] = r.flags()?;
            let peer = r.name()?;
            Reply::Names { local, peer: there.then_some(peer), own, member }
        }
        _ => return Err(Malformed::Bytes),
    };
    r.end((opening, reply))
}
