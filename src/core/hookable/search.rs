//! Finds programs as execvp(3) does.

use super::{Failure, executable};
use crate::sys::Text;

/// Where execvp looks when there is no PATH: confstr(_CS_PATH) of glibc.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Finds the file that execvp would execute for `name`, which has no slash: the first executable of that name in `path`, where an
/// empty element is the working directory. A path that has no room in `found` is passed over, as is what the kernel finds too long.
///
/// # Errors
///
/// Why the first candidate is not executed, which is then in `found`; `None`: there is none.
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
        // Without a directory the candidate gets `./`, so that it stays a path.
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
