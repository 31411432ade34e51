//! mmap(2) and munmap(2), made directly: allocators and other interposers may replace libc's functions.

use super::{Result, check};

/// mmap(2) with offset 0.
///
/// # Safety
/// `at` must be null, or with MAP_FIXED a part of a mapping of the caller's.
pub unsafe fn mmap(
    at: *mut libc::c_void,
    size: usize,
    protection: i32,
    flags: i32,
    fd: i32,
) -> Result<*mut libc::c_void> {
    // As wide as the kernel reads it: this argument of `syscall` is passed on the stack.
    let beginning: libc::c_long = 0;
    // SAFETY: as the caller promises.
    let at = check(unsafe { libc::syscall(libc::SYS_mmap, at, size, protection, flags, fd, beginning) })?;
    Ok(std::ptr::with_exposed_provenance_mut(at as usize))
}

/// munmap(2), which cannot fail for a mapping of mmap's.
///
/// # Safety
/// `at` and `size` must be a mapping of the caller's that is not used any more.
pub unsafe fn munmap(at: *mut libc::c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(libc::SYS_munmap, at, size) };
}
