//! The parts that rcmd(3) and rexec(3) share: the addresses to dial, the strings to send, and the reply.
//!
//! Thread cancellation is disabled in here: it would leak descriptors and memory.

use crate::address::read;
use crate::close::lonet_close;
use crate::panic_barrier::{catch_panic, without_cancellation};
use crate::{accept, ask, getaddrinfo, process};
use libc::{addrinfo, c_char, c_int, sockaddr};
use lonet_core::block::Endpoint;
use lonet_core::sys::{Text, check};
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt::Write;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Runs `call`, which returns a descriptor, or `None` after it has reported the error, also by errno.
pub fn descriptor_of(call: impl FnOnce() -> Option<c_int>) -> c_int {
    let (mut result, mut errno) = (None, Errno::last_raw());
    match without_cancellation(|| catch_panic(|| result = call())) {
        None => errno = libc::EIO,
        Some(()) if result.is_none() => errno = Errno::last_raw(),
        Some(()) => {}
    }
    Errno::set_raw(errno);
    result.unwrap_or(-1)
}

/// Prints to stderr, as libc does. errno stays.
pub fn print(parts: &[&[u8]]) {
    let mut line = Text::<512>::new();
    let _ = parts.iter().all(|part| line.push(part));
    let (errno, bytes) = (Errno::last_raw(), line.bytes());
    // SAFETY: a valid buffer; what cannot be written is lost.
    unsafe { libc::syscall(libc::SYS_write, 2, bytes.as_ptr(), bytes.len()) };
    Errno::set_raw(errno);
}

/// As perror(3).
pub fn print_errno(what: &[u8]) {
    print(&[what, b": ", Errno::last().desc().as_bytes(), b"\n"]);
}

/// The bytes of a C string; empty for null.
///
/// # Safety
/// A C string that stays, or null.
pub unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: as the caller promises.
    if text.is_null() { b"" } else { unsafe { CStr::from_ptr(text) }.to_bytes() }
}

/// A socket that is closed when dropped, unless it is passed to the program.
pub struct Socket(c_int);

impl Socket {
    /// From the result of a call: a descriptor, or -1.
    pub fn new(fd: c_int) -> Option<Socket> {
        (fd >= 0).then_some(Socket(fd))
    }

    pub fn fd(&self) -> c_int {
        self.0
    }

    pub fn into_program(self) -> c_int {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }

    /// Accepts a connection; returns it and its peer.
    pub fn accept(&self) -> Option<(Socket, Option<Endpoint>)> {
        // SAFETY: all zeroes is an address.
        let mut from: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut len = size_of_val(&from) as libc::socklen_t;
        let at = (&raw mut from).cast::<sockaddr>();
        loop {
            // SAFETY: room for any address, and its length.
            let new = unsafe { accept::run(self.0, at, &raw mut len, None, process::is_active()) };
            match Socket::new(new) {
                None if Errno::last() == Errno::EINTR => {}
                // SAFETY: accept has written there.
                new => return new.map(|new| (new, unsafe { read(at, len) }.map(|(from, _)| from))),
            }
        }
    }

    /// Writes the bytes; returns whether all were written.
    pub fn write(&self, bytes: &[u8]) -> bool {
        // SAFETY: a valid buffer.
        check(unsafe { libc::syscall(libc::SYS_write, self.0, bytes.as_ptr(), bytes.len()) })
            .map_err(|e| e.set())
            .is_ok_and(|n| n as usize == bytes.len())
    }

    /// Sends these C strings, each with its zero.
    ///
    /// # Safety
    /// They are C strings.
    pub unsafe fn write_strings(&self, strings: [*const c_char; 3]) {
        let parts = strings.map(|s| libc::iovec {
            iov_base: s.cast_mut().cast(),
            // SAFETY: as the caller promises.
            iov_len: unsafe { CStr::from_ptr(s) }.count_bytes() + 1,
        });
        // SAFETY: strings that stay as long as the call takes. The reply tells if anything has not arrived.
        while check(unsafe { libc::syscall(libc::SYS_writev, self.0, parts.as_ptr(), parts.len()) })
            == Err(Errno::EINTR)
        {}
    }

    /// Reads a byte; `None` at the end, with errno 0, or on an error.
    pub fn byte(&self) -> Option<u8> {
        let mut byte = 0u8;
        loop {
            // SAFETY: room for a byte.
            match check(unsafe { libc::syscall(libc::SYS_read, self.0, &raw mut byte, 1) }) {
                Ok(1) => return Some(byte),
                Ok(_) => Errno::set_raw(0),
                Err(Errno::EINTR) => continue,
                Err(e) => e.set(),
            }
            return None;
        }
    }

    /// Copies to stderr what the other end sends, up to the end of the line.
    pub fn copy_line_to_stderr(&self) {
        while let Some(byte) = self.byte() {
            print(&[&[byte]]);
            if byte == b'\n' {
                break;
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let errno = Errno::last_raw();
        // SAFETY: a descriptor that is ours.
        unsafe { lonet_close(self.0) };
        Errno::set_raw(errno);
    }
}

/// The addresses of a host: a list of libc's.
pub struct HostAddresses(*mut addrinfo);

impl HostAddresses {
    /// # Safety
    /// `name` is a C string, or null.
    pub unsafe fn of(name: *const c_char, port: u16, family: c_int) -> Result<HostAddresses, c_int> {
        let mut service = Text::<8>::new();
        let _ = write!(service, "{port}");
        // SAFETY: all zeroes is an addrinfo.
        let mut hints: addrinfo = unsafe { std::mem::zeroed() };
        hints.ai_family = family;
        hints.ai_socktype = libc::SOCK_STREAM;
        hints.ai_flags = libc::AI_CANONNAME;
        let mut list = std::ptr::null_mut();
        let service = service.c_str().map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the caller's name, and hints and strings of ours.
        match unsafe { getaddrinfo::run(name, service, &raw const hints, &raw mut list, &mut ask::unbegun()) }
        {
            0 => Ok(HostAddresses(list)),
            code => Err(code),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &addrinfo> {
        // SAFETY: null or an entry, which lives as long as the list does.
        let entry = |at: *mut addrinfo| unsafe { at.as_ref() };
        std::iter::successors(entry(self.0), move |at| entry(at.ai_next))
    }

    /// Whether one of the addresses is lonet's.
    pub fn any_in_network(&self) -> bool {
        self.all().any(|a| endpoint(a).is_some_and(|to| process::concerns(to.ip).is_ok()))
    }

    /// Stores the full name for the program, in memory that lives until the next one is stored; null: there
    /// is none. `None`: out of memory.
    ///
    /// `to` is writable; `last` holds what the same call stored before.
    pub unsafe fn name_to(&self, to: *mut *mut c_char, last: &AtomicPtr<c_char>) -> Option<()> {
        let name = self.all().next().map_or(std::ptr::null_mut(), |first| first.ai_canonname);
        // SAFETY: a C string of the list's, memory of strdup's that nobody is to use any more, and as the caller promises.
        unsafe {
            let copy = if name.is_null() { name } else { libc::strdup(name) };
            if !copy.is_null() {
                libc::free(last.swap(copy, Ordering::AcqRel).cast());
            } else if !name.is_null() {
                return None;
            }
            to.write(copy);
        }
        Some(())
    }
}

impl Drop for HostAddresses {
    fn drop(&mut self) {
        // SAFETY: a list of getaddrinfo's.
        unsafe { libc::freeaddrinfo(self.0) };
    }
}

pub fn endpoint(at: &addrinfo) -> Option<Endpoint> {
    // SAFETY: an address with its length.
    unsafe { read(at.ai_addr, at.ai_addrlen) }.map(|(to, _)| to)
}
