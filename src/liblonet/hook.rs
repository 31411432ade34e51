//! Hooks: exported functions that take the place of libc's, and the macros that define them.
//!
//! `hook!` exports a function under libc's name and resolves libc's own before main, so that no hook looks it
//! up in a signal handler or after fork. redhook does both. There are two kinds:
//!
//! - `… => lonet_bind decides(ABOUT) |real| { … }`: the block returns a [`HookResult`]. [`run_hook`] then
//!   calls libc for what is not lonet's, turns a panic into an error, sets or restores errno, and writes a
//!   line with the reason to LONET_LOG. `ABOUT` is the [`crate::log::About`] of that line, `real` calls libc.
//! - `… => lonet_accept { … }`: the block makes the call itself, as it must where a thread can be cancelled
//!   or jump out of a blocking call. It contains its panics itself.
//!
//! A function that some versions of libc lack is written by hand and finds libc's by `next!`.

use crate::bypass::Bypass;
use crate::failure::Failure;
use crate::log::{self, Call};
use crate::panic_barrier::catch_panic;
use nix::errno::Errno;

/// What a hook does about a call.
pub enum Decision {
    /// Not lonet's: call libc, with the arguments as given.
    Libc(Bypass),
    /// Return this value; errno stays as the program had it.
    Done(libc::c_int),
    /// Return 0; the program has asked for the error of its dial, and got this one.
    Told(Errno),
    Fail(Errno),
}

pub type HookResult = Result<Decision, Failure>;

/// Runs a hook: `decide` behind the panic barrier, then `libc` if that is its decision.
pub fn run_hook(
    call: Call,
    decide: impl FnOnce() -> HookResult,
    libc: impl FnOnce() -> libc::c_int,
) -> libc::c_int {
    let errno = Errno::last_raw();
    let decided = catch_panic(decide).unwrap_or_else(|| Err(Failure::panicked()));
    if log::is_wanted() {
        report(call, &decided);
    }
    match decided {
        Ok(Decision::Libc(_)) => {
            Errno::set_raw(errno);
            libc()
        }
        Ok(Decision::Done(value)) => {
            Errno::set_raw(errno);
            value
        }
        Ok(Decision::Told(_)) => {
            Errno::set_raw(errno);
            0
        }
        Ok(Decision::Fail(e)) | Err(Failure { errno: e, .. }) => {
            e.set();
            -1
        }
    }
}

#[cold]
#[inline(never)]
fn report(call: Call, decided: &HookResult) {
    let _ = catch_panic(|| match decided {
        Ok(Decision::Libc(why)) => log::bypassed(call, *why),
        Ok(Decision::Done(_)) => log::ended(call, Ok(()), format_args!("")),
        Ok(Decision::Fail(errno)) => log::ended(call, Err(*errno), format_args!("")),
        Ok(Decision::Told(errno)) => log::ended(call, Err(*errno), format_args!("the outcome of the dial")),
        Err(failure) => log::ended(call, Err(failure.errno), format_args!("{}", failure.why())),
    });
}

/// Exports a hook under libc's name, and for callers within the library under a name of its own.
macro_rules! hook {
    (
        unsafe fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> c_int => $own:ident
        decides($about:expr) |$real:ident| $decided:block
    ) => {
        hook! {
            unsafe fn $name($($argument: $type),*) -> c_int => $own {
                // SAFETY: libc's function with the program's arguments.
                let $real = || unsafe { redhook::real!($name)($($argument),*) };
                let call = $crate::log::Call { name: stringify!($name), about: $about };
                $crate::hook::run_hook(call, || $decided, $real)
            }
        }
    };
    (
        unsafe fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty => $own:ident $body:block
    ) => {
        redhook::hook! {
            unsafe fn $name($($argument: $type),*) -> $result => $own $body
        }
        before_main! { $name.get() }
    };
}

/// Functions that some versions of libc lack, or whose type redhook's macro cannot express: see
/// [`crate::next::Next`]. Whoever uses this macro asserts that each has the given type.
macro_rules! next {
    ($(static $name:ident: $type:ty = $symbol:literal;)+) => {
        $(
            // SAFETY: the function has this type, as the user of the macro asserts.
            static $name: $crate::next::Next<$type> = unsafe { $crate::next::Next::new($symbol) };
            before_main! { $name.resolve() }
        )+
    };
}

/// Has the loader run `work` before main. A panic in one does not prevent the others from running.
macro_rules! before_main {
    ($work:expr) => {
        const _: () = {
            extern "C" fn run() {
                // One function type for all of them, so that they share the code of `run_isolated`.
                let work: fn() = || {
                    $work;
                };
                $crate::panic_barrier::run_isolated(work);
            }

            #[used]
            #[unsafe(link_section = ".init_array")]
            static RUN: extern "C" fn() = run;
        };
    };
}
