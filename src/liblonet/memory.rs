//! Tests whether memory that a program points to can be read or written.
//!
//! A hook looks at an address before the kernel does. Where the kernel would fail with EFAULT the hook must
//! not crash, and a handler of SIGSEGV is no way out, as that signal is the program's. So unreadable memory
//! is left for the kernel to refuse.
//!
//! Most memory that programs point to is known to be mapped ([`ordinary`]). For the rest the kernel is asked
//! by futex(2), which compares a word and changes nothing, once for each page. The answer is cached: a
//! program that unmaps a page and passes a pointer into it crashes.

mod ordinary;

use crate::address::{self, is_plausible};
use libc::{c_char, sockaddr, socklen_t};
use lonet_core::block::Endpoint;
use lonet_core::sys::check;
use nix::errno::Errno;
use ordinary::is_on_stack;
pub use ordinary::learn;
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The smallest page size of any system.
const PAGE: usize = 4096;

/// A cache of readable pages, indexed by a hash of the page number, with [`WRITABLE`] if they can also be
/// written.
static KNOWN: [AtomicUsize; 128] = [const { AtomicUsize::new(0) }; 128];

/// The flag of a writable page, in the low bits of its address.
const WRITABLE: usize = 1;

fn cache_entry(page: usize) -> &'static AtomicUsize {
    let number = page / PAGE;
    #[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
    &KNOWN[(number ^ number >> 7) % KNOWN.len()]
}

fn is_known(page: usize, how: usize) -> bool {
    let known = cache_entry(page).load(Ordering::Relaxed);
    known & !WRITABLE == page && known & how == how || ordinary::is_known(page, how)
}

/// Whether the kernel can read the word at this address.
fn reads(word: usize) -> bool {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let errno = Errno::last_raw();
    // A value that the word hardly ever has: FUTEX_WAIT sleeps, if for no time, only if the value is equal.
    let other = u32::from_le_bytes(*b"lone");
    // SAFETY: the kernel looks at the word, whatever is there.
    let asked = check(unsafe { libc::syscall(libc::SYS_futex, word, operation, other, &raw const at_once) });
    Errno::set_raw(errno);
    asked != Err(Errno::EFAULT)
}

/// Whether `len` bytes, and at least one, can be read.
pub extern "C" fn is_readable(at: *const u8, len: usize) -> bool {
    let first = at.addr();
    let Some(last) = first.checked_add(len.max(1) - 1).filter(|_| is_plausible(at)) else { return false };
    if is_on_stack(first, last) {
        return true;
    }
    let mut page = first & !(PAGE - 1);
    while page <= last {
        if !is_known(page, 0) {
            // The test reads a whole word: one within the range if there is one.
            let from = first.max(page);
            let word = from.next_multiple_of(4);
            if !reads(if word + 3 <= last { word } else { from & !3 }) {
                return false;
            }
            cache_entry(page).store(page, Ordering::Relaxed);
        }
        page += PAGE;
    }
    true
}

/// Whether `len` bytes can be written. `fill` has the kernel write there, and tells whether it could.
pub fn is_writable(at: *const u8, len: usize, fill: impl FnOnce() -> bool) -> bool {
    let first = at.addr();
    let last = first.saturating_add(len.max(1) - 1);
    let pages = [first & !(PAGE - 1), last & !(PAGE - 1)];
    if is_on_stack(first, last) || pages.iter().all(|page| is_known(*page, WRITABLE)) {
        return true;
    }
    let done = fill();
    if done && len > 0 {
        pages.iter().for_each(|page| cache_entry(*page).store(page | WRITABLE, Ordering::Relaxed));
    }
    done
}

/// A C string, if all of it can be read.
pub fn text<'a>(at: *const c_char) -> Option<&'a CStr> {
    let mut from = at.cast::<u8>();
    let mut len = 0;
    while is_readable(from, 1) {
        let rest = PAGE - from.addr() % PAGE;
        // SAFETY: the rest of a page that can be read.
        let rest = unsafe { std::slice::from_raw_parts(from, rest) };
        if let Some(zero) = rest.iter().position(|b| *b == 0) {
            // SAFETY: so far all pages can be read.
            let all = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len + zero + 1) };
            return CStr::from_bytes_with_nul(all).ok();
        }
        len += rest.len();
        from = from.wrapping_add(rest.len());
    }
    None
}

/// As [`address::read`], for an address that a program passes; `None` also if it cannot be read.
pub fn address(at: *const sockaddr, len: socklen_t) -> Option<(Endpoint, i32)> {
    // SAFETY: all of it can be read.
    if is_address(at, len) { unsafe { address::read(at, len) } } else { None }
}

/// As [`address`], the family alone.
pub fn family(at: *const sockaddr, len: socklen_t) -> Option<i32> {
    // SAFETY: as above.
    if is_address(at, len) { unsafe { address::family(at, len) } } else { None }
}

/// The kernel accepts no longer address, and none without a family.
fn is_address(at: *const sockaddr, len: socklen_t) -> bool {
    let len = len as usize;
    (size_of::<libc::sa_family_t>()..=size_of::<libc::sockaddr_storage>()).contains(&len)
        && is_readable(at.cast(), len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonet_core::sys;

    /// Two pages, the second of which cannot be read.
    fn pages() -> *mut u8 {
        let (both, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, and a part of it.
        unsafe {
            let at = sys::mmap(std::ptr::null_mut(), 2 * PAGE, both, kind, -1).expect("two pages");
            let second = at.byte_add(PAGE);
            sys::mmap(second, PAGE, libc::PROT_NONE, kind | libc::MAP_FIXED, -1).expect("the second");
            // An ended thread may have had its stack there.
            [at, second].iter().for_each(|page| cache_entry(page.addr()).store(0, Ordering::Relaxed));
            at.cast()
        }
    }

    #[test]
    fn range_into_unmapped_memory_is_not_readable() {
        let at = pages();
        for _ in 0..2 {
            assert!(is_readable(at, 16) && is_readable(at.wrapping_add(PAGE - 16), 16));
            assert!(is_readable(at.wrapping_add(PAGE - 1), 1) && is_readable(at.wrapping_add(1), 2));
            assert!(!is_readable(at.wrapping_add(PAGE - 15), 16) && !is_readable(at.wrapping_add(PAGE), 1));
        }
        for nowhere in [std::ptr::null(), std::ptr::without_provenance(usize::MAX)] {
            assert!(!is_readable(nowhere, 1) && !is_readable(nowhere, 2));
        }
        let local = [0u8; 16];
        assert!(is_readable(local.as_ptr(), 16));
    }

    #[test]
    fn text_is_read_only_up_to_its_zero() {
        let at = pages();
        // SAFETY: the last bytes of the first page.
        unsafe { at.add(PAGE - 3).copy_from(c"ab".as_ptr().cast(), 3) };
        assert_eq!(text(at.wrapping_add(PAGE - 3).cast()), Some(c"ab"));
        // SAFETY: as above.
        unsafe { at.add(PAGE - 1).write(b'c') };
        assert_eq!(text(at.wrapping_add(PAGE - 3).cast()), None);
        assert_eq!(text(std::ptr::null()), None);
    }

    #[test]
    fn written_page_is_cached_as_writable() {
        let at = pages();
        assert!(is_readable(at, 1));
        assert!(!is_writable(at, 16, || false));
        assert!(is_writable(at, 16, || true) && is_writable(at, 16, || false));
        assert!(is_readable(at, 16));
    }
}
