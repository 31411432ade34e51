//! Hooks of execve(2), exec(3), execveat(2) and fexecve(3): what a host's program executes is the same host
//! (`environment`), or the user is warned that it is not (`unhooked`).
//!
//! execl, execlp and execle take any number of arguments, which stable Rust cannot express: their entry
//! points are a few instructions that push the arguments from registers in front of those on the stack, where
//! they form the array that the other calls take. They exist for x86-64; elsewhere these three are libc's.

use crate::bypass::Bypass;
use crate::environment::{self, Environment};
use crate::hook::{Decision, run_hook};
use crate::log::{About, Call};
use crate::process;
use crate::unhooked::{self, Program};
use libc::{c_char, c_int};
use nix::errno::Errno;

type Arguments = *const *const c_char;

hook! {
    unsafe fn execve(path: *const c_char, argv: Arguments, envp: Environment) -> c_int => lonet_execve {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Path(path), argv, envp, &|all| redhook::real!(execve)(path, argv, all)) }
    }
}

hook! {
    unsafe fn execv(path: *const c_char, argv: Arguments) -> c_int => lonet_execv {
        // SAFETY: the program's arguments.
        unsafe { with_own(path, argv) }
    }
}

hook! {
    unsafe fn execvp(name: *const c_char, argv: Arguments) -> c_int => lonet_execvp {
        // SAFETY: the program's arguments.
        unsafe { searched_with_own(name, argv) }
    }
}

hook! {
    unsafe fn execvpe(name: *const c_char, argv: Arguments, envp: Environment) -> c_int => lonet_execvpe {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Name(name), argv, envp, &|all| redhook::real!(execvpe)(name, argv, all)) }
    }
}

hook! {
    unsafe fn fexecve(fd: c_int, argv: Arguments, envp: Environment) -> c_int => lonet_fexecve {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Open(fd), argv, envp, &|all| redhook::real!(fexecve)(fd, argv, all)) }
    }
}

type ExecveAt = unsafe extern "C" fn(c_int, *const c_char, Arguments, Environment, c_int) -> c_int;

next! {
    // As unistd.h declares it, since glibc 2.34.
    static EXECVEAT: ExecveAt = c"execveat";
}

/// # Safety
/// As for execveat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    dir: c_int,
    path: *const c_char,
    argv: Arguments,
    envp: Environment,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's arguments.
    let real = |all| unsafe {
        match EXECVEAT.get() {
            Some(real) => real(dir, path, argv, all, flags),
            None => libc::syscall(libc::SYS_execveat, dir, path, argv, all, flags) as c_int,
        }
    };
    // SAFETY: the program's arguments.
    unsafe { run(Program::At { dir, path, flags }, argv, envp, &real) }
}

#[cfg(target_arch = "x86_64")]
mod variadic {
    use super::{Arguments, c_char, c_int};

    macro_rules! entry {
        ($name:ident => $run:path) => {
            /// # Safety
            /// As for exec(3).
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(path: *const c_char, first: *const c_char) -> c_int {
                std::arch::naked_asm!(
                    "endbr64",
                    // The last register goes where the return address was.
                    "pop rax",
                    "push r9",
                    "push r8",
                    "push rcx",
                    "push rdx",
                    "push rsi",
                    "mov rsi, rsp",
                    "push rax",
                    "call {run}",
                    "pop rcx",
                    "add rsp, 40",
                    "push rcx",
                    "ret",
                    run = sym $run,
                )
            }
        };
    }

    entry!(execl => run_execl);
    entry!(execlp => run_execlp);
    entry!(execle => run_execle);

    unsafe extern "C" fn run_execl(path: *const c_char, argv: Arguments) -> c_int {
        // SAFETY: the program's arguments.
        unsafe { super::with_own(path, argv) }
    }

    unsafe extern "C" fn run_execlp(name: *const c_char, argv: Arguments) -> c_int {
        // SAFETY: the program's arguments.
        unsafe { super::searched_with_own(name, argv) }
    }

    unsafe extern "C" fn run_execle(path: *const c_char, argv: Arguments) -> c_int {
        let mut end = argv;
        // SAFETY: the arguments end with a null, and the environment is behind it.
        unsafe {
            while !(*end).is_null() {
                end = end.add(1);
            }
            super::execve::execve(path, argv, (*end.add(1)).cast())
        }
    }
}

unsafe fn with_own(path: *const c_char, argv: Arguments) -> c_int {
    let own = environment::own();
    // SAFETY: the program's arguments.
    let real = |all| unsafe {
        if all == own { redhook::real!(execv)(path, argv) } else { redhook::real!(execve)(path, argv, all) }
    };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Path(path), argv, own, &real) }
}

unsafe fn searched_with_own(name: *const c_char, argv: Arguments) -> c_int {
    let own = environment::own();
    // SAFETY: the program's arguments.
    let real = |all| unsafe {
        if all == own { redhook::real!(execvp)(name, argv) } else { redhook::real!(execvpe)(name, argv, all) }
    };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Name(name), argv, own, &real) }
}

/// # Safety
/// The pointers are the program's, as the call takes them.
unsafe fn run(
    program: Program,
    argv: Arguments,
    envp: Environment,
    real: &dyn Fn(Environment) -> c_int,
) -> c_int {
    run_hook(
        Call { name: "exec", about: About::Nothing },
        || {
            if !process::is_active() {
                return Ok(Decision::Libc(Bypass::Inactive));
            }
            // SAFETY: as the caller promises.
            let leaves = unsafe { environment::leaves_host(envp) };
            // exec returns only if it failed.
            let decided = |result| match result {
                -1 => Ok(Decision::Fail(Errno::last())),
                other => Ok(Decision::Done(other)),
            };
            if !leaves && let Some(file) = unhooked::supervised(program) {
                // SAFETY: as the caller promises.
                let executed = unsafe {
                    unhooked::with_supervisor(&file, argv, &|command, argv| {
                        environment::with_saved(envp, &|all| redhook::real!(execve)(command, argv, all))
                    })
                };
                if let Some(executed) = executed {
                    return decided(executed??);
                }
            }
            // SAFETY: as the caller promises.
            decided(unsafe { environment::with_saved(envp, real) }?)
        },
        || real(envp),
    )
}
