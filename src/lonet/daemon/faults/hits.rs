//! Counts the hits of rules that drop segments.
//!
//! The kernel counts the segments that each socket drops, and the retransmissions of a dial without an answer; the first
//! segment of a dial is counted by the process that dials ([`Table::count_dial_hits`]). Each reading of these counters adds
//! their increase since the last one to the rules in force. Segments that a socket drops for other reasons are included, which
//! are few; those that it drops between the last reading and its end are not.

use crate::daemon::kernel::Live;
use crate::daemon::state::{Cookie, Index, State};
use lonet_core::block::{Block, Place};
use lonet_core::diag::{SocketInfo, State as Tcp, Traffic};
use lonet_core::table::Table;
use lonet_core::table::rules::{Kind, Rule};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;

/// Whether the kernel counts the hits of a rule: it drops segments.
pub fn is_counted(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::Cut | Kind::Loss) && rule.at == 0
}

/// The sockets' counters at the last reading.
#[derive(Default)]
pub struct HitCounter {
    last: HashMap<Cookie, Traffic>,
}

impl HitCounter {
    /// Begins in a new lonetd. What the previous one has counted is not known: the whole counters are added to rules without
    /// hits, and to no others.
    pub fn restore(&mut self, state: &State, kernel: &Live, table: Table<'_>) {
        let mut rules = state.rules();
        rules.retain(|r| table.hits(r) == 0);
        self.count_for(state, kernel, table, &rules);
    }

    /// Adds the increase since the last reading to the rules in force.
    pub fn count(&mut self, state: &State, kernel: &Live, table: Table<'_>) {
        self.count_for(state, kernel, table, &state.rules());
    }

    /// Like [`HitCounter::count`], also for rules that were in force until now.
    pub fn count_with(&mut self, state: &State, kernel: &Live, table: Table<'_>, gone: &[Rule]) {
        self.count_for(state, kernel, table, &[&state.rules(), gone].concat());
    }

    fn count_for(&mut self, state: &State, kernel: &Live, table: Table<'_>, rules: &[Rule]) {
        let rules: Vec<&Rule> = rules.iter().filter(|r| is_counted(r)).collect();
        let all = kernel.traffic(state.block);
        for (from, to, n) in dropped(state, &all, &self.last) {
            rules.iter().filter(|r| r.concerns(from, to)).for_each(|r| table.add_hits(r, u64::from(n)));
        }
        self.last = all.into_iter().map(|(found, traffic)| (found.cookie, traffic)).collect();
    }
}

/// The segments dropped since the last reading, by sending and receiving host.
fn dropped(
    state: &State,
    all: &[(SocketInfo, Traffic)],
    last: &HashMap<Cookie, Traffic>,
) -> Vec<(Index, Index, u32)> {
    let hosts = |f: &SocketInfo| {
        let by_address = || Some((index(state.block, f.local)?, index(state.block, f.remote)?));
        state.end(f.cookie).map(|end| end.hosts).or_else(by_address)
    };
    let mut seen = HashSet::new();
    // A dump may show a socket twice. A connection whose hosts are unknown is a foreign host's.
    let once = all.iter().filter(|(f, _)| seen.insert(f.cookie));
    let all: Vec<_> = once.filter_map(|(f, now)| Some((f, now, hosts(f)?))).collect();
    let ends: HashSet<(SocketAddrV4, SocketAddrV4)> = all.iter().map(|(f, ..)| (f.local, f.remote)).collect();
    let mut counts = Vec::new();
    for (f, now, (here, other)) in all {
        let was = last.get(&f.cookie).copied().unwrap_or_default();
        counts.push((other, here, now.dropped.saturating_sub(was.dropped)));
        // No socket at the other end counts what it drops.
        if f.state == Tcp::SYN_SENT || !ends.contains(&(f.remote, f.local)) {
            counts.push((here, other, now.sent_again.saturating_sub(was.sent_again)));
        }
    }
    counts.retain(|(_, _, n)| *n != 0);
    counts
}

fn index(block: Block, at: SocketAddrV4) -> Option<Index> {
    match block.place(at.ip().to_ipv6_mapped()) {
        Place::Host(index, _) => Some(index),
        _ => None,
    }
}
