//! Tests of the kernel's counters of a socket: bytes carried, segments dropped.

use super::super::{Diag, SocketInfo, State, Traffic};
use super::until;
use crate::{sys, valve};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

#[test]
fn what_a_socket_drops_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = listener.local_addr().expect("an address");
    let dialer = TcpStream::connect(to).expect("a connection");
    let (accepted, _) = listener.accept().expect("a connection");
    let cookie = sys::cookie(accepted.as_raw_fd()).expect("a cookie");
    sys::setsockopt(accepted.as_raw_fd(), libc::SOL_IP, valve::IP_MINTTL, &255).expect("an option");
    let traffic = || {
        let mut all = Vec::new();
        let diag = Diag::open().expect("a way to ask");
        diag.dump_traffic(State::ESTABLISHED.bit(), &mut |f, traffic| all.push((f, traffic)))
            .expect("a dump");
        let of = |cookie| all.iter().find(|(f, _)| f.cookie == cookie).map(|(_, traffic)| *traffic);
        (
            of(cookie).expect("the accepted end"),
            of(sys::cookie(dialer.as_raw_fd()).expect("a cookie")).expect("the other"),
        )
    };
    assert_eq!(traffic(), (Traffic::default(), Traffic::default()));
    (&dialer).write_all(b"lost").expect("sent");
    until("it is sent again", || traffic().1.sent_again > 0);
    let (accepted_end, dialing_end) = traffic();
    assert!(accepted_end.dropped >= 2 && dialing_end.dropped == 0, "{accepted_end:?} {dialing_end:?}");
}

#[test]
fn bytes_that_a_connection_has_carried_are_told_of_both_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = listener.local_addr().expect("an address");
    let mut dialer = TcpStream::connect(to).expect("a connection");
    let (mut accepted, _) = listener.accept().expect("a connection");
    dialer.write_all(b"hello").expect("sent");
    accepted.write_all(b"hi").expect("sent");
    let carried = |stream: &TcpStream| {
        let cookie = sys::cookie(stream.as_raw_fd()).expect("a cookie");
        let (mut found, diag) = (None, Diag::open().expect("a way to ask"));
        let within = ([127, 0, 0, 1].into(), 32);
        let each = &mut |f: SocketInfo, t: sys::Traffic| {
            if f.cookie == cookie {
                found = Some((t.sent, t.received));
            }
        };
        diag.dump_carried(within, each).expect("a dump");
        found
    };
    until("both have arrived", || carried(&dialer) == Some((5, 2)) && carried(&accepted) == Some((2, 5)));
}
