//! Makes sure that memory-mapped files (the table, SQLite's `-shm`) are overwritten in place.
//!
//! A full disk does not affect blocks that are allocated, unless the file system writes each time to new
//! ones, as btrfs does. There a store to the mapping that finds no space raises SIGBUS: it ends lonetd, and
//! any program that writes to the table.

use lonet_core::directory::Directory;

/// From linux/fs.h.
const FS_NOCOW_FL: libc::c_int = 0x0080_0000;

/// Turns off copy-on-write for files that will be made in `directory`. Other file systems overwrite in place,
/// and refuse the request.
pub fn write_in_place(directory: &Directory) {
    let Ok(dir) = directory.reopen() else { return };
    let mut flags: libc::c_int = 0;
    // SAFETY: a descriptor of ours and a number to fill; the kernel takes an int, whatever the request's name says.
    if unsafe { libc::ioctl(dir.raw(), libc::FS_IOC_GETFLAGS, &raw mut flags) } == 0 {
        flags |= FS_NOCOW_FL;
        // SAFETY: as above.
        unsafe { libc::ioctl(dir.raw(), libc::FS_IOC_SETFLAGS, &raw const flags) };
    }
}
