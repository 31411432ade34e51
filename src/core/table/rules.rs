//! The rules for injected faults, such as "cut α from β".
//!
//! lonetd writes the rules, all at once, and every process reads them. There are two sets of them: the
//! header's word `faults` names the valid one, together with a version that grows with each change; it is 0
//! while there are no rules. lonetd writes the other set and then the word, so that a lonetd killed in
//! between changes nothing. A reader reads the word again after the rules, and starts over if it has changed.
//!
//! A lonetd that changes the rules then sets the sockets that they concern, and may be killed in between: the set that was
//! valid before keeps its rules, and its word `lingers`, until that is done. The next lonetd takes them back.
//!
//! A set has the id of the request that it results from. A client sends a request again, with the same id, if lonetd was killed
//! before it replied: by the id the next lonetd knows whether it has been carried out.
//!
//! Each rule has a counter of hits, which it keeps for its lifetime. Whoever causes or detects a hit adds to
//! it.

use super::Table;
use super::word::Word;
use crate::pace::Pace;
use crate::sys;
use crate::valve::Shut;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Capacity of a set of rules.
pub const RULES: usize = 1 << 10;

/// Number of counters: enough that a new rule never gets the counter of one that it replaces.
pub const COUNTERS: usize = 2 * RULES;

/// A set of rules.
#[repr(C)]
pub struct RuleSet {
    count: AtomicU64,
    /// 1: sockets may still be set as these rules had it.
    lingers: AtomicU64,
    /// The id of the request that these rules result from; 0: it has none.
    request: AtomicU64,
    rules: [[AtomicU64; 3]; RULES],
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// All segments are dropped.
    Cut = 1,
    /// Dials are refused.
    Refuse = 2,
    /// A dial resets the existing connections, once. The rule then has no effect, and stays to tell that it
    /// had one.
    Reset = 3,
    /// Each connection is paced: at most `value` bytes a second.
    Rate = 4,
    /// Look-ups of the second host by the first one go wrong: `value` is a [`NameFault`].
    Names = 5,
    /// `value` of [`LOSS_WHOLE`] parts of all segments are dropped.
    Loss = 6,
    /// Segments are delayed by `value` microseconds.
    Delay = 7,
}

/// The `value` of [`Kind::Loss`] at which everything is lost.
pub const LOSS_WHOLE: u64 = 1_000_000;

/// How a look-up of a name goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It fails temporarily.
    Fail = 1,
    /// It is answered late.
    Slow = 2,
    /// The answer is that there is no such name.
    Unknown = 3,
}

impl NameFault {
    pub const ALL: [NameFault; 3] = [NameFault::Fail, NameFault::Slow, NameFault::Unknown];

    /// The fault of a rule of the kind [`Kind::Names`].
    pub fn of(rule: &Rule) -> Option<NameFault> {
        NameFault::ALL.into_iter().find(|fault| rule.kind == Kind::Names && *fault as u64 == rule.value)
    }
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::Delay, Kind::Cut, Kind::Refuse, Kind::Reset, Kind::Rate, Kind::Names, Kind::Loss];
}

/// A fault in one direction between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub kind: Kind,
    /// Index of the sending or dialing host; 0: every other host.
    pub from: u16,
    /// Index of the receiving or dialed host; 0: every other host.
    pub to: u16,
    /// The dialed port; 0: any.
    pub port: u16,
    /// Number of dials, at most [`AT_MOST`], until the rule takes effect, which it does with the last of
    /// them; 0: it is in effect.
    pub at: u16,
    /// The dials that `at` counts go in the other direction: the rule is the way back of a cut in both
    /// directions.
    pub is_back: bool,
    /// End of the rule, in milliseconds since boot; 0: it ends when it is removed.
    pub until: u64,
    /// At most [`VALUE_MOST`]; see [`Kind`].
    pub value: u64,
    /// Number of its counter, from 1; 0: it has none yet.
    pub counter: u16,
}

/// The greatest `value` of a rule.
pub const VALUE_MOST: u64 = (1 << 48) - 1;

/// The greatest `at` of a rule.
pub const AT_MOST: u16 = (1 << 15) - 1;

const BACK: u16 = 1 << 15;

impl RuleSet {
    fn rules(&self) -> impl Iterator<Item = Rule> {
        let count = self.count.get() as usize;
        self.rules.iter().take(count).filter_map(|words| Rule::unpack([0, 1, 2].map(|n| words[n].get())))
    }
}

impl Rule {
    pub const fn new(kind: Kind, from: u16, to: u16) -> Rule {
        Rule { kind, from, to, port: 0, at: 0, is_back: false, until: 0, value: 0, counter: 0 }
    }

    fn pack(self) -> [u64; 3] {
        let at = self.at & AT_MOST | if self.is_back { BACK } else { 0 };
        let [from, to, port, at] = [self.from, self.to, self.port, at].map(u64::from);
        [
            from << 48 | to << 32 | port << 16 | at,
            (self.kind as u64) << 56 | self.until,
            u64::from(self.counter) << 48 | self.value.min(VALUE_MOST),
        ]
    }

    fn unpack([a, b, c]: [u64; 3]) -> Option<Rule> {
        let kind = Kind::ALL.into_iter().find(|k| *k as u64 == b >> 56)?;
        let [from, to, port, at] = [48, 32, 16, 0].map(|shift| (a >> shift) as u16);
        let (at, is_back) = (at & AT_MOST, at & BACK != 0);
        let (value, counter) = (c & VALUE_MOST, (c >> 48) as u16);
        Some(Rule { kind, from, to, port, at, is_back, until: b << 8 >> 8, value, counter })
    }

    /// Whether the rule applies to what one host sends to another; never to what a host sends to itself.
    pub fn concerns(&self, from: u16, to: u16) -> bool {
        let is = |rule, host| host != 0 && (rule == 0 || rule == host);
        from != to && is(self.from, from) && is(self.to, to)
    }
}

impl Rule {
    /// Whether the rule loses segments of a connection between these hosts.
    pub fn loses(&self, (here, there): (u16, u16)) -> bool {
        self.kind == Kind::Loss && self.at == 0 && (self.concerns(here, there) || self.concerns(there, here))
    }

    /// Whether the rule has expired and nobody has removed it: lonetd was killed, and none has been started since.
    fn is_overdue(&self) -> bool {
        self.until != 0 && u128::from(self.until) <= sys::clock(libc::CLOCK_BOOTTIME).as_millis()
    }

    /// Whether the rule is not in effect yet and counts dials from one host to another.
    pub fn counts(&self, from: u16, to: u16) -> bool {
        let is_of_dials = self.at != 0 && self.kind != Kind::Names;
        is_of_dials && if self.is_back { self.concerns(to, from) } else { self.concerns(from, to) }
    }
}

/// The directions that these rules shut at a socket. The ends are the hosts of this and of the other end.
pub fn shut_by(rules: impl Iterator<Item = Rule>, (here, there): (u16, u16)) -> Shut {
    let mut shut = Shut::NEITHER;
    for rule in rules.filter(|r| r.kind == Kind::Cut && r.at == 0) {
        shut.sending |= rule.concerns(here, there);
        shut.receiving |= rule.concerns(there, here);
    }
    shut
}

/// How these rules pace a socket. The ends are as for [`shut_by`].
pub fn pace_by(rules: impl Iterator<Item = Rule>, (here, there): (u16, u16)) -> Pace {
    rules.filter(|r| r.at == 0 && r.concerns(here, there)).fold(Pace::default(), |pace, r| match r.kind {
        Kind::Rate => Pace { rate: Some(pace.rate.map_or(r.value, |rate| rate.min(r.value))), ..pace },
        Kind::Delay => Pace { delay: pace.delay.max(r.value as u32), ..pace },
        _ => pace,
    })
}

impl<'a> Table<'a> {
    /// The word that names the valid set of rules and its version; 0: there are no rules.
    pub fn faults(self) -> u64 {
        self.header().faults.get()
    }

    /// Whether rules have been written since the table was made.
    pub fn had_faults(self) -> bool {
        self.header().faults_made.get() != 0
    }

    /// The rules that a word names; consistent only if the word is unchanged when all are read.
    fn rules_of(self, word: u64) -> impl Iterator<Item = Rule> + 'a {
        let place = &self.layout.rules[(word & 1) as usize];
        place.rules().take(if word == 0 { 0 } else { RULES })
    }

    /// Applies `read` to a consistent set of rules. Returns their word and the result.
    fn with_rules<T>(self, read: impl Fn(&mut dyn Iterator<Item = Rule>) -> T) -> (u64, T) {
        loop {
            let word = self.faults();
            let made = read(&mut self.rules_of(word));
            fence(Ordering::SeqCst);
            if self.faults() == word {
                return (word, made);
            }
        }
    }

    pub fn rules(self) -> Vec<Rule> {
        self.with_rules(|rules| rules.collect()).1
    }

    /// [`shut_by`] the valid rules, and their word.
    pub fn shut_between(self, ends: (u16, u16)) -> (u64, Shut) {
        self.with_rules(|rules| shut_by(rules, ends))
    }

    /// [`shut_by`] and [`pace_by`] the valid rules, and the word of the former.
    pub fn shut_and_pace_between(self, ends: (u16, u16)) -> (u64, (Shut, Pace)) {
        let (word, shut) = self.shut_between(ends);
        // If the rules change in between, the caller sees it when it compares the word again.
        (word, (shut, self.with_rules(|rules| pace_by(rules, ends)).1))
    }

    /// Whether there are rules for names; if so lonetd must be asked for every name.
    pub fn has_name_faults(self) -> bool {
        self.faults() != 0 && self.with_rules(|rules| rules.filter(|r| r.kind == Kind::Names).count() > 0).1
    }

    /// Whether lonetd has to be asked about a dial from one host to another: a rule counts it, or may refuse
    /// it, or any rule is to be removed.
    pub fn asks_about(self, from: u16, to: u16) -> bool {
        if self.faults() == 0 {
            return false;
        }
        let may_refuse = |r: &Rule| r.kind == Kind::Refuse && r.concerns(from, to);
        let asks = |r: Rule| r.counts(from, to) || may_refuse(&r) || r.is_overdue();
        self.with_rules(|rules| rules.filter(|r| asks(*r)).count() > 0).1
    }

    /// For lonetd: whether a dial from one host to a port of another is refused. Counts a hit of each rule
    /// that does so.
    pub fn refuse(self, from: u16, to: u16, port: u16) -> bool {
        let does = |r: &&Rule| r.kind == Kind::Refuse && r.at == 0 && r.port == port && r.concerns(from, to);
        let rules = if self.faults() == 0 { Vec::new() } else { self.rules() };
        rules.iter().filter(does).inspect(|r| self.add_hits(r, 1)).count() > 0
    }

    /// Number of hits of a rule.
    pub fn hits(self, rule: &Rule) -> u64 {
        self.counter(rule.counter).map_or(0, Word::get)
    }

    /// Adds to the hits of a rule.
    pub fn add_hits(self, rule: &Rule, n: u64) {
        if let Some(counter) = self.counter(rule.counter) {
            counter.add(n);
        }
    }

    fn counter(self, number: u16) -> Option<&'a AtomicU64> {
        self.layout.hits.get(usize::from(number).checked_sub(1)?)
    }

    /// Counts a dial from one host to another as a hit of the rules that cut it.
    pub fn count_dial_hits(self, from: u16, to: u16) {
        let does = |r: &Rule| r.kind == Kind::Cut && r.at == 0 && r.concerns(from, to);
        // Only the first four rules that match count the hit.
        let counters = self.with_rules(|rules| {
            let mut counters = rules.filter(does).map(|r| r.counter);
            [(); 4].map(|()| counters.next().unwrap_or(0))
        });
        counters
            .1
            .into_iter()
            .filter_map(|number| self.counter(number))
            .for_each(|counter| _ = counter.add(1));
    }

    /// For lonetd: the rules by which sockets may still be set although they are not valid any more, as the last lonetd was
    /// killed before it had set them back.
    pub fn lingering_rules(self) -> Vec<Rule> {
        self.layout.rules.iter().filter(|set| set.lingers.get() != 0).flat_map(RuleSet::rules).collect()
    }

    /// For lonetd: all sockets that can be reached are set as the rules have it.
    pub fn sockets_are_set(self) {
        self.layout.rules.iter().for_each(|set| set.lingers.set(0));
    }

    /// For lonetd: the rules before the request with this id, if it is the one that was carried out last.
    pub fn rules_before_request(self, id: u64) -> Option<Vec<Rule>> {
        let (word, [first, second]) = (self.faults(), &self.layout.rules);
        let is_its = |set: &RuleSet| id != 0 && set.request.get() == id;
        // If there are no rules, neither set is valid: the one with the id was written last.
        match word {
            0 if is_its(first) => Some(second.rules().collect()),
            0 if is_its(second) => Some(first.rules().collect()),
            0 => None,
            _ if word & 1 == 0 => is_its(first).then(|| second.rules().collect()),
            _ => is_its(second).then(|| first.rules().collect()),
        }
    }

    /// For lonetd: replaces the rules. `false`: they are too many, and nothing has changed.
    pub fn set_rules(self, rules: &[Rule]) -> bool {
        self.set_rules_for(0, rules)
    }

    /// As [`Table::set_rules`], for the request with this id.
    pub fn set_rules_for(self, id: u64, rules: &[Rule]) -> bool {
        if rules.len() > RULES {
            return false;
        }
        let mut rules = rules.to_vec();
        self.number(&mut rules);
        let header = self.header();
        let made = header.faults_made.add(1) + 1;
        let is = self.faults();
        let other = if is == 0 { 0 } else { 1 - (is & 1) };
        let place = &self.layout.rules[other as usize];
        if is != 0 {
            self.layout.rules[(is & 1) as usize].lingers.set(1);
        } else if self.layout.rules[1].lingers.get() == 0 {
            // What is left there were not the rules before this request: there were none.
            self.layout.rules[1].count.set(0);
        }
        // What was there had come into force before what is there.
        place.lingers.set(0);
        for (words, rule) in place.rules.iter().zip(&rules) {
            words.iter().zip(rule.pack()).for_each(|(word, value)| word.set(value));
        }
        place.count.set(rules.len() as u64);
        place.request.set(id);
        header.faults.set(if rules.is_empty() { 0 } else { made << 1 | other });
        // An earlier request is not the last one any more.
        self.layout.rules[1 - other as usize].request.set(0);
        fence(Ordering::SeqCst);
        true
    }

    /// Gives each rule without a counter one.
    fn number(self, rules: &mut [Rule]) {
        let mut used: BTreeSet<u16> = self.rules().iter().chain(&*rules).map(|r| r.counter).collect();
        for rule in rules.iter_mut().filter(|r| r.counter == 0) {
            let free = (1..=COUNTERS as u16).find(|number| !used.contains(number)).unwrap_or(0);
            used.insert(free);
            if let Some(counter) = self.counter(free) {
                counter.set(0);
            }
            rule.counter = free;
        }
    }
}

#[cfg(test)]
mod tests;
