//! Scopes of a socket's addresses: the host's address or its loopback, in IPv4 or IPv6.

use crate::block::{Face, Place};

/// A set of scopes: those of the addresses on which a socket accepts, or the one that is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Classes(pub u8);

impl Classes {
    pub const NONE: Classes = Classes(0);
    /// Each scope alone.
    pub const EACH: [Classes; 4] = [Classes(1), Classes(2), Classes(4), Classes(8)];

    /// The host's address.
    pub fn host(face: Face) -> Classes {
        Classes(if face == Face::V4 { 1 } else { 4 })
    }
    /// The host's loopback.
    pub fn loopback(face: Face) -> Classes {
        Classes(if face == Face::V4 { 2 } else { 8 })
    }
    /// Both scopes: of IPv4 for `0.0.0.0`, of IPv6 for `[::]` with IPV6_V6ONLY, of both families for `[::]`
    /// without.
    pub fn any(face: Face, v6only: bool) -> Classes {
        match (face, v6only) {
            (Face::V4, _) => Classes(3),
            (Face::V6, true) => Classes(12),
            (Face::V6, false) => Classes(15),
        }
    }
    /// The scopes of a socket that is bound to an address of this kind.
    pub fn at(place: Place, v6only: bool) -> Classes {
        match place {
            Place::Any(face) => Classes::any(face, v6only),
            Place::Loopback(face) => Classes::loopback(face),
            Place::Host(_, face) => Classes::host(face),
            Place::Unassigned | Place::NotLonet => Classes::NONE,
        }
    }
    /// Whether other hosts, and programs outside the network, cannot reach any of these addresses.
    pub fn is_loopback(self) -> bool {
        !self.overlap(Classes::host(Face::V4)) && !self.overlap(Classes::host(Face::V6))
    }
    /// Whether the sets have a scope in common.
    pub fn overlap(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}
