//! The one way to write a hook.
//!
//! `hook!` defines the function that the library exports under libc's name, and has libc's own found before main, so that no
//! hook looks for it for the first time in a signal handler or after fork. redhook exports it and finds libc's. There are two
//! kinds:
//!
//! - `… => lonet_bind decides(ABOUT) |real| { … }`: the block is a [`crate::fence::HookResult`]. What is not lonet's is then done by
//!   libc, a panic becomes an error, errno is as it is to be, and LONET_LOG has a line with the reason. `ABOUT` is the
//!   [`crate::log::About`] of it, `real` the call that libc would make.
//! - `… => lonet_accept { … }`: the block does the call itself, as one that may block and be left has to. It answers for panics.
//!
//! A function that some libcs do not have is written out, and finds libc's by `next!`.

/// Exports a hook; its own name is there for who calls it within the library.
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
                $crate::fence::run_hook(call, || $decided, $real)
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

/// Functions of libc's that not every libc has, or that redhook's macro cannot say: see [`crate::next::Next`]. Each has the type
/// that is named, says who uses this.
macro_rules! next {
    ($(static $name:ident: $type:ty = $symbol:literal;)+) => {
        $(
            // SAFETY: the type of the function, as whoever names it says.
            static $name: $crate::next::Next<$type> = unsafe { $crate::next::Next::new($symbol) };
            before_main! { $name.resolve() }
        )+
    };
}

/// Run by the loader before main. What fails keeps nothing else from being done.
macro_rules! before_main {
    ($work:expr) => {
        const _: () = {
            extern "C" fn run() {
                // One type for all, so that they share the code.
                let work: fn() = || {
                    $work;
                };
                $crate::fence::silently(work);
            }

            #[used]
            #[unsafe(link_section = ".init_array")]
            static RUN: extern "C" fn() = run;
        };
    };
}
