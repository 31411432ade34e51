//! System calls on files, made directly: fakeroot and its like interpose libc's functions, and take locks in
//! them.

use super::{Fd, Result, Text, check};
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt::Write;
use std::os::fd::RawFd;

/// fstat(2).
pub fn fstat(fd: RawFd) -> Result<libc::stat> {
    // SAFETY: all zeroes is a stat structure, which is the kernel's own on 64-bit systems.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a structure to fill.
    check(unsafe { libc::syscall(libc::SYS_fstat, fd, &raw mut stat) })?;
    Ok(stat)
}

/// fstatat(2). `flags`: AT_SYMLINK_NOFOLLOW makes it lstat(2).
pub fn fstatat(dir: RawFd, path: &CStr, flags: i32) -> Result<libc::stat> {
    // SAFETY: as above.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a path that ends in zero and a structure to fill.
    check(unsafe { libc::syscall(libc::SYS_newfstatat, dir, path.as_ptr(), &raw mut stat, flags) })?;
    Ok(stat)
}

/// Whether the process may execute a file, by its effective ids. `stat`: the file's.
pub fn may_execute(dir: RawFd, path: &CStr, stat: &libc::stat) -> Result<()> {
    // SAFETY: a path that ends in zero.
    let answer = check(unsafe {
        libc::syscall(libc::SYS_faccessat2, dir, path.as_ptr(), libc::X_OK, libc::AT_EACCESS)
    });
    match answer {
        // Before Linux 5.8, or in a container that does not know the call: executable by anybody has to do.
        Err(Errno::ENOSYS | Errno::EPERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(Errno::ENOSYS | Errno::EPERM) => Err(Errno::EACCES),
        answer => answer.map(drop),
    }
}

/// Whether an open file has an extended attribute of this name.
pub fn has_attribute(fd: RawFd, name: &CStr) -> bool {
    let nowhere = std::ptr::null_mut::<u8>();
    // SAFETY: a C string; with size 0 nothing is written.
    let length = unsafe { libc::syscall(libc::SYS_fgetxattr, fd, name.as_ptr(), nowhere, 0usize) };
    length > 0
}

/// Reads an open file from `offset` on. Returns the number of bytes, less than the buffer's size only at the
/// end of file.
pub fn read_at(fd: RawFd, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while let Some(rest @ [_, ..]) = buffer.get_mut(done..) {
        let at = offset.saturating_add(done as u64);
        // SAFETY: a buffer with its length.
        let n = check(unsafe { libc::syscall(libc::SYS_pread64, fd, rest.as_mut_ptr(), rest.len(), at) });
        match n {
            Ok(0) => break,
            Ok(n) => done += n as usize,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Whether an open file's file system is mounted nosuid.
pub fn is_nosuid(fd: RawFd) -> Result<bool> {
    /// Index of `f_flags` in the kernel's `struct statfs`, which consists of words on 64-bit systems; libc's
    /// struct does not name it.
    const FLAGS: usize = 10;
    let mut fs: [libc::c_ulong; 15] = [0; 15];
    // SAFETY: a structure to fill.
    check(unsafe { libc::syscall(libc::SYS_fstatfs, fd, fs.as_mut_ptr()) })?;
    Ok(fs[FLAGS] & libc::ST_NOSUID != 0)
}

/// open(2) with O_CLOEXEC, of an existing file.
pub fn open(path: &CStr, flags: i32) -> Result<Fd> {
    open_at(libc::AT_FDCWD, path, flags, 0)
}

/// openat(2) with O_CLOEXEC. `mode`: of a file that O_CREAT makes.
pub fn open_at(dir: RawFd, path: &CStr, flags: i32, mode: u32) -> Result<Fd> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: a path that ends in zero.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), flags, mode) })?;
    Fd::new(fd as RawFd)
}

/// The whole contents of a file. Allocates.
pub fn read_file(path: &CStr) -> Result<Vec<u8>> {
    let file = open(path, libc::O_RDONLY)?;
    let (mut all, mut buffer) = (Vec::new(), [0u8; 1024]);
    loop {
        // SAFETY: a buffer with its length.
        let n =
            check(unsafe { libc::syscall(libc::SYS_read, file.raw(), buffer.as_mut_ptr(), buffer.len()) })?
                as usize;
        match buffer.get(..n) {
            Some([]) | None => return Ok(all),
            Some(part) => all.extend_from_slice(part),
        }
    }
}

/// Resolves a path to an absolute one without links, stored in `buffer`.
pub fn real_path<'b>(path: &CStr, buffer: &'b mut [u8; libc::PATH_MAX as usize]) -> Result<&'b [u8]> {
    let file = open(path, libc::O_PATH)?;
    let mut link = Text::<32>::new();
    write!(link, "/proc/self/fd/{}", file.raw()).map_err(|_| Errno::ENAMETOOLONG)?;
    let link = link.c_str().ok_or(Errno::ENAMETOOLONG)?;
    // SAFETY: a path that ends in zero, and a buffer with its length.
    let n = check(unsafe {
        let (to, room) = (buffer.as_mut_ptr(), buffer.len());
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), to, room)
    })? as usize;
    match buffer.get(..n) {
        Some(path) if n < libc::PATH_MAX as usize && path.starts_with(b"/") => Ok(path),
        _ => Err(Errno::ENAMETOOLONG),
    }
}

/// Calls `each` for every descriptor of the process, but for the one that this function opens.
pub fn each_descriptor(mut each: impl FnMut(RawFd)) -> Result<()> {
    let dir = open(c"/proc/self/fd", libc::O_RDONLY | libc::O_DIRECTORY)?;
    each_number(&dir, |fd| {
        if fd != dir.raw() {
            each(fd);
        }
    })
}

/// Calls `each` for every entry of an open directory whose name is a number, as are those of processes,
/// threads and descriptors in /proc.
pub fn each_number(dir: &Fd, mut each: impl FnMut(i32)) -> Result<()> {
    /// Offset of the name in the kernel's `struct linux_dirent64`, behind inode, offset, length and kind.
    const NAME: usize = 19;
    // Small, as hooks may run on small stacks.
    let mut buffer = [0u8; 1024];
    loop {
        // SAFETY: a buffer with its length.
        let n = check(unsafe {
            libc::syscall(libc::SYS_getdents64, dir.raw(), buffer.as_mut_ptr(), buffer.len())
        })? as usize;
        if n == 0 {
            return Ok(());
        }
        let mut rest = buffer.get(..n).ok_or(Errno::EPROTO)?;
        while let Some(length) = rest.get(NAME - 3..NAME - 1) {
            let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
            let entry = rest.get(NAME..length).ok_or(Errno::EPROTO)?;
            let name = CStr::from_bytes_until_nul(entry).map_err(|_| Errno::EPROTO)?;
            name.to_str().ok().and_then(|name| name.parse().ok()).into_iter().for_each(&mut each);
            rest = &rest[length..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_is_not_followed_with_symlink_nofollow() {
        let kind =
            |flags| fstatat(libc::AT_FDCWD, c"/proc/self/exe", flags).expect("a file").st_mode & libc::S_IFMT;
        assert_eq!((kind(0), kind(libc::AT_SYMLINK_NOFOLLOW)), (libc::S_IFREG, libc::S_IFLNK));
        assert_eq!(fstatat(libc::AT_FDCWD, c"/no/such", 0).err(), Some(Errno::ENOENT));
    }

    #[test]
    fn fstat_and_fstatat_name_the_same_file() {
        let file = open(c"/proc/self/exe", libc::O_RDONLY).expect("a file");
        let (a, b) = (fstat(file.raw()), fstatat(libc::AT_FDCWD, c"/proc/self/exe", 0));
        let name = |s: libc::stat| (s.st_dev, s.st_ino, s.st_size);
        assert_eq!(a.map(name), b.map(name));
    }

    #[test]
    fn real_path_is_what_libc_makes_of_it() {
        let mut buffer = [0; libc::PATH_MAX as usize];
        let here = std::fs::canonicalize(".").expect("a directory");
        assert_eq!(real_path(c"./.", &mut buffer), Ok(here.as_os_str().as_encoded_bytes()));
        assert_eq!(real_path(c"/no/such", &mut buffer), Err(Errno::ENOENT));
    }

    #[test]
    fn nosuid_is_what_libc_says() {
        for path in [c"/proc", c"/", c"/dev"] {
            let file = open(path, libc::O_RDONLY).expect("a directory");
            // SAFETY: all zeroes is a statvfs structure, which is filled.
            let flags = unsafe {
                let mut fs: libc::statvfs = std::mem::zeroed();
                assert_eq!(libc::fstatvfs(file.raw(), &raw mut fs), 0);
                fs.f_flag
            };
            assert_eq!(is_nosuid(file.raw()), Ok(flags & libc::ST_NOSUID != 0));
        }
    }

    #[test]
    fn each_open_descriptor_is_named_once() {
        let open: Vec<Fd> = (0..300).map(|_| open(c"/", libc::O_PATH).expect("a descriptor")).collect();
        let mut seen = Vec::new();
        each_descriptor(|fd| seen.push(fd)).expect("/proc");
        assert!(open.iter().all(|fd| seen.iter().filter(|s| **s == fd.raw()).count() == 1));
    }
}
