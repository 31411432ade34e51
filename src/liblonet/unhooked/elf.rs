//! What an ELF file's headers tell.

use super::{Why, read_at};

/// An ELF file of this machine's byte order. What does not make sense is the kernel's to refuse.
pub struct Elf<'h> {
    pub fd: i32,
    pub head: &'h [u8],
}

#[cfg(target_pointer_width = "64")]
const CLASS: u8 = 2;
#[cfg(target_pointer_width = "32")]
const CLASS: u8 = 1;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = libc::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = libc::EM_AARCH64;

/// How much of a program's headers and notes is looked at.
const MAX_SEGMENTS: u64 = 64;

impl Elf<'_> {
    /// Why the program cannot be hooked, if it cannot.
    pub fn check(&self) -> Option<Why> {
        if *self.head.get(4)? != CLASS || u16_at(self.head, 18)? != MACHINE {
            return Some(Why::Architecture);
        }
        let table = u64_at(self.head, 32)?;
        let (size, count) = (u64::from(u16_at(self.head, 54)?), u64::from(u16_at(self.head, 56)?));
        let mut why = Some(Why::Static);
        for i in 0..count.min(MAX_SEGMENTS) {
            let mut room = [0; 56];
            let segment = self.bytes(table.checked_add(i * size)?, 56, &mut room);
            let (kind, offset, length) = (u32_at(segment, 0)?, u64_at(segment, 8)?, u64_at(segment, 32)?);
            let mut room = [0; 256];
            match kind {
                libc::PT_INTERP if why == Some(Why::Static) => {
                    let path = self.bytes(offset, length.min(256) as usize, &mut room);
                    why = is_other_libc(path).then_some(Why::OtherLibc);
                }
                libc::PT_NOTE if has_go_note(self.bytes(offset, length.min(256) as usize, &mut room)) => {
                    return Some(Why::Go);
                }
                _ => {}
            }
        }
        why
    }

    /// From the head, or else from the file.
    fn bytes<'a>(&'a self, offset: u64, length: usize, room: &'a mut [u8]) -> &'a [u8] {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.head.get(from..from.saturating_add(length)) {
            Some(there) => there,
            None => room.get_mut(..length).map_or(&[], |room| read_at(self.fd, offset, room)),
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// musl, uClibc, Android.
fn is_other_libc(interpreter: &[u8]) -> bool {
    let name = interpreter.rsplit(|b| *b == b'/').next().unwrap_or_default();
    [&b"ld-musl"[..], b"ld-uClibc", b"linker"].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether one of the notes is the build id of Go's linker.
fn has_go_note(mut notes: &[u8]) -> bool {
    const GO_BUILD_ID: u32 = 4;
    while let (Some(name), Some(value), Some(kind)) = (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8)) {
        if kind == GO_BUILD_ID && notes.get(12..16) == Some(b"Go\0\0") {
            return true;
        }
        let next = 12 + (name as usize).next_multiple_of(4) + (value as usize).next_multiple_of(4);
        notes = notes.get(next..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_note_is_found_behind_others() {
        let mut notes = Vec::new();
        for (name, value, kind) in [(&b"GNU\0"[..], &[1u8; 20][..], 3u32), (b"Go\0\0", &[2; 8], 4)] {
            for n in [name.len() as u32, value.len() as u32, kind] {
                notes.extend(n.to_ne_bytes());
            }
            notes.extend_from_slice(name);
            notes.extend_from_slice(value);
        }
        assert!(has_go_note(&notes));
        assert!(!has_go_note(&notes[..36]));
        assert!(!has_go_note(b"short"));
    }
}
