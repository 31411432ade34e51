//! system(3) and popen(3): libc starts the shell itself, with the process' own environment. Where that has been
//! cleaned the shell gets a full one: the process has it for as long as libc takes.
//!
//! system waits, and a thread may be cancelled there: nothing is held meanwhile but the environment, which then
//! stays.

use crate::environment;
use crate::fence::silently;
use crate::process;
use libc::{FILE, c_char, c_int};

redhook::hook! {
    unsafe fn system(command: *const c_char) -> c_int => lonet_system {
        let lent = lend();
        // SAFETY: the program's argument.
        let status = unsafe { redhook::real!(system)(command) };
        take_back(lent);
        status
    }
}

redhook::hook! {
    unsafe fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE => lonet_popen {
        let lent = lend();
        // SAFETY: the program's arguments.
        let file = unsafe { redhook::real!(popen)(command, mode) };
        take_back(lent);
        file
    }
}

pub fn resolve_real() {
    system.get();
    popen.get();
}

type Lent = Option<(environment::Environment, environment::Environment)>;

fn lend() -> Lent {
    let mut lent = None;
    if process::is_active() {
        silently(|| lent = environment::lend());
    }
    lent
}

fn take_back(lent: Lent) {
    if let Some(lent) = lent {
        environment::take_back(lent);
    }
}
