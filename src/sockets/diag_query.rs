//! What the kernel is asked about other sockets.
//!
//! "There is none" counts only where the same message has found a socket that is known to be there: a kernel without
//! sock_diag, or another network namespace, says the same. Whoever cannot ask takes what is in doubt for alive.

use crate::kernel;
use lonet_core::child::run_in_child;
use lonet_core::diag::{Answer, Diag, NOBODY, Question, State};
use lonet_core::table::claim::{QUERY_BATCH, SocketQuery, Suspect};
use std::io;
use std::net::SocketAddrV4;

/// Answers to so many questions.
pub type Answers<const N: usize> = [Option<Answer>; N];

/// Asks all in one message. The answers, if it could be asked: the first question is the control. Where no descriptor is left a child asks, in which `spare` gives way.
pub fn query<const N: usize>(questions: &[Question; N], spare: i32) -> Option<Answers<N>> {
    let mut answers = [None; N];
    let is_usable = match see(questions, &mut answers) {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            let (is_usable, theirs) = run_in_child(spare, || {
                let mut answers = [None; N];
                (is_valid(see(questions, &mut answers), &answers), answers)
            })
            .ok()?;
            answers = theirs;
            is_usable
        }
        seen => is_valid(seen, &answers),
    };
    is_usable.then_some(answers)
}

fn see<const N: usize>(questions: &[Question], answers: &mut Answers<N>) -> io::Result<()> {
    Diag::open()?.answers_as_they_come(questions, answers)
}

fn is_valid<const N: usize>(seen: io::Result<()>, answers: &Answers<N>) -> bool {
    seen.is_ok() && matches!(answers.first(), Some(Some(Answer::Found(_))))
}

/// The kernel's word on suspects, with a socket that is there as the control.
pub struct DiagQuery {
    control: Question,
    /// The slot of the process that asks.
    slot: u16,
    /// Open from the first question on.
    diag: Option<Diag>,
}

impl DiagQuery {
    pub fn new(control: Question, slot: u16) -> DiagQuery {
        DiagQuery { control, slot, diag: None }
    }

    fn see<const N: usize>(&mut self, questions: &[Question], answers: &mut Answers<N>) -> io::Result<()> {
        if self.diag.is_none() {
            self.diag = Some(Diag::open()?);
        }
        self.diag.as_ref().map_or(Ok(()), |diag| diag.answers_as_they_come(questions, answers))
    }
}

impl SocketQuery for DiagQuery {
    fn listener(&mut self, os: SocketAddrV4) -> Option<u64> {
        if self.diag.is_none() {
            self.diag = Diag::open().ok();
        }
        self.diag.as_ref()?.lookup(os, NOBODY).ok().flatten().map(|found| found.cookie)
    }

    fn ask(&mut self, suspects: &mut [Suspect]) {
        let mut questions = [self.control; 1 + QUERY_BATCH];
        for (question, suspect) in questions[1..].iter_mut().zip(suspects.iter()) {
            *question = (suspect.local, suspect.remote, None);
        }
        let mut answers = [None; 1 + QUERY_BATCH];
        let seen = self.see(&questions[..=suspects.len().min(QUERY_BATCH)], &mut answers);
        if !is_valid(seen, &answers) {
            return;
        }
        for (suspect, answer) in suspects.iter_mut().zip(&answers[1..]) {
            suspect.has_gone = match answer {
                Some(Answer::Found(f)) => {
                    let is_over = f.state == State::TIME_WAIT || f.state == State::CLOSE;
                    f.cookie != suspect.cookie || f.inode == 0 || is_over
                }
                Some(Answer::Another | Answer::Nobody) => true,
                None => false,
            };
        }
    }

    /// A process knows its own sockets by their descriptors, for two short calls each: a program with many connections that
    /// their other ends have closed would ask the kernel about all of them with each dial.
    fn is_alive(&self, suspect: &Suspect) -> bool {
        suspect.slot == self.slot
            && suspect
                .descriptor
                .is_some_and(|fd| kernel::cookie(fd) == Ok(suspect.cookie) && kernel::has_connection(fd))
    }
}
