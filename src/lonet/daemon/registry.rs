//! registry.db: the hosts of a network in all its subnetworks, shared with the Go and Python implementations.
//!
//! # For its users
//!
//! [`Registry::ask`] never blocks. Responses are returned by [`Registry::response`] after the descriptor of
//! [`Registry::ready`] has become readable, each with the ticket of its request. Every request with a ticket
//! is answered, but at no certain time: callers have their own time limits.
//!
//! # For its maintainers
//!
//! SQLite is slow compared with lonetd's loop, and others may lock the database for as long as they like. So
//! it runs on its own thread, which has the only connection. The thread does not wait for locks inside
//! SQLite: what finds the database locked is retried [`RETRY`] later, so that a look-up, which in a WAL
//! database needs no lock, is answered while an insert waits for one. Writes keep their order among
//! themselves.

mod database;
mod file;
#[cfg(test)]
mod tests;
mod trouble;
mod vfs;

pub use database::{Row, Verdict};

use super::current_directory::CurrentDirectory;
use database::Database;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use trouble::Trouble;

/// The pause before a retry after the database was found locked.
const RETRY: Duration = Duration::from_millis(20);

/// How long a listing is retried.
const LIST_FOR: Duration = Duration::from_millis(200);

/// How long a look-up is retried. Writes are retried for as long as lonetd lives.
const FIND_FOR: Duration = Duration::from_secs(2);

/// How long the removal of rows is retried at the end of lonetd, if others have locked the database.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How long the end of lonetd waits for the thread, which may wait for a busy disk. Less than a program waits for lonetd that
/// comes meanwhile.
const DISK_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub enum Request {
    /// Adds the host to this subnetwork, unless another has it.
    Announce { ticket: u64, name: String },
    /// Removes the host. No answer.
    Withdraw { name: String },
    /// Finds a host by any spelling of its name.
    Find { ticket: u64, name: String },
    /// Lists the hosts of other subnetworks that answer.
    Others { ticket: u64 },
}

#[derive(Clone, Debug)]
pub enum ResponseBody {
    Announced(Verdict),
    /// `None`: no subnetwork has it. `Err`: why it cannot be found, with the row's name.
    Found(Result<Option<Row>, String>),
    /// `None`: they cannot be listed now.
    Others(Option<Vec<Row>>),
}

#[derive(Clone, Debug)]
pub struct Response {
    pub ticket: u64,
    pub body: ResponseBody,
}

/// The database's location, and what its rows contain.
#[derive(Clone, Debug)]
pub struct Place {
    /// The network's.
    pub directory: CurrentDirectory,
    /// The network's bare name.
    pub network: String,
    /// The address at which all hosts of this subnetwork are dialed: lonetd's listener.
    pub own: SocketAddrV4,
    /// The address of a previous lonetd's listener, perhaps in another block.
    pub former: Option<Ipv4Addr>,
}

/// A message to the thread.
enum Message {
    Ask(Request),
    /// Finish all writes, remove the database if it is unused, and reply.
    Leave(Sender<bool>),
}

pub struct Registry {
    thread: Sender<Message>,
    responses: Receiver<Response>,
    ready: Arc<EventFd>,
}

impl Registry {
    pub fn start(place: Place) -> std::io::Result<Registry> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let ready = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        let (thread, messages) = channel();
        let (sender, responses) = channel();
        let worker = Worker {
            database: Database::new(place),
            messages,
            responses: sender,
            ready: ready.clone(),
            finds: VecDeque::new(),
            // Rows that a previous lonetd of the network has left.
            writes: VecDeque::from([Write::Sweep]),
            leaving: None,
        };
        std::thread::Builder::new().name("registry".into()).spawn(move || worker.work())?;
        Ok(Registry { thread, responses, ready })
    }

    /// Readable when there are responses.
    pub fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    pub fn ask(&self, request: Request) {
        // The thread ends with this struct and not before, unless it has panicked: then there is no answer,
        // and the callers' time limits pass.
        let _ = self.thread.send(Message::Ask(request));
    }

    pub fn response(&self) -> Option<Response> {
        let _ = self.ready.read();
        self.responses.try_recv().ok()
    }

    /// Finishes all removals, and removes the database if it is empty and no other process has it open.
    pub fn leave(&self) {
        let (done, wait) = channel();
        let _ = self.thread.send(Message::Leave(done));
        if wait.recv_timeout(DISK_WITHIN) != Ok(true) {
            tracing::warn!(
                "registry.db is locked, or the disk is busy: rows of this network's hosts may stay in it"
            );
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
    /// `None`: lists all hosts of other subnetworks.
    name: Option<String>,
    since: Instant,
}

/// The thread's state.
struct Worker {
    database: Database,
    messages: Receiver<Message>,
    responses: Sender<Response>,
    ready: Arc<EventFd>,
    finds: VecDeque<Find>,
    writes: VecDeque<Write>,
    /// Who waits for it to leave, and until when it tries.
    leaving: Option<(Sender<bool>, Instant)>,
}

impl Worker {
    fn work(mut self) {
        loop {
            let busy = !self.look_up() | !self.write();
            if let Some((done, _)) = self.leaving.take_if(|(_, until)| !busy || Instant::now() >= *until) {
                if !busy {
                    self.database.leave();
                }
                let _ = done.send(!busy);
                continue;
            }
            let message = if busy {
                self.messages.recv_timeout(RETRY)
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
            Message::Ask(Request::Announce { ticket, name }) => {
                self.writes.push_back(Write::Announce { ticket, name });
            }
            Message::Ask(Request::Withdraw { name }) => self.writes.push_back(Write::Withdraw { name }),
            Message::Ask(Request::Find { ticket, name }) => {
                self.finds.push_back(Find { ticket, name: Some(name), since });
            }
            Message::Ask(Request::Others { ticket }) => {
                self.finds.push_back(Find { ticket, name: None, since });
            }
            Message::Leave(done) => self.leaving = Some((done, Instant::now() + LEAVE_WITHIN)),
        }
    }

    fn respond(&self, ticket: u64, body: ResponseBody) {
        let _ = self.responses.send(Response { ticket, body });
        let _ = self.ready.write(1);
    }

    /// Handles the look-ups. Returns false if the database is locked.
    fn look_up(&mut self) -> bool {
        while let Some(find) = self.finds.pop_front() {
            let found = match &find.name {
                Some(name) => self.database.find(name).map(|found| ResponseBody::Found(Ok(found))),
                None => self.database.others().map(|rows| ResponseBody::Others(Some(rows))),
            };
            let late = find.since.elapsed() >= if find.name.is_some() { FIND_FOR } else { LIST_FOR };
            match (found, &find.name) {
                (Ok(body), _) => self.respond(find.ticket, body),
                (Err(Trouble::Busy), _) if !late => {
                    self.finds.push_front(find);
                    return false;
                }
                (Err(_), None) => self.respond(find.ticket, ResponseBody::Others(None)),
                (Err(trouble), Some(_)) => {
                    self.respond(find.ticket, ResponseBody::Found(Err(trouble.to_string())));
                }
            }
        }
        true
    }

    /// Handles the writes. Returns false if the database is locked.
    fn write(&mut self) -> bool {
        while let Some(write) = self.writes.pop_front() {
            let done = match &write {
                Write::Announce { ticket, name } => self.database.announce(name).map(|v| Some((*ticket, v))),
                Write::Withdraw { name } => self.database.withdraw(name).map(|()| None),
                Write::Sweep => self.database.sweep().map(|()| None),
            };
            match (done, write) {
                (Ok(Some((ticket, verdict))), _) => self.respond(ticket, ResponseBody::Announced(verdict)),
                (Ok(None), _) => {}
                (Err(Trouble::Busy), write) => {
                    self.writes.push_front(write);
                    return false;
                }
                (Err(Trouble::Refused(text)), Write::Announce { ticket, .. }) => {
                    self.respond(ticket, ResponseBody::Announced(Verdict::Refused(text)));
                }
                (Err(trouble), Write::Announce { ticket, .. }) => {
                    self.respond(ticket, ResponseBody::Announced(Verdict::Failed(trouble.to_string())));
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
