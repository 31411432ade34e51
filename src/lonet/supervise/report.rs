//! Reports of the supervisor to the process that the user has started, one packet each.

use lonet_core::sys;
use nix::errno::Errno;
use std::os::fd::RawFd;

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The program runs, with this pid.
    Runs(i32),
    /// The program was not started: the exit code, and why.
    Failed(u8, String),
    /// The program was stopped.
    Stopped,
    /// The program has ended, with this status of wait(2).
    Ended(i32),
}

const RUNS: u8 = 1;
const FAILED: u8 = 2;
const STOPPED: u8 = 3;
const ENDED: u8 = 4;

/// The size of a report, in bytes; longer reasons are truncated.
const MAX: usize = 4096;

impl Report {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Report::Runs(pid) => [&[RUNS][..], &pid.to_ne_bytes()].concat(),
            Report::Failed(code, why) => [&[FAILED, *code][..], why.as_bytes()].concat(),
            Report::Stopped => vec![STOPPED],
            Report::Ended(status) => [&[ENDED][..], &status.to_ne_bytes()].concat(),
        }
    }

    fn read(bytes: &[u8]) -> Option<Report> {
        let (kind, rest) = bytes.split_first()?;
        let number = || Some(i32::from_ne_bytes(rest.try_into().ok()?));
        match *kind {
            RUNS => number().map(Report::Runs),
            FAILED => {
                let (code, why) = rest.split_first()?;
                Some(Report::Failed(*code, String::from_utf8_lossy(why).into_owned()))
            }
            STOPPED => Some(Report::Stopped),
            ENDED => number().map(Report::Ended),
            _ => None,
        }
    }

    /// Sends it. Errors are ignored: the receiver may be gone.
    pub fn send(&self, to: RawFd) {
        let bytes = self.bytes();
        let _ = sys::send(to, bytes.get(..MAX).unwrap_or(&bytes));
    }

    /// Waits for the next report. `None`: the supervisor has ended.
    pub fn receive(from: RawFd) -> Option<Report> {
        let mut buffer = [0; MAX];
        let n = sys::recv(from, &mut buffer).unwrap_or(0);
        Report::read(buffer.get(..n)?)
    }
}

/// A pair of connected packet sockets, close-on-exec.
pub fn socket_pair() -> Result<[sys::Fd; 2], Errno> {
    let mut pair = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors.
    let made =
        sys::check(unsafe { libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) });
    made.map(|_| ())?;
    let [a, b] = pair;
    Ok([sys::Fd::new(a)?, sys::Fd::new(b)?])
}

/// Closes all descriptors from 3 on, except these.
pub fn close_all_except(mut keep: Vec<RawFd>) {
    keep.sort_unstable();
    let mut first = 3u32;
    for fd in keep.into_iter().filter_map(|fd| u32::try_from(fd).ok()).chain([u32::MAX]) {
        if fd > first {
            let last = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: no pointers; nothing uses what is closed here.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
        first = first.max(fd.saturating_add(1));
    }
}

/// Redirects these streams to /dev/null, so that only the program holds them: a pipe ends when its last writer closes it.
pub fn redirect_to_null(streams: impl IntoIterator<Item = RawFd>) {
    if let Ok(null) = sys::open(c"/dev/null", libc::O_RDWR) {
        for stream in streams {
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_dup3, null.raw(), stream, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_read_as_it_was_sent() {
        let [a, b] = socket_pair().expect("two sockets");
        let all = [Report::Runs(7), Report::Failed(126, "α".into()), Report::Stopped, Report::Ended(256)];
        for report in &all {
            report.send(a.raw());
        }
        drop(a);
        for report in all {
            assert_eq!(Report::receive(b.raw()), Some(report));
        }
        assert_eq!(Report::receive(b.raw()), None);
        assert_eq!(Report::read(&[ENDED, 1]), None);
    }
}
