//! The events of fault rules; see [`lonet_core::table::events`].

use super::{EventTexts, Index, Pid, State};
use crate::daemon::faults::commands::commands;
use crate::daemon::faults::new_rules;
use lonet_core::table::events::Kind;
use lonet_core::table::rules::{Kind as RuleKind, Rule};

impl State {
    /// Makes events of the rules that are new, and of those that have gone.
    pub(super) fn note_rules(&mut self, before: &[Rule], rules: &[Rule]) {
        if !self.is_recorded() {
            return;
        }
        for (kind, these, those) in [(Kind::FaultHealed, before, rules), (Kind::FaultSet, rules, before)] {
            let new: Vec<Rule> = these.iter().filter(|rule| !those.contains(rule)).copied().collect();
            for text in self.rules_in_words(&new) {
                self.note_with_texts(kind, 0, 0, |_| EventTexts {
                    rule: Some(text),
                    ..EventTexts::default()
                });
            }
        }
    }

    /// The rules as `lonet faults` prints them, without what changes while they are in force: the events of a rule have
    /// the same words.
    fn rules_in_words(&self, rules: &[Rule]) -> Vec<String> {
        let mut shown = new_rules::show(&self.hosts, self.table.table(), rules);
        shown.iter_mut().for_each(|rule| (rule.hits, rule.lasts) = (0, None));
        let words = |line: String| line.strip_prefix("lonet ").map_or(line.clone(), str::to_owned);
        commands(&shown).into_iter().map(words).collect()
    }

    /// Makes events of the rules that a dial from one host to a port of another meets.
    pub fn note_hits(&mut self, pid: Pid, (from, to): (Index, Index), port: u16) {
        let table = self.table.table();
        if table.faults() == 0 {
            return;
        }
        let is_met = |rule: &Rule| {
            rule.at == 0
                && matches!(rule.kind, RuleKind::Cut | RuleKind::Refuse)
                && (rule.port == 0 || rule.port == port)
                && (rule.concerns(from, to) || rule.port == 0 && rule.concerns(to, from))
        };
        let met: Vec<Rule> = table.rules().into_iter().filter(is_met).collect();
        for text in self.rules_in_words(&met) {
            self.note_with_texts(Kind::FaultHit, pid, from, |_| EventTexts {
                rule: Some(text),
                ..EventTexts::default()
            });
        }
    }
}
