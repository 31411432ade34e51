//! The rules for faults: between which hosts nothing passes, and what else is to go wrong.
//!
//! lonetd writes them, all at once, and every process reads them. There are two places for them: the header's word `faults`
//! says which one counts, with a number that grows with each change; it is 0 while there are no rules. lonetd writes the
//! other place and then the word, so that a death in between changes nothing; whoever has read rules reads the word again, and
//! begins anew if it is another.
//!
//! A lonetd that changes the rules then sets the sockets that they are about, and may be killed in between: the place that has
//! counted before keeps its rules, and its word `lingers`, until that is done. The next lonetd takes them back.
//!
//! Each rule has a counter of what it has met, which stays where it is while the rule stands: whoever makes something that the
//! rule is about, or finds it, adds to it.

use super::Table;
use super::word::Word;
use crate::pace::Pace;
use crate::valve::Shut;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// So many rules there may be.
pub const RULES: usize = 1 << 10;

/// So many counters, of which each rule has one: enough that a rule that comes gets none of those that go.
pub const COUNTERS: usize = 2 * RULES;

#[repr(C)]
pub struct Place {
    count: AtomicU64,
    /// 1: sockets may still be set as these rules had it.
    lingers: AtomicU64,
    rules: [[AtomicU64; 3]; RULES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing passes.
    Cut = 1,
    /// Dials are refused.
    Refuse = 2,
    /// The connections that are there are reset with a dial. From then on it has no effect, and tells that it had one.
    Reset = 3,
    /// What is sent is paced: at most `value` bytes a second on each connection.
    Rate = 4,
    /// Names of the second host that the first one asks for are answered otherwise: `value` is a [`NameFault`].
    Names = 5,
    /// So much of [`LOSS_WHOLE`] of what is sent is lost.
    Loss = 6,
    /// What is sent is on its way for `value` microseconds.
    Delay = 7,
}

pub const LOSS_WHOLE: u64 = 1_000_000;

/// What becomes of a question for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It cannot be answered at the moment.
    Fail = 1,
    /// It is answered late.
    Slow = 2,
    /// There is no such name.
    Unknown = 3,
}

impl NameFault {
    pub const ALL: [NameFault; 3] = [NameFault::Fail, NameFault::Slow, NameFault::Unknown];

    pub fn of(rule: &Rule) -> Option<NameFault> {
        NameFault::ALL.into_iter().find(|fault| rule.kind == Kind::Names && *fault as u64 == rule.value)
    }
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::Delay, Kind::Cut, Kind::Refuse, Kind::Reset, Kind::Rate, Kind::Names, Kind::Loss];
}

/// What is to go wrong from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub kind: Kind,
    /// Indexes of hosts; 0: every other host.
    pub from: u16,
    pub to: u16,
    /// The port that is dialed; 0: any.
    pub port: u16,
    /// It takes effect with so many-th dial from now, at most [`AT_MOST`]; 0: it has.
    pub at: u16,
    /// The dials that are counted go in the other direction: it is the way back of a cut of both.
    pub is_back: bool,
    /// When it ends, in milliseconds since boot; 0: when it is taken back.
    pub until: u64,
    /// How much of it, at most [`VALUE_MOST`]: what that means is the kind's.
    pub value: u64,
    /// The number of its counter; 0: it has none yet.
    pub counter: u16,
}

pub const VALUE_MOST: u64 = (1 << 48) - 1;

/// The most dials that a rule waits for.
pub const AT_MOST: u16 = (1 << 15) - 1;

const BACK: u16 = 1 << 15;

impl Place {
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

    /// Whether it is about what one host sends to another. What a host says to itself passes.
    pub fn concerns(&self, from: u16, to: u16) -> bool {
        let is = |rule, host| host != 0 && (rule == 0 || rule == host);
        from != to && is(self.from, from) && is(self.to, to)
    }
}

impl Rule {
    /// Whether something is lost by it on a connection between these hosts.
    pub fn loses(&self, (here, there): (u16, u16)) -> bool {
        self.kind == Kind::Loss && self.at == 0 && (self.concerns(here, there) || self.concerns(there, here))
    }

    /// Whether it waits for a dial from one host to another.
    pub fn counts(&self, from: u16, to: u16) -> bool {
        let is_of_dials = self.at != 0 && self.kind != Kind::Names;
        is_of_dials && if self.is_back { self.concerns(to, from) } else { self.concerns(from, to) }
    }
}

/// What these rules shut at the socket of a host, whose connection leads to another one.
pub fn shut_by(rules: impl Iterator<Item = Rule>, (here, there): (u16, u16)) -> Shut {
    let mut shut = Shut::NEITHER;
    for rule in rules.filter(|r| r.kind == Kind::Cut && r.at == 0) {
        shut.sending |= rule.concerns(here, there);
        shut.receiving |= rule.concerns(there, here);
    }
    shut
}

/// What these rules make of what the socket of a host sends, whose connection leads to another one.
pub fn pace_by(rules: impl Iterator<Item = Rule>, (here, there): (u16, u16)) -> Pace {
    rules.filter(|r| r.at == 0 && r.concerns(here, there)).fold(Pace::default(), |pace, r| match r.kind {
        Kind::Rate => Pace { rate: Some(pace.rate.map_or(r.value, |rate| rate.min(r.value))), ..pace },
        Kind::Delay => Pace { delay: pace.delay.max(r.value as u32), ..pace },
        _ => pace,
    })
}

impl<'a> Table<'a> {
    /// The word by which the rules are known; 0: there are none.
    pub fn faults(self) -> u64 {
        self.header().faults.get()
    }

    /// Rules have been written since the table was made.
    pub fn had_faults(self) -> bool {
        self.header().faults_made.get() != 0
    }

    /// The rules that go with a word, if they still do when all have been read.
    fn rules_of(self, word: u64) -> impl Iterator<Item = Rule> + 'a {
        let place = &self.layout.rules[(word & 1) as usize];
        place.rules().take(if word == 0 { 0 } else { RULES })
    }

    /// What `read` makes of the rules, and the word that they go with.
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

    /// What is shut at the socket of a host, whose connection leads to another one; and the word of the rules that say so.
    pub fn shut_between(self, ends: (u16, u16)) -> (u64, Shut) {
        self.with_rules(|rules| shut_by(rules, ends))
    }

    /// As [`Table::shut_between`], with how fast and how late it sends.
    pub fn course_between(self, ends: (u16, u16)) -> (u64, (Shut, Pace)) {
        let (word, shut) = self.shut_between(ends);
        // Of rules that have changed in between whoever reads the word again hears.
        (word, (shut, self.with_rules(|rules| pace_by(rules, ends)).1))
    }

    /// Whether there are rules for names: then lonetd is asked for each.
    pub fn has_name_faults(self) -> bool {
        self.faults() != 0 && self.with_rules(|rules| rules.filter(|r| r.kind == Kind::Names).count() > 0).1
    }

    /// Whether lonetd has to hear of a dial from one host to another: a rule waits for it, or may refuse it.
    pub fn asks_about(self, from: u16, to: u16) -> bool {
        if self.faults() == 0 {
            return false;
        }
        let asks = |r: Rule| r.counts(from, to) || r.kind == Kind::Refuse && r.concerns(from, to);
        self.with_rules(|rules| rules.filter(|r| asks(*r)).count() > 0).1
    }

    /// lonetd's: whether a dial from one host to a port of another is refused. The rules that say so have met one.
    pub fn refuse(self, from: u16, to: u16, port: u16) -> bool {
        let does = |r: &&Rule| r.kind == Kind::Refuse && r.at == 0 && r.port == port && r.concerns(from, to);
        let rules = if self.faults() == 0 { Vec::new() } else { self.rules() };
        rules.iter().filter(does).inspect(|r| self.add_hits(r, 1)).count() > 0
    }

    /// How often a rule has met something.
    pub fn hits(self, rule: &Rule) -> u64 {
        self.counter(rule.counter).map_or(0, Word::get)
    }

    pub fn add_hits(self, rule: &Rule, n: u64) {
        if let Some(counter) = self.counter(rule.counter) {
            counter.add(n);
        }
    }

    fn counter(self, number: u16) -> Option<&'a AtomicU64> {
        self.layout.hits.get(usize::from(number).checked_sub(1)?)
    }

    /// A host begins a dial of another one, which is cut.
    pub fn met_by_dial(self, from: u16, to: u16) {
        let does = |r: &Rule| r.kind == Kind::Cut && r.at == 0 && r.concerns(from, to);
        // More rules than these about the same two hosts are not told of it.
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

    /// lonetd's: the rules by which sockets may be set though they do not stand any more, as they were when the lonetd before
    /// was killed.
    pub fn lingering_rules(self) -> Vec<Rule> {
        self.layout.rules.iter().filter(|place| place.lingers.get() != 0).flat_map(Place::rules).collect()
    }

    /// lonetd's: all sockets that can be reached are set as the rules have it.
    pub fn sockets_are_set(self) {
        self.layout.rules.iter().for_each(|place| place.lingers.set(0));
    }

    /// lonetd's: these are the rules now. `false`: there is no room, and nothing has changed.
    pub fn set_rules(self, rules: &[Rule]) -> bool {
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
        }
        // What was there had come into force before what is there.
        place.lingers.set(0);
        for (words, rule) in place.rules.iter().zip(&rules) {
            words.iter().zip(rule.pack()).for_each(|(word, value)| word.set(value));
        }
        place.count.set(rules.len() as u64);
        header.faults.set(if rules.is_empty() { 0 } else { made << 1 | other });
        fence(Ordering::SeqCst);
        true
    }

    /// Gives counters to rules that have none.
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
