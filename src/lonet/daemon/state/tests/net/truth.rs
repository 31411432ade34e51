//! The invariants that the model checks: at any time, and of every reply.

use super::*;

impl Net {
    pub(super) fn holds(&self, cookie: Cookie) -> Holds {
        let Some(m) = self.mine.get(&cookie) else { return Holds::No };
        let Some(s) = self.world.sockets.get(&cookie).filter(|s| s.is_held()) else {
            // A claim is in none of the kernel's tables: only the announcement tells of its end.
            let unheard = m.untold && self.world.destroyed.contains(&cookie);
            return if unheard { Holds::Perhaps } else { Holds::No };
        };
        match (self.pending.get(&cookie), &s.is) {
            (_, Is::Bound | Is::Listening | Is::Connected { .. }) => Holds::Yes,
            // It was connected, and reset before its program learned of the connection.
            (Some((_, Pending::Dialed { from: Some(_) })), _) => Holds::Perhaps,
            (Some((pid, _)), _) if *pid == m.pid && !m.untold && self.world.processes.contains(pid) => {
                Holds::Yes
            }
            (Some(_), _) => Holds::Perhaps,
            (None, _) if m.untold => Holds::Perhaps,
            // Its process has stopped half-way, or its connection has gone.
            (None, _) if !s.spent => Holds::Perhaps,
            (None, _) => Holds::IfNobodyLooks,
        }
    }

    pub(super) fn conflicts(&self, host: Index, cookie: Cookie, at: Endpoint, asked: Asked) -> Holds {
        let wish = Mine {
            host,
            port: at.port,
            at: Some(at),
            listens: false,
            is_autobound_dial: false,
            asked,
            call: None,
            pid: 0,
            untold: false,
        };
        let all = self.mine.iter().filter(|(c, m)| **c != cookie && (m.host, m.port) == (host, at.port));
        let unverified = |(c, s): (&Cookie, &crate::daemon::state::Socket)| {
            (s.host, s.port) == (host, at.port) && self.state.is_unverified(*c)
        };
        let mut worst = if self.state.sockets.iter().any(unverified) { Holds::Perhaps } else { Holds::No };
        for (c, m) in all {
            if m.is_autobound_dial {
                continue;
            }
            let both = m.asked.reuse_address && asked.reuse_address;
            let overlaps = self.overlaps(*c, m, &wish);
            if overlaps == Holds::No || both && !m.listens || m.asked.reuse_port && asked.reuse_port {
                continue;
            }
            match self.holds(*c) {
                Holds::Yes if overlaps == Holds::Perhaps => worst = Holds::Perhaps,
                Holds::Yes if both && self.has_given_up(*c, m) => worst = Holds::Perhaps,
                Holds::Yes => return Holds::Yes,
                Holds::No => {}
                other => worst = other,
            }
        }
        worst
    }

    /// Whether another socket is connected from this one's bound address to its destination.
    pub(super) fn connected_as(&self, cookie: Cookie, m: &Mine, to: Endpoint) -> Holds {
        let is_outward = to.ip.to_ipv4_mapped().is_some_and(|ip| block().contains(ip));
        let peer = if is_outward { to } else { Endpoint::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), to.port) };
        let local = match m.at.and_then(|at| at.ip.to_ipv4_mapped()) {
            Some(Ipv4Addr::UNSPECIFIED) | None if is_outward => block().address(m.host),
            Some(Ipv4Addr::UNSPECIFIED) | None => Ipv4Addr::LOCALHOST,
            Some(ip) => ip,
        };
        let ends = Some((Endpoint::from(SocketAddrV4::new(local, m.port)), peer));
        let all =
            self.mine.iter().filter(|(c, other)| **c != cookie && other.call == ends && other.host == m.host);
        let how = all.map(|(c, _)| match (self.holds(*c), self.world.sockets.get(c).map(|s| &s.is)) {
            // Its connection is to come, or has gone.
            (Holds::Yes, Some(Is::Bound)) => Holds::Perhaps,
            (holds, _) => holds,
        });
        how.max().unwrap_or(Holds::No)
    }

    /// Whether it has addresses in common with a request. A bound socket whose connection was reset uses its
    /// bound address again once it is examined.
    fn overlaps(&self, cookie: Cookie, m: &Mine, wish: &Mine) -> Holds {
        let is_reset = m.call.is_some() && self.world.sockets.get(&cookie).is_some_and(|s| s.is == Is::Bound);
        match (overlap(m, wish), overlap(&Mine { call: None, ..m.clone() }, wish)) {
            (by_call, by_bind) if is_reset && by_call != by_bind => Holds::Perhaps,
            (true, _) => Holds::Yes,
            (false, _) => Holds::No,
        }
    }

    /// Whether it may listen, has not done so, and its process has closed it or has ended: lonetd may know by
    /// now that it will not.
    pub(super) fn has_given_up(&self, cookie: Cookie, m: &Mine) -> bool {
        m.listens && m.untold && self.world.sockets.get(&cookie).is_some_and(|s| matches!(s.is, Is::Bound))
    }

    pub(super) fn expectation(&self, host: Index) -> Expectation {
        let mut ports: BTreeMap<u16, Holds> = BTreeMap::new();
        for (cookie, m) in self.mine.iter().filter(|(_, m)| m.host == host) {
            let known = ports.entry(m.port).or_insert(Holds::No);
            *known = self.holds(*cookie).max(*known);
        }
        for (_, s) in
            self.state.sockets.iter().filter(|(c, s)| s.host == host && self.state.is_unverified(**c))
        {
            let known = ports.entry(s.port).or_insert(Holds::Perhaps);
            *known = Holds::Perhaps.max(*known);
        }
        let all_known = self.world.destroyed.is_empty();
        Expectation { ports, all_known, blind: self.world.is_vague() }
    }

    pub fn is_on_record(&self, cookie: Cookie) -> bool {
        let holds = |h: &crate::daemon::state::Host| {
            h.ports.held_from(0).any(|port| h.ports.holders(port).contains(&cookie))
        };
        self.state.hosts.all().any(holds)
    }

    pub(super) fn holds_nothing_if_dead(&self, cookie: Cookie, why: &str) {
        let dead = self.world.sockets.get(&cookie).is_none_or(|s| !s.is_held());
        assert!(
            !dead || self.world.is_vague() || !self.is_on_record(cookie),
            "{cookie} is held though {why}"
        );
    }

    /// Checks what is true at any time while a lonetd serves.
    pub fn check(&self) {
        if !self.is_up() {
            return;
        }
        for (cookie, m) in &self.mine {
            if self.holds(*cookie) == Holds::Yes {
                let held =
                    self.state.hosts.get(m.host).is_some_and(|h| h.ports.holders(m.port).contains(cookie));
                assert!(held, "{cookie} has lost its port: {m:?}, {:?}", self.state.sockets.get(cookie));
            }
        }
        if self.world.is_vague() {
            return;
        }
        for host in self.state.hosts.all() {
            for port in host.ports.held_from(0) {
                for cookie in host.ports.holders(port) {
                    let lives = self.world.sockets.get(cookie).is_some_and(|s| s.is_held());
                    let unheard = self.world.destroyed.contains(cookie) || self.state.is_unverified(*cookie);
                    assert!(lives || unheard, "the dead {cookie} holds {}:{port}", host.name);
                }
            }
        }
    }

    /// Checks the names of all connections.
    pub fn check_names(&mut self) {
        let all: Vec<(Cookie, Mine)> = self.mine.iter().map(|(c, m)| (*c, m.clone())).collect();
        for (cookie, m) in all {
            let Some(s) = self.world.sockets.get(&cookie) else { continue };
            let Some(pid) = s.holders.keys().next().copied() else { continue };
            if self.pending.contains_key(&cookie) {
                continue;
            }
            let (local, remote, want) = match (&s.is, m.call, m.at) {
                (Is::Connected { local, remote }, Some((mine, peer)), _) => {
                    (*local, Some(*remote), (Some(mine), Some(peer)))
                }
                (Is::Bound | Is::Listening, None, Some(at)) => {
                    (s.bound.expect("an address"), None, (Some(at), None))
                }
                _ => continue,
            };
            match self.ask(pid, &Op::Name { cookie, local, remote }) {
                Ok(Reply::Named { local, peer, .. }) => assert_eq!((local, peer), want, "names of {cookie}"),
                other => panic!("name: {other:?}"),
            }
        }
    }

    /// The port that a socket got.
    pub fn port(&self, cookie: Cookie) -> Option<u16> {
        self.mine.get(&cookie).map(|m| m.port)
    }

    /// The ports and the sockets that hold them.
    pub fn held(&self) -> Vec<(Index, u16, Cookie)> {
        let ports = |h: &crate::daemon::state::Host| {
            let index = h.index;
            let each =
                |port| h.ports.holders(port).iter().map(move |c| (index, port, *c)).collect::<Vec<_>>();
            h.ports.held_from(0).flat_map(each).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.state.hosts.all().flat_map(ports).collect();
        all.sort_unstable();
        all
    }
}

fn scopes(m: &Mine) -> Scopes {
    let ip = m.call.map(|(local, _)| local.ip).or(m.at.map(|at| at.ip));
    match ip.and_then(|ip| ip.to_ipv4_mapped()) {
        Some(Ipv4Addr::UNSPECIFIED) => Scopes(3),
        Some(Ipv4Addr::LOCALHOST) => Scopes(2),
        Some(_) => Scopes(1),
        None => Scopes(0),
    }
}

pub(super) fn overlap(one: &Mine, other: &Mine) -> bool {
    scopes(one).0 & scopes(other).0 != 0
}

/// Whether a listener accepts dials to this address.
pub(super) fn answers(listener: &Mine, dialed: Endpoint) -> bool {
    let dialed = match dialed.ip.to_ipv4_mapped() {
        Some(Ipv4Addr::LOCALHOST) => 2,
        _ => 1,
    };
    scopes(listener).0 & dialed != 0
}

/// The ports that an autobind may be given.
pub(super) struct Expectation {
    ports: BTreeMap<u16, Holds>,
    /// No announcement is outstanding.
    all_known: bool,
    blind: bool,
}

impl Expectation {
    fn at(&self, port: u16) -> Holds {
        self.ports.get(&port).copied().unwrap_or(Holds::No)
    }

    pub(super) fn check(&self, net: &Net, host: Index, got: u16, cookie: Cookie) {
        let held = |port: u16| matches!(self.at(port), Holds::Yes);
        // Its own claim, made before lonetd was killed.
        let own = net.mine.get(&cookie).is_some_and(|m| (m.host, m.port) == (host, got));
        assert!(own || !held(got), "{got} was given twice");
        if self.blind || own {
            return;
        }
        let certain = |port: u16| !matches!(self.at(port), Holds::Perhaps);
        let first = (1..).find(|port| !held(*port)).expect("a free port");
        let below_is_certain = (1..=first).all(certain);
        let known = self.all_known && self.ports.values().all(|h| *h != Holds::IfNobodyLooks);
        if below_is_certain && known {
            assert_eq!(got, first, "the first free port of {host}: {:?}", self.ports);
        }
    }
}
