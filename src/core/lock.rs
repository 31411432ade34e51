//! The start lock: who holds it may start the network's lonetd, or be it.

use crate::directory::{self, Directory, Place, Root, Unfit};
use crate::limit::Limit;
use crate::starved::is_live;
use crate::sys::{self, Fd, check};
use crate::trouble::{Trouble, setup};
use nix::errno::Errno;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The step that fails where the directory of all networks cannot be made.
pub(crate) const MAKE_ROOT: &str = "make the directory of all networks";

/// The step that fails where the network's own directory cannot be made.
pub(crate) const MAKE_NETWORK: &str = "make the network's directory";

/// The directory of all networks and the network's own, made if they are not there.
fn make(place: &Place, owner: u32) -> Result<(Root, Directory), Trouble> {
    place.make(owner).map_err(unmade)
}

/// The network's directory as [`take_lock`] would find it, or what that would fail with there; nothing is made. `None`: it
/// would be made.
pub(crate) fn would_make(place: &Place, owner: u32) -> Result<Option<Directory>, Trouble> {
    place.would_make(owner).map_err(unmade)
}

fn unmade(why: directory::Trouble) -> Trouble {
    use directory::Trouble as Of;
    match why {
        Of::Root(Unfit::Errno(e)) => setup(MAKE_ROOT)(e),
        Of::Network(Unfit::Errno(e)) => setup(MAKE_NETWORK)(e),
        why => Trouble::Directory(why),
    }
}

/// The start lock, held.
pub struct Lock(Fd);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = HOLDER_HERE[0].compare_exchange(own_holder(sys::gettid()), 0, Relaxed, Relaxed);
        // Said, not left to the close: a child that another thread forked meanwhile has a copy of the descriptor, and the
        // lock would be held for as long as that lives.
        // SAFETY: no pointers.
        unsafe { libc::syscall(libc::SYS_flock, self.0.raw(), libc::LOCK_UN) };
    }
}

/// Takes the start lock, in directories that are made where they are not there. lonetd removes the file and its directory
/// when the network ends, so what was locked may be a file that has gone: only the one that the names lead to counts.
///
/// A holder is another program that starts lonetd, or a lonetd that ends. It waits for as long as lonetd gets no processor,
/// or the disk is busy, so it is waited for past lonetd's part of `limit` while it is not stopped. `None`: `serves` says
/// that a lonetd serves meanwhile.
pub fn take_lock(
    place: &Place,
    owner: u32,
    limit: Limit,
    mut serves: impl FnMut() -> bool,
) -> Result<Option<(Lock, Root, Directory)>, Trouble> {
    let name = place.name();
    let mut late_holders = LateHolders::default();
    for turn in 1..=HELD_FOR_SECONDS * PAUSES_PER_SECOND {
        let (root, directory) = make(place, owner)?;
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
                let inode = sys::fstat(file.raw()).map_or(0, |stat| stat.st_ino);
                HOLDER_HERE[0].store(own_holder(sys::gettid()), Relaxed);
                HOLDER_HERE[1].store(inode, Relaxed);
                return Ok(Some((Lock(file), root, directory)));
            }
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(Errno::EWOULDBLOCK) => {}
            Err(e) => return Err(setup("lock the network's lock file")(e)),
        }
        if turn % PAUSES_PER_LOOK == 0 {
            let late_holder = limit.is_over().then(|| holder(&file));
            // What comes needs descriptors, too.
            drop((file, directory, root));
            if serves() {
                return Ok(None);
            }
            if late_holder.is_some_and(|holder| !late_holders.may_hold(holder)) {
                break;
            }
        }
        if limit.without_lonetds().is_over() {
            break;
        }
        pause();
    }
    Err(Trouble::Silent(Errno::ETIMEDOUT))
}

/// The holders of the lock after lonetd's time.
#[derive(Default)]
struct LateHolders {
    last: i32,
    count: u32,
    unknown: u32,
}

impl LateHolders {
    /// Whether the lock is waited for while this thread or process has it. Each of those that wait for a lonetd that hangs
    /// gives up in its turn, and is not waited for by all others.
    fn may_hold(&mut self, holder: i32) -> bool {
        if holder == 0 {
            self.unknown += 1;
            return self.unknown <= MAX_UNKNOWN;
        }
        if holder != self.last {
            self.last = holder;
            self.count += 1;
        }
        // This very thread, which is in a signal handler, goes on when the handler has ended.
        self.count <= MAX_LATE_HOLDERS && holder != sys::gettid() && is_live(holder)
    }
}

/// So many holders may be late: the second if the first one was killed.
const MAX_LATE_HOLDERS: u32 = 2;

/// In so many looks the holder may be unknown: the lock was released just then.
const MAX_UNKNOWN: u32 = 10;

/// The thread of this process that holds the lock, below the process, which is another one in a child of fork; and the inode
/// of the lock file.
static HOLDER_HERE: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

fn own_holder(thread: i32) -> u64 {
    (sys::getpid() as u64) << 32 | thread as u64
}

/// The thread of this process, or the process, that holds the lock. 0: it is not known, as it has just released it or is in
/// another pid namespace.
fn holder(file: &Fd) -> i32 {
    let Ok(inode) = sys::fstat(file.raw()).map(|stat| stat.st_ino) else { return 0 };
    let [here, held] = HOLDER_HERE.each_ref().map(|word| word.load(Relaxed));
    if held == inode && here >> 32 == own_holder(0) >> 32 {
        return here as u32 as i32;
    }
    holder_of(inode).unwrap_or(0)
}

/// The process that has a lock of the file with this inode, by /proc/locks, whose lines are as
/// `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`. An entry in the file itself would end a program that may write no file.
// Not inlined: the buffer would enlarge the frame of a start, which may be on a small stack.
#[inline(never)]
fn holder_of(inode: u64) -> Option<i32> {
    let locks = sys::open(c"/proc/locks", libc::O_RDONLY).ok()?;
    let (mut at, mut text) = (0, [0; 512]);
    loop {
        let n = sys::read_at(locks.raw(), at, &mut text).ok()?;
        let end = text[..n].iter().rposition(|b| *b == b'\n')?;
        for line in text[..end].split(|b| *b == b'\n') {
            let mut fields = std::str::from_utf8(line).unwrap_or_default().split_ascii_whitespace().skip(1);
            let (kind, pid, place) = (fields.next(), fields.nth(2), fields.next());
            let number = place.and_then(|place| place.rsplit(':').next()?.parse().ok());
            if kind == Some("FLOCK") && number == Some(inode) {
                return pid?.parse().ok();
            }
        }
        at += end as u64 + 1;
    }
}

/// How long another program may take to start lonetd.
const HELD_FOR_SECONDS: i64 = 60;

pub const PAUSES_PER_SECOND: i64 = 200;

/// How many pauses there are between two looks whether lonetd serves.
const PAUSES_PER_LOOK: i64 = 10;

/// Between two looks at what tells nobody when it changes: a lock, for which there is no call with a time limit, or a
/// lonetd that is dying.
pub fn pause() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 / PAUSES_PER_SECOND };
    // SAFETY: no descriptors, one timespec, no mask.
    unsafe {
        let none = std::ptr::null::<libc::pollfd>();
        libc::syscall(libc::SYS_ppoll, none, 0, &raw mut time, std::ptr::null::<libc::sigset_t>(), 8)
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    /// What one process knows of its own holder is of one network.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// A network's place below a directory of its own.
    struct Test {
        dir: PathBuf,
        place: Place,
        _alone: MutexGuard<'static, ()>,
    }

    impl Test {
        fn new(name: &str) -> Test {
            let dir = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            std::fs::create_dir(&dir).expect("a directory");
            let place = Place::new(&dir.join("lonet-test/net"));
            Test { dir, place, _alone: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner) }
        }

        fn take(&self, limit: Limit, serves: impl FnMut() -> bool) -> Result<Option<Lock>, ()> {
            let taken = take_lock(&self.place, sys::geteuid(), limit, serves).map_err(drop)?;
            Ok(taken.map(|(lock, ..)| lock))
        }
    }

    impl Drop for Test {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    /// lonetd's time is over.
    fn over() -> Limit {
        Limit::NONE.and_of_lonetd(Duration::ZERO)
    }

    fn never() -> bool {
        false
    }

    #[test]
    fn lock_is_waited_for_past_the_limit_of_lonetd() {
        let test = Test::new("lock-waits");
        let held = test.take(Limit::NONE, never).expect("the lock");
        let (started, waiter) = channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                started.send(sys::gettid()).expect("a receiver");
                matches!(test.take(over(), never), Ok(Some(_)))
            });
            let status = format!("/proc/self/task/{}/status", waiter.recv().expect("a thread"));
            let has_paused = || {
                let status = std::fs::read_to_string(&status).unwrap_or_default();
                let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
                switches.is_some_and(|n| n.trim() != "0")
            };
            while !waits.is_finished() && !has_paused() {
                std::thread::yield_now();
            }
            drop(held);
            assert!(waits.join().expect("the waiter"));
        });
    }

    #[test]
    fn lock_is_not_waited_for_while_lonetd_serves() {
        let test = Test::new("lock-serves");
        let _held = test.take(Limit::NONE, never).expect("the lock");
        let mut looks = 0;
        let serves = || {
            looks += 1;
            looks == 2
        };
        assert!(matches!(test.take(Limit::NONE, serves), Ok(None)));
    }

    #[test]
    fn thread_does_not_wait_for_a_lock_of_its_own_past_the_limit() {
        let test = Test::new("lock-own");
        let _held = test.take(Limit::NONE, never).expect("the lock");
        assert!(test.take(over(), never).is_err());
    }

    #[test]
    fn stopped_holder_is_not_waited_for_past_the_limit() {
        let test = Test::new("lock-stopped");
        // SAFETY: the child takes the lock, which allocates nothing, and stops.
        let child = unsafe {
            let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32;
            if child == 0 {
                let held = test.take(Limit::NONE, never);
                libc::syscall(libc::SYS_kill, sys::getpid(), libc::SIGSTOP);
                drop(held);
                libc::syscall(libc::SYS_exit_group, 0);
            }
            child
        };
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, libc::WUNTRACED) }, child);
        let file = std::fs::File::open(test.dir.join("lonet-test/net/lock")).expect("the lock file");
        assert_eq!(holder(&Fd::adopt(file.into_raw_fd())), child);
        assert!(test.take(over(), never).is_err());
        // SAFETY: as above.
        unsafe { (libc::kill(child, libc::SIGKILL), libc::waitpid(child, &raw mut status, 0)) };
    }

    #[test]
    fn unknown_holder_is_waited_for_a_moment() {
        let mut holders = LateHolders::default();
        assert!((0..MAX_UNKNOWN).all(|_| holders.may_hold(0)));
        assert!(!holders.may_hold(0));
    }

    #[test]
    fn at_most_two_holders_are_late() {
        let mut holders = LateHolders::default();
        std::thread::scope(|scope| {
            let mut ends = Vec::new();
            let mut live = || {
                let (end, ended) = channel::<()>();
                let (started, thread) = channel();
                scope.spawn(move || {
                    started.send(sys::gettid()).expect("a receiver");
                    let _ = ended.recv();
                });
                ends.push(end);
                thread.recv().expect("a thread")
            };
            let threads = [live(), live(), live()];
            assert_eq!(threads.map(|thread| holders.may_hold(thread)), [true, true, false]);
        });
    }
}
