//! Finds the instruction of a system call, `svc #0`, on aarch64: instructions are words, and the number of the call is in w8.

use super::BEFORE;

const SVC: u32 = 0xd400_0001;

/// accept, accept4, bind, connect, getpeername, getsockname, listen.
const HOOKED: [u32; 7] = [202, 242, 200, 203, 205, 204, 201];

pub(super) fn find(code: &[u8], from: usize) -> Option<usize> {
    let words: Vec<u32> =
        code.chunks_exact(4).filter_map(|w| w.try_into().ok().map(u32::from_le_bytes)).collect();
    let from = from / 4;
    let calls = words.iter().enumerate().skip(from).filter(|(_, word)| **word == SVC);
    calls
        .map(|(at, _)| at)
        .find(|at| may_be_hooked(words.get(at.saturating_sub(BEFORE / 4)..*at)))
        .map(|at| at * 4)
}

/// Whether the code before a call sets the number of a hooked one, or an unknown number.
fn may_be_hooked(before: Option<&[u32]>) -> bool {
    // movz w8, #number; movz x8, #number
    let number = |word: &u32| (word & 0x7fe0_001f == 0x5280_0008).then_some(word >> 5 & 0xffff);
    // Any other instruction with register 8 as its destination.
    let last = before.unwrap_or_default().iter().rev().find(|word| *word & 0x1f == 8);
    last.and_then(number).is_none_or(|number| HOOKED.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(words: &[u32]) -> Option<usize> {
        find(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>(), 0)
    }

    #[test]
    fn calls_are_recognised_by_their_numbers() {
        const NOP: u32 = 0xd503_201f;
        // mov w8, #203; mov x8, #98; mov x8, x0
        let (connect, futex, unknown) = (0x5280_1968, 0xd280_0c48, 0xaa00_03e8);
        assert_eq!(find_in(&[NOP, connect, NOP, SVC]), Some(12));
        assert_eq!(find_in(&[NOP, futex, NOP, SVC]), None);
        assert_eq!(find_in(&[futex, unknown, SVC]), Some(8));
        assert_eq!(find_in(&[futex, SVC, NOP, connect, SVC]), Some(16));
        assert_eq!(find_in(&[NOP, NOP]), None);
    }
}
