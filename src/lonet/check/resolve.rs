//! Finds programs as execvp(3) does.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use super::describe;
use super::refusal::{Reason, Refusal};

/// Where execvp looks when there is no PATH: confstr(_CS_PATH) of glibc.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Returns the file that execvp would execute for `program`, with `path` as PATH.
///
/// A name with a slash is returned as it is, whether or not there is such a file. Any other is the
/// first executable of that name in PATH, where an empty element is the working directory.
///
/// # Errors
///
/// [`Reason::NotInPath`], or [`Reason::NotExecutable`] if there are only candidates that may not be
/// executed (EACCES): the first of these is named.
pub fn resolve(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Refusal> {
    if program.is_empty() {
        return Err(Refusal::new(Path::new(program), Reason::NotInPath));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(program.into());
    }

    let mut denied = None;
    for directory in path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes().split(|&b| b == b':') {
        // Without a directory the candidate gets `./`, so that it stays a path.
        let directory = if directory.is_empty() { &b"."[..] } else { directory };
        let candidate = Path::new(OsStr::from_bytes(directory)).join(program);
        let why = match candidate.metadata() {
            Ok(meta) if !meta.is_file() => Some("it is not a regular file".to_owned()),
            Ok(_) => match eaccess(&candidate, AccessFlags::X_OK) {
                Ok(()) => return Ok(candidate),
                Err(e) => Some(e.desc().to_owned()),
            },
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Some(describe(&e)),
            Err(_) => None,
        };
        if let Some(why) = why {
            denied.get_or_insert((candidate, why));
        }
    }
    Err(match denied {
        Some((candidate, why)) => Refusal::new(&candidate, Reason::NotExecutable(why)),
        None => Refusal::new(Path::new(program), Reason::NotInPath),
    })
}
