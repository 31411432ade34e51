//! Tests of lonetd's state with arbitrary programs, messages and deaths, compared with a model: see `net`.

#![allow(clippy::panic)]

mod cases;
mod ends;
mod net;
mod round;
mod world;

use crate::daemon::state::Pid;
use lonet_core::block::Face;
use lonet_core::control::Asked;
use net::{HOSTS, Ip, Net};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A step of a script. Numbers choose among what exists at that time, newest first: a script from which steps
/// are removed still means the same.
#[derive(Clone, Debug)]
enum Step {
    Run { home: usize },
    Fork { process: usize },
    End { processes: Vec<usize> },
    Socket { process: usize },
    Bind { process: usize, socket: usize, ip: Ip, port: u16, reuse: (bool, bool), stops: bool },
    Listen { process: usize, socket: usize, stops: bool },
    Server { process: usize, port: u16 },
    Dial { process: usize, socket: Option<usize>, ip: Ip, port: u16, stops: bool },
    Accept { process: usize, socket: usize },
    GoOn { process: usize, socket: usize },
    Close { process: usize, socket: usize, seen: bool, reset: bool },
    Shutdown { process: usize, socket: usize },
    Disconnect { process: usize, socket: usize },
    Pass { process: usize, socket: usize, to: usize },
    Announce,
    KillLonetd,
    KillBeforeReply,
    Blind(bool),
}

fn ips() -> impl Strategy<Value = Ip> {
    let hosts = (0..HOSTS.len()).prop_map(Ip::Host);
    prop_oneof![Just(Ip::Any), Just(Ip::Loopback), Just(Ip::Own), hosts]
}

fn own_ips() -> impl Strategy<Value = Ip> {
    prop_oneof![3 => Just(Ip::Any), 1 => Just(Ip::Loopback), 1 => Just(Ip::Own)]
}

fn steps() -> impl Strategy<Value = Step> {
    let n = || 0..64usize;
    let seldom = || prop::bool::weighted(0.1);
    let port = || prop_oneof![3 => Just(0u16), 2 => 1u16..6];
    prop_oneof![
        2 => (0..HOSTS.len()).prop_map(|home| Step::Run { home }),
        2 => n().prop_map(|process| Step::Fork { process }),
        3 => prop::collection::vec(n(), 1..4).prop_map(|processes| Step::End { processes }),
        8 => n().prop_map(|process| Step::Socket { process }),
        8 => (n(), n(), own_ips(), port(), any::<(bool, bool)>(), seldom()).prop_map(
            |(process, socket, ip, port, reuse, stops)| Step::Bind { process, socket, ip, port, reuse, stops }
        ),
        6 => (n(), n(), seldom()).prop_map(|(process, socket, stops)| Step::Listen { process, socket, stops }),
        4 => (n(), port()).prop_map(|(process, port)| Step::Server { process, port }),
        16 => (n(), prop::option::of(n()), ips(), 1u16..6, seldom()).prop_map(|(process, socket, ip, port, stops)| {
            Step::Dial { process, socket, ip, port, stops }
        }),
        10 => (n(), n()).prop_map(|(process, socket)| Step::Accept { process, socket }),
        5 => (n(), n()).prop_map(|(process, socket)| Step::GoOn { process, socket }),
        12 => (n(), n(), prop::bool::weighted(0.7), seldom()).prop_map(|(process, socket, seen, reset)| {
            Step::Close { process, socket, seen, reset }
        }),
        2 => (n(), n()).prop_map(|(process, socket)| Step::Shutdown { process, socket }),
        2 => (n(), n()).prop_map(|(process, socket)| Step::Disconnect { process, socket }),
        3 => (n(), n(), n()).prop_map(|(process, socket, to)| Step::Pass { process, socket, to }),
        4 => Just(Step::Announce),
        3 => Just(Step::KillLonetd),
        3 => Just(Step::KillBeforeReply),
        1 => any::<bool>().prop_map(Step::Blind),
    ]
}

fn asked((reuse_address, reuse_port): (bool, bool)) -> Asked {
    Asked { family: Face::V4, v6only: false, reuse_address, reuse_port }
}

fn choose<T: Copy>(all: &[T], n: usize) -> Option<T> {
    all.iter().rev().nth(n % all.len().max(1)).copied()
}

fn take(net: &mut Net, step: &Step) {
    let processes: Vec<_> = net.world.processes.iter().copied().collect();
    let process = |n: usize| choose(&processes, n);
    let chosen = |net: &Net, p: usize, s: usize| {
        let pid = process(p)?;
        Some((pid, choose(&net.sockets_of(pid), s)?))
    };
    match *step {
        Step::Run { home } => {
            net.run(home);
        }
        Step::Fork { process: p } => process(p).into_iter().for_each(|pid| _ = net.fork(pid)),
        Step::End { ref processes } => net.end(processes.iter().filter_map(|p| process(*p))),
        Step::Socket { process: p } => {
            process(p).into_iter().for_each(|pid| {
                net.world.socket(pid);
            });
        }
        Step::Server { process: p, port } => {
            let Some(pid) = process(p) else { return };
            let cookie = net.world.socket(pid);
            net.bind(pid, cookie, Ip::Any, port, asked((true, false)), false);
            if net.world.sockets[&cookie].bound.is_some() {
                net.listen(pid, cookie, asked((true, false)), false);
            }
        }
        Step::Bind { process: p, socket, ip, port, reuse, stops } => {
            if let Some((pid, cookie)) = chosen(net, p, socket) {
                net.bind(pid, cookie, ip, port, asked(reuse), stops);
            }
        }
        Step::Listen { process: p, socket, stops } => {
            if let Some((pid, cookie)) = chosen(net, p, socket) {
                net.listen(pid, cookie, asked((false, false)), stops);
            }
        }
        Step::Dial { process: p, socket, ip, port, stops } => {
            let Some(pid) = process(p) else { return };
            let old = socket.and_then(|n| choose(&net.sockets_of(pid), n));
            let cookie = old.unwrap_or_else(|| net.world.socket(pid));
            net.dial(pid, cookie, ip, port, stops);
        }
        Step::Accept { process: p, socket } => {
            if let Some((pid, cookie)) = chosen(net, p, socket) {
                net.accept(pid, cookie);
            }
        }
        Step::GoOn { process: p, socket } => {
            if let Some((_, cookie)) = chosen(net, p, socket) {
                net.step(cookie);
            }
        }
        Step::Close { process: p, socket, seen, reset } => {
            if let Some((pid, cookie)) = chosen(net, p, socket) {
                net.close(pid, cookie, seen, reset);
            }
        }
        Step::Shutdown { process: p, socket } => {
            if let Some((_, cookie)) = chosen(net, p, socket) {
                net.shutdown(cookie);
            }
        }
        Step::Disconnect { process: p, socket } => {
            if let Some((pid, cookie)) = chosen(net, p, socket) {
                net.disconnect(pid, cookie);
            }
        }
        Step::Pass { process: p, socket, to } => {
            if let (Some((_, cookie)), Some(to)) = (chosen(net, p, socket), process(to)) {
                net.pass(cookie, to);
            }
        }
        Step::Announce => net.announce(),
        Step::KillLonetd => net.kill_lonetd(),
        Step::KillBeforeReply => net.kill_before_reply = !net.world.blind,
        Step::Blind(blind) => net.world.blind = blind && net.is_up(),
    }
}

/// Runs the same scripts every time, so that a failure is caused by the change at hand. With PROPTEST_CASES
/// that many others are generated, half of them for each test; what they find becomes one of `cases`.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig { cases: default.cases / 2, ..default },
        None => ProptestConfig { cases: 4000, rng_seed: RngSeed::Fixed(SEED), ..default },
    }
}

const SEED: u64 = 1;

proptest! {
    #![proptest_config(config())]

    /// No port is held twice without permission, the lowest free one is exactly the model's, the dead hold
    /// nothing, accept names the right dialer, and none of it depends on which lonetd serves.
    #[test]
    fn ports_and_names_match_the_model_in_any_script(script in prop::collection::vec(steps(), 1..120)) {
        let mut net = Net::new();
        for step in &script {
            take(&mut net, step);
            net.check();
        }
        net.come_to_rest();
        net.check();
        net.check_names();
    }

    /// On a kernel that does not list bound sockets, too, no port is held twice without permission, and the living lose none.
    #[test]
    fn living_hold_their_ports_where_idle_ones_are_hidden(script in prop::collection::vec(steps(), 1..120)) {
        let mut net = Net::new();
        net.world.hides_bound = true;
        for step in &script {
            take(&mut net, step);
            net.check();
        }
        net.come_to_rest();
        net.check();
    }

    /// A lonetd restores what the previous one knew.
    #[test]
    fn restored_state_equals_the_previous_one(script in prop::collection::vec(steps(), 1..80)) {
        let mut net = Net::new();
        for step in &script {
            take(&mut net, step);
        }
        net.come_to_rest();
        // Sockets that died unannounced, or were reset, are found when they are examined; a restored state
        // has examined them.
        net.kill_lonetd();
        net.revive();
        let before = net.held();
        net.kill_lonetd();
        net.revive();
        prop_assert_eq!(net.held(), before);
        net.check();
        net.check_names();
    }
}
