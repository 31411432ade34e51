//! Faults that users inject between hosts: the requests of the commands, and the reports on them.
//!
//! The rules are in the table ([`lonet_core::table::rules`]), where every process sees them and the next lonetd finds them.
//! [`enforce`] applies them to the existing sockets ([`lonet_core::valve`]); a process that dials or accepts
//! afterwards sets them itself.

pub mod commands;
pub mod enforce;
mod filter;
pub mod hits;
pub mod loss;
pub mod new_rules;
pub mod parse;
pub mod qdisc;
mod tcp_md5;

use lonet_core::sys;
use lonet_core::table::rules::NameFault;
use serde::{Deserialize, Serialize};

/// The faults of name queries, by the names that users know.
pub const NAMES: [(&str, NameFault); 3] =
    [("fail", NameFault::Fail), ("slow", NameFault::Slow), ("unknown", NameFault::Unknown)];

/// A request of the command. Hosts are given by name; none: every other host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultRequest {
    Cut(Between),
    /// Dials from the first hosts to this port of the second ones are refused.
    Refuse(Between, u16),
    /// Each connection sends at most this many bytes per second.
    Rate(Between, u64),
    /// Each segment is delayed by this many microseconds.
    Delay(Between, u64),
    /// This many of a million segments are lost.
    Loss(Between, u64),
    /// Queries of the first hosts for names of the second ones have this fault, one of [`NAMES`].
    Names(Between, String),
    /// Existing connections are reset: at once, or at the dial given by [`Between::at`].
    Reset(Between),
    Heal(Between),
    Show,
}

impl FaultRequest {
    /// Gives a heal an id, by which lonetd recognises it when it is sent again: what has been healed is no rule any more.
    pub fn with_id(mut self) -> FaultRequest {
        if let FaultRequest::Heal(between) = &mut self {
            let moment = sys::clock(libc::CLOCK_BOOTTIME).subsec_nanos();
            between.id = u64::from(std::process::id()) << 32 | u64::from(moment);
        }
        self
    }
}

/// The hosts of a request, and when it applies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Between {
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// Only what `from` sends.
    pub one_way: bool,
    /// The rule is removed after this many milliseconds.
    pub lasts: Option<u64>,
    /// The rule takes effect at the n-th dial from `from` to `to`.
    pub at: Option<u16>,
    /// The id of a request to heal, by which lonetd recognises it when it is sent again; 0: none.
    #[serde(default)]
    pub id: u64,
}

/// lonetd's reply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The rules in force.
    pub rules: Vec<RuleShown>,
    /// The rules that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healed: Vec<RuleShown>,
    pub connections: Reached,
    /// Processes whose sockets lonetd cannot reach, if a connection is therefore not as the rules have it.
    pub unreached: Vec<Unreached>,
}

impl Report {
    /// The processes that cannot be reached, as a text.
    pub fn unreached_text(&self) -> String {
        let line = |u: &Unreached| format!("{} (pid {}): {}", u.program, u.pid, u.why);
        self.unreached.iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

/// A rule, as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleShown {
    pub fault: String,
    /// `None`: every other host.
    pub from: Option<String>,
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<u64>,
    /// Segments lost of a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<u64>,
    /// The fault of name queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// The number of dials until it takes effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u16>,
    /// The seconds until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<f64>,
    /// Segments dropped, dials refused, connections reset or queries affected.
    pub hits: u64,
}

/// The number of connections that the rules concern, by how many of their ends were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    pub both: usize,
    pub one: usize,
    pub none: usize,
}

/// A process whose sockets cannot be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unreached {
    pub pid: i32,
    pub program: String,
    pub why: String,
}
