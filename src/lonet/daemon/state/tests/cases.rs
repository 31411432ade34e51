//! Tests of failures that arbitrary scripts have found, shortened and named.

use super::net::{HOSTS, Ip, Net};
use super::world::{Is, OWNER};
use super::{Pid, asked};
use crate::daemon::state::{Cookie, Host, Role, Sender};
use lonet_core::block::Endpoint;
use lonet_core::control::{Op, Options, Requester};
use lonet_core::table::ports::Seen;
use lonet_core::table::state::NO_SLOT;
use std::sync::atomic::{AtomicBool, Ordering};

/// The processes that exist from the beginning, one on each host.
pub const ALPHA: Pid = 1;
pub const BETA: Pid = 2;
pub const GAMMA: Pid = 3;

const PLAIN: (bool, bool) = (false, false);
pub const REUSE_ADDRESS: (bool, bool) = (true, false);

/// The process makes the call that lonetd allows, at once.
pub const DOES: bool = false;
/// The process stops between lonetd's reply and the call.
pub const STOPS: bool = true;

fn serve(net: &mut Net, pid: Pid, port: u16) -> Cookie {
    let listener = net.world.socket(pid);
    net.bind(pid, listener, Ip::Any, port, asked(REUSE_ADDRESS), DOES);
    net.listen(pid, listener, asked(REUSE_ADDRESS), DOES);
    listener
}

fn os_port(net: &Net, socket: Cookie) -> Option<u16> {
    net.world.sockets[&socket].bound.map(|os| os.port())
}

#[test]
fn port_stays_held_while_its_record_is_replaced() {
    let mut net = Net::new();
    let socket = net.world.socket(ALPHA);
    net.bind(ALPHA, socket, Ip::Any, 0, asked(PLAIN), DOES);
    let (table, index, is_done) =
        (net.table(), net.state.hosts.all().next().expect("α").index, AtomicBool::new(false));
    let was_free = std::thread::scope(|scope| {
        let spy = scope.spawn(|| {
            let table = table.table();
            let parts = table.parts(table.block().expect("a block"));
            let is_free = || matches!(parts.ports.look(parts.records, index, 1), Seen::Free(_));
            while !is_done.load(Ordering::Acquire) {
                if is_free() {
                    return true;
                }
            }
            false
        });
        for _ in 0..10_000 {
            net.state.put(socket, net.state.sockets[&socket].clone());
        }
        is_done.store(true, Ordering::Release);
        spy.join().expect("what was seen")
    });
    assert!(!was_free);
}

#[test]
fn dial_half_taken_over_by_killed_lonetd_stays_connected() {
    let mut net = Net::new();
    serve(&mut net, BETA, 1);
    let dialer = net.world.socket(ALPHA);
    net.dial(ALPHA, dialer, Ip::Host(1), 1, DOES);
    net.state.take_over(dialer);
    assert!(net.state.sockets.contains_key(&dialer));
    net.kill_lonetd();
    net.revive();
    assert_eq!(net.state.sockets.get(&dialer).map(|s| s.role), Some(Role::Connected));
    net.check();
}

#[test]
fn unannounced_close_frees_port_behind_many_held_ones() {
    let mut net = Net::new();
    let bind = |net: &mut Net| {
        let socket = net.world.socket(ALPHA);
        net.bind(ALPHA, socket, Ip::Any, 0, asked(PLAIN), DOES);
        socket
    };
    let all: Vec<Cookie> = (0..12).map(|_| bind(&mut net)).collect();
    net.state.expect_unseen(ALPHA, None);
    net.close(ALPHA, all[10], false, false);
    let next = bind(&mut net);
    assert_eq!(os_port(&net, next), Some(11));
    net.check();
}

#[test]
fn process_with_slot_is_restored_as_member() {
    let mut net = Net::new();
    let requester = Requester { host: HOSTS[0], key: [0; 16], options: Options::default() };
    let enter = Op::Enter { dials: true, seat: NO_SLOT };
    net.state.handle(&mut net.world, Sender { pid: ALPHA, uid: OWNER }, &requester, &enter);
    net.save();
    // lonetd is killed before it has saved its new members.
    net.table().table().save_members(ALPHA, &[]);
    net.kill_lonetd();
    net.revive();
    let process = net.state.processes.get(&ALPHA).expect("a member");
    assert!(process.slot.is_some() && process.hosts.len() == 1);
}

#[test]
fn pending_listen_of_closed_socket_does_not_block_bind() {
    let mut net = Net::new();
    let socket = net.world.socket(ALPHA);
    net.listen(ALPHA, socket, asked(PLAIN), STOPS);
    let child = net.fork(ALPHA);
    net.close(ALPHA, socket, false, false);
    net.bind(child, socket, Ip::Any, 0, asked(PLAIN), DOES);
    assert_eq!(os_port(&net, socket), Some(1));
    net.check();
}

#[test]
fn pending_call_of_another_process_does_not_block_bind() {
    let mut net = Net::new();
    serve(&mut net, ALPHA, 0);
    let socket = net.world.socket(ALPHA);
    net.dial(ALPHA, socket, Ip::Own, 1, STOPS);
    let child = net.fork(ALPHA);
    net.kill_lonetd();
    net.close(ALPHA, socket, false, false);
    net.pass(socket, ALPHA);
    net.bind(child, socket, Ip::Any, 0, asked(PLAIN), DOES);
    assert_eq!(os_port(&net, socket), Some(2));
    net.check();
}

#[test]
fn abandoned_listen_does_not_block_bind_by_same_process() {
    let mut net = Net::new();
    let socket = net.world.socket(ALPHA);
    net.listen(ALPHA, socket, asked(PLAIN), STOPS);
    net.fork(ALPHA);
    net.close(ALPHA, socket, false, false);
    net.pass(socket, ALPHA);
    net.bind(ALPHA, socket, Ip::Any, 0, asked(PLAIN), DOES);
    assert_eq!(os_port(&net, socket), Some(1));
    net.check();
}

#[test]
fn refused_dial_releases_port_of_earlier_pending_dial() {
    let mut net = Net::new();
    serve(&mut net, ALPHA, 0);
    let dialer = net.world.socket(ALPHA);
    net.dial(ALPHA, dialer, Ip::Own, 1, STOPS);
    net.fork(ALPHA);
    net.close(ALPHA, dialer, false, false);
    net.pass(dialer, ALPHA);
    net.dial(ALPHA, dialer, Ip::Own, 5, DOES);
    let socket = net.world.socket(ALPHA);
    net.bind(ALPHA, socket, Ip::Any, 0, asked(PLAIN), DOES);
    assert_eq!(net.port(socket), Some(2));
    net.check();
}

/// A bound socket of γ's whose dial to α was not made by its process, which has closed it; and the child that
/// still has it.
fn dialed_and_closed(net: &mut Net) -> (Cookie, Pid) {
    serve(net, ALPHA, 4);
    serve(net, GAMMA, 1);
    let dialer = net.world.socket(GAMMA);
    net.bind(GAMMA, dialer, Ip::Any, 0, asked(PLAIN), DOES);
    let child = net.fork(GAMMA);
    net.dial(GAMMA, dialer, Ip::Host(0), 4, STOPS);
    net.world.blind = true;
    net.close(GAMMA, dialer, false, false);
    (dialer, child)
}

#[test]
fn second_dial_succeeds_if_first_cannot_be_checked() {
    let mut net = Net::new();
    let (dialer, child) = dialed_and_closed(&mut net);
    net.dial(child, dialer, Ip::Own, 1, DOES);
    let os = net.world.sockets[&dialer].bound.expect("an address");
    let Is::Connected { remote, .. } = net.world.sockets[&dialer].is else { panic!("not connected") };
    assert_eq!((remote.ip(), remote.port()), (os.ip(), 1));
}

#[test]
fn redial_by_another_process_keeps_its_addresses() {
    let mut net = Net::new();
    let (dialer, child) = dialed_and_closed(&mut net);
    net.dial(child, dialer, Ip::Host(0), 4, STOPS);
    net.world.blind = false;
    net.kill_lonetd();
    net.come_to_rest();
    net.check();
    net.check_names();
}

#[test]
fn dial_releases_claim_of_pending_bind() {
    let mut net = Net::new();
    let socket = net.world.socket(BETA);
    net.bind(BETA, socket, Ip::Any, 0, asked(REUSE_ADDRESS), STOPS);
    serve(&mut net, BETA, 1);
    net.step(socket);
    net.dial(BETA, socket, Ip::Any, 2, STOPS);
    net.check();
    assert_eq!(net.held().len(), 1);
}

#[test]
fn listen_after_another_hosts_permission_gets_own_hosts_port() {
    let mut net = Net::new();
    let socket = net.world.socket(GAMMA);
    net.listen(GAMMA, socket, asked(PLAIN), STOPS);
    net.pass(socket, BETA);
    serve(&mut net, BETA, 0);
    net.world.blind = true;
    net.end([GAMMA]);
    net.listen(BETA, socket, asked(PLAIN), DOES);
    assert_eq!(net.port(socket), Some(2));
    net.check();
}

#[test]
fn dial_after_another_hosts_bind_gets_own_hosts_port() {
    let mut net = Net::new();
    let socket = net.world.socket(ALPHA);
    net.world.blind = true;
    net.pass(socket, BETA);
    net.bind(ALPHA, socket, Ip::Own, 0, asked(PLAIN), STOPS);
    serve(&mut net, BETA, 0);
    net.end([ALPHA]);
    net.dial(BETA, socket, Ip::Own, 1, DOES);
    assert_eq!(net.port(socket), Some(2));
    net.check();
}

#[test]
fn pending_bind_succeeds_if_another_listens_meanwhile() {
    let mut net = Net::new();
    let socket = net.world.socket(BETA);
    net.bind(BETA, socket, Ip::Any, 0, asked(REUSE_ADDRESS), STOPS);
    let child = net.fork(BETA);
    serve(&mut net, child, 1);
    net.step(socket);
    net.bind(BETA, socket, Ip::Any, 0, asked(REUSE_ADDRESS), DOES);
    assert_eq!(net.port(socket), Some(1));
    assert!(os_port(&net, socket).is_some_and(|port| port != 1));
    net.check();
}

#[test]
fn bind_with_other_options_replaces_pending_bind() {
    let mut net = Net::new();
    let socket = net.world.socket(BETA);
    net.bind(BETA, socket, Ip::Any, 3, asked(REUSE_ADDRESS), STOPS);
    serve(&mut net, BETA, 3);
    net.step(socket);
    net.bind(BETA, socket, Ip::Any, 3, asked(PLAIN), DOES);
    assert_eq!(os_port(&net, socket), None);
    net.check();
}

#[test]
fn bind_to_named_port_releases_earlier_autobind() {
    let mut net = Net::new();
    let socket = net.world.socket(BETA);
    net.bind(BETA, socket, Ip::Any, 0, asked(REUSE_ADDRESS), STOPS);
    serve(&mut net, BETA, 1);
    net.step(socket);
    net.bind(BETA, socket, Ip::Any, 1, asked(REUSE_ADDRESS), DOES);
    assert_eq!(os_port(&net, socket), None);
    net.check();
}

#[test]
fn second_listen_keeps_port_until_close() {
    let mut net = Net::new();
    let listener = serve(&mut net, BETA, 0);
    let child = net.fork(BETA);
    net.world.blind = true;
    net.shutdown(listener);
    net.listen(child, listener, asked(REUSE_ADDRESS), DOES);
    net.world.blind = false;
    net.end([BETA]);
    net.check();
    net.end([child]);
    assert_eq!(net.held(), []);
}

#[test]
fn disconnected_listener_is_a_bound_socket() {
    let mut net = Net::new();
    let listener = serve(&mut net, BETA, 0);
    // An old kernel does not list bound sockets.
    for blind in [false, true] {
        net.world.blind = blind;
        net.disconnect(BETA, listener);
        assert_eq!(net.state.sockets[&listener].role, Role::Bound, "blind: {blind}");
        net.world.blind = false;
        net.listen(BETA, listener, asked(REUSE_ADDRESS), DOES);
        assert_eq!(net.state.sockets[&listener].role, Role::Listening, "blind: {blind}");
        net.check();
    }
}

/// Host α, whose only process has ended and may have left another, and whether β's dial to it depends on that.
fn net_with_unverified_host() -> (Net, bool) {
    let mut net = Net::new();
    let hosts = net.state.processes[&ALPHA].hosts.clone();
    let index = *hosts.first().expect("its host");
    net.end([ALPHA]);
    net.state.mark_unverified(&hosts);
    let requester = Requester { host: "β", key: [0; 16], options: Options::default() };
    let to = Endpoint { ip: net.state.block.address(index).to_ipv6_mapped(), port: 1 };
    let dial = Op::Dial { cookie: 1, to, local: None, asked: asked(PLAIN), acts: false, unaware: false };
    let depends = net.state.depends_on_unverified(BETA, &requester, &dial);
    (net, depends)
}

fn is_up(net: &Net, name: &str) -> bool {
    net.state.hosts.find(name.as_bytes()).is_some_and(Host::is_up)
}

#[test]
fn host_whose_last_process_ended_is_up_until_verified() {
    let (mut net, depends) = net_with_unverified_host();
    let name = super::net::HOSTS[0];
    assert!(depends && is_up(&net, name));
    let all = net.state.unverified().clone();
    net.state.verified(&all);
    assert!(!is_up(&net, name));
    assert!(net.state.unverified().is_empty());
}

#[test]
fn host_that_left_a_process_stays_up_when_verified() {
    let (mut net, _) = net_with_unverified_host();
    let name = super::net::HOSTS[0];
    let left = net.world.spawn();
    net.state.adopt(&mut net.world, left, Some(name));
    let all = net.state.unverified().clone();
    net.state.verified(&all);
    assert!(is_up(&net, name));
}

#[test]
fn unverified_host_takes_spelling_of_found_process() {
    let (mut net, _) = net_with_unverified_host();
    let (name, renamed) = (super::net::HOSTS[0], super::net::HOSTS[0].to_uppercase());
    let new = net.world.spawn();
    net.state.adopt(&mut net.world, new, Some(&renamed));
    assert_eq!(net.state.hosts.find(name.as_bytes()).map(|host| host.name.as_str()), Some(renamed.as_str()));
}

#[test]
fn message_about_verified_host_does_not_wait() {
    let (net, _) = net_with_unverified_host();
    let requester = Requester { host: "β", key: [0; 16], options: Options::default() };
    let index = net.state.hosts.find("γ".as_bytes()).expect("host γ").index;
    let to = Endpoint { ip: net.state.block.address(index).to_ipv6_mapped(), port: 1 };
    let dial = Op::Dial { cookie: 1, to, local: None, asked: asked(PLAIN), acts: false, unaware: false };
    assert!(!net.state.depends_on_unverified(BETA, &requester, &dial));
    assert!(!net.state.depends_on_unverified(BETA, &requester, &Op::Closed { cookie: 1 }));
}

#[test]
fn accept_names_gone_dialer_alike_after_restart() {
    let mut net = Net::new();
    let listener = serve(&mut net, BETA, 1);
    let dialer = net.world.socket(ALPHA);
    net.bind(ALPHA, dialer, Ip::Any, 0, asked(PLAIN), DOES);
    net.dial(ALPHA, dialer, Ip::Host(1), 1, DOES);
    net.close(ALPHA, dialer, true, false);
    net.kill_lonetd();
    // The model checks the name.
    net.accept(BETA, listener);
    assert_eq!(net.sockets_of(BETA).len(), 2);
}

#[test]
fn dial_with_both_ends_of_another_connection_is_refused() {
    let mut net = Net::new();
    serve(&mut net, BETA, 1);
    let [first, second] = [(); 2].map(|()| {
        let dialer = net.world.socket(ALPHA);
        net.bind(ALPHA, dialer, Ip::Any, 1, asked(REUSE_ADDRESS), DOES);
        net.dial(ALPHA, dialer, Ip::Host(1), 1, DOES);
        dialer
    });
    assert!(matches!(net.world.sockets[&first].is, Is::Connected { .. }));
    assert_eq!(net.world.sockets[&second].is, Is::Bound);
}
