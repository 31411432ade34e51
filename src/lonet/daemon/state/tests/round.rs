//! Tests of messages that had all been sent when the first of them is handled.

use super::asked;
use super::cases::{ALPHA, DOES};
use super::net::{Ip, Net};
use crate::daemon::state::Cookie;

const HELD: usize = 20;

fn bind(net: &mut Net) -> (Cookie, Option<u16>) {
    let socket = net.world.socket(ALPHA);
    net.bind(ALPHA, socket, Ip::Any, 0, asked((false, false)), DOES);
    (socket, net.state.sockets.get(&socket).map(|s| s.port))
}

/// A host of whose sockets nobody announces the end, with ports from 1 on held.
fn unseen() -> (Net, Vec<Cookie>) {
    let mut net = Net::new();
    let held = (0..HELD).map(|_| bind(&mut net).0).collect();
    net.state.expect_unseen(ALPHA, None);
    (net, held)
}

#[test]
fn binds_that_were_sent_together_ask_about_a_port_once() {
    let (mut net, _) = unseen();
    net.state.set_round(true);
    net.world.asked = 0;
    for port in 1..=HELD as u16 {
        assert_eq!(bind(&mut net).1, Some(HELD as u16 + port));
    }
    // And about those that were bound meanwhile.
    assert!(net.world.asked <= 2 * HELD, "{} questions", net.world.asked);
    net.check();
}

#[test]
fn close_before_several_binds_frees_the_port_for_the_first() {
    let (mut net, held) = unseen();
    net.close(ALPHA, held[7], false, false);
    net.close(ALPHA, held[4], false, false);
    net.state.set_round(true);
    let ports = [(); 3].map(|()| bind(&mut net).1);
    assert_eq!(ports, [5, 8, HELD as u16 + 1].map(Some));
    net.state.set_round(false);
    net.close(ALPHA, held[9], false, false);
    assert_eq!(bind(&mut net).1, Some(10), "what is closed after them is free for the next");
    net.check();
}
