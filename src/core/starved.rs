//! Finds out whether lonetd is late because it waits for a processor or the disk: then whoever waits for its reply waits longer.
//!
//! The limit of what lonetd may take is for a lonetd that is stopped or stuck. One that has work to do and gets no
//! processor, as where three hundred programs want two of them, or whose files wait for what others write to the disk,
//! will answer as soon as it can. So when the limit is over the kernel is asked how lonetd spends its time, and while it is
//! found waiting for either the program goes on waiting for it. What the kernel does not tell (hidepid, another pid namespace) is no such time.
//!
//! System calls on memory of the stack and nothing else: this runs in hooks.

use crate::limit::Limit;
use crate::sys::{self, Fd, Text, check};
use nix::errno::Errno;
use std::fmt::{self, Write};
use std::time::Duration;

/// How long lonetd is watched at a time.
const SLICE: Duration = Duration::from_millis(250);

/// The least part of a slice that counts as waiting: one half. A thread that shares its processor fairly with one other
/// is not starved.
const LEAST_WAIT: u64 = SLICE.as_nanos() as u64 / 2;

/// So many slices in which it did not wait end it: what it does in turns, with another thread of its own, may end in one.
const IDLE_SLICES: u32 = 4;

/// However long lonetd gets no processor: a program does not wait for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// How the threads of a process have spent their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    /// Nanoseconds in which one of them could have run and did not, but for the wait that lasts still.
    waited: u64,
    /// One of them runs or could, or waits for the disk.
    runnable: bool,
    /// One of them is neither stopped nor dead.
    live: bool,
}

/// Waits for an answer past the time that lonetd may take, for as long as `pid` waits for a processor and its caller's own
/// `limit` is not over. `true`: there is something to read, or the end.
pub(crate) fn readable_from_starved(fd: i32, pid: i32, limit: Limit) -> Result<bool, Errno> {
    let limit = limit.without_lonetds().at_most(LONGEST);
    let mut before = Work::of(pid);
    let mut idle = 0;
    // One that is stopped is not waited for a moment longer.
    while before.live && !limit.is_over() {
        if sys::readable_within(fd, limit.of(SLICE))? {
            return Ok(true);
        }
        let after = Work::of(pid);
        let waits = before.runnable && after.runnable;
        if !waits && after.waited.saturating_sub(before.waited) < LEAST_WAIT {
            idle += 1;
            if idle == IDLE_SLICES {
                break;
            }
        }
        before = after;
    }
    sys::readable_within(fd, 0)
}

/// Whether a process, named by any of its threads, is neither stopped nor ended.
pub(crate) fn is_live(pid: i32) -> bool {
    Work::of(pid).live
}

impl Work {
    fn of(pid: i32) -> Work {
        let mut all = Work::default();
        if pid > 0 {
            // A process that has ended meanwhile has no threads.
            let _ = open(format_args!("/proc/{pid}/task"), libc::O_DIRECTORY)
                .and_then(|threads| sys::each_number(&threads, |thread| all.add(pid, thread)));
        }
        all
    }

    fn add(&mut self, pid: i32, thread: i32) {
        let mut text = [0; 512];
        let n = read(format_args!("/proc/{pid}/task/{thread}/schedstat"), &mut text);
        // Time on a processor, time waiting for one, and how often it got one.
        self.waited += text[..n].split(|b| *b == b' ').nth(1).and_then(number).unwrap_or(0);
        let n = read(format_args!("/proc/{pid}/task/{thread}/stat"), &mut text);
        // The program's name stands in brackets and may hold anything; its state is behind.
        let state = text[..n].iter().rposition(|b| *b == b')').and_then(|at| text[..n].get(at + 2));
        self.runnable |= matches!(state, Some(b'R' | b'D'));
        self.live |= state.is_some_and(|state| !b"TtZX".contains(state));
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn open(path: fmt::Arguments<'_>, flags: i32) -> Result<Fd, Errno> {
    let mut text = Text::<64>::new();
    text.write_fmt(path).map_err(|_| Errno::ENAMETOOLONG)?;
    sys::open(text.c_str().ok_or(Errno::ENAMETOOLONG)?, flags | libc::O_RDONLY)
}

/// How many bytes of the file there are in `buffer`; none if it cannot be read.
fn read(path: fmt::Arguments<'_>, buffer: &mut [u8]) -> usize {
    let Ok(fd) = open(path, 0) else { return 0 };
    // SAFETY: the buffer is valid for its length.
    check(unsafe { libc::syscall(libc::SYS_read, fd.raw(), buffer.as_mut_ptr(), buffer.len()) })
        .map_or(0, |n| n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn child(program: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", program]).stdin(Stdio::piped()).spawn().expect("a child")
    }

    fn end(mut child: Child) {
        child.kill().expect("its end");
        child.wait().expect("its end");
    }

    /// Nothing ever comes there.
    fn silent() -> Fd {
        sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).expect("a socket")
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn work_of_all_threads_is_added_up() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let own = sys::getpid();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            until(|| Work::of(own).runnable);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(Work::of(own).live);
    }

    #[test]
    fn sleeping_process_is_not_waited_for() {
        let child = child("read _");
        let pid = child.id() as i32;
        until(|| !Work::of(pid).runnable && Work::of(pid).live);
        assert_eq!(readable_from_starved(silent().raw(), pid, Limit::NONE), Ok(false));
        end(child);
    }

    #[test]
    fn process_that_waits_for_the_disk_is_waited_for() {
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pair.as_mut_ptr()) }, 0);
        let [read, write] = pair.map(Fd::adopt);
        // SAFETY: both children make system calls and nothing else. A process that waits for its child's exec is in the same
        // state as one that waits for the disk.
        let child = unsafe {
            let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            if child == 0 {
                if libc::syscall(libc::SYS_clone, libc::CLONE_VFORK, 0, 0, 0, 0) == 0 {
                    libc::syscall(libc::SYS_read, read.raw(), pair.as_mut_ptr(), 1);
                }
                libc::syscall(libc::SYS_exit_group, 0);
            }
            child as i32
        };
        let in_disk_sleep = || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).expect("its state");
            stat.contains(") D ")
        };
        until(in_disk_sleep);
        let is_waited_for = Work::of(child).runnable;
        // SAFETY: one byte to a pipe of ours.
        assert_eq!(unsafe { libc::write(write.raw(), b"x".as_ptr().cast(), 1) }, 1);
        // SAFETY: a child of ours.
        assert_eq!(unsafe { libc::waitpid(child, pair.as_mut_ptr(), 0) }, child);
        assert!(is_waited_for);
    }

    #[test]
    fn stopped_and_ended_processes_are_not_live() {
        let child = child("read _");
        let pid = child.id() as i32;
        assert!(Work::of(pid).live);
        // SAFETY: a child of ours.
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        until(|| !Work::of(pid).live);
        end(child);
        assert_eq!(Work::of(pid), Work::default());
        assert_eq!(Work::of(0), Work::default());
    }

    #[test]
    fn starved_process_is_waited_for_until_it_answers() {
        // More that want a processor than there are, so that each waits most of the time: the answer comes after
        // several slices.
        let many = std::thread::available_parallelism().map_or(1, usize::from) * 8;
        let busy: Vec<Child> = (0..many).map(|_| child("while :; do :; done")).collect();
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pair.as_mut_ptr()) }, 0);
        let [read, write] = pair.map(Fd::adopt);
        let pid = busy[0].id() as i32;
        let start = Work::of(pid).waited;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until(|| Work::of(pid).waited > start + LEAST_WAIT * 8);
                // SAFETY: one byte to a pipe of ours.
                unsafe { libc::write(write.raw(), b"x".as_ptr().cast(), 1) };
            });
            assert_eq!(readable_from_starved(read.raw(), pid, Limit::NONE), Ok(true));
        });
        busy.into_iter().for_each(end);
    }
}
