//! The bytes of NETLINK_SOCK_DIAG: requests made, answers read. No system calls.
//!
//! Layouts are those of `linux/netlink.h` and `linux/inet_diag.h`; numbers are in the machine's byte order,
//! addresses and ports in the network's.

use super::{Found, State, Traffic};
use crate::sys;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub const ERROR: u16 = libc::NLMSG_ERROR as u16;
pub const DONE: u16 = libc::NLMSG_DONE as u16;
/// NLM_F_DUMP_INTR: the tables have changed, the dump may be incomplete.
pub const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;

/// INET_DIAG_REQ_BYTECODE: the attribute that carries a filter program.
const BYTECODE: u16 = 1;
/// INET_DIAG_BC_S_COND: the instruction that compares the local address.
const LOCAL_CONDITION: u8 = 7;
/// INET_DIAG_SKV6ONLY: the attribute that tells `[::]` for IPv6 alone from `[::]` for both.
const V6ONLY: u16 = 11;
/// INET_DIAG_INFO and INET_DIAG_SKMEMINFO: attributes that come if the bit of their number is set in the request.
const INFO: u16 = 2;
const MEMORY: u16 = 7;
const TRAFFIC: u8 = 1 << (INFO - 1) | 1 << (MEMORY - 1);
/// Where struct tcp_info has tcpi_total_retrans, and SKMEMINFO sk_drops.
const TOTAL_RETRANS: usize = 100;
const DROPS: usize = 4 * 8;

const NEW_SYN_RECV: u8 = 12;

/// Loopback is interface 1 in every network namespace. A look-up that names it finds sockets that are bound to
/// no interface, and also those bound to `lo` (SO_BINDTODEVICE), which a look-up with 0 does not.
const LOOPBACK_INTERFACE: u32 = 1;

const HEADER: usize = 16;
/// struct inet_diag_msg.
const SOCKET: usize = 72;

/// Which local addresses a dump shows.
#[derive(Clone, Copy)]
pub struct Filter {
    pub address: Ipv4Addr,
    /// At most 32.
    pub prefix: u8,
    pub port: Option<u16>,
}

impl Filter {
    pub fn matches(&self, local: SocketAddrV4) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let difference = u32::from(self.address) ^ u32::from(*local.ip());
        difference & mask == 0 && self.port.is_none_or(|port| port == local.port())
    }
}

/// A request under construction: netlink header, then what is put.
pub struct Request {
    bytes: [u8; Request::ROOM],
    len: usize,
}

impl Request {
    pub const ROOM: usize = 96;

    fn new(kind: u16, flags: u16, sequence: u32) -> Request {
        let mut request = Request { bytes: [0; Request::ROOM], len: 0 };
        request.put(&[0; 4]); // the length, see `bytes`
        request.put(&kind.to_ne_bytes());
        request.put(&flags.to_ne_bytes());
        request.put(&sequence.to_ne_bytes());
        request.put(&[0; 4]); // to the kernel
        request
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub fn bytes(&mut self) -> &[u8] {
        self.bytes[..4].copy_from_slice(&(self.len as u32).to_ne_bytes());
        &self.bytes[..self.len]
    }
}

/// Asks for the one socket with these addresses, and with that cookie if one is given.
pub fn exact_request(
    sequence: u32,
    local: SocketAddrV4,
    remote: SocketAddrV4,
    cookie: Option<u64>,
) -> Request {
    let mut request = Request::new(SOCK_DIAG_BY_FAMILY, REQUEST, sequence);
    // struct inet_diag_req_v2: family, protocol, extensions, pad; states, which matter to dumps alone.
    request.put(&[libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.put(&u32::MAX.to_ne_bytes());
    // struct inet_diag_sockid.
    request.put(&local.port().to_be_bytes());
    request.put(&remote.port().to_be_bytes());
    for address in [local.ip(), remote.ip()] {
        request.put(&address.octets());
        request.put(&[0; 12]);
    }
    request.put(&LOOPBACK_INTERFACE.to_ne_bytes());
    // All ones is INET_DIAG_NOCOOKIE: any. The low half comes first on every machine.
    let cookie = cookie.unwrap_or(u64::MAX);
    request.put(&(cookie as u32).to_ne_bytes());
    request.put(&((cookie >> 32) as u32).to_ne_bytes());
    request
}

/// What a dump is to show.
pub struct Dump {
    pub states: u32,
    pub filter: Option<Filter>,
    /// With what [`traffic`] reads.
    pub traffic: bool,
}

/// Asks for the sockets of a dump, of both families.
pub fn dump_request(sequence: u32, dump: &Dump) -> Request {
    let mut request = Request::new(TCPDIAG_GETSOCK, REQUEST | DUMP, sequence);
    // struct inet_diag_req: family and lengths, which are not read; the attributes that are wanted; struct inet_diag_sockid;
    // states; tables.
    request.put(&[0, 0, 0, if dump.traffic { TRAFFIC } else { 0 }]);
    request.put(&[0; 48]);
    request.put(&dump.states.to_ne_bytes());
    request.put(&[0; 4]);
    if let Some(filter) = dump.filter {
        // One instruction with its argument: 4 bytes of inet_diag_bc_op, 8 of inet_diag_hostcond, an address.
        // "yes" jumps to the end of the program, which accepts; "no" jumps behind the end, which rejects.
        const PROGRAM: u8 = 4 + 8 + 4;
        request.put(&u16::from(4 + PROGRAM).to_ne_bytes());
        request.put(&BYTECODE.to_ne_bytes());
        request.put(&[LOCAL_CONDITION, PROGRAM]);
        request.put(&u16::from(PROGRAM + 4).to_ne_bytes());
        // AF_INET matches v4-mapped addresses of AF_INET6 sockets too.
        request.put(&[libc::AF_INET as u8, filter.prefix, 0, 0]);
        request.put(&filter.port.map_or(-1, i32::from).to_ne_bytes());
        request.put(&filter.address.octets());
    }
    request
}

/// One netlink message.
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// Shorter than announced when the buffer was too small.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Whether it describes a socket, in full.
    pub fn is_socket(&self) -> bool {
        matches!(self.kind, TCPDIAG_GETSOCK | SOCK_DIAG_BY_FAMILY) && self.body.len() >= SOCKET
    }

    /// Of ERROR and DONE: the errno that they carry, 0 for none.
    pub fn errno(&self) -> i32 {
        // Netlink carries it negated; an ERROR too short to carry one is an error all the same.
        u32_at(self.body, 0).map_or(libc::EPROTO, |e| (e as i32).wrapping_neg())
    }
}

/// The messages of one datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(bytes, 0)? as usize;
        let header = bytes.get(..HEADER)?;
        let message = Message {
            kind: u16_at(header, 4)?,
            flags: u16_at(header, 6)?,
            sequence: u32_at(header, 8)?,
            body: bytes.get(HEADER..len.min(bytes.len()))?,
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}

/// The cookie in the body of any answer that describes a TCP socket, of whatever family.
pub fn socket_cookie(body: &[u8]) -> Option<u64> {
    Some(u64::from(u32_at(body, 44)?) | u64::from(u32_at(body, 48)?) << 32)
}

/// Reads a struct inet_diag_msg and what follows it. `None`: not a socket that has IPv4 addresses.
pub fn socket(body: &[u8]) -> Option<Found> {
    let head = body.get(..SOCKET)?;
    let family = i32::from(head[0]);
    let local = SocketAddrV4::new(address(family, &head[8..24])?, port_at(head, 4));
    let remote = SocketAddrV4::new(address(family, &head[24..40])?, port_at(head, 6));
    if family == libc::AF_INET6 && local.ip().is_unspecified() && is_v6only(&body[SOCKET..]) {
        return None;
    }
    let state = match State(head[1]) {
        State(NEW_SYN_RECV) => State::SYN_RECV,
        State::CLOSE if local.port() != 0 => State::BOUND_INACTIVE,
        other => other,
    };
    Some(Found {
        state,
        cookie: socket_cookie(head)?,
        inode: u32_at(head, 68)?,
        uid: u32_at(head, 64)?,
        local,
        remote,
    })
}

fn address(family: i32, bytes: &[u8]) -> Option<Ipv4Addr> {
    match family {
        libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?)),
        libc::AF_INET6 => v4_of(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// What an address of an AF_INET6 socket is to IPv4: `::` is 0.0.0.0, others count when they are v4-mapped.
pub fn v4_of(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if address.is_unspecified() { Some(Ipv4Addr::UNSPECIFIED) } else { address.to_ipv4_mapped() }
}

/// What follows the struct inet_diag_msg.
pub fn attributes(body: &[u8]) -> &[u8] {
    body.get(SOCKET..).unwrap_or(&[])
}

/// Of the attributes of an answer to a request for traffic.
pub fn traffic(attributes: &[u8]) -> Traffic {
    let number = |kind, at| attribute(attributes, kind).and_then(|value| u32_at(value, at)).unwrap_or(0);
    Traffic { dropped: number(MEMORY, DROPS), sent_again: number(INFO, TOTAL_RETRANS) }
}

/// The bytes that the program of a socket has sent and received, if the message says so.
pub fn carried(body: &[u8]) -> Option<sys::Traffic> {
    carried_of(body.get(SOCKET..)?)
}

/// The same, of the attributes alone.
pub fn carried_of(attributes: &[u8]) -> Option<sys::Traffic> {
    sys::Traffic::of(attribute(attributes, INFO)?)
}

fn is_v6only(attributes: &[u8]) -> bool {
    attribute(attributes, V6ONLY).is_some_and(|value| value.first().is_some_and(|&value| value != 0))
}

/// The value of the attribute of this kind, as far as it is there.
pub fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let (Some(len), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        // At least the attribute's own header, so that a length of 0 cannot hold the loop.
        let len = usize::from(len).max(4);
        if kind == wanted {
            return attributes.get(4..len.min(attributes.len()));
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    None
}

fn port_at(head: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([head[at], head[at + 1]])
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number that begins there.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for len in [0, 15, 16, 17, u32::MAX] {
            let mut bytes = [0; 40];
            bytes[..4].copy_from_slice(&u32::to_ne_bytes(len));
            assert!(messages(&bytes).count() <= 2, "{len}");
            assert!(messages(&bytes).all(|m| !m.is_socket()), "{len}");
        }
        for len in [0, 3, u16::MAX] {
            let mut attributes = [0; 12];
            attributes[..2].copy_from_slice(&u16::to_ne_bytes(len));
            assert!(!is_v6only(&attributes), "{len}");
        }
    }

    #[test]
    fn a_filter_compares_the_prefix_and_the_port() {
        let filter = |prefix, port| Filter { address: Ipv4Addr::new(127, 231, 1, 1), prefix, port };
        let local = "127.231.1.2:80".parse().expect("an address");
        assert!(filter(0, None).matches("9.9.9.9:1".parse().expect("an address")));
        assert!(filter(30, None).matches(local));
        assert!(!filter(31, None).matches(local));
        assert!(!filter(32, None).matches(local));
        assert!(filter(16, Some(80)).matches(local));
        assert!(!filter(16, Some(81)).matches(local));
    }
}
