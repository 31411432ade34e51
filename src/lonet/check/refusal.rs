//! The reasons why a program is not started, as the user reads them.

use lonet_core::hookable::{Failure, Unhookable};
use std::fmt;
use std::path::{Path, PathBuf};

/// A program that `lonet run` does not start. Its text is one sentence: which program, why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    /// The file that the reason is about: the program, or what would execute it.
    pub program: PathBuf,
    /// The script that the user named, if `program` is its interpreter.
    pub script: Option<PathBuf>,
    pub reason: Reason,
}

/// The reason. Its text is the rest of a sentence that starts with a path.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("{}: {}", .0, .0.remedy())]
    Unhookable(Unhookable),
    #[error("{}", failure(*.0))]
    Fails(Failure),
    #[error("needs the loader {}, which is not installed: install the C library that it is built for", .0.display())]
    NoLoader(PathBuf),
    #[error("is in no directory of PATH: install it or give its path")]
    NotInPath,
    #[error("cannot be read, so lonet cannot tell whether LD_PRELOAD reaches it: make it readable")]
    Unreadable,
    /// Not from [`hookable`](super::hookable): the address of such a call.
    #[error(
        "has what looks like system calls of its own (the first is at {0:#x}), so lonet cannot tell whether its calls to the \
         network can be hooked: run it, and see whether `lonet ls` shows its sockets"
    )]
    OwnCalls(u64),
    #[error("is not usable as lonet's preload library ({0}): reinstall lonet")]
    Library(String),
}

fn failure(failure: Failure) -> String {
    match failure {
        Failure::NotFound(errno) => format!("is not found ({}): check the name", errno.desc()),
        Failure::NotRegular => "cannot be executed (it is not a regular file): check the name".into(),
        Failure::Denied(errno) => format!("cannot be executed ({}): check its permissions", errno.desc()),
        Failure::Damaged(what) => format!("is a damaged or unusual ELF file ({what}): reinstall it"),
        Failure::NotAProgram => "is an ELF file but not a program: name an executable".into(),
        Failure::NoLoader => {
            "needs a loader that is not installed: install the C library that it is built for".into()
        }
        Failure::TooManyScripts => {
            "is a script whose interpreter is a script, and so on too often: name the interpreter".into()
        }
    }
}

impl Refusal {
    pub(super) fn new(program: &Path, reason: Reason) -> Self {
        Self { program: program.to_owned(), script: None, reason }
    }

    /// Its text, without what to do.
    pub fn about(&self) -> String {
        let text = self.to_string();
        let Reason::Unhookable(why) = self.reason else { return text };
        text.strip_suffix(why.remedy()).and_then(|text| text.strip_suffix(": ")).unwrap_or(&text).to_owned()
    }

    /// Whether the program can run under supervision.
    pub fn is_supervisable(&self) -> bool {
        matches!(self.reason, Reason::Unhookable(why) if why.is_supervisable())
    }

    /// The exit code of `lonet run`, which follows env(1): 127 not found, 126 found but unusable, 125 a
    /// failure of lonet itself; and of `lonet check`: 1 if the file does not tell.
    pub fn exit_code(&self) -> u8 {
        match self.reason {
            Reason::Fails(Failure::NotFound(_)) | Reason::NotInPath => 127,
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
