//! A program that does not load this library uses the machine's network, and its user is to know: what is about
//! to be executed is looked at, and one line on stderr says why it cannot be hooked. It runs all the same.
//!
//! Theory of operation. The look is light: four system calls for a usual program, and the first KiB of the file. What
//! cannot be told from it is let pass, and so is all that `lonet run` alone looks for. Of a script its interpreter is
//! looked at; what that executes it executes through the hooks. It is advice, not a fence.
//!
//! The line goes where the shell would complain. Not so where descriptor 2 is a socket, which is the
//! program's and no terminal, or a pipe that would block or that nobody reads.

mod elf;

use crate::environment;
use crate::log;
use elf::Elf;
use lonet_core::sys::{self, Text};
use std::ffi::CStr;
use std::fmt::Write;

/// What is about to be executed, as the program says it.
#[derive(Clone, Copy)]
pub enum Program {
    Path(*const libc::c_char),
    /// Looked for in PATH, unless it has a slash.
    Name(*const libc::c_char),
    Open(libc::c_int),
    At {
        dir: libc::c_int,
        path: *const libc::c_char,
        flags: libc::c_int,
    },
}

/// Why a program cannot be hooked. The text is the rest of a sentence that begins with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Static,
    Go,
    OtherLibc,
    Architecture,
    SetUser,
    SetGroup,
    Capabilities,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::Static => "is statically linked, and LD_PRELOAD does not reach that",
            Why::Go => {
                "is a Go program, which makes its system calls itself where LD_PRELOAD does not reach them"
            }
            Why::OtherLibc => "is linked with a C library other than glibc, which cannot load liblonet.so",
            Why::Architecture => "is a program for another architecture than liblonet.so",
            Why::SetUser => "is set-user-ID, for which ld.so ignores LD_PRELOAD",
            Why::SetGroup => "is set-group-ID, for which ld.so ignores LD_PRELOAD",
            Why::Capabilities => "is given capabilities by its file, for which ld.so ignores LD_PRELOAD",
        }
    }
}

/// Says so if `program` cannot be hooked.
pub fn say_if(program: Program) {
    if !environment::is_preloaded() {
        return;
    }
    let at = libc::AT_FDCWD;
    match program {
        Program::Path(path) => say_if_at(at, path),
        Program::Open(fd) => say_if_open(fd),
        Program::At { dir, path, flags } if flags & libc::AT_EMPTY_PATH != 0 && is_empty(path) => {
            say_if(if dir == at { Program::Path(c".".as_ptr()) } else { Program::Open(dir) });
        }
        Program::At { dir, path, .. } => say_if_at(dir, path),
        Program::Name(name) => {
            if let Some(name) = c_str(name) {
                if name.to_bytes().contains(&b'/') {
                    say_if_at(at, name.as_ptr())
                } else {
                    say_if_in_path(name)
                }
            }
        }
    }
}

fn c_str<'a>(text: *const libc::c_char) -> Option<&'a CStr> {
    crate::memory::text(text)
}

fn is_empty(path: *const libc::c_char) -> bool {
    c_str(path).is_some_and(CStr::is_empty)
}

fn say_if_at(dir: i32, path: *const libc::c_char) {
    if let Some(path) = c_str(path) {
        say(look(dir, path), path);
    }
}

/// The program that execvp(3) would find.
fn say_if_in_path(name: &CStr) {
    // SAFETY: the process' own environment. getenv would be the shell's own in some.
    let path = unsafe { environment::find(environment::own(), b"PATH=") };
    for dir in path.unwrap_or(b"/bin:/usr/bin").split(|b| *b == b':') {
        let mut file = Text::<512>::new();
        let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
        if [dir, slash, name.to_bytes(), b"\0"].iter().all(|part| file.push(part))
            && let Ok(file) = CStr::from_bytes_with_nul(file.bytes())
            && mode_of(libc::AT_FDCWD, file).is_some_and(|(mode, _, _)| is_program(mode))
        {
            return say(look(libc::AT_FDCWD, file), file);
        }
    }
}

fn is_program(mode: u32) -> bool {
    mode & libc::S_IFMT == libc::S_IFREG && mode & 0o111 != 0
}

/// Mode, user and group of a file.
fn mode_of(dir: i32, path: &CStr) -> Option<(u32, u32, u32)> {
    // Looking at a device is no opening it.
    let stat = sys::fstatat(dir, path, 0).ok()?;
    Some((stat.st_mode, stat.st_uid, stat.st_gid))
}

/// How many scripts may be each other's interpreters: the kernel fails beyond that.
const MAX_SCRIPTS: usize = 5;

// It lives on the stack of a hook, where nothing can be boxed.
#[expect(clippy::large_enum_variant)]
enum Looked {
    Fine,
    Cannot(Why),
    /// A script of this interpreter.
    Script(Text<HEAD>),
}

fn look(dir: i32, path: &CStr) -> Option<Why> {
    let mut looked = look_once(dir, path);
    for _ in 0..MAX_SCRIPTS {
        match looked {
            Looked::Fine => return None,
            Looked::Cannot(why) => return Some(why),
            Looked::Script(interpreter) => {
                let path = CStr::from_bytes_until_nul(interpreter.bytes()).ok()?;
                looked = look_once(libc::AT_FDCWD, path);
            }
        }
    }
    None
}

fn look_once(dir: i32, path: &CStr) -> Looked {
    let Some((mode, _, _)) = mode_of(dir, path) else { return Looked::Fine };
    if !is_program(mode) || loads_others(path.to_bytes()) {
        return Looked::Fine;
    }
    match sys::open_at(dir, path, libc::O_RDONLY | libc::O_NOCTTY, 0) {
        Ok(fd) => look_into(fd.raw()),
        // What may only be executed and not read cannot be told.
        Err(_) => Looked::Fine,
    }
}

fn say_if_open(fd: i32) {
    let mut at = Text::<32>::new();
    if write!(at, "/proc/self/fd/{fd}\0").is_err() {
        return;
    }
    let Ok(at) = CStr::from_bytes_with_nul(at.bytes()) else { return };
    // Not through the descriptor itself, which may be open for execution only.
    let Some(why) = look(libc::AT_FDCWD, at) else { return };
    let mut name = [0u8; 512];
    // SAFETY: a C string and a buffer, whose last byte stays zero.
    unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, at.as_ptr(), name.as_mut_ptr(), name.len() - 1)
    };
    say(Some(why), CStr::from_bytes_until_nul(&name).unwrap_or(at));
}

/// Static programs that load another one, with what LD_PRELOAD says: ld.so itself, and valgrind's tools.
fn loads_others(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|b| *b == b'/');
    let name = parts.next().unwrap_or_default();
    name.starts_with(b"ld-linux") || name.starts_with(b"ld.so") || parts.next() == Some(b"valgrind")
}

/// What is read of a file at once: the headers of a usual program with its notes.
const HEAD: usize = 1024;

fn look_into(fd: i32) -> Looked {
    let mut head = [0; HEAD];
    let head = read_at(fd, 0, &mut head);
    if head.starts_with(b"#!") {
        return interpreter(head).map_or(Looked::Fine, Looked::Script);
    }
    if !head.starts_with(b"\x7fELF") {
        // The shell runs it, if anything does.
        return Looked::Fine;
    }
    match privilege(fd).or_else(|| Elf { fd, head }.check()) {
        Some(why) => Looked::Cannot(why),
        None => Looked::Fine,
    }
}

/// What is there at `offset`; nothing on an error.
fn read_at(fd: i32, offset: u64, buffer: &mut [u8]) -> &[u8] {
    // SAFETY: a buffer that is valid for its length.
    let n = unsafe { libc::syscall(libc::SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), offset) };
    buffer.get(..usize::try_from(n).unwrap_or(0)).unwrap_or_default()
}

/// The path after `#!`, with a zero behind it.
fn interpreter(head: &[u8]) -> Option<Text<HEAD>> {
    // So much does the kernel read of it.
    let line = head.get(2..head.len().min(256))?;
    let line = line.split(|b| *b == b'\n').next()?;
    let mut words = line.split(|b| matches!(b, b' ' | b'\t' | b'\0')).filter(|w| !w.is_empty());
    let mut path = Text::new();
    (path.push(words.next()?) && path.push(b"\0")).then_some(path)
}

/// What the kernel sets AT_SECURE for.
fn privilege(fd: i32) -> Option<Why> {
    let stat = sys::fstat(fd).ok()?;
    // SAFETY: ids that cannot fail.
    let (uid, gid) = unsafe { (libc::syscall(libc::SYS_getuid), libc::syscall(libc::SYS_getgid)) };
    let setgid = libc::S_ISGID | libc::S_IXGRP;
    let why = if stat.st_mode & libc::S_ISUID != 0 && i64::from(stat.st_uid) != uid {
        Some(Why::SetUser)
    } else if stat.st_mode & setgid == setgid && i64::from(stat.st_gid) != gid {
        Some(Why::SetGroup)
    } else {
        None
    };
    if why.is_some() && !is_without_effect(fd) {
        return why;
    }
    // Root has all capabilities anyway.
    let name = c"security.capability".as_ptr();
    let nowhere = std::ptr::null_mut::<u8>();
    // SAFETY: a C string; with size 0 nothing is written.
    let length = || unsafe { libc::syscall(libc::SYS_fgetxattr, fd, name, nowhere, 0) };
    (uid != 0 && length() > 0).then_some(Why::Capabilities)
}

/// Whether the process, or the file system, makes nothing of set-user-ID.
fn is_without_effect(fd: i32) -> bool {
    // SAFETY: no pointers.
    let no_new = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
    no_new == 1 || sys::is_nosuid(fd) == Ok(true)
}

fn say(why: Option<Why>, program: &CStr) {
    let Some(why) = why.map(Why::text) else { return };
    let mut line = Text::<512>::new();
    let name = program.to_bytes();
    // Of a long path its end says more.
    let name = name.get(name.len().saturating_sub(256)..).unwrap_or(name);
    let all = line.write_str("lonet: ").is_ok()
        && line.push(name)
        && writeln!(line, " {why}: it will use the machine's network").is_ok();
    if all && takes_a_line() {
        // SAFETY: a valid buffer; what cannot be written is lost.
        unsafe { libc::syscall(libc::SYS_write, 2, line.bytes().as_ptr(), line.bytes().len()) };
    }
    log::line(format_args!("exec of what {why}"));
}

/// Whether descriptor 2 is one for words, and takes them without waiting or a signal.
fn takes_a_line() -> bool {
    if !sys::fstat(2).is_ok_and(|stat| stat.st_mode & libc::S_IFMT != libc::S_IFSOCK) {
        return false;
    }
    // SAFETY: structures to fill.
    unsafe {
        let mut poll = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
        let mut at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mask = std::ptr::null::<libc::sigset_t>();
        libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw mut at_once, mask, 8) == 1
            && poll.revents == libc::POLLOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_read_as_the_kernel_reads_them() {
        let read = |head: &[u8]| interpreter(head).map(|b| b.bytes().to_vec());
        assert_eq!(read(b"#!/bin/sh\necho"), Some(b"/bin/sh\0".to_vec()));
        assert_eq!(read(b"#! \t/usr/bin/env python3 -u\n"), Some(b"/usr/bin/env\0".to_vec()));
        assert_eq!(read(b"#!\n"), None);
        assert_eq!(read(b"#!"), None);
    }

    #[test]
    fn this_program_can_be_hooked_and_no_file_cannot() {
        let file = c"/proc/self/exe";
        assert!(matches!(look_once(libc::AT_FDCWD, file), Looked::Fine));
        assert_eq!(look(libc::AT_FDCWD, c"/no/such/file"), None);
        assert_eq!(look(libc::AT_FDCWD, c"/dev/null"), None);
    }
}
