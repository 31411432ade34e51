//! Requests as bytes.

use super::fields::{Reader, Writer};
use super::{Caller, EVERY_VERSION, MAGIC, MAX_MESSAGE, Malformed, Op, Options, Runs, VERSION};
use std::net::Ipv6Addr;

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
        Op::Bind { cookie, at, asked, attempt, past } => {
            w.u8(1);
            w.u64(cookie);
            w.endpoint(at);
            w.asked(asked);
            w.u8(attempt);
            w.text(past.bytes());
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
        Op::Dial { cookie, to, local, asked, acts } => {
            w.u8(6);
            w.u64(cookie);
            w.endpoint(to);
            w.os_or_none(local);
            w.asked(asked);
            w.flags(&[acts]);
        }
        Op::Enter { dials, seat } => {
            w.u8(50);
            w.flags(&[dials]);
            w.u16(seat);
        }
        Op::Look => w.u8(51),
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
        Op::Resolve { name, strict } => {
            w.u8(13);
            w.text(name);
            w.flags(&[strict]);
        }
        Op::List => w.u8(14),
        Op::Wait { now } => {
            w.u8(15);
            w.flags(&[now]);
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
        Op::Lend { cookie, os, connects } => {
            w.u8(32);
            w.u64(cookie);
            w.os(os);
            w.flags(&[connects]);
        }
        Op::GiveUp { cookie } => {
            w.u8(31);
            w.u64(cookie);
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
        1 => Op::Bind {
            cookie: r.u64()?,
            at: r.endpoint()?,
            asked: r.asked()?,
            attempt: r.u8()?,
            past: Runs::from_bytes(r.text()?).ok_or(Malformed::Bytes)?,
        },
        2 => Op::Bound { cookie: r.u64()?, os: r.os()? },
        3 => Op::Listen { cookie: r.u64()?, bound: r.flags::<1>()?[0], asked: r.asked()?, attempt: r.u8()? },
        4 => Op::Listening { cookie: r.u64()? },
        5 => Op::Failed { cookie: r.u64()? },
        6 => Op::Dial {
            cookie: r.u64()?,
            to: r.endpoint()?,
            local: r.os_or_none()?,
            asked: r.asked()?,
            acts: r.flags::<1>()?[0],
        },
        7 => Op::Dialed { cookie: r.u64()?, from: r.os_or_none()?, errno: r.i32()? },
        8 => Op::Disconnected { cookie: r.u64()? },
        9 => Op::Accept { listener: r.u64()?, cookie: r.u64()?, local: r.os()?, remote: r.os()? },
        10 => Op::Name { cookie: r.u64()?, local: r.os()?, remote: r.os_or_none()? },
        11 => Op::Closed { cookie: r.u64()? },
        12 => Op::Review,
        13 => Op::Resolve { name: r.text()?, strict: r.flags::<1>()?[0] },
        14 => Op::List,
        15 => Op::Wait { now: r.flags::<1>()?[0] },
        17 => Op::Locate { address: r.str()? },
        30 => Op::HandOver { cookie: r.u64()?, milliseconds: r.u32()? },
        31 => Op::GiveUp { cookie: r.u64()? },
        32 => Op::Lend { cookie: r.u64()?, os: r.os()?, connects: r.flags::<1>()?[0] },
        50 => Op::Enter { dials: r.flags::<1>()?[0], seat: r.u16()? },
        51 => Op::Look,
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
