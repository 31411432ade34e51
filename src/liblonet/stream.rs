//! Hooks of fclose(3), freopen(3) and pclose(3): libc closes the stream's descriptor by itself. They give
//! hints, like those of `close`.

use crate::close::{after_close, before_close};
use libc::{FILE, c_char, c_int};
use nix::errno::Errno;

hook! {
    unsafe fn fclose(stream: *mut FILE) -> c_int => lonet_fclose {
        // SAFETY: the program's stream.
        let socket = unsafe { of(stream) };
        // SAFETY: as above.
        let result = unsafe { redhook::real!(fclose)(stream) };
        after_close(socket);
        result
    }
}

/// fclose's other name.
///
/// # Safety
/// As for fclose(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _IO_fclose(stream: *mut FILE) -> c_int {
    // SAFETY: the program's stream.
    unsafe { lonet_fclose(stream) }
}

hook! {
    unsafe fn pclose(stream: *mut FILE) -> c_int => lonet_pclose {
        // SAFETY: the program's stream.
        let socket = unsafe { of(stream) };
        // SAFETY: as above.
        let result = unsafe { redhook::real!(pclose)(stream) };
        after_close(socket);
        result
    }
}

hook! {
    unsafe fn freopen(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE => lonet_freopen {
        // SAFETY: the program's stream.
        let socket = unsafe { of(stream) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(freopen)(path, mode, stream) };
        after_close(socket);
        result
    }
}

hook! {
    unsafe fn freopen64(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE => lonet_freopen64 {
        // SAFETY: the program's stream.
        let socket = unsafe { of(stream) };
        // SAFETY: the program's arguments.
        let result = unsafe { redhook::real!(freopen64)(path, mode, stream) };
        after_close(socket);
        result
    }
}

/// `stream` is null, or a stream of the program's.
unsafe fn of(stream: *mut FILE) -> Option<crate::close::ClosingSocket> {
    if stream.is_null() {
        return None;
    }
    let errno = Errno::last_raw();
    // SAFETY: as the caller promises; fails with -1 for a stream without a descriptor.
    let fd = unsafe { libc::fileno(stream) };
    Errno::set_raw(errno);
    before_close(fd)
}
