//! Hooks of posix_spawn(3), posix_spawnp, pidfd_spawn and pidfd_spawnp: as exec, in a child that libc makes.

use crate::environment::{self, Environment};
use crate::panic_barrier::catch_panic;
use crate::process;
use crate::unhooked::{self, Program};
use libc::{c_char, c_int, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t};
use nix::errno::Errno;

type Arguments = *const *mut c_char;

hook! {
    unsafe fn posix_spawn(
        pid: *mut pid_t, path: *const c_char,
        actions: *const posix_spawn_file_actions_t, attributes: *const posix_spawnattr_t,
        argv: Arguments, envp: Environment
    ) -> c_int => lonet_posix_spawn {
        let real = redhook::real!(posix_spawn);
        // SAFETY: the program's arguments.
        unsafe { run(Program::Path(path), argv, envp, &|path, argv, all| real(pid, path, actions, attributes, argv, all)) }
    }
}

hook! {
    unsafe fn posix_spawnp(
        pid: *mut pid_t, name: *const c_char,
        actions: *const posix_spawn_file_actions_t, attributes: *const posix_spawnattr_t,
        argv: Arguments, envp: Environment
    ) -> c_int => lonet_posix_spawnp {
        let real = redhook::real!(posix_spawnp);
        // SAFETY: the program's arguments.
        unsafe { run(Program::Name(name), argv, envp, &|name, argv, all| real(pid, name, actions, attributes, argv, all)) }
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

next! {
    // As spawn.h declares it, since glibc 2.39.
    static PIDFD_SPAWN: PidfdSpawn = c"pidfd_spawn";
    static PIDFD_SPAWNP: PidfdSpawn = c"pidfd_spawnp";
}

/// ENOSYS if libc has no such function, as if the kernel lacks what it needs.
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
    unsafe {
        run(Program::Path(path), argv, envp, &|path, argv, all| {
            real(pidfd, path, actions, attributes, argv, all)
        })
    }
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
    unsafe {
        run(Program::Name(name), argv, envp, &|name, argv, all| {
            real(pidfd, name, actions, attributes, argv, all)
        })
    }
}

/// Returns an error number rather than -1. `real` spawns a file or name with these arguments and this
/// environment.
///
/// # Safety
/// The pointers are the program's, as the call takes them.
unsafe fn run(
    program: Program,
    argv: Arguments,
    envp: Environment,
    real: &dyn Fn(*const c_char, Arguments, Environment) -> c_int,
) -> c_int {
    let (Program::Path(given) | Program::Name(given)) = program else { return libc::EINVAL };
    if !process::is_active() {
        return real(given, argv, envp);
    }
    let errno = Errno::last_raw();
    let mut answer = Err(Errno::EIO);
    catch_panic(|| {
        // SAFETY: as the caller promises.
        let leaves = unsafe { environment::leaves_host(envp) };
        // SAFETY: as the caller promises.
        let spawned = (!leaves).then(|| unhooked::supervised(program)).flatten().and_then(|file| unsafe {
            // A path, which posix_spawnp does not look up.
            unhooked::with_supervisor(&file, argv.cast(), &|command, argv| {
                environment::with_saved(envp, &|all| real(command, argv.cast(), all))
            })
        });
        answer = match spawned {
            Some(spawned) => spawned.flatten(),
            // SAFETY: as the caller promises.
            None => unsafe { environment::with_saved(envp, &|all| real(given, argv, all)) },
        };
    });
    Errno::set_raw(errno);
    answer.unwrap_or_else(|e| e as c_int)
}
