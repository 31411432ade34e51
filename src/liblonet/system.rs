//! Hooks of system(3), popen(3) and wordexp(3). libc starts the shell itself, with the process's own
//! environment. Where that lacks lonet's variables, the process gets a complete one for the duration of the
//! call.
//!
//! system and wordexp block, and a thread may be cancelled there: nothing is held meanwhile but the
//! environment, which then stays.

use crate::address::is_plausible;
use crate::environment;
use crate::panic_barrier::run_isolated;
use crate::process;
use libc::{FILE, c_char, c_int, c_void};
use std::ffi::CStr;

hook! {
    unsafe fn system(command: *const c_char) -> c_int => lonet_system {
        let lent = lend();
        // SAFETY: the program's argument.
        let status = unsafe { redhook::real!(system)(command) };
        take_back(lent);
        status
    }
}

hook! {
    unsafe fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE => lonet_popen {
        let lent = lend();
        // SAFETY: the program's arguments.
        let file = unsafe { redhook::real!(popen)(command, mode) };
        take_back(lent);
        file
    }
}

/// popen's other name, from the time when libstdc++ was built on libc's streams.
///
/// # Safety
/// As for popen(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _IO_popen(command: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the program's arguments.
    unsafe { lonet_popen(command, mode) }
}

hook! {
    unsafe fn wordexp(words: *const c_char, result: *mut c_void, flags: c_int) -> c_int => lonet_wordexp {
        // SAFETY: the program's arguments.
        let lent = if unsafe { has_command(words, flags) } { lend() } else { None };
        // SAFETY: the program's arguments.
        let code = unsafe { redhook::real!(wordexp)(words, result, flags) };
        take_back(lent);
        code
    }
}

/// Whether there is a command among the words. They may also contain variables, which must be the program's
/// own: without a command the environment is not replaced.
///
/// # Safety
/// The arguments are as wordexp(3) takes them.
unsafe fn has_command(words: *const c_char, flags: c_int) -> bool {
    const WRDE_NOCMD: c_int = 1 << 2;
    if flags & WRDE_NOCMD != 0 || !is_plausible(words) {
        return false;
    }
    // SAFETY: a C string, as the caller promises.
    let words = unsafe { CStr::from_ptr(words) }.to_bytes();
    words.contains(&b'`') || words.windows(2).any(|pair| pair == b"$(")
}

type Lent = Option<(environment::Environment, environment::Environment)>;

fn lend() -> Lent {
    let mut lent = None;
    if process::is_active() {
        run_isolated(|| lent = environment::lend());
    }
    lent
}

fn take_back(lent: Lent) {
    if let Some(lent) = lent {
        environment::take_back(lent);
    }
}
