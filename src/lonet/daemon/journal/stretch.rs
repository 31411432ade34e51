//! A stretch of a file that is written through memory: to append there is no system call.
//!
//! It is allocated before it is mapped, so a disk that is full later takes no page away (SIGBUS), and what is stored in
//! the mapping of a file outlives the process that is killed, as what it has written does. Bytes are visible from the
//! first one on, which is stored last: until then a zero stands in its place.

use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};

/// As much is allocated at a time, or a multiple of it.
pub const STRETCH: u64 = 64 << 10;
/// The largest page size; an offset of a mapping is a multiple of it.
const PAGE: u64 = 64 << 10;

pub struct Stretch {
    address: *mut u8,
    /// Of the mapping, and what is taken of it.
    size: usize,
    at: usize,
}

impl Stretch {
    /// Takes what is at `offset`, the end of what the file says, for `length` bytes and more.
    pub fn take(file: &File, offset: u64, length: u64) -> Result<Stretch, Errno> {
        let begin = offset / PAGE * PAGE;
        let end = (offset + length).next_multiple_of(STRETCH);
        let (from, more) = (offset as libc::off_t, (end - offset) as libc::off_t);
        // The system call, as libc would write zeros where the file system cannot.
        // SAFETY: no pointers.
        Errno::result(unsafe { libc::fallocate(file.as_raw_fd(), 0, from, more) })?;
        let size = (end - begin) as usize;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let (fd, begin_off) = (file.as_raw_fd(), begin as libc::off_t);
        // SAFETY: a new mapping where the kernel likes.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, fd, begin_off) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Stretch { address: address.cast(), size, at: (offset - begin) as usize })
    }

    /// Appends all of it at one moment, or nothing: `false`, there is no room.
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let Some((first, rest)) = bytes.split_first() else { return true };
        if bytes.len() > self.size - self.at {
            return false;
        }
        // SAFETY: within the mapping, which nobody has a reference into, and not of `bytes`; the file is not made shorter
        // while this is there.
        unsafe {
            let to = self.address.add(self.at);
            std::ptr::copy_nonoverlapping(rest.as_ptr(), to.add(1), rest.len());
            AtomicU8::from_ptr(to).store(*first, Ordering::Release);
        }
        self.at += bytes.len();
        true
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        // SAFETY: what `take` mapped, and nobody else looks there.
        unsafe { libc::munmap(self.address.cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_in_the_file_and_what_has_no_room_is_not() {
        let file = tempfile::tempfile().expect("a file");
        let read = || std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("its text");
        // In the middle of a page, as after a rewriting.
        file.set_len(100).expect("a length");
        let mut stretch = Stretch::take(&file, 100, 5).expect("a stretch");
        assert!(stretch.append(b"hello"));
        assert_eq!(read()[95..110], *b"\0\0\0\0\0hello\0\0\0\0\0");
        let room = STRETCH as usize - 105;
        assert!(!stretch.append(&vec![1; room + 1]));
        assert_eq!(read()[105..], vec![0; room]);
        assert!(stretch.append(&vec![1; room]));
        assert_eq!(read()[105..], vec![1; room]);
        // The next one may begin where this one ended, and be longer than usual.
        let mut next = Stretch::take(&file, STRETCH, 3 * STRETCH).expect("another");
        assert!(next.append(&vec![2; 3 * STRETCH as usize]));
        assert_eq!(read().len() as u64, 4 * STRETCH);
    }
}
