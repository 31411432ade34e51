//! Records of the saved state, as bytes.
//!
//! A word of four bytes, with what the record is about in the lowest byte (never 0) and the length of the rest above it,
//! and its fields, in fixed order (`lonet_core::control::fields`). A byte of 0 in the place of a record is the end.
//! Whatever is changed here raises [`FORMAT`](super::FORMAT).

use crate::daemon::state::{Call, Changes, Classes, Cookie, Index, Pid, Role, Socket, State};
use lonet_core::control::Malformed;
use lonet_core::control::fields::{Reader, Writer};
use std::collections::BTreeSet;
use std::time::Duration;

/// A process, with its start time, as pids are used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedProcess {
    pub pid: Pid,
    pub started: u64,
    pub hosts: BTreeSet<Index>,
    pub own: Option<Index>,
}

#[derive(Debug)]
pub enum Record {
    Host { index: Index, name: String, fresh: bool },
    Socket(Cookie, Socket),
    NoSocket(Cookie),
    Process(SavedProcess),
    NoProcess(Pid),
}

const HOST: u8 = 1;
const SOCKET: u8 = 2;
const NO_SOCKET: u8 = 3;
const PROCESS: u8 = 4;
const NO_PROCESS: u8 = 5;

const HEAD: usize = 4;

const ROLES: [Role; 8] = [
    Role::Claimed,
    Role::Bound,
    Role::Starting,
    Role::Listening,
    Role::Dialing,
    Role::Connected,
    Role::Accepted,
    Role::Gone,
];

/// Appends a record of this kind whose fields take no more than `most` bytes.
fn put(bytes: &mut Vec<u8>, kind: u8, most: usize, fields: impl FnOnce(&mut Writer<'_>)) {
    let begin = bytes.len();
    bytes.resize(begin + HEAD + most, 0);
    let mut writer = Writer { buffer: &mut bytes[begin..], at: HEAD };
    fields(&mut writer);
    // What does not fit is no record: half of one would spoil the next.
    let end = writer.finish().unwrap_or(0);
    bytes.truncate(begin + end);
    if let Some(head) = bytes.get_mut(begin..begin + HEAD) {
        head.copy_from_slice(&((end - HEAD) as u32 * 256 + u32::from(kind)).to_le_bytes());
    }
}

pub fn put_host(bytes: &mut Vec<u8>, index: Index, name: &str, fresh: bool) {
    put(bytes, HOST, 5 + name.len(), |w| {
        w.u16(index);
        w.flags(&[fresh]);
        w.text(name.as_bytes());
    });
}

pub fn put_process(bytes: &mut Vec<u8>, p: &SavedProcess) {
    put(bytes, PROCESS, 15 + 2 * p.hosts.len(), |w| {
        w.i32(p.pid);
        w.u64(p.started);
        w.flags(&[p.own.is_some()]);
        w.u16(p.own.unwrap_or(0));
        p.hosts.iter().for_each(|index| w.u16(*index));
    });
}

pub fn put_socket(bytes: &mut Vec<u8>, cookie: Cookie, s: &Socket) {
    put(bytes, SOCKET, 120, |w| {
        w.u64(cookie);
        w.u16(s.host);
        w.u16(s.port);
        w.u8(s.role as u8);
        w.i32(s.pid);
        w.asked(s.asked);
        // Most sockets have few of these, and it is by the byte that the file grows.
        let taken = s.call.is_some_and(|call| call.taken);
        w.flags(&[s.at.is_some(), s.os.is_some(), s.accept_port.is_some(), s.call.is_some(), taken]);
        s.at.into_iter().for_each(|at| w.endpoint(at));
        s.os.into_iter().for_each(|os| w.os(os));
        s.accept_port.into_iter().for_each(|port| w.u16(port));
        if let Some(c) = s.call {
            w.endpoint(c.local);
            w.endpoint(c.peer);
            w.os_or_none(c.os_local);
            w.os(c.os_remote);
            w.u16(c.peer_host);
            w.u16(c.dialed_port);
            w.u8(c.class.0);
        }
    });
}

/// Appends what is to be said of all that has changed.
pub fn put_changes(bytes: &mut Vec<u8>, state: &State, changes: &Changes) {
    for index in &changes.hosts {
        if let Some(h) = state.hosts.get(*index) {
            put_host(bytes, *index, &h.name, h.fresh_accept_ports);
        }
    }
    for pid in &changes.processes {
        match state.processes.get(pid).and_then(|p| Some((p, super::started(*pid)?))) {
            Some((p, started)) => {
                put_process(bytes, &SavedProcess { pid: *pid, started, hosts: p.hosts.clone(), own: p.own });
            }
            None => put(bytes, NO_PROCESS, 4, |w| w.i32(*pid)),
        }
    }
    for cookie in &changes.sockets {
        match state.sockets.get(cookie) {
            Some(s) => put_socket(bytes, *cookie, s),
            None => put(bytes, NO_SOCKET, 8, |w| w.u64(*cookie)),
        }
    }
}

/// All records up to the end: where the bytes do, or a zero or a record that is not there in full.
pub fn all(mut bytes: &[u8]) -> impl Iterator<Item = Result<Record, Malformed>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [kind, length @ ..] = *head;
        let length = length.iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let (fields, rest) = rest.split_at_checked(length).filter(|_| kind != 0)?;
        bytes = rest;
        Some(read(kind, fields))
    })
}

fn read(kind: u8, fields: &[u8]) -> Result<Record, Malformed> {
    let mut r = Reader { rest: fields };
    let record = match kind {
        HOST => {
            let index = r.u16()?;
            let [fresh] = r.flags()?;
            Record::Host { index, name: r.str()?.to_owned(), fresh }
        }
        SOCKET => Record::Socket(r.u64()?, read_socket(&mut r)?),
        NO_SOCKET => Record::NoSocket(r.u64()?),
        PROCESS => {
            let (pid, started) = (r.i32()?, r.u64()?);
            let [has_own] = r.flags()?;
            let own = r.u16()?;
            let mut hosts = BTreeSet::new();
            while !r.rest.is_empty() {
                hosts.insert(r.u16()?);
            }
            Record::Process(SavedProcess { pid, started, hosts, own: has_own.then_some(own) })
        }
        NO_PROCESS => Record::NoProcess(r.i32()?),
        _ => return Err(Malformed::Bytes),
    };
    r.end(record)
}

fn read_socket(r: &mut Reader<'_>) -> Result<Socket, Malformed> {
    let (host, port, role, pid, asked) = (r.u16()?, r.u16()?, r.u8()?, r.i32()?, r.asked()?);
    let [at, os, accept_port, call, taken] = r.flags()?;
    Ok(Socket {
        host,
        port,
        role: *ROLES.get(usize::from(role)).ok_or(Malformed::Bytes)?,
        pid,
        asked,
        at: at.then(|| r.endpoint()).transpose()?,
        os: os.then(|| r.os()).transpose()?,
        accept_port: accept_port.then(|| r.u16()).transpose()?,
        call: call.then(|| read_call(r, taken)).transpose()?,
        made_by: None,
        destroyed: false,
        since: Duration::ZERO,
    })
}

fn read_call(r: &mut Reader<'_>, taken: bool) -> Result<Call, Malformed> {
    Ok(Call {
        local: r.endpoint()?,
        peer: r.endpoint()?,
        os_local: r.os_or_none()?,
        os_remote: r.os()?,
        peer_host: r.u16()?,
        dialed_port: r.u16()?,
        class: Classes(r.u8()?),
        taken,
    })
}

/// A record as the next lonetd will read it.
#[cfg(test)]
pub fn read_back(s: &Socket) -> Socket {
    let mut bytes = Vec::new();
    put_socket(&mut bytes, 7, s);
    match all(&bytes).next() {
        Some(Ok(Record::Socket(7, socket))) => socket,
        other => unreachable!("a record of a socket, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonet_core::block::{Endpoint, Face};
    use lonet_core::control::Asked;
    use std::net::{Ipv6Addr, SocketAddrV4};

    fn three_hosts() -> Vec<u8> {
        let mut bytes = Vec::new();
        (1..=3).for_each(|index| put_host(&mut bytes, index, "α", false));
        bytes
    }

    fn indexes(bytes: &[u8]) -> Vec<Option<Index>> {
        let index = |r| if let Ok(Record::Host { index, .. }) = r { Some(index) } else { None };
        all(bytes).map(index).collect()
    }

    #[test]
    fn half_a_record_does_not_count_and_what_is_before_it_does() {
        let bytes = three_hosts();
        let each = bytes.len() / 3;
        for cut in 0..=bytes.len() {
            assert_eq!(indexes(&bytes[..cut]).len(), cut / each, "{cut} bytes");
        }
    }

    #[test]
    fn a_zero_in_the_place_of_a_kind_is_the_end_whatever_follows() {
        let mut bytes = three_hosts();
        let each = bytes.len() / 3;
        bytes[2 * each] = 0;
        assert_eq!(indexes(&bytes), [Some(1), Some(2)]);
        bytes.truncate(2 * each);
        bytes.resize(4096, 0);
        assert_eq!(indexes(&bytes), [Some(1), Some(2)]);
    }

    #[test]
    fn a_record_that_makes_no_sense_spoils_no_other() {
        let mut bytes = three_hosts();
        let each = bytes.len() / 3;
        bytes[each] = 99;
        assert_eq!(indexes(&bytes), [Some(1), None, Some(3)]);
    }

    /// Numbers that are the same each time (splitmix64).
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) ^ mixed >> 31
        }
        fn some<T>(&mut self, make: impl FnOnce(&mut Numbers) -> T) -> Option<T> {
            (!self.next().is_multiple_of(4)).then(|| make(self))
        }
        fn endpoint(&mut self) -> Endpoint {
            let ip = [self.next().to_le_bytes(), self.next().to_le_bytes()].concat();
            Endpoint::new(Ipv6Addr::from(<[u8; 16]>::try_from(ip).expect("16 bytes")), self.next() as u16)
        }
        fn os(&mut self) -> SocketAddrV4 {
            SocketAddrV4::new((self.next() as u32).into(), self.next() as u16)
        }
        fn socket(&mut self) -> Socket {
            let [v6, v6only, reuse_address, reuse_port] = [0, 1, 2, 3].map(|i| self.next() >> i & 1 == 1);
            Socket {
                host: self.next() as u16,
                port: self.next() as u16,
                role: ROLES[self.next() as usize % ROLES.len()],
                pid: self.next() as i32,
                asked: Asked {
                    family: if v6 { Face::V6 } else { Face::V4 },
                    v6only,
                    reuse_address,
                    reuse_port,
                },
                at: self.some(Numbers::endpoint),
                os: self.some(Numbers::os),
                accept_port: self.some(|n| n.next() as u16),
                call: self.some(|n| Call {
                    local: n.endpoint(),
                    peer: n.endpoint(),
                    os_local: n.some(Numbers::os),
                    os_remote: n.os(),
                    peer_host: n.next() as u16,
                    dialed_port: n.next() as u16,
                    class: Classes(n.next() as u8),
                    taken: n.next() & 1 == 1,
                }),
                made_by: None,
                destroyed: false,
                since: Duration::ZERO,
            }
        }
    }

    #[test]
    fn a_socket_is_read_as_it_was_put() {
        for seed in 0..2000 {
            let socket = Numbers(seed).socket();
            assert_eq!(format!("{:?}", read_back(&socket)), format!("{socket:?}"));
        }
    }

    #[test]
    fn the_longest_name_is_read_as_it_was_put() {
        for name in ["x".repeat(63), "ü".repeat(127), "\0\n".repeat(127), String::new()] {
            let mut bytes = Vec::new();
            put_host(&mut bytes, u16::MAX, &name, true);
            let read = all(&bytes).next();
            assert!(
                matches!(&read, Some(Ok(Record::Host { index: u16::MAX, name: n, fresh: true })) if *n == name),
                "{read:?}"
            );
        }
    }

    #[test]
    fn of_bytes_that_were_spoilt_no_more_is_read_than_there_is() {
        let mut numbers = Numbers(1);
        let mut good = three_hosts();
        for cookie in 1..20 {
            put_socket(&mut good, cookie, &numbers.socket());
        }
        put_process(&mut good, &SavedProcess { pid: 5, started: 9, hosts: (1..9).collect(), own: None });
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..=numbers.next() % 4 {
                let at = numbers.next() as usize % bytes.len();
                bytes[at] = numbers.next() as u8;
            }
            bytes.truncate(numbers.next() as usize % (bytes.len() + 1));
            assert!(all(&bytes).count() <= bytes.len() / HEAD);
        }
    }

    #[test]
    fn a_process_keeps_as_many_hosts_as_it_had() {
        let p = SavedProcess { pid: 5, started: 1 << 40, hosts: (1..=65_000).collect(), own: Some(9) };
        let mut bytes = Vec::new();
        put_process(&mut bytes, &p);
        assert!(matches!(all(&bytes).next(), Some(Ok(Record::Process(q))) if q == p));
    }
}
