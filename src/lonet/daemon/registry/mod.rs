//! registry.db: which hosts the network has in all its subnetworks, shared with the Go and Python
//! implementations.
//!
//! # For who uses it
//!
//! A [`Registry`] takes questions and never waits. Answers come in [`Registry::answer`], after the descriptor of
//! [`Registry::ready`] became readable, each with the ticket that its question had. There is an answer to every
//! question that has a ticket, but nobody says when: who asks has a time limit of its own.
//!
//! # For who maintains it
//!
//! SQLite is slow by the measure of lonetd's loop, and others may lock the database for as long as they like. So
//! it lives on a thread of its own, with the only connection. The thread does not wait for locks inside SQLite:
//! what finds the database locked is put back and tried again [`RETRY`] later, so that a look-up, which in a WAL
//! database needs no lock, is answered while an insert waits for one. Writes keep their order among themselves.

mod book;
mod file;
#[cfg(test)]
mod tests;
mod trouble;
mod vfs;

pub use book::{Row, Verdict};

use super::current::Current;
use book::Book;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use trouble::Trouble;

/// How long what found the database locked waits until it is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// How long a list is tried.
const LIST_FOR: Duration = Duration::from_millis(200);

/// How long a look-up is tried. Writes are tried for as long as lonetd lives.
const FIND_FOR: Duration = Duration::from_secs(2);

/// How long the end of lonetd waits for rows to be removed.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub enum Question {
    /// The host is ours from now on, if it is nobody's.
    Announce { ticket: u64, name: String },
    /// The host is nobody's any more. No answer.
    Withdraw { name: String },
    /// Where is this host, in whatever spelling?
    Find { ticket: u64, name: String },
    /// All hosts that are not ours and where somebody answers.
    Others { ticket: u64 },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Announced(Verdict),
    /// `None`: nobody has it. `Err`: why it cannot be told, with the row's name.
    Found(Result<Option<Row>, String>),
    /// `None`: it cannot be told now.
    Others(Option<Vec<Row>>),
}

#[derive(Clone, Debug)]
pub struct Response {
    pub ticket: u64,
    pub answer: Answer,
}

/// Where the database is and what it is to say.
#[derive(Clone, Debug)]
pub struct Place {
    /// The network's.
    pub directory: Current,
    /// The bare name.
    pub network: String,
    /// Where all hosts of ours are to be dialed: lonetd's listener.
    pub own: SocketAddrV4,
    /// Where a lonetd of this network that is no more had its listener, in another block perhaps.
    pub former: Option<Ipv4Addr>,
}

/// What goes to the thread.
enum Message {
    Ask(Question),
    /// Finish what is to be written, take the database away if nobody needs it, and say that it is done.
    Leave(Sender<()>),
}

pub struct Registry {
    thread: Sender<Message>,
    answers: Receiver<Response>,
    ready: Arc<EventFd>,
}

impl Registry {
    pub fn start(place: Place) -> std::io::Result<Registry> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let ready = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (thread, messages) = channel();
        let (sender, answers) = channel();
        let worker = Worker {
            book: Book::new(place),
            messages,
            responses: sender,
            ready: ready.clone(),
            finds: VecDeque::new(),
            // Rows that another lonetd of the network has left.
            writes: VecDeque::from([Write::Sweep]),
            leaving: None,
        };
        std::thread::Builder::new().name("registry".into()).spawn(move || worker.work())?;
        Ok(Registry { thread, answers, ready })
    }

    /// Readable when there are answers.
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    pub fn ask(&self, question: Question) {
        // The thread ends with this struct and not before, unless it has panicked: then nobody answers, which
        // is what time limits are for.
        let _ = self.thread.send(Message::Ask(question));
    }

    pub fn answer(&self) -> Option<Response> {
        let _ = self.ready.read();
        self.answers.try_recv().ok()
    }

    /// Removes what is to be removed, and the database if it has become empty and nobody else has it open.
    pub fn leave(&self) {
        let (done, wait) = channel();
        let _ = self.thread.send(Message::Leave(done));
        if wait.recv_timeout(LEAVE_WITHIN).is_err() {
            tracing::warn!("registry.db is locked: rows of this network's hosts stay in it");
        }
    }
}

enum Write {
    Announce { ticket: u64, name: String },
    Withdraw { name: String },
    Sweep,
}

struct Find {
    ticket: u64,
    /// `None`: all others.
    name: Option<String>,
    since: Instant,
}

/// The thread's side.
struct Worker {
    book: Book,
    messages: Receiver<Message>,
    responses: Sender<Response>,
    ready: Arc<EventFd>,
    finds: VecDeque<Find>,
    writes: VecDeque<Write>,
    leaving: Option<Sender<()>>,
}

impl Worker {
    fn work(mut self) {
        loop {
            let busy = !self.look_up() | !self.write();
            let message = if busy {
                self.messages.recv_timeout(RETRY)
            } else if let Some(done) = self.leaving.take() {
                self.book.leave();
                let _ = done.send(());
                continue;
            } else {
                self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(message) = self.messages.try_recv() {
                self.take(message);
            }
        }
    }

    fn take(&mut self, message: Message) {
        let since = Instant::now();
        match message {
            Message::Ask(Question::Announce { ticket, name }) => {
                self.writes.push_back(Write::Announce { ticket, name });
            }
            Message::Ask(Question::Withdraw { name }) => self.writes.push_back(Write::Withdraw { name }),
            Message::Ask(Question::Find { ticket, name }) => {
                self.finds.push_back(Find { ticket, name: Some(name), since });
            }
            Message::Ask(Question::Others { ticket }) => {
                self.finds.push_back(Find { ticket, name: None, since });
            }
            Message::Leave(done) => self.leaving = Some(done),
        }
    }

    fn tell(&self, ticket: u64, answer: Answer) {
        let _ = self.responses.send(Response { ticket, answer });
        let _ = self.ready.write(1);
    }

    /// Whether all are answered.
    fn look_up(&mut self) -> bool {
        while let Some(find) = self.finds.pop_front() {
            let answer = match &find.name {
                Some(name) => self.book.find(name).map(|found| Answer::Found(Ok(found))),
                None => self.book.others().map(|rows| Answer::Others(Some(rows))),
            };
            let late = find.since.elapsed() >= if find.name.is_some() { FIND_FOR } else { LIST_FOR };
            match (answer, &find.name) {
                (Ok(answer), _) => self.tell(find.ticket, answer),
                (Err(Trouble::Busy), _) if !late => {
                    self.finds.push_front(find);
                    return false;
                }
                (Err(_), None) => self.tell(find.ticket, Answer::Others(None)),
                (Err(trouble), Some(_)) => {
                    self.tell(find.ticket, Answer::Found(Err(trouble.to_string())));
                }
            }
        }
        true
    }

    /// Whether all is written.
    fn write(&mut self) -> bool {
        while let Some(write) = self.writes.pop_front() {
            let done = match &write {
                Write::Announce { ticket, name } => self.book.announce(name).map(|v| Some((*ticket, v))),
                Write::Withdraw { name } => self.book.withdraw(name).map(|()| None),
                Write::Sweep => self.book.sweep().map(|()| None),
            };
            match (done, write) {
                (Ok(Some((ticket, verdict))), _) => self.tell(ticket, Answer::Announced(verdict)),
                (Ok(None), _) => {}
                (Err(Trouble::Busy), write) => {
                    self.writes.push_front(write);
                    return false;
                }
                (Err(Trouble::Refused(text)), Write::Announce { ticket, .. }) => {
                    self.tell(ticket, Answer::Announced(Verdict::Refused(text)));
                }
                (Err(trouble), Write::Announce { ticket, .. }) => {
                    self.tell(ticket, Answer::Announced(Verdict::Failed(trouble.to_string())));
                }
                (Err(trouble), Write::Withdraw { name }) => {
                    tracing::warn!("the row of host {name:?} stays: {trouble}");
                }
                (Err(trouble), Write::Sweep) => tracing::warn!("{trouble}"),
            }
        }
        true
    }
}
