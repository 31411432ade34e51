//! execve(2), exec(3), execveat(2), fexecve(3): what a host's program executes is the same host (`environment`),
//! or the user hears that it is not (`unhooked`).
//!
//! execl, execlp and execle take any number of arguments, which stable Rust cannot say: their entries are a few
//! instructions that lay the arguments that came in registers in front of those on the stack, where they are the
//! array that the other calls take. They exist for x86-64; elsewhere these three are libc's.

use crate::environment::{self, Environment};
use crate::fence::{Decision, decide};
use crate::next::Next;
use crate::process;
use crate::unhooked::{self, Program};
use libc::{c_char, c_int};
use nix::errno::Errno;

type Arguments = *const *const c_char;

redhook::hook! {
    unsafe fn execve(path: *const c_char, argv: Arguments, envp: Environment) -> c_int => lonet_execve {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Path(path), envp, &|all| redhook::real!(execve)(path, argv, all)) }
    }
}

redhook::hook! {
    unsafe fn execv(path: *const c_char, argv: Arguments) -> c_int => lonet_execv {
        // SAFETY: the program's arguments.
        unsafe { with_own(path, argv) }
    }
}

redhook::hook! {
    unsafe fn execvp(name: *const c_char, argv: Arguments) -> c_int => lonet_execvp {
        // SAFETY: the program's arguments.
        unsafe { searched_with_own(name, argv) }
    }
}

redhook::hook! {
    unsafe fn execvpe(name: *const c_char, argv: Arguments, envp: Environment) -> c_int => lonet_execvpe {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Name(name), envp, &|all| redhook::real!(execvpe)(name, argv, all)) }
    }
}

redhook::hook! {
    unsafe fn fexecve(fd: c_int, argv: Arguments, envp: Environment) -> c_int => lonet_fexecve {
        // SAFETY: the program's arguments.
        unsafe { run(Program::Open(fd), envp, &|all| redhook::real!(fexecve)(fd, argv, all)) }
    }
}

type ExecveAt = unsafe extern "C" fn(c_int, *const c_char, Arguments, Environment, c_int) -> c_int;

// SAFETY: as unistd.h declares it, since glibc 2.34.
static EXECVEAT: Next<ExecveAt> = unsafe { Next::new(c"execveat") };

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
    unsafe { run(Program::At { dir, path, flags }, envp, &real) }
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
                    // Where the return address was, the last of the registers goes.
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

pub fn resolve_real() {
    execve.get();
    execv.get();
    execvp.get();
    execvpe.get();
    fexecve.get();
    EXECVEAT.resolve();
}

unsafe fn with_own(path: *const c_char, argv: Arguments) -> c_int {
    let own = environment::own();
    // SAFETY: the program's arguments.
    let real = |all| unsafe {
        if all == own { redhook::real!(execv)(path, argv) } else { redhook::real!(execve)(path, argv, all) }
    };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Path(path), own, &real) }
}

unsafe fn searched_with_own(name: *const c_char, argv: Arguments) -> c_int {
    let own = environment::own();
    // SAFETY: the program's arguments.
    let real = |all| unsafe {
        if all == own { redhook::real!(execvp)(name, argv) } else { redhook::real!(execvpe)(name, argv, all) }
    };
    // SAFETY: the program's arguments.
    unsafe { run(Program::Name(name), own, &real) }
}

/// # Safety
/// The pointers are the program's, as the call takes them.
unsafe fn run(program: Program, envp: Environment, real: &dyn Fn(Environment) -> c_int) -> c_int {
    decide(
        || {
            if !process::is_active() {
                return Ok(Decision::Libc);
            }
            // SAFETY: as the caller promises.
            if !unsafe { environment::leaves(envp) } {
                unhooked::say_if(program);
            }
            // SAFETY: as the caller promises.
            match unsafe { environment::with_kept(envp, real) }? {
                // exec comes back to say why it failed.
                -1 => Ok(Decision::Fail(Errno::last())),
                other => Ok(Decision::Done(other)),
            }
        },
        || real(envp),
    )
}
