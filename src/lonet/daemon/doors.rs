//! lonetd's sockets for programs, and the lock that says who serves.
//!
//! There are two: `<net>/control`, for whoever can reach it, and one with an abstract name, for members that have
//! chrooted or dropped privileges. Everybody on the machine can read that name while it is bound, and can take it while no
//! lonetd has it. So nothing depends on it: who serves the network is decided by a lock on `<net>/key`, a file for the
//! owner alone, and where another user has the name lonetd takes one that nobody can know, which those find who have the
//! view mapped.

use super::setup::{SetupError, os, patiently, random};
use lonet_core::config::Config;
use lonet_core::control::Key;
use lonet_core::unix::AbstractName;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, sockopt};
use nix::unistd::geteuid;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Doors {
    pub by_path: OwnedFd,
    pub by_name: OwnedFd,
    pub name: AbstractName,
}

/// How long the abstract name may stay with a lonetd that is dying, which has lost the lock by then.
const NAME_WITHIN: Duration = Duration::from_millis(500);

/// Who holds this serves the network.
pub type Service = Flock<File>;

/// Becomes the one who serves. A lonetd too many ends here, before it touches anything: there is one if the holder of the
/// start lock was killed and another one is started beside that one's.
pub fn take_service(config: &Config) -> Result<Service, SetupError> {
    patiently(|| try_service(config))?.ok_or(SetupError::Served)
}

/// As [`take_service`], without time for another one to die.
pub fn take_service_at_once(config: &Config) -> Result<Service, SetupError> {
    try_service(config)?.ok_or(SetupError::Served)
}

fn try_service(config: &Config) -> Result<Option<Service>, SetupError> {
    let path = config.dir.join("key");
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(os("open the network's key file"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // lonetd removes it when the network ends: only the file that the path leads to counts.
        Ok(lock) => Ok(is_at_path(&lock, &path).then_some(lock)),
        // A process that was killed loses its descriptors one by one, and this one late perhaps.
        Err((_, Errno::EWOULDBLOCK)) if is_served(config) => Err(SetupError::Served),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, why)) => Err(os("lock the network's key file")(why)),
    }
}

pub fn is_at_path(file: &File, path: &Path) -> bool {
    let identity = |m: std::fs::Metadata| (m.dev(), m.ino());
    let (open, named) = (file.metadata().map(identity), std::fs::symlink_metadata(path).map(identity));
    matches!((open, named), (Ok(open), Ok(named)) if open == named)
}

/// Opens both doors, for the one who serves.
pub fn open(config: &Config, key: &Key) -> Result<Doors, SetupError> {
    // The path last: who finds nobody there looks for nobody elsewhere.
    let (by_name, name) = take_name(key)?;
    Ok(Doors { by_path: listen_at_path(config)?, by_name, name })
}

/// The socket in the file system; what is left there is a dead lonetd's.
pub fn listen_at_path(config: &Config) -> Result<OwnedFd, SetupError> {
    let path = config.control_path().ok_or_else(|| SetupError::PathTooLong { path: config.dir.clone() })?;
    let _ = std::fs::remove_file(&path);
    listen(&UnixAddr::new(&path).map_err(os("name the control socket"))?)
}

fn take_name(key: &Key) -> Result<(OwnedFd, AbstractName), SetupError> {
    let name = AbstractName::of(key);
    let until = Instant::now() + NAME_WITHIN;
    let holder = loop {
        match listen(&address(name)?) {
            Ok(socket) => return Ok((socket, name)),
            Err(e) if e.errno() == Some(libc::EADDRINUSE) => {}
            Err(e) => return Err(e),
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
    Ok((listen(&address(other)?)?, other))
}

fn address(name: AbstractName) -> Result<UnixAddr, SetupError> {
    UnixAddr::new_abstract(&name.bytes()).map_err(os("name the abstract control socket"))
}

/// Whether a lonetd that is alive serves at the path.
fn is_served(config: &Config) -> bool {
    let address = config.control_path().and_then(|path| UnixAddr::new(&path).ok());
    address.and_then(|at| holder(&at)).is_some_and(|by| !is_exiting(by.pid()))
}

/// Who listens there, if that can be told.
fn holder(address: &UnixAddr) -> Option<socket::UnixCredentials> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).ok()?;
    socket::connect(fd.as_raw_fd(), address).ok()?;
    socket::getsockopt(&fd, sockopt::PeerCredentials).ok()
}

/// Whether a process is on its way out, or has gone.
fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The program's name stands in brackets and may hold anything; the sixth field behind its state are the flags.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    fields.nth(6).and_then(|f| f.parse().ok()).is_some_and(|flags: u32| flags & PF_EXITING != 0)
}

fn listen(address: &UnixAddr) -> Result<OwnedFd, SetupError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(os("make the control socket"))?;
    socket::bind(fd.as_raw_fd(), address).map_err(os("bind the control socket"))?;
    socket::listen(&fd, Backlog::MAXCONN).map_err(os("listen on the control socket"))?;
    Ok(fd)
}
