//! Checks whether a program can be hooked by LD_PRELOAD, before it is started.
//!
//! A program that does not load liblonet.so would run all the same, on the machine's own network and with no
//! more than a line from ld.so, if that. So `lonet run` checks it first and refuses with the reason. The
//! check covers what the kernel is going to execute ([`lonet_core::hookable`]), and what env(1) goes on to
//! execute for a script.
//!
//! This is advice to the user and no protection: a file can change between the check and the exec, and a
//! script can go on to start a static program. If the file does not tell, the program is let through.

mod calls;
mod env;
mod refusal;
mod resolve;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use lonet_core::hookable::{self, Failure, Verdict};
use nix::errno::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub use refusal::{Reason, Refusal};
pub use resolve::resolve;

/// How often env(1) may execute a script that env(1) runs.
const MAX_ENVS: usize = 5;

/// The interpreter of a file that is executable and neither ELF nor `#!`, by execvp(3).
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

/// Like [`hookable`], and refuses a program that may make its network calls past the library.
///
/// # Errors
///
/// Those of [`hookable`], and [`Reason::OwnCalls`].
pub fn hookable_for_certain(program: &Path, library: &Path) -> Result<(), Refusal> {
    certain(program, library, std::env::var_os("PATH").as_deref())
}

fn certain(program: &Path, library: &Path, path: Option<&OsStr>) -> Result<(), Refusal> {
    let Some(loaded) = loaded(program, library, path)? else { return Ok(()) };
    let refuse = |reason| Refusal { script: script_of(program, &loaded), program: loaded.clone(), reason };
    let file = File::open(&loaded).map_err(|_| refuse(Reason::Unreadable))?;
    let mut code = Vec::new();
    hookable::code(file.as_raw_fd(), |part| code.push(part))
        .map_err(|damage| refuse(Reason::Fails(Failure::Damaged(damage))))?;
    calls::first(&file, &code).map_or(Ok(()), |at| Err(refuse(Reason::OwnCalls(at))))
}

/// The program that the kernel loads. `None`: the file does not tell.
fn loaded(program: &Path, library: &Path, path: Option<&OsStr>) -> Result<Option<PathBuf>, Refusal> {
    let unusable = |why| Refusal::new(library, Reason::Library(why));
    let file = File::open(library).map_err(|e| unusable(describe(&e)))?;
    hookable::library(file.as_raw_fd()).map_err(|what| unusable(what.to_owned()))?;

    let (mut current, mut path) = (program.to_owned(), path.map(OsString::from));
    for _ in 0..=MAX_ENVS {
        let c_path = CString::new(current.as_os_str().as_bytes())
            .map_err(|_| Refusal::new(&current, Reason::Fails(Failure::NotFound(Errno::EINVAL))))?;
        let look = hookable::look(libc::AT_FDCWD, &c_path);
        let path_of = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        let interpreter = look.script.as_ref().map(|script| path_of(script.interpreter.bytes()));
        let found = interpreter.clone().unwrap_or_else(|| current.clone());
        let refuse = |reason| Refusal { program: found.clone(), script: script_of(program, &found), reason };
        current = match look.verdict {
            Verdict::Hooked => match &look.script {
                Some(script) if found.file_name() == Some(OsStr::new("env")) => {
                    let target = env::target(script.argument.bytes());
                    path = target.path.or(path);
                    let Some(name) = target.program else { return Ok(None) };
                    resolve(&name, path.as_deref())
                        .map_err(|refusal| Refusal { script: Some(program.to_owned()), ..refusal })?
                }
                _ => return Ok(Some(found)),
            },
            Verdict::Shell => SHELL.into(),
            Verdict::Unhookable(why) => return Err(refuse(Reason::Unhookable(why))),
            Verdict::Fails(Failure::NoLoader) => {
                return Err(refuse(Reason::NoLoader(path_of(look.loader.bytes()))));
            }
            Verdict::Fails(why) => return Err(refuse(Reason::Fails(why))),
            Verdict::Unreadable => return Err(refuse(Reason::Unreadable)),
        };
    }
    Err(Refusal::new(program, Reason::Fails(Failure::TooManyScripts)))
}

fn script_of(program: &Path, current: &Path) -> Option<PathBuf> {
    (program != current).then(|| program.to_owned())
}

/// The error without "(os error 2)".
fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().into())
}
