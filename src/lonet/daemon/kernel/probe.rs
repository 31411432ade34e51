//! Whether something is bound to an address, where the kernel does not list bound idle sockets (before Linux 6.8).
//!
//! A socket without SO_REUSEADDR and SO_REUSEPORT can be bound only where no other is, in whatever state that is: so one that
//! is bound there proves that the socket in question has ended. It is closed at once. Until then it keeps others from binding
//! to this address, so the caller makes sure that no program is about to do that.
//!
//! If the address is in use, it may be by a socket that the kernel does list, such as a connection of a listener that has
//! ended, also in TIME_WAIT. Then nothing is known about an idle one beside it.
//!
//! The kernel announces the end of every socket to lonetd, also of these. One that was refused is used again: otherwise a
//! review of many sockets after announcements were lost would make the next ones be lost.

use super::batch::Unconnected;
use super::{Live, State};
use lonet_core::diag::{Diag, NOBODY};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

/// A socket that is not bound so far.
#[derive(Default)]
pub(super) struct Probe(Option<OwnedFd>);

impl Probe {
    /// Whether an address is in use. `None`: lonetd may not bind there.
    fn is_in_use(&mut self, address: SocketAddrV4) -> Option<bool> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let new = || socket::socket(AddressFamily::Inet, SockType::Stream, flags, None);
        let socket = match self.0.take() {
            Some(socket) => socket,
            None => new().ok()?,
        };
        match socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address)) {
            Ok(()) => Some(false),
            Err(e) => {
                self.0 = Some(socket);
                (e == Errno::EADDRINUSE).then_some(true)
            }
        }
    }
}

/// The local addresses of what the kernel lists within a net, and of the machine's listeners for all addresses.
fn listed(diag: &Diag, net: (Ipv4Addr, u8)) -> io::Result<BTreeSet<SocketAddrV4>> {
    let mut all = BTreeSet::new();
    let mut add = |states, net| diag.dump(states, Some(net), &mut |f| _ = all.insert(f.local));
    add(State::ALL & !State::BOUND_INACTIVE.bit(), net)?;
    add(State::LISTEN.bit(), (*NOBODY.ip(), 32))?;
    Ok(all)
}

impl Live {
    /// As [`Kernel::is_bound`](super::Kernel::is_bound).
    pub(super) fn probe(&mut self, os: SocketAddrV4) -> Option<bool> {
        if !self.probe.is_in_use(os)? {
            return Some(false);
        }
        let is_among = |all: &BTreeSet<_>| {
            all.contains(&os) || all.contains(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, os.port()))
        };
        let batch = if let Unconnected::Batch { net, listed, .. } = &self.unconnected {
            super::batch::is_within(*os.ip(), *net).then_some((*net, listed))
        } else {
            None
        };
        let is_listed = match batch {
            Some((_, Some(all))) => is_among(all),
            _ => {
                let all = listed(self.diag.as_ref()?, batch.map_or((*os.ip(), 32), |(net, _)| net)).ok()?;
                let is_listed = is_among(&all);
                let is_of_batch = batch.is_some();
                if !self.is_reliable() {
                    return None;
                }
                if let Unconnected::Batch { listed, .. } = &mut self.unconnected
                    && is_of_batch
                {
                    *listed = Some(all);
                }
                is_listed
            }
        };
        (!is_listed).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::state::Kernel;
    use super::*;
    use lonet_core::sys;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    /// lonetd on a kernel that does not list bound sockets, and the listener that it finds there.
    fn live() -> (Live, TcpListener) {
        let control = TcpListener::bind("127.0.0.1:0").expect("a listener");
        (Live::new(address(&control), false), control)
    }

    fn address(listener: &TcpListener) -> SocketAddrV4 {
        match listener.local_addr() {
            Ok(SocketAddr::V4(os)) => os,
            other => unreachable!("{other:?}"),
        }
    }

    /// A socket that is bound there, and shares the address.
    fn bound(at: SocketAddrV4) -> (sys::Fd, SocketAddrV4) {
        let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
        sys::setsockopt(socket.raw(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1).expect("an option");
        socket::bind(socket.raw(), &SockaddrIn::from(at)).expect("an address");
        let name: SockaddrIn = socket::getsockname(socket.raw()).expect("its name");
        (socket, SocketAddrV4::from(name))
    }

    const ANY_PORT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 4), 0);

    #[test]
    fn idle_socket_that_is_not_listed_is_found_by_a_probe() {
        let (mut live, _control) = live();
        for batch in [None, Some((*ANY_PORT.ip(), 32)), Some((Ipv4Addr::new(127, 0, 0, 5), 32))] {
            live.batch(batch);
            let (socket, os) = bound(ANY_PORT);
            let (other, _) = bound(os);
            assert_eq!(live.is_bound(os), Some(true));
            drop(socket);
            assert_eq!(live.is_bound(os), Some(true), "the other one");
            drop(other);
            assert_eq!(live.is_bound(os), Some(false));
            drop(bound(os));
        }
    }

    #[test]
    fn probe_cannot_tell_beside_what_is_listed() {
        let (mut live, _control) = live();
        let (listener, os) = bound(ANY_PORT);
        socket::listen(&as_fd(&listener), socket::Backlog::MAXCONN).expect("a listener");
        assert_eq!(live.is_bound(os), None, "a listener");
        let dialer = TcpStream::connect(os).expect("a connection");
        let accepted = socket::accept(listener.raw()).map(sys::Fd::adopt).expect("a connection");
        drop(listener);
        assert_eq!(live.is_bound(os), None, "a connection");
        drop(accepted);
        assert_eq!(live.is_bound(os), None, "what is left of a connection");
        drop(dialer);
    }

    fn as_fd(fd: &sys::Fd) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: it is open as long as what it is borrowed from.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.raw()) }
    }

    #[test]
    fn address_is_probed_by_one_socket_while_it_is_in_use() {
        let (mut live, _control) = live();
        let (_socket, os) = bound(ANY_PORT);
        let mut cookie = || {
            assert_eq!(live.is_bound(os), Some(true));
            live.probe.0.as_ref().and_then(|fd| sys::cookie(fd.as_raw_fd()).ok())
        };
        let first = cookie();
        assert!(first.is_some());
        assert_eq!(cookie(), first);
    }
}
