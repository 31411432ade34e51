//! Faults: what is not to pass between hosts, as people order it and as it is shown.
//!
//! The rules are in the table ([`lonet_core::table::rules`]), where every process sees them and the next lonetd finds them.
//! [`enforce`] sets the valves ([`lonet_core::valve`]) of the sockets that there are; a process that dials or accepts
//! afterwards sets them itself.

pub mod enforce;
mod filter;
pub mod hits;
pub mod loss;
pub mod orders;
pub mod qdisc;
pub mod shown;
mod signed;
pub mod words;

use lonet_core::sys;
use lonet_core::table::rules::NameFault;
use serde::{Deserialize, Serialize};

/// What may become of questions for names, as people call it.
pub const NAMES: [(&str, NameFault); 3] =
    [("fail", NameFault::Fail), ("slow", NameFault::Slow), ("unknown", NameFault::Unknown)];

/// What the command asks for. Hosts by their names; none: every other host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Cut(Between),
    /// Dials of the second ones' port are refused to the first ones.
    Refuse(Between, u16),
    /// What each connection sends is paced to so many bytes a second.
    Rate(Between, u64),
    /// What is sent is on its way for so many microseconds.
    Delay(Between, u64),
    /// So much of a million of what is sent is lost.
    Loss(Between, u64),
    /// Names of the second ones are answered otherwise to the first ones: how, as [`NAMES`] has it.
    Names(Between, String),
    /// The connections that there are are reset, or those that there are with a dial.
    Reset(Between),
    Heal(Between),
    Show,
}

impl Order {
    /// With a number of its own, if it cannot be done twice: what has been healed is no rule any more.
    pub fn numbered(mut self) -> Order {
        if let Order::Heal(between) = &mut self {
            let moment = sys::clock(libc::CLOCK_BOOTTIME).subsec_nanos();
            between.order = u64::from(std::process::id()) << 32 | u64::from(moment);
        }
        self
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Between {
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// Only what `from` sends.
    pub one_way: bool,
    /// Milliseconds after which it ends by itself.
    pub lasts: Option<u64>,
    /// It takes effect with so many-th dial of `to` by `from`.
    pub at: Option<u16>,
    /// The number of an order to heal, by which lonetd knows it when it comes again; 0: it does not.
    #[serde(default)]
    pub order: u64,
}

/// What lonetd answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The rules that there are by now.
    pub rules: Vec<RuleShown>,
    /// Those that have been taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healed: Vec<RuleShown>,
    pub connections: Reached,
    /// Processes whose sockets lonetd cannot reach, where that leaves a connection open that is to be shut, or shut that is to
    /// be open.
    pub unreached: Vec<Unreached>,
}

impl Report {
    /// The processes that cannot be reached, for people.
    pub fn unreached_text(&self) -> String {
        let line = |u: &Unreached| format!("{} (pid {}): {}", u.program, u.pid, u.why);
        self.unreached.iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleShown {
    pub fault: String,
    /// `None`: every other host.
    pub from: Option<String>,
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Bytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<u64>,
    /// How much of a million is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<u64>,
    /// What becomes of questions for names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// With which dial from now it takes effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u16>,
    /// How long it is still to last, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<f64>,
    /// How often it has met something: segments dropped, dials refused, connections reset.
    pub hits: u64,
}

/// Connections that the rules concern, by how many of their ends have been set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    pub both: usize,
    pub one: usize,
    pub none: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unreached {
    pub pid: i32,
    pub program: String,
    pub why: String,
}
