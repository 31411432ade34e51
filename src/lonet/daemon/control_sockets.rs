//! lonetd's control sockets, and the lock that decides which lonetd serves.
//!
//! There are two control sockets: `<net>/control`, for programs that can reach the path, and one with an
//! abstract name, for members that have chrooted or dropped privileges. Every process of the machine can read
//! that name while it is bound, and take it while no lonetd has it. So nothing depends on it: a lock on
//! `<net>/key`, a file for the owner alone, decides which lonetd serves, and if another user has the name,
//! lonetd takes one that cannot be guessed, which programs that have the table mapped read there.

use super::process;
use super::setup::{SetupError, os, random, with_timeout};
use lonet_core::control::Key;
use lonet_core::directory::Directory;
use lonet_core::unix::{AbstractName, SocketName};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::epoll::{Epoll, EpollEvent};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, sockopt};
use nix::unistd::geteuid;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

pub struct ControlSockets {
    pub by_path: ControlSocket,
    pub by_name: ControlSocket,
    pub name: AbstractName,
}

impl ControlSockets {
    /// When the next pause of one is over.
    pub fn paused_until(&self) -> Option<Instant> {
        [self.by_path.paused_until, self.by_name.paused_until].into_iter().flatten().min()
    }
}

pub struct ControlSocket {
    pub fd: OwnedFd,
    /// It is not watched until this time.
    paused_until: Option<Instant>,
}

impl ControlSocket {
    fn new(fd: OwnedFd) -> ControlSocket {
        ControlSocket { fd, paused_until: None }
    }

    /// Watches it, with this event.
    pub fn watch(&mut self, epoll: &Epoll, event: EpollEvent) -> Result<(), Errno> {
        self.paused_until = None;
        epoll.add(&self.fd, event)
    }

    /// Stops watching it until then.
    pub fn pause(&mut self, epoll: &Epoll, until: Instant) {
        if self.paused_until.replace(until).is_none() {
            let _ = epoll.delete(&self.fd);
        }
    }

    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}

const KEY: &CStr = c"key";
const CONTROL: &CStr = c"control";

/// How long a lonetd that is exiting may still have the abstract name; it has lost the lock by then.
const NAME_WITHIN: Duration = Duration::from_millis(500);

/// The lock whose holder serves the network.
pub type Service = Flock<File>;

/// Takes the service lock. A second lonetd ends here, before it touches anything: one is started if the
/// holder of the start lock was killed and another program starts lonetd, too.
pub fn take_service(directory: &Directory) -> Result<Service, SetupError> {
    with_timeout(|| try_service(directory))?.ok_or(SetupError::Served)
}

/// Like [`take_service`], without a grace period for a lonetd that is exiting.
pub fn take_service_at_once(directory: &Directory) -> Result<Service, SetupError> {
    try_service(directory)?.ok_or(SetupError::Served)
}

fn try_service(directory: &Directory) -> Result<Option<Service>, SetupError> {
    let flags = libc::O_RDWR | libc::O_CREAT;
    if !directory.is_file_or_nothing(KEY) {
        tracing::error!(
            "what lies in the place of the network's key is no file of the owner's: it is made anew"
        );
        let _ = directory.remove(KEY);
    }
    let file = directory.file(KEY, flags).map_err(os("open the network's key file"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // lonetd removes the file when the network ends: only the file to which the name leads counts.
        Ok(lock) => Ok(directory.leads_to(KEY, lock.as_raw_fd()).then_some(lock)),
        // The kernel closes the descriptors of a killed process one by one, and this one perhaps late.
        Err((_, Errno::EWOULDBLOCK)) if is_served(directory) => Err(SetupError::Served),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, why)) => Err(os("lock the network's key file")(why)),
    }
}

/// Opens both control sockets; the caller holds the service lock.
pub fn open(directory: &Directory, key: &Key, network: &str) -> Result<ControlSockets, SetupError> {
    // The path comes last: a program that finds no socket there does not look for the abstract name.
    let (by_name, name) = take_name(key, network)?;
    let [by_path, by_name] = [listen_at_path(directory)?, by_name].map(ControlSocket::new);
    Ok(ControlSockets { by_path, by_name, name })
}

/// Listens on the socket in the file system. A file that is there is a dead lonetd's.
pub fn listen_at_path(directory: &Directory) -> Result<OwnedFd, SetupError> {
    let _ = directory.remove(CONTROL);
    let name =
        directory.socket_name(CONTROL).ok_or_else(|| os("name the control socket")(Errno::ENAMETOOLONG))?;
    listen(&name).map_err(os("listen on the control socket (is /proc mounted?)"))
}

fn take_name(key: &Key, network: &str) -> Result<(OwnedFd, AbstractName), SetupError> {
    let name = AbstractName::of(key, network);
    let until = Instant::now() + NAME_WITHIN;
    let holder = loop {
        match listen(&address(name)?) {
            Ok(socket) => return Ok((socket, name)),
            Err(Errno::EADDRINUSE) => {}
            Err(e) => return Err(os("bind the abstract control socket")(e)),
        }
        let holder = holder(&address(name)?).map(|by| by.uid());
        if holder.is_some_and(|uid| uid != geteuid().as_raw()) || Instant::now() >= until {
            break holder;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let Some(other) = AbstractName::from_number(u64::from_le_bytes(random()?)) else {
        return Err(os("name the abstract control socket")(Errno::EADDRINUSE));
    };
    let by = holder.map_or_else(|| "somebody".into(), |uid| format!("a process of uid {uid}"));
    tracing::warn!(
        "{by} has taken the abstract name of the control socket: members that have left the file system or the \
         owner's uid find lonetd only if they have asked it for something before"
    );
    let socket = listen(&address(other)?).map_err(os("bind the abstract control socket"))?;
    Ok((socket, other))
}

fn address(name: AbstractName) -> Result<SocketName, SetupError> {
    name.socket_name().ok_or_else(|| os("name the abstract control socket")(Errno::ENAMETOOLONG))
}

/// Whether a living lonetd serves in the directory.
fn is_served(directory: &Directory) -> bool {
    directory.socket_name(CONTROL).and_then(|at| holder(&at)).is_some_and(|by| !is_exiting(by.pid()))
}

/// The credentials of the listener, if they can be found.
fn holder(name: &SocketName) -> Option<socket::UnixCredentials> {
    let fd = unix_socket().ok()?;
    name.connect(fd.as_raw_fd()).ok()?;
    socket::getsockopt(&fd, sockopt::PeerCredentials).ok()
}

/// Whether a process is exiting, or has ended.
fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    const FLAGS: usize = 9;
    let Ok(stat) = process::stat(pid) else { return true };
    let flags = process::stat_field(&stat, FLAGS).and_then(|f| f.parse().ok());
    flags.is_some_and(|flags: u32| flags & PF_EXITING != 0)
}

fn listen(name: &SocketName) -> Result<OwnedFd, Errno> {
    let fd = unix_socket()?;
    name.bind(fd.as_raw_fd())?;
    socket::listen(&fd, Backlog::MAXCONN)?;
    Ok(fd)
}

fn unix_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
}
