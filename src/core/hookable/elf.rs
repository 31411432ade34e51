//! Reads from an ELF file whether it loads liblonet.so.
//!
//! The `elf` crate, which has no unsafe code and does not allocate, decodes the structures. The file is read
//! here, in small pieces: a few KiB of headers suffice for a browser of 200 MiB, a mapped file that is
//! truncated meanwhile would be a SIGBUS, and a damaged header can claim any size.
//!
//! The parts that the kernel reads (header, segments, interpreter) must be valid, as it would refuse the file
//! otherwise.

use super::{Failure, HEAD, Unhookable, Verdict};
use crate::sys::{self, Text};
use ::elf::abi;
use ::elf::endian::{AnyEndian, EndianParse};
use ::elf::file::{Class, ELF32_EHDR_TAILSIZE, ELF64_EHDR_TAILSIZE, FileHeader, parse_ident};
use ::elf::parse::ParseAt;
use ::elf::section::SectionHeader;
use ::elf::segment::ProgramHeader;
use std::fmt;
use std::os::fd::RawFd;

/// The kernel's limit for the program headers, in bytes (load_elf_phdrs in fs/binfmt_elf.c).
const MAX_SEGMENTS: usize = 65536;

/// The longest path of a loader that is supported, in bytes, with its zero. The kernel's limit is PATH_MAX.
pub(super) const MAX_LOADER: usize = 256;

/// Number of notes of a segment that are read.
const MAX_NOTES: usize = 64;

/// Bytes of the sections' names that are read.
const MAX_NAMES: u64 = 64 << 10;

/// The machine that this is built for (`e_machine`).
pub const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    abi::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    abi::EM_AARCH64
} else {
    abi::EM_NONE
};

/// What this is built for.
pub(super) const OURS: Abi = Abi {
    is_64_bit: cfg!(target_pointer_width = "64"),
    is_little: cfg!(target_endian = "little"),
    machine: MACHINE,
};

/// The properties that ELF files must have in common to share a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    is_64_bit: bool,
    is_little: bool,
    machine: u16,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.machine {
            abi::EM_386 => f.write_str("x86"),
            abi::EM_X86_64 => f.write_str("x86-64"),
            abi::EM_ARM => f.write_str("ARM"),
            abi::EM_AARCH64 => f.write_str("AArch64"),
            abi::EM_RISCV => f.write_str("RISC-V"),
            abi::EM_PPC | abi::EM_PPC64 => f.write_str("PowerPC"),
            abi::EM_S390 => f.write_str("s390"),
            abi::EM_MIPS => f.write_str("MIPS"),
            other => write!(f, "machine {other}"),
        }?;
        let bits = if self.is_64_bit { 64 } else { 32 };
        let end = if self.is_little { "little" } else { "big" };
        write!(f, " ({bits} bit, {end}-endian)")
    }
}

/// C libraries that cannot load liblonet.so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    Musl,
    UClibc,
    Bionic,
}

impl Libc {
    /// The C library, by the name of the loader.
    fn of_loader(path: &[u8]) -> Option<Libc> {
        let name = path.rsplit(|b| *b == b'/').next()?;
        let all: [(&[u8], Libc); 3] =
            [(b"ld-musl", Libc::Musl), (b"ld-uClibc", Libc::UClibc), (b"linker", Libc::Bionic)];
        all.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, libc)| libc)
    }
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Libc::Musl => "musl",
            Libc::UClibc => "uClibc",
            Libc::Bionic => "Bionic",
        })
    }
}

/// A piece of code in a file, and the address that it is loaded at.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub offset: u64,
    pub length: u64,
    pub address: u64,
}

/// Decides whether an open file, which begins with `head`, is a program that loads liblonet.so. Stores its
/// loader.
pub(super) fn check(fd: RawFd, head: &[u8], loader: &mut Text<MAX_LOADER>) -> Verdict {
    let unhookable = Verdict::Unhookable;
    let elf = match Elf::read(fd, head) {
        Ok(elf) => elf,
        Err(what) => return Verdict::Fails(Failure::Damaged(what)),
    };
    if !elf.is_program() {
        return Verdict::Fails(Failure::NotAProgram);
    }
    if elf.abi() != OURS {
        return unhookable(Unhookable::Architecture(elf.abi()));
    }
    let go = match elf.segments(loader) {
        Ok(go) => go || elf.has_section(b".go.buildinfo\0").unwrap_or(false),
        Err(what) => return Verdict::Fails(Failure::Damaged(what)),
    };
    if go {
        return unhookable(Unhookable::Go);
    }
    let path = loader.bytes();
    if path.is_empty() {
        return unhookable(Unhookable::Static);
    }
    if let Some(libc) = Libc::of_loader(path) {
        return unhookable(Unhookable::Libc(libc));
    }
    match loader.c_str().map(|path| sys::fstatat(libc::AT_FDCWD, path, 0)) {
        Some(Ok(_)) => Verdict::Hooked,
        _ => Verdict::Fails(Failure::NoLoader),
    }
}

/// Checks that an open file is a library for the machine that this is built for. The error says what is
/// wrong.
pub fn library(fd: RawFd) -> Result<(), &'static str> {
    let mut head = [0; HEAD];
    let n = sys::read_at(fd, 0, &mut head).map_err(|_| "it cannot be read")?;
    let elf = Elf::read(fd, head.get(..n).unwrap_or_default())?;
    let is_ours = elf.header.e_type == abi::ET_DYN && elf.abi() == OURS;
    if is_ours { Ok(()) } else { Err("it is not a library for this machine") }
}

/// Calls `each` for each piece of code of a program. The error says what is wrong with the file.
pub fn code(fd: RawFd, mut each: impl FnMut(Code)) -> Result<(), &'static str> {
    let mut head = [0; HEAD];
    let n = sys::read_at(fd, 0, &mut head).map_err(|_| "it cannot be read")?;
    let elf = Elf::read(fd, head.get(..n).unwrap_or_default())?;
    for i in 0..elf.header.e_phnum {
        let s = elf.segment(i)?;
        if s.p_type == abi::PT_LOAD && s.p_flags & abi::PF_X != 0 {
            each(Code { offset: s.p_offset, length: s.p_filesz, address: s.p_vaddr });
        }
    }
    Ok(())
}

struct Elf<'h> {
    fd: RawFd,
    /// The first bytes of the file.
    head: &'h [u8],
    header: FileHeader<AnyEndian>,
}

impl<'h> Elf<'h> {
    fn read(fd: RawFd, head: &'h [u8]) -> Result<Elf<'h>, &'static str> {
        let cut = "its header is cut off";
        let (ident, rest) = head.split_at_checked(abi::EI_NIDENT).ok_or(cut)?;
        let ident = parse_ident::<AnyEndian>(ident).map_err(|_| "its header is not ELF")?;
        let tail = if ident.1 == Class::ELF64 { ELF64_EHDR_TAILSIZE } else { ELF32_EHDR_TAILSIZE };
        let header = FileHeader::parse_tail(ident, rest.get(..tail).ok_or(cut)?).map_err(|_| cut)?;
        if usize::from(header.e_phnum) * usize::from(header.e_phentsize) > MAX_SEGMENTS {
            return Err("it has too many program headers");
        }
        Ok(Elf { fd, head, header })
    }

    fn is_program(&self) -> bool {
        matches!(self.header.e_type, abi::ET_EXEC | abi::ET_DYN)
    }

    fn abi(&self) -> Abi {
        let header = &self.header;
        Abi {
            is_64_bit: header.class == Class::ELF64,
            is_little: header.endianness.is_little(),
            machine: header.e_machine,
        }
    }

    /// Bytes from `offset` on, of the head or else of the file: as many as `room` has, or fewer at the end of
    /// the file.
    fn bytes<'a>(&'a self, offset: u64, room: &'a mut [u8]) -> &'a [u8] {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.head.get(from..from.saturating_add(room.len())) {
            Some(there) => there,
            None => {
                let n = sys::read_at(self.fd, offset, room).unwrap_or(0);
                room.get(..n).unwrap_or_default()
            }
        }
    }

    /// An entry of a table of headers. `None`: it is cut off, or the table's entries have another size.
    fn entry<P: ParseAt>(&self, table: u64, index: u16, size: u16) -> Option<P> {
        let class = self.header.class;
        if usize::from(size) != P::size_for(class) {
            return None;
        }
        let mut room = [0; size_of::<::elf::section::Elf64_Shdr>()];
        let at = table.checked_add(u64::from(index) * u64::from(size))?;
        let bytes = self.bytes(at, room.get_mut(..usize::from(size))?);
        P::parse_at(self.header.endianness, class, &mut 0, bytes).ok()
    }

    fn segment(&self, index: u16) -> Result<ProgramHeader, &'static str> {
        let header = &self.header;
        self.entry(header.e_phoff, index, header.e_phentsize).ok_or("its program headers are cut off")
    }

    /// Reads all segments, and stores the loader that they name. Returns whether one has the note of Go's
    /// linker.
    fn segments(&self, loader: &mut Text<MAX_LOADER>) -> Result<bool, &'static str> {
        let mut go = false;
        *loader = Text::new();
        for i in 0..self.header.e_phnum {
            let segment = self.segment(i)?;
            match segment.p_type {
                abi::PT_INTERP if loader.bytes().is_empty() => {
                    self.read_loader(&segment, loader).ok_or("its interpreter is not a path")?;
                }
                abi::PT_NOTE => go = go || self.has_go_note(&segment).unwrap_or(false),
                _ => {}
            }
        }
        Ok(go)
    }

    fn read_loader(&self, segment: &ProgramHeader, loader: &mut Text<MAX_LOADER>) -> Option<()> {
        let mut room = [0; MAX_LOADER];
        let length = usize::try_from(segment.p_filesz).ok()?;
        let bytes = self.bytes(segment.p_offset, room.get_mut(..length)?);
        let path = bytes.get(..bytes.iter().position(|b| *b == 0)?)?;
        (!path.is_empty() && loader.push(path)).then_some(())
    }

    /// Whether one of the notes is the build id of Go's linker, which stays even if `strip` removes all
    /// names. Notes have this machine's byte order, as the file does.
    fn has_go_note(&self, segment: &ProgramHeader) -> Option<bool> {
        const GO_BUILD_ID: u32 = 4;
        let align: u64 = if segment.p_align == 8 { 8 } else { 4 };
        let mut at = 0;
        for _ in 0..MAX_NOTES {
            let mut room = [0; 16];
            if at + room.len() as u64 > segment.p_filesz {
                return Some(false);
            }
            let note = self.bytes(segment.p_offset.checked_add(at)?, &mut room);
            let word = |i: usize| Some(u32::from_ne_bytes(*note.get(4 * i..)?.first_chunk()?));
            if word(2)? == GO_BUILD_ID && note.get(12..16)? == b"Go\0\0" {
                return Some(true);
            }
            let value = (at + 12 + u64::from(word(0)?)).next_multiple_of(align);
            at = (value + u64::from(word(1)?)).next_multiple_of(align);
        }
        Some(false)
    }

    /// Whether there is a section with this name, which must end with a zero.
    fn has_section(&self, name: &[u8]) -> Option<bool> {
        const PIECE: usize = 512;
        let header = &self.header;
        let names: SectionHeader = self.entry(header.e_shoff, header.e_shstrndx, header.e_shentsize)?;
        let end = names.sh_size.min(MAX_NAMES);
        let mut at = 0;
        while at < end {
            let mut room = [0; PIECE];
            let length = PIECE.min((end - at) as usize);
            let piece = self.bytes(names.sh_offset.checked_add(at)?, room.get_mut(..length)?);
            if piece.windows(name.len()).any(|window| window == name) {
                return Some(true);
            }
            if piece.len() < PIECE {
                break;
            }
            // Pieces overlap, so that a name that is cut off is whole in the next one.
            at += (piece.len() - name.len() + 1) as u64;
        }
        Some(false)
    }
}
