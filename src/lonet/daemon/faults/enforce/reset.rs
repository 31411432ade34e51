//! Resets connections in such a way that both ends receive a reset.
//!
//! # Theory of operation
//!
//! To disconnect a socket (connect(2) to AF_UNSPEC) resets the other end, but is no reset to the socket itself: from Linux 6.7
//! on a thread that is blocked in recv(2) gets EPIPE, and some kernels before refuse with EBUSY while one is. So each end is made
//! to receive a segment of the kernel's, which takes no privilege:
//!
//! | end | what resets it |
//! |---|---|
//! | the other one | A socket of lonetd's, the double, has the addresses of this end and dials. The other end answers the SYN with an acknowledgement of the connection that it knows (RFC 5961), and the double, which knows none, that with a reset |
//! | this one | its own FIN, as there is nobody any more to whom it goes. It carries no data, and who reads is not at the end of data by it |
//!
//! Two sockets may have the same addresses if one of them is bound to an interface and the other is not. So this end is bound to
//! the loopback, which it uses anyway. All segments pass within the system calls that cause them, as the loopback queues none.
//!
//! The port of an accepted end is its listener's, and cannot be a double's: it is reset from the dialing end. Should the other end
//! have closed meanwhile, its listener must not see the double's SYN as a dial: the valves of ends let a TTL of 1 in, as the
//! valve of a listener does not. Across a cut that would let in what is cut, and an end that nobody has accepted cannot be set:
//! there the SYN has the greatest TTL.
//!
//! An end that has sent its FIN is reset by disconnecting the other one, at which nobody waits for data. Whatever is left is
//! disconnected: where an end cannot be reached, before Linux 5.7, or where data waits to be sent in front of a FIN.

use super::{KernelConnections, Setting, Target, Targets, forget_ended, report, set_all, tcp_state};
use crate::daemon::faults::Report;
use crate::daemon::kernel::Live;
use crate::daemon::state::{Cookie, End, State};
use lonet_core::diag::{SocketInfo, State as Tcp};
use lonet_core::table::Table;
use lonet_core::table::rules::{Rule, shut_by};
use lonet_core::{pace, sys, valve};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};
use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, RawFd};

/// What is done to each of the ends, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It lets segments of this TTL in, undelayed.
    LetIn(u8),
    /// The other end, and then this one, are reset by segments. The double's SYN has this TTL.
    Double(u8),
    /// Disconnected if the other end has sent its FIN.
    DisconnectHalf,
    /// Disconnected.
    Disconnect,
}

/// The TTL of a double's SYN that a listener drops.
const LOW: u8 = valve::LEAST - 1;

/// Resets the established connections between these hosts. Also returns the sockets that were reset.
pub fn reset_all(state: &State, kernel: &Live, table: Table<'_>, between: &[Rule]) -> (Report, Vec<Cookie>) {
    let listed = KernelConnections::of(kernel, state.block);
    let rules = state.rules();
    let is_cut = |end: &End| shut_by(rules.iter().copied(), end.hosts).is_any();
    let mut targets = Targets::new();
    for end in state.ends() {
        let is_made = |f: &&SocketInfo| f.inode != 0 && f.state != Tcp::SYN_SENT;
        let is_held = listed.by_cookie.get(&end.cookie).filter(is_made).is_some();
        if is_held && shut_by(between.iter().copied(), end.hosts).is_any() {
            let lets_in = if is_cut(&end) { valve::LEAST } else { LOW };
            let setting = Setting::Reset(Step::LetIn(lets_in));
            // A filter might lose what resets it.
            let loss = rules.iter().any(|r| r.loses(end.hosts)).then_some(0);
            targets.insert(end.cookie, Target { loss, ..Target::new(end, setting) });
        }
    }
    set_all(state, table, &listed, &mut targets);
    let lets_low_in = |t: &Target| t.is_set && !is_cut(&t.end);
    let low: HashSet<Cookie> = targets.iter().filter(|(_, t)| lets_low_in(t)).map(|(c, _)| *c).collect();
    let ttl = |end: &End| match listed.peer(end) {
        Some(peer) if low.contains(&peer.cookie) => LOW,
        _ => u8::MAX,
    };
    let mut take = |step: &dyn Fn(&End) -> Step| {
        for (cookie, target) in &mut targets {
            // Its program may have closed it since.
            let own = listed.by_cookie.get(cookie);
            let is_made = own.and_then(|own| kernel.is_made(*cookie, own.local, own.remote));
            (target.setting, target.is_set) = (Setting::Reset(step(&target.end)), is_made == Some(false));
        }
        set_all(state, table, &listed, &mut targets)
    };
    take(&|end| Step::Double(ttl(end)));
    take(&|_| Step::DisconnectHalf);
    let refusals = take(&|_| Step::Disconnect);
    forget_ended(state, kernel, &listed, &mut targets);
    let report = report(&listed, &targets, &refusals);
    (report, targets.into_iter().filter(|(_, t)| t.is_set).map(|(cookie, _)| cookie).collect())
}

/// Takes a step at a socket. Only the last one has to succeed.
pub(super) fn take(listed: &KernelConnections<'_>, fd: RawFd, end: &End, step: Step) -> Result<(), Errno> {
    let tcp = tcp_state(fd)?;
    if matches!(tcp, Tcp::SYN_SENT | Tcp::CLOSE) {
        return Ok(());
    }
    match step {
        Step::LetIn(ttl) => valve::let_in(fd, ttl).and_then(|()| pace::end_delay(fd)),
        Step::Double(_) if matches!(tcp, Tcp::FIN_WAIT1 | Tcp::FIN_WAIT2) => Ok(()),
        Step::Double(ttl) => {
            if let Some((own, peer)) = listed.by_cookie.get(&end.cookie).zip(listed.peer(end)) {
                reset_by_segments(fd, (own.local, own.remote), ttl, &|| {
                    listed.kernel.is_made(peer.cookie, peer.local, peer.remote) == Some(false)
                });
            }
            Ok(())
        }
        Step::DisconnectHalf if tcp != Tcp::CLOSE_WAIT => Ok(()),
        Step::DisconnectHalf | Step::Disconnect => {
            sys::disconnect(fd)?;
            // Wakes threads that wait for it.
            shut_down(fd, libc::SHUT_RDWR);
            Ok(())
        }
    }
}

/// Resets both ends of the connection between these addresses, the first of which is this socket's.
fn reset_by_segments(
    fd: RawFd,
    ends: (SocketAddrV4, SocketAddrV4),
    ttl: u8,
    is_other_gone: &dyn Fn() -> bool,
) {
    // Without a double the other end is still there.
    let _ = is_other_gone() || double(fd, ends, ttl).is_ok();
    // A FIN waits behind data, and wakes who waits for room: not with a reset, as it is not sent.
    if is_other_gone() && unsent(fd) == Some(0) {
        // A listener would drop what comes from behind a shut valve, and not answer.
        let _ = sys::setsockopt(fd, libc::SOL_IP, valve::IP_TTL, &i32::from(u8::MAX));
        shut_down(fd, libc::SHUT_WR);
    }
}

/// Has a socket with the addresses of this one dial its other end.
fn double(fd: RawFd, (from, to): (SocketAddrV4, SocketAddrV4), ttl: u8) -> Result<(), Errno> {
    const SO_BINDTOIFINDEX: i32 = 62;
    const LOOPBACK: i32 = 1;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let double = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    socket::setsockopt(&double, sockopt::ReuseAddr, &true)?;
    socket::bind(double.as_raw_fd(), &SockaddrIn::from(from))?;
    sys::setsockopt(double.as_raw_fd(), libc::SOL_IP, valve::IP_TTL, &i32::from(ttl))?;
    // If a listener has taken it for a dial, that ends at once.
    sys::reset_at_close(double.as_raw_fd())?;
    sys::setsockopt(fd, libc::SOL_SOCKET, SO_BINDTOIFINDEX, &LOOPBACK)?;
    match socket::connect(double.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
        Err(e) => Err(e),
    }
}

/// How much of what its program has written the kernel has not sent yet.
fn unsent(fd: RawFd) -> Option<i32> {
    const SIOCOUTQNSD: libc::Ioctl = 0x894b;
    let mut n = 0_i32;
    // SAFETY: a number for the kernel to write.
    let result = unsafe { libc::ioctl(fd, SIOCOUTQNSD, &raw mut n) };
    (result == 0).then_some(n)
}

fn shut_down(fd: RawFd, how: i32) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_shutdown, fd, how) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::thread;

    fn v4(address: std::io::Result<SocketAddr>) -> SocketAddrV4 {
        match address.expect("an address") {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!("an IPv4 socket"),
        }
    }

    /// Starts a thread that reads, and returns when it sleeps in that.
    fn blocked_reader(mut stream: TcpStream) -> thread::JoinHandle<Option<ErrorKind>> {
        let (tell, told) = std::sync::mpsc::channel();
        let reader = thread::spawn(move || {
            tell.send(sys::gettid()).expect("who asks");
            stream.read(&mut [0]).map_err(|e| e.kind()).err()
        });
        let thread = told.recv().expect("a thread");
        let call =
            || std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).unwrap_or_default();
        while !call().starts_with(&format!("{} ", libc::SYS_recvfrom)) {
            thread::yield_now();
        }
        reader
    }

    #[test]
    fn blocked_readers_at_both_ends_receive_a_reset() {
        for _ in 0..50 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let dialer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a dial");
            let (accepted, _) = listener.accept().expect("an accept");
            valve::fit(listener.as_raw_fd()).expect("an option");
            valve::let_in(accepted.as_raw_fd(), LOW).expect("an option");
            socket::setsockopt(&dialer, sockopt::ReuseAddr, &true).expect("an option");
            let readers = [&dialer, &accepted].map(|end| blocked_reader(end.try_clone().expect("a copy")));
            let ends = (v4(dialer.local_addr()), v4(dialer.peer_addr()));
            let is_gone = || tcp_state(accepted.as_raw_fd()) == Ok(Tcp::CLOSE);
            reset_by_segments(dialer.as_raw_fd(), ends, LOW, &is_gone);
            assert_eq!(tcp_state(dialer.as_raw_fd()), Ok(Tcp::CLOSE));
            for reader in readers {
                assert_eq!(reader.join().expect("its result"), Some(ErrorKind::ConnectionReset));
            }
        }
    }

    #[test]
    fn double_of_a_connection_that_has_ended_is_no_dial() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let dialer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a dial");
        let accepted = listener.accept().expect("an accept").0;
        valve::fit(listener.as_raw_fd()).expect("an option");
        socket::setsockopt(&dialer, sockopt::ReuseAddr, &true).expect("an option");
        let ends = (v4(dialer.local_addr()), v4(dialer.peer_addr()));
        sys::reset_at_close(accepted.as_raw_fd()).expect("an option");
        drop(accepted);
        let _ = double(dialer.as_raw_fd(), ends, LOW);
        listener.set_nonblocking(true).expect("a flag");
        assert_eq!(listener.accept().map(drop).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    }
}
