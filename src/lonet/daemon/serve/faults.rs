//! `lonet cut`, `heal` and `faults`, and rules that end by themselves.

use super::Daemon;
use super::messages::send_file;
use super::rights::Right;
use crate::daemon::faults::enforce::{enforce, reset_all};
use crate::daemon::faults::orders::{self, Refusal};
use crate::daemon::faults::{Order, Reached, Report, hits, words};
use crate::daemon::state::Cookie;
use crate::memory_file;
use lonet_core::control::{Fault, Reply};
use lonet_core::table::rules::{Kind, Rule};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The most bytes of an order.
const MOST: u64 = 4 << 20;

/// What may have been shut by a lonetd before.
const ANYTHING: Rule = Rule::new(Kind::Cut, 0, 0);

/// The most bytes of a text in a message.
const TEXT_MOST: usize = 900;

fn not_the_owner() -> Refusal {
    (Errno::EACCES, "faults are for the network's owner to make".into())
}

impl Daemon {
    /// Takes an order that comes as JSON in a file. The answer goes out when it is done.
    pub(super) fn order(&mut self, fd: &OwnedFd, file: Option<Right>, is_owner: bool) {
        let outcome = match (file.and_then(Right::take), is_owner) {
            (_, false) => Err(not_the_owner()),
            (None, _) => Err((Errno::EINVAL, "without the file of the order".into())),
            (Some(file), true) => self.read_order(file).and_then(|order| self.do_order(&order)),
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

    /// The same of a program, in short.
    pub(super) fn order_of_program(
        &mut self,
        fd: &OwnedFd,
        (what, from, to): (Fault, &str, &str),
        is_owner: bool,
    ) {
        let name = |text| (!str::is_empty(text)).then_some(text);
        let between = words::between(name(from), name(to)).map_err(|text| (Errno::EINVAL, text));
        let order = between.map(|between| match what {
            Fault::Cut => Order::Cut(between),
            Fault::Heal => Order::Heal(between),
            Fault::Count => Order::Show,
        });
        let outcome = match is_owner {
            true => order.and_then(|order| self.do_order(&order)),
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

    fn read_order(&self, file: OwnedFd) -> Result<Order, Refusal> {
        let file = File::from(file);
        let text = memory_file::text(&file, MOST);
        self.connections.closer.close(file.into());
        let invalid = |e: &dyn std::fmt::Display| (Errno::EINVAL, format!("the order: {e}"));
        serde_json::from_str(&text.map_err(|e| invalid(&e))?).map_err(|e| invalid(&e))
    }

    fn do_order(&mut self, order: &Order) -> Result<Report, Refusal> {
        let number = if let Order::Heal(between) = order { between.order } else { 0 };
        // It comes again: a lonetd that did it was killed before it had answered.
        let done = self.store.table().rules_before_order(number);
        let is_done = done.is_some();
        let before = done.unwrap_or_else(|| self.state.rules());
        let hosts = &self.state.hosts;
        let rules = match order {
            Order::Cut(between) => Some(orders::cut(hosts, before.clone(), between)?),
            Order::Refuse(between, port) => Some(orders::refuse(hosts, before.clone(), (between, *port))?),
            Order::Delay(between, delay) => Some(orders::delay(hosts, before.clone(), (between, *delay))?),
            Order::Loss(between, loss) => Some(orders::loss(hosts, before.clone(), (between, *loss))?),
            Order::Names(between, how) => Some(orders::names(hosts, before.clone(), (between, how))?),
            Order::Reset(between) if between.at.is_none() => {
                let rules = orders::reset(hosts, between)?;
                self.look_for_hits();
                return Ok(self.reset(&rules));
            }
            Order::Rate(between, rate) => Some(orders::rate(hosts, before.clone(), (between, *rate))?),
            Order::Reset(between) => Some(orders::reset_at(hosts, before.clone(), between)?),
            Order::Heal(_) if is_done => Some(self.state.rules()),
            Order::Heal(between) => Some(orders::heal(hosts, before.clone(), between)?),
            Order::Show => None,
        };
        let is_left = |r: &&Rule| rules.as_ref().is_none_or(|rules| rules.contains(r));
        let gone: Vec<Rule> = before.iter().filter(|r| !is_left(r)).copied().collect();
        // One look where one will do: it takes as long as to set a good part of the sockets.
        let comes = rules.iter().flatten().any(|r| hits::are_counted(r) && !before.contains(r));
        let goes = gone.iter().any(hits::are_counted);
        if comes || !goes {
            self.look_for_hits();
        }
        if let Some(rules) = rules.as_ref().filter(|_| !is_done)
            && !self.state.set_rules(number, rules)
        {
            return Err((Errno::ENOSPC, "there is no room for so many rules".into()));
        }
        let mut report = self.enforce(&before);
        let table = self.store.table();
        if goes {
            // What was dropped until the sockets were set.
            self.meter.look_with(&self.state, &self.kernel, table, &gone);
        }
        report.rules = orders::show(&self.state.hosts, table, &self.state.rules());
        report.healed = orders::show(&self.state.hosts, table, &gone);
        Ok(report)
    }

    fn look_for_hits(&mut self) {
        self.meter.look(&self.state, &self.kernel, self.store.table());
    }

    /// Resets the connections that these rules are about.
    fn reset(&mut self, between: &[Rule]) -> Report {
        let (report, sockets) = reset_all(&self.state, &self.kernel, self.store.table(), between);
        // Their ports are free.
        sockets.into_iter().for_each(|cookie| self.state.closed(&mut self.kernel, cookie));
        self.settle();
        report
    }

    /// Sets what these rules, or those of now, are about.
    fn enforce(&mut self, before: &[Rule]) -> Report {
        self.loss.look(&self.state, &self.kernel, self.store.table());
        let (table, refuser) = (self.store.table(), self.state.refuser());
        let report = enforce(&self.state, &self.kernel, table, before, self.state.ends(), Some(refuser));
        table.sockets_are_set();
        report
    }

    /// Sets all sockets as the rules have it, whatever a lonetd before has left.
    pub(super) fn restore_faults(&mut self) {
        let table = self.store.table();
        if table.had_faults() {
            self.meter.restore(&self.state, &self.kernel, table);
            self.enforce(&[&[ANYTHING][..], &table.lingering_rules()].concat());
        }
    }

    /// Connections may have come of which something is to be lost.
    pub(super) fn look_for_loss(&mut self) {
        if self.loss.until().is_some_and(|until| Instant::now() >= until) {
            self.loss.look(&self.state, &self.kernel, self.store.table());
        }
    }

    /// A dial may have been the one for which a rule has waited.
    pub(super) fn faults_begin(&mut self) {
        let Some(before) = self.state.rules_before() else { return };
        let has_come = |r: &&Rule| {
            r.at == 0 && before.iter().any(|before| before.counter == r.counter && before.at != 0)
        };
        let rules = self.state.rules();
        let resets = rules.iter().filter(|r| r.kind == Kind::Reset).filter(has_come);
        for rule in resets {
            let Reached { both, one, .. } = self.reset(&[Rule { kind: Kind::Cut, ..*rule }]).connections;
            self.store.table().add_hits(rule, (both + one) as u64);
        }
        self.enforce(&before);
    }

    /// A socket has come that rules may be about, and whose process may not have seen them.
    pub(super) fn enforce_on_new(&self, cookie: Cookie) {
        let table = self.store.table();
        if self.has_faults()
            && let Some(end) = self.state.end(cookie)
            && table.shut_between(end.hosts).1.is_any()
        {
            enforce(&self.state, &self.kernel, table, &[], vec![end], None);
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        self.store.table().faults() != 0
    }

    /// When the next rule ends by itself.
    pub(super) fn faults_until(&self) -> Option<Instant> {
        if !self.has_faults() {
            return None;
        }
        let until = self.state.rules().iter().map(|r| r.until).filter(|until| *until != 0).min()?;
        Some(Instant::now() + Duration::from_millis(until.saturating_sub(orders::now())))
    }

    /// Takes back the rules whose time is over.
    pub(super) fn end_faults(&mut self) {
        if !self.has_faults() {
            return;
        }
        let (now, before) = (orders::now(), self.state.rules());
        let left: Vec<Rule> = before.iter().filter(|r| r.until == 0 || r.until > now).copied().collect();
        if left.len() < before.len() && self.state.set_rules(0, &left) {
            let report = self.enforce(&before);
            for unreached in report.unreached {
                tracing::warn!("pid {} stays cut: {}", unreached.pid, unreached.why);
            }
        }
    }
}
