//! posix_spawn(3), posix_spawnp, pidfd_spawn and pidfd_spawnp: as exec, in a child that libc makes.

use crate::environment::{self, Environment};
use crate::fence::guard;
use crate::next::Next;
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

type PidfdSpawn = unsafe extern "C" fn(
    *mut c_int,
    *const c_char,
    *const posix_spawn_file_actions_t,
    *const posix_spawnattr_t,
    Arguments,
    Environment,
) -> c_int;

// SAFETY: as spawn.h declares it, since glibc 2.39.
static PIDFD_SPAWN: Next<PidfdSpawn> = unsafe { Next::new(c"pidfd_spawn") };
// SAFETY: as above.
static PIDFD_SPAWNP: Next<PidfdSpawn> = unsafe { Next::new(c"pidfd_spawnp") };

/// ENOSYS where libc has none, as where the kernel lacks what it takes.
///
/// # Safety
/// As for pidfd_spawn(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pidfd_spawn(
    pidfd: *mut c_int,
    path: *const c_char,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: Arguments,
    envp: Environment,
) -> c_int {
    let Some(real) = PIDFD_SPAWN.get() else { return libc::ENOSYS };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Path(path), envp, &|all| real(pidfd, path, actions, attributes, argv, all)) }
}

/// As [`pidfd_spawn`].
///
/// # Safety
/// As for pidfd_spawnp(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pidfd_spawnp(
    pidfd: *mut c_int,
    name: *const c_char,
    actions: *const posix_spawn_file_actions_t,
    attributes: *const posix_spawnattr_t,
    argv: Arguments,
    envp: Environment,
) -> c_int {
    let Some(real) = PIDFD_SPAWNP.get() else { return libc::ENOSYS };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Name(name), envp, &|all| real(pidfd, name, actions, attributes, argv, all)) }
}

pub fn resolve_real() {
    posix_spawn.get();
    posix_spawnp.get();
    PIDFD_SPAWN.resolve();
    PIDFD_SPAWNP.resolve();
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
