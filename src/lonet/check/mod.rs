//! Tells what LD_PRELOAD cannot reach, before it starts.
//!
//! A program that does not load liblonet.so runs all the same, on the machine's own network and with
//! no more than a line from ld.so, if that. So `lonet run` looks first and refuses with the reason.
//! What is looked at is what the kernel is going to execute: for a script that is its interpreter.
//!
//! This is advice to the user and not a fence: a file can change between the look and the exec, and a
//! script can go on to start a static program. What cannot be told from the file is let through.

mod binary;
mod calls;
mod privilege;
mod refusal;
mod resolve;
mod script;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

pub use refusal::{Reason, Refusal};
pub use resolve::resolve;

/// How many scripts may be each other's interpreters: the kernel fails with ELOOP beyond that.
const MAX_SCRIPTS: usize = 5;

/// What executes a file that is executable and neither ELF nor `#!`, says execvp(3).
const SHELL: &str = "/bin/sh";

/// Decides whether `program` will load `library` through LD_PRELOAD and make its network calls
/// through it.
///
/// `program` is a path ([`resolve`] makes one of a name). `#!/usr/bin/env X` is looked up in this
/// process' PATH, and relative interpreters in its working directory.
///
/// # Errors
///
/// A [`Refusal`]: one sentence with the reason and what to do. Its kind tells what is not there from
/// what cannot be executed and what cannot be hooked.
pub fn hookable(program: &Path, library: &Path) -> Result<(), Refusal> {
    loaded(program, library, std::env::var_os("PATH").as_deref()).map(drop)
}

/// As [`hookable`], and says so of a program that may make its network calls past the library.
///
/// # Errors
///
/// Those of [`hookable`], and [`Reason::OwnCalls`].
pub fn hookable_for_certain(program: &Path, library: &Path) -> Result<(), Refusal> {
    certain(program, library, std::env::var_os("PATH").as_deref())
}

fn certain(program: &Path, library: &Path, path: Option<&OsStr>) -> Result<(), Refusal> {
    let Some(Loaded { path, file }) = loaded(program, library, path)? else { return Ok(()) };
    let reason = match binary::read(&file) {
        Ok(all) => calls::first(&file, all.abi, &all.code).map(Reason::OwnCalls),
        Err(damage) => Some(Reason::Damaged(damage)),
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(Refusal { script: script_of(program, &path), program: path, reason }),
    }
}

/// What the kernel loads.
struct Loaded {
    path: PathBuf,
    file: File,
}

/// `None`: it cannot be told.
fn loaded(program: &Path, library: &Path, path: Option<&OsStr>) -> Result<Option<Loaded>, Refusal> {
    let library_abi = File::open(library)
        .map_err(|e| describe(&e))
        .and_then(|file| binary::read(&file).map_err(|damage| damage.to_owned()))
        .map_err(|why| Refusal::new(library, Reason::Library(why)))?
        .abi;

    let mut current = program.to_owned();
    let mut path: Option<OsString> = path.map(OsString::from);
    for _ in 0..=MAX_SCRIPTS {
        let refuse =
            |reason| Refusal { program: current.clone(), script: script_of(program, &current), reason };
        let file = open(&current).map_err(refuse)?;
        let head = head(&file).map_err(|_| refuse(Reason::Unreadable))?;
        if head.starts_with(elf::abi::ELFMAGIC.as_slice()) {
            privilege::check(&file).map_err(refuse)?;
            binary::check(&file, library_abi).map_err(refuse)?;
            return Ok(Some(Loaded { path: current, file }));
        }
        current = match script::next(&head) {
            script::Next::Shell => SHELL.into(),
            script::Next::Interpreter(interpreter) => interpreter,
            script::Next::Env { env, target } => {
                open(&env).map_err(|reason| Refusal {
                    program: env.clone(),
                    script: Some(program.to_owned()),
                    reason,
                })?;
                if let Some(new) = target.path {
                    path = Some(new);
                }
                match target.program {
                    None => return Ok(None),
                    Some(name) => resolve(&name, path.as_deref())
                        .map_err(|refusal| Refusal { script: Some(program.to_owned()), ..refusal })?,
                }
            }
        };
    }
    Err(Refusal::new(program, Reason::TooManyScripts))
}

fn script_of(program: &Path, current: &Path) -> Option<PathBuf> {
    (program != current).then(|| program.to_owned())
}

/// Opens what execve would execute, or says why it would not.
fn open(path: &Path) -> Result<File, Reason> {
    // Before opening: opening a FIFO waits, and opening a device can do anything.
    let meta = path.metadata().map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => Reason::NotExecutable(describe(&e)),
        _ => Reason::NotFound(describe(&e)),
    })?;
    if !meta.is_file() {
        return Err(Reason::NotExecutable("it is not a regular file".into()));
    }
    eaccess(path, AccessFlags::X_OK).map_err(|e| Reason::NotExecutable(e.desc().into()))?;
    File::open(path).map_err(|_| Reason::Unreadable)
}

/// The error without "(os error 2)".
fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().into())
}

/// The part of a file that decides how the kernel executes it.
fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; script::HEAD];
    let mut got = 0;
    while got < head.len() {
        match file.read_at(&mut head[got..], got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    head.truncate(got);
    Ok(head)
}
