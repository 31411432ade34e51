//! The start lock: who holds it may start the network's lonetd, or be it.

use crate::directory::{self, Directory, Place, Root, Unfit};
use crate::limit::Limit;
use crate::sys::{Fd, check};
use crate::trouble::{Trouble, setup};
use nix::errno::Errno;
use std::ffi::CStr;

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
pub fn take_lock(place: &Place, owner: u32, limit: Limit) -> Result<(Lock, Root, Directory), Trouble> {
    let name = place.name();
    let mut root = make_root(place, owner)?;
    // A holder is another program that starts lonetd, and waits for as long as that gets no processor, or the disk is busy.
    for _ in 0..HELD_FOR_SECONDS * PAUSES_PER_SECOND {
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
        if limit.without_lonetds().is_over() {
            break;
        }
        pause();
    }
    Err(Trouble::Silent(Errno::ETIMEDOUT))
}

/// How long another program may take to start lonetd.
const HELD_FOR_SECONDS: i64 = 60;

pub const PAUSES_PER_SECOND: i64 = 200;

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
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn lock_is_waited_for_past_the_limit_of_lonetd() {
        let dir = std::env::temp_dir().join(format!("lock-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let place = Place::new(&dir.join("lonet-test/net"));
        let owner = crate::sys::geteuid();
        let held = take_lock(&place, owner, Limit::NONE).map_err(drop).expect("the lock");
        let (started, waiter) = channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                started.send(crate::sys::gettid()).expect("a receiver");
                take_lock(&place, owner, Limit::NONE.and_of_lonetd(Duration::ZERO)).is_ok()
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
        std::fs::remove_dir_all(&dir).expect("its end");
    }
}
