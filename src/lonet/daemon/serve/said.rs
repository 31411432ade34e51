//! What programs say without waiting for an answer.
//!
//! What there is is received first, then the kernel's news are taken, and then what was said is acted upon: the news
//! are as new as the newest of it, and all is saved and shown at once. Only then it leaves the mailbox: what a lonetd that
//! is killed has not written down is there for the next one, which may find some of it done already.

use super::Daemon;
use super::processes::is_alive;
use crate::daemon::process::has_ended;
use crate::daemon::state::ahead::Ahead;
use crate::daemon::state::{Cookie, Kernel as _, Sender, State};
use crate::daemon::tally::{self, Kind};
use lonet_core::block::Place;
use lonet_core::control::{self, Op};
use lonet_core::view::mailbox::{ROOM, Said};
use std::time::Instant;

/// So many closed sockets are left to the kernel's announcements at most.
const MOST_CLOSING: usize = 256;

/// What somebody waits for.
enum Done {
    Dial(Cookie),
    Listening,
}

/// Whether the lonetd that it was said to may have acted upon it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Now,
    Perhaps,
}

impl Daemon {
    /// Takes what the kernel has announced and what programs have said.
    pub(super) fn take_what_is_said(&mut self) {
        let all = self.receive();
        self.take_deaths();
        self.take_ends();
        self.take(&all, Heard::Now);
    }

    /// Takes what programs have said, when the kernel has been asked for its news a moment ago. A process that has ended
    /// meanwhile holds no port that the next one to dial is kept from; of sockets' ends the kernel tells late anyway.
    pub(super) fn take_what_was_just_said(&mut self) {
        let all = self.receive();
        if all.iter().any(|said| said.urgent) {
            self.take_deaths();
        }
        self.take(&all, Heard::Now);
    }

    /// Takes what was said to the lonetd before.
    pub(super) fn take_what_was_said(&mut self) {
        let all = self.receive();
        self.take(&all, Heard::Perhaps);
    }

    fn take(&mut self, all: &[Said], heard: Heard) {
        if !all.is_empty() {
            self.keep_awake();
        }
        let (mut dials, mut listens) = (Vec::new(), false);
        self.kernel.recall(true);
        self.look_ahead(all);
        for said in all {
            match self.act_upon(said, heard) {
                Some(Done::Dial(cookie)) => dials.push(cookie),
                Some(Done::Listening) => listens = true,
                None => {}
            }
        }
        self.kernel.recall(false);
        self.take_unknown_ends();
        if std::mem::take(&mut self.ends_are_lost) {
            self.state.review_all(&mut self.kernel);
        }
        self.settle();
        self.tell_of_dials(&dials);
        if listens {
            self.answer_waiters();
        }
        if let Some(mailbox) = &mut self.mailbox {
            mailbox.done();
        }
    }

    fn receive(&mut self) -> Vec<Said> {
        let processes = &self.processes;
        let is_alive = |pid| match processes.get(&(pid as i32)) {
            Some(process) => !has_ended(process),
            None => is_alive(pid as i32),
        };
        self.mailbox.as_mut().map(|mailbox| mailbox.receive(is_alive)).unwrap_or_default()
    }

    /// Asks the kernel at once for all that a dial among what was said makes a question. All of it was said before, and
    /// who has said it waits: the answers are as good as if they were got one by one.
    fn look_ahead(&mut self, all: &[Said]) {
        let mut ahead = Ahead::default();
        let mut closing: Vec<Cookie> = self.closing.clone();
        for said in all {
            let mut buffer = [0; ROOM];
            let n = said.copy(&mut buffer);
            match control::read_request(&buffer[..n]) {
                Ok((_, Op::Closed { cookie })) => closing.push(cookie),
                Ok((_, Op::Dialed { cookie, from: Some(from), .. })) => ahead.dialed.push((cookie, from)),
                Ok((caller, Op::SetOut { from, os, .. })) => {
                    let matters = |cookie: &Cookie| !self.state.shares_port(*cookie);
                    for cookie in std::mem::take(&mut closing).into_iter().filter(matters) {
                        self.state.before_look(cookie, &mut ahead);
                    }
                    if let Place::Host(host, _) = self.state.block.place(from.to_ipv6_mapped()) {
                        self.state.before_dial(host, caller.options.autobind_from, os, &mut ahead);
                    }
                }
                _ => {}
            }
        }
        // One is asked for when it is needed.
        if ahead.questions.len() > 1 {
            self.kernel.look_ahead(&ahead.questions);
        }
    }

    /// To be settled. What others wait for, if it is that.
    fn act_upon(&mut self, said: &Said, heard: Heard) -> Option<Done> {
        // Who may write there is the owner, or has been.
        let sender = Sender { pid: said.pid as i32, uid: self.membership.owner };
        let mut buffer = [0; ROOM];
        let n = said.copy(&mut buffer);
        let (caller, op) = match control::read_request(&buffer[..n]) {
            Ok((caller, op)) if op.one_way() => (caller, op),
            _ => {
                tally::count(Kind::Malformed, &format_args!("pid {}, in the mailbox", sender.pid));
                return None;
            }
        };
        match op {
            // The kernel is asked when it matters: by then it may have said so by itself.
            Op::Closed { cookie }
                if self.state.is_connection(cookie) && self.closing.len() < MOST_CLOSING =>
            {
                self.closing.push(cookie);
                self.closing_since.get_or_insert_with(Instant::now);
                return None;
            }
            // What has taken a port that others share does not matter to a dial.
            Op::SetOut { .. } => self.look_at_closing(|state, cookie| !state.shares_port(cookie)),
            Op::Took { .. } | Op::Dialed { .. } => {}
            // The kernel has announced its end already.
            Op::Closed { cookie } if self.state.has_ended(cookie) => {}
            _ => self.look_at_closing(|_, _| true),
        }
        self.verify_hosts(|state| state.depends_on_unverified(sender.pid, &caller, &op));
        let done = match op {
            Op::SetOut { cookie, .. } => Some(Done::Dial(cookie)),
            Op::Listening { .. } => Some(Done::Listening),
            _ => None,
        };
        // Whether its host is somebody else's may not be known: then it has to ask.
        let is_in_doubt =
            matches!(op, Op::SetOut { .. }) && self.state.doubt(&caller, &op, false, false).is_some();
        if is_in_doubt {
            return done;
        }
        // Its pid may have become another program's while nobody served.
        let is_in_question = heard == Heard::Perhaps && !self.processes.contains_key(&sender.pid);
        let member = is_in_question.then(|| self.inheritance.members.look_at(sender.pid));
        let Daemon { state, kernel, .. } = self;
        state.handle(kernel, sender, &caller, &op);
        match member {
            Some(None) => self.process_ended(sender.pid),
            Some(Some(member)) if self.state.processes.contains_key(&sender.pid) => {
                self.watch_process(sender.pid, member.process);
            }
            Some(Some(_)) | None => {}
        }
        let Daemon { state, kernel, .. } = self;
        if let (Heard::Perhaps, Op::SetOut { cookie, .. } | Op::Took { cookie, .. }) = (heard, op) {
            // It may have come to its end since, which has been heard as well.
            state.closed(kernel, cookie);
        }
        // One that has ended since is no member again, and holds nothing when the next one dials.
        if !self.processes.contains_key(&sender.pid) {
            self.settle();
        }
        done
    }

    /// Asks the kernel what has become of sockets that were closed, of those that `matter`. To be settled.
    pub(super) fn look_at_closing(&mut self, matters: impl Fn(&State, Cookie) -> bool) {
        let Daemon { closing, state, kernel, .. } = self;
        let (looks, rest): (Vec<Cookie>, _) = closing.drain(..).partition(|cookie| matters(state, *cookie));
        *closing = rest;
        if closing.is_empty() {
            self.closing_since = None;
        }
        let mut ahead = Ahead::default();
        looks.iter().for_each(|cookie| state.before_look(*cookie, &mut ahead));
        kernel.recall(true);
        kernel.look_ahead(&ahead.questions);
        looks.into_iter().for_each(|cookie| state.closed(kernel, cookie));
        kernel.recall(false);
    }

    /// A socket may have ended before what was said of it was acted upon.
    fn take_unknown_ends(&mut self) {
        let Daemon { unknown_ends, state, kernel, .. } = self;
        let (new, old) = std::mem::take(unknown_ends);
        for cookie in old {
            state.destroyed(kernel, cookie);
        }
        unknown_ends.1 = new.into_iter().filter(|cookie| !state.destroyed(kernel, *cookie)).collect();
    }

    /// What has become of dials is in the view; who waits for it looks there now.
    fn tell_of_dials(&mut self, dials: &[Cookie]) {
        let Some(view) = &mut self.view else { return };
        for cookie in dials {
            view.ring(*cookie);
        }
    }
}
