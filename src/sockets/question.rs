//! What the kernel is asked about other sockets.
//!
//! "There is none" counts only where the same message has found a socket that is known to be there: a kernel without
//! sock_diag, or another network namespace, says the same. Whoever cannot ask takes what is in doubt for alive.

use lonet_core::aside::aside;
use lonet_core::diag::{Answer, Diag, Question, SEVERAL, State};
use lonet_core::table::claim::{ASKED_AT_ONCE, Kernel, Suspect};

pub type Answers = [Option<Answer>; SEVERAL];

/// Asks all in one message. `None`: cannot be asked. The first question is the control.
pub fn ask(questions: &[Question]) -> Option<Answers> {
    understood(answers(questions))
}

/// As [`ask`]. Where no descriptor is left a child asks, in which `spare` gives way.
pub fn ask_or_aside(questions: &[Question], spare: i32) -> Option<Answers> {
    match answers(questions) {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            aside(spare, || understood(answers(questions))).ok()?
        }
        seen => understood(seen),
    }
}

fn answers(questions: &[Question]) -> std::io::Result<Answers> {
    Diag::open()?.answers_as_they_come(questions)
}

fn understood(answers: std::io::Result<Answers>) -> Option<Answers> {
    answers.ok().filter(|all| matches!(all[0], Some(Answer::Found(_))))
}

/// The kernel's word on suspects, with a socket that is there as the control.
pub struct Asked {
    pub control: Question,
}

impl Kernel for Asked {
    fn ask(&mut self, suspects: &mut [Suspect]) {
        let mut questions = [self.control; 1 + ASKED_AT_ONCE];
        for (question, suspect) in questions[1..].iter_mut().zip(suspects.iter()) {
            *question = (suspect.local, suspect.remote, None);
        }
        let Some(answers) = ask(&questions[..=suspects.len().min(ASKED_AT_ONCE)]) else { return };
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
}
