//! The bytes of NETLINK_SOCK_DIAG: requests made, answers read. No system calls.
//!
//! What is shorter than it says is read as far as it goes.

use super::layout::{
    AttributeHeader, DumpRequest, ExactRequest, HostCondition, MessageHeader, SocketId, SocketMessage,
};
use super::{SocketInfo, State, Traffic};
use crate::sys;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub const ERROR: u16 = libc::NLMSG_ERROR as u16;
pub const DONE: u16 = libc::NLMSG_DONE as u16;
/// NLM_F_DUMP_INTR: the tables have changed, the dump may be incomplete.
pub const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// NLM_F_DUMP: not one thing is asked for, but all.
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;

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
/// Which of SKMEMINFO's numbers is sk_drops.
const DROPS: usize = 8;

const NEW_SYN_RECV: u8 = 12;

/// Loopback is interface 1 in every network namespace. A look-up that names it finds sockets that are bound to
/// no interface, and also those bound to `lo` (SO_BINDTODEVICE), which a look-up with 0 does not.
const LOOPBACK_INTERFACE: u32 = 1;

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

    pub fn new(kind: u16, flags: u16, seq: u32) -> Request {
        let mut request = Request { bytes: [0; Request::ROOM], len: 0 };
        // The length is set by `bytes`.
        request.put(&MessageHeader { len: 0, kind, flags: REQUEST | flags, seq, pid: 0 });
        request
    }

    pub fn put<T: IntoBytes + Immutable>(&mut self, part: &T) {
        let bytes = part.as_bytes();
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub fn bytes(&mut self) -> &[u8] {
        self.bytes[..size_of::<u32>()].copy_from_slice((self.len as u32).as_bytes());
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
    // All ones is INET_DIAG_NOCOOKIE: any.
    let cookie = cookie.unwrap_or(u64::MAX);
    let mut request = Request::new(SOCK_DIAG_BY_FAMILY, 0, sequence);
    request.put(&ExactRequest {
        family: libc::AF_INET as u8,
        protocol: libc::IPPROTO_TCP as u8,
        // They matter to dumps alone.
        states: u32::MAX,
        id: SocketId {
            sport: local.port().into(),
            dport: remote.port().into(),
            src: padded(*local.ip()),
            dst: padded(*remote.ip()),
            interface: LOOPBACK_INTERFACE,
            cookie: [cookie as u32, (cookie >> 32) as u32],
        },
        ..ExactRequest::default()
    });
    request
}

fn padded(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address.octets());
    bytes
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
    let mut request = Request::new(TCPDIAG_GETSOCK, DUMP, sequence);
    let ext = if dump.traffic { TRAFFIC } else { 0 };
    request.put(&DumpRequest { ext, states: dump.states, ..DumpRequest::default() });
    if let Some(filter) = dump.filter {
        // One instruction: "yes" jumps to the end of the program, which accepts; "no" behind the end, which rejects.
        const PROGRAM: usize = size_of::<HostCondition>();
        let len = (size_of::<AttributeHeader>() + PROGRAM) as u16;
        request.put(&AttributeHeader { len, kind: BYTECODE });
        request.put(&HostCondition {
            code: LOCAL_CONDITION,
            yes: PROGRAM as u8,
            no: PROGRAM as u16 + 4,
            // AF_INET matches v4-mapped addresses of AF_INET6 sockets too.
            family: libc::AF_INET as u8,
            prefix_len: filter.prefix,
            pad: [0; 2],
            port: filter.port.map_or(-1, i32::from),
            addr: filter.address.octets(),
        });
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
        matches!(self.kind, TCPDIAG_GETSOCK | SOCK_DIAG_BY_FAMILY)
            && self.body.len() >= size_of::<SocketMessage>()
    }

    /// Of ERROR and DONE: the errno that they carry, 0 for none.
    pub fn errno(&self) -> i32 {
        // Netlink carries it negated; an ERROR too short to carry one is an error all the same.
        i32::read_from_prefix(self.body).map_or(libc::EPROTO, |(e, _)| e.wrapping_neg())
    }
}

/// The messages of one datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (header, rest) = MessageHeader::read_from_prefix(bytes).ok()?;
        let len = header.len as usize;
        let body = len.checked_sub(size_of::<MessageHeader>())?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        let body = rest.get(..body).unwrap_or(rest);
        Some(Message { kind: header.kind, flags: header.flags, sequence: header.seq, body })
    })
}

/// The cookie in the body of any answer that describes a TCP socket, of whatever family.
pub fn socket_cookie(body: &[u8]) -> Option<u64> {
    let (message, _) = SocketMessage::read_from_prefix(body).ok()?;
    Some(cookie(&message))
}

fn cookie(message: &SocketMessage) -> u64 {
    let [low, high] = message.id.cookie;
    u64::from(low) | u64::from(high) << 32
}

/// Reads a struct inet_diag_msg and what follows it. `None`: not a socket that has IPv4 addresses.
pub fn socket(body: &[u8]) -> Option<SocketInfo> {
    let (message, attributes) = SocketMessage::read_from_prefix(body).ok()?;
    let family = i32::from(message.family);
    let local = SocketAddrV4::new(address(family, message.id.src)?, message.id.sport.get());
    let remote = SocketAddrV4::new(address(family, message.id.dst)?, message.id.dport.get());
    if family == libc::AF_INET6 && local.ip().is_unspecified() && is_v6only(attributes) {
        return None;
    }
    let state = match State(message.state) {
        State(NEW_SYN_RECV) => State::SYN_RECV,
        State::CLOSE if local.port() != 0 => State::BOUND_INACTIVE,
        other => other,
    };
    let (inode, uid) = (message.inode, message.uid);
    Some(SocketInfo { state, cookie: cookie(&message), inode, uid, local, remote })
}

fn address(family: i32, bytes: [u8; 16]) -> Option<Ipv4Addr> {
    match family {
        libc::AF_INET => bytes.first_chunk().map(|first: &[u8; 4]| Ipv4Addr::from(*first)),
        libc::AF_INET6 => v4_of(Ipv6Addr::from(bytes)),
        _ => None,
    }
}

/// What an address of an AF_INET6 socket is to IPv4: `::` is 0.0.0.0, others count when they are v4-mapped.
pub fn v4_of(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if address.is_unspecified() { Some(Ipv4Addr::UNSPECIFIED) } else { address.to_ipv4_mapped() }
}

/// What follows the struct inet_diag_msg.
pub fn attributes(body: &[u8]) -> &[u8] {
    body.get(size_of::<SocketMessage>()..).unwrap_or(&[])
}

/// Of the attributes of an answer to a request for traffic.
pub fn traffic(attributes: &[u8]) -> Traffic {
    let drops = attribute(attributes, MEMORY)
        .and_then(|memory| <[u32; DROPS + 1]>::read_from_prefix(memory).ok())
        .map_or(0, |(memory, _)| memory[DROPS]);
    let sent_again = attribute(attributes, INFO).and_then(sys::retransmitted).unwrap_or(0);
    Traffic { dropped: drops, sent_again }
}

/// The bytes that the program of a socket has sent and received, if the message says so.
pub fn carried(body: &[u8]) -> Option<sys::Traffic> {
    carried_of(attributes(body))
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
    while let Ok((header, value)) = AttributeHeader::read_from_prefix(attributes) {
        // At least the attribute's own header, so that a length of 0 cannot hold the loop.
        let len = usize::from(header.len).max(size_of::<AttributeHeader>());
        if header.kind == wanted {
            return Some(value.get(..len - size_of::<AttributeHeader>()).unwrap_or(value));
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    None
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
