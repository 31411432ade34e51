//! Mappings, made directly: allocators and other interposers have functions of these names, too.

use super::{Result, check};

/// mmap(2), from the beginning of `fd`.
///
/// # Safety
/// `at` is null, or with MAP_FIXED a part of a mapping of the caller's.
pub unsafe fn mmap(
    at: *mut libc::c_void,
    size: usize,
    protection: i32,
    flags: i32,
    fd: i32,
) -> Result<*mut libc::c_void> {
    // As wide as the kernel reads it: this argument of syscall lies on the stack.
    let beginning: libc::c_long = 0;
    // SAFETY: as the caller promises.
    let at = check(unsafe { libc::syscall(libc::SYS_mmap, at, size, protection, flags, fd, beginning) })?;
    Ok(std::ptr::with_exposed_provenance_mut(at as usize))
}

/// munmap(2). It cannot fail for what mmap has given.
///
/// # Safety
/// A mapping of the caller's, at which nobody looks any more.
pub unsafe fn munmap(at: *mut libc::c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(libc::SYS_munmap, at, size) };
}
