//! System calls that a program makes itself, past the functions of libc that are hooked: those of Free Pascal's library, for
//! one, also in programs that are linked dynamically.
//!
//! What is looked at is the code of the program, and not that of its libraries. The bytes of a `syscall` instruction are also
//! parts of others, in one of seven programs: it counts if whoever begins to read before it comes to it as an instruction
//! of its own, which is almost certain, as reading soon falls into step. It does not count if the code just before it says
//! that the call is one that is not hooked, such as futex.
//!
//! That such an instruction is reached, and for a socket, no look at the file can tell.

mod aarch64;
mod x86_64;

use lonet_core::hookable::{Code, MACHINE};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much of the code before an instruction is read to find out what it is.
const BEFORE: usize = 64;

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// The address of the first system call of the program's own that may be one that is hooked.
pub(super) fn first(file: &File, code: &[Code]) -> Option<u64> {
    let find = match MACHINE {
        libc::EM_X86_64 => x86_64::find,
        libc::EM_AARCH64 => aarch64::find,
        _ => return None,
    };
    code.iter().find_map(|code| first_in(file, code, find))
}

/// Finds the first at `from` or behind it.
type Find = fn(code: &[u8], from: usize) -> Option<usize>;

fn first_in(file: &File, code: &Code, find: Find) -> Option<u64> {
    let mut buffer = vec![0; PIECE + BEFORE];
    let mut done = 0;
    while done < code.length {
        // What is before it is read again; what begins at the end comes with the next piece.
        let before = done.min(BEFORE as u64);
        let wanted =
            usize::try_from(code.length - done + before).map_or(buffer.len(), |n| n.min(buffer.len()));
        let piece = buffer.get_mut(..wanted)?;
        let got = file.read_at(piece, code.offset.saturating_add(done - before)).ok()?;
        if got <= before as usize {
            return None;
        }
        if let Some(at) = find(piece.get(..got)?, before as usize) {
            return Some(code.address.wrapping_add(done - before + at as u64));
        }
        // An instruction that is cut off is seen whole the next time.
        let end = done - before + got as u64;
        done = if got == wanted && end < code.length { end - 4 } else { code.length };
    }
    None
}
