//! A process as the kernel shows it: pidfd, program, /proc/PID/stat, exit status.

use super::state::Pid;
use crate::trace::event::Status;
use lonet_core::sys;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Opens a pidfd, which still names the process when another one has its pid.
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal to the process of a pidfd; 0: looks whether it could.
pub fn pidfd_signal(fd: &OwnedFd, signal: i32) -> Result<(), Errno> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what kill(2) would send.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, info, 0) };
    Errno::result(sent).map(drop)
}

/// Whether a process has ended, reaped or not. `process`: its pidfd.
pub fn has_ended(process: &OwnedFd) -> bool {
    sys::readable_within(process.as_raw_fd(), 0) == Ok(true)
}

/// Reads /proc/PID/stat. Fails if there is no such process.
pub fn stat(pid: Pid) -> std::io::Result<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/stat"))
}

/// A field of /proc/PID/stat by its number in proc(5), from 3 on.
pub fn stat_field(stat: &[u8], number: usize) -> Option<&str> {
    // The program's name, field 2, is in brackets and may contain anything, brackets too.
    let name_ends = stat.iter().rposition(|b| *b == b')')?;
    let fields = std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

/// Whether a process is stopped: it takes no signal but KILL until it continues.
pub fn is_stopped(pid: Pid) -> bool {
    const STATE: usize = 3;
    stat(pid).is_ok_and(|stat| stat_field(&stat, STATE) == Some("T"))
}

/// Whether a signal asks a program to end. A stopped program is continued after it, so that it takes it.
pub fn asks_to_end(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT)
}

/// The name of a process's program, as the kernel has it.
pub fn program(pid: Pid) -> String {
    let comm = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(comm.trim_ascii_end()).into_owned()
}

/// The name of an ended process's program, if nobody has reaped it. `process`: its pidfd.
pub fn program_of_unreaped(pid: Pid, process: &OwnedFd) -> Option<String> {
    let program = program(pid);
    // The name is this process's if it has its pid still.
    (pidfd_signal(process, 0).is_ok() && !program.is_empty()).then_some(program)
}

/// Whether a process executes lonet itself.
pub fn is_lonets(pid: Pid) -> bool {
    std::fs::read_link("/proc/self/exe").is_ok_and(|ours| is_executing(pid, &ours) == Some(true))
}

/// The children of a process's first thread, oldest first, also those that have ended and were not reaped.
pub fn children(pid: Pid) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// The process that this one stands for. A supervised program comes with two other members, its supervisor
/// and the process that the user has started (`supervise`): the program is the child of one, which is the
/// child of the other. Processes that it has left behind take its place.
pub fn stands_for(pid: Pid) -> Pid {
    let Ok(ours) = std::fs::read_link("/proc/self/exe") else { return pid };
    let is_ours = |pid: Pid| is_executing(pid, &ours);
    let mut at = pid;
    for _ in 0..2 {
        if is_ours(at) != Some(true) {
            break;
        }
        let children = children(at).into_iter();
        let alive: Vec<(Pid, bool)> = children.filter_map(|child| Some((child, is_ours(child)?))).collect();
        match alive.iter().find(|(_, is_ours)| !is_ours).or(alive.first()) {
            Some((program, false)) => return *program,
            Some((supervisor, true)) => at = *supervisor,
            None => break,
        }
    }
    pid
}

/// Whether a process executes this file. A file that may not be read is another one. `None`: the process has ended, reaped or
/// not.
fn is_executing(pid: Pid, file: &Path) -> Option<bool> {
    let look = |process: &Path| match std::fs::read_link(process.join("exe")) {
        Ok(executes) => Some(executes == file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(false),
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    // The first thread may have ended before the others.
    let threads = || std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    look(&process).or_else(|| threads().find_map(|thread| look(&thread.path())))
}

/// The start time of a process, in clock ticks since boot. `None`: it has ended.
pub fn began(pid: Pid) -> Option<u64> {
    const STATE: usize = 3;
    const START: usize = 22;
    let stat = stat(pid).ok()?;
    let start = stat_field(&stat, START)?.parse().ok()?;
    (!matches!(stat_field(&stat, STATE)?, "Z" | "X")).then_some(start)
}

/// Now, as [`began`] has it.
pub fn now() -> u64 {
    // SAFETY: no pointers.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let since_boot = sys::clock(libc::CLOCK_BOOTTIME).as_nanos();
    (since_boot * u128::from(ticks_per_second.unsigned_abs()) / 1_000_000_000) as u64
}

/// The exit status of a process. `None`: it cannot be found. `process`: its pidfd.
pub fn status(pid: Pid, process: &OwnedFd) -> Option<Status> {
    let code = status_of_unwaited(pid).or_else(|| status_of_waited(process))?;
    Some(match code & 0x7f {
        0 => Status::Exit(code >> 8 & 0xff),
        number => {
            let signal = Signal::try_from(number).map_or_else(|_| number.to_string(), |s| s.to_string());
            Status::Signal(signal)
        }
    })
}

/// The wait(2) status of a process that has not been reaped.
fn status_of_unwaited(pid: Pid) -> Option<i32> {
    const STATE: usize = 3;
    const EXIT_CODE: usize = 52;
    let stat = stat(pid).ok()?;
    let code = stat_field(&stat, EXIT_CODE)?.parse().ok();
    code.filter(|_| stat_field(&stat, STATE) == Some("Z"))
}

/// The wait(2) status of a process that has been reaped; since Linux 6.15.
fn status_of_waited(process: &OwnedFd) -> Option<i32> {
    /// struct pidfd_info of `linux/pidfd.h`, in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        _cgroup: u64,
        _ids: [u32; 11],
        exit_code: i32,
    }
    const INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xff, 11, struct pidfd_info)
    const GET_INFO: u64 = 3 << 30 | (size_of::<Info>() as u64) << 16 | 0xff << 8 | 11;
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the structure that this call takes.
    let got = unsafe { libc::ioctl(process.as_raw_fd(), GET_INFO, &raw mut info) };
    (got == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
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
    fn zombie_executes_nothing() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let process = pidfd_open(child.id() as Pid).expect("a pidfd");
        while !has_ended(&process) {
            std::thread::yield_now();
        }
        assert_eq!(is_executing(child.id() as Pid, Path::new("/bin/true")), None);
        child.wait().expect("its end");
        let ours = std::env::current_exe().expect("our file");
        assert_eq!(is_executing(std::process::id() as Pid, &ours), Some(true));
        assert_eq!(is_executing(std::process::id() as Pid, Path::new("/bin/true")), Some(false));
    }

    #[test]
    fn zombie_has_ended() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let process = pidfd_open(child.id() as Pid).expect("a pidfd");
        assert!(!has_ended(&process));
        child.kill().expect("a signal");
        while !has_ended(&process) {
            std::thread::yield_now();
        }
        assert_eq!(status(child.id() as Pid, &process), Some(Status::Signal("SIGKILL".into())));
        assert_eq!(program_of_unreaped(child.id() as Pid, &process).as_deref(), Some("cat"));
        child.wait().expect("its end");
        assert_eq!(program_of_unreaped(child.id() as Pid, &process), None);
        // Older kernels do not say.
        let waited = status(child.id() as Pid, &process);
        assert!(waited.is_none_or(|status| status == Status::Signal("SIGKILL".into())));
        assert_eq!(pidfd_open(child.id() as Pid).err(), Some(Errno::ESRCH));
    }

    #[test]
    fn living_process_has_a_start_time_and_a_dead_one_has_none() {
        assert!(began(std::process::id() as Pid).is_some());
        let before = now();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("a child");
        let pid = child.id() as Pid;
        assert!(began(pid).is_some_and(|began| (before..=now()).contains(&began)));
        child.wait().expect("its end");
        assert_eq!(began(pid), None);
    }
}
