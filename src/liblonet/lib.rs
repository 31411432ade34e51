//! liblonet.so: the hooks that make the sockets of a program those of a lonet host.
//!
//! Theory of operation. The sockets of the program stay the kernel's: a hook changes where a socket binds and
//! what an address is called, and nothing else. It looks at the address first; what is no business of lonet's
//! goes to libc without a system call. A dial to a listener of a running host, its accept and the close of either are done
//! by the process itself, in the network's table (`lonet_sockets`, `actor`); all else is asked of lonetd (`ask`), and done
//! with the program's own socket as the answer says. There is no thread here and no lasting descriptor. Of descriptors nothing
//! is known but hints that decide nothing (`marks`), of ports those that bind has given in vain (`given`).
//!
//! Rules of the house, which is somebody else's. bind, listen, connect, accept, getsockname, getpeername and
//! close may be called in signal handlers and after fork in programs with threads: no allocation, no lock, no
//! thread-local, no panic that escapes (`fence`), no word on the program's standard streams. errno is as it was
//! when a call succeeds. The constructor reads the environment and does no I/O.

#[macro_use]
mod hook;

mod accept;
mod actor;
mod api;
mod ask;
mod bind;
mod bindresvport;
mod bypass;
mod close;
mod connect;
mod dns;
mod environment;
mod exec;
mod fence;
mod getaddrinfo;
mod getaddrinfo_a;
mod gethostbyname;
mod gethostid;
mod gethostname;
mod getifaddrs;
mod getnameinfo;
mod given;
mod host;
mod if_nameindex;
mod listen;
mod log;
mod marks;
mod memory;
mod name;
mod next;
mod option;
mod posix_spawn;
mod process;
mod rcmd;
mod recv;
mod res_query;
mod rexec;
mod sandbox;
mod sanitizer;
mod search;
mod send;
mod sethostname;
mod stream;
mod system;
mod unhooked;
mod valve;

use libc::{c_char, c_int};
use lonet_sockets::{address, kernel};

/// Run by the loader with main's arguments, before main. getenv would be the program's own in shells that define
/// one; the environment as passed is the truth.
extern "C" fn constructor(_argc: c_int, _argv: *const *const c_char, envp: *const *const c_char) {
    // SAFETY: the loader passes a null-terminated array of strings, or null.
    unsafe { process::init_once(envp) };
}

/// Before what finds libc's functions (`hook`), as a panic is to say nothing by then.
#[used]
#[unsafe(link_section = ".init_array.00200")]
static CONSTRUCTOR: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = constructor;
