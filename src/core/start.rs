//! Starting lonetd from inside any program, unnoticed by it.
//!
//! Who finds no lonetd takes the lock file in the network's directory, looks once more, and starts one if it is
//! still alone; lonetd says on a pipe that it serves, or why it does not. The program must not notice: the
//! child is made by a bare clone with no exit signal, so that there is no SIGCHLD and nothing for its wait(-1)
//! (it is waited for with __WCLONE); it forks again at once and lonetd is nobody's child. All that the children
//! use was prepared by [`Launch::new`]: between clone and execve there are system calls and nothing else.

use crate::client::starved::readable_from_starved;
use crate::client::{Client, StartIf, TIME_LIMIT, TIME_LIMIT_SECONDS, Trouble, c_path};
use crate::config::Config;
use crate::control::MAX_MESSAGE;
use crate::directory::{self, Directory, Place, Root, Unfit};
use crate::limit::Limit;
use crate::sys::{self, Fd, check};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The descriptor on which lonetd finds its readiness pipe.
pub const READY_FD: i32 = 3;

/// What a ready lonetd says.
pub const READY: &[u8] = b"ready\0";

/// What one says that was started in another network namespace than the network's programs live in.
pub const ELSEWHERE: &str = "this process is in another network namespace (a container, unshare -n, ip netns) than the network's \
    programs, whose loopback it does not reach: start all of them in one, or use another network (LONET_NETWORK)";

/// Everything that a start needs, made beforehand.
pub(crate) struct Launch {
    commands: Vec<CString>,
    arguments: [CString; 7],
}

impl Launch {
    pub(crate) fn new(config: &Config, beside: Option<&Path>) -> Launch {
        Launch {
            commands: commands(config, beside).iter().map(|p| c_path(p)).collect(),
            arguments: [
                c"lonetd".into(),
                c"daemon".into(),
                c"--network".into(),
                CString::new(config.network.as_bytes()).unwrap_or_default(),
                c"--dir".into(),
                c_path(&config.dir),
                c"--on-demand".into(),
            ],
        }
    }
}

impl Launch {
    /// The first of the places that has a lonet command.
    pub(crate) fn command(&self) -> Option<&CStr> {
        let is_there = |command: &&CString| {
            let stat = sys::fstatat(libc::AT_FDCWD, command, 0);
            stat.is_ok_and(|stat| sys::may_execute(libc::AT_FDCWD, command, &stat).is_ok())
        };
        self.commands.iter().find(is_there).map(CString::as_c_str)
    }
}

/// Whether the network's last lonetd has left what one takes away when the network ends.
pub(crate) fn was_killed(client: &Client) -> bool {
    match client.way().1 {
        Ok(directory) => has_left(&directory),
        // What cannot be looked at may be there.
        Err(trouble) => !matches!(trouble.unfit(), Unfit::Errno(Errno::ENOENT | Errno::ENOTDIR)),
    }
}

/// Whether there is what a lonetd takes away when the network ends: left, it was killed.
fn has_left(directory: &Directory) -> bool {
    [c"state", c"control"].iter().any(|file| directory.has(file))
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

/// Makes sure that a lonetd serves the network, if it is one that wants one. On [`Trouble::Failed`] its words are in
/// `buffer`.
pub(crate) fn start(
    client: &Client,
    which: StartIf,
    limit: Limit,
    buffer: &mut [u8; MAX_MESSAGE],
) -> Result<(), Trouble> {
    let (way, _) = client.way();
    let (lock, root, directory) = take_lock(&way.place, client.owner(), limit)?;
    if which == StartIf::Killed && !has_left(&directory) {
        // It has ended while we came, and we have made its lock file, and the directory perhaps, anew.
        let _ = directory.remove(c"lock");
        root.remove(way.place.name(), &directory);
        return Err(Trouble::NotRunning);
    }
    // What follows needs descriptors, too.
    drop((root, directory));
    match client.connect(limit) {
        Err(Trouble::NotRunning) => launch(&way.launch, limit, buffer)?,
        Ok(_) => {}
        Err(other) => return Err(other),
    }
    drop(lock);
    Ok(())
}

/// The start lock, for a lonetd that is started by hand. `None`: the network is served already.
pub(crate) fn lock_start(client: &Client) -> Result<Option<Lock>, Trouble> {
    let (lock, ..) = take_lock(&client.way().0.place, client.owner(), Limit::NONE)?;
    match client.connect(Limit::NONE) {
        Err(Trouble::NotRunning) => Ok(Some(lock)),
        Ok(_) => Ok(None),
        Err(other) => Err(other),
    }
}

fn setup(step: &'static str) -> impl Fn(Errno) -> Trouble {
    move |why| match why {
        Errno::EMFILE | Errno::ENFILE => Trouble::NoRoom(why),
        _ => Trouble::Setup { step, why },
    }
}

/// The directory of all networks, made if it is not there.
fn make_root(place: &Place, owner: u32) -> Result<Root, Trouble> {
    place.make_root(owner).map_err(|why| match why {
        Unfit::Errno(e @ Errno::ENOENT) => {
            setup("make the directory of all networks (does TMPDIR exist?)")(e)
        }
        Unfit::Errno(e) => setup("make the directory of all networks")(e),
        why => Trouble::Directory(directory::Trouble::Root(why)),
    })
}

/// The network's directory, made if it is not there.
fn make_directory(root: &Root, name: &CStr) -> Result<Directory, Trouble> {
    root.make(name).map_err(|why| match why {
        Unfit::Errno(e) => setup("make the network's directory")(e),
        why => Trouble::Directory(directory::Trouble::Network(why)),
    })
}

/// The start lock, held.
pub struct Lock(Fd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Said, not left to the close: a child that another thread forked meanwhile has a copy of the descriptor, and the
        // lock would be held for as long as that lives.
        // SAFETY: no pointers.
        unsafe { libc::syscall(libc::SYS_flock, self.0.raw(), libc::LOCK_UN) };
    }
}

/// Takes the start lock, in directories that are made where they are not there. lonetd removes the file and its directory
/// when the network ends, so what was locked may be a file that has gone: only the one that the names lead to counts.
fn take_lock(place: &Place, owner: u32, limit: Limit) -> Result<(Lock, Root, Directory), Trouble> {
    let name = place.name();
    let mut root = make_root(place, owner)?;
    // A holder is another program that starts lonetd, and waits no longer than we do.
    for _ in 0..TIME_LIMIT_SECONDS * PAUSES_PER_SECOND {
        let directory = match make_directory(&root, name) {
            Err(Trouble::Setup { why: Errno::ENOENT, .. }) => {
                root = make_root(place, owner)?;
                continue;
            }
            other => other?,
        };
        let file = match directory.open(c"lock", libc::O_RDWR | libc::O_CREAT) {
            Ok(file) => file,
            // The directory has gone with the network that ended just now.
            Err(Errno::ENOENT) => continue,
            Err(e @ (Errno::EINVAL | Errno::ELOOP | Errno::EISDIR | Errno::ENXIO)) => {
                return Err(setup("open the network's lock file, which is no regular one of its owner's")(e));
            }
            Err(e) => return Err(setup("open the network's lock file")(e)),
        };
        // SAFETY: no pointers.
        match check(unsafe { libc::syscall(libc::SYS_flock, file.raw(), libc::LOCK_EX | libc::LOCK_NB) }) {
            Ok(_) if root.leads_to(name, &directory) && directory.leads_to(c"lock", file.raw()) => {
                return Ok((Lock(file), root, directory));
            }
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(Errno::EWOULDBLOCK) => {}
            Err(e) => return Err(setup("lock the network's lock file")(e)),
        }
        if limit.is_over() {
            break;
        }
        pause();
    }
    Err(Trouble::Silent(Errno::ETIMEDOUT))
}

pub(crate) const PAUSES_PER_SECOND: i64 = 200;

/// Between two looks at what tells nobody when it changes: a lock, for which there is no call with a time limit, or a
/// lonetd that is dying.
pub(crate) fn pause() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 / PAUSES_PER_SECOND };
    // SAFETY: no descriptors, one timespec, no mask.
    unsafe {
        let none = std::ptr::null::<libc::pollfd>();
        libc::syscall(libc::SYS_ppoll, none, 0, &raw mut time, std::ptr::null::<libc::sigset_t>(), 8)
    };
}

/// Starts lonetd and waits for its word.
fn launch(launch: &Launch, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<(), Trouble> {
    let mut pipe = [0i32; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::syscall(libc::SYS_pipe2, pipe.as_mut_ptr(), libc::O_CLOEXEC) })
        .map_err(setup("make a pipe"))?;
    let ends = (Fd::new(pipe[0]), Fd::new(pipe[1]));
    let (Ok(read), Ok(write)) = ends else {
        return Err(Trouble::NoRoom(Errno::EMFILE));
    };
    let mut arguments = [std::ptr::null::<libc::c_char>(); 8];
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
        [words @ .., 0] if words == ELSEWHERE.as_bytes() => Err(Trouble::Elsewhere),
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
unsafe fn become_lonetd(launch: &Launch, arguments: &[*const libc::c_char; 8], pipe: i32) -> ! {
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
