//! Files that are written through memory: the table, SQLite's `-shm`.
//!
//! What is allocated is not taken away by a full disk, except where the file system writes to another place each time, as
//! btrfs does. There a store that finds no room is a SIGBUS: lonetd's end, and that of a program that writes into the
//! table.

use lonet_core::directory::Directory;

/// From linux/fs.h.
const FS_NOCOW_FL: libc::c_int = 0x0080_0000;

/// Has the files that will be made in `directory` written where they lie. Other file systems do so, and refuse to be asked.
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
