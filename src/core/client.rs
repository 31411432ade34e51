//! The way to lonetd: one connection, one request, one reply; what has no reply is left in the view's mailbox.
//!
//! No descriptor outlives a call, so nothing is lost when a program closes descriptors that it does not know,
//! forks, or executes another program. Nothing allocates or locks after [`Client::new`], so that a call may be
//! made in a signal handler and after fork in a program with threads.

mod insist;
mod owner;
pub(crate) mod starved;

pub use insist::StartIf;

use crate::config::Config;
use crate::control::{self, Caller, Key, MAX_MESSAGE, Malformed, Op, Opening, Reply};
use crate::directory::{self, Directory, Place, Unfit, Which};
use crate::limit::Limit;
use crate::start;
use crate::sys::{self, Fd, getpid};
use crate::unix::AbstractName;
use crate::view::{Mapping, View};
use nix::errno::Errno;
use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long lonetd may take for anything.
pub const TIME_LIMIT_SECONDS: i64 = 5;
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(TIME_LIMIT_SECONDS as u64);

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

/// Why there is no answer. `Display` says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody serves the network, and the question was not worth a start.
    NotRunning,
    /// No descriptor, or no memory, for the exchange.
    NoRoom(Errno),
    /// Somebody else's socket.
    NotOurs { uid: u32 },
    /// In this user namespace it cannot be told whose the socket is.
    UserNamespace { uid: u32 },
    /// A directory that others can reach, or can put another in the place of.
    Directory(directory::Trouble),
    /// lonetd did not answer in time, or the exchange failed otherwise.
    Silent(Errno),
    /// lonetd speaks another version of the protocol.
    Version { theirs: u16 },
    /// The request does not fit a message.
    TooLong,
    /// The network's directory, lock or socket cannot be made: the step, and why.
    Setup { step: &'static str, why: Errno },
    /// No lonet command anywhere.
    NoCommand,
    /// The network's programs live in another network namespace.
    Elsewhere,
    /// lonetd started and gave up; its words are in its log and in the caller's buffer.
    Failed,
}

impl Trouble {
    /// What bind and connect fail with.
    pub fn errno(self) -> Errno {
        match self {
            Trouble::NoRoom(e) => e,
            // As a lonetd that runs there says it.
            Trouble::Elsewhere => Errno::EACCES,
            _ => Errno::ENETDOWN,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NotRunning => f.write_str("the network is not running"),
            Trouble::NoRoom(e) => write!(f, "no descriptor left to ask lonetd: {e}"),
            Trouble::NotOurs { uid } => write!(f, "the network's daemon belongs to uid {uid}"),
            Trouble::Directory(trouble) => match trouble.unfit() {
                Unfit::Unknown(uid) => Trouble::UserNamespace { uid }.fmt(f),
                _ => trouble.fmt(f),
            },
            Trouble::UserNamespace { uid } => write!(
                f,
                "cannot tell whether the network is its owner's: this user namespace shows uid {uid}; run the program \
                 in the network's user namespace, or as the owner in one where it finds the network's directory"
            ),
            Trouble::Silent(e) => {
                write!(f, "lonetd did not answer within {TIME_LIMIT_SECONDS} s ({e}); see <net>/log")
            }
            Trouble::Version { theirs } => write!(
                f,
                "lonetd speaks version {theirs} of the control protocol, this program version {}: \
                 end the network (`lonet down`) and use one release of lonet",
                control::VERSION
            ),
            Trouble::TooLong => f.write_str("the request is too long"),
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why}"),
            Trouble::NoCommand => f.write_str(
                "cannot start lonetd: no `lonet` command in LONET_BIN, beside the library, in ../bin or in PATH",
            ),
            Trouble::Elsewhere => f.write_str(start::ELSEWHERE),
            Trouble::Failed => f.write_str("lonetd could not start; see <net>/log"),
        }
    }
}

impl std::error::Error for Trouble {}

/// What an exchange leaves: how the answer opens, and the answer, which lies in the caller's buffer.
pub type Answer<'b> = Result<(Opening, Reply<'b>), Trouble>;

impl Client {
    /// `beside`: the directory of the program or library that asks, where the lonet command may be. `uid`:
    /// the effective one.
    pub fn new(config: Config, beside: Option<&Path>, uid: u32) -> Client {
        let private = config.private_dir.clone().map(|dir| Config { dir, ..config.clone() });
        let name = config.membership.map(|m| AbstractName::of(&m.key));
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
        self.abstract_name.store(AbstractName::of(key).number(), Ordering::Release);
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

    /// Asks a lonetd that runs.
    pub fn ask<'b>(&self, op: &Op<'_>, buffer: &'b mut [u8; MAX_MESSAGE]) -> Answer<'b> {
        if op.one_way() && self.say(op, buffer).is_ok() {
            return Ok((Opening::NOTHING, Reply::Done));
        }
        self.send(op, buffer).and_then(|fd| self.receive(&fd, buffer))
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
        let n = receive_raw(fd, Limit::NONE, buffer)?;
        self.parse(buffer, n)
    }

    fn parse<'b>(&self, buffer: &'b [u8; MAX_MESSAGE], n: usize) -> Answer<'b> {
        let (opening, reply) = control::read_reply(&buffer[..n]).map_err(|e| match e {
            Malformed::Version(theirs) => Trouble::Version { theirs },
            Malformed::Bytes => Trouble::Silent(Errno::EPROTO),
        })?;
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

    fn send_within(&self, limit: Limit, op: &Op<'_>, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Fd, Trouble> {
        let fd = self.connect(limit)?;
        let n = control::write_request(buffer, &self.config.caller(), op).ok_or(Trouble::TooLong)?;
        match sys::send(fd.raw(), &buffer[..n]) {
            Ok(()) => Ok(fd),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Trouble::NotRunning),
            Err(e) => Err(Trouble::Silent(e)),
        }
    }

    /// A connection to the lonetd of this network, and to no one else.
    pub(crate) fn connect(&self, limit: Limit) -> Result<Fd, Trouble> {
        // With no descriptor left for the directory the abstract name takes one alone.
        let (_, directory) = self.way();
        let kind = libc::SOCK_SEQPACKET;
        let fd = match sys::socket(libc::AF_UNIX, kind, 0) {
            Ok(fd) => fd,
            Err(e) => return Err(Trouble::NoRoom(e)),
        };
        let limit = time_value(limit);
        for option in [libc::SO_SNDTIMEO, libc::SO_RCVTIMEO] {
            sys::setsockopt(fd.raw(), libc::SOL_SOCKET, option, &limit).map_err(Trouble::Silent)?;
        }
        let by_path = match &directory {
            Ok(directory) => match directory.socket_name(c"control") {
                Some(name) => name.connect(fd.raw()),
                None => Err(Errno::ENAMETOOLONG),
            },
            Err(_) => Err(Errno::ENOENT),
        };
        let reached = directory.as_ref().ok();
        match by_path {
            Ok(()) => {
                self.check_owner(&peer_of(&fd)?, reached, true)?;
                return Ok(fd);
            }
            // The socket is there and nobody listens: neither will anybody elsewhere.
            Err(Errno::ECONNREFUSED) => return Err(Trouble::NotRunning),
            Err(e @ (Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE)) => return Err(Trouble::Silent(e)),
            // The path leads nowhere from here.
            Err(_) => {}
        }
        for name in self.abstract_names() {
            match name.connect(fd.raw()) {
                Ok(()) if self.check_owner(&peer_of(&fd)?, reached, false).is_ok() => return Ok(fd),
                // Another user has taken the name while no lonetd had it. The socket is used up, and is the only one.
                Ok(()) => break,
                Err(Errno::ECONNREFUSED | Errno::ENOENT) => {}
                Err(e) => return Err(Trouble::Silent(e)),
            }
        }
        Err(nobody_at(directory))
    }

    /// How lonetd may be called where no path leads to it, the likelier name first.
    fn abstract_names(&self) -> impl Iterator<Item = AbstractName> {
        let seen = self.view().and_then(View::abstract_name);
        let by_key = AbstractName::from_number(self.abstract_name.load(Ordering::Acquire));
        seen.into_iter().chain(by_key.filter(|name| seen != Some(*name)))
    }
}

fn peer_of(fd: &Fd) -> Result<libc::ucred, Trouble> {
    sys::getsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED).map_err(Trouble::Silent)
}

/// What it means that nobody serves a network whose directory was opened, or not.
fn nobody_at(directory: Result<Directory, directory::Trouble>) -> Trouble {
    match directory {
        Err(trouble) if trouble.unfit().is_there() => Trouble::Directory(trouble),
        Err(trouble) => match trouble.unfit() {
            Unfit::Errno(e @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => Trouble::NoRoom(e),
            _ => Trouble::NotRunning,
        },
        Ok(_) => Trouble::NotRunning,
    }
}

/// Waits for what lonetd has to say on the connection, for as long as anything may take.
pub fn await_reply(fd: &Fd) -> Result<(), Trouble> {
    let in_time = sys::readable_within(fd.raw(), TIME_LIMIT.as_millis() as i64).map_err(Trouble::Silent)?;
    if in_time || starved::readable_from_starved(fd.raw(), peer_of(fd)?.pid).map_err(Trouble::Silent)? {
        return Ok(());
    }
    Err(Trouble::Silent(Errno::ETIMEDOUT))
}

/// `limit`: what the caller may take in all; it counts also while lonetd has no processor.
fn receive_raw(fd: &Fd, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, Trouble> {
    let received = match sys::recv(fd.raw(), buffer) {
        Err(Errno::EAGAIN)
            if !limit.is_over() && starved::readable_from_starved(fd.raw(), peer_of(fd)?.pid) == Ok(true) =>
        {
            sys::recv(fd.raw(), buffer)
        }
        received => received,
    };
    match received {
        // lonetd ended with the question unread.
        Ok(0) | Err(Errno::ECONNRESET) => Err(Trouble::NotRunning),
        Ok(n) => Ok(n),
        Err(e) => Err(Trouble::Silent(e)),
    }
}

/// What is left for a step of lonetd's.
fn time_value(limit: Limit) -> libc::timeval {
    let milliseconds = limit.of(TIME_LIMIT);
    libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 }
}

/// A path as C wants it; a zero byte cannot be in a path that the system gave.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
