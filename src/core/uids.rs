//! Which user a uid stands for.
//!
//! The kernel compares users, and shows their numbers as the reader's user namespace has them. A user that has none
//! there is shown as the overflow uid, which may be a user's own number, too (nobody's, 65534): there, equal numbers
//! say nothing. Below a user namespace of its own a process may also find its own uid renamed.

use crate::sys::{self, check};

/// The number of users without one, unless root has chosen another (`kernel.overflowuid`).
pub const OVERFLOW: u32 = 65534;

/// How many uids there are.
const ALL: u64 = 4_294_967_295;

/// Whether each user has a number of its own in this process' user namespace. `None`: cannot tell.
pub fn all_have_numbers() -> Option<bool> {
    let fd = sys::open(c"/proc/self/uid_map", libc::O_RDONLY).ok()?;
    let mut text = [0u8; 128];
    // SAFETY: the buffer is valid for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_read, fd.raw(), text.as_mut_ptr(), text.len()) }).ok()?;
    covers_all(&text[..n as usize])
}

/// A map of several lines may cover everything as well; one that does not say so in its first counts as one that does not.
fn covers_all(map: &[u8]) -> Option<bool> {
    let line = map.split(|b| *b == b'\n').next()?;
    let mut fields = line.split(|b| *b == b' ').filter(|field| !field.is_empty());
    let count = std::str::from_utf8(fields.nth(2)?).ok()?.parse::<u64>().ok()?;
    Some(count == ALL)
}

/// Whether the open `dir` is a directory of this process' user and closed to all others. By the kernel's own comparison: who is
/// not the owner may not leave the time of access alone, unless it has power over the owner, which then has a number
/// of its own.
pub fn is_own_closed_directory(dir: i32) -> bool {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOATIME;
    let Ok(fd) = sys::open_at(dir, c".", flags, 0) else { return false };
    sys::fstat(fd.raw()).is_ok_and(|stat| stat.st_uid == sys::geteuid() && stat.st_mode & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn map_of_everything_is_told_from_map_of_one_user() {
        assert_eq!(covers_all(b"         0          0 4294967295\n"), Some(true));
        assert_eq!(covers_all(b"         0       1000          1\n"), Some(false));
        assert_eq!(
            covers_all(b"         0       1000          1\n         1     100000      65536\n"),
            Some(false)
        );
    }

    #[test]
    fn unreadable_map_tells_nothing() {
        assert_eq!(covers_all(b""), None);
        assert_eq!(covers_all(b"0 0\n"), None);
    }

    #[test]
    fn only_an_own_closed_directory_is_one() {
        let dir = std::env::temp_dir().join(format!("uids.{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let file = std::fs::File::open(&dir).expect("a directory");
        let mode = |mode| {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).expect("its mode");
        };
        mode(0o700);
        assert!(is_own_closed_directory(file.as_raw_fd()));
        mode(0o711);
        assert!(!is_own_closed_directory(file.as_raw_fd()));
        std::fs::remove_dir(&dir).expect("its end");
        let map = std::fs::File::open("/proc/self/uid_map").expect("a file");
        assert!(!is_own_closed_directory(map.as_raw_fd()));
    }
}
