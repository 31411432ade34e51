//! What the kernel shows of a process.

use super::state::Pid;
use lonet_core::sys;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A descriptor that names a process, also when its pid is another's by then.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether a process has ended: also one that nobody has waited for. `process`: its pidfd.
pub fn has_ended(process: &OwnedFd) -> bool {
    sys::readable_within(process.as_raw_fd(), 0) == Ok(true)
}

/// /proc/PID/stat. An error: there is no such process.
pub fn stat(pid: Pid) -> std::io::Result<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/stat"))
}

/// A field of /proc/PID/stat by its number in proc(5), from 3 on.
pub fn stat_field(stat: &[u8], number: usize) -> Option<&str> {
    // The program's name, field 2, stands in brackets and may hold anything, brackets too.
    let name_ends = stat.iter().rposition(|b| *b == b')')?;
    let fields = std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_behind_a_name_of_brackets_is_found() {
        let stat = b"1 (a) b) c) S 2 3";
        assert_eq!(
            [2, 3, 4, 5, 6].map(|n| stat_field(stat, n)),
            [None, Some("S"), Some("2"), Some("3"), None]
        );
        assert_eq!(stat_field(b"1 (\xff) R 0", 3), Some("R"));
    }

    #[test]
    fn process_that_nobody_has_waited_for_has_ended() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let process = pidfd_open(child.id() as Pid).expect("a pidfd");
        assert!(!has_ended(&process));
        child.kill().expect("a signal");
        while !has_ended(&process) {
            std::thread::yield_now();
        }
        child.wait().expect("its end");
        assert_eq!(pidfd_open(child.id() as Pid).err(), Some(Errno::ESRCH));
    }
}
