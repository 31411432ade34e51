//! lonet's operations on sockets (dial, accept, close, names) as functions of a process, a descriptor and
//! addresses.
//!
//! The crate has no hooks, so that anything may link it. It does not allocate or lock, keeps no descriptor,
//! and makes system calls directly, so that it can run inside a hook, in a signal handler, and after fork in
//! a program with threads.

pub mod accept;
mod actor;
pub mod address;
pub mod close;
mod diag_query;
pub mod dial;
pub mod kernel;
pub mod name;
pub mod pending_dials;

pub use actor::{Actor, ProcessState};
