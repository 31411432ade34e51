//! The word that says whose a record is and how far its socket has come.
//!
//! It holds four things that change together or not at all: a generation, the slot of the process that speaks for the
//! record, flags and the phase. Whoever changes it compares the whole word, so nobody acts on a record that has become
//! another socket's: the generation is raised each time a free record is taken.

/// How far a record has come.
///
/// | phase | who writes the body | the port | what is true of the socket |
/// |---|---|---|---|
/// | `Free` | nobody | – | there is none |
/// | `Writing` | the process that took the record | claimed, or about to be | the kernel does not know it |
/// | `Dialing` | nobody | held | connect has begun; the kernel may not know it yet, so "not found" says nothing |
/// | `Owned` | nobody, but for a late source address | held | connect has returned; the kernel is asked by its addresses |
/// | `Server` | nobody | the listener's | accepted by a process |
/// | `Kept` | lonetd | as lonetd marks it | bound, listening, or dialed by lonetd's decision |
/// | `Ended` | nobody | free | dead or reset; the record stays for those who ask for its name |
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

/// The slot of a record that no process speaks for any more.
pub const NO_SLOT: u16 = u16::MAX;

/// The peer has accepted the connection: no accept may find it again.
pub const TAKEN: u8 = 1;

/// A descriptor of the socket was closed, or its process has ended: whoever needs to know whether it lives asks the kernel.
pub const SUSPECT: u8 = 2;

/// The kernel has announced the socket's destruction.
pub const DESTROYED: u8 = 4;

/// The connection was there: it may wait at its listener when the dial has ended.
pub const MADE: u8 = 8;

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
            // No process stores another number; a table that somebody has overwritten has no record here.
            phase: Phase::ALL.get(usize::from(word as u8)).copied().unwrap_or(Phase::Free),
        }
    }

    pub fn pack(self) -> u64 {
        u64::from(self.generation) << 32
            | u64::from(self.slot) << 16
            | u64::from(self.flags) << 8
            | self.phase as u64
    }

    pub fn is(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn with(self, flag: u8) -> State {
        State { flags: self.flags | flag, ..self }
    }

    pub fn to(self, phase: Phase) -> State {
        State { phase, ..self }
    }

    /// A socket in this phase holds the port that it has claimed.
    pub fn holds_claim(self) -> bool {
        matches!(self.phase, Phase::Writing | Phase::Dialing | Phase::Owned | Phase::Kept)
    }
}

/// Names a record for as long as it is the same socket's: its number and its generation. 52 bits, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference(u64);

/// Bits of the number of a record, counted from 1.
const NUMBER: u32 = 20;

impl Reference {
    pub const BITS: u64 = (1 << (32 + NUMBER)) - 1;

    pub fn new(index: usize, generation: u32) -> Reference {
        Reference(u64::from(generation) << NUMBER | (index as u64 + 1))
    }

    /// `None`: the word names nothing. Bits above [`Reference::BITS`] are others'.
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
