//! Tests of sockets that processes have entered in the table by themselves, when many of them end at once.

use super::cases::{ALPHA, BETA, DOES, GAMMA, REUSE_ADDRESS, STOPS};
use super::net::{HOSTS, Ip, Net};
use super::world::OWNER;
use super::{Pid, asked};
use crate::daemon::state::{Call, Connected, Cookie, Index, Scopes, Sender, State, StateReply};
use crate::daemon::trace::Recorder;
use crate::trace::{self, event::By};
use lonet_core::block::{Endpoint, Face};
use lonet_core::control::{Op, Options, Reply, Requester};
use lonet_core::diag::End;
use lonet_core::table::Table;
use lonet_core::table::entry::{ACCEPTED, DIAL, Entry};
use lonet_core::table::events::{Event, Kind};
use lonet_core::table::state::{NO_SLOT, SUSPECT};
use lonet_core::table::word::Word;

/// The slot in which a process acts on the table, and its host.
fn seat(net: &mut Net, pid: Pid, host: &str) -> (u16, Index) {
    let requester = Requester { host, key: [0; 16], options: Options::default() };
    let enter = Op::Enter { dials: true, seat: NO_SLOT };
    match net.state.handle(&mut net.world, Sender { pid, uid: OWNER }, &requester, &enter) {
        StateReply::Reply(Reply::Entered { slot, host }) => (slot, host),
        other => panic!("no seat: {other:?}"),
    }
}

fn listener(net: &mut Net, pid: Pid) -> Cookie {
    let listener = net.world.socket(pid);
    net.bind(pid, listener, Ip::Any, 0, asked(REUSE_ADDRESS), DOES);
    net.listen(pid, listener, asked(REUSE_ADDRESS), DOES);
    listener
}

/// A dial of `pid`'s to a listener, as the process enters it.
fn dial(net: &mut Net, (pid, host): (Pid, &str), to: Cookie) -> Cookie {
    let (slot, index) = seat(net, pid, host);
    let called = net.state.sockets[&to].clone();
    let (os_remote, block) = (called.os.expect("an address"), net.state.block);
    let cookie = net.world.socket(pid);
    let from = net.world.connect(cookie, block.address(index), os_remote).expect("a connection");
    let at = |host, port| Endpoint::new(block.shown(host, Face::V4), port);
    let call = Call {
        local: at(index, 9),
        peer: at(called.host, called.port),
        os_local: Some(from),
        os_remote,
        peer_host: called.host,
        dialed_port: called.port,
        scope: Scopes::host(Face::V4),
    };
    let entry = Entry { call: Some(call), ..entry((index, 9), DIAL) };
    let parts = net.state.parts();
    let reference = parts.records.take(0, slot, cookie).expect("a record");
    assert!(parts.enter_dial(reference, cookie, &entry) && parts.publish(reference, from, os_remote));
    parts.connected(reference, true);
    cookie
}

/// An accept of a dial, as the process enters it.
fn accept(net: &mut Net, (pid, host): (Pid, &str), listener: Cookie, dial: Cookie) -> Cookie {
    let (slot, _) = seat(net, pid, host);
    let cookie = net.world.accept(listener, pid).expect("a connection");
    let parts = net.state.parts();
    let dial = parts.find(dial).expect("its record");
    let call = dial.entry.call.expect("a call");
    let turned = Call {
        local: call.peer,
        peer: call.local,
        os_local: Some(call.os_remote),
        os_remote: call.os_local.expect("a source"),
        peer_host: dial.entry.host,
        ..call
    };
    let entry = Entry { call: Some(turned), ..entry((call.peer_host, call.dialed_port), ACCEPTED) };
    assert!(parts.take_dial(&dial) && parts.accepted(0, slot, cookie, &entry, dial.reference).is_some());
    cookie
}

fn entry((host, port): (Index, u16), role: u8) -> Entry {
    Entry {
        host,
        port,
        asked: asked(REUSE_ADDRESS),
        at: None,
        os: None,
        call: None,
        accept_port: None,
        role,
        since: 0,
    }
}

fn is_suspect(net: &Net, cookie: Cookie) -> bool {
    net.state.parts().find(cookie).expect("its record").state.is(SUSPECT)
}

#[test]
fn accepted_sockets_hold_ports_when_all_listeners_end() {
    let mut net = Net::new();
    let both = [(ALPHA, HOSTS[0]), (BETA, HOSTS[1])].map(|(pid, host)| {
        let child = net.fork(pid);
        let listener = listener(&mut net, pid);
        let dial = dial(&mut net, (GAMMA, HOSTS[2]), listener);
        (seat(&mut net, pid, host).1, accept(&mut net, (child, host), listener, dial))
    });
    net.end([ALPHA, BETA]);
    assert_eq!(net.held(), both.map(|(host, accepted)| (host, 1, accepted)));
}

#[test]
fn accepted_sockets_ending_with_listeners_hold_no_port() {
    let mut net = Net::new();
    for (pid, host) in [(ALPHA, HOSTS[0]), (BETA, HOSTS[1])] {
        let listener = listener(&mut net, pid);
        let dial = dial(&mut net, (GAMMA, HOSTS[2]), listener);
        accept(&mut net, (pid, host), listener, dial);
    }
    net.end([ALPHA, BETA]);
    assert_eq!(net.held(), []);
}

#[test]
fn only_dials_to_ended_listeners_become_suspect() {
    let mut net = Net::new();
    let dials = [ALPHA, BETA, GAMMA].map(|pid| {
        let listener = listener(&mut net, pid);
        dial(&mut net, (GAMMA, HOSTS[2]), listener)
    });
    net.end([ALPHA, BETA]);
    assert_eq!(dials.map(|dial| is_suspect(&net, dial)), [true, true, false]);
}

#[test]
fn host_is_up_while_others_hold_its_sockets() {
    let mut net = Net::new();
    let to = listener(&mut net, GAMMA);
    let [kept, _] = [(ALPHA, HOSTS[0]), (BETA, HOSTS[1])].map(|dialer| dial(&mut net, dialer, to));
    net.pass(kept, GAMMA);
    net.end([ALPHA, BETA]);
    let is_up = |net: &Net, n: usize| net.state.hosts.find(HOSTS[n].as_bytes()).is_some_and(|h| h.is_up());
    assert_eq!([0, 1].map(|n| is_up(&net, n)), [true, false]);
    net.close(GAMMA, kept, false, true);
    net.announce();
    assert!(!is_up(&net, 0));
}

#[test]
fn sockets_left_to_others_end_without_an_announcement() {
    let mut net = Net::new();
    let called = listener(&mut net, BETA);
    dial(&mut net, (ALPHA, HOSTS[0]), called);
    listener(&mut net, ALPHA);
    let child = net.fork(ALPHA);
    net.end([ALPHA]);
    let shown = |net: &mut Net| {
        let network = net.state.show(&mut net.world, "net");
        let mine = network.hosts.iter().filter(|host| host.name == HOSTS[0]);
        mine.map(|host| host.sockets.len()).sum::<usize>()
    };
    net.state.review_left(&mut net.world);
    assert_eq!(shown(&mut net), 2, "the child holds them");
    net.world.exit(child);
    assert_eq!(shown(&mut net), 1, "the listener: the kernel has announced nothing");
    net.state.review_left(&mut net.world);
    assert_eq!(shown(&mut net), 0);
}

/// Processes of host α bind and listen on a kernel that does not list bound sockets.
fn net_with_hidden_sockets() -> Net {
    let mut net = Net::new();
    net.world.hides_bound = true;
    net
}

#[test]
fn sockets_that_are_not_listed_end_with_their_process() {
    let mut net = net_with_hidden_sockets();
    let bound = net.world.socket(ALPHA);
    net.bind(ALPHA, bound, Ip::Any, 0, asked(REUSE_ADDRESS), DOES);
    let sockets = [listener(&mut net, ALPHA), bound];
    let child = net.fork(ALPHA);
    net.end([ALPHA]);
    let left = |net: &Net| sockets.map(|cookie| net.is_on_record(cookie));
    assert_eq!(left(&net), [true, true], "the child holds them");
    net.end([child]);
    net.state.review_left(&mut net.world);
    assert_eq!(left(&net), [false, false]);
}

#[test]
fn nobody_probes_where_a_process_may_bind() {
    let mut net = net_with_hidden_sockets();
    let first = net.world.socket(ALPHA);
    let shared = asked((false, true));
    net.bind(ALPHA, first, Ip::Any, 7, shared, DOES);
    let second = net.world.socket(ALPHA);
    net.bind(ALPHA, second, Ip::Any, 7, shared, STOPS);
    net.close(ALPHA, first, false, false);
    net.state.review_all(&mut net.world);
    assert_eq!((net.world.probed, net.is_on_record(first)), (0, true));
    net.step(second);
    net.state.review_all(&mut net.world);
    assert!(net.world.probed > 0);
}

#[test]
fn ends_that_were_not_announced_are_recorded_once() {
    let mut net = Net::new();
    let mapping = net.table();
    // SAFETY: the mapping outlives the recorder, which is dropped first.
    let table: Table<'static> = unsafe { Table::at(mapping.table().address()) };
    let to = listener(&mut net, GAMMA);
    let older = dial(&mut net, (ALPHA, HOSTS[0]), to);
    table.header().recording.set(1);
    let mut recorder = Recorder::begin(table);
    recorder.collect_lines(true);
    let dialers = [(ALPHA, HOSTS[0]), (ALPHA, HOSTS[0]), (ALPHA, HOSTS[0]), (BETA, HOSTS[1])];
    let [closed, unseen, open, dead] = dialers.map(|(pid, host)| {
        let cookie = dial(&mut net, (pid, host), to);
        let Connected { host, ends: (from, to), .. } = net.state.connection(cookie).expect("a connection");
        let event =
            Event { cookie, from: Some(from), to: Some(to), ..Event::new(Kind::Connected, pid, host) };
        table.note(NO_SLOT, || event);
        cookie
    });
    table.note(NO_SLOT, || Event { cookie: closed, ..Event::new(Kind::Closing, ALPHA, 0) });
    net.end([BETA]);
    // Who has closed the connections whose ends are new.
    let closes = |recorder: &mut Recorder, state: &mut State| {
        recorder.take(state);
        recorder.write(|_| false);
        let lines = String::from_utf8(recorder.take_lines()).expect("a text");
        let events = lines.lines().map(|line| trace::event::Event::parse(line).expect("an event"));
        events.filter_map(|event| event.by).collect::<Vec<_>>()
    };
    let is_gone = |(cookie, _)| Some(cookie).filter(|cookie| *cookie != open);
    recorder.find_ends(&mut net.state, |_, made| made.into_iter().filter_map(is_gone).collect());
    let mut by = closes(&mut recorder, &mut net.state);
    by.sort_by_key(|by| *by == By::Death);
    assert_eq!(by, [By::Program, By::Program, By::Program, By::Death]);
    for cookie in [older, closed, unseen, dead] {
        recorder.destroyed(&mut net.state, &End { cookie, traffic: None });
    }
    assert_eq!(closes(&mut recorder, &mut net.state), []);
    recorder.destroyed(&mut net.state, &End { cookie: open, traffic: None });
    assert_eq!(closes(&mut recorder, &mut net.state), [By::Program]);
}
