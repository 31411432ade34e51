//! The body of a record: what lonet knows of a socket, packed into words.
//!
//! An address that programs see is a host's, its loopback, the unspecified one, or an IPv4 address of the
//! machine, so that it fits a word together with its port.

use crate::block::{Block, Endpoint, Face, Place};
use crate::control::Asked;
use crate::scopes::Scopes;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// Number of words of a record's body.
pub const WORDS: usize = 9;

/// A socket as lonet knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The index of its host.
    pub host: u16,
    /// Its lonet port.
    pub port: u16,
    /// Options that its program has requested.
    pub asked: Asked,
    /// Address that its program bound it to. `None`: connect or accept chose one.
    pub at: Option<Endpoint>,
    /// The kernel's address of it, if its program bound it.
    pub os: Option<SocketAddrV4>,
    pub call: Option<Call>,
    /// Port of the accepting host for the accepted end of this dial, on hosts where these get fresh ports.
    pub accept_port: Option<u16>,
    /// lonetd's number for the kind of socket; [`DIAL`] or [`ACCEPTED`] in a record that a process has
    /// entered.
    pub role: u8,
    /// The table's count of listens when this socket dialed or began to listen; 0: it did neither. A dial
    /// with a lower count than a listener was not made to it.
    pub since: u64,
}

/// Role of a dial, whether or not its connection is established.
pub const DIAL: u8 = 4;
/// Role of an accepted socket.
pub const ACCEPTED: u8 = 6;
/// Role of a socket that has ended, whose record is kept for its names.
pub const TOMBSTONE: u8 = 7;

/// A connection, established or being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// This end, as the program sees it.
    pub local: Endpoint,
    /// The other end, as the program sees it.
    pub peer: Endpoint,
    /// The kernel's address of this end. `None`: connect has not chosen it yet.
    pub os_local: Option<SocketAddrV4>,
    /// The kernel's address of the other end.
    pub os_remote: SocketAddrV4,
    /// Index of the host at the other end; 0: it is not of this subnetwork.
    pub peer_host: u16,
    /// The port that was dialed.
    pub dialed_port: u16,
    /// Scope and family of the address that was dialed.
    pub scope: Scopes,
}

const NONE: u64 = 0;
const ANY: u64 = 1;
const LOOPBACK: u64 = 2;
const HOST: u64 = 3;
const MACHINE: u64 = 4;
const KIND: u32 = 61;
const IPV6: u64 = 1 << 60;

/// Packs an address that a program sees. An IPv6 address outside lonet does not fit; no operation makes one.
pub fn pack_name(name: Option<Endpoint>, block: Block) -> u64 {
    let Some(Endpoint { ip, port }) = name else { return NONE };
    let face = |face| if face == Face::V6 { IPV6 } else { 0 };
    let (kind, face, payload) = match block.place(ip) {
        Place::Any(f) => (ANY, face(f), 0),
        Place::Loopback(f) => (LOOPBACK, face(f), 0),
        Place::Host(index, f) => (HOST, face(f), u32::from(index)),
        Place::Unassigned | Place::NotLonet => match ip.to_ipv4_mapped() {
            Some(v4) => (MACHINE, 0, u32::from(v4)),
            // Index 0: a dialer on a host that has no index.
            None => (HOST, IPV6, 0),
        },
    };
    kind << KIND | face | u64::from(payload) << 16 | u64::from(port)
}

/// Unpacks what [`pack_name`] has packed.
pub fn unpack_name(word: u64, block: Block) -> Option<Endpoint> {
    let (face, payload) = (if word & IPV6 != 0 { Face::V6 } else { Face::V4 }, (word >> 16) as u32);
    let by_face = |v4: Ipv4Addr, v6: Ipv6Addr| if face == Face::V6 { v6 } else { v4.to_ipv6_mapped() };
    let ip = match word >> KIND {
        ANY => by_face(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        LOOPBACK => by_face(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        HOST => block.shown(payload as u16, face),
        MACHINE => Ipv4Addr::from(payload).to_ipv6_mapped(),
        _ => return None,
    };
    Some(Endpoint::new(ip, word as u16))
}

/// Packs an address of the kernel's; `None` is 0.
pub fn pack_os(os: Option<SocketAddrV4>) -> u64 {
    os.map_or(0, |os| u64::from(u32::from(*os.ip())) << 16 | u64::from(os.port()))
}

/// Unpacks what [`pack_os`] has packed.
pub fn unpack_os(word: u64) -> Option<SocketAddrV4> {
    (word != 0).then(|| SocketAddrV4::new(Ipv4Addr::from((word >> 16) as u32), word as u16))
}

/// The destination of a dial: host, port, and scope and family of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub host: u16,
    pub port: u16,
    pub scope: Scopes,
}

impl Call {
    /// The destination of the dial that made the connection.
    pub fn destination(&self) -> Destination {
        Destination { host: self.peer_host, port: self.dialed_port, scope: self.scope }
    }
}

/// Index of the word with the kernel's source address, which may be stored late.
pub const OS_LOCAL: usize = 6;

impl Entry {
    /// Whether this socket, if it listens, accepts a dial to this destination.
    pub fn answers(&self, dialed: Destination, block: Block) -> bool {
        (dialed.host, dialed.port) == (self.host, self.port) && self.scopes(block).overlap(dialed.scope)
    }

    /// Scopes and families of the addresses that the socket is bound to.
    pub fn scopes(&self, block: Block) -> Scopes {
        self.at.map_or(Scopes::NONE, |at| Scopes::at(block.place(at.ip), self.asked.v6only))
    }

    pub fn pack(&self, block: Block) -> [u64; WORDS] {
        let call = self.call;
        let [peer_host, dialed_port] = call.map_or([0; 2], |c| [c.peer_host, c.dialed_port]);
        let ids = [self.host, self.port, peer_host, dialed_port];
        let flags = [
            call.is_some(),
            self.accept_port.is_some(),
            self.asked.family == Face::V6,
            self.asked.v6only,
            self.asked.reuse_address,
            self.asked.reuse_port,
        ];
        let flags = flags.iter().enumerate().fold(0u64, |all, (i, set)| all | u64::from(*set) << i);
        let scope = call.map_or(0, |c| c.scope.0);
        [
            ids.iter().enumerate().fold(0, |all, (i, id)| all | u64::from(*id) << (16 * i)),
            u64::from(self.accept_port.unwrap_or(0))
                | u64::from(scope) << 16
                | u64::from(self.role) << 24
                | flags << 32,
            pack_name(self.at, block),
            pack_os(self.os),
            pack_name(call.map(|c| c.local), block),
            pack_name(call.map(|c| c.peer), block),
            pack_os(call.and_then(|c| c.os_local)),
            pack_os(call.map(|c| c.os_remote)),
            self.since,
        ]
    }

    pub fn unpack(words: &[u64; WORDS], block: Block) -> Entry {
        let [ids, misc, at, os, local, peer, os_local, os_remote, since] = *words;
        let flag = |i: u32| misc >> (32 + i) & 1 == 1;
        let nobody = Endpoint::new(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 0);
        let call = flag(0).then(|| Call {
            local: unpack_name(local, block).unwrap_or(nobody),
            peer: unpack_name(peer, block).unwrap_or(nobody),
            os_local: unpack_os(os_local),
            os_remote: unpack_os(os_remote).unwrap_or(crate::diag::NOBODY),
            peer_host: (ids >> 32) as u16,
            dialed_port: (ids >> 48) as u16,
            scope: Scopes((misc >> 16) as u8),
        });
        Entry {
            host: ids as u16,
            port: (ids >> 16) as u16,
            asked: Asked {
                family: if flag(2) { Face::V6 } else { Face::V4 },
                v6only: flag(3),
                reuse_address: flag(4),
                reuse_port: flag(5),
            },
            at: unpack_name(at, block),
            os: unpack_os(os),
            call,
            accept_port: flag(1).then_some(misc as u16),
            role: (misc >> 24) as u8,
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block::new(7).expect("a block")
    }

    #[test]
    fn every_address_that_programs_see_fits_a_word() {
        let b = block();
        let ips = [
            Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
            Ipv6Addr::UNSPECIFIED,
            Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
            Ipv6Addr::LOCALHOST,
            b.shown(1, Face::V4),
            b.shown(crate::block::MAX_INDEX, Face::V6),
            Ipv4Addr::new(192, 168, 3, 4).to_ipv6_mapped(),
            Ipv4Addr::new(127, 0, 0, 53).to_ipv6_mapped(),
        ];
        for ip in ips {
            for port in [0, 1, u16::MAX] {
                let name = Endpoint::new(ip, port);
                assert_eq!(unpack_name(pack_name(Some(name), b), b), Some(name));
            }
        }
        assert_eq!(unpack_name(pack_name(None, b), b), None);
    }

    #[test]
    fn entry_is_unpacked_as_it_was_packed() {
        let b = block();
        let os = |port| SocketAddrV4::new(b.address(3), port);
        let call = Call {
            local: Endpoint::new(b.shown(3, Face::V6), 1),
            peer: Endpoint::new(Ipv6Addr::LOCALHOST, 80),
            os_local: None,
            os_remote: os(80),
            peer_host: 9,
            dialed_port: 80,
            scope: Scopes(8),
        };
        let asked = Asked { family: Face::V6, v6only: true, reuse_address: false, reuse_port: true };
        let entry = Entry {
            host: 3,
            port: 65535,
            asked,
            at: Some(Endpoint::new(Ipv6Addr::UNSPECIFIED, 65535)),
            os: Some(os(10_000)),
            call: Some(call),
            accept_port: Some(2),
            role: 4,
            since: u64::MAX,
        };
        let others = [
            Entry { call: Some(Call { os_local: Some(os(1)), ..call }), at: None, ..entry },
            Entry { call: None, os: None, accept_port: None, ..entry },
        ];
        for entry in others.into_iter().chain([entry]) {
            assert_eq!(Entry::unpack(&entry.pack(b), b), entry);
        }
    }
}
