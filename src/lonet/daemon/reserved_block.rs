//! Takes the network's block of loopback addresses, with the sockets that reserve it.
//!
//! A lonetd that serves a network listens on the stack's address of its block, and a lonetd that chooses a
//! block avoids those where another listens. Every user of the machine may have sockets there, though, and
//! nothing tells what they are for. So blocks with other users' sockets are avoided if another block is free,
//! and used if none is, or if the network's own programs are in this one: such a socket holds one port at one
//! address, and there are others. A socket of the owner's belongs to another network of the owner's, and its
//! block is never used.

use super::foreign::io;
use super::setup::{SetupError, os, with_timeout};
use lonet_core::block::Block;
use lonet_core::diag::{Diag, NOBODY, State};
use lonet_core::sys;
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

/// The ports of lonetd's listener on the stack's address, tried in turn. They are several, below the
/// ephemeral range, as a wildcard listener of the machine's could hold any one of them for all 254 blocks. If
/// all are held, another port is used.
const LOCK_PORTS: [u16; 4] = [7373, 17373, 27373, 5373];

/// The lowest port that needs no privilege.
const FIRST_PORT: u16 = 1024;

/// A block, with the sockets that reserve it for this network.
pub struct ReservedBlock {
    pub block: Block,
    /// The listener on the stack's address: while it is open, no other lonetd takes the block.
    pub lock: OwnedFd,
    pub lock_address: SocketAddrV4,
    /// An AF_INET6 listener beside it, to which foreign peers dial the network's hosts. Its connections are
    /// like those of an AF_INET6 listener, and each can be turned into an AF_INET one
    /// (`foreign::io::become_ipv4`), but not the other way round. `None`: the machine has no IPv6, so no
    /// program has such listeners, and foreign peers dial `lock`.
    pub ipv6_listener: Option<(OwnedFd, SocketAddrV4)>,
    /// Bound and not listening: dials to it are refused.
    _refuser: OwnedFd,
    pub refuser_address: SocketAddrV4,
    /// Whether the kernel lists bound idle sockets: it has listed the refuser.
    pub shows_bound: bool,
}

/// Whose sockets are tolerated in a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tolerance {
    Nobody,
    /// Other users' sockets, without a listener on the stack's address.
    Sockets,
    /// Other users' sockets and listeners.
    Listeners,
    /// Other users' sockets and listeners, and programs of this network's that a lonetd which died has left.
    OwnPrograms,
}

/// Why a block is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The owner has another network there.
    Own,
    /// Another user has sockets there, or even listens where networks are served.
    Other { uid: u32, listens: bool },
    /// No port is free on the stack's address.
    NoPort { uid: Option<u32> },
}

type Tried = Result<ReservedBlock, Refusal>;

/// Takes the network's block: the one that it had, or the first free one, beginning with the name's first
/// choice.
pub fn take_block(network: &str, had: Option<Block>) -> Result<ReservedBlock, SetupError> {
    if let Some(block) = had {
        let mut why = Refusal::Own;
        let attempt =
            || Ok(try_block(block, Tolerance::OwnPrograms)?.inspect_err(|refusal| why = *refusal).ok());
        return with_timeout(attempt)?
            .ok_or_else(|| SetupError::BlockTaken { block: block.number(), by: why.text() });
    }
    let mut all = [None; 254];
    for tolerance in [Tolerance::Nobody, Tolerance::Sockets, Tolerance::Listeners] {
        let mut block = Block::first_choice(network);
        for refusal in &mut all {
            if refusal.is_none_or(|refusal: Refusal| refusal.is_tolerated(tolerance)) {
                match try_block(block, tolerance)? {
                    Ok(reserved) => return Ok(reserved),
                    Err(why) => *refusal = Some(why),
                }
            }
            block = block.next();
        }
    }
    let texts: BTreeSet<String> = all.into_iter().flatten().map(Refusal::text).collect();
    Err(SetupError::NoBlock { by: Vec::from_iter(texts).join(", ") })
}

impl Refusal {
    fn is_tolerated(self, tolerance: Tolerance) -> bool {
        match self {
            Refusal::Own | Refusal::NoPort { .. } => false,
            Refusal::Other { listens: false, .. } => tolerance != Tolerance::Nobody,
            Refusal::Other { listens: true, .. } => {
                matches!(tolerance, Tolerance::Listeners | Tolerance::OwnPrograms)
            }
        }
    }

    fn text(self) -> String {
        match self {
            Refusal::Own => "another network or program of this user".into(),
            Refusal::Other { uid, .. } => format!("processes of uid {uid}"),
            Refusal::NoPort { uid: Some(uid) } => format!("processes of uid {uid}, which hold all ports"),
            Refusal::NoPort { uid: None } => "processes that hold all ports".into(),
        }
    }
}

fn try_block(block: Block, tolerance: Tolerance) -> Result<Tried, SetupError> {
    let stack = block.stack();
    let lock = tcp_socket()?;
    let listens = |port| match bind(&lock, SocketAddrV4::new(stack, port))? {
        Some(_) if socket::listen(&lock, Backlog::MAXCONN).is_err() => Ok(None),
        bound => Ok(bound),
    };
    let no_port = || Ok(Err(Refusal::NoPort { uid: holder(SocketAddrV4::new(stack, LOCK_PORTS[0])) }));
    let Some(lock_address) = first_bound(LOCK_PORTS, listens)? else { return no_port() };
    let refuser = tcp_socket()?;
    let binds = |port| bind(&refuser, SocketAddrV4::new(stack, port));
    let Some(refuser_address) = first_bound(LOCK_PORTS.map(|p| p + 1), binds)? else { return no_port() };
    // It listens first and looks second: if two lonetds take a block at once, both see the other, and at most
    // one stays.
    let (refusal, shows_bound) = find_occupant(block, [lock_address, refuser_address], tolerance);
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    if !LOCK_PORTS.contains(&lock_address.port()) {
        tracing::warn!(
            "foreign peers are served at {lock_address}: all the usual ports there are held by others"
        );
    }
    let ipv6_listener = listen_ipv6(stack);
    Ok(Ok(ReservedBlock {
        block,
        lock,
        lock_address,
        ipv6_listener,
        _refuser: refuser,
        refuser_address,
        shows_bound,
    }))
}

fn listen_ipv6(stack: Ipv4Addr) -> Option<(OwnedFd, SocketAddrV4)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let ipv6_listener = socket::socket(AddressFamily::Inet6, SockType::Stream, flags, None).ok()?;
    sys::setsockopt(ipv6_listener.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &0i32).ok()?;
    let listens = |port| {
        let at = SocketAddrV6::new(stack.to_ipv6_mapped(), port, 0, 0);
        let listens = socket::bind(ipv6_listener.as_raw_fd(), &SockaddrIn6::from(at))
            .and_then(|()| socket::listen(&ipv6_listener, Backlog::MAXCONN));
        match listens {
            Ok(()) => Ok(io::local(&ipv6_listener)),
            Err(Errno::EADDRINUSE | Errno::EACCES) => Ok(None),
            Err(e) => Err(os("open the foreign peers' listener")(e)),
        }
    };
    let address = first_bound(LOCK_PORTS.map(|p| p + 2), listens).ok()??;
    Some((ipv6_listener, address))
}

/// The first address that `attempt` can bind: with one of the `usual` ports, a port that the kernel chooses,
/// or any other.
fn first_bound(
    usual: [u16; 4],
    mut attempt: impl FnMut(u16) -> Result<Option<SocketAddrV4>, SetupError>,
) -> Result<Option<SocketAddrV4>, SetupError> {
    for port in usual.into_iter().chain([0]).chain(FIRST_PORT..=u16::MAX) {
        if let Some(address) = attempt(port)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// `None`: the address is in use.
fn bind(fd: &OwnedFd, address: SocketAddrV4) -> Result<Option<SocketAddrV4>, SetupError> {
    match socket::bind(fd.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) => {}
        Err(Errno::EADDRINUSE | Errno::EACCES) => return Ok(None),
        Err(e) => return Err(os("bind a socket of the network's block")(e)),
    }
    let bound: SockaddrIn = socket::getsockname(fd.as_raw_fd()).map_err(os("name a socket"))?;
    Ok(Some(SocketAddrV4::new(bound.ip(), bound.port())))
}

/// The uid of the listener on this address, if that can be found.
fn holder(address: SocketAddrV4) -> Option<u32> {
    let wild = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port());
    let diag = Diag::open().ok()?;
    let at = |address| diag.lookup(address, NOBODY).ok().flatten().map(|found| found.uid);
    at(address).or_else(|| at(wild))
}

/// The identity of lonetd's network namespace.
pub fn network_namespace() -> Result<u64, SetupError> {
    lonet_core::diag::netns_cookie(tcp_socket()?.as_raw_fd()).map_err(os("name the network namespace"))
}

pub fn tcp_socket() -> Result<OwnedFd, SetupError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(os("make a socket"))
}

/// Finds sockets in the block beside the two by which lonetd takes it; the second of these is bound and idle.
/// Returns the reason if one of them is not tolerated, and whether the kernel lists bound idle sockets.
///
/// Every lonetd listens, and listeners are in a small table: most blocks in use are found by the first dump.
/// Programs whose lonetd was killed may have connections alone. To find these the kernel walks all sockets of
/// the machine, also those in TIME_WAIT and in other network namespaces: 6 to 12 ms with 120,000 of them.
/// That is most of a start's time then, so it is done once, and lists the bound sockets, too.
fn find_occupant(
    block: Block,
    [lock, refuser]: [SocketAddrV4; 2],
    tolerance: Tolerance,
) -> (Option<Refusal>, bool) {
    let Ok(diag) = Diag::open() else { return (None, false) };
    let net = (Ipv4Addr::new(127, block.number(), 0, 0), 16);
    let owner = geteuid().as_raw();
    // Connections in TIME_WAIT stay for a minute after a network has ended; no process has them.
    let no_listeners = State::ALL & !State::LISTEN.bit() & !State::TIME_WAIT.bit();
    let mut shows_bound = false;
    for states in [State::LISTEN.bit(), no_listeners] {
        let mut refusal = None;
        let _ = diag.dump(states, Some(net), &mut |f| {
            shows_bound |= f.local == refuser && f.state == State::BOUND_INACTIVE;
            if f.local == lock || f.local == refuser || f.inode == 0 {
                return;
            }
            let listens = *f.local.ip() == block.stack() && f.state == State::LISTEN;
            let new = match f.uid == owner {
                true if tolerance == Tolerance::OwnPrograms && !listens => return,
                true => Refusal::Own,
                false => Refusal::Other { uid: f.uid, listens },
            };
            // The refusal that is hardest to tolerate is reported.
            let is_harder = |old: Refusal| new == Refusal::Own || old != Refusal::Own && listens;
            if !new.is_tolerated(tolerance) && refusal.is_none_or(is_harder) {
                refusal = Some(new);
            } else if listens && tolerance == Tolerance::OwnPrograms {
                tracing::warn!("a process of uid {} listens at {}, in the network's block", f.uid, f.local);
            }
        });
        if refusal.is_some() {
            return (refusal, shows_bound);
        }
    }
    (None, shows_bound)
}
