//! Decides whether a program can be hooked, for `lonet check`, `lonet run` and the exec hooks of liblonet.
//!
//! Theory of operation. LD_PRELOAD works for programs that glibc's loader loads without privileges. So this
//! examines the file that the kernel is going to load: the program, or the interpreter of a script. For a
//! usual program that takes six system calls and the first KiB of its file. Parts of the file that only tools
//! read (sections, notes) count as absent if they are malformed.
//!
//! Limits. The result is advice, not protection: a file can change between the look and the exec, and a
//! script can start a program that cannot be hooked. What env(1) executes is not followed here: if env is
//! hooked, its exec is examined, and `lonet check` follows it.
//!
//! The exec hooks run in signal handlers and between vfork and exec: nothing here allocates or locks.

mod elf;
mod privilege;
mod script;
mod search;
#[cfg(test)]
mod tests;

pub use elf::{Abi, Code, Libc, MACHINE, code, library};
pub use privilege::Privilege;
pub use script::Script;
pub use search::search;

use crate::sys::{self, Text};
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt;
use std::os::fd::RawFd;

/// The longest chain of scripts that interpret each other: beyond it the kernel fails with ELOOP.
const MAX_SCRIPTS: usize = 5;

/// Bytes read from the beginning of a file: room for a script's first line, or a usual program's headers and
/// notes.
const HEAD: usize = 1024;

/// What happens to a program under LD_PRELOAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads liblonet.so.
    Hooked,
    /// It runs without liblonet.so.
    Unhookable(Unhookable),
    /// The kernel does not execute it.
    Fails(Failure),
    /// Neither ELF nor a script: execve(2) fails with ENOEXEC, and execvp(3) runs it with the shell.
    Shell,
    /// It may be executed but not read, so that this is unknown.
    Unreadable,
}

/// Why LD_PRELOAD does not work for a program. The text completes a sentence that begins with the program's
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unhookable {
    Static,
    /// A Go program, linked dynamically or statically.
    Go,
    Libc(Libc),
    Architecture(Abi),
    Privileged(Privilege),
}

/// Why the kernel does not execute a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    NotFound(Errno),
    NotRegular,
    Denied(Errno),
    /// What is wrong with its ELF headers.
    Damaged(&'static str),
    /// An ELF file of another kind: an object, a core dump.
    NotAProgram,
    /// [`Look::loader`] does not exist.
    NoLoader,
    TooManyScripts,
}

impl Unhookable {
    /// Whether the program can run under supervision: it is for this machine, and gains no privileges.
    pub fn is_supervisable(self) -> bool {
        matches!(self, Unhookable::Static | Unhookable::Go | Unhookable::Libc(_))
    }

    /// What the user can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Unhookable::Static => "use a dynamically linked build",
            Unhookable::Go => "let it join the network with the package lab.nexedi.com/kirr/go123/xnet/lonet",
            Unhookable::Libc(_) => "use a glibc build",
            Unhookable::Architecture(_) => "use a build for lonet's architecture",
            Unhookable::Privileged(_) => "run a copy without that",
        }
    }
}

impl fmt::Display for Unhookable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unhookable::Static => f.write_str("is statically linked, and LD_PRELOAD does not reach that"),
            Unhookable::Go => f.write_str(
                "is a Go program, which makes its system calls itself where LD_PRELOAD does not reach them",
            ),
            Unhookable::Libc(libc) => {
                write!(
                    f,
                    "is linked with {libc}, a C library other than glibc, which cannot load liblonet.so"
                )
            }
            Unhookable::Architecture(theirs) => {
                write!(f, "is a program for {theirs}, and liblonet.so is for {}", elf::OURS)
            }
            Unhookable::Privileged(privilege) => {
                write!(f, "is {privilege}, for which ld.so ignores LD_PRELOAD")
            }
        }
    }
}

/// The result of [`look`].
pub struct Look {
    pub verdict: Verdict,
    /// If the program is a script: how its interpreter is run, which the verdict is about. In a chain of
    /// scripts, the last one.
    pub script: Option<Script>,
    /// The loader that the program names, if any.
    pub loader: Text<{ elf::MAX_LOADER }>,
}

/// Examines the file that execveat(2) would execute for `program` in `dir`.
pub fn look(dir: RawFd, program: &CStr) -> Look {
    let (mut script, mut loader) = (None::<Script>, Text::new());
    for _ in 0..=MAX_SCRIPTS {
        let (dir, path) = match &script {
            None => (dir, Some(program)),
            Some(script) => (libc::AT_FDCWD, script.interpreter.c_str()),
        };
        // The longest interpreter has room for its zero.
        let Some(path) = path else { break };
        match look_once(dir, path, &mut loader) {
            LookStep::Verdict(verdict) => return Look { verdict, script, loader },
            LookStep::Script(next) => script = Some(next),
        }
    }
    Look { verdict: Verdict::Fails(Failure::TooManyScripts), script: None, loader }
}

/// The result of examining one file of a chain of scripts.
// It lies on the stack of a hook, which must not allocate a box.
#[expect(clippy::large_enum_variant)]
enum LookStep {
    Verdict(Verdict),
    Script(Script),
}

fn look_once(dir: RawFd, path: &CStr, loader: &mut Text<{ elf::MAX_LOADER }>) -> LookStep {
    let verdict = match executable(dir, path) {
        Err(failure) => Verdict::Fails(failure),
        Ok(stat) => match sys::open_at(dir, path, libc::O_RDONLY | libc::O_NOCTTY, 0) {
            Err(_) => Verdict::Unreadable,
            Ok(file) => {
                let mut head = [0; HEAD];
                let Ok(n) = sys::read_at(file.raw(), 0, &mut head) else {
                    return LookStep::Verdict(Verdict::Unreadable);
                };
                let head = head.get(..n).unwrap_or_default();
                if !head.starts_with(&::elf::abi::ELFMAGIC) {
                    return Script::read(head).map_or(LookStep::Verdict(Verdict::Shell), LookStep::Script);
                }
                match privilege::gained_by(file.raw(), &stat) {
                    Some(privilege) => Verdict::Unhookable(Unhookable::Privileged(privilege)),
                    None => elf::check(file.raw(), head, loader),
                }
            }
        },
    };
    let is_static = verdict == Verdict::Unhookable(Unhookable::Static);
    LookStep::Verdict(if is_static && loads_others(path.to_bytes()) { Verdict::Hooked } else { verdict })
}

/// The stat of a file that the kernel would execute. It opens nothing: opening a FIFO blocks, and opening a
/// device can have any effect.
fn executable(dir: RawFd, path: &CStr) -> Result<libc::stat, Failure> {
    let stat = sys::fstatat(dir, path, 0).map_err(|errno| match errno {
        Errno::EACCES => Failure::Denied(errno),
        errno => Failure::NotFound(errno),
    })?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Failure::NotRegular);
    }
    sys::may_execute(dir, path, &stat).map_err(Failure::Denied)?;
    Ok(stat)
}

/// Whether this is a static program that loads another one and obeys LD_PRELOAD: ld.so itself, or a tool of
/// valgrind.
fn loads_others(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|b| *b == b'/');
    let name = parts.next().unwrap_or_default();
    name.starts_with(b"ld-linux") || name.starts_with(b"ld.so") || parts.next() == Some(b"valgrind")
}
