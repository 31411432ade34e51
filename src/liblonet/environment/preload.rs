//! LD_PRELOAD: parsing it, and adding this library to it.

use lonet_core::sys;
use std::ffi::CString;

pub const LD_PRELOAD: &[u8] = b"LD_PRELOAD=";
const LIBRARY: &[u8] = b"liblonet.so";

pub struct Preload {
    /// `LD_PRELOAD=` and `entries`.
    pub alone: CString,
    /// This library, after the sanitizer's runtime if that must come first, as they stood in LD_PRELOAD.
    pub entries: Vec<u8>,
}

/// The entries of LD_PRELOAD.
pub fn libraries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| matches!(b, b':' | b' ')).filter(|l| !l.is_empty())
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

pub fn is_library(entry: &[u8]) -> bool {
    file_name(entry).starts_with(LIBRARY)
}

fn is_sanitizer(entry: &[u8]) -> bool {
    [&b"libasan.so"[..], b"libclang_rt.asan"].iter().any(|name| file_name(entry).starts_with(name))
}

impl Preload {
    /// From LD_PRELOAD's value, if this library is in it.
    pub fn of(value: &[u8]) -> Option<Preload> {
        let ours = libraries(value).find(|l| is_library(l))?;
        // A relative path is another file after the next chdir.
        let mut buffer = [0; libc::PATH_MAX as usize];
        let absolute = match ours.contains(&b'/') && !ours.starts_with(b"/") {
            true => sys::real_path(&CString::new(ours).ok()?, &mut buffer).ok(),
            false => None,
        };
        let ours = absolute.unwrap_or(ours);
        let mut entries = Vec::new();
        for first in libraries(value).take_while(|l| !is_library(l)).filter(|l| is_sanitizer(l)) {
            entries.extend_from_slice(first);
            entries.push(b':');
        }
        entries.extend_from_slice(ours);
        let alone = CString::new([LD_PRELOAD, &entries].concat()).ok()?;
        Some(Preload { alone, entries })
    }
}

/// Writes LD_PRELOAD with this library in front of the others, or behind them if a sanitizer is among them.
///
/// # Safety
/// `to` has room for both, a colon and a zero.
pub unsafe fn merge(theirs: &[u8], ours: &[u8], to: *mut u8) {
    let value = theirs.strip_prefix(LD_PRELOAD).unwrap_or_default();
    let mut at = to;
    let mut push = |bytes: &[u8]| {
        // SAFETY: as the caller promises.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
            at = at.add(bytes.len());
        }
    };
    push(LD_PRELOAD);
    match (value.is_empty(), libraries(value).any(is_sanitizer)) {
        (true, _) => push(ours),
        (false, true) => [value, b":", ours].into_iter().for_each(push),
        (false, false) => {
            push(ours);
            push(b":");
            push(value);
        }
    }
    // SAFETY: the room for the zero.
    unsafe { at.write(0) };
}
