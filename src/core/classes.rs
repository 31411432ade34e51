//! Kinds of addresses of a host.

use crate::block::{Face, Place};

/// Which addresses of its host a socket answers on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Classes(pub u8);

impl Classes {
    pub const NONE: Classes = Classes(0);
    /// One bit each.
    pub const EACH: [Classes; 4] = [Classes(1), Classes(2), Classes(4), Classes(8)];

    pub fn host(face: Face) -> Classes {
        Classes(if face == Face::V4 { 1 } else { 4 })
    }
    pub fn loopback(face: Face) -> Classes {
        Classes(if face == Face::V4 { 2 } else { 8 })
    }
    /// 0.0.0.0, [::] with V6ONLY, or [::] for both families.
    pub fn any(face: Face, v6only: bool) -> Classes {
        match (face, v6only) {
            (Face::V4, _) => Classes(3),
            (Face::V6, true) => Classes(12),
            (Face::V6, false) => Classes(15),
        }
    }
    /// Of a socket that is bound there.
    pub fn at(place: Place, v6only: bool) -> Classes {
        match place {
            Place::Any(face) => Classes::any(face, v6only),
            Place::Loopback(face) => Classes::loopback(face),
            Place::Host(_, face) => Classes::host(face),
            Place::Unassigned | Place::NotLonet => Classes::NONE,
        }
    }
    /// Whether other hosts, and programs outside the network, cannot get there.
    pub fn is_loopback(self) -> bool {
        !self.overlap(Classes::host(Face::V4)) && !self.overlap(Classes::host(Face::V6))
    }
    pub fn overlap(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}
