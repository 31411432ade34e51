//! The way to lonetd: one connection, one request, one reply; what has no reply is left in the view's mailbox.
//!
//! No descriptor outlives a call, so nothing is lost when a program closes descriptors that it does not know,
//! forks, or executes another program. Nothing allocates or locks after [`Client::new`], so that a call may be
//! made in a signal handler and after fork in a program with threads.

mod connection;
mod insist;
mod owner;
pub(crate) mod starved;
mod trouble;

pub use connection::await_reply;
pub use insist::StartIf;
pub use trouble::Trouble;

use crate::config::Config;
use crate::control::{self, Caller, Key, MAX_MESSAGE, Malformed, Op, Opening, Reply};
use crate::directory::{self, Directory, Place, Which};
use crate::limit::Limit;
use crate::start;
use crate::sys::{self, Fd, getpid};
use crate::unix::AbstractName;
use crate::view::{Mapping, View};
use connection::receive_raw;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long lonetd may take for anything.
pub const TIME_LIMIT_SECONDS: i64 = 5;
pub const TIME_LIMIT: Duration = Duration::from_secs(TIME_LIMIT_SECONDS as u64);

/// How long lonetd may take to confirm a one-way message that finds no room in the mailbox. It has been sent by then: what is
/// waited for is that others' messages do not overtake it.
const GRACE: Duration = Duration::from_millis(100);

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
    /// Where the view is mapped; 0: it is not.
    view: AtomicUsize,
    /// This process' pid as lonetd sees it, below its own, which a child of a fork does not share.
    seen_as: AtomicU64,
    /// The pid of a lonetd that was found to be the owner's where numbers do not say so; 0: of none.
    owners_pid: AtomicU32,
    /// lonetd has not confirmed a one-way message in time, and has not answered since.
    is_silent: AtomicBool,
}

/// A place where the network may be, and how to start who serves it there.
pub(crate) struct Way {
    pub(crate) place: Place,
    pub(crate) launch: start::Launch,
}

impl Way {
    fn new(config: &Config, beside: Option<&Path>) -> Way {
        Way { place: Place::new(&config.dir), launch: start::Launch::new(config, beside) }
    }
}

/// Nothing was found yet.
const NONE: usize = usize::MAX;

/// What an exchange leaves: how the answer opens, and the answer, which lies in the caller's buffer.
pub type Answer<'b> = Result<(Opening, Reply<'b>), Trouble>;

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
            view: AtomicUsize::new(0),
            seen_as: AtomicU64::new(0),
            owners_pid: AtomicU32::new(0),
            is_silent: AtomicBool::new(false),
            config,
        }
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

    /// From now on the client looks there, once.
    ///
    /// # Safety
    /// The mapping is of this client's network, and stays for as long as the client is used.
    pub unsafe fn look_at(&self, mapping: &Mapping) {
        self.view.store(mapping.address(), Ordering::Release);
    }

    /// The network's view, if there is one to look at.
    pub fn view(&self) -> Option<View<'_>> {
        let address = self.view.load(Ordering::Acquire);
        // SAFETY: as promised to `look_at`.
        (address != 0).then(|| unsafe { View::at(address) })
    }

    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Keeps others from starting a lonetd, for one that is started by hand. `None`: one runs already.
    pub fn lock_start(&self) -> Result<Option<start::Lock>, Trouble> {
        start::lock_start(self)
    }

    /// Asks a lonetd that runs, within a time limit.
    pub fn ask<'b>(&self, limit: Limit, op: &Op<'_>, buffer: &'b mut [u8; MAX_MESSAGE]) -> Answer<'b> {
        let fd = self.send_within(limit, op, buffer)?;
        let n = receive_raw(&fd, limit, buffer)?;
        self.parse(buffer, n)
    }

    /// Tells a lonetd that runs what needs no answer ([`Op::one_way`]): in the mailbox, where that has room, else on a
    /// connection. A lonetd that is silent is waited for once and for a moment, and then not at all until it has answered
    /// something.
    pub fn tell<'b>(&self, limit: Limit, op: &Op<'_>, buffer: &'b mut [u8; MAX_MESSAGE]) -> Answer<'b> {
        if self.say(op, buffer).is_ok() {
            return Ok((Opening::NOTHING, Reply::Done));
        }
        let is_silent = self.is_silent.load(Ordering::Relaxed);
        let limit = limit.at_most(if is_silent { Duration::ZERO } else { GRACE });
        let told = self.send_within(limit, op, buffer).and_then(|fd| receive_raw(&fd, limit, buffer));
        if let Err(Trouble::Silent(_)) = told {
            self.is_silent.store(true, Ordering::Relaxed);
            // What this process left in the mailbox would be taken first. The next answer says that this has been taken.
            self.seen_as.store(0, Ordering::Relaxed);
        }
        self.parse(buffer, told?)
    }

    /// Says what is not answered: one system call that asks who this is, and one more to wake lonetd for what is urgent,
    /// where a connection takes eight and six. `Err`: it has to be said on a connection.
    ///
    /// Order is kept: nobody says something here before what it has asked on a connection is done, and lonetd looks here
    /// before it takes any message on a connection. Nothing is lost with a lonetd that is killed.
    pub fn say(&self, op: &Op<'_>, buffer: &mut [u8; MAX_MESSAGE]) -> Result<(), Errno> {
        // A process that has mapped it was the network's owner then, and is a member whoever it is by now.
        let view = self.view().filter(|view| view.is_served()).ok_or(Errno::ENOTCONN)?;
        let seen_as = self.seen_as.load(Ordering::Relaxed);
        if seen_as >> 32 != getpid() as u64 {
            return Err(Errno::ESRCH);
        }
        // Who has the file needs no key.
        let caller = Caller { key: [0; 16], ..self.config.caller() };
        let n = control::write_request(buffer, &caller, op).ok_or(Errno::EMSGSIZE)?;
        view.post(seen_as as u32, op.is_waited_for(), &buffer[..n])
    }

    /// Waits for the reply on the connection that [`Client::send`] gave.
    pub fn receive<'b>(&self, fd: &Fd, buffer: &'b mut [u8; MAX_MESSAGE]) -> Answer<'b> {
        self.receive_within(Limit::NONE, fd, buffer)
    }

    /// As [`Client::receive`], within a time limit where signals interrupt it.
    pub fn receive_within<'b>(&self, limit: Limit, fd: &Fd, buffer: &'b mut [u8; MAX_MESSAGE]) -> Answer<'b> {
        let n = receive_raw(fd, limit, buffer)?;
        self.parse(buffer, n)
    }

    fn parse<'b>(&self, buffer: &'b [u8; MAX_MESSAGE], n: usize) -> Answer<'b> {
        let (opening, reply) = control::read_reply(&buffer[..n]).map_err(|e| match e {
            Malformed::Version(theirs) => Trouble::Version { theirs },
            Malformed::Bytes => Trouble::Silent(Errno::EPROTO),
        })?;
        if self.is_silent.load(Ordering::Relaxed) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
        // What is known is this process' own, unless it is a child of a fork, which is seen as another.
        if opening.pid != 0 && self.seen_as.load(Ordering::Relaxed) as u32 != opening.pid {
            self.seen_as.store((getpid() as u64) << 32 | u64::from(opening.pid), Ordering::Relaxed);
        }
        Ok((opening, reply))
    }

    /// As [`Client::send`], with a descriptor of the program's.
    pub fn send_with(
        &self,
        op: &Op<'_>,
        right: i32,
        limit: Limit,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<Fd, Trouble> {
        let fd = self.connect(limit)?;
        let n = control::write_request(buffer, &self.config.caller(), op).ok_or(Trouble::TooLong)?;
        match sys::send_with(fd.raw(), &buffer[..n], right) {
            Ok(()) => Ok(fd),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Trouble::NotRunning),
            Err(e) => Err(Trouble::Silent(e)),
        }
    }

    /// Sends another request on a connection of [`Client::send_with`].
    pub fn send_on(&self, fd: &Fd, op: &Op<'_>, buffer: &mut [u8; MAX_MESSAGE]) -> Result<(), Trouble> {
        let n = control::write_request(buffer, &self.config.caller(), op).ok_or(Trouble::TooLong)?;
        sys::send(fd.raw(), &buffer[..n]).map_err(Trouble::Silent)
    }

    /// Connects and sends; the reply, if there will be one, comes on the descriptor.
    pub fn send(&self, op: &Op<'_>, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Fd, Trouble> {
        self.send_within(Limit::NONE, op, buffer)
    }

    /// As [`Client::send`], within a time limit, which holds for the reply, too.
    pub fn send_within(
        &self,
        limit: Limit,
        op: &Op<'_>,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<Fd, Trouble> {
        let fd = self.connect(limit)?;
        let n = control::write_request(buffer, &self.config.caller(), op).ok_or(Trouble::TooLong)?;
        match sys::send(fd.raw(), &buffer[..n]) {
            Ok(()) => Ok(fd),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Trouble::NotRunning),
            Err(e) => Err(Trouble::Silent(e)),
        }
    }
}

/// A path as C wants it; a zero byte cannot be in a path that the system gave.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
