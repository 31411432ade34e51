//! SQLite's default VFS, except that it takes a path as it is.
//!
//! By default SQLite resolves all links in a path before it opens anything, and so replaces
//! `/proc/self/fd/N/registry.db` by the path of the directory, which may lead elsewhere by then. Taken as it
//! is, the path leads through the descriptor each time: for the database, for `-wal`, `-shm` and `-journal`
//! beside it, and when SQLite checks whether its file still exists. Neither follows links in place of these
//! files.

use rusqlite::ffi;
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

const NAME: &CStr = c"lonet";

/// Registers this VFS and returns its name. `None`: it cannot be registered.
pub fn name() -> Option<&'static CStr> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    REGISTERED.get_or_init(register).then_some(NAME)
}

fn register() -> bool {
    // SAFETY: the default VFS, which is there for as long as the process is; its methods take any VFS that is a copy of
    // it, as those that SQLite makes of it itself are. SQLite never writes to what is registered but its link to the
    // next one.
    unsafe {
        let default = ffi::sqlite3_vfs_find(std::ptr::null());
        if default.is_null() {
            return false;
        }
        let copy = Box::leak(Box::new(default.read()));
        copy.zName = NAME.as_ptr();
        copy.pNext = std::ptr::null_mut();
        copy.xFullPathname = Some(as_it_is);
        ffi::sqlite3_vfs_register(copy, 0) == ffi::SQLITE_OK
    }
}

/// SQLite's `xFullPathname`.
unsafe extern "C" fn as_it_is(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a C string, and `room` bytes to fill.
    unsafe {
        let path = CStr::from_ptr(path).to_bytes_with_nul();
        if path.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(path.as_ptr().cast(), out, path.len());
    }
    ffi::SQLITE_OK
}
