//! Searches PATH for programs as execvp(3) does.

use super::{Failure, executable};
use crate::sys::Text;

/// The PATH of execvp if there is none: confstr(_CS_PATH) of glibc.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Finds the file that execvp would execute for `name`, which has no slash, and stores its path in `found`.
///
/// That is the first executable of that name in `path`, where an empty element is the working directory.
/// Paths that do not fit `found` are skipped, as are those that the kernel finds too long.
///
/// # Errors
///
/// Why the first candidate, whose path is then in `found`, is not executed. `None`: there is no candidate.
pub fn search<const N: usize>(
    name: &[u8],
    path: Option<&[u8]>,
    found: &mut Text<N>,
) -> Result<(), Option<Failure>> {
    if name.is_empty() || name.contains(&0) {
        return Err(None);
    }
    let mut denied = None;
    for dir in path.unwrap_or(DEFAULT_PATH).split(|b| *b == b':') {
        let mut candidate = Text::<N>::new();
        // An empty element becomes `./`, so that the candidate is a path.
        let dir = if dir.is_empty() { b"." } else { dir };
        let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
        if ![dir, slash, name].iter().all(|part| candidate.push(part)) {
            continue;
        }
        let Some(at) = candidate.c_str() else { continue };
        match executable(libc::AT_FDCWD, at) {
            Ok(_) => {
                *found = candidate;
                return Ok(());
            }
            Err(failure @ (Failure::Denied(_) | Failure::NotRegular)) if denied.is_none() => {
                denied = Some(failure);
                *found = candidate;
            }
            Err(_) => {}
        }
    }
    Err(denied)
}
