//! liblonet.so: hooks over libc's socket and resolver functions that make a program's sockets those of a
//! lonet host.
//!
//! Theory of operation. The program's sockets stay kernel sockets: a hook changes only where a socket is
//! bound and which address the program sees. It looks at the address first and passes what does not concern
//! lonet to libc, without a system call of its own. The process itself dials listeners of running hosts,
//! accepts such dials and closes either, in the network's shared table (`lonet_sockets`, `actor`). For
//! everything else it sends lonetd a request (`ask`) and carries out the reply on the program's own socket.
//! The library has no thread and keeps no descriptor open. It keeps nothing by descriptor but hints, on which
//! no result depends (`descriptor_hints`), and by port only those that autobind chose and the program has not used
//! (`autobound`).
//!
//! Constraints. bind, listen, connect, accept, getsockname, getpeername and close may be called in signal
//! handlers, and after fork in programs with threads. Their hooks therefore allocate nothing, take no lock,
//! use no thread-local, let no panic escape (`panic_barrier`) and write nothing to the program's standard streams. A
//! call that succeeds leaves errno as it was. The constructor reads the environment and does no I/O unless a
//! variable is invalid or asks for a log.

#[macro_use]
mod hook;

mod accept;
mod actor;
mod api;
mod ask;
mod autobound;
mod bind;
mod bindresvport;
mod bypass;
mod close;
mod connect;
mod descriptor_hints;
mod environment;
mod exec;
mod failure;
mod getaddrinfo;
mod getaddrinfo_a;
mod gethostbyname;
mod gethostid;
mod gethostname;
mod getifaddrs;
mod getnameinfo;
mod getsockname;
mod handle;
mod handshake_wait;
mod host;
mod if_nameindex;
mod ioctl;
mod joined;
mod key_map;
mod listen;
mod log;
mod log_file;
mod memory;
mod name;
mod name_server;
mod next;
mod option;
mod panic_barrier;
mod posix_spawn;
mod process;
mod rcmd;
mod recv;
mod res_query;
mod resolver_state;
mod rexec;
mod sandbox;
mod sanitizer;
mod search;
mod seat;
mod send;
mod sethostname;
mod stderr;
mod stream;
mod system;
mod table_map;
mod unhooked;
mod valve;

use libc::{c_char, c_int};
use lonet_sockets::{address, kernel};

/// Called by the loader with main's arguments, before main. The environment comes from the argument because
/// getenv may be the program's own: some shells define one.
extern "C" fn constructor(_argc: c_int, _argv: *const *const c_char, envp: *const *const c_char) {
    // SAFETY: the loader passes a null-terminated array of strings, or null.
    unsafe { process::init_once(envp) };
}

/// Runs before the constructors that look up libc's functions (`hook`), which must find panics silenced.
#[used]
#[unsafe(link_section = ".init_array.00200")]
static CONSTRUCTOR: extern "C" fn(c_int, *const *const c_char, *const *const c_char) = constructor;
