//! Requests as bytes.

use super::fields::{Reader, Writer};
use super::{Caller, EVERY_VERSION, Fault, MAGIC, MAX_MESSAGE, Malformed, Op, Options, Runs, Trace, VERSION};
use std::net::Ipv6Addr;
use std::time::Duration;

/// Writes a request; its length, or `None` if it does not fit [`MAX_MESSAGE`]. `at`: when it is sent, see [`sent_at`].
pub fn write_request(
    buffer: &mut [u8; MAX_MESSAGE],
    at: Duration,
    caller: &Caller<'_>,
    op: &Op<'_>,
) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(&MAGIC);
    if let Op::Down { kill } = *op {
        w.u16(EVERY_VERSION);
        w.bytes(&caller.key);
        w.u8(u8::from(kill));
        return w.finish();
    }
    w.u16(VERSION);
    w.u64(at.as_nanos() as u64);
    w.text(caller.host.as_bytes());
    w.bytes(&caller.key);
    let o = caller.options;
    w.flags(&[o.real_loopback, o.private_ports, o.strict_names, o.fresh_accept_ports, o.closes_unseen]);
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
        Op::Wait { now, fails, loopback, again } => {
            w.u8(15);
            w.flags(&[now, fails, loopback, again]);
        }
        // Written above.
        Op::Down { .. } => {}
        Op::Signal { host, signal } => {
            w.u8(16);
            w.text(host.as_bytes());
            w.u8(signal);
        }
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
        Op::Faults => w.u8(60),
        Op::Fault { what, from, to } => {
            w.u8(80);
            w.u8(what as u8);
            w.text(from.as_bytes());
            w.text(to.as_bytes());
        }
        Op::Trace(what) => {
            w.u8(70);
            w.u8(what as u8);
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

/// When a request was sent, on CLOCK_MONOTONIC: lonetd listens at two sockets, and the kernel does not tell in which order
/// something came to both. `None`: it does not say.
pub fn sent_at(bytes: &[u8]) -> Option<Duration> {
    let mut r = Reader { rest: bytes };
    let says = r.opening().ok()? != EVERY_VERSION;
    says.then(|| r.u64().ok().map(Duration::from_nanos)).flatten()
}

/// Reads a request.
pub fn read_request(bytes: &[u8]) -> Result<(Caller<'_>, Op<'_>), Malformed> {
    let mut r = Reader { rest: bytes };
    if r.opening()? == EVERY_VERSION {
        let caller = Caller { host: "", key: r.array()?, options: Options::default() };
        let op = Op::Down { kill: r.u8()? != 0 };
        return r.end((caller, op));
    }
    let _at = r.u64()?;
    let host = r.str()?;
    let key = r.array()?;
    let [real_loopback, private_ports, strict_names, fresh_accept_ports, closes_unseen] = r.flags()?;
    let autobind_from = r.u16()?;
    let options = Options {
        real_loopback,
        private_ports,
        strict_names,
        fresh_accept_ports,
        closes_unseen,
        autobind_from,
    };
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
        15 => {
            let [now, fails, loopback, again] = r.flags()?;
            Op::Wait { now, fails, loopback, again }
        }
        16 => Op::Signal { host: r.str()?, signal: r.u8()? },
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
        60 => Op::Faults,
        80 => {
            let what = *Fault::ALL.get(usize::from(r.u8()?)).ok_or(Malformed::Bytes)?;
            Op::Fault { what, from: r.str()?, to: r.str()? }
        }
        70 => Op::Trace(*Trace::ALL.get(usize::from(r.u8()?)).ok_or(Malformed::Bytes)?),
        _ => return Err(Malformed::Bytes),
    };
    r.end((caller, op))
}
