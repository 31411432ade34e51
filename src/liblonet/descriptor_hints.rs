//! Descriptor hints: a bitmap of the descriptors that may be lonet's.
//!
//! They are a filter, so that close of any other descriptor costs no system call. A set bit means "ask the
//! kernel"; a missing one only delays lonetd's knowledge of a close. A child of vfork shares this memory, and
//! what it closes stays open in its parent: only the process that set the first bit clears bits.

use lonet_core::sys::getpid;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

const WORDS: usize = 1024;

static HINTS: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// Not 0 once a hint has been set for a descriptor beyond the bitmap.
static BEYOND: AtomicU64 = AtomicU64::new(0);

/// The process that set the first hint; 0: none yet.
static OWNER: AtomicI32 = AtomicI32::new(0);

fn word(fd: i32) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((HINTS.get(fd / 64).unwrap_or(&BEYOND), 1 << (fd % 64)))
}

pub fn set(fd: i32) {
    if let Some((word, bit)) = word(fd) {
        word.fetch_or(bit, Ordering::Relaxed);
        if OWNER.load(Ordering::Relaxed) == 0 {
            OWNER.store(getpid(), Ordering::Relaxed);
        }
    }
}

pub fn is_set(fd: i32) -> bool {
    word(fd).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

pub fn clear(fd: i32) {
    if let Some((word, bit)) = word(fd)
        && fd < (WORDS * 64) as i32
        && OWNER.load(Ordering::Relaxed) == getpid()
    {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Whether any descriptor from `first` to `last` has a hint.
pub fn any(first: u32, last: u32) -> bool {
    let words = (first as usize / 64).min(WORDS)..=(last as usize / 64).min(WORDS - 1);
    let set = |i: usize| HINTS.get(i).is_some_and(|w| w.load(Ordering::Relaxed) != 0);
    words.into_iter().any(set) || BEYOND.load(Ordering::Relaxed) != 0
}

/// Calls `each` for every descriptor with a hint from `first` to `last`. Those beyond the bitmap are skipped: the
/// kernel announces their end to lonetd.
pub fn each(first: u32, last: u32, mut each: impl FnMut(i32)) {
    let words = (first as usize / 64).min(WORDS)..=(last as usize / 64).min(WORDS - 1);
    for (i, word) in words.filter_map(|i| Some((i, HINTS.get(i)?))) {
        let mut bits = word.load(Ordering::Relaxed);
        while bits != 0 {
            let fd = (i * 64) as u32 + bits.trailing_zeros();
            bits &= bits - 1;
            if (first..=last).contains(&fd) {
                each(fd as i32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn hint_is_set_until_it_is_cleared() {
        super::set(70);
        assert!(super::is_set(70) && super::any(64, 100) && !super::any(128, 200));
        super::clear(70);
        assert!(!super::is_set(70));
    }
}
