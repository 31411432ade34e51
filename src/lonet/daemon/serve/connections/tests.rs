use super::*;
use lonet_core::control::{Op, Options, Requester};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

const KEY: Key = [7; 16];
const OUTSIDER: Option<u32> = Some(65533);

/// A connection with a message that is stamped with this time; and its other end.
fn sent_message(at: Duration) -> (OwnedFd, OwnedFd) {
    sent_with_key(at, [0; 16])
}

fn sent_with_key(at: Duration, key: Key) -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .expect("a pair of sockets");
    let mut bytes = [0; MAX_MESSAGE];
    let requester = Requester { host: "", key, options: Options::default() };
    let n = control::write_request(&mut bytes, at, &requester, &Op::Review).expect("a short message");
    socket::send(theirs.as_raw_fd(), &bytes[..n], MsgFlags::empty()).expect("room for a message");
    (ours, theirs)
}

fn times(connections: &mut Connections, until: Duration) -> Vec<Option<Duration>> {
    std::iter::from_fn(|| connections.next_until(until)).map(|s| control::sent_at(&s.bytes)).collect()
}

#[test]
fn messages_are_taken_in_the_order_in_which_they_were_sent() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let sent = [3, 1, 2].map(Duration::from_nanos);
    let all = sent.map(sent_message);
    let _others = all.map(|(ours, theirs)| (connections.add(ours, None), theirs));
    assert_eq!(times(&mut connections, now()), [1, 2, 3].map(|at| Some(Duration::from_nanos(at))));
}

#[test]
fn message_sent_later_waits_for_the_next_round() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let (moment, (early, _a)) = (now(), sent_message(Duration::ZERO));
    let later = moment + Duration::from_nanos(1);
    let (late, _b) = sent_message(later);
    connections.add(late, None);
    connections.add(early, None);
    assert_eq!(times(&mut connections, moment), [Some(Duration::ZERO)]);
    assert!(connections.has_received());
    assert_eq!(times(&mut connections, now()), [Some(later)]);
}

#[test]
fn message_with_a_future_time_stamp_does_not_wait() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let (fd, _other) = sent_message(Duration::from_secs(u64::MAX / 2_000_000_000));
    connections.add(fd, None);
    assert_eq!(times(&mut connections, now()).len(), 1);
}

#[test]
fn message_of_an_outsider_comes_after_all_members() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let (outsiders, _a) = sent_message(Duration::ZERO);
    connections.add(outsiders, OUTSIDER);
    let all = [1, 2].map(|at| sent_message(Duration::from_nanos(at)));
    let _others = all.map(|(ours, theirs)| (connections.add(ours, None), theirs));
    assert_eq!(times(&mut connections, now()), [1, 2, 0].map(|at| Some(Duration::from_nanos(at))));
}

#[test]
fn message_with_the_key_is_handled_as_a_members() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let all = [2, 1].map(|at| sent_with_key(Duration::from_nanos(at), KEY));
    let _others = all.map(|(ours, theirs)| (connections.add(ours, OUTSIDER), theirs));
    assert!(connections.has_members() && connections.refused.is_empty());
    assert_eq!(times(&mut connections, now()), [1, 2].map(|at| Some(Duration::from_nanos(at))));
}

#[test]
fn outsiders_messages_beyond_a_few_are_not_received() {
    let mut connections = Connections::new(KEY).expect("an epoll");
    let all: Vec<_> = (0..100).map(|_| sent_message(Duration::ZERO)).collect();
    let others: Vec<_> =
        all.into_iter().map(|(ours, theirs)| (connections.add(ours, OUTSIDER), theirs)).collect();
    assert!(!connections.has_members());
    assert_eq!((connections.refused.len(), connections.discarded.len()), (REFUSED, 100 - REFUSED));
    connections.close_discarded();
    assert_eq!(socket::recv(others[99].1.as_raw_fd(), &mut [0], MsgFlags::empty()), Ok(0), "the end");
    // One is due at once, and the next not before its time.
    let before = Instant::now();
    assert!(connections.next_until(now()).is_some());
    assert!(connections.refuses_at() >= Some(before + REFUSE_EVERY));
}
