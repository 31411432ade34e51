//! What all processes of lonet share: addresses, messages, the table, the client of lonetd, and queries to
//! the kernel. The crate has no hooks, so that anything may link it.

pub mod address;
pub mod block;
pub mod child;
pub mod client;
pub mod config;
pub mod control;
pub mod diag;
pub mod directory;
pub mod dns_message;
#[cfg(test)]
mod fuzzed;
pub mod handshake;
pub mod hookable;
pub mod keyed_hash;
pub mod launch;
pub mod limit;
pub mod lock;
pub mod log_prefix;
pub mod pace;
pub mod quote;
pub mod scopes;
mod starved;
pub mod sys;
pub mod table;
pub mod trouble;
pub mod uids;
pub mod unix;
pub mod valve;
