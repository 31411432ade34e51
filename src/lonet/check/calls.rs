//! Finds system calls that a program makes itself, past the hooked functions of libc: those of Free Pascal's
//! run-time library, for example, even in dynamically linked programs.
//!
//! Only the program's own code is searched, not that of its libraries. In one of seven programs the bytes of
//! a `syscall` instruction also occur within other instructions. They count if decoding that starts before
//! them reaches them as an instruction of their own; this is almost certain for a true one, as decoding soon
//! falls into step. They do not count if the code just before them shows that the call is not a hooked one,
//! but futex, for example.
//!
//! Whether such an instruction is executed, and for a socket, the file cannot tell.

mod aarch64;
mod x86_64;

use lonet_core::hookable::{Code, MACHINE};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How many bytes before an instruction are decoded to identify it.
const BEFORE: usize = 64;

/// How many bytes are read at once.
const PIECE: usize = 1 << 20;

/// The address of the program's first own system call that may be a hooked one.
pub(super) fn first(file: &File, code: &[Code]) -> Option<u64> {
    let find = match MACHINE {
        libc::EM_X86_64 => x86_64::find,
        libc::EM_AARCH64 => aarch64::find,
        _ => return None,
    };
    code.iter().find_map(|code| first_in(file, code, find))
}

/// Finds the first one at or after `from`.
type Find = fn(code: &[u8], from: usize) -> Option<usize>;

fn first_in(file: &File, code: &Code, find: Find) -> Option<u64> {
    let mut buffer = vec![0; PIECE + BEFORE];
    let mut done = 0;
    while done < code.length {
        // The bytes before a piece are read again with it; an instruction at its end is found with the next
        // piece.
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
        // An instruction that is cut off is complete in the next piece.
        let end = done - before + got as u64;
        done = if got == wanted && end < code.length { end - 4 } else { code.length };
    }
    None
}
