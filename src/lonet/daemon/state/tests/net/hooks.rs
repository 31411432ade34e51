//! The hooks' steps around a call: ask lonetd, make the call, notify lonetd; each stops half-way on request.

use super::*;

impl Net {
    fn ip(&mut self, pid: Pid, ip: Ip) -> Option<Ipv4Addr> {
        Some(match ip {
            Ip::Any => Ipv4Addr::UNSPECIFIED,
            Ip::Loopback => Ipv4Addr::LOCALHOST,
            Ip::Own => block().address(self.home(pid)),
            Ip::Host(n) => {
                let index = self.state.hosts.find(HOSTS[n].as_bytes())?.index;
                block().address(index)
            }
        })
    }

    pub fn bind(&mut self, pid: Pid, cookie: Cookie, ip: Ip, port: u16, asked: Asked, stops: bool) {
        self.revive();
        let s = &self.world.sockets[&cookie];
        if self.pending.contains_key(&cookie) || s.is != Is::Unknown || s.spent || s.bound.is_some() {
            return;
        }
        let Some(ip) = self.ip(pid, ip) else { return };
        let at = Endpoint::from(SocketAddrV4::new(ip, port));
        let host = self.home(pid);
        for attempt in 0..4 {
            let before = self.expectation(host);
            let known = self.mine.get(&cookie).cloned();
            let answer = self.ask(pid, &Op::Bind { cookie, at, asked, attempt, past: Runs::NONE });
            let os = match answer {
                Ok(Reply::BindTo { os, .. }) => os,
                Err(Errno::EADDRINUSE) => {
                    let free = self.conflicts(host, cookie, at, asked) == Holds::No;
                    let said = self.state.sockets.iter().filter(|(_, s)| (s.host, s.port) == (host, port));
                    let said: Vec<_> = said.map(|(c, s)| (c, s, self.holds(*c), self.mine.get(c))).collect();
                    assert!(!free || self.world.is_vague(), "{at} is free for {asked:?}: {said:?}");
                    return;
                }
                // Allowed to another process, which has ended; whether it made the call cannot be determined.
                Err(Errno::EINVAL) if self.world.is_vague() => return,
                other => panic!("bind {at}: {other:?}"),
            };
            let got = self.state.sockets[&cookie].port;
            match known {
                // The same claim, at another OS address.
                Some(m) if attempt > 0 => assert_eq!(m.port, got),
                _ if port == 0 => before.check(self, host, got, cookie),
                _ => {
                    assert_eq!(got, port);
                    let conflicts = self.conflicts(host, cookie, at, asked);
                    assert!(!matches!(conflicts, Holds::Yes), "{at} was given twice");
                }
            }
            let at = Some(Endpoint::new(at.ip, got));
            let is_autobound_dial = false;
            let mine = Mine {
                host,
                port: got,
                at,
                listens: false,
                is_autobound_dial,
                asked,
                call: None,
                pid,
                untold: false,
            };
            self.mine.insert(cookie, mine);
            self.pending.insert(cookie, (pid, Pending::Bind { os }));
            if stops || self.step(cookie) {
                return;
            }
        }
        self.tell(pid, &Op::Failed { cookie });
        self.mine.remove(&cookie);
    }

    pub fn listen(&mut self, pid: Pid, cookie: Cookie, asked: Asked, stops: bool) {
        self.revive();
        let s = &self.world.sockets[&cookie];
        let (is, bound, spent) = (s.is.clone(), s.bound, s.spent);
        if self.pending.contains_key(&cookie) || is == Is::Listening || matches!(is, Is::Connected { .. }) {
            return;
        }
        if spent && bound.is_none() {
            return;
        }
        let asked = self.mine.get(&cookie).filter(|_| bound.is_some()).map_or(asked, |m| m.asked);
        let host = self.home(pid);
        for attempt in 0..4 {
            let before = self.expectation(host);
            let op = Op::Listen { cookie, bound: bound.is_some(), asked, attempt };
            let os = match self.ask(pid, &op) {
                Ok(Reply::Listen) => None,
                Ok(Reply::BindTo { os, .. }) => Some(os),
                Err(Errno::EADDRINUSE) => return,
                other => panic!("listen: {other:?}"),
            };
            let record = &self.state.sockets[&cookie];
            let (at, port) = (record.at, record.port);
            if os.is_some() {
                if attempt == 0 {
                    before.check(self, host, port, cookie);
                }
                let is_autobound_dial = false;
                let mine = Mine {
                    host,
                    port,
                    at,
                    listens: true,
                    is_autobound_dial,
                    asked,
                    call: None,
                    pid,
                    untold: false,
                };
                self.mine.insert(cookie, mine);
            } else if let Some(mine) = self.mine.get_mut(&cookie).map(|m| {
                // If the kernel cannot be asked, a socket that was shut down still listens, as far as lonetd
                // knows.
                (m.pid, m.untold, m.call) = (pid, self.world.is_vague(), None);
                m.clone()
            }) {
                let clash = |(other, m): (&Cookie, &Mine)| {
                    *other != cookie
                        && m.listens
                        && !self.has_given_up(*other, m)
                        && (m.host, m.port) == (mine.host, mine.port)
                        && self.holds(*other) == Holds::Yes
                        && overlap(m, &mine)
                        && !(m.asked.reuse_port && mine.asked.reuse_port)
                };
                assert!(!self.mine.iter().any(clash), "{cookie} listens where another does");
            }
            self.pending.insert(cookie, (pid, Pending::Listen { os }));
            self.mine.entry(cookie).and_modify(|m| m.listens = true);
            if stops || self.step(cookie) {
                return;
            }
            if os.is_none() {
                return;
            }
        }
        self.tell(pid, &Op::Failed { cookie });
        self.mine.remove(&cookie);
    }

    pub fn dial(&mut self, pid: Pid, cookie: Cookie, ip: Ip, port: u16, stops: bool) {
        self.revive();
        let s = &self.world.sockets[&cookie];
        if self.pending.contains_key(&cookie) || !matches!(s.is, Is::Unknown | Is::Bound) || s.spent {
            return;
        }
        let os_bound = s.bound;
        let Some(to) = self.ip(pid, ip) else { return };
        let (host, before) = (self.home(pid), self.expectation(self.home(pid)));
        let asked = Asked { family: Face::V4, v6only: false, reuse_address: false, reuse_port: false };
        let bound = self.mine.get(&cookie).filter(|_| os_bound.is_some()).cloned();
        let to = Endpoint::from(SocketAddrV4::new(to, port));
        let others = bound.as_ref().map_or(Holds::No, |m| self.connected_as(cookie, m, to));
        let op = Op::Dial { cookie, to, local: os_bound, asked, acts: false, unaware: false };
        let (to, refused) = match self.ask(pid, &op) {
            Ok(Reply::ConnectTo { to, .. }) => (to, *to.ip() == block().stack()),
            Err(Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EADDRINUSE) => return,
            Err(Errno::EADDRNOTAVAIL) => {
                assert!(
                    self.world.is_vague() || others != Holds::No,
                    "nobody else is connected to {to} from there"
                );
                return;
            }
            other => panic!("dial: {other:?}"),
        };
        assert!(refused || others != Holds::Yes, "another socket is connected to {to} from there");
        // An earlier permission that was not used lapses.
        match os_bound {
            Some(_) => _ = self.mine.entry(cookie).and_modify(|m| m.listens = false),
            None => _ = self.mine.remove(&cookie),
        }
        if !refused {
            let record = &self.state.sockets[&cookie];
            let (got, call) = (record.port, record.call.expect("a call"));
            match &bound {
                Some(m) => assert_eq!(m.port, got),
                None => before.check(self, host, got, cookie),
            }
            let call = Some((call.local, call.peer));
            let mine = match bound {
                Some(m) => Mine { call, pid, listens: false, ..m },
                None => Mine {
                    host,
                    port: got,
                    at: None,
                    listens: false,
                    is_autobound_dial: true,
                    asked,
                    call,
                    pid,
                    untold: false,
                },
            };
            self.mine.insert(cookie, mine);
        }
        self.pending.insert(cookie, (pid, Pending::Connect { to, refused }));
        if !stops {
            self.step(cookie);
            self.step(cookie);
        }
    }

    /// Continues a call that stopped half-way. `false`: the kernel refused an OS address.
    pub fn step(&mut self, cookie: Cookie) -> bool {
        let Some((pid, pending)) = self.pending.remove(&cookie) else { return true };
        if !self.world.sockets.get(&cookie).is_some_and(|s| s.holders.contains_key(&pid)) {
            return true;
        }
        self.mine.entry(cookie).and_modify(|m| m.untold = false);
        let asked = self.mine.get(&cookie).map(|m| m.asked);
        let reuse_port = asked.is_some_and(|a| a.reuse_port);
        match pending {
            Pending::Bind { os } => {
                if !self.world.bind(cookie, os, reuse_port) {
                    self.mine.entry(cookie).and_modify(|m| m.untold = true);
                    return false;
                }
                self.tell(pid, &Op::Bound { cookie, os });
            }
            Pending::Listen { os } => {
                if let Some(os) = os {
                    if !self.world.bind(cookie, os, reuse_port) {
                        self.mine.entry(cookie).and_modify(|m| m.untold = true);
                        return false;
                    }
                    self.tell(pid, &Op::Bound { cookie, os });
                }
                if self.world.listen(cookie) {
                    self.tell(pid, &Op::Listening { cookie });
                } else {
                    let told = self.tell(pid, &Op::Failed { cookie });
                    self.mine.entry(cookie).and_modify(|m| (m.listens, m.untold) = (false, !told));
                }
            }
            Pending::Connect { to, refused } => {
                let host = self.mine.get(&cookie).map_or(0, |m| m.host);
                let from = match refused {
                    true => {
                        self.world.sockets.entry(cookie).and_modify(|s| s.spent = s.bound.is_none());
                        return true;
                    }
                    false => self.world.connect(cookie, block().address(host), to),
                };
                if from.is_some() {
                    let other = *self.world.sockets.keys().next_back().expect("the other end");
                    self.dialers.insert(other, cookie);
                } else {
                    // It holds its port until lonetd is notified.
                    self.mine.entry(cookie).and_modify(|m| m.untold = true);
                }
                self.pending.insert(cookie, (pid, Pending::Dialed { from }));
            }
            Pending::Dialed { from } => {
                let errno = if from.is_some() { 0 } else { libc::ECONNREFUSED };
                let told = self.tell(pid, &Op::Dialed { cookie, from, errno });
                if from.is_none() {
                    let bound = self.world.sockets[&cookie].bound.is_some();
                    if bound {
                        self.mine.entry(cookie).and_modify(|m| (m.call, m.untold) = (None, false));
                    } else if told {
                        self.mine.remove(&cookie);
                    }
                }
            }
        }
        true
    }

    pub fn accept(&mut self, pid: Pid, listener: Cookie) {
        let Some(cookie) = self.world.accept(listener, pid) else { return };
        let dialer = self.dialers[&cookie];
        let theirs = self.mine.get(&dialer).cloned();
        let Is::Connected { local, remote } = self.world.sockets[&cookie].is else {
            // It was reset: the kernel still has its addresses, and so has the hook.
            return;
        };
        let Some(listens) = self.mine.get(&listener).cloned() else { panic!("an unknown listener") };
        match self.ask(pid, &Op::Accept { listener, cookie, local, remote }) {
            Ok(Reply::Accepted { local, peer }) => {
                let (their_local, their_peer) = theirs.and_then(|m| m.call).expect("a dialer");
                assert_eq!((peer, local), (their_local, their_peer), "accept names its dialer");
                let mine = Mine {
                    port: listens.port,
                    host: listens.host,
                    at: None,
                    listens: false,
                    is_autobound_dial: false,
                    asked: listens.asked,
                    call: Some((local, peer)),
                    pid,
                    untold: false,
                };
                self.mine.insert(cookie, mine);
            }
            // It dialed another service that had this OS address; or the dialer cannot be identified, and is
            // not let in.
            Ok(Reply::Drop) => {
                let meant = theirs.and_then(|m| m.call).map(|(_, peer)| peer);
                assert!(
                    self.world.is_vague()
                        || meant.is_none_or(|peer| peer.port != listens.port || !answers(&listens, peer)),
                    "{meant:?} was meant for {listens:?}"
                );
                self.close(pid, cookie, true, true);
            }
            other => panic!("accept: {other:?}"),
        }
    }

    pub fn close(&mut self, pid: Pid, cookie: Cookie, seen: bool, reset: bool) {
        self.world.close(cookie, pid, reset);
        if let Some((asked, _)) = self.pending.get(&cookie).copied() {
            // Until the call is made, the kernel shows nothing of it.
            self.mine.entry(cookie).and_modify(|m| m.untold = true);
            // The call fails if its process does not have the socket any more (EBADF), even if it is given
            // the socket again.
            let holds = self.world.sockets.get(&cookie).is_some_and(|s| s.holders.contains_key(&asked));
            if !holds {
                self.pending.remove(&cookie);
            }
        }
        if seen && self.tell(pid, &Op::Closed { cookie }) {
            self.holds_nothing_if_dead(cookie, "it was closed");
        }
    }

    pub fn shutdown(&mut self, cookie: Cookie) {
        if self.world.sockets[&cookie].is == Is::Listening {
            self.world.shutdown(cookie);
            self.mine.entry(cookie).and_modify(|m| m.listens = false);
        }
    }

    pub fn disconnect(&mut self, pid: Pid, cookie: Cookie) {
        if !self.pending.contains_key(&cookie) && self.world.sockets[&cookie].is == Is::Listening {
            self.shutdown(cookie);
            self.tell(pid, &Op::Disconnected { cookie });
            return;
        }
        if self.pending.contains_key(&cookie)
            || !matches!(self.world.sockets[&cookie].is, Is::Connected { .. })
        {
            return;
        }
        self.world.reset(cookie);
        let told = self.tell(pid, &Op::Disconnected { cookie });
        let s = self.world.sockets.entry(cookie).and_modify(|s| s.spent = s.bound.is_none());
        let bound = matches!(s, std::collections::btree_map::Entry::Occupied(o) if o.get().bound.is_some());
        if bound {
            self.mine.entry(cookie).and_modify(|m| m.call = None);
        } else if told {
            self.mine.remove(&cookie);
        } else {
            self.mine.entry(cookie).and_modify(|m| m.untold = true);
        }
    }

    pub fn pass(&mut self, cookie: Cookie, to: Pid) {
        self.world.sockets.entry(cookie).and_modify(|s| *s.holders.entry(to).or_insert(0) += 1);
    }
}
