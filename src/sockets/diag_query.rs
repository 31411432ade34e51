//! Queries to the kernel (NETLINK_SOCK_DIAG) about sockets that this process may have no descriptor of.
//!
//! "Not found" counts only if the same message has found a socket that is known to exist, the control: a
//! kernel without sock_diag and another network namespace answer the same. If the kernel cannot be asked,
//! unverified sockets count as alive.

use crate::kernel;
use lonet_core::child::run_in_child;
use lonet_core::diag::{Diag, Loan, NOBODY, SocketAnswer, SocketQuestion, State};
use lonet_core::sys;
use lonet_core::table::claim::{QUERY_BATCH, SocketQuery, Suspect, WALK_BATCH};
use std::io;
use std::net::SocketAddrV4;

/// Answers to N questions.
pub type Answers<const N: usize> = [Option<SocketAnswer>; N];

/// Asks all questions in one message, in their order; the last one is the control. `None`: the kernel could not be asked.
///
/// If the process has no descriptor left a child asks, in which the descriptor `spare` is closed.
pub fn query<const N: usize>(questions: &[SocketQuestion; N], spare: i32) -> Option<Answers<N>> {
    let mut answers = [None; N];
    let seen = Loan::open().and_then(|mut loan| loan.ask(|diag| send(diag, questions, &mut answers)));
    let is_usable = match seen {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            let (is_usable, theirs) = run_in_child(spare, || {
                let mut answers = [None; N];
                let seen = Diag::open().and_then(|diag| send(&diag, questions, &mut answers));
                (is_valid(seen, answers.last()), answers)
            })
            .ok()?;
            answers = theirs;
            is_usable
        }
        seen => is_valid(seen, answers.last()),
    };
    is_usable.then_some(answers)
}

fn send<const N: usize>(
    diag: &Diag,
    questions: &[SocketQuestion],
    answers: &mut Answers<N>,
) -> io::Result<()> {
    diag.answers_as_they_come(questions, answers)
}

/// Whether the kernel has answered, and `control` says that it has found that socket.
fn is_valid(seen: io::Result<()>, control: Option<&Option<SocketAnswer>>) -> bool {
    seen.is_ok() && matches!(control, Some(Some(SocketAnswer::Found(_))))
}

/// The queries of a claim.
pub struct DiagQuery {
    /// The question about a socket that is known to exist.
    control: SocketQuestion,
    /// The slot of the process that asks.
    slot: u16,
    /// Opened for the first query.
    diag: Option<Loan>,
}

impl DiagQuery {
    pub fn new(control: SocketQuestion, slot: u16) -> DiagQuery {
        DiagQuery { control, slot, diag: None }
    }

    fn diag(&mut self) -> io::Result<&mut Loan> {
        match &mut self.diag {
            Some(diag) => Ok(diag),
            none => Ok(none.insert(Loan::open()?)),
        }
    }
}

impl SocketQuery for DiagQuery {
    fn listener(&mut self, os: SocketAddrV4) -> Option<u64> {
        let found = self.diag().ok()?.ask(|diag| diag.lookup(os, NOBODY));
        found.ok().flatten().map(|found| found.cookie)
    }

    fn ask(&mut self, suspects: &mut [Suspect]) {
        let mut questions = [self.control; 1 + QUERY_BATCH];
        for (question, suspect) in questions[1..].iter_mut().zip(suspects.iter()) {
            *question = (suspect.local, suspect.remote, None);
        }
        let mut answers = [None; 1 + QUERY_BATCH];
        let questions = &questions[..=suspects.len().min(QUERY_BATCH)];
        let seen = self.diag().and_then(|loan| loan.ask(|diag| send(diag, questions, &mut answers)));
        if !is_valid(seen, answers.first()) {
            return;
        }
        for (suspect, answer) in suspects.iter_mut().zip(&answers[1..]) {
            suspect.has_gone = match answer {
                Some(SocketAnswer::Found(f)) => {
                    let is_over = f.state == State::TIME_WAIT || f.state == State::CLOSE;
                    f.cookie != suspect.cookie || f.inode == 0 || is_over
                }
                Some(SocketAnswer::Another | SocketAnswer::Nobody) => true,
                None => false,
            };
        }
    }

    /// Verifies sockets of this process by their descriptors, with one short system call for all: a program with many
    /// connections that their peers have closed would otherwise query each of them at each dial.
    ///
    /// A descriptor whose socket was closed past the hooks may be another file's by now. Then the port counts as held until
    /// lonetd is notified of the socket's end.
    fn mark_alive(&self, suspects: &mut [Suspect]) {
        let mut polled = [libc::pollfd { fd: -1, events: 0, revents: 0 }; WALK_BATCH];
        for (poll, suspect) in polled.iter_mut().zip(&*suspects).filter(|(_, s)| s.slot == self.slot) {
            poll.fd = suspect.descriptor.unwrap_or(-1);
        }
        let polled = &mut polled[..suspects.len().min(WALK_BATCH)];
        let mut at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        if polled.iter().all(|poll| poll.fd < 0) || sys::poll(polled, Some(&mut at_once)).is_err() {
            return;
        }
        for (suspect, poll) in suspects.iter_mut().zip(polled).filter(|(_, poll)| poll.fd >= 0) {
            // One that was shut down on both sides has POLLHUP like one that was reset.
            suspect.is_alive = poll.revents == 0
                || kernel::cookie(poll.fd) == Ok(suspect.cookie) && kernel::has_connection(poll.fd);
        }
    }
}
