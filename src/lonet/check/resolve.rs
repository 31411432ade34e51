//! Finds programs in PATH as execvp(3) does.

use super::refusal::{Reason, Refusal};
use lonet_core::hookable::search;
use lonet_core::sys::Text;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Returns the file that execvp would execute for `program`, with `path` as PATH.
///
/// A name with a slash is returned as it is, whether or not there is such a file. Any other is the
/// first executable of that name in PATH, where an empty element is the working directory.
///
/// # Errors
///
/// [`Reason::NotInPath`], or [`Reason::Fails`] if there are only candidates that may not be executed
/// (EACCES): the first of these is named. A file in a directory that may not be searched is no candidate:
/// execvp fails with EACCES for it, whether or not it exists.
pub fn resolve(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Refusal> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.into());
    }
    let mut found = Text::<{ libc::PATH_MAX as usize }>::new();
    let result = search(program.as_bytes(), path.map(OsStr::as_bytes), &mut found);
    let found = Path::new(OsStr::from_bytes(found.bytes()));
    match result {
        Ok(()) => Ok(found.to_owned()),
        Err(why) => Err(match (why, first_there(program, path)) {
            (Some(failure), Some(found)) => Refusal::new(&found, Reason::Fails(failure)),
            _ => Refusal::new(Path::new(program), Reason::NotInPath),
        }),
    }
}

/// The first file of this name in PATH that is known to exist.
fn first_there(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?).map(|dir| dir.join(program)).find(|file| file.symlink_metadata().is_ok())
}
