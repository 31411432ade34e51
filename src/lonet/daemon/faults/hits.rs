//! What the rules of cuts have met: segments that the kernel has dropped.
//!
//! Each socket counts what was for it and was dropped; a dial that nobody answers counts what it sends again, and its first
//! segment is counted by who makes it ([`Table::count_dial_hits`]). Both only grow, so each look at the sockets adds what has come
//! since the one before to the rules that stand. What a socket drops for other reasons is among it: that is little, where
//! nobody reads what comes. What a socket had dropped between the last look and its end is not.

use crate::daemon::kernel::Live;
use crate::daemon::state::{Cookie, Index, State};
use lonet_core::block::{Block, Place};
use lonet_core::diag::{Found, State as Tcp, Traffic};
use lonet_core::table::Table;
use lonet_core::table::rules::{Kind, Rule};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;

/// Whether the kernel counts what a rule meets: it has segments dropped.
pub fn are_counted(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::Cut | Kind::Loss) && rule.at == 0
}

/// What the sockets had counted at the last look.
#[derive(Default)]
pub struct Meter {
    before: HashMap<Cookie, Traffic>,
}

impl Meter {
    /// What a lonetd before has counted up to when is not known: a rule that has met nothing so far has met all of it.
    pub fn restore(&mut self, state: &State, kernel: &Live, table: Table<'_>) {
        let mut rules = state.rules();
        rules.retain(|r| table.hits(r) == 0);
        self.look_for(state, kernel, table, &rules);
    }

    /// Adds what has come since the last look to the rules that stand.
    pub fn look(&mut self, state: &State, kernel: &Live, table: Table<'_>) {
        self.look_for(state, kernel, table, &state.rules());
    }

    /// The same, and to rules that stood until now.
    pub fn look_with(&mut self, state: &State, kernel: &Live, table: Table<'_>, gone: &[Rule]) {
        self.look_for(state, kernel, table, &[&state.rules(), gone].concat());
    }

    fn look_for(&mut self, state: &State, kernel: &Live, table: Table<'_>, rules: &[Rule]) {
        let rules: Vec<&Rule> = rules.iter().filter(|r| are_counted(r)).collect();
        let all = kernel.traffic(state.block);
        for (from, to, n) in dropped(state, &all, &self.before) {
            rules.iter().filter(|r| r.concerns(from, to)).for_each(|r| table.add_hits(r, u64::from(n)));
        }
        self.before = all.into_iter().map(|(found, traffic)| (found.cookie, traffic)).collect();
    }
}

/// How many segments from one host to another have been dropped since.
fn dropped(
    state: &State,
    all: &[(Found, Traffic)],
    before: &HashMap<Cookie, Traffic>,
) -> Vec<(Index, Index, u32)> {
    let hosts = |f: &Found| {
        let by_address = || Some((index(state.block, f.local)?, index(state.block, f.remote)?));
        state.end(f.cookie).map(|end| end.hosts).or_else(by_address)
    };
    let mut seen = HashSet::new();
    // A dump may show a socket twice. Whose hosts are not known is a foreign host's.
    let once = all.iter().filter(|(f, _)| seen.insert(f.cookie));
    let all: Vec<_> = once.filter_map(|(f, now)| Some((f, now, hosts(f)?))).collect();
    let there: HashSet<(SocketAddrV4, SocketAddrV4)> =
        all.iter().map(|(f, ..)| (f.local, f.remote)).collect();
    let mut news = Vec::new();
    for (f, now, (here, other)) in all {
        let was = before.get(&f.cookie).copied().unwrap_or_default();
        news.push((other, here, now.dropped.saturating_sub(was.dropped)));
        // Nobody else counts what it has sent.
        if f.state == Tcp::SYN_SENT || !there.contains(&(f.remote, f.local)) {
            news.push((here, other, now.sent_again.saturating_sub(was.sent_again)));
        }
    }
    news.retain(|(_, _, n)| *n != 0);
    news
}

fn index(block: Block, at: SocketAddrV4) -> Option<Index> {
    match block.place(at.ip().to_ipv6_mapped()) {
        Place::Host(index, _) => Some(index),
        _ => None,
    }
}
