//! Messages to the user on the program's stderr, where ld.so reports its own errors.

use lonet_core::sys;

/// Writes to stderr.
pub fn write(text: &[u8]) {
    // SAFETY: a valid buffer; what cannot be written is lost.
    unsafe { libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len()) };
}

/// Whether stderr may be written to: descriptor 2 is no socket, and takes a line without waiting or SIGPIPE.
pub fn is_writable() -> bool {
    if !sys::fstat(2).is_ok_and(|stat| stat.st_mode & libc::S_IFMT != libc::S_IFSOCK) {
        return false;
    }
    // SAFETY: structures to fill.
    unsafe {
        let mut poll = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
        let mut at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mask = std::ptr::null::<libc::sigset_t>();
        libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw mut at_once, mask, 8) == 1
            && poll.revents == libc::POLLOUT
    }
}
