//! What the kernel is asked about other sockets.
//!
//! "There is none" counts only where the same message has found a socket that is known to be there: a kernel without
//! sock_diag, or another network namespace, says the same. Whoever cannot ask takes what is in doubt for alive.

use crate::kernel;
use lonet_core::aside::aside;
use lonet_core::diag::{Answer, Diag, Loan, NOBODY, Question, State};
use lonet_core::table::claim::{ASKED_AT_ONCE, Kernel, Suspect};
use std::io;
use std::net::SocketAddrV4;

/// Answers to so many questions.
pub type Answers<const N: usize> = [Option<Answer>; N];

/// Asks all in one message. The answers, if it could be asked: the first question is the control. Where no descriptor is left a child asks, in which `spare` gives way.
pub fn ask_or_aside<const N: usize>(questions: &[Question; N], spare: i32) -> Option<Answers<N>> {
    let mut answers = [None; N];
    let seen = Loan::open().and_then(|mut loan| loan.ask(|diag| see(diag, questions, &mut answers)));
    let is_heard = match seen {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            let (is_heard, heard) = aside(spare, || {
                let mut answers = [None; N];
                let seen = Diag::open().and_then(|diag| see(&diag, questions, &mut answers));
                (understood(seen, &answers), answers)
            })
            .ok()?;
            answers = heard;
            is_heard
        }
        seen => understood(seen, &answers),
    };
    is_heard.then_some(answers)
}

fn see<const N: usize>(diag: &Diag, questions: &[Question], answers: &mut Answers<N>) -> io::Result<()> {
    diag.answers_as_they_come(questions, answers)
}

fn understood<const N: usize>(seen: io::Result<()>, answers: &Answers<N>) -> bool {
    seen.is_ok() && matches!(answers.first(), Some(Some(Answer::Found(_))))
}

/// The kernel's word on suspects, with a socket that is there as the control.
pub struct Asked {
    control: Question,
    /// The slot of the process that asks.
    slot: u16,
    /// Open from the first question on.
    diag: Option<Loan>,
}

impl Asked {
    pub fn new(control: Question, slot: u16) -> Asked {
        Asked { control, slot, diag: None }
    }

    fn diag(&mut self) -> io::Result<&mut Loan> {
        match &mut self.diag {
            Some(diag) => Ok(diag),
            none => Ok(none.insert(Loan::open()?)),
        }
    }
}

impl Kernel for Asked {
    fn listener(&mut self, os: SocketAddrV4) -> Option<u64> {
        let found = self.diag().ok()?.ask(|diag| diag.lookup(os, NOBODY));
        found.ok().flatten().map(|found| found.cookie)
    }

    fn ask(&mut self, suspects: &mut [Suspect]) {
        let mut questions = [self.control; 1 + ASKED_AT_ONCE];
        for (question, suspect) in questions[1..].iter_mut().zip(suspects.iter()) {
            *question = (suspect.local, suspect.remote, None);
        }
        let mut answers = [None; 1 + ASKED_AT_ONCE];
        let questions = &questions[..=suspects.len().min(ASKED_AT_ONCE)];
        let seen = self.diag().and_then(|loan| loan.ask(|diag| see(diag, questions, &mut answers)));
        if !understood(seen, &answers) {
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
