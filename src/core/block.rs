//! A network's block of addresses: 127.N.0.0/16, and its IPv6 equivalent.
//!
//! The host with index `i` (from 1) has 127.N.(i div 256).(i mod 256). 127.N.255.x is reserved for lonet
//! itself. fd6c:6f6e:6574:N::i is the same host for programs that insist on IPv6. Only programs see that
//! address; the kernel has the IPv4 address, v4-mapped, in its place.
//!
//! lonet represents addresses as `Ipv6Addr`, IPv4 ones v4-mapped, so that one type serves AF_INET and
//! AF_INET6 sockets.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// The largest index a host can have: 127.N.254.255.
pub const MAX_INDEX: u16 = 0xfeff;

const FACE: [u16; 3] = [0xfd6c, 0x6f6e, 0x6574];

/// The prefix of the IPv6 addresses of all hosts of all networks, of [`FACE_BITS`] bits.
pub const FACES: Ipv6Addr = Ipv6Addr::new(FACE[0], FACE[1], FACE[2], 0, 0, 0, 0, 0);
/// The length of the prefix [`FACES`].
pub const FACE_BITS: u8 = 48;

/// The family of an address that a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
    V4,
    V6,
}

/// The kind of an address, for a host of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// 0.0.0.0 or ::
    Any(Face),
    /// 127.0.0.1 or ::1. Other loopback addresses, such as 127.0.0.53, are the machine's.
    Loopback(Face),
    /// The address of the host with this index.
    Host(u16, Face),
    /// In the block, but no host's: index 0, or 127.N.255.x.
    Unassigned,
    /// Any other address.
    NotLonet,
}

/// The block of one network: N of 127.N.0.0/16, in 1..=254.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block(u8);

impl Block {
    /// `None` unless `n` is in 1..=254.
    pub fn new(n: u8) -> Option<Block> {
        (1..=254).contains(&n).then_some(Block(n))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    /// The block that a network of this name tries first.
    pub fn first_choice(network: &str) -> Block {
        // FNV-1a is the same in all versions and on all machines.
        let hash = fnv1a(network.as_bytes());
        Block((hash % 254) as u8 + 1)
    }

    /// The block that is tried after this one. Repeated, it reaches all 254.
    pub fn next(self) -> Block {
        Block(self.0 % 254 + 1)
    }

    /// The OS address of the host with this index.
    pub fn address(self, index: u16) -> Ipv4Addr {
        let [hi, lo] = index.to_be_bytes();
        Ipv4Addr::new(127, self.0, hi, lo)
    }

    /// The address of the host with this index that programs see, in this family.
    pub fn shown(self, index: u16, face: Face) -> Ipv6Addr {
        match face {
            Face::V4 => self.address(index).to_ipv6_mapped(),
            Face::V6 => Ipv6Addr::new(FACE[0], FACE[1], FACE[2], u16::from(self.0), 0, 0, 0, index),
        }
    }

    /// The address of lonet itself.
    pub fn stack(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, 255, 254)
    }

    /// The address that stands for the machine's name server number `i`, from 0, less than [`NAME_SERVERS`].
    pub fn name_server(self, i: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, 255, 1 + i)
    }

    pub fn contains(self, ip: Ipv4Addr) -> bool {
        let o = ip.octets();
        o[0] == 127 && o[1] == self.0
    }

    /// The kind of the address `ip`, for hosts of this network.
    pub fn place(self, ip: Ipv6Addr) -> Place {
        if let Some(v4) = ip.to_ipv4_mapped() {
            return match v4 {
                Ipv4Addr::UNSPECIFIED => Place::Any(Face::V4),
                Ipv4Addr::LOCALHOST => Place::Loopback(Face::V4),
                v4 if self.contains(v4) => self.host(v4.octets()[2], v4.octets()[3], Face::V4),
                _ => Place::NotLonet,
            };
        }
        match ip {
            Ipv6Addr::UNSPECIFIED => Place::Any(Face::V6),
            Ipv6Addr::LOCALHOST => Place::Loopback(Face::V6),
            ip if is_face(ip) => {
                let s = ip.segments();
                if s[3] != u16::from(self.0) {
                    return Place::NotLonet;
                }
                if s[4..7] != [0, 0, 0] {
                    return Place::Unassigned;
                }
                let [hi, lo] = s[7].to_be_bytes();
                self.host(hi, lo, Face::V6)
            }
            _ => Place::NotLonet,
        }
    }

    fn host(self, hi: u8, lo: u8, face: Face) -> Place {
        match u16::from_be_bytes([hi, lo]) {
            0 => Place::Unassigned,
            index if index <= MAX_INDEX => Place::Host(index, face),
            _ => Place::Unassigned,
        }
    }
}

/// Whether `ip` may be in some network's block. Hooks check this first, as it needs no system call.
pub fn may_be_lonet(ip: Ipv6Addr) -> bool {
    match ip.to_ipv4_mapped() {
        Some(v4) => in_some_block(v4),
        None => is_face(ip),
    }
}

/// How many of the machine's name servers have an address in a block.
pub const NAME_SERVERS: u8 = 16;

/// Whether `ip` stands for a name server in some block.
pub fn is_name_server(ip: Ipv4Addr) -> bool {
    let o = ip.octets();
    in_some_block(ip) && o[2] == 255 && (1..=NAME_SERVERS).contains(&o[3])
}

/// Whether `ip` is in 127.1.0.0 to 127.254.255.255.
pub fn in_some_block(ip: Ipv4Addr) -> bool {
    let o = ip.octets();
    o[0] == 127 && (1..=254).contains(&o[1])
}

/// Whether `ip` has the prefix [`FACES`].
pub fn is_face(ip: Ipv6Addr) -> bool {
    ip.segments()[..3] == FACE
}

/// An address and a port; IPv4 addresses are v4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub ip: Ipv6Addr,
    pub port: u16,
}

impl Endpoint {
    pub fn new(ip: Ipv6Addr, port: u16) -> Endpoint {
        Endpoint { ip, port }
    }

    /// The IPv4 address and port, if it is v4-mapped.
    pub fn v4(self) -> Option<SocketAddrV4> {
        self.ip.to_ipv4_mapped().map(|ip| SocketAddrV4::new(ip, self.port))
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(a: SocketAddrV4) -> Endpoint {
        Endpoint { ip: a.ip().to_ipv6_mapped(), port: a.port() }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip.to_ipv4_mapped() {
            Some(v4) => write!(f, "{v4}:{}", self.port),
            None => write!(f, "[{}]:{}", self.ip, self.port),
        }
    }
}

/// FNV-1a, 64 bits.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block::new(7).expect("7 is a block")
    }

    #[test]
    fn host_addresses_count_up_through_the_block() {
        assert_eq!(block().address(1), Ipv4Addr::new(127, 7, 0, 1));
        assert_eq!(block().address(256), Ipv4Addr::new(127, 7, 1, 0));
        assert_eq!(block().address(MAX_INDEX), Ipv4Addr::new(127, 7, 254, 255));
    }

    #[test]
    fn addresses_of_both_families_are_the_same_hosts() {
        for face in [Face::V4, Face::V6] {
            assert_eq!(block().place(block().shown(300, face)), Place::Host(300, face));
        }
    }

    #[test]
    fn loopback_is_127_0_0_1_alone() {
        let place = |ip: Ipv4Addr| block().place(ip.to_ipv6_mapped());
        assert_eq!(place(Ipv4Addr::LOCALHOST), Place::Loopback(Face::V4));
        assert_eq!(place(Ipv4Addr::new(127, 0, 0, 53)), Place::NotLonet);
        assert_eq!(place(Ipv4Addr::new(127, 8, 0, 1)), Place::NotLonet);
        assert_eq!(place(Ipv4Addr::new(127, 7, 255, 254)), Place::Unassigned);
        assert_eq!(place(Ipv4Addr::new(127, 7, 0, 0)), Place::Unassigned);
    }

    #[test]
    fn choice_of_blocks_reaches_all() {
        let mut seen = std::collections::BTreeSet::new();
        let mut b = Block::first_choice("mynet");
        for _ in 0..254 {
            assert!(seen.insert(b.number()));
            b = b.next();
        }
        assert_eq!(b, Block::first_choice("mynet"));
        assert!(Block::new(0).is_none() && Block::new(255).is_none());
    }
}
