//! Scopes of a socket's addresses: the host's address or its loopback, in IPv4 or IPv6.

use crate::block::{Face, Place};

/// A set of scopes: those of the addresses on which a socket accepts, or the one that is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Scopes(pub u8);

impl Scopes {
    pub const NONE: Scopes = Scopes(0);
    /// Each scope alone.
    pub const EACH: [Scopes; 4] = [Scopes(1), Scopes(2), Scopes(4), Scopes(8)];

    /// The host's address.
    pub fn host(face: Face) -> Scopes {
        Scopes(if face == Face::V4 { 1 } else { 4 })
    }
    /// The host's loopback.
    pub fn loopback(face: Face) -> Scopes {
        Scopes(if face == Face::V4 { 2 } else { 8 })
    }
    /// Both scopes: of IPv4 for `0.0.0.0`, of IPv6 for `[::]` with IPV6_V6ONLY, of both families for `[::]`
    /// without.
    pub fn any(face: Face, v6only: bool) -> Scopes {
        match (face, v6only) {
            (Face::V4, _) => Scopes(3),
            (Face::V6, true) => Scopes(12),
            (Face::V6, false) => Scopes(15),
        }
    }
    /// The scopes of a socket that is bound to an address of this kind.
    pub fn at(place: Place, v6only: bool) -> Scopes {
        match place {
            Place::Any(face) => Scopes::any(face, v6only),
            Place::Loopback(face) => Scopes::loopback(face),
            Place::Host(_, face) => Scopes::host(face),
            Place::Unassigned | Place::NotLonet => Scopes::NONE,
        }
    }
    /// Whether other hosts, and programs outside the network, cannot reach any of these addresses.
    pub fn is_loopback(self) -> bool {
        !self.overlap(Scopes::host(Face::V4)) && !self.overlap(Scopes::host(Face::V6))
    }
    /// Whether the sets have a scope in common.
    pub fn overlap(self, other: Scopes) -> bool {
        self.0 & other.0 != 0
    }
}
