//! Computes the rules that a request leads to.

use super::{Between, NAMES, RuleShown, qdisc};
use crate::daemon::state::{Host, Hosts, Index};
use lonet_core::sys;
use lonet_core::table::Table;
use lonet_core::table::rules::{AT_MOST, Kind, LOSS_WHOLE, NameFault, Rule};
use nix::errno::Errno;
use std::collections::BTreeMap;

pub type Refusal = (Errno, String);

/// Milliseconds since boot.
pub fn now() -> u64 {
    sys::clock(libc::CLOCK_BOOTTIME).as_millis() as u64
}

/// Every other host.
const OTHERS: Index = 0;

/// The indexes of named hosts. `is_known`: they need not be up.
fn indexes(hosts: &Hosts, names: &[String], is_known: bool) -> Result<Vec<Index>, Refusal> {
    if names.is_empty() {
        return Ok(vec![OTHERS]);
    }
    let index = |name: &String| {
        let is_there = |host: &&Host| is_known || host.is_up() || host.foreign.is_some();
        let host = hosts.find(name.as_bytes()).filter(is_there);
        host.map(|host| host.index).ok_or_else(|| (Errno::EHOSTUNREACH, format!("no host {name:?} is up")))
    };
    names.iter().map(index).collect()
}

/// The directions, from one host to another, that a request is about; `true`: the reverse of a requested one.
fn pairs(hosts: &Hosts, between: &Between) -> Result<BTreeMap<(Index, Index), bool>, Refusal> {
    let side = |names| indexes(hosts, names, false);
    pairs_of(&side(&between.from)?, &side(&between.to)?, between.one_way)
}

fn pairs_of(from: &[Index], to: &[Index], one_way: bool) -> Result<BTreeMap<(Index, Index), bool>, Refusal> {
    let mut all = BTreeMap::new();
    for a in from {
        for b in to.iter().filter(|b| *b != a) {
            all.insert((*a, *b), false);
            if !one_way {
                all.entry((*b, *a)).or_insert(true);
            }
        }
    }
    match all.is_empty() {
        true => Err((
            Errno::EINVAL,
            "faults are between different hosts: what a host sends to itself always arrives".into(),
        )),
        false => Ok(all),
    }
}

/// Adds a rule for each direction, in place of one of the same kind.
fn add(
    mut rules: Vec<Rule>,
    pairs: BTreeMap<(Index, Index), bool>,
    (kind, port): (Kind, u16),
    between: &Between,
) -> Vec<Rule> {
    let until = between.lasts.map_or(0, |lasts| now() + lasts);
    let at = between.at.unwrap_or(0).min(AT_MOST);
    for ((from, to), is_reverse) in pairs {
        let is_same = |r: &Rule| (r.kind, r.from, r.to, r.port, r.at == 0) == (kind, from, to, port, at == 0);
        rules.retain(|r| !is_same(r));
        let is_back = is_reverse && at != 0;
        rules.push(Rule { port, at, is_back, until, ..Rule::new(kind, from, to) });
    }
    rules
}

/// Adds the rules of a cut.
pub fn cut(hosts: &Hosts, rules: Vec<Rule>, between: &Between) -> Result<Vec<Rule>, Refusal> {
    let pairs = pairs(hosts, between)?;
    let is_foreign = |index: &Index| hosts.get(*index).is_some_and(|h| !h.is_up() && h.foreign.is_some());
    if between.one_way
        && let Some((_, to)) = pairs.keys().find(|(_, to)| is_foreign(to))
    {
        let name = hosts.get(*to).map_or("", |host| &host.name);
        return Err((
            Errno::EOPNOTSUPP,
            format!("{name} is foreign: what is sent there cannot be cut alone"),
        ));
    }
    Ok(add(rules, pairs, (Kind::Cut, 0), between))
}

/// Adds rules that refuse dials to a port.
pub fn refuse(
    hosts: &Hosts,
    rules: Vec<Rule>,
    (between, port): (&Between, u16),
) -> Result<Vec<Rule>, Refusal> {
    Ok(add(rules, pairs(hosts, between)?, (Kind::Refuse, port), between))
}

/// A rule for each direction in which connections are to be reset, for [`Rule::concerns`].
pub fn reset(hosts: &Hosts, between: &Between) -> Result<Vec<Rule>, Refusal> {
    Ok(pairs(hosts, between)?.into_keys().map(|(from, to)| Rule::new(Kind::Cut, from, to)).collect())
}

/// Adds rules that limit the rate.
pub fn rate(hosts: &Hosts, rules: Vec<Rule>, (between, rate): (&Between, u64)) -> Result<Vec<Rule>, Refusal> {
    Ok(add_with_value(rules, pairs(hosts, between)?, (Kind::Rate, rate), between))
}

/// Adds rules that delay segments.
pub fn delay(
    hosts: &Hosts,
    rules: Vec<Rule>,
    (between, delay): (&Between, u64),
) -> Result<Vec<Rule>, Refusal> {
    let pairs = pairs(hosts, between)?;
    match qdisc::is_fq() {
        Ok(true) => Ok(add_with_value(rules, pairs, (Kind::Delay, delay), between)),
        Ok(false) => Err((
            Errno::EOPNOTSUPP,
            "the kernel delays what goes through the fq queueing discipline alone: as root, `tc qdisc replace dev lo root fq`, \
             or run the whole network within `unshare -Urn` and do it there"
                .into(),
        )),
        Err(e) => Err((e, format!("cannot ask for the queueing discipline of the loopback: {}", e.desc()))),
    }
}

/// Adds rules that lose segments.
pub fn loss(hosts: &Hosts, rules: Vec<Rule>, (between, loss): (&Between, u64)) -> Result<Vec<Rule>, Refusal> {
    Ok(add_with_value(rules, pairs(hosts, between)?, (Kind::Loss, loss.min(LOSS_WHOLE)), between))
}

/// Adds rules for faults of name queries.
pub fn names(
    hosts: &Hosts,
    rules: Vec<Rule>,
    (between, how): (&Between, &str),
) -> Result<Vec<Rule>, Refusal> {
    let Some((_, fault)) = NAMES.iter().find(|(name, _)| *name == how) else {
        return Err((Errno::EINVAL, format!("questions for names cannot be {how:?}")));
    };
    let queriers = indexes(hosts, &between.from, false)?;
    let pairs = pairs_of(&queriers, &indexes(hosts, &between.to, true)?, true)?;
    Ok(add_with_value(rules, pairs, (Kind::Names, *fault as u64), between))
}

/// Like [`add`], for a kind that has a value.
fn add_with_value(
    rules: Vec<Rule>,
    pairs: BTreeMap<(Index, Index), bool>,
    (kind, value): (Kind, u64),
    between: &Between,
) -> Vec<Rule> {
    let mut all = add(rules, pairs.clone(), (kind, 0), between);
    let is_one = |r: &&mut Rule| {
        r.kind == kind && (r.at != 0) == between.at.is_some() && pairs.contains_key(&(r.from, r.to))
    };
    all.iter_mut().filter(is_one).for_each(|r| r.value = value);
    all
}

/// Adds rules that reset connections at a dial.
pub fn reset_at(hosts: &Hosts, rules: Vec<Rule>, between: &Between) -> Result<Vec<Rule>, Refusal> {
    let between = Between { one_way: true, ..between.clone() };
    Ok(add(rules, pairs(hosts, &between)?, (Kind::Reset, 0), &between))
}

/// Removes the rules between these hosts: all if no host is given, those that name one of `from` if `to` is empty.
pub fn heal(hosts: &Hosts, rules: Vec<Rule>, between: &Between) -> Result<Vec<Rule>, Refusal> {
    if between.from.is_empty() {
        return Ok(Vec::new());
    }
    let left: Vec<Rule> = if between.to.is_empty() {
        let named = indexes(hosts, &between.from, true)?;
        rules.iter().filter(|r| !named.contains(&r.from) && !named.contains(&r.to)).copied().collect()
    } else {
        let side = |names| indexes(hosts, names, true);
        let pairs = pairs_of(&side(&between.from)?, &side(&between.to)?, between.one_way)?;
        let left: Vec<Rule> =
            rules.iter().filter(|r| !pairs.contains_key(&(r.from, r.to))).copied().collect();
        // A rule about every other host is not one about these two.
        if let Some((rule, pair)) =
            left.iter().find_map(|r| Some(r).zip(pairs.keys().find(|p| r.concerns(p.0, p.1))))
        {
            let name = |index| hosts.get(index).map_or("", |host| &host.name);
            let whole = if rule.from == OTHERS { rule.to } else { rule.from };
            let text = format!(
                "the rule is about {} and every other host, {} among them",
                name(whole),
                name(if pair.0 == whole { pair.1 } else { pair.0 })
            );
            return Err((Errno::EBUSY, text));
        }
        left
    };
    match left.len() == rules.len() {
        true => Err((Errno::ENOENT, "there is no such rule".into())),
        false => Ok(left),
    }
}

/// The rules, as they are listed.
pub fn show(hosts: &Hosts, table: Table<'_>, rules: &[Rule]) -> Vec<RuleShown> {
    let name = |index| hosts.get(index).map(|host: &Host| host.name.clone());
    let now = now();
    let shown = |rule: &Rule| RuleShown {
        fault: match rule.kind {
            Kind::Cut => "cut",
            Kind::Refuse => "refuse",
            Kind::Reset => "reset",
            Kind::Rate => "rate",
            Kind::Names => "names",
            Kind::Loss => "loss",
            Kind::Delay => "delay",
        }
        .into(),
        from: name(rule.from),
        to: name(rule.to),
        port: (rule.port != 0).then_some(rule.port),
        rate: (rule.kind == Kind::Rate).then_some(rule.value),
        delay: (rule.kind == Kind::Delay).then_some(rule.value),
        loss: (rule.kind == Kind::Loss).then_some(rule.value),
        how: NAMES.iter().find(|(_, f)| NameFault::of(rule) == Some(*f)).map(|(name, _)| (*name).into()),
        at: (rule.at != 0).then_some(rule.at),
        lasts: (rule.until != 0).then(|| rule.until.saturating_sub(now) as f64 / 1000.0),
        hits: table.hits(rule),
    };
    rules.iter().map(shown).collect()
}
