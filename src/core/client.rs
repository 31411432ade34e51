//! The client of lonetd: sends one request on a connection of its own and receives the reply. A message that has no
//! reply is not waited for.
//!
//! No descriptor outlives a call, so nothing is lost when a program closes descriptors that it does not know,
//! forks, or executes another program. Nothing allocates or locks after [`Client::new`], so that a call may be
//! made in a signal handler and after fork in a program with threads.

mod connection;
mod owner;
mod retry;
mod start;
mod trouble;

pub use connection::await_reply;
pub use retry::StartIf;
pub use trouble::TroubleOf;

use crate::config::Config;
use crate::control::{self, Delivery, Key, MAX_MESSAGE, Malformed, Opening, Reply, Request};
use crate::directory::{self, Directory, Place, Which};
use crate::launch::Launch;
use crate::limit::Limit;
pub use crate::limit::{TIME_LIMIT, TIME_LIMIT_SECONDS};
use crate::sys::{self, Fd};
use crate::table::{Mapping, Table};
pub use crate::trouble::Trouble;
use crate::unix::AbstractName;
use connection::receive_raw;
use nix::errno::Errno;
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// All that a process needs to find, start and trust its network's lonetd.
pub struct Client {
    pub config: Config,
    /// The uid that lonetd must have: the network's owner.
    owner: u32,
    /// Where the network may be: one place, or `<tmp>/lonet` and what takes its place.
    ways: Box<[Way]>,
    /// The way on which the network was found last.
    taken: AtomicUsize,
    /// The number of the abstract name that belongs to the network's key; 0: the key is not known.
    abstract_name: AtomicU64,
    /// Where the table is mapped; 0: it is not.
    table: AtomicUsize,
    /// The pid of a lonetd that was found to be the owner's where numbers do not say so; 0: of none.
    owners_pid: AtomicU32,
    /// A lonetd has replied. A program that this process executes begins with a client of its own.
    was_heard: AtomicBool,
}

/// A place where the network may be, and how to start who serves it there.
pub(crate) struct Way {
    pub(crate) place: Place,
    pub(crate) launch: Launch,
}

impl Way {
    fn new(config: &Config, beside: Option<&Path>) -> Way {
        Way { place: Place::new(&config.dir), launch: Launch::new(config, beside) }
    }
}

/// Nothing was found yet.
const NONE: usize = usize::MAX;

/// What an exchange leaves: how the answer opens, and the answer, which lies in the caller's buffer.
pub type Exchange<'b> = Result<(Opening, Reply<'b>), Trouble>;

impl Client {
    /// `beside`: the directory of the program or library that asks, where the lonet command may be. `uid`:
    /// the effective one.
    pub fn new(config: Config, beside: Option<&Path>, uid: u32) -> Client {
        let private = config.private_dir.clone().map(|dir| Config { dir, ..config.clone() });
        let name = config.membership.map(|m| AbstractName::of(&m.key, &config.network));
        Client {
            owner: config.membership.map_or(uid, |m| m.owner),
            ways: [Some(&config), private.as_ref()]
                .into_iter()
                .flatten()
                .map(|c| Way::new(c, beside))
                .collect(),
            taken: AtomicUsize::new(NONE),
            abstract_name: AtomicU64::new(name.map_or(0, AbstractName::number)),
            table: AtomicUsize::new(0),
            owners_pid: AtomicU32::new(0),
            was_heard: AtomicBool::new(false),
            config,
        }
    }

    /// The lonet command, where it is.
    pub fn command(&self) -> Option<&CStr> {
        self.ways.first()?.launch.command()
    }

    /// The way to take, and the network's directory, if it is there. What was found once is not looked for elsewhere.
    pub(crate) fn way(&self) -> (&Way, Result<Directory, directory::Trouble>) {
        let (at, directory) = match (&*self.ways, self.taken.load(Ordering::Relaxed)) {
            ([shared, private], NONE) => match directory::find(&shared.place, &private.place, self.owner) {
                (Which::Shared, directory) => (0, directory),
                (_, directory) => (1, directory),
            },
            (ways, taken) => {
                let at = if taken < ways.len() { taken } else { 0 };
                (at, ways[at].place.open(self.owner))
            }
        };
        if directory.is_ok() {
            self.taken.store(at, Ordering::Relaxed);
        }
        (&self.ways[at], directory)
    }

    /// This is the network's key: lonetd is found by it also where the network's directory cannot be reached any more.
    pub fn learn_key(&self, key: &Key) {
        self.abstract_name.store(AbstractName::of(key, &self.config.network).number(), Ordering::Release);
    }

    /// The network's directory. `None`: it is not there, or must not be used.
    pub fn directory(&self) -> Option<Directory> {
        self.way().1.ok()
    }

    /// From now on the client finds lonetd by what this table says, too.
    ///
    /// # Safety
    /// The table's mapping outlives the client.
    pub unsafe fn look_at(&self, table: Table<'_>) {
        self.table.store(table.address(), Ordering::Release);
    }

    /// The table that the client looks at.
    fn table(&self) -> Option<Table<'static>> {
        let address = self.table.load(Ordering::Acquire);
        // SAFETY: `look_at`'s caller has promised that the mapping stays.
        (address != 0).then(|| unsafe { Table::at(address) })
    }

    /// Maps the network's table. `None`: there is none to be had, or this process may not see it.
    pub fn map_table(&self) -> Option<Mapping> {
        let file = self.directory()?.open(c"table", libc::O_RDWR).ok()?;
        Mapping::open(file.raw()).ok()
    }

    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Asks a lonetd that runs, within a time limit.
    pub fn ask<'b>(
        &self,
        limit: Limit,
        request: &dyn Request,
        buffer: &'b mut [u8; MAX_MESSAGE],
    ) -> Exchange<'b> {
        let fd = self.send_within(limit, request, buffer)?;
        let n = receive_raw(&fd, limit, buffer)?;
        self.parse(buffer, n)
    }

    /// Sends a lonetd that runs what has no reply ([`Request::delivery`]), and waits for nobody: lonetd takes it before what anybody
    /// sends it afterwards.
    ///
    /// [`Trouble::Silent`] with EAGAIN: so much waits for lonetd that there is no room for more.
    pub fn tell<'b>(
        &self,
        limit: Limit,
        request: &dyn Request,
        buffer: &'b mut [u8; MAX_MESSAGE],
    ) -> Exchange<'b> {
        let done = (Opening::NOTHING, Reply::Done);
        match self.send_within(Limit::within(Duration::ZERO), request, buffer) {
            // The kernel announces the end of a socket as well. What has been bound or listens it does not.
            Err(Trouble::Silent(Errno::EAGAIN)) if request.delivery() != Delivery::Hint => {
                self.send_within(limit, request, buffer).map(|_| done)
            }
            sent => sent.map(|_| done),
        }
    }

    /// Waits for the reply on the connection that [`Client::send`] gave.
    pub fn receive<'b>(&self, fd: &Fd, buffer: &'b mut [u8; MAX_MESSAGE]) -> Exchange<'b> {
        self.receive_within(Limit::NONE, fd, buffer)
    }

    /// As [`Client::receive`], within a time limit where signals interrupt it.
    pub fn receive_within<'b>(
        &self,
        limit: Limit,
        fd: &Fd,
        buffer: &'b mut [u8; MAX_MESSAGE],
    ) -> Exchange<'b> {
        let n = receive_raw(fd, limit, buffer)?;
        self.parse(buffer, n)
    }

    fn parse<'b>(&self, buffer: &'b [u8; MAX_MESSAGE], n: usize) -> Exchange<'b> {
        let (opening, reply) = control::read_reply(&buffer[..n]).map_err(|e| match e {
            Malformed::Version(theirs) => Trouble::Version { theirs },
            Malformed::Bytes => Trouble::Silent(Errno::EPROTO),
        })?;
        self.was_heard.store(true, Ordering::Relaxed);
        Ok((opening, reply))
    }

    /// As [`Client::send`], with a descriptor of the program's.
    pub fn send_with(
        &self,
        request: &dyn Request,
        right: i32,
        limit: Limit,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<Fd, Trouble> {
        let fd = self.connect(limit)?;
        let n = self.write(request, buffer)?;
        match sys::send_with(fd.raw(), &buffer[..n], right) {
            Ok(()) => Ok(fd),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Trouble::NotRunning),
            Err(e) => Err(Trouble::Silent(e)),
        }
    }

    /// Sends another request on a connection of [`Client::send_with`].
    pub fn send_on(
        &self,
        fd: &Fd,
        request: &dyn Request,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<(), Trouble> {
        let n = self.write(request, buffer)?;
        sys::send(fd.raw(), &buffer[..n]).map_err(Trouble::Silent)
    }

    /// The request as bytes; how many.
    fn write(&self, request: &dyn Request, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, Trouble> {
        let now = sys::clock(libc::CLOCK_MONOTONIC);
        let mut requester = self.config.requester();
        requester.options.is_first = !self.was_heard.load(Ordering::Relaxed);
        control::write_request(buffer, now, &requester, request).ok_or(Trouble::TooLong)
    }

    /// Connects and sends; the reply, if there will be one, comes on the descriptor.
    pub fn send(&self, request: &dyn Request, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Fd, Trouble> {
        self.send_within(Limit::NONE, request, buffer)
    }

    /// As [`Client::send`], within a time limit, which holds for the reply, too.
    pub fn send_within(
        &self,
        limit: Limit,
        request: &dyn Request,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<Fd, Trouble> {
        let fd = self.connect(limit)?;
        let n = self.write(request, buffer)?;
        match sys::send(fd.raw(), &buffer[..n]) {
            Ok(()) => Ok(fd),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Trouble::NotRunning),
            Err(e) => Err(Trouble::Silent(e)),
        }
    }
}
