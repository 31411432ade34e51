//! Tests against the real kernel, on addresses in 127.231.0.0/16.

use super::*;
use crate::block::Block;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

mod traffic;

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(v4) => v4,
        SocketAddr::V6(v6) => SocketAddrV4::new(v6.ip().to_ipv4_mapped().expect("v4-mapped"), v6.port()),
    }
}

fn diag() -> Diag {
    Diag::open().expect("a netlink socket")
}

fn id(socket: &impl AsRawFd) -> u64 {
    sys::cookie(socket.as_raw_fd()).expect("a cookie")
}

/// Waits for what the kernel does in its own time.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < limit, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn listen(address: &str) -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind(address).expect("a listener");
    let address = v4(listener.local_addr().expect("an address"));
    (listener, address)
}

fn ends(stream: &TcpStream) -> (SocketAddrV4, SocketAddrV4) {
    (v4(stream.local_addr().expect("local")), v4(stream.peer_addr().expect("remote")))
}

/// A socket bound to `ip` and a free port, or to the port of `ip:port`.
fn bound(address: SocketAddrV4, reuseport: bool) -> (sys::Fd, SocketAddrV4) {
    let fd = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
    sys::setsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_REUSEPORT, &libc::c_int::from(reuseport))
        .expect("an option");
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: a sockaddr_in with its size.
    unsafe { sys::bind(fd.raw(), (&raw const name).cast(), size_of::<libc::sockaddr_in>() as u32) }
        .expect("a free address");
    // SAFETY: the duplicate is owned by the TcpListener alone, which closes it.
    let view = unsafe { TcpListener::from_raw_fd(libc::dup(fd.raw())) };
    (fd, v4(view.local_addr().expect("an address")))
}

fn start_listening(fd: &sys::Fd) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::listen(fd.raw(), 8) }, 0);
}

fn dumped(diag: &Diag, states: u32, local: Option<(Ipv4Addr, u8)>) -> Vec<SocketInfo> {
    let mut all = Vec::new();
    diag.dump(states, local, &mut |found| all.push(found)).expect("a dump");
    all
}

fn connected(address: &str) -> (TcpListener, TcpStream, TcpStream) {
    let (listener, _) = listen(address);
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let server = listener.accept().expect("a connection").0;
    (listener, client, server)
}

#[test]
fn both_sides_of_a_connection_are_found_with_their_cookies() {
    for address in ["127.231.1.1:0", "[::ffff:127.231.1.2]:0"] {
        let (listener, client, server) = connected(address);
        let diag = diag();
        for socket in [&client, &server] {
            let (local, remote) = ends(socket);
            let found = diag.lookup(local, remote).expect("an answer").expect("a socket");
            assert_eq!((found.local, found.remote, found.state), (local, remote, State::ESTABLISHED));
            assert_eq!(found.cookie, id(socket));
            assert_ne!(found.inode, 0);
            // SAFETY: no arguments, cannot fail.
            assert_eq!(found.uid, unsafe { libc::geteuid() });
            assert_eq!(diag.lookup_cookie(local, remote, found.cookie).expect("an answer"), Some(found));
            assert_eq!(diag.lookup_cookie(local, remote, found.cookie + 1).expect("an answer"), None);
            let all = dumped(&diag, State::ESTABLISHED.bit(), Some((*local.ip(), 32)));
            assert!(all.contains(&found), "{address}");
        }
        let (_, listening) = ends(&client);
        let found = diag.lookup(listening, NOBODY).expect("an answer").expect("a listener");
        assert_eq!((found.state, found.cookie, found.remote), (State::LISTEN, id(&listener), NOBODY));
    }
}

#[test]
fn wildcard_listener_is_not_taken_for_a_dead_one_of_its_port() {
    for wildcard in ["0.0.0.0", "[::]"] {
        let diag = diag();
        let (listener, address) = listen("127.231.2.1:0");
        let old = id(&listener);
        drop(listener);
        let wildcard = TcpListener::bind(format!("{wildcard}:{}", address.port())).expect("a listener");
        until("the end of the listener", || diag.lookup(address, NOBODY).expect("an answer").is_none());
        assert_eq!(diag.answer(address, NOBODY).expect("an answer"), SocketAnswer::Another);
        assert_eq!(diag.listener(address, old).expect("an answer"), None);
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port());
        let found = diag.lookup(any, NOBODY).expect("an answer").expect("the wildcard listener");
        assert_eq!((found.cookie, found.local), (id(&wildcard), any));
        assert!(dumped(&diag, State::LISTEN.bit(), None).contains(&found));
    }
}

#[test]
fn ipv6_sockets_are_left_out() {
    let fd = sys::socket(libc::AF_INET6, libc::SOCK_STREAM, 0).expect("a socket");
    sys::setsockopt(fd.raw(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1_i32).expect("an option");
    // Listening without a bind is listening on [::] and a free port.
    start_listening(&fd);
    let loopback = TcpListener::bind("[::1]:0").expect("a listener");
    let wanted = [sys::cookie(fd.raw()).expect("a cookie"), id(&loopback)];
    let listed = dumped(&diag(), State::LISTEN.bit(), None);
    assert!(listed.iter().all(|found| !wanted.contains(&found.cookie)));
}

#[test]
fn a_bound_idle_socket_is_listed_and_not_looked_up() {
    let diag = diag();
    let (fd, address) = bound(SocketAddrV4::new(Ipv4Addr::new(127, 231, 3, 1), 0), false);
    let (_control, control) = bound(SocketAddrV4::new(Ipv4Addr::new(127, 231, 3, 2), 0), false);
    let shows_bound = dumped(&diag, State::BOUND_INACTIVE.bit(), None).iter().any(|f| f.local == control);
    assert_eq!(diag.lookup(address, NOBODY).expect("an answer"), None);
    let listed = |prefix| {
        dumped(&diag, State::BOUND_INACTIVE.bit(), prefix)
            .into_iter()
            .find(|f| f.cookie == sys::cookie(fd.raw()).expect("a cookie"))
    };
    let found = listed(Some((Ipv4Addr::new(127, 231, 3, 0), 24)));
    assert_eq!(found.is_some(), shows_bound);
    assert_eq!(found, listed(None));
    assert_eq!(listed(Some((Ipv4Addr::new(127, 231, 4, 0), 24))), None);
    if let Some(found) = found {
        assert_eq!((found.state, found.local, found.remote), (State::BOUND_INACTIVE, address, NOBODY));
        assert_ne!(found.inode, 0);
    }
}

#[test]
fn a_socket_bound_to_the_loopback_interface_is_found() {
    let (listener, address) = listen("127.231.4.1:0");
    sys::setsockopt(listener.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0").expect("lo");
    let found = diag().lookup(address, NOBODY).expect("an answer").expect("a listener");
    assert_eq!(found.cookie, id(&listener));
}

#[test]
fn connection_in_the_backlog_has_no_inode_until_accept() {
    let diag = diag();
    let (listener, address) = listen("127.231.5.1:0");
    let client = TcpStream::connect(address).expect("a connection");
    let waiting = v4(client.local_addr().expect("an address"));
    let found = diag.lookup(address, waiting).expect("an answer").expect("a connection");
    assert_eq!(found.inode, 0);
    let server = listener.accept().expect("a connection").0;
    let accepted = diag.lookup(address, waiting).expect("an answer").expect("a connection");
    assert_ne!(accepted.inode, 0);
    assert_eq!((accepted.cookie, found.cookie), (id(&server), id(&server)));
}

#[test]
fn after_a_reset_the_tuple_is_gone_though_the_socket_is_open() {
    let diag = diag();
    let (_listener, mut client, server) = connected("127.231.6.1:0");
    let (local, remote) = ends(&client);
    sys::reset_at_close(server.as_raw_fd()).expect("an option");
    drop(server);
    assert!(client.read(&mut [0]).is_err(), "a reset");
    assert_eq!(diag.lookup(local, remote).expect("an answer"), None);
}

#[test]
fn a_closed_connection_is_an_orphan_of_the_same_cookie() {
    let diag = diag();
    let (_listener, client, _server) = connected("127.231.7.1:0");
    let (local, remote) = ends(&client);
    let old = id(&client);
    drop(client);
    until("an orphan", || {
        let found = diag.lookup(local, remote).expect("an answer").expect("the server has not closed");
        assert_eq!(found.cookie, old);
        found.inode == 0
    });
}

#[test]
fn each_listener_of_a_reuseport_group_is_found_by_its_cookie() {
    let diag = diag();
    let (first, address) = bound(SocketAddrV4::new(Ipv4Addr::new(127, 231, 8, 1), 0), true);
    let group = [first, bound(address, true).0, bound(address, true).0];
    group.iter().for_each(start_listening);
    for member in &group {
        let wanted = sys::cookie(member.raw()).expect("a cookie");
        let found = diag.listener(address, wanted).expect("an answer").expect("a listener");
        assert_eq!((found.cookie, found.local), (wanted, address));
    }
    // The plain look-up names one of them, and denies the others.
    let by_cookie = |fd: &sys::Fd| {
        diag.lookup_cookie(address, NOBODY, sys::cookie(fd.raw()).expect("a cookie")).expect("an answer")
    };
    assert_eq!(group.iter().filter_map(by_cookie).count(), 1);
    assert_eq!(diag.listener(address, 1 << 60).expect("an answer"), None);
}

#[test]
fn the_end_of_a_socket_is_announced_with_its_cookie() {
    let news = Destroyed::open().expect("a subscription");
    let (fd, _) = bound(SocketAddrV4::new(Ipv4Addr::new(127, 231, 9, 1), 0), false);
    let (listener, client, server) = connected("[::ffff:127.231.9.2]:0");
    let mut expected =
        vec![sys::cookie(fd.raw()).expect("a cookie"), id(&listener), id(&client), id(&server)];
    drop((fd, client, server, listener));
    until("news of all four", || {
        while let Some(ends) = news.next().expect("no overrun") {
            expected.retain(|e| !ends.iter().any(|end| end.cookie == *e));
        }
        expected.is_empty()
    });
}

#[test]
fn ends_in_one_block_are_announced_and_others_are_not() {
    let (all, news) =
        (Destroyed::open().expect("a subscription"), Destroyed::open().expect("a subscription"));
    news.only(Block::new(231).expect("a block")).expect("a filter");
    // By the source, by the destination, by either in IPv6's form, and what has no address.
    let unbound = sys::socket(libc::AF_INET6, libc::SOCK_STREAM, 0).expect("a socket");
    let mapped = connected("[::ffff:127.231.9.4]:0");
    let from_elsewhere = connected("127.231.9.5:0");
    let (idle, _) = bound(SocketAddrV4::new(Ipv4Addr::new(127, 231, 9, 6), 0), false);
    let others = (connected("[::ffff:127.232.9.4]:0"), connected("127.232.9.5:0"));
    let three = |c: &(TcpListener, TcpStream, TcpStream)| [id(&c.0), id(&c.1), id(&c.2)];
    let mut ours = [three(&mapped), three(&from_elsewhere)].concat();
    ours.extend([&unbound, &idle].map(|fd| sys::cookie(fd.raw()).expect("a cookie")));
    let theirs = [three(&others.0), three(&others.1)].concat();
    let mut announced = [ours.clone(), theirs.clone()].concat();
    drop((others, unbound, mapped, from_elsewhere, idle));
    until("news of all", || {
        while let Some(ends) = all.next().expect("no overrun") {
            announced.retain(|e| !ends.iter().any(|end| end.cookie == *e));
        }
        announced.is_empty()
    });
    until("news of ours", || {
        while let Some(ends) = news.next().expect("no overrun") {
            assert!(
                theirs.iter().all(|e| !ends.iter().any(|end| end.cookie == *e)),
                "a socket of another block"
            );
            ours.retain(|e| !ends.iter().any(|end| end.cookie == *e));
        }
        ours.is_empty()
    });
}

#[test]
fn sockets_of_a_killed_process_are_free_when_wait_returns() {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the child makes system calls and does arithmetic only, until it is killed.
    let child = unsafe { libc::fork() };
    if child == 0 {
        hold_sockets(pipe[1]);
    }
    let mut ports = [0_u8; 4];
    // SAFETY: the buffer is valid for its length; the descriptors are closed once.
    let got = unsafe {
        libc::close(pipe[1]);
        let got = libc::read(pipe[0], ports.as_mut_ptr().cast(), 4);
        libc::close(pipe[0]);
        got
    };
    assert_eq!(got, 4, "the child has its sockets");
    let listening = SocketAddrV4::new(HELD, u16::from_be_bytes([ports[0], ports[1]]));
    let dialing = SocketAddrV4::new(HELD, u16::from_be_bytes([ports[2], ports[3]]));
    let diag = diag();
    let inode = |local, remote| diag.lookup(local, remote).expect("an answer").map_or(0, |f| f.inode);
    assert_ne!(inode(listening, NOBODY), 0);
    assert_ne!(inode(dialing, listening), 0);
    // SAFETY: a child of ours that has not been waited for; the status may be unwanted.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    assert_eq!(diag.lookup(listening, NOBODY).expect("an answer"), None);
    assert_eq!((inode(dialing, listening), inode(listening, dialing)), (0, 0));
}

const HELD: Ipv4Addr = Ipv4Addr::new(127, 231, 10, 1);

/// In a forked child: opens a listener and a connection to it, tells their ports, waits to be killed.
fn hold_sockets(tell: RawFd) -> ! {
    let name = |port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port,
        sin_addr: libc::in_addr { s_addr: u32::from(HELD).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: system calls on descriptors and addresses of this function's own.
    unsafe {
        let mut len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let (listener, client) = (
            libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0),
            libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0),
        );
        let mut local = name(0);
        libc::bind(listener, (&raw const local).cast(), len);
        libc::listen(listener, 8);
        libc::getsockname(listener, (&raw mut local).cast(), &raw mut len);
        let mut remote = name(0);
        libc::bind(client, (&raw const remote).cast(), len);
        libc::connect(client, (&raw const local).cast(), len);
        libc::getsockname(client, (&raw mut remote).cast(), &raw mut len);
        libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut());
        // Both ports are in network order already.
        let ports = [local.sin_port.to_ne_bytes(), remote.sin_port.to_ne_bytes()];
        libc::write(tell, ports.as_ptr().cast(), 4);
        loop {
            libc::pause();
        }
    }
}

#[test]
fn a_late_answer_is_not_taken_for_the_current_one() {
    let diag = diag();
    let (_listener, client, _server) = connected("127.231.11.1:0");
    let (local, remote) = ends(&client);
    // A question whose answer nobody has read, and a dump given up after its first part.
    diag.netlink.send(wire::exact_request(u32::MAX, local, remote, None).bytes()).expect("sent");
    assert_eq!(diag.lookup(local, local).expect("an answer"), None);
    let all = wire::Dump { states: State::ALL, filter: None, traffic: false };
    diag.netlink.send(wire::dump_request(u32::MAX, &all).bytes()).expect("sent");
    let found = diag.lookup(local, remote).expect("an answer").expect("the client");
    assert_eq!(found.cookie, id(&client));
    diag.netlink.send(wire::dump_request(u32::MAX, &all).bytes()).expect("sent");
    assert!(dumped(&diag, State::ESTABLISHED.bit(), Some((*local.ip(), 32))).contains(&found));
}

#[test]
fn proc_tells_of_the_same_sockets_without_their_cookies() {
    let diag = diag();
    for address in ["127.231.12.1:0", "[::ffff:127.231.12.2]:0"] {
        let (_listener, client, _server) = connected(address);
        let (local, remote) = ends(&client);
        let mut all = Vec::new();
        proc_dump(&mut |found| all.push(found)).expect("/proc");
        for (local, remote) in [(local, remote), (remote, local), (remote, NOBODY)] {
            let found = diag.lookup(local, remote).expect("an answer").expect("a socket");
            assert!(all.contains(&SocketInfo { cookie: 0, ..found }), "{found:?}");
        }
    }
}

#[test]
fn the_namespace_has_an_identity() {
    let (listener, _) = listen("127.231.13.1:0");
    let (pair, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let of = |fd: &dyn AsRawFd| netns_cookie(fd.as_raw_fd()).expect("a cookie");
    assert_eq!(of(&listener), of(&pair));
    assert_ne!(of(&pair), 0);
}
