//! The environment that executed programs get: what makes them the same host is put back where it is missing.
//!
//! A host's programs may start others with `env -i`, clean their environment, or build a new one; what they
//! start must still be the host. So the LONET_* variables that the process started with, and liblonet.so in
//! LD_PRELOAD, are appended to the environment that the program passes, if they are missing. Everything else
//! keeps its value and place, the program's environment is never written to, and one that has everything is
//! passed on as it is.
//!
//! A variable that is set is kept, whatever its value: `LONET_HOST=β program` is β. An empty LONET_HOST
//! leaves the host: `LONET_HOST= program` is no host, and nothing is put back; without LD_PRELOAD it uses the
//! machine's network.
//!
//! All this runs in children of vfork, which share their parent's memory, and after fork in programs with
//! threads: the copy is made on the stack, or in mapped memory where it is large. The mapping stays in the
//! parent of a vfork child that executes.

mod copy;
mod preload;

use crate::memory;
pub use copy::{lend, take_back, with_room, with_saved};
use libc::c_char;
use once_cell::race::OnceRef;
use preload::{LD_PRELOAD, Preload, is_library, libraries, merge};
use std::ffi::{CStr, CString};

/// A null-terminated array of C strings, or null for none.
pub type Environment = *const *const c_char;

unsafe extern "C" {
    static mut environ: Environment;
}

/// The process's own environment.
pub fn own() -> Environment {
    // SAFETY: a pointer of libc's; a program must not change it in one thread while another one reads it.
    unsafe { (&raw const environ).read() }
}

/// The value of a variable.
pub fn variable(name: &str) -> Option<&'static [u8]> {
    // SAFETY: the process's own environment; a program must not change it in one thread while another one
    // reads it, as for getenv(3).
    unsafe { strings(own()) }.find_map(|entry| entry?.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The variables to put back.
struct Saved {
    /// LONET_* entries, each name once.
    variables: Vec<CString>,
    preload: Option<Preload>,
}

static SAVED: OnceRef<'static, Saved> = OnceRef::new();

/// The most variables that are saved; there are about ten.
const MAX_SAVED: usize = 32;

/// Saves the variables that the process started with. Copies them, as programs write their titles over the
/// original's memory.
pub fn save(environment: &[&'static [u8]]) {
    let mut saved = Saved { variables: Vec::new(), preload: None };
    for entry in environment {
        let Some(name) = variable_name(entry) else { continue };
        let known = saved.variables.iter().any(|v| variable_name(v.as_bytes()) == Some(name));
        if !known && saved.variables.len() < MAX_SAVED {
            saved.variables.extend(CString::new(*entry));
        }
    }
    saved.preload = environment.iter().find_map(|e| Preload::of(e.strip_prefix(LD_PRELOAD)?));
    let _ = SAVED.set(Box::leak(Box::new(saved)));
}

/// Whether the programs that this process starts must load the library.
pub fn is_preloaded() -> bool {
    SAVED.get().is_some_and(|k| k.preload.is_some())
}

/// The name of a LONET_* entry: `LONET_X` of `LONET_X=value`.
fn variable_name(entry: &[u8]) -> Option<&[u8]> {
    let equals = entry.iter().position(|b| *b == b'=')?;
    entry.starts_with(b"LONET_").then(|| &entry[..equals])
}

/// The variables that an environment lacks.
struct Missing {
    saved: &'static Saved,
    /// Bit `i`: `saved.variables[i]` is missing.
    variables: u32,
    preload: MissingPreload,
    /// The number of its strings.
    count: usize,
}

enum MissingPreload {
    Nothing,
    All,
    /// The LD_PRELOAD at this index names only other libraries.
    Library {
        at: usize,
    },
}

const NO_HOST: &[u8] = b"LONET_HOST=";

/// Whether a program with this environment leaves the host, or cannot be executed as the environment is
/// unreadable.
///
/// # Safety
/// `all` is an environment if it can be valid at all.
pub unsafe fn leaves_host(all: Environment) -> bool {
    // SAFETY: as the caller promises.
    unsafe { strings(all) }.any(|entry| entry.is_none_or(|entry| entry == NO_HOST))
}

/// The variables to put back. `None`: none, or the environment is unreadable and the kernel will refuse it.
///
/// # Safety
/// `all` is an environment if it can be valid at all.
unsafe fn missing(all: Environment) -> Option<Missing> {
    let saved = SAVED.get()?;
    let every = 1u32.checked_shl(saved.variables.len() as u32).map_or(u32::MAX, |bit| bit - 1);
    let preload = if saved.preload.is_some() { MissingPreload::All } else { MissingPreload::Nothing };
    let mut missing = Missing { saved, variables: every, preload, count: 0 };
    // SAFETY: as the caller promises.
    for entry in unsafe { strings(all) } {
        let entry = entry?;
        if entry == NO_HOST {
            return None;
        } else if let Some(name) = variable_name(entry) {
            let found = saved.variables.iter().position(|v| variable_name(v.as_bytes()) == Some(name));
            missing.variables &= !found.map_or(0, |i| 1 << i);
        } else if let Some(value) = entry.strip_prefix(LD_PRELOAD)
            && saved.preload.is_some()
        {
            // Of several, ld.so takes the last.
            let there = libraries(value).any(is_library);
            missing.preload =
                if there { MissingPreload::Nothing } else { MissingPreload::Library { at: missing.count } };
        }
        missing.count += 1;
    }
    let nothing = missing.variables == 0 && matches!(missing.preload, MissingPreload::Nothing);
    (!nothing).then_some(missing)
}

/// The entries; `None` for one that cannot be read, at which the kernel stops.
///
/// # Safety
/// `all` is an environment, as far as it can be read.
pub unsafe fn strings<'a>(all: Environment) -> impl Iterator<Item = Option<&'a [u8]>> {
    let mut at = all;
    std::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        if !memory::is_readable(at.cast(), size_of::<Environment>()) {
            at = std::ptr::null();
            return Some(None);
        }
        // SAFETY: within the array up to its null, and it can be read.
        let entry = unsafe { *at };
        at = at.wrapping_add(1);
        (!entry.is_null()).then(|| memory::text(entry).map(CStr::to_bytes))
    })
}

/// The value of the entry that starts with `name`, which includes the equals sign.
///
/// # Safety
/// `all` is an environment.
pub unsafe fn find<'a>(all: Environment, name: &[u8]) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    unsafe { strings(all) }.find_map(|entry| entry?.strip_prefix(name))
}

impl Missing {
    /// The number of pointers of the copy, with its null.
    fn pointers(&self) -> usize {
        self.count + self.variables.count_ones() as usize + 2
    }

    /// The size of a new LD_PRELOAD, in bytes.
    ///
    /// # Safety
    /// `all` is the environment that this is of.
    unsafe fn text(&self, all: Environment) -> usize {
        match (&self.preload, &self.saved.preload) {
            // SAFETY: the entry is there.
            (MissingPreload::Library { at }, Some(ours)) => unsafe {
                CStr::from_ptr(*all.add(*at)).count_bytes() + ours.entries.len() + 2
            },
            _ => 0,
        }
    }

    /// Writes the completed copy.
    ///
    /// # Safety
    /// `all` is the environment that this is of; there is room for [`Missing::pointers`] and [`Missing::text`].
    unsafe fn put_back(&self, all: Environment, pointers: *mut *const c_char, text: *mut u8) {
        let mut to = pointers;
        let mut push = |entry: *const c_char| {
            // SAFETY: as the caller promises.
            unsafe {
                to.write(entry);
                to = to.add(1);
            }
        };
        for i in 0..self.count {
            // SAFETY: there are that many, and one with this index is not a null.
            let entry = unsafe { *all.add(i) };
            match (&self.preload, &self.saved.preload) {
                (MissingPreload::Library { at }, Some(ours)) if *at == i => {
                    // SAFETY: as the caller promises.
                    unsafe { merge(CStr::from_ptr(entry).to_bytes(), &ours.entries, text) };
                    push(text.cast());
                }
                _ => push(entry),
            }
        }
        if let (MissingPreload::All, Some(ours)) = (&self.preload, &self.saved.preload) {
            push(ours.alone.as_ptr());
        }
        for (i, variable) in self.saved.variables.iter().enumerate() {
            if self.variables & 1 << i != 0 {
                push(variable.as_ptr());
            }
        }
        push(std::ptr::null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `given` in a process that started with `began`.
    fn put_back(began: &[&str], given: &[&str]) -> Vec<String> {
        let mut saved = Saved { variables: Vec::new(), preload: None };
        for entry in began {
            match entry.strip_prefix("LD_PRELOAD=") {
                Some(value) => saved.preload = Preload::of(value.as_bytes()),
                None => saved.variables.extend(CString::new(*entry)),
            }
        }
        // The only test that sets it.
        SAVED.set(Box::leak(Box::new(saved))).ok();
        let strings: Vec<CString> = given.iter().flat_map(|s| CString::new(*s)).collect();
        let mut array: Vec<*const c_char> = strings.iter().map(|s| s.as_ptr()).collect();
        array.push(std::ptr::null());
        let read = |all: Environment| {
            // SAFETY: an environment.
            unsafe { super::strings(all) }
                .flatten()
                .map(|e| String::from_utf8_lossy(e).into_owned())
                .collect()
        };
        // SAFETY: an environment.
        unsafe { with_saved(array.as_ptr(), &read) }.unwrap_or_default()
    }

    #[test]
    fn only_missing_variables_are_put_back() {
        let began =
            ["LONET_HOST=a", "LONET_NETWORK=n", "LD_PRELOAD=/x/other.so:/x/libasan.so.8:/l/liblonet.so"];
        let ours = "/x/libasan.so.8:/l/liblonet.so";
        assert_eq!(
            put_back(&began, &["A=1", "B=2"]),
            ["A=1", "B=2", &format!("LD_PRELOAD={ours}"), "LONET_HOST=a", "LONET_NETWORK=n"]
        );
        assert_eq!(
            put_back(&began, &["LONET_HOST=b", "LD_PRELOAD=/y.so", "LONET_NETWORK="]),
            ["LONET_HOST=b", &format!("LD_PRELOAD={ours}:/y.so"), "LONET_NETWORK="]
        );
        assert_eq!(
            put_back(&began, &["LD_PRELOAD=", "LONET_NETWORK=n"]),
            [&format!("LD_PRELOAD={ours}"), "LONET_NETWORK=n", "LONET_HOST=a"]
        );
        assert_eq!(
            put_back(&began, &["LD_PRELOAD=/z/libasan.so.6", "LONET_HOST=a", "LONET_NETWORK=n"]),
            [&format!("LD_PRELOAD=/z/libasan.so.6:{ours}"), "LONET_HOST=a", "LONET_NETWORK=n"]
        );
        let out = ["LONET_HOST=", "X"];
        assert_eq!(put_back(&began, &out), out);
        let all = ["LONET_HOST=a", "X", "LD_PRELOAD=/q/liblonet.so /y.so", "LONET_NETWORK=n"];
        assert_eq!(put_back(&began, &all), all);
        let many: Vec<String> = (0..1000).map(|i| format!("V{i}=x")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let got = put_back(&began, &many);
        assert_eq!(
            (&got[..1000], got.len()),
            (&many.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..], 1003)
        );
    }
}
