//! Handles the requests of the fault commands, and rules that expire or take effect.

use super::Daemon;
use super::messages::send_file;
use super::rights::Right;
use crate::daemon::faults::enforce::{enforce, reset_all};
use crate::daemon::faults::new_rules::{self, Refusal};
use crate::daemon::faults::{FaultRequest, Reached, Report, hits, parse};
use crate::daemon::state::{Cookie, End};
use crate::memory_file;
use lonet_core::control::{Fault, Reply};
use lonet_core::table::rules::{Kind, Rule};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The largest request, in bytes.
const MOST: u64 = 4 << 20;

/// A rule that concerns all sockets, any of which the previous lonetd may have shut.
const EVERYTHING: Rule = Rule::new(Kind::Cut, 0, 0);

/// The longest text in a message, in bytes.
const TEXT_MOST: usize = 900;

fn not_the_owner() -> Refusal {
    (Errno::EACCES, "faults are for the network's owner to make".into())
}

impl Daemon {
    /// Handles a request that comes as JSON in a file. The reply is sent when it is done.
    pub(super) fn handle_fault_request(&mut self, fd: &OwnedFd, file: Option<Right>, is_owner: bool) {
        let outcome = match (file.and_then(Right::take), is_owner) {
            (_, false) => Err(not_the_owner()),
            (None, _) => Err((Errno::EINVAL, "without the file of the order".into())),
            (Some(file), true) => self.read_fault_request(file).and_then(|request| self.apply(&request)),
        };
        let text = outcome.and_then(|report| {
            serde_json::to_vec(&report).map_err(|e| (Errno::EIO, format!("the answer: {e}")))
        });
        match text {
            Ok(text) => {
                if let Err(e) = send_file(fd, &text) {
                    tracing::warn!("faults: {e}");
                }
            }
            Err((errno, text)) => {
                self.reply(fd, &Reply::Error { errno: errno as i32, text: &text });
            }
        }
    }

    /// Handles the request of a program, by the C API.
    pub(super) fn handle_fault_of_program(
        &mut self,
        fd: &OwnedFd,
        (what, from, to): (Fault, &str, &str),
        is_owner: bool,
    ) {
        let name = |text| (!str::is_empty(text)).then_some(text);
        let between = parse::between(name(from), name(to)).map_err(|text| (Errno::EINVAL, text));
        let request = between.map(|between| match what {
            Fault::Cut => FaultRequest::Cut(between),
            Fault::Heal => FaultRequest::Heal(between),
            Fault::Count => FaultRequest::Show,
        });
        let outcome = match is_owner {
            true => request.and_then(|request| self.apply(&request)),
            false => Err(not_the_owner()),
        };
        let nothing = what == Fault::Heal && matches!(&outcome, Err((Errno::ENOENT, _)));
        match outcome {
            Err((errno, text)) if !nothing => {
                let is_listed = matches!(errno, Errno::EHOSTUNREACH | Errno::EACCES | Errno::ENOSPC);
                let errno = if is_listed { errno } else { Errno::EINVAL };
                self.reply(fd, &Reply::Error { errno: errno as i32, text: &text })
            }
            Ok(report) if !report.unreached.is_empty() => {
                let text = format!("not all could be reached: {}", report.unreached_text());
                let text = &text[..text.floor_char_boundary(TEXT_MOST)];
                self.reply(fd, &Reply::Error { errno: Errno::EACCES as i32, text })
            }
            outcome => {
                let report = outcome.unwrap_or_default();
                let rules = if what == Fault::Heal { &report.healed } else { &report.rules };
                let hits = rules.iter().map(|rule| rule.hits).sum();
                self.reply(fd, &Reply::Met { rules: rules.len() as u32, hits })
            }
        };
    }

    fn read_fault_request(&self, file: OwnedFd) -> Result<FaultRequest, Refusal> {
        let file = File::from(file);
        let text = memory_file::text(&file, MOST);
        self.connections.closer.close(file.into());
        let invalid = |e: &dyn std::fmt::Display| (Errno::EINVAL, format!("the order: {e}"));
        serde_json::from_str(&text.map_err(|e| invalid(&e))?).map_err(|e| invalid(&e))
    }

    fn apply(&mut self, request: &FaultRequest) -> Result<Report, Refusal> {
        let id = if let FaultRequest::Heal(between) = request { between.id } else { 0 };
        // A heal that is sent again: the lonetd that did it was killed before it had replied.
        let done = self.store.table().rules_before_request(id);
        let is_done = done.is_some();
        let before = done.unwrap_or_else(|| self.state.rules());
        let hosts = &self.state.hosts;
        let rules = match request {
            FaultRequest::Cut(between) => Some(new_rules::cut(hosts, before.clone(), between)?),
            FaultRequest::Refuse(between, port) => {
                Some(new_rules::refuse(hosts, before.clone(), (between, *port))?)
            }
            FaultRequest::Delay(between, delay) => {
                Some(new_rules::delay(hosts, before.clone(), (between, *delay))?)
            }
            FaultRequest::Loss(between, loss) => {
                Some(new_rules::loss(hosts, before.clone(), (between, *loss))?)
            }
            FaultRequest::Names(between, how) => {
                Some(new_rules::names(hosts, before.clone(), (between, how))?)
            }
            FaultRequest::Reset(between) if between.at.is_none() => {
                let rules = new_rules::reset(hosts, between)?;
                self.count_hits();
                return Ok(self.reset(&rules));
            }
            FaultRequest::Rate(between, rate) => {
                Some(new_rules::rate(hosts, before.clone(), (between, *rate))?)
            }
            FaultRequest::Reset(between) => Some(new_rules::reset_at(hosts, before.clone(), between)?),
            FaultRequest::Heal(_) if is_done => Some(self.state.rules()),
            FaultRequest::Heal(between) => Some(new_rules::heal(hosts, before.clone(), between)?),
            FaultRequest::Show => None,
        };
        let is_left = |r: &&Rule| rules.as_ref().is_none_or(|rules| rules.contains(r));
        let gone: Vec<Rule> = before.iter().filter(|r| !is_left(r)).copied().collect();
        // The counters are read once if that is enough: it takes about as long as setting the sockets.
        let comes = rules.iter().flatten().any(|r| hits::is_counted(r) && !before.contains(r));
        let goes = gone.iter().any(hits::is_counted);
        if comes || !goes {
            self.count_hits();
        }
        // A dial that has not returned sets its socket itself, by the rules of before or the new ones.
        let is_made = |end: &End| rules.is_some() && !is_done && !end.is_dial;
        let older = self.state.ends().into_iter().filter(is_made).map(|end| end.cookie).collect();
        if let Some(rules) = rules.as_ref().filter(|_| !is_done)
            && !self.state.set_rules(id, rules)
        {
            return Err((Errno::ENOSPC, "there is no room for so many rules".into()));
        }
        self.untouched.older = older;
        let mut report = self.enforce(&before);
        self.untouched.older.clear();
        let table = self.store.table();
        if goes {
            // Includes what was dropped until the sockets were set.
            self.hit_counter.count_with(&self.state, &self.kernel, table, &gone);
        }
        report.rules = new_rules::show(&self.state.hosts, table, &self.state.rules());
        report.healed = new_rules::show(&self.state.hosts, table, &gone);
        Ok(report)
    }

    fn count_hits(&mut self) {
        self.hit_counter.count(&self.state, &self.kernel, self.store.table());
    }

    /// Resets the connections that these rules concern.
    fn reset(&mut self, between: &[Rule]) -> Report {
        let (report, sockets) = reset_all(&self.state, &self.kernel, self.store.table(), between);
        // Their ports are free.
        sockets.into_iter().for_each(|cookie| self.state.closed(&mut self.kernel, cookie));
        self.commit();
        report
    }

    /// Sets the sockets that the rules of before or the current ones concern.
    fn enforce(&mut self, before: &[Rule]) -> Report {
        self.loss.look(&self.state, &self.kernel, self.store.table());
        let (table, refuser) = (self.store.table(), self.state.refuser());
        let ends = self.state.ends();
        let untouched = &mut self.untouched;
        let report = enforce(&self.state, &self.kernel, table, before, ends, Some(refuser), untouched);
        table.sockets_are_set();
        report
    }

    /// Sets all sockets by the rules, whatever state the previous lonetd has left them in.
    pub(super) fn restore_faults(&mut self) {
        let table = self.store.table();
        if table.had_faults() {
            self.hit_counter.restore(&self.state, &self.kernel, table);
            self.enforce(&[&[EVERYTHING][..], &table.lingering_rules()].concat());
        }
    }

    /// Looks for new connections that rules of loss concern, if that is due.
    pub(super) fn look_for_loss(&mut self) {
        if self.loss.until().is_some_and(|until| Instant::now() >= until) {
            self.loss.look(&self.state, &self.kernel, self.store.table());
        }
    }

    /// Applies the rules that take effect with the dial that was just handled.
    pub(super) fn apply_due_rules(&mut self) {
        let Some(before) = self.state.rules_before() else { return };
        let is_due = |r: &&Rule| {
            r.at == 0 && before.iter().any(|before| before.counter == r.counter && before.at != 0)
        };
        let rules = self.state.rules();
        let resets = rules.iter().filter(|r| r.kind == Kind::Reset).filter(is_due);
        for rule in resets {
            let Reached { both, one, .. } = self.reset(&[Rule { kind: Kind::Cut, ..*rule }]).connections;
            self.store.table().add_hits(rule, (both + one) as u64);
        }
        self.enforce(&before);
    }

    /// Applies the rules to a new socket, as its process may not have seen them.
    pub(super) fn enforce_on_new(&mut self, cookie: Cookie) {
        let table = self.store.table();
        if self.has_faults()
            && let Some(end) = self.state.end(cookie)
            && table.shut_between(end.hosts).1.is_any()
        {
            enforce(&self.state, &self.kernel, table, &[], vec![end], None, &mut self.untouched);
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        self.store.table().faults() != 0
    }

    /// The time when the next rule expires.
    pub(super) fn faults_until(&self) -> Option<Instant> {
        if !self.has_faults() {
            return None;
        }
        let until = self.state.rules().iter().map(|r| r.until).filter(|until| *until != 0).min()?;
        Some(Instant::now() + Duration::from_millis(until.saturating_sub(new_rules::now())))
    }

    /// Removes the rules that have expired.
    pub(super) fn expire_faults(&mut self) {
        if !self.has_faults() {
            return;
        }
        let (now, before) = (new_rules::now(), self.state.rules());
        let left: Vec<Rule> = before.iter().filter(|r| r.until == 0 || r.until > now).copied().collect();
        if left.len() < before.len() && self.state.set_rules(0, &left) {
            let report = self.enforce(&before);
            for unreached in report.unreached {
                tracing::warn!("pid {} stays cut: {}", unreached.pid, unreached.why);
            }
        }
    }
}
