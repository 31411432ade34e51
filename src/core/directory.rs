//! The directories of networks, reached so that no other user can lead anybody elsewhere.
//!
//! # Theory of operation
//!
//! `<tmp>` (TMPDIR, or /tmp) is everybody's. In it lies `<tmp>/lonet`, the directory of all networks, made for all users
//! by whoever comes first, and in that `<net>`, the directory of one network. Whoever owns `<tmp>/lonet` may replace
//! `<net>` by a link at any moment, also between a check and a use of the same path, and everything that lonetd, root's
//! perhaps, writes and removes there would be written and removed elsewhere. So no path is used twice:
//!
//! * The directory of all networks is opened ([`Place::root`]) without following a link in its own place, and looked at
//!   through the descriptor. It must be a directory of root's or of the network's owner, and sticky if others may write:
//!   then nobody else can rename or remove what the owner has in it.
//! * `<net>` is opened below that descriptor ([`Root::open`]). It must be a directory of the owner's that is closed to
//!   everybody else.
//! * Files are opened, made, renamed and removed below the descriptor of `<net>` ([`Directory`]), each by one name and
//!   without following links. For a single name, O_NOFOLLOW is all that openat2 could promise by RESOLVE_BENEATH and
//!   RESOLVE_NO_SYMLINKS, and it works on every kernel and in sandboxes that do not know openat2.
//! * What is opened must be a regular file of the owner's. It is opened with O_NONBLOCK: a FIFO stops nobody.
//! * Sockets and SQLite know paths only. They get one through the descriptor, `/proc/self/fd/N/NAME`; the length of
//!   `<net>`'s own path does not matter then. A client without /proc has the socket's abstract name.
//!
//! Where `<tmp>/lonet` fails the check, another user came first, or made it again after it had been removed. Then
//! `<tmp>/lonet-<uid>` takes its place ([`find`]), with the same checks. A network that has begun there stays there until
//! it ends, whatever becomes of `<tmp>/lonet`: else who can make and remove that could divide a network.
//!
//! Nothing here allocates after [`Place::new`], and no descriptor outlives its [`Root`] or [`Directory`]: hooks use it.

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

/// What is open at a path, and not followed if it is a link. It need not be readable.
const LOOK: i32 = libc::O_PATH | libc::O_NOFOLLOW;

/// Why a directory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It cannot be opened; ENOENT: it is not there.
    Errno(Errno),
    Link,
    NoDirectory,
    OfUid(u32),
    /// It belongs to who has this number in a user namespace where users without one of their own share it.
    Unknown(u32),
    /// Others may replace what is in it, or enter it.
    Open,
}

impl Unfit {
    /// Whether something is there that must not be used, by somebody's intention perhaps.
    pub fn is_there(self) -> bool {
        !matches!(self, Unfit::Errno(_))
    }

    /// Whether another directory would do. In a user namespace no directory can be told to be anybody's.
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
                write!(f, "is shown as uid {uid}'s in this user namespace, and may be anybody's")
            }
            Unfit::Open => f.write_str("is open to others"),
        }
    }
}

/// Which of two directories is unfit.
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

/// Where a network's directory is, or is to be.
pub struct Place {
    root: CString,
    network: CString,
    is_shared: bool,
}

impl Place {
    /// `dir`: `<net>`, absolute.
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

    /// The directory of all networks. `owner`: the network's.
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

    /// As [`Place::root`]; makes it if it is not there.
    pub fn make_root(&self, owner: u32) -> Result<Root, Unfit> {
        let mode = if self.is_shared { 0o1777 } else { 0o700 };
        let is_new = make_directory(libc::AT_FDCWD, &self.root, mode).map_err(Unfit::Errno)?;
        let root = self.root(owner)?;
        if is_new && self.is_shared {
            // mkdir's mode is cut by the program's umask, which would lock other users out.
            root.fd_chmod(mode).map_err(Unfit::Errno)?;
        }
        Ok(root)
    }

    /// The network's directory.
    pub fn open(&self, owner: u32) -> Result<Directory, Trouble> {
        self.root(owner).map_err(Trouble::Root)?.open(self.name()).map_err(Trouble::Network)
    }

    /// The network's directory.
    pub fn path(&self) -> PathBuf {
        let part = |text: &CStr| PathBuf::from(OsStr::from_bytes(text.to_bytes()));
        part(&self.root).join(part(&self.network))
    }

    /// The network's name.
    pub fn name(&self) -> &CStr {
        &self.network
    }
}

/// The place where a network is, or is to be made: `private` if it has begun there or `shared` cannot be used.
pub fn find(shared: &Place, private: &Place, owner: u32) -> (Which, Result<Directory, Trouble>) {
    match (private.open(owner), shared.root(owner)) {
        (found, Err(why)) if why.is_there() => (Which::PrivateAs(why), found),
        (Ok(directory), _) => (Which::Private, Ok(directory)),
        (Err(_), Ok(root)) => (Which::Shared, root.open(shared.name()).map_err(Trouble::Network)),
        (Err(_), Err(why)) => (Which::Shared, Err(Trouble::Root(why))),
    }
}

/// What [`find`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Shared,
    /// The network has begun there.
    Private,
    /// The shared one cannot be used.
    PrivateAs(Unfit),
}

/// The directory of all networks, open and checked.
pub struct Root {
    fd: Fd,
    owner: u32,
}

impl Root {
    /// The directory of a network.
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

    /// As [`Root::open`]; makes it if it is not there.
    pub fn make(&self, name: &CStr) -> Result<Directory, Unfit> {
        make_directory(self.fd.raw(), name, 0o700).map_err(Unfit::Errno)?;
        self.open(name)
    }

    /// Whether the network with this name has this directory.
    pub fn leads_to(&self, name: &CStr, directory: &Directory) -> bool {
        is_same(stat_at(self.fd.raw(), name), sys::fstat(directory.fd.raw()))
    }

    /// Removes a network's directory, if it is this one and nothing is left in it.
    pub fn remove(&self, name: &CStr, directory: &Directory) {
        if self.leads_to(name, directory) {
            let _ = unlink_at(self.fd.raw(), name, libc::AT_REMOVEDIR);
        }
    }

    /// The descriptor, to list what is in it.
    pub fn raw(&self) -> i32 {
        self.fd.raw()
    }

    fn fd_chmod(&self, mode: u32) -> Result<(), Errno> {
        // SAFETY: a path that ends in zero.
        check(unsafe { libc::syscall(libc::SYS_fchmodat, self.fd.raw(), c".".as_ptr(), mode) }).map(drop)
    }
}

/// A network's directory, open and checked.
#[derive(Debug)]
pub struct Directory {
    fd: Fd,
    /// As this user namespace shows the owner.
    owner: u32,
}

impl Directory {
    /// Opens a file, which must be a regular one of the owner's; EINVAL: it is not. `flags`: O_RDONLY, O_WRONLY or
    /// O_RDWR, with O_CREAT, O_EXCL, O_APPEND if so wanted. O_TRUNC would come before the check: it is not for here.
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

    /// The whole of a file.
    pub fn read(&self, name: &CStr) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut self.file(name, libc::O_RDONLY)?, &mut bytes)?;
        Ok(bytes)
    }

    /// The directory itself, opened for what a descriptor that only marks a place cannot do.
    pub fn reopen(&self) -> Result<Fd, Errno> {
        open_at(self.fd.raw(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
    }

    /// Whether there is something with this name. What cannot be looked at may be there.
    pub fn has(&self, name: &CStr) -> bool {
        !matches!(stat_at(self.fd.raw(), name), Err(Errno::ENOENT | Errno::ENOTDIR))
    }

    /// Whether what has this name, if anything does, is a regular file of the owner's.
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

    /// The name by which this process connects or binds a Unix socket here, and nobody else does.
    pub fn socket_name(&self, name: &CStr) -> Option<SocketName> {
        let mut path = Text::<64>::new();
        write!(path, "/proc/self/fd/{}/", self.fd.raw()).ok()?;
        path.push(name.to_bytes()).then(|| SocketName::new(path.bytes()))?
    }

    /// The descriptor: it leads here, whatever becomes of the path.
    pub fn raw(&self) -> i32 {
        self.fd.raw()
    }

    fn is_own_file(&self, stat: &libc::stat) -> bool {
        stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_uid == self.owner
    }
}

fn is_directory(stat: &libc::stat) -> Result<(), Unfit> {
    match stat.st_mode & libc::S_IFMT {
        // Whose link it is does not matter: the owner's own would be followed to a place that has not been looked at.
        libc::S_IFLNK => Err(Unfit::Link),
        libc::S_IFDIR => Ok(()),
        _ => Err(Unfit::NoDirectory),
    }
}

/// Of a directory of all networks with another number than root's and the owner's. In a user namespace the owner may be
/// shown by the own number, and root like all who have none: who of them it is cannot be told. What is in it can be: a
/// network's directory is the own user's by the kernel's comparison.
fn may_be_roots(uid: u32) -> Result<(), Unfit> {
    match uids::all_have_numbers() {
        Some(true) => Err(Unfit::OfUid(uid)),
        _ if uid == sys::geteuid() || uid == uids::OVERFLOW => Ok(()),
        _ => Err(Unfit::Unknown(uid)),
    }
}

/// Of a network's directory with another number than its owner's: the own user may be renamed in a user namespace.
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

/// Whether it is new.
fn make_directory(dir: i32, path: &CStr, mode: u32) -> Result<bool, Errno> {
    // SAFETY: a path that ends in zero.
    match check(unsafe { libc::syscall(libc::SYS_mkdirat, dir, path.as_ptr(), mode) }) {
        Ok(_) => Ok(true),
        Err(Errno::EEXIST) => Ok(false),
        Err(e) => Err(e),
    }
}
