//! Making and removing the directory of all networks.

use super::{Directory, Place, Root, SHARED, Trouble, Unfit, make_directory, unlink_at};
use crate::sys::{self, check};
use nix::errno::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The mode of the directory of all networks of all users.
const SHARED_MODE: u32 = 0o1777;

/// How often the directory of all networks is made again if it is gone as soon as it was made.
const MAKE_TRIES: u32 = 100;

impl Place {
    /// As [`Place::root`]; makes it if it does not exist.
    pub fn make_root(&self, owner: u32) -> Result<Root, Unfit> {
        let mode = if self.is_shared { SHARED_MODE } else { 0o700 };
        let mut tries = 0;
        let (is_new, root) = loop {
            let is_new = make_directory(libc::AT_FDCWD, &self.root, mode).map_err(Unfit::Errno)?;
            match self.root(owner) {
                // The last network in it ended just now: see `remove_root`.
                Err(Unfit::Errno(Errno::ENOENT)) if tries < MAKE_TRIES => tries += 1,
                root => break (is_new, root?),
            }
        };
        if is_new && self.is_shared {
            // The program's umask has reduced mkdir's mode, which would lock other users out.
            root.fd_chmod(mode).map_err(Unfit::Errno)?;
        }
        Ok(root)
    }

    /// As [`Place::open`]; makes both directories where they do not exist.
    pub fn make(&self, owner: u32) -> Result<(Root, Directory), Trouble> {
        let mut tries = 0..MAKE_TRIES;
        loop {
            let root = self.make_root(owner).map_err(Trouble::Root)?;
            match root.make(self.name()) {
                // The last network in it ended just now: see `remove_root`.
                Err(Unfit::Errno(Errno::ENOENT)) if tries.next().is_some() => {}
                made => return made.map(|directory| (root, directory)).map_err(Trouble::Network),
            }
        }
    }

    /// What [`Place::make`] would open, or fail with, without making anything. `None`: it would make the directory.
    pub fn would_make(&self, owner: u32) -> Result<Option<Directory>, Trouble> {
        let of_root = |why| Trouble::Root(Unfit::Errno(why));
        let root = match self.root(owner) {
            Err(Unfit::Errno(Errno::ENOENT)) => {
                let path = Path::new(OsStr::from_bytes(self.root.to_bytes()));
                let parent = CString::new(path.parent().unwrap_or(path).as_os_str().as_bytes());
                let may = may_make_in(libc::AT_FDCWD, &parent.unwrap_or_default());
                return may.map(|()| None).map_err(of_root);
            }
            root => root.map_err(Trouble::Root)?,
        };
        match root.open(self.name()) {
            Err(Unfit::Errno(Errno::ENOENT)) => {
                let may = may_make_in(root.raw(), c".");
                may.map(|()| None).map_err(|why| Trouble::Network(Unfit::Errno(why)))
            }
            found => found.map(Some).map_err(Trouble::Network),
        }
    }

    /// Removes the directory of all networks if it is empty, after the end of a network. Whoever is about to make a
    /// network in it gets ENOENT, and makes it again. One that is not in `tmp`, which somebody has named by LONET_DIR, stays.
    pub fn remove_root(&self, owner: u32, tmp: &Path) {
        let Ok(root) = self.root(owner) else { return };
        let is = |name: &str| self.root.to_bytes() == tmp.join(name).as_os_str().as_bytes();
        let has_our_mode = || sys::fstat(root.raw()).is_ok_and(|stat| stat.st_mode & 0o7777 == SHARED_MODE);
        if is(SHARED) && has_our_mode() || is(&format!("{SHARED}-{owner}")) {
            let _ = unlink_at(libc::AT_FDCWD, &self.root, libc::AT_REMOVEDIR);
        }
    }
}

impl Root {
    fn fd_chmod(&self, mode: u32) -> Result<(), Errno> {
        // SAFETY: a path that ends in zero.
        check(unsafe { libc::syscall(libc::SYS_fchmodat, self.fd.raw(), c".".as_ptr(), mode) }).map(drop)
    }
}

/// Whether this process may make something in a directory.
fn may_make_in(dir: i32, path: &CStr) -> Result<(), Errno> {
    let mode = libc::W_OK | libc::X_OK;
    // SAFETY: a path that ends in zero.
    check(unsafe { libc::syscall(libc::SYS_faccessat, dir, path.as_ptr(), mode) }).map(drop)
}
