//! Finds the instruction of a system call, `syscall` (0f 05), on x86_64: instructions are of any length, and the number of the
//! call is in eax.

use super::BEFORE;

/// accept, accept4, bind, connect, getpeername, getsockname, listen.
const HOOKED: [u32; 7] = [43, 288, 49, 42, 52, 51, 50];

/// The length of the longest instruction.
const LONGEST: usize = 15;

pub(super) fn find(code: &[u8], from: usize) -> Option<usize> {
    let rest = code.get(from..)?;
    let pairs = rest.windows(2).enumerate().filter(|(_, pair)| *pair == [0x0f, 0x05]);
    pairs.map(|(at, _)| from + at).find(|at| may_be_hooked(code, *at))
}

/// Whether this is an instruction, and the code before it sets the number of a hooked call, or an unknown
/// number.
///
/// Decoding from four in five starting points or more reaches a true instruction; in code with a repeating
/// pattern one in two may reach a false one.
fn may_be_hooked(code: &[u8], at: usize) -> bool {
    let begin = at.saturating_sub(BEFORE);
    // Decoding that begins too near may not have fallen into step.
    let starts = begin..=at.saturating_sub(LONGEST).max(begin);
    let count = starts.clone().count();
    let mut read = starts.filter_map(|start| number_read(code.get(start..at)?)).peekable();
    let Some(number) = read.peek().copied() else { return false };
    read.count() * 3 > count * 2 && follows(code, at) && number.is_none_or(|number| HOOKED.contains(&number))
}

/// Whether instructions follow, as far as can be seen: data within the code look like a few at most.
fn follows(code: &[u8], at: usize) -> bool {
    let mut rest = code.get(at + 2..).unwrap_or_default();
    for _ in 0..4 {
        match Instruction::read(rest) {
            Some(one) if matches!((one.opcode, one.map), (0xc3 | 0xeb | 0xe9, Map::One)) => return true,
            Some(one) => rest = rest.get(one.length..).unwrap_or_default(),
            None => return rest.len() < LONGEST,
        }
    }
    true
}

/// The value of eax after this code, if that is certain. `None`: the code does not end where an instruction
/// does.
fn number_read(code: &[u8]) -> Option<Option<u32>> {
    let (mut rest, mut eax, mut pushed) = (code, None, None);
    while !rest.is_empty() {
        let one = Instruction::read(rest)?;
        let bytes = rest.get(..one.length)?;
        rest = rest.get(one.length..)?;
        eax = match (one.opcode, one.map) {
            (0xb8, Map::One) if !one.extends_rm() => one.immediate(bytes),
            (0xc7, Map::One) if one.is_rm_eax() => one.immediate(bytes),
            (0x31 | 0x33, Map::One) if one.is_reg_eax() && one.is_rm_eax() => Some(0),
            (0xb0, Map::One) if !one.extends_rm() => {
                eax.zip(bytes.last()).map(|(n, b)| n & !0xff | u32::from(*b))
            }
            (0x58, Map::One) if !one.extends_rm() => pushed,
            _ if one.may_change_eax() => None,
            _ => eax,
        };
        pushed = match (one.opcode, one.map, bytes.last()) {
            (0x6a, Map::One, Some(byte)) => Some(u32::from(*byte)),
            _ => None,
        };
    }
    Some(eax)
}

/// The opcode map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    One,
    /// After 0f.
    Two,
    /// After 0f 38, 0f 3a, and all VEX and EVEX prefixes: vector instructions for the most part.
    Others,
}

/// An instruction, decoded as far as its length needs.
struct Instruction {
    length: usize,
    map: Map,
    opcode: u8,
    rex: u8,
    modrm: Option<u8>,
}

impl Instruction {
    fn read(code: &[u8]) -> Option<Instruction> {
        let mut at = 0;
        let mut next = || {
            at += 1;
            code.get(at - 1).copied()
        };
        let (mut narrow, mut rex) = (false, 0);
        let mut byte = next()?;
        loop {
            match byte {
                0x66 => narrow = true,
                0x2e | 0x3e | 0x64 | 0x65 | 0x67 | 0xf0 | 0xf2 | 0xf3 => {}
                _ => break,
            }
            byte = next()?;
        }
        if byte & 0xf0 == 0x40 {
            rex = byte;
            byte = next()?;
        }
        let wide = if narrow { 2 } else { 4 };
        // The opcode, whether a ModRM byte follows, and the number of immediate bytes.
        let (map, opcode, has_modrm, mut immediate) = match byte {
            0x0f => match next()? {
                0x38 => (Map::Others, next()?, true, 0),
                0x3a => (Map::Others, next()?, true, 1),
                opcode => {
                    let (has_modrm, immediate) = two(opcode)?;
                    (Map::Two, opcode, has_modrm, immediate)
                }
            },
            0xc4 | 0xc5 | 0x62 => {
                let select = match byte {
                    0xc5 => (next()?, 1).1,
                    0xc4 => (next()? & 0x1f, next()?).0,
                    _ => (next()? & 7, next()?, next()?).0,
                };
                let opcode = next()?;
                let has_number =
                    select == 3 || select == 1 && matches!(opcode, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6);
                (Map::Others, opcode, select != 1 || opcode != 0x77, usize::from(has_number))
            }
            opcode => {
                let (has_modrm, immediate) = one(opcode, wide, rex)?;
                (Map::One, opcode, has_modrm, immediate)
            }
        };
        let mut modrm = None;
        let mut displacement = 0;
        if has_modrm {
            let byte = next()?;
            let (mode, rm) = (byte >> 6, byte & 7);
            let base = if mode != 3 && rm == 4 { next()? & 7 } else { rm };
            displacement = match (mode, base) {
                (0, 5) | (2, _) => 4,
                (1, _) => 1,
                _ => 0,
            };
            // Only some operations of the group have an immediate.
            if map == Map::One && matches!(opcode, 0xf6 | 0xf7) && byte >> 3 & 7 > 1 {
                immediate = 0;
            }
            modrm = Some(byte);
        }
        let length = at + displacement + immediate;
        (length <= LONGEST && length <= code.len()).then_some(Instruction { length, map, opcode, rex, modrm })
    }

    fn extends_rm(&self) -> bool {
        self.rex & 1 != 0
    }

    fn is_rm_eax(&self) -> bool {
        self.modrm.is_some_and(|m| m & 0xc7 == 0xc0) && !self.extends_rm()
    }

    fn is_reg_eax(&self) -> bool {
        self.modrm.is_some_and(|m| m & 0x38 == 0) && self.rex & 4 == 0
    }

    /// The last four bytes.
    fn immediate(&self, bytes: &[u8]) -> Option<u32> {
        bytes.last_chunk().map(|last| u32::from_le_bytes(*last))
    }

    /// Whether eax may have another value after it, or the code after it is reached only from elsewhere.
    fn may_change_eax(&self) -> bool {
        match (self.map, self.opcode) {
            // Comparisons.
            (Map::One, 0x38..=0x3d | 0x84 | 0x85 | 0xa8 | 0xa9) => false,
            // Arithmetic: the second bit says which operand is changed, or it is eax.
            (Map::One, opcode @ 0x00..=0x37) => match opcode & 7 {
                0 | 1 => self.is_rm_eax(),
                2 | 3 => self.is_reg_eax(),
                _ => true,
            },
            (Map::One, 0x86 | 0x87) => self.is_rm_eax() || self.is_reg_eax(),
            (Map::One, 0x63 | 0x69 | 0x6b | 0x8a | 0x8b | 0x8d) => self.is_reg_eax(),
            (Map::One, 0x91..=0x98 | 0x9f | 0xac | 0xad | 0xc2 | 0xc3 | 0xe8 | 0xe9 | 0xeb) => true,
            // Calls, jumps, and multiplications, of whatever operand.
            (Map::One, 0xf6 | 0xf7 | 0xff) => self.is_rm_eax() || self.modrm.is_some_and(|m| m >> 3 & 7 > 1),
            (Map::One, _) => self.is_rm_eax(),
            (Map::Two, 0x05 | 0x31 | 0xa2 | 0xc8) => true,
            (Map::Two, 0x40..=0x4f | 0xaf | 0xb6..=0xb8 | 0xbc..=0xbf) => self.is_reg_eax(),
            (
                Map::Two,
                0x7e | 0x90..=0x9f | 0xa4 | 0xa5 | 0xab..=0xad | 0xb0..=0xb3 | 0xba | 0xbb | 0xc0 | 0xc1,
            ) => self.is_rm_eax(),
            _ => false,
        }
    }
}

/// For a one-byte opcode: whether a ModRM byte follows, and the number of immediate bytes. `None`: there is
/// no such opcode, or neither compilers nor user programs use it.
fn one(opcode: u8, wide: usize, rex: u8) -> Option<(bool, usize)> {
    Some(match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => (true, 0),
            4 => (false, 1),
            5 => (false, wide),
            _ => return None,
        },
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => (true, 0),
        0x68 | 0xa9 => (false, wide),
        0xe8 | 0xe9 => (false, 4),
        0x69 | 0x81 | 0xc7 | 0xf7 => (true, wide),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe3 | 0xeb => (false, 1),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 | 0xf6 => (true, 1),
        0xb8..=0xbf => (false, if rex & 8 != 0 { 8 } else { wide }),
        0xc2 => (false, 2),
        0x50..=0x5f
        | 0x90..=0x99
        | 0x9b..=0x9f
        | 0xa4..=0xa7
        | 0xaa..=0xaf
        | 0xc3
        | 0xc9
        | 0xcc
        | 0xf4
        | 0xf5
        | 0xf8
        | 0xf9
        | 0xfc
        | 0xfd => (false, 0),
        _ => return None,
    })
}

/// Like [`one`], for opcodes after 0f.
fn two(opcode: u8) -> Option<(bool, usize)> {
    Some(match opcode {
        0x00..=0x04
        | 0x06..=0x0a
        | 0x0c
        | 0x0e
        | 0x20..=0x27
        | 0x30
        | 0x32..=0x37
        | 0x39
        | 0x3b..=0x3f
        | 0x78
        | 0x79
        | 0xa6
        | 0xa7
        | 0xaa
        | 0xff => return None,
        0x05 | 0x0b | 0x31 | 0x77 | 0xa0..=0xa2 | 0xa8 | 0xa9 | 0xc8..=0xcf => (false, 0),
        0x80..=0x8f => (false, 4),
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => (true, 1),
        _ => (true, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeats the code so that there is enough of it, followed by a call.
    fn find_behind(code: &[u8]) -> bool {
        let mut all = code.repeat(80usize.div_ceil(code.len()));
        all.extend([0x0f, 0x05]);
        find(&all, 0).is_some()
    }

    #[test]
    fn instructions_are_as_long_as_the_assembler_makes_them() {
        let all: [&[u8]; 16] = [
            &[0x55],
            &[0x48, 0x89, 0xe5],
            &[0x48, 0x8b, 0x44, 0x24, 0x18],
            &[0x48, 0x8d, 0x3d, 1, 2, 3, 4],
            &[0x66, 0x81, 0x3c, 0x25, 0, 0, 0, 0, 1, 2],
            &[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xf7, 0xc1, 1, 2, 3, 4],
            &[0xf7, 0xd9],
            &[0x0f, 0x84, 0x0f, 0x05, 0, 0],
            &[0x0f, 0xb6, 0x84, 0x24, 1, 2, 3, 4],
            &[0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8],
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0xc5, 0xf8, 0x77],
            &[0xc4, 0xe2, 0x7d, 0x58, 0x05, 1, 2, 3, 4],
            &[0x62, 0xf1, 0x7c, 0x48, 0x10, 0x46, 1],
            &[0xe8, 0x0f, 0x05, 0, 0],
        ];
        for one in all {
            let more = [one, &[0x90; 8]].concat();
            assert_eq!(Instruction::read(&more).map(|i| i.length), Some(one.len()), "{one:x?}");
            assert!(Instruction::read(&one[..one.len() - 1]).is_none(), "{one:x?}, cut off");
        }
    }

    #[test]
    fn calls_are_recognised_by_their_numbers() {
        let (connect, futex) = ([0xb8, 42, 0, 0, 0], [0xb8, 202, 0, 0, 0]);
        assert!(find_behind(&connect) && !find_behind(&futex));
        // mov 0x18(%rsp),%rax; mov $42,%rax; push $42, pop %rax; xor %eax,%eax, mov $42,%al
        assert!(find_behind(&[0x48, 0x8b, 0x44, 0x24, 0x18]));
        assert!(
            find_behind(&[0x48, 0xc7, 0xc0, 42, 0, 0, 0]) && !find_behind(&[0x48, 0xc7, 0xc0, 39, 0, 0, 0])
        );
        assert!(find_behind(&[0x6a, 42, 0x58]) && !find_behind(&[0x6a, 1, 0x58]));
        assert!(find_behind(&[0x31, 0xc0, 0xb0, 42]) && !find_behind(&[0x31, 0xc0, 0xb0, 1]));
        // The code after a return is reached from elsewhere.
        assert!(find_behind(&[&futex[..], &[0xc3]].concat()));
        // mov %r14d,0x8(%rsp); mov $7,%r8d: another register
        assert!(!find_behind(&[&futex[..], &[0x44, 0x89, 0x74, 0x24, 8, 0x41, 0xb8, 7, 0, 0, 0]].concat()));
    }

    #[test]
    fn call_bytes_within_other_instructions_are_ignored() {
        // je; call; lea; mov with the two bytes in their numbers
        let all: [&[u8]; 4] = [
            &[0x0f, 0x84, 0x0f, 0x05, 0, 0],
            &[0xe8, 0x0f, 0x05, 0, 0],
            &[0x48, 0x8d, 0x05, 0x0f, 0x05, 0, 0],
            &[0x48, 0xc7, 0x44, 0x24, 8, 0x0f, 0x05, 0, 0],
        ];
        for one in all {
            let code = [&one.repeat(30)[..], &[0xc3; 20]].concat();
            assert_eq!(find(&code, 64), None, "{one:x?}");
        }
    }
}
