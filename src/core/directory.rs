//! The directories of networks, opened so that other users cannot redirect them (symlink races).
//!
//! # Theory of operation
//!
//! `<tmp>` (TMPDIR, or /tmp) belongs to everybody. It contains `<tmp>/lonet`, the directory of all networks,
//! made for all users by the first one that needs it, and that contains `<net>`, the directory of one
//! network. The owner of `<tmp>/lonet` may replace `<net>` by a link at any moment, also between a check and
//! a use of the same path. Then a lonetd, perhaps root's, would write and remove files elsewhere. So no path
//! is used twice:
//!
//! * The directory of all networks is opened ([`Place::root`]) without following a link at its path, and
//!   checked through the descriptor. It must be a directory of root or of the network's owner, and sticky if
//!   others may write: then nobody else can rename or remove what the owner has in it.
//! * `<net>` is opened below that descriptor ([`Root::open`]). It must be a directory of the owner that is
//!   closed to everybody else.
//! * Files are opened, made, renamed and removed below the descriptor of `<net>` ([`Directory`]), each by one
//!   name and without following links. For a single name, O_NOFOLLOW guarantees as much as openat2 with
//!   RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, and it works on every kernel and in sandboxes that do not know
//!   openat2.
//! * A file must be a regular one of the owner. It is opened with O_NONBLOCK, so that a FIFO does not block.
//! * Sockets and SQLite need paths. They get one through the descriptor, `/proc/self/fd/N/NAME`, so that the
//!   length of `<net>`'s own path does not matter. A client without /proc uses the socket's abstract name.
//!
//! `<tmp>/lonet` fails the check if another user made it first, or made it again after it was removed. Then
//! `<tmp>/lonet-<uid>` replaces it ([`find`]), with the same checks. A network that has begun there stays
//! there until it ends, whatever happens to `<tmp>/lonet`: otherwise a user who can make and remove that
//! could split a network.
//!
//! Hooks use this: nothing allocates after [`Place::new`], and no descriptor outlives its [`Root`] or
//! [`Directory`].

mod shared;
#[cfg(test)]
mod tests;

use crate::sys::{self, Fd, Text, check, open_at};
use crate::uids;
use crate::unix::SocketName;
use nix::errno::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::fmt::{self, Write};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of the directory of all networks.
pub const SHARED: &str = "lonet";

/// Flags that open what is at a path, even if it is not readable, without following a link.
const LOOK: i32 = libc::O_PATH | libc::O_NOFOLLOW;

/// Why a directory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It cannot be opened; ENOENT: it does not exist.
    Errno(Errno),
    Link,
    NoDirectory,
    /// Another user owns it.
    OfUid(u32),
    /// Its owner is unknown: this uid stands for several users in this user namespace.
    Unknown(u32),
    /// Others may replace its contents, or enter it.
    Open,
}

impl Unfit {
    /// Whether something exists at the path that must not be used, perhaps an attacker's.
    pub fn is_there(self) -> bool {
        !matches!(self, Unfit::Errno(_))
    }

    /// Whether another directory would help. It would not if a user namespace hides the owners of all
    /// directories.
    pub fn is_remedied_elsewhere(self) -> bool {
        self.is_there() && !matches!(self, Unfit::Unknown(_))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Errno(e) => write!(f, "cannot be opened: {e}"),
            Unfit::Link => f.write_str("is a symbolic link"),
            Unfit::NoDirectory => f.write_str("is no directory"),
            Unfit::OfUid(uid) => write!(f, "belongs to uid {uid}"),
            Unfit::Unknown(uid) => {
                write!(f, "belongs to uid {uid}, which may be any user in this user namespace")
            }
            Unfit::Open => f.write_str("is open to others"),
        }
    }
}

/// Which of the two directories is unfit, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The directory of all networks.
    Root(Unfit),
    /// The network's own.
    Network(Unfit),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Root(why) => write!(f, "the directory of all networks {why}"),
            Trouble::Network(why) => write!(f, "the network's directory {why}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    pub fn unfit(self) -> Unfit {
        match self {
            Trouble::Root(why) | Trouble::Network(why) => why,
        }
    }
}

/// The path of a network's directory, which need not exist.
pub struct Place {
    root: CString,
    network: CString,
    is_shared: bool,
}

impl Place {
    /// The place of the network whose directory is `dir`, an absolute path.
    pub fn new(dir: &Path) -> Place {
        let root = dir.parent().unwrap_or(Path::new("/"));
        let name = dir.file_name().unwrap_or_default();
        let c_string = |text: &std::ffi::OsStr| CString::new(text.as_bytes()).unwrap_or_default();
        Place {
            root: c_string(root.as_os_str()),
            network: c_string(name),
            is_shared: root.file_name().is_some_and(|name| name == SHARED),
        }
    }

    /// Opens and checks the directory of all networks. `owner`: uid of the network's owner.
    pub fn root(&self, owner: u32) -> Result<Root, Unfit> {
        let fd = open_at(libc::AT_FDCWD, &self.root, LOOK, 0).map_err(Unfit::Errno)?;
        let stat = sys::fstat(fd.raw()).map_err(Unfit::Errno)?;
        is_directory(&stat)?;
        if stat.st_uid != 0 && stat.st_uid != owner {
            may_be_roots(stat.st_uid)?;
        }
        let (writable, sticky) = (libc::S_IWGRP | libc::S_IWOTH, libc::S_ISVTX);
        if stat.st_mode & writable != 0 && stat.st_mode & sticky == 0 {
            return Err(Unfit::Open);
        }
        Ok(Root { fd, owner })
    }

    /// Opens and checks the network's directory.
    pub fn open(&self, owner: u32) -> Result<Directory, Trouble> {
        self.root(owner).map_err(Trouble::Root)?.open(self.name()).map_err(Trouble::Network)
    }

    /// The path of the network's directory.
    pub fn path(&self) -> PathBuf {
        let part = |text: &CStr| PathBuf::from(OsStr::from_bytes(text.to_bytes()));
        part(&self.root).join(part(&self.network))
    }

    /// The network's name.
    pub fn name(&self) -> &CStr {
        &self.network
    }
}

/// Finds the place of a network, existing or not: `private` if it has begun there or `shared` cannot be used.
pub fn find(shared: &Place, private: &Place, owner: u32) -> (Which, Result<Directory, Trouble>) {
    match (private.open(owner), shared.root(owner)) {
        (found, Err(why)) if why.is_there() => (Which::PrivateAs(why), found),
        (Ok(directory), _) => (Which::Private, Ok(directory)),
        (Err(_), Ok(root)) => (Which::Shared, root.open(shared.name()).map_err(Trouble::Network)),
        (Err(_), Err(why)) => (Which::Shared, Err(Trouble::Root(why))),
    }
}

/// Which place [`find`] has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Shared,
    /// The private one, as the network has begun there.
    Private,
    /// The private one, as the shared one cannot be used.
    PrivateAs(Unfit),
}

/// The directory of all networks, open and checked.
pub struct Root {
    fd: Fd,
    owner: u32,
}

impl Root {
    /// Opens and checks the directory of a network.
    pub fn open(&self, name: &CStr) -> Result<Directory, Unfit> {
        let fd = open_at(self.fd.raw(), name, LOOK, 0).map_err(Unfit::Errno)?;
        let stat = sys::fstat(fd.raw()).map_err(Unfit::Errno)?;
        is_directory(&stat)?;
        if stat.st_uid != self.owner {
            is_own_by_kernel(&fd, stat.st_uid)?;
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(Unfit::Open);
        }
        Ok(Directory { fd, owner: stat.st_uid })
    }

    /// As [`Root::open`]; makes it if it does not exist.
    pub fn make(&self, name: &CStr) -> Result<Directory, Unfit> {
        make_directory(self.fd.raw(), name, 0o700).map_err(Unfit::Errno)?;
        self.open(name)
    }

    /// Whether this name still leads to this directory.
    pub fn leads_to(&self, name: &CStr, directory: &Directory) -> bool {
        is_same(stat_at(self.fd.raw(), name), sys::fstat(directory.fd.raw()))
    }

    /// Removes a network's directory, if it is this one and empty.
    pub fn remove(&self, name: &CStr, directory: &Directory) {
        if self.leads_to(name, directory) {
            let _ = unlink_at(self.fd.raw(), name, libc::AT_REMOVEDIR);
        }
    }

    /// The descriptor, e.g. to list the directory.
    pub fn raw(&self) -> i32 {
        self.fd.raw()
    }
}

/// A network's directory, open and checked.
#[derive(Debug)]
pub struct Directory {
    fd: Fd,
    /// The owner's uid in this user namespace.
    owner: u32,
}

impl Directory {
    /// Opens a file. EINVAL: it is not a regular file of the owner. `flags`: O_RDONLY, O_WRONLY or O_RDWR,
    /// with O_CREAT, O_EXCL or O_APPEND if needed, but not O_TRUNC, which would truncate before the check.
    pub fn open(&self, name: &CStr, flags: i32) -> Result<Fd, Errno> {
        let flags = flags | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let fd = open_at(self.fd.raw(), name, flags, 0o600)?;
        if self.is_own_file(&sys::fstat(fd.raw())?) { Ok(fd) } else { Err(Errno::EINVAL) }
    }

    /// As [`Directory::open`].
    pub fn file(&self, name: &CStr, flags: i32) -> std::io::Result<File> {
        let fd = self.open(name, flags)?;
        // SAFETY: a descriptor that nobody else has.
        Ok(unsafe { File::from_raw_fd(fd.into_raw()) })
    }

    /// The whole contents of a file.
    pub fn read(&self, name: &CStr) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut self.file(name, libc::O_RDONLY)?, &mut bytes)?;
        Ok(bytes)
    }

    /// Opens the directory itself for operations that an O_PATH descriptor does not allow.
    pub fn reopen(&self) -> Result<Fd, Errno> {
        open_at(self.fd.raw(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
    }

    /// Whether something with this name exists. What cannot be examined counts as existing.
    pub fn has(&self, name: &CStr) -> bool {
        !matches!(stat_at(self.fd.raw(), name), Err(Errno::ENOENT | Errno::ENOTDIR))
    }

    /// Whether this name is a regular file of the owner, or does not exist.
    pub fn is_file_or_nothing(&self, name: &CStr) -> bool {
        match stat_at(self.fd.raw(), name) {
            Ok(stat) => self.is_own_file(&stat),
            Err(e) => e == Errno::ENOENT,
        }
    }

    /// Whether this name leads to the open file `fd`.
    pub fn leads_to(&self, name: &CStr, fd: i32) -> bool {
        is_same(stat_at(self.fd.raw(), name), sys::fstat(fd))
    }

    pub fn remove(&self, name: &CStr) -> Result<(), Errno> {
        unlink_at(self.fd.raw(), name, 0)
    }

    pub fn rename(&self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        let dir = self.fd.raw();
        // SAFETY: paths that end in zero.
        check(unsafe { libc::syscall(libc::SYS_renameat2, dir, from.as_ptr(), dir, to.as_ptr(), 0) })
            .map(drop)
    }

    /// The address of a Unix socket in this directory, for connect and bind by this process only.
    pub fn socket_name(&self, name: &CStr) -> Option<SocketName> {
        let mut path = Text::<64>::new();
        write!(path, "/proc/self/fd/{}/", self.fd.raw()).ok()?;
        path.push(name.to_bytes()).then(|| SocketName::new(path.bytes()))?
    }

    /// The descriptor, which stays valid whatever happens to the path.
    pub fn raw(&self) -> i32 {
        self.fd.raw()
    }

    fn is_own_file(&self, stat: &libc::stat) -> bool {
        stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_uid == self.owner
    }
}

fn is_directory(stat: &libc::stat) -> Result<(), Unfit> {
    match stat.st_mode & libc::S_IFMT {
        // A link of the owner is refused as well: it would lead to a directory that was not checked.
        libc::S_IFLNK => Err(Unfit::Link),
        libc::S_IFDIR => Ok(()),
        _ => Err(Unfit::NoDirectory),
    }
}

/// Checks a directory of all networks whose uid is neither root's nor the owner's. In a user namespace the
/// owner may be shown as this process's uid, and root as the overflow uid, like all users without a mapping,
/// so that these have to be accepted. A network's directory in it is verified by the kernel's comparison.
fn may_be_roots(uid: u32) -> Result<(), Unfit> {
    match uids::all_have_numbers() {
        Some(true) => Err(Unfit::OfUid(uid)),
        _ if uid == sys::geteuid() || uid == uids::OVERFLOW => Ok(()),
        _ => Err(Unfit::Unknown(uid)),
    }
}

/// Checks a network's directory whose uid is not its owner's: a user namespace may rename this process's
/// user.
fn is_own_by_kernel(directory: &Fd, uid: u32) -> Result<(), Unfit> {
    match uids::all_have_numbers() {
        Some(true) => Err(Unfit::OfUid(uid)),
        _ if uids::is_own_closed_directory(directory.raw()) => Ok(()),
        _ => Err(Unfit::Unknown(uid)),
    }
}

fn stat_at(dir: i32, name: &CStr) -> Result<libc::stat, Errno> {
    sys::fstatat(dir, name, libc::AT_SYMLINK_NOFOLLOW)
}

fn is_same(one: Result<libc::stat, Errno>, other: Result<libc::stat, Errno>) -> bool {
    matches!((one, other), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

fn unlink_at(dir: i32, name: &CStr, flags: i32) -> Result<(), Errno> {
    // SAFETY: a path that ends in zero.
    check(unsafe { libc::syscall(libc::SYS_unlinkat, dir, name.as_ptr(), flags) }).map(drop)
}

/// Makes a directory if it does not exist. Returns whether it is new.
fn make_directory(dir: i32, path: &CStr, mode: u32) -> Result<bool, Errno> {
    // SAFETY: a path that ends in zero.
    match check(unsafe { libc::syscall(libc::SYS_mkdirat, dir, path.as_ptr(), mode) }) {
        Ok(_) => Ok(true),
        Err(Errno::EEXIST) => Ok(false),
        Err(e) => Err(e),
    }
}
