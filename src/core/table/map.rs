//! The table's file and its mapping.
//!
//! The file has a fixed size and is allocated in full before it is mapped, so that a disk that becomes full
//! never makes a store fail with SIGBUS.

use super::Table;
use super::layout::{Layout, MAGIC, SIZE};
use super::word::Word;
use crate::sys::check;
use nix::errno::Errno;

/// A mapping of a table, unmapped on drop.
pub struct Mapping(*const Layout);

// SAFETY: all of it is atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// For lonetd: allocates the open file `fd` in full and maps it.
    pub fn create(fd: i32) -> Result<Mapping, Errno> {
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_fallocate, fd, 0, 0usize, SIZE) })?;
        Mapping::of(fd)
    }

    /// Maps the open file `fd`. EAGAIN: no lonetd has initialised it yet, or one with another layout.
    ///
    /// A file that could not be allocated in full is shorter, and is not mapped: reading it would be a
    /// SIGBUS.
    pub fn open(fd: i32) -> Result<Mapping, Errno> {
        // SAFETY: all zeroes is a stat structure.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let (empty, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        // SAFETY: an empty path, and a structure to fill.
        check(unsafe { libc::syscall(libc::SYS_newfstatat, fd, empty, &raw mut stat, flags) })?;
        if stat.st_size < SIZE as i64 {
            return Err(Errno::EAGAIN);
        }
        let mapping = Mapping::of(fd)?;
        if mapping.is_ready() { Ok(mapping) } else { Err(Errno::EAGAIN) }
    }

    fn of(fd: i32) -> Result<Mapping, Errno> {
        let (protection, anywhere) = (libc::PROT_READ | libc::PROT_WRITE, std::ptr::null_mut::<u8>());
        // SAFETY: a new mapping where the kernel likes.
        let at = check(unsafe {
            libc::syscall(libc::SYS_mmap, anywhere, SIZE, protection, libc::MAP_SHARED, fd, 0usize)
        })?;
        Ok(Mapping(std::ptr::with_exposed_provenance(at as usize)))
    }

    pub fn table(&self) -> Table<'_> {
        // SAFETY: SIZE bytes, page-aligned, that stay while this does; all access is atomic.
        Table { layout: unsafe { &*self.0 } }
    }

    /// Whether a lonetd has initialised the table, with this layout.
    pub fn is_ready(&self) -> bool {
        self.table().header().magic.get() == MAGIC
    }

    /// A table in private memory, for a lonetd that cannot have a file: no other process sees it.
    pub fn private() -> Result<Mapping, Errno> {
        let (protection, anywhere) = (libc::PROT_READ | libc::PROT_WRITE, std::ptr::null_mut::<u8>());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping where the kernel likes.
        let at =
            check(unsafe { libc::syscall(libc::SYS_mmap, anywhere, SIZE, protection, flags, -1, 0usize) })?;
        Ok(Mapping(std::ptr::with_exposed_provenance(at as usize)))
    }

    /// Keeps the mapping until the process ends.
    pub fn keep(self) -> Table<'static> {
        let layout = self.0;
        std::mem::forget(self);
        // SAFETY: as in `table`, and it is never unmapped.
        Table { layout: unsafe { &*layout } }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: a mapping of our own.
        unsafe { libc::syscall(libc::SYS_munmap, self.0, SIZE) };
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::sys::Fd;

    pub fn file() -> Fd {
        // SAFETY: a C string.
        let fd = unsafe { libc::memfd_create(c"table".as_ptr(), libc::MFD_CLOEXEC) };
        Fd::new(fd).expect("a memory file")
    }

    #[test]
    fn table_that_no_lonetd_has_made_is_not_opened() {
        let file = file();
        assert_eq!(Mapping::open(file.raw()).err(), Some(Errno::EAGAIN));
        let made = Mapping::create(file.raw()).expect("a table");
        assert_eq!(Mapping::open(file.raw()).err(), Some(Errno::EAGAIN));
        made.table().header().magic.set(MAGIC);
        assert!(Mapping::open(file.raw()).is_ok());
    }
}
