//! What an ELF file says about who will load it.
//!
//! The structures are decoded by the `elf` crate, which has no unsafe code and no dependencies. The
//! reading is done here, because it must be frugal and bounded: a browser of 200 MiB is told by a few
//! KiB of headers, a mapped file that is truncated meanwhile would be a SIGBUS, and a damaged header
//! can ask for any amount of memory.
//!
//! What the kernel reads (header, segments, interpreter) must be right, since it would refuse
//! the file as well. What only tools read (sections, notes) is used if it makes sense and is
//! otherwise not there.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use elf::abi;
use elf::endian::{AnyEndian, EndianParse};
use elf::file::{Class, FileHeader, parse_ident};
use elf::note::{Note, NoteIterator};
use elf::parse::{ParseAt, ParsingTable};
use elf::section::SectionHeader;
use elf::segment::ProgramHeader;
use elf::string_table::StringTable;

use super::refusal::Reason;

/// The most that is read in one piece, in bytes: above 65535 section headers.
const MAX_READ: u64 = 4 << 20;

/// The most program headers that the kernel takes, in bytes (load_elf_phdrs in fs/binfmt_elf.c).
const MAX_SEGMENTS: usize = 65536;

/// The longest interpreter path, in bytes (PATH_MAX).
const MAX_PATH: u64 = 4096;

/// What two ELF files must have in common to share a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abi {
    class: Class,
    endian: AnyEndian,
    machine: u16,
}

impl Abi {
    pub fn machine(self) -> u16 {
        self.machine
    }
}

/// Where there is code in a file, and the address that it is loaded at.
#[derive(Debug)]
pub(super) struct Code {
    pub offset: u64,
    pub length: u64,
    pub address: u64,
}

#[derive(Debug)]
pub(super) struct Summary {
    pub abi: Abi,
    /// ET_EXEC, ET_DYN …
    pub kind: u16,
    pub interpreter: Option<PathBuf>,
    pub go: bool,
    pub code: Vec<Code>,
}

/// Decides whether `file` is a program that loads a library of `ours` by LD_PRELOAD.
pub(super) fn check(file: &File, ours: Abi) -> Result<(), Reason> {
    let program = read(file).map_err(Reason::Damaged)?;
    if program.kind != abi::ET_EXEC && program.kind != abi::ET_DYN {
        return Err(Reason::NotAProgram);
    }
    if program.abi != ours {
        return Err(Reason::Architecture { theirs: describe(program.abi), ours: describe(ours) });
    }
    if program.go {
        return Err(Reason::Go);
    }
    let interpreter = program.interpreter.ok_or(Reason::Static)?;
    if is_other_libc(&interpreter) {
        return Err(Reason::OtherLibc(interpreter));
    }
    if !interpreter.exists() {
        return Err(Reason::NoLoader(interpreter));
    }
    Ok(())
}

/// Tells musl, uClibc and Android from glibc by the name of the loader.
fn is_other_libc(interpreter: &Path) -> bool {
    let name = interpreter.file_name().unwrap_or_default().as_bytes();
    [&b"ld-musl"[..], b"ld-uClibc", b"linker"].iter().any(|prefix| name.starts_with(prefix))
}

fn describe(abi: Abi) -> String {
    let machine = elf::to_str::e_machine_to_human_str(abi.machine)
        .map_or_else(|| format!("machine {}", abi.machine), str::to_owned);
    let bits = if abi.class == Class::ELF64 { 64 } else { 32 };
    let end = if abi.endian.is_little() { "little" } else { "big" };
    format!("{machine} ({bits} bit, {end}-endian)")
}

/// Reads what there is to know. The error says what is wrong with the file.
pub(super) fn read(file: &File) -> Result<Summary, &'static str> {
    let ident = bytes(file, 0, abi::EI_NIDENT as u64).ok_or("its header is cut off")?;
    let ident = parse_ident::<AnyEndian>(&ident).map_err(|_| "its header is not ELF")?;
    let tail =
        if ident.1 == Class::ELF64 { elf::file::ELF64_EHDR_TAILSIZE } else { elf::file::ELF32_EHDR_TAILSIZE };
    let tail = bytes(file, abi::EI_NIDENT as u64, tail as u64).ok_or("its header is cut off")?;
    let header = FileHeader::parse_tail(ident, &tail).map_err(|_| "its header is cut off")?;

    let elf = Elf { file, header };
    if usize::from(header.e_phnum) * usize::from(header.e_phentsize) > MAX_SEGMENTS {
        return Err("it has too many program headers");
    }
    let segments = elf
        .table::<ProgramHeader>(header.e_phoff, header.e_phnum, header.e_phentsize)
        .ok_or("its program headers are cut off")?;
    let interpreter = match segments.iter().find(|s| s.p_type == abi::PT_INTERP) {
        Some(segment) => Some(elf.interpreter(segment).ok_or("its interpreter is not a path")?),
        None => None,
    };
    let is_code = |s: &&ProgramHeader| s.p_type == abi::PT_LOAD && s.p_flags & abi::PF_X != 0;
    let code = segments.iter().filter(is_code);
    Ok(Summary {
        abi: Abi { class: header.class, endian: header.endianness, machine: header.e_machine },
        kind: header.e_type,
        interpreter,
        go: elf.has_go_note(&segments) || elf.has_section(b".go.buildinfo\0"),
        code: code.map(|s| Code { offset: s.p_offset, length: s.p_filesz, address: s.p_vaddr }).collect(),
    })
}

/// Reads exactly `length` bytes at `offset`.
fn bytes(file: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    if length > MAX_READ {
        return None;
    }
    let mut buffer = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

struct Elf<'f> {
    file: &'f File,
    header: FileHeader<AnyEndian>,
}

impl Elf<'_> {
    fn decode<P: ParseAt>(&self, data: &[u8]) -> Vec<P> {
        ParsingTable::<_, P>::new(self.header.endianness, self.header.class, data).iter().collect()
    }

    /// Reads a table of headers. `None` if it is not all there, or of entries that are not `P`.
    fn table<P: ParseAt>(&self, offset: u64, entries: u16, entry_size: u16) -> Option<Vec<P>> {
        if usize::from(entry_size) != P::size_for(self.header.class) {
            return None;
        }
        let data = bytes(self.file, offset, u64::from(entries) * u64::from(entry_size))?;
        Some(self.decode(&data))
    }

    fn interpreter(&self, segment: &ProgramHeader) -> Option<PathBuf> {
        if segment.p_filesz > MAX_PATH {
            return None;
        }
        let data = bytes(self.file, segment.p_offset, segment.p_filesz)?;
        let path = StringTable::new(&data).get_raw(0).ok()?;
        (!path.is_empty()).then(|| OsStr::from_bytes(path).into())
    }

    /// Go's linker leaves the note even where `strip` removes everything that has a name.
    fn has_go_note(&self, segments: &[ProgramHeader]) -> bool {
        const GO_BUILD_ID: u64 = 4;
        segments.iter().filter(|s| s.p_type == abi::PT_NOTE).any(|segment| {
            let Some(data) = bytes(self.file, segment.p_offset, segment.p_filesz) else { return false };
            let align = if segment.p_align == 8 { 8 } else { 4 };
            NoteIterator::new(self.header.endianness, self.header.class, align, &data).any(
                |note| matches!(note, Note::Unknown(n) if n.n_type == GO_BUILD_ID && n.name == b"Go\0\0"),
            )
        })
    }

    /// `name` ends with a NUL.
    fn has_section(&self, name: &[u8]) -> bool {
        let header = &self.header;
        let found = || {
            let sections = self.table::<SectionHeader>(header.e_shoff, header.e_shnum, header.e_shentsize)?;
            let names = sections.get(usize::from(header.e_shstrndx))?;
            let names = bytes(self.file, names.sh_offset, names.sh_size)?;
            Some(
                sections.iter().any(|s| names.get(s.sh_name as usize..).is_some_and(|n| n.starts_with(name))),
            )
        };
        found().unwrap_or(false)
    }
}
