//! Starting lonetd from inside any program, unnoticed by it.
//!
//! The child is made by a bare clone with no exit signal, so that there is no SIGCHLD and nothing for the program's wait(-1)
//! (it is waited for with __WCLONE); it forks again at once and lonetd is nobody's child. All that the children use was
//! prepared by [`Launch::new`]: between clone and execve there are system calls and nothing else.

use crate::config::Config;
use crate::control::MAX_MESSAGE;
use crate::limit::{Limit, TIME_LIMIT};
use crate::starved::readable_from_starved;
use crate::sys::{self, Fd, check};
use crate::trouble::{OTHER_NETWORK_NAMESPACE, Trouble, setup};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The descriptor on which lonetd finds its readiness pipe.
pub const READY_FD: i32 = 3;

/// What a ready lonetd says.
pub const READY: &[u8] = b"ready\0";

/// The number of lonetd's arguments. It has no environment.
const ARGUMENTS: usize = 9;

/// Everything that a start needs, made beforehand.
pub struct Launch {
    commands: Vec<CString>,
    arguments: [CString; ARGUMENTS],
}

impl Launch {
    pub fn new(config: &Config, beside: Option<&Path>) -> Launch {
        Launch {
            commands: commands(config, beside).iter().map(|p| c_path(p)).collect(),
            arguments: [
                c"lonetd".into(),
                c"daemon".into(),
                c"--network".into(),
                CString::new(config.network.as_bytes()).unwrap_or_default(),
                c"--dir".into(),
                c_path(&config.dir),
                c"--tmp".into(),
                c_path(&config.tmp),
                c"--on-demand".into(),
            ],
        }
    }

    /// The first of the places that has a lonet command.
    pub fn command(&self) -> Option<&CStr> {
        let is_there = |command: &&CString| {
            let stat = sys::fstatat(libc::AT_FDCWD, command, 0);
            stat.is_ok_and(|stat| sys::may_execute(libc::AT_FDCWD, command, &stat).is_ok())
        };
        self.commands.iter().find(is_there).map(CString::as_c_str)
    }
}

/// A path as C wants it; a zero byte cannot be in a path that the system gave.
fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Where the lonet command may be, best first: LONET_BIN alone if it is set, else beside the library, in the
/// bin directory next to the library's, and in PATH.
fn commands(config: &Config, beside: Option<&Path>) -> Vec<PathBuf> {
    if let Some(bin) = &config.bin {
        return vec![bin.clone()];
    }
    let mut all = Vec::new();
    if let Some(dir) = beside {
        all.push(dir.join("lonet"));
        all.push(dir.join("../bin/lonet"));
    }
    if let Some(path) = &config.path {
        let dirs = path.as_bytes().split(|b| *b == b':').filter(|d| d.first() == Some(&b'/'));
        all.extend(dirs.map(|d| Path::new(std::ffi::OsStr::from_bytes(d)).join("lonet")));
    }
    all
}

/// Starts lonetd and waits until it serves. On [`Trouble::Failed`] its message is in `buffer`.
pub fn launch(launch: &Launch, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<(), Trouble> {
    let mut pipe = [0i32; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::syscall(libc::SYS_pipe2, pipe.as_mut_ptr(), libc::O_CLOEXEC) })
        .map_err(setup("make a pipe"))?;
    let ends = (Fd::new(pipe[0]), Fd::new(pipe[1]));
    let (Ok(read), Ok(write)) = ends else {
        return Err(Trouble::NoRoom(Errno::EMFILE));
    };
    let mut arguments = [std::ptr::null::<libc::c_char>(); ARGUMENTS + 1];
    for (to, from) in arguments.iter_mut().zip(&launch.arguments) {
        *to = from.as_ptr();
    }

    // No exit signal, nothing shared but what fork shares. A debugger that follows what its program starts would take the
    // child for a thread of the program, which then executes lonet; a tracer would wait for lonetd's end.
    // SAFETY: like fork; the child keeps to system calls on memory that is its own copy.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_UNTRACED, 0, 0, 0, 0) })
        .map_err(setup("fork"))?;
    if child == 0 {
        // SAFETY: we are the child and never return.
        unsafe { become_lonetd(launch, &arguments, write.raw()) }
    }
    drop(write);
    wait_for(child as i32);

    let pid = read_pid(read.raw(), limit)?;
    let got = read_words(read.raw(), pid, limit, buffer)?;
    match &buffer[..got] {
        READY => Ok(()),
        [] => Err(Trouble::NoCommand),
        [words @ .., 0] if words == OTHER_NETWORK_NAMESPACE.as_bytes() => Err(Trouble::OtherNetworkNamespace),
        _ => Err(Trouble::Failed),
    }
}

/// Waits for the end of a child of a clone without an exit signal.
pub(crate) fn wait_for(child: i32) {
    loop {
        // SAFETY: null pointers for what is not wanted.
        let done = check(unsafe {
            let (status, usage) = (std::ptr::null_mut::<i32>(), std::ptr::null_mut::<libc::rusage>());
            libc::syscall(libc::SYS_wait4, child, status, libc::__WCLONE, usage)
        });
        if done != Err(Errno::EINTR) {
            return;
        }
    }
}

/// Reads the pid of the process that becomes lonetd, which is its first word. 0: it has ended before.
fn read_pid(fd: i32, limit: Limit) -> Result<i32, Trouble> {
    // It lives, and waits for a processor to say anything at all.
    let limit = limit.without_lonetds().at_most(UNBORN);
    if !sys::readable_within(fd, limit.of(UNBORN)).map_err(Trouble::Silent)? {
        return Err(Trouble::Silent(Errno::ETIMEDOUT));
    }
    let mut pid = [0; 4];
    // SAFETY: a buffer of ours. What is written at once to a pipe is read at once.
    let n = check(unsafe { libc::syscall(libc::SYS_read, fd, pid.as_mut_ptr(), pid.len()) });
    Ok(if n == Ok(pid.len() as i64) { i32::from_ne_bytes(pid) } else { 0 })
}

/// How long a process may take to say that it is there.
const UNBORN: Duration = Duration::from_secs(60);

/// Reads what lonetd says: to its zero, or to the end, or until the buffer is full but for a closing zero. The end
/// alone would not do: a child that another thread forked meanwhile has a copy of the pipe's other end.
fn read_words(fd: i32, pid: i32, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, Trouble> {
    let mut at = 0;
    while at < MAX_MESSAGE - 1 && !buffer[..at].ends_with(b"\0") {
        match sys::readable_within(fd, limit.of(TIME_LIMIT)) {
            Ok(true) => {}
            Ok(false) if readable_from_starved(fd, pid, limit) == Ok(true) => {}
            Ok(false) => return Err(Trouble::Silent(Errno::ETIMEDOUT)),
            Err(e) => return Err(Trouble::Silent(e)),
        }
        let rest = &mut buffer[at..MAX_MESSAGE - 1];
        // SAFETY: the buffer is valid for its length.
        match check(unsafe { libc::syscall(libc::SYS_read, fd, rest.as_mut_ptr(), rest.len()) }) {
            Ok(0) => break,
            Ok(n) => at += n as usize,
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    buffer[at] = 0;
    Ok(at)
}

/// The first child: a session of its own, no descriptor but the pipe, the largest limits that it may have; forks
/// once more, so that lonetd is nobody's child, and leaves.
///
/// # Safety
/// Only in a child of clone.
unsafe fn become_lonetd(launch: &Launch, arguments: &[*const libc::c_char; ARGUMENTS + 1], pipe: i32) -> ! {
    // SAFETY: system calls on memory prepared by the parent.
    unsafe {
        libc::syscall(libc::SYS_setsid);
        for limit in [libc::RLIMIT_AS, libc::RLIMIT_DATA, libc::RLIMIT_STACK, libc::RLIMIT_CPU] {
            let mut value = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
            let none = std::ptr::null::<libc::rlimit64>();
            if libc::syscall(libc::SYS_prlimit64, 0, limit, none, &raw mut value) == 0 {
                value.rlim_cur = value.rlim_max;
                let unwanted = std::ptr::null_mut::<libc::rlimit64>();
                libc::syscall(libc::SYS_prlimit64, 0, limit, &raw const value, unwanted);
            }
        }
        let null = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            if null >= 0 && null != standard {
                libc::syscall(libc::SYS_dup3, null, standard, 0);
            }
        }
        if pipe == READY_FD {
            libc::syscall(libc::SYS_fcntl, pipe, libc::F_SETFD, 0);
        } else {
            libc::syscall(libc::SYS_dup3, pipe, READY_FD, 0);
        }
        libc::syscall(libc::SYS_close_range, READY_FD + 1, u32::MAX, 0);
        if libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) == 0 {
            // First of all: who waits for lonetd is to see whether it gets a processor.
            let pid = (sys::getpid()).to_ne_bytes();
            libc::syscall(libc::SYS_write, READY_FD, pid.as_ptr(), pid.len());
            let environment = [std::ptr::null::<libc::c_char>()];
            for command in &launch.commands {
                libc::syscall(libc::SYS_execve, command.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            }
        }
        libc::syscall(libc::SYS_exit_group, 0);
    }
    // exit_group does not return; the compiler cannot know.
    loop {
        std::hint::spin_loop();
    }
}
