//! lonet's operations on sockets: what a dial, an accept and a close do, as functions of the network, the process on whose
//! behalf it is done, a descriptor and addresses.
//!
//! No hooks here: anything may link it. Nothing allocates, locks or keeps a descriptor, and system calls are made directly,
//! so that all of it may run inside a hook, in a signal handler, and after fork in a program with threads.

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
