//! The state word of a record: its generation, the slot of its process, flags, and its phase.
//!
//! The four are one word so that they change together. Every change compares the whole word and each taker of
//! a free record raises the generation, so that nobody acts on a record that has become another socket's.

/// The life cycle of a record.
///
/// | phase | writer of the body | the port | the socket |
/// |---|---|---|---|
/// | `Free` | nobody | – | there is none |
/// | `Writing` | the process that took the record | claimed, or about to be | the kernel has no connection of it |
/// | `Dialing` | nobody | held | connect has begun; the kernel may not know it yet: "not found" means nothing |
/// | `Owned` | nobody, but for a late source address | held | connect has returned; the kernel finds it by its addresses |
/// | `Server` | nobody | the listener's | accepted by a process |
/// | `Kept` | lonetd | as lonetd marks it | bound, listening, or dialed by lonetd's decision |
/// | `Ended` | nobody | free | closed or reset; the record stays for its names |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Free = 0,
    Writing = 1,
    Dialing = 2,
    Owned = 3,
    Server = 4,
    Kept = 5,
    Ended = 6,
}

impl Phase {
    const ALL: [Phase; 7] =
        [Phase::Free, Phase::Writing, Phase::Dialing, Phase::Owned, Phase::Server, Phase::Kept, Phase::Ended];
}

/// The slot of a record whose process has ended.
pub const NO_SLOT: u16 = u16::MAX;

/// Flag: an accept has taken the connection, and no other may find it.
pub const TAKEN: u8 = 1;

/// Flag: a descriptor of the socket was closed, or its process has ended. Only the kernel knows whether it is
/// alive.
pub const SUSPECT: u8 = 2;

/// Flag: the kernel has announced the socket's destruction.
pub const DESTROYED: u8 = 4;

/// Flag: the connection was established. It may wait in its listener's backlog after the dial has ended.
pub const MADE: u8 = 8;

/// A state word, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub generation: u32,
    pub slot: u16,
    pub flags: u8,
    pub phase: Phase,
}

impl State {
    pub fn unpack(word: u64) -> State {
        State {
            generation: (word >> 32) as u32,
            slot: (word >> 16) as u16,
            flags: (word >> 8) as u8,
            // No process stores another number. In a table that was overwritten the record counts as free.
            phase: Phase::ALL.get(usize::from(word as u8)).copied().unwrap_or(Phase::Free),
        }
    }

    pub fn pack(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.slot) << 16
            | u64::from(self.flags) << 8
            | self.phase as u64
    }

    /// Whether this flag is set.
    pub fn is(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The state with this flag set.
    pub fn with(self, flag: u8) -> State {
        State { flags: self.flags | flag, ..self }
    }

    /// The state in another phase.
    pub fn to(self, phase: Phase) -> State {
        State { phase, ..self }
    }

    /// Whether a socket in this phase holds the port that it has claimed.
    pub fn holds_claim(self) -> bool {
        matches!(self.phase, Phase::Writing | Phase::Dialing | Phase::Owned | Phase::Kept)
    }
}

/// Reference to a record while it belongs to the same socket: its index and generation. 52 bits, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference(u64);

/// Bits for the number of a record, which is its index plus 1.
const NUMBER: u32 = 20;

impl Reference {
    pub const BITS: u64 = (1 << (32 + NUMBER)) - 1;

    pub fn new(index: usize, generation: u32) -> Reference {
        Reference(u64::from(generation) << NUMBER | (index as u64 + 1))
    }

    /// Unpacks a word and ignores its bits above [`Reference::BITS`]. `None`: it refers to no record.
    pub fn from_word(word: u64) -> Option<Reference> {
        let bits = word & Reference::BITS;
        (bits & ((1 << NUMBER) - 1) != 0).then_some(Reference(bits))
    }

    pub fn word(self) -> u64 {
        self.0
    }

    pub fn index(self) -> usize {
        (self.0 & ((1 << NUMBER) - 1)) as usize - 1
    }

    pub fn generation(self) -> u32 {
        (self.0 >> NUMBER) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_unpacked_as_it_was_packed() {
        for phase in Phase::ALL {
            let state = State { generation: u32::MAX - 1, slot: NO_SLOT, flags: TAKEN | SUSPECT, phase };
            assert_eq!(State::unpack(state.pack()), state);
        }
        assert_eq!(State::unpack(u64::MAX).phase, Phase::Free);
    }

    #[test]
    fn reference_names_number_and_generation() {
        let reference = Reference::new((1 << NUMBER) - 2, u32::MAX);
        assert_eq!((reference.index(), reference.generation()), ((1 << NUMBER) - 2, u32::MAX));
        assert_eq!(Reference::from_word(reference.word() | 1 << 63), Some(reference));
        assert_eq!(Reference::from_word(u64::from(7u32) << NUMBER), None);
    }
}
