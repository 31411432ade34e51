//! The matcher: a nondeterministic automaton whose states are what is still expected after the events so far.
//!
//! A state is a multiset of strands, each of which advances along a sequence of items. A block that must end before its sequence
//! continues is inside the strand; a `meanwhile` is a strand of its own. An event advances one strand by one line. Equal strands
//! are interchangeable, so it is enough to advance one of them.

use super::parse::{Expected, File, Item};
use super::pattern::{Captured, Pattern};
use super::plan::{Line, Plan, State, Strand};
use crate::trace::event::{Event, Kind};
use crate::trace::moment::Moment;
use crate::trace::text;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most states at a time. A file that needs more is too ambiguous.
const MAX_STATES: usize = 2000;

/// The first difference between a trace and a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the event. `None`: the trace has ended.
    pub event: Option<usize>,
    pub cause: Cause,
    /// The captures before it.
    pub captured: Captured,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One of these lines was expected, or nothing more.
    Expected(Vec<Line>),
    /// The event matches this `never` line.
    Never(Line),
}

/// A way to read the events that has ended: how many lines it had matched, and with what it has ended.
struct Failed {
    matched: usize,
    difference: Difference,
}

/// Why a file and a trace cannot be compared.
pub const TOO_MANY_STATES: &str = "there are too many ways to read these events: name hosts and ports where the file has `*`, or keep an order";

/// Compares events with a file, one after the other.
pub struct Matcher {
    plan: Plan,
    states: Vec<State>,
    /// The hosts and kinds of events that are compared. `None`: all events.
    compared: Option<Vec<(Pattern, Option<Kind>)>>,
    /// Whether a line has `within`.
    counts_time: bool,
    events: usize,
    /// Of the ways that have ended with more lines matched than any that went on, the last one of those with the most. A way that
    /// skips events until something happens *eventually* never ends by an event, and so says nothing of what went wrong.
    furthest: Option<Failed>,
}

impl Matcher {
    /// `begin`: when the trace has begun.
    pub fn new(file: &File, begin: Moment) -> Matcher {
        let mut plan = Plan::default();
        let all = plan.add(&file.items);
        let counts_time = plan.lines.iter().any(|line| line.within.is_some());
        let captured = vec![None; file.names.0.len()];
        let mut state =
            State { strands: BTreeMap::new(), captured, never: Vec::new(), last: begin, matched: 0 };
        if let Some(strand) = plan.begin(all, &mut state) {
            state.add(strand);
        }
        let mut compared: Vec<(Pattern, Option<Kind>)> = Vec::new();
        each_expected(&file.items, &mut |line| {
            if !compared.iter().any(|(host, kind)| (host, kind) == (&line.host, &line.kind)) {
                compared.push((line.host.clone(), line.kind));
            }
        });
        let compared = (!file.is_strict).then_some(compared);
        Matcher { plan, states: vec![state], compared, counts_time, events: 0, furthest: None }
    }

    pub fn line(&self, line: Line) -> Option<&Expected> {
        self.plan.lines.get(line)
    }

    /// Whether an event is compared.
    pub fn compares(&self, event: &Event) -> bool {
        let host = event.host.as_deref().unwrap_or("-");
        let is_of = |(like, kind): &(Pattern, Option<Kind>)| {
            kind.is_none_or(|kind| kind == event.kind) && like.may_match(host)
        };
        self.compared.as_ref().is_none_or(|all| all.iter().any(is_of))
    }

    /// Whether all expected events have happened.
    pub fn is_complete(&self) -> bool {
        self.states.iter().any(|state| state.strands.is_empty())
    }

    /// Matches the next event. `Ok(Some(_))`: it was not expected; no further events may be passed.
    ///
    /// # Errors
    ///
    /// [`TOO_MANY_STATES`].
    pub fn take(&mut self, event: &Event) -> Result<Option<Difference>, &'static str> {
        let number = self.events;
        self.events += 1;
        let mut forbidden: Option<Failed> = None;
        let mut states = std::mem::take(&mut self.states);
        states.retain(|state| {
            let takes = |line: &&Line| {
                self.line(**line).is_some_and(|line| match_event(line, event, &state.captured).is_some())
            };
            let Some(line) = state.never.iter().find(takes) else { return true };
            if forbidden.as_ref().is_none_or(|other| other.matched < state.matched) {
                let (cause, captured) = (Cause::Never(*line), state.captured.clone());
                let difference = Difference { event: Some(number), cause, captured };
                forbidden = Some(Failed { matched: state.matched, difference });
            }
            false
        });
        if let Some(failed) = forbidden {
            if states.is_empty() {
                return Ok(Some(self.first_difference(failed)));
            }
            self.note_failed(&states, failed);
        }
        if !self.compares(event) {
            self.states = states;
            return Ok(None);
        }
        let (mut next, mut ended) = (Vec::new(), Vec::new());
        for state in states {
            ended.extend(self.step(state, event, &mut next));
            if next.len() > MAX_STATES {
                remove_duplicates(&mut next);
            }
            if next.len() > MAX_STATES {
                return Err(TOO_MANY_STATES);
            }
        }
        remove_duplicates(&mut next);
        if next.is_empty() {
            return Ok(Some(self.first_difference(self.failed(&ended, Some(number)))));
        }
        if most_matched(&ended) > most_matched(&next) {
            let failed = self.failed(&ended, Some(number));
            self.note_failed(&next, failed);
        }
        self.states = next;
        Ok(None)
    }

    /// Ends the trace. `Some`: expected events have not happened.
    pub fn end(&self) -> Option<Difference> {
        (!self.is_complete()).then(|| self.first_difference(self.failed(&self.states, None)))
    }

    /// The end of these ways by an event, or by the end of the trace: of those that have matched the most lines.
    fn failed(&self, states: &[State], event: Option<usize>) -> Failed {
        let matched = most_matched(states).unwrap_or(0);
        let furthest = || states.iter().filter(|state| state.matched == matched);
        let captured = furthest().next().map(|state| state.captured.clone()).unwrap_or_default();
        let cause = Cause::Expected(self.expected_lines(furthest()));
        Failed { matched, difference: Difference { event, cause, captured } }
    }

    /// Notes a way that has ended, while these go on.
    fn note_failed(&mut self, others: &[State], failed: Failed) {
        let is_less = |other: &Failed| other.matched <= failed.matched;
        if most_matched(others) < Some(failed.matched) && self.furthest.as_ref().is_none_or(is_less) {
            self.furthest = Some(failed);
        }
    }

    /// What is reported when the last way has ended like this.
    fn first_difference(&self, last: Failed) -> Difference {
        match &self.furthest {
            Some(furthest) if furthest.matched > last.matched => furthest.difference.clone(),
            _ => last.difference,
        }
    }

    /// The lines that are expected next in any of these states.
    fn expected_lines<'s>(&self, states: impl Iterator<Item = &'s State>) -> Vec<Line> {
        let mut all = Vec::new();
        for strand in states.flat_map(|state| state.strands.keys()) {
            self.plan.for_each_expected(strand, &mut Vec::new(), &mut |line, _| all.push(line));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The time by which an event must have happened, if there is one in every state.
    pub fn deadline(&self) -> Option<Moment> {
        let of_way = |state: &State| {
            let mut earliest: Option<Moment> = None;
            for strand in state.strands.keys() {
                self.plan.for_each_expected(strand, &mut Vec::new(), &mut |line, _| {
                    let within = self.line(line).and_then(|line| line.within);
                    if let Some(at) = within.map(|within| after(state.last, within)) {
                        earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                    }
                });
            }
            earliest
        };
        let all: Option<Vec<Moment>> = self.states.iter().map(of_way).collect();
        all?.into_iter().max()
    }

    /// Adds the states that follow a state with an event. `Some`: there are none; the state.
    fn step(&self, state: State, event: &Event, next: &mut Vec<State>) -> Option<State> {
        let mut moves: Vec<(Strand, Vec<usize>, Captured)> = Vec::new();
        let (mut may_skip, mut is_overdue) = (false, false);
        for strand in state.strands.keys() {
            self.plan.for_each_expected(strand, &mut Vec::new(), &mut |line, path| {
                let Some(expected) = self.line(line) else { return };
                let is_over = expected.within.is_some_and(|within| event.time > after(state.last, within));
                is_overdue |= is_over;
                may_skip |= expected.is_eventual;
                if let Some(captured) = match_event(expected, event, &state.captured).filter(|_| !is_over) {
                    moves.push((strand.clone(), path.to_vec(), captured));
                }
            });
        }
        if is_overdue || moves.is_empty() && !may_skip {
            return Some(state);
        }
        let last = if self.counts_time { event.time } else { state.last };
        let matched = state.matched + 1;
        let advanced = |mut state: State, (strand, path, captured): (Strand, Vec<usize>, Captured)| {
            self.plan.advance(&strand, &path, &mut state);
            State { captured, last, matched, ..state }
        };
        let mut moves = moves.into_iter().rev();
        let only = if may_skip { None } else { moves.next() };
        next.extend(moves.map(|step| advanced(state.clone(), step)));
        match only {
            Some(step) => next.push(advanced(state, step)),
            None => next.push(state),
        }
        None
    }
}

fn most_matched(states: &[State]) -> Option<usize> {
    states.iter().map(|state| state.matched).max()
}

fn remove_duplicates(states: &mut Vec<State>) {
    let mut kept: Vec<State> = Vec::new();
    for state in states.drain(..) {
        if !kept.contains(&state) {
            kept.push(state);
        }
    }
    *states = kept;
}

fn after(moment: Moment, time: Duration) -> Moment {
    Moment(moment.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
}

/// Matches an event against a line: the captures afterwards. `None`: it does not match.
fn match_event(line: &Expected, event: &Event, captured: &Captured) -> Option<Captured> {
    if line.kind.is_some_and(|kind| kind != event.kind) {
        return None;
    }
    let mut captured = captured.clone();
    if !line.host.matches(event.host.as_deref().unwrap_or("-"), &mut captured) {
        return None;
    }
    line.fields
        .iter()
        .all(|(field, like)| field_matches(event, field, like, &mut captured))
        .then_some(captured)
}

/// Whether a field of an event matches a pattern.
pub fn field_matches(event: &Event, field: &str, like: &Pattern, captured: &mut Captured) -> bool {
    match text::value(event, field) {
        Some(value) => like.matches(&value, captured),
        None => like.matches_absence(),
    }
}

/// Whether a line matches an event, with these captures.
pub fn matches_event(line: &Expected, event: &Event, captured: &Captured) -> bool {
    match_event(line, event, captured).is_some()
}

/// Calls `each` with every line except those with `never`.
fn each_expected(items: &[Item], each: &mut impl FnMut(&Expected)) {
    for item in items {
        match item {
            Item::Event(line) => each(line),
            Item::Never(_) => {}
            Item::Unordered(items) | Item::Ordered(items) | Item::Meanwhile(items) => {
                each_expected(items, each)
            }
        }
    }
}
