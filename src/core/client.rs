//! The way to lonetd: one connection, one request, one reply; what has no reply is left in the view's mailbox.
//!
//! No descriptor outlives a call, so nothing is lost when a program closes descriptors that it does not know,
//! forks, or executes another program. Nothing allocates or locks after [`Client::new`], so that a call may be
//! made in a signal handler and after fork in a program with threads.

mod insist;

pub use insist::StartIf;

use crate::config::{ABSTRACT_NAME, Config};
use crate::control::{self, Caller, MAX_MESSAGE, Malformed, Op, Opening, Reply};
use crate::limit::Limit;
use crate::start;
use crate::sys::{self, Fd, getpid};
use crate::unix::SocketName;
use crate::view::{Mapping, View};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    path: Option<SocketName>,
    abstract_name: SocketName,
    key_file: CString,
    view_file: CString,
    /// Where the view is mapped; 0: it is not.
    view: AtomicUsize,
    /// This process' pid as lonetd sees it, below its own, which a child of a fork does not share.
    seen_as: AtomicU64,
    /// lonetd has not confirmed a one-way message in time, and has not answered since.
    is_silent: AtomicBool,
    pub(crate) launch: start::Launch,
}

/// Why there is no answer. `Display` says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody serves the network, and the question was not worth a start.
    NotRunning,
    /// No descriptor, or no memory, for the exchange.
    NoRoom(Errno),
    /// Somebody else's socket, or a directory that others can reach.
    NotOurs { uid: u32 },
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
            Trouble::NotOurs { uid } => {
                write!(f, "the network's directory or daemon belongs to uid {uid} or is open to others")
            }
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
        let path = config.control_path().and_then(|p| SocketName::new(p.as_os_str().as_bytes()));
        let name: [u8; ABSTRACT_NAME] = config.abstract_name();
        Client {
            owner: config.membership.map_or(uid, |m| m.owner),
            path,
            abstract_name: SocketName::fixed(&name),
            key_file: c_path(&config.dir.join("key")),
            view_file: c_path(&config.dir.join("view")),
            view: AtomicUsize::new(0),
            seen_as: AtomicU64::new(0),
            is_silent: AtomicBool::new(false),
            launch: start::Launch::new(&config, beside),
            config,
        }
    }

    /// `<net>/key`, ready for a system call.
    pub fn key_file(&self) -> &CStr {
        &self.key_file
    }

    /// Maps the network's view. `None`: there is none, or this process may not see it.
    pub fn map_view(&self) -> Option<Mapping> {
        Mapping::open(&self.view_file)
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

    /// A connection to the lonetd of this network, and to no one else. When `limit` is over it waits for nothing.
    pub(crate) fn connect(&self, limit: Limit) -> Result<Fd, Trouble> {
        let at_once = if limit.is_over() { libc::SOCK_NONBLOCK } else { 0 };
        let fd = match sys::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | at_once, 0) {
            Ok(fd) => fd,
            Err(e) => return Err(Trouble::NoRoom(e)),
        };
        let path = self.path.as_ref().ok_or(Trouble::Setup {
            step: "name the control socket: the path of the network's directory (see TMPDIR) is too long",
            why: Errno::ENAMETOOLONG,
        })?;
        set_time(&fd, libc::SO_SNDTIMEO, limit)?;
        let connected = loop {
            let by_path = path.connect(fd.raw());
            let connected = match by_path {
                Ok(()) => Ok(()),
                Err(e @ (Errno::EAGAIN | Errno::EINTR | Errno::EMFILE | Errno::ENFILE)) => Err(e),
                Err(_) => self.abstract_name.connect(fd.raw()),
            };
            if connected != Err(Errno::EINTR) || limit.is_over() {
                break connected;
            }
            // A signal does not prolong it.
            set_time(&fd, libc::SO_SNDTIMEO, limit)?;
        };
        match connected {
            Ok(()) => {}
            Err(e @ Errno::EAGAIN) => return Err(Trouble::Silent(e)),
            Err(Errno::ECONNREFUSED | Errno::ENOENT) => return Err(Trouble::NotRunning),
            Err(e) => return Err(Trouble::Silent(e)),
        }
        let peer: libc::ucred =
            sys::getsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED).map_err(Trouble::Silent)?;
        if peer.uid != self.owner {
            return Err(Trouble::NotOurs { uid: peer.uid });
        }
        set_time(&fd, libc::SO_RCVTIMEO, limit)?;
        Ok(fd)
    }
}

fn receive_raw(fd: &Fd, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, Trouble> {
    loop {
        match sys::recv_once(fd.raw(), buffer) {
            // lonetd ended with the question unread.
            Ok(0) | Err(Errno::ECONNRESET) => return Err(Trouble::NotRunning),
            Ok(n) => return Ok(n),
            // A signal does not prolong it.
            Err(Errno::EINTR) if !limit.is_over() => set_time(fd, libc::SO_RCVTIMEO, limit)?,
            Err(e) => return Err(Trouble::Silent(e)),
        }
    }
}

/// Gives a connection's steps what is left for lonetd.
fn set_time(fd: &Fd, option: i32, limit: Limit) -> Result<(), Trouble> {
    let milliseconds = limit.of(TIME_LIMIT);
    let time = libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
    sys::setsockopt(fd.raw(), libc::SOL_SOCKET, option, &time).map_err(Trouble::Silent)
}

/// A path as C wants it; a zero byte cannot be in a path that the system gave.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}
