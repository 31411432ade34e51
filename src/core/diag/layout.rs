//! Structs of `linux/netlink.h`, `linux/inet_diag.h` and `linux/rtnetlink.h`, under the kernel's names for their fields.
//! Numbers are in the machine's byte order, addresses and ports in the network's.

use zerocopy::byteorder::network_endian::U16 as Port;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// struct nlmsghdr.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct MessageHeader {
    pub len: u32,
    pub kind: u16,
    pub flags: u16,
    pub seq: u32,
    /// 0: to the kernel.
    pub pid: u32,
}

/// struct nlattr, and rtattr, which is the same.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct AttributeHeader {
    pub len: u16,
    pub kind: u16,
}

/// struct inet_diag_sockid.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SocketId {
    pub sport: Port,
    pub dport: Port,
    /// IPv4 addresses lie in the first four bytes.
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub interface: u32,
    /// The low half comes first on every machine.
    pub cookie: [u32; 2],
}

/// struct inet_diag_req_v2: of SOCK_DIAG_BY_FAMILY.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ExactRequest {
    pub family: u8,
    pub protocol: u8,
    pub ext: u8,
    pub pad: u8,
    pub states: u32,
    pub id: SocketId,
}

/// struct inet_diag_req: of TCPDIAG_GETSOCK. Family, lengths and id are not read.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct DumpRequest {
    pub family: u8,
    pub src_len: u8,
    pub dst_len: u8,
    pub ext: u8,
    pub id: SocketId,
    pub states: u32,
    pub dbs: u32,
}

/// struct inet_diag_bc_op with a struct inet_diag_hostcond and an IPv4 address behind it: one instruction of a filter.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct HostCondition {
    pub code: u8,
    /// How far to the next instruction if it is true.
    pub yes: u8,
    /// How far if not.
    pub no: u16,
    pub family: u8,
    pub prefix_len: u8,
    pub pad: [u8; 2],
    /// -1: any.
    pub port: i32,
    pub addr: [u8; 4],
}

/// struct inet_diag_msg.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SocketMessage {
    pub family: u8,
    pub state: u8,
    pub timer: u8,
    pub retrans: u8,
    pub id: SocketId,
    pub expires: u32,
    pub rqueue: u32,
    pub wqueue: u32,
    pub uid: u32,
    pub inode: u32,
}

/// struct tcmsg.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct DisciplineMessage {
    pub family: u8,
    pub pad: [u8; 3],
    pub ifindex: i32,
    pub handle: u32,
    pub parent: u32,
    pub info: u32,
}

const _: () = {
    assert!(size_of::<MessageHeader>() == 16 && size_of::<AttributeHeader>() == 4);
    assert!(size_of::<SocketId>() == 48 && size_of::<ExactRequest>() == 56 && size_of::<DumpRequest>() == 60);
    assert!(size_of::<HostCondition>() == 16 && size_of::<SocketMessage>() == 72);
    assert!(size_of::<DisciplineMessage>() == 20);
};
