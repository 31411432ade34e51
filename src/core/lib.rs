//! What all processes of lonet agree on: addresses, messages, the way to lonetd, what the kernel knows of
//! sockets. No hooks here: anything may link it.

pub mod address;
pub mod block;
pub mod child;
pub mod classes;
pub mod client;
pub mod config;
pub mod control;
pub mod diag;
pub mod directory;
pub mod dns;
#[cfg(test)]
mod fuzzed;
pub mod handshake;
pub mod hookable;
pub mod keyed_hash;
pub mod limit;
pub mod log_prefix;
pub mod pace;
pub mod quote;
pub mod start;
pub mod sys;
pub mod table;
pub mod uids;
pub mod unix;
pub mod valve;
