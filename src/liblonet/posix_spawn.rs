//! posix_spawn(3) and posix_spawnp: as exec, in a child that libc makes.

use crate::environment::{self, Environment};
use crate::fence::guard;
use crate::process;
use crate::unhooked::{self, Program};
use libc::{c_char, c_int, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};
use nix::errno::Errno;

type Arguments = *const *mut c_char;

redhook::hook! {
    unsafe fn posix_spawn(
        pid: *mut pid_t, path: *const c_char,
        actions: *const posix_spawn_file_actions_t, attributes: *const posix_spawnattr_t,
        argv: Arguments, envp: Environment
    ) -> c_int => lonet_posix_spawn {
        let real = redhook::real!(posix_spawn);
        // SAFETY: the program's arguments.
        unsafe { run(Program::Path(path), envp, &|all| real(pid, path, actions, attributes, argv, all)) }
    }
}

redhook::hook! {
    unsafe fn posix_spawnp(
        pid: *mut pid_t, name: *const c_char,
        actions: *const posix_spawn_file_actions_t, attributes: *const posix_spawnattr_t,
        argv: Arguments, envp: Environment
    ) -> c_int => lonet_posix_spawnp {
        let real = redhook::real!(posix_spawnp);
        // SAFETY: the program's arguments.
        unsafe { run(Program::Name(name), envp, &|all| real(pid, name, actions, attributes, argv, all)) }
    }
}

pub fn resolve_real() {
    posix_spawn.get();
    posix_spawnp.get();
}

/// The answer is an error number and not -1.
///
/// # Safety
/// The pointers are the program's, as the call takes them.
unsafe fn run(program: Program, envp: Environment, real: &dyn Fn(Environment) -> c_int) -> c_int {
    if !process::is_active() {
        return real(envp);
    }
    let errno = Errno::last_raw();
    let mut answer = Err(Errno::EIO);
    guard(|| {
        // SAFETY: as the caller promises.
        if !unsafe { environment::leaves(envp) } {
            unhooked::say_if(program);
        }
        // SAFETY: as the caller promises.
        answer = unsafe { environment::with_kept(envp, real) };
    });
    Errno::set_raw(errno);
    answer.unwrap_or_else(|e| e as c_int)
}
