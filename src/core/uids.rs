//! Which user a uid stands for, in view of user namespaces.
//!
//! The kernel compares users, and shows their numbers as the reader's user namespace maps them. A user
//! without a mapping there is shown as the overflow uid, which may also be a real user's number (nobody's,
//! 65534): then equal numbers prove nothing. In a user namespace a process may also find its own uid renamed.

use crate::sys::{self, check};

/// The uid of users without a mapping, unless root has chosen another one (`kernel.overflowuid`).
pub const OVERFLOW: u32 = 65534;

/// The number of uids.
const ALL: u64 = 4_294_967_295;

/// Whether each user has a uid of its own in this process's user namespace. `None`: unknown.
pub fn all_have_numbers() -> Option<bool> {
    let fd = sys::open(c"/proc/self/uid_map", libc::O_RDONLY).ok()?;
    let mut text = [0u8; 128];
    // SAFETY: the buffer is valid for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_read, fd.raw(), text.as_mut_ptr(), text.len()) }).ok()?;
    covers_all(&text[..n as usize])
}

/// Whether the first line of a uid_map covers all uids. A map of several lines may do so as well, but counts
/// as `false`.
fn covers_all(map: &[u8]) -> Option<bool> {
    let line = map.split(|b| *b == b'\n').next()?;
    let mut fields = line.split(|b| *b == b' ').filter(|field| !field.is_empty());
    let count = std::str::from_utf8(fields.nth(2)?).ok()?.parse::<u64>().ok()?;
    Some(count == ALL)
}

/// Whether the open `dir` belongs to this process's user, by the kernel's comparison, and is closed to all
/// others.
///
/// Only the owner may open it with O_NOATIME, and processes with power over the owner, which then has a uid
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
    fn directory_is_own_and_closed_only_with_mode_700() {
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
