//! Why a program is not started, in the words that the user reads.

use std::fmt;
use std::path::{Path, PathBuf};

/// A program that `lonet run` does not start. Displays as one sentence: who, why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    /// What the reason is about: the program, or what would execute it.
    pub program: PathBuf,
    /// The script that the user named, if `program` is its interpreter.
    pub script: Option<PathBuf>,
    pub reason: Reason,
}

/// The text is the rest of a sentence that starts with a path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("is not found ({0}): check the name")]
    NotFound(String),
    #[error("is in no directory of PATH: install it or give its path")]
    NotInPath,
    #[error("cannot be executed ({0}): check its permissions")]
    NotExecutable(String),
    #[error("cannot be read, so lonet cannot tell whether LD_PRELOAD reaches it: make it readable")]
    Unreadable,
    #[error("is a damaged or unusual ELF file ({0}): reinstall it")]
    Damaged(&'static str),
    #[error("is an ELF file but not a program: name an executable")]
    NotAProgram,
    #[error("is statically linked, and LD_PRELOAD does not reach that: use a dynamically linked build")]
    Static,
    #[error(
        "is a Go program, which makes its system calls itself where LD_PRELOAD does not reach them: \
         let it join the network with the lonet package for Go"
    )]
    Go,
    /// Not of [`hookable`](super::hookable): the address of one.
    #[error(
        "has what looks like system calls of its own (the first is at {0:#x}), so lonet cannot tell whether its calls to the \
         network can be hooked: run it, and see whether `lonet ls` shows its sockets"
    )]
    OwnCalls(u64),
    #[error("is a program for {theirs}, and liblonet.so is for {ours}: use a build for {ours}")]
    Architecture { theirs: String, ours: String },
    #[error("is linked with a C library other than glibc ({}), which cannot load liblonet.so: use a glibc build", .0.display())]
    OtherLibc(PathBuf),
    #[error("needs the loader {}, which is not installed: install the C library that it is built for", .0.display())]
    NoLoader(PathBuf),
    #[error("is {0}, for which ld.so ignores LD_PRELOAD: run a copy without that")]
    Privileged(Privilege),
    #[error("is a script whose interpreter is a script, and so on too often: name the interpreter")]
    TooManyScripts,
    #[error("is not usable as lonet's preload library ({0}): reinstall lonet")]
    Library(String),
}

/// What makes the kernel set AT_SECURE for a program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Privilege {
    #[error("set-user-ID to user {0}")]
    SetUid(u32),
    #[error("set-group-ID to group {0}")]
    SetGid(u32),
    #[error("given capabilities by its file")]
    Capabilities,
}

impl Refusal {
    pub(super) fn new(program: &Path, reason: Reason) -> Self {
        Self { program: program.to_owned(), script: None, reason }
    }

    /// The exit code of `lonet run`, which follows env(1): 127 not found, 126 found and of no use,
    /// 125 a failure of lonet itself; and of `lonet check`: 1 it cannot be told.
    pub fn exit_code(&self) -> u8 {
        match self.reason {
            Reason::NotFound(_) | Reason::NotInPath => 127,
            Reason::Library(_) => 125,
            Reason::OwnCalls(_) => 1,
            _ => 126,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(script) = &self.script {
            write!(f, "{script:?} is run by {:?}, which {}", self.program, self.reason)
        } else {
            write!(f, "{:?} {}", self.program, self.reason)
        }
    }
}

impl std::error::Error for Refusal {}
