//! What lonetd makes of itself before it serves: a process of its own, a block of addresses, its sockets.

use lonet_core::block::Block;
use lonet_core::config::Config;
use lonet_core::control::Key;
use lonet_core::diag::{Diag, State};
use lonet_core::directory::Directory;
use lonet_core::view::Writer;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, UnixAddr, sockopt};
use nix::sys::stat::{Mode, umask};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Where lonetd listens on the stack's address of its block. Several, below the ephemeral range: a wildcard
/// listener of the machine's could hold any one of them for all 254 blocks.
const LOCK_PORTS: [u16; 4] = [7373, 17373, 27373, 5373];

/// Why lonetd cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("all 254 blocks of loopback addresses are in use")]
    NoBlock,
    #[error("the network's block 127.{0}.0.0/16 is in use by another network or program")]
    BlockTaken(u8),
    #[error("{}", lonet_core::start::ELSEWHERE)]
    Elsewhere,
    #[error("{0}")]
    Directory(lonet_core::directory::Trouble),
    #[error("cannot {step}: {why}")]
    Os { step: &'static str, why: io::Error },
}

/// How long the lonetd before may take to die. Clients wait for 5 s, which is enough for two such waits.
const WAIT_FOR_THE_DYING: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// Tries to take what the lonetd before may hold still: its last descriptors go within moments. `None`, from `attempt`
/// as from this: somebody has it.
fn patiently<T>(mut attempt: impl FnMut() -> Result<Option<T>, SetupError>) -> Result<Option<T>, SetupError> {
    let until = Instant::now() + WAIT_FOR_THE_DYING;
    loop {
        match attempt()? {
            None if Instant::now() < until => std::thread::sleep(STEP),
            result => return Ok(result),
        }
    }
}

/// Adds the step to an error of the system's.
pub fn os<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> SetupError {
    move |why| SetupError::Os { step, why: why.into() }
}

/// Leaves the ways of the program that started lonetd behind: limits, umask, signals, directory. It has no
/// descriptors and no environment of the program's since it was started.
pub fn detach() -> Result<(), SetupError> {
    let _ = std::env::set_current_dir("/");
    umask(Mode::from_bits_truncate(0o077));
    for limit in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_FSIZE, Resource::RLIMIT_CORE] {
        if let Ok((_, hard)) = getrlimit(limit) {
            let _ = setrlimit(limit, hard, hard);
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(os("reset signals"))?;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // A full disk or a closed socket is an error of one call, not the end of the network.
        let silent = matches!(signal, Signal::SIGPIPE | Signal::SIGXFSZ | Signal::SIGHUP);
        // SAFETY: no handler of ours, only default and ignored.
        let _ = unsafe { sigaction(signal, if silent { &ignore } else { &default }) };
    }
    Ok(())
}

/// A block, and the sockets that make it this network's.
pub struct Held {
    pub block: Block,
    /// Listens on the stack's address: while it does, no other lonetd takes the block. Foreign peers dial our
    /// hosts there.
    pub lock: OwnedFd,
    pub lock_address: SocketAddrV4,
    /// Bound and not listening: where dials are refused.
    _refuser: OwnedFd,
    pub refuser_address: SocketAddrV4,
    /// Whether the kernel lists bound idle sockets: it has listed the refuser.
    pub shows_bound: bool,
}

/// Takes the network's block: the one that it had, or the first free one from the name's first choice on.
pub fn take_block(network: &str, had: Option<Block>) -> Result<Held, SetupError> {
    if let Some(block) = had {
        return patiently(|| try_block(block, true))?.ok_or(SetupError::BlockTaken(block.number()));
    }
    let mut block = Block::first_choice(network);
    for _ in 0..254 {
        if let Some(held) = try_block(block, false)? {
            return Ok(held);
        }
        block = block.next();
    }
    Err(SetupError::NoBlock)
}

/// `None`: somebody has sockets there. `ours`: what is there is the network's own, left by a lonetd that died.
fn try_block(block: Block, ours: bool) -> Result<Option<Held>, SetupError> {
    for port in LOCK_PORTS {
        let address = SocketAddrV4::new(block.stack(), port);
        let lock = tcp_socket()?;
        if socket::bind(lock.as_raw_fd(), &SockaddrIn::from(address)).is_err()
            || socket::listen(&lock, Backlog::MAXCONN).is_err()
        {
            continue;
        }
        let refuser = tcp_socket()?;
        let at = |port| SocketAddrV4::new(block.stack(), port);
        let is_bound = |a: &SocketAddrV4| socket::bind(refuser.as_raw_fd(), &SockaddrIn::from(*a)).is_ok();
        let Some(refuser_address) = LOCK_PORTS.iter().map(|p| at(p + 1)).find(is_bound) else {
            return Ok(None);
        };
        // Listening first, looking second: of two that take a block at once both see the other and at most one
        // stays.
        let Look::Free { shows_bound } = look(block, [address, refuser_address], ours) else {
            return Ok(None);
        };
        return Ok(Some(Held {
            block,
            lock,
            lock_address: address,
            _refuser: refuser,
            refuser_address,
            shows_bound,
        }));
    }
    Ok(None)
}

fn tcp_socket() -> Result<OwnedFd, SetupError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(os("make a socket"))
}

/// What the kernel shows in a block.
enum Look {
    Inhabited,
    /// `shows_bound`: it lists bound idle sockets, too.
    Free {
        shows_bound: bool,
    },
}

/// Looks who is in the block beside the two sockets by which lonetd takes it; the second is bound and idle.
///
/// Whoever serves a network listens, and listeners are in a small table: by the first dump most blocks that are taken
/// are found so. Programs whose lonetd was killed may have nothing but connections. To find these the kernel walks all
/// that the machine has, in TIME_WAIT and in other network namespaces, too: 6 to 12 ms where there are 120,000. That is
/// most of a start's time then, so it is done once, and tells of bound sockets, too.
fn look(block: Block, [lock, refuser]: [SocketAddrV4; 2], ours: bool) -> Look {
    let Ok(diag) = Diag::open() else { return Look::Free { shows_bound: false } };
    let net = (Ipv4Addr::new(127, block.number(), 0, 0), 16);
    // Connections in TIME_WAIT are what a network that has ended leaves for a minute; nobody has them.
    let no_listeners = State::ALL & !State::LISTEN.bit() & !State::TIME_WAIT.bit();
    let mut shows_bound = false;
    for states in [State::LISTEN.bit(), no_listeners] {
        let mut inhabited = false;
        let _ = diag.dump(states, Some(net), &mut |f| {
            let stack = *f.local.ip() == block.stack();
            let own = f.local == lock || f.local == refuser;
            inhabited |= !own && (stack && f.state == State::LISTEN || !ours && f.inode != 0);
            shows_bound |= f.local == refuser && f.state == State::BOUND_INACTIVE;
        });
        if inhabited {
            return Look::Inhabited;
        }
    }
    Look::Free { shows_bound }
}

/// lonetd's sockets for programs, by path and by abstract name.
pub struct Sockets {
    pub by_path: OwnedFd,
    pub by_name: OwnedFd,
}

pub fn listen(config: &Config, directory: &Directory) -> Result<Sockets, SetupError> {
    // The abstract name first: who has it is the one that serves, also if the holder of the start lock was killed
    // and another one is started beside this. Then what is left at the path is a dead lonetd's.
    let name = config.abstract_name();
    let by_name = UnixAddr::new_abstract(&name[1..]).map_err(os("name the abstract control socket"))?;
    let in_use = |e: &SetupError| matches!(e, SetupError::Os { why, .. } if why.raw_os_error() == Some(libc::EADDRINUSE));
    let by_name = patiently(|| match socket_at(&by_name) {
        Err(e) if in_use(&e) && !is_served(&by_name) => Ok(None),
        result => result.map(Some),
    })?
    .ok_or_else(|| os("bind the abstract control socket")(Errno::EADDRINUSE))?;
    let _ = directory.remove(c"control");
    Ok(Sockets { by_path: socket_in(directory)?, by_name })
}

/// Whether who has this name is alive. A process that was killed loses its descriptors one by one: its connections
/// end, and its clients start another lonetd, before its name is free.
fn is_served(name: &UnixAddr) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let Ok(fd) = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None) else { return true };
    match socket::connect(fd.as_raw_fd(), name) {
        // It does not listen yet, or not any more.
        Err(Errno::ECONNREFUSED) => false,
        Err(_) => true,
        Ok(()) => socket::getsockopt(&fd, sockopt::PeerCredentials).map_or(true, |by| !is_exiting(by.pid())),
    }
}

/// Whether a process is on its way out, or has gone.
fn is_exiting(pid: i32) -> bool {
    const PF_EXITING: u32 = 4;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The program's name stands in brackets and may hold anything; the sixth field behind its state are the flags.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    fields.nth(6).and_then(|f| f.parse().ok()).is_some_and(|flags: u32| flags & PF_EXITING != 0)
}

fn socket_at(address: &UnixAddr) -> Result<OwnedFd, SetupError> {
    let fd = unix_socket()?;
    socket::bind(fd.as_raw_fd(), address).map_err(os("bind the control socket"))?;
    socket::listen(&fd, Backlog::MAXCONN).map_err(os("listen on the control socket"))?;
    Ok(fd)
}

/// The control socket in the network's directory.
fn socket_in(directory: &Directory) -> Result<OwnedFd, SetupError> {
    let fd = unix_socket()?;
    let bound = match directory.socket_name(c"control") {
        Some(name) => name.bind(fd.as_raw_fd()),
        None => Err(Errno::ENAMETOOLONG),
    };
    bound.map_err(os("bind the control socket (is /proc mounted?)"))?;
    socket::listen(&fd, Backlog::MAXCONN).map_err(os("listen on the control socket"))?;
    Ok(fd)
}

fn unix_socket() -> Result<OwnedFd, SetupError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(os("make the control socket"))
}

/// The kernel's range of source ports.
pub fn ephemeral_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) if low <= high => (low, high),
        _ => (32768, 60999),
    }
}

/// The identity of the network namespace that lonetd lives in.
pub fn network_namespace() -> Result<u64, SetupError> {
    lonet_core::diag::netns_cookie(tcp_socket()?.as_raw_fd()).map_err(os("name the network namespace"))
}

/// The file that programs map to see the network's sockets. `None`: there can be none, and programs ask.
pub fn view(directory: &Directory) -> Option<Writer> {
    let flags = libc::O_RDWR | libc::O_CREAT;
    let file = directory.open(c"view", flags).or_else(|e| {
        tracing::warn!("what lies in the place of the view is made anew: {e}");
        directory.remove(c"view")?;
        directory.open(c"view", flags)
    });
    let view = file.and_then(|file| Writer::take(file.raw()));
    view.inspect_err(|e| {
        tracing::warn!("no view, programs have to ask for everything: {e}");
        // What a lonetd before has left there would be believed, and half a file only fills the disk.
        let _ = directory.remove(c"view");
    })
    .ok()
}

/// The network's random key: made once, kept for lonetds to come. A disk that is full keeps nothing, and costs only
/// those who have LONET_KEY alone, and only when another lonetd follows.
pub fn key(directory: &Directory) -> Result<Key, SetupError> {
    match directory.read(c"key").map(Key::try_from) {
        Ok(Ok(key)) => return Ok(key),
        Ok(Err(_)) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => {
            tracing::error!("what lies in the place of the network's key is made anew: {e}");
            let _ = directory.remove(c"key");
        }
    }
    let mut key = [0u8; 16];
    let mut random = std::fs::File::open("/dev/urandom").map_err(os("open /dev/urandom"))?;
    io::Read::read_exact(&mut random, &mut key).map_err(os("read /dev/urandom"))?;
    let save = || {
        let mut file = directory.file(c"key", libc::O_WRONLY | libc::O_CREAT)?;
        file.set_len(0)?;
        io::Write::write_all(&mut file, &key)
    };
    if let Err(e) = save() {
        tracing::error!("the network's key cannot be saved, a lonetd after this one would have another: {e}");
    }
    Ok(key)
}
