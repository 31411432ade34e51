//! Programs on a network: what the hooks do, against a lonetd that may be killed, and what must be true of it.
//!
//! The model of the ports is one line: a port is held by the sockets that got it, for as long as somebody holds them
//! and the kernel has them where they got it. Nothing in it knows how lonetd finds that out.

use super::world::{Is, OWNER, SOURCES, World};
use crate::daemon::journal;
use crate::daemon::state::{Answer, Classes, Cookie, Index, Pid, Saved, Sender, State};
use lonet_core::block::{Block, Endpoint, Face};
use lonet_core::control::{Asked, Caller, Op, Options, Reply};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub const HOSTS: [&str; 3] = ["α", "β", "γ"];

/// What a program binds to or dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip {
    Any,
    Loopback,
    Own,
    Host(usize),
}

/// A socket that got a port.
#[derive(Clone, Debug)]
pub struct Mine {
    pub host: Index,
    pub port: u16,
    at: Option<Endpoint>,
    listens: bool,
    asked: Asked,
    /// Its connection as both ends are to see it.
    call: Option<(Endpoint, Endpoint)>,
    /// Who asked for it.
    pid: Pid,
    /// lonetd was killed before it was told what came of it.
    untold: bool,
}

/// A call that is between lonetd's answer and its return.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Bind { os: SocketAddrV4 },
    Listen { os: Option<SocketAddrV4> },
    Connect { to: SocketAddrV4, refused: bool },
    Dialed { from: Option<SocketAddrV4> },
}

/// How surely a socket holds its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    /// The kernel has forgotten the socket, which is open: it holds none, as soon as somebody asks.
    IfNobodyLooks,
    /// Nobody can tell.
    Perhaps,
    No,
}

pub struct Net {
    pub world: World,
    pub state: State,
    /// What the lonetd that was killed has left.
    left: Option<Saved>,
    /// lonetd is killed between the next message and its reply.
    pub kill_before_reply: bool,
    homes: BTreeMap<Pid, usize>,
    mine: BTreeMap<Cookie, Mine>,
    pending: BTreeMap<Cookie, (Pid, Pending)>,
    /// Whose connection it is that waits to be accepted.
    callers: BTreeMap<Cookie, Cookie>,
}

fn block() -> Block {
    Block::new(7).expect("a block")
}

fn fresh() -> State {
    State::new(block(), OWNER, SocketAddrV4::new(block().stack(), 1), SOURCES)
}

impl Net {
    pub fn new() -> Net {
        let mut net = Net {
            world: World::default(),
            state: fresh(),
            left: None,
            kill_before_reply: false,
            homes: BTreeMap::new(),
            mine: BTreeMap::new(),
            pending: BTreeMap::new(),
            callers: BTreeMap::new(),
        };
        for home in 0..HOSTS.len() {
            net.run(home);
        }
        net
    }

    // ---------------------------------------------------------------------------------------- lonetd

    pub fn kill_lonetd(&mut self) {
        if self.left.is_none() && !self.world.blind {
            let sockets = self
                .state
                .sockets
                .iter()
                .map(|(c, s)| (*c, journal::read_back(s)))
                .collect::<BTreeMap<_, _>>();
            let hosts = self.state.hosts.all().map(|h| (h.index, (h.name.clone(), h.fresh_accept_ports)));
            let processes = self.state.processes.iter().map(|(pid, p)| (*pid, p.hosts.clone(), p.own));
            self.left = Some(Saved { hosts: hosts.collect(), sockets, processes: processes.collect() });
        }
    }

    pub fn is_up(&self) -> bool {
        self.left.is_none()
    }

    /// Makes sure that a lonetd serves.
    pub fn revive(&mut self) {
        let Some(mut saved) = self.left.take() else { return };
        saved.processes.retain(|(pid, _, _)| self.world.processes.contains(pid));
        self.state = fresh();
        // What was announced meanwhile was announced to nobody.
        self.world.destroyed.clear();
        let sightings = self.world.sightings();
        self.state.restore(&mut self.world, saved, sightings.as_ref());
    }

    fn handle(&mut self, pid: Pid, op: &Op<'_>) -> Answer {
        let caller = Caller { host: HOSTS[self.homes[&pid]], key: [0; 16], options: Options::default() };
        self.state.handle(&mut self.world, Sender { pid, uid: OWNER }, &caller, op)
    }

    fn ask(&mut self, pid: Pid, op: &Op<'_>) -> Result<Reply<'static>, Errno> {
        self.revive();
        let mut answer = self.handle(pid, op);
        if std::mem::take(&mut self.kill_before_reply) {
            self.kill_lonetd();
            self.revive();
            answer = self.handle(pid, op);
        }
        match answer {
            Answer::Reply(reply) => Ok(reply),
            Answer::Refuse(errno, _) => Err(errno),
            other => panic!("{op:?} is answered with {other:?}"),
        }
    }

    /// Whether lonetd heard it. What is answered finds a new lonetd.
    fn tell(&mut self, pid: Pid, op: &Op<'_>) -> bool {
        if !op.one_way() {
            return self.ask(pid, op).is_ok();
        }
        if self.is_up() {
            self.handle(pid, op);
        }
        self.is_up()
    }

    /// The kernel's announcements arrive.
    pub fn announce(&mut self) {
        for cookie in std::mem::take(&mut self.world.destroyed) {
            if self.is_up() {
                self.state.destroyed(&mut self.world, cookie);
            }
        }
    }

    /// All that was begun is done, all that was said is heard, and time passes.
    pub fn come_to_rest(&mut self) {
        self.world.blind = false;
        self.revive();
        for cookie in self.pending.keys().copied().collect::<Vec<_>>() {
            self.step(cookie);
            self.step(cookie);
        }
        self.announce();
        self.world.now += Duration::from_secs(10);
        self.state.settle_doubts(&mut self.world);
    }

    // ------------------------------------------------------------------------------------- processes

    /// `lonet run`
    pub fn run(&mut self, home: usize) -> Pid {
        let pid = self.world.spawn();
        self.homes.insert(pid, home);
        let _ = self.ask(pid, &Op::Join);
        pid
    }

    pub fn fork(&mut self, pid: Pid) {
        let child = self.world.fork(pid);
        self.homes.insert(child, self.homes[&pid]);
    }

    pub fn end(&mut self, pid: Pid) {
        let held: Vec<Cookie> = self.sockets_of(pid);
        self.world.exit(pid);
        self.pending.retain(|_, (p, _)| *p != pid);
        let known = self.state.processes.contains_key(&pid);
        if self.is_up() {
            self.state.process_ended(&mut self.world, pid);
            for cookie in held.into_iter().filter(|c| known && self.mine.get(c).is_some_and(|m| m.pid == pid))
            {
                self.holds_nothing_if_dead(cookie, "its process ended");
            }
        }
    }

    pub fn sockets_of(&self, pid: Pid) -> Vec<Cookie> {
        self.world.sockets.iter().filter(|(_, s)| s.holders.contains_key(&pid)).map(|(c, _)| *c).collect()
    }

    fn home(&self, pid: Pid) -> Index {
        self.state.hosts.find(HOSTS[self.homes[&pid]].as_bytes()).map_or(0, |h| h.index)
    }

    // ----------------------------------------------------------------------------------- the hooks

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
            let answer = self.ask(pid, &Op::Bind { cookie, at, asked, attempt });
            let os = match answer {
                Ok(Reply::BindTo { os }) => os,
                Err(Errno::EADDRINUSE) => {
                    let free = self.conflicts(host, cookie, at, asked) == Holds::No;
                    let said = self.state.sockets.iter().filter(|(_, s)| (s.host, s.port) == (host, port));
                    let said: Vec<_> = said.map(|(c, s)| (c, s, self.holds(*c), self.mine.get(c))).collect();
                    assert!(!free || self.world.blind, "{at} is free for {asked:?}: {said:?}");
                    return;
                }
                // Allowed to another process, which has ended; whether it did it nobody can tell.
                Err(Errno::EINVAL) if self.world.blind => return,
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
            let mine = Mine { host, port: got, at, listens: false, asked, call: None, pid, untold: false };
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
                Ok(Reply::Go) => None,
                Ok(Reply::BindTo { os }) => Some(os),
                Err(Errno::EADDRINUSE) => return,
                other => panic!("listen: {other:?}"),
            };
            let record = &self.state.sockets[&cookie];
            let (at, port) = (record.at, record.port);
            if os.is_some() {
                if attempt == 0 {
                    before.check(self, host, port, cookie);
                }
                let mine = Mine { host, port, at, listens: true, asked, call: None, pid, untold: false };
                self.mine.insert(cookie, mine);
            } else if let Some(mine) = self.mine.get_mut(&cookie).map(|m| {
                m.pid = pid;
                m.clone()
            }) {
                let clash = |(other, m): (&Cookie, &Mine)| {
                    *other != cookie
                        && m.listens
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
        let op = Op::Dial { cookie, to: SocketAddrV4::new(to, port).into(), local: os_bound, asked };
        let (to, refused) = match self.ask(pid, &op) {
            Ok(Reply::ConnectTo { to, .. }) => (to, *to.ip() == block().stack()),
            Err(Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EADDRINUSE) => return,
            other => panic!("dial: {other:?}"),
        };
        if !refused {
            let record = &self.state.sockets[&cookie];
            let (got, call) = (record.port, record.call.expect("a call"));
            match &bound {
                Some(m) => assert_eq!(m.port, got),
                None => before.check(self, host, got, cookie),
            }
            let call = Some((call.local, call.peer));
            let mine = match bound {
                Some(m) => Mine { call, pid, ..m },
                None => Mine { host, port: got, at: None, listens: false, asked, call, pid, untold: false },
            };
            self.mine.insert(cookie, mine);
        }
        self.pending.insert(cookie, (pid, Pending::Connect { to, refused }));
        if !stops {
            self.step(cookie);
            self.step(cookie);
        }
    }

    /// A call that stopped half-way goes on. `false`: the kernel refused an OS address.
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
                    return false;
                }
                self.tell(pid, &Op::Bound { cookie, os });
            }
            Pending::Listen { os } => {
                if let Some(os) = os {
                    if !self.world.bind(cookie, os, reuse_port) {
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
                    self.callers.insert(other, cookie);
                } else {
                    // It holds its port until lonetd hears of it.
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
        let caller = self.callers[&cookie];
        let theirs = self.mine.get(&caller).cloned();
        let Is::Connected { local, remote } = self.world.sockets[&cookie].is else {
            // Reset: the kernel has still its name, and so has the hook.
            return;
        };
        let Some(listens) = self.mine.get(&listener).cloned() else { panic!("an unknown listener") };
        match self.ask(pid, &Op::Accept { listener, cookie, local, remote }) {
            Ok(Reply::Accepted { local, peer }) => {
                let (their_local, their_peer) = theirs.and_then(|m| m.call).expect("a caller");
                assert_eq!((peer, local), (their_local, their_peer), "accept names its caller");
                let mine = Mine {
                    port: listens.port,
                    host: listens.host,
                    at: None,
                    listens: false,
                    asked: listens.asked,
                    call: Some((local, peer)),
                    pid,
                    untold: false,
                };
                self.mine.insert(cookie, mine);
            }
            // Dialed another service that had this OS address; or nobody can tell who calls, and who cannot be told is
            // not let in.
            Ok(Reply::Drop) => {
                let meant = theirs.and_then(|m| m.call).map(|(_, peer)| peer);
                assert!(
                    self.world.blind
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
        if self.pending.contains_key(&cookie) {
            // Until the deed is done, the kernel has nothing to say for it.
            self.mine.entry(cookie).and_modify(|m| m.untold = true);
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

    // ---------------------------------------------------------------------------------- what must be true

    fn holds(&self, cookie: Cookie) -> Holds {
        let Some(m) = self.mine.get(&cookie) else { return Holds::No };
        let Some(s) = self.world.sockets.get(&cookie).filter(|s| s.is_held()) else {
            // A claim is in none of the kernel's tables: of its end only the announcement tells.
            let unheard = m.untold && self.world.destroyed.contains(&cookie);
            return if unheard { Holds::Perhaps } else { Holds::No };
        };
        match (self.pending.get(&cookie), &s.is) {
            (_, Is::Bound | Is::Listening | Is::Connected { .. }) => Holds::Yes,
            // It was connected, and reset before its program was told that it is.
            (Some((_, Pending::Dialed { from: Some(_) })), _) => Holds::Perhaps,
            (Some((pid, _)), _) if *pid == m.pid && !m.untold && self.world.processes.contains(pid) => {
                Holds::Yes
            }
            (Some(_), _) => Holds::Perhaps,
            (None, _) if m.untold => Holds::Perhaps,
            // Left half-way by its process, or its connection has gone.
            (None, _) if !s.spent => Holds::Perhaps,
            (None, _) => Holds::IfNobodyLooks,
        }
    }

    fn conflicts(&self, host: Index, cookie: Cookie, at: Endpoint, asked: Asked) -> Holds {
        let wish = Mine {
            host,
            port: at.port,
            at: Some(at),
            listens: false,
            asked,
            call: None,
            pid: 0,
            untold: false,
        };
        let all = self.mine.iter().filter(|(c, m)| **c != cookie && (m.host, m.port) == (host, at.port));
        let doubtful = |(c, s): (&Cookie, &crate::daemon::state::Socket)| {
            (s.host, s.port) == (host, at.port) && self.state.is_doubtful(*c)
        };
        let mut worst = if self.state.sockets.iter().any(doubtful) { Holds::Perhaps } else { Holds::No };
        for (c, m) in all {
            let both = m.asked.reuse_address && asked.reuse_address && !m.listens;
            if !overlap(m, &wish) || both || m.asked.reuse_port && asked.reuse_port {
                continue;
            }
            match self.holds(*c) {
                Holds::Yes => return Holds::Yes,
                Holds::No => {}
                other => worst = other,
            }
        }
        worst
    }

    fn expectation(&self, host: Index) -> Expectation {
        let mut ports: BTreeMap<u16, Holds> = BTreeMap::new();
        for (cookie, m) in self.mine.iter().filter(|(_, m)| m.host == host) {
            let now = self.holds(*cookie);
            let worse = match (ports.get(&m.port), now) {
                (Some(Holds::Yes), _) | (_, Holds::Yes) => Holds::Yes,
                (Some(Holds::Perhaps), _) | (_, Holds::Perhaps) => Holds::Perhaps,
                (Some(Holds::IfNobodyLooks), _) | (_, Holds::IfNobodyLooks) => Holds::IfNobodyLooks,
                _ => Holds::No,
            };
            ports.insert(m.port, worse);
        }
        for (_, s) in self.state.sockets.iter().filter(|(c, s)| s.host == host && self.state.is_doubtful(**c))
        {
            let known = ports.entry(s.port).or_insert(Holds::Perhaps);
            *known = if *known == Holds::Yes { Holds::Yes } else { Holds::Perhaps };
        }
        let all_known = self.world.destroyed.is_empty();
        Expectation { ports, all_known, blind: self.world.blind }
    }

    fn is_on_record(&self, cookie: Cookie) -> bool {
        let holds = |h: &crate::daemon::state::Host| {
            h.ports.held_from(0).any(|port| h.ports.holders(port).contains(&cookie))
        };
        self.state.hosts.all().any(holds)
    }

    fn holds_nothing_if_dead(&self, cookie: Cookie, why: &str) {
        let dead = self.world.sockets.get(&cookie).is_none_or(|s| !s.is_held());
        assert!(!dead || self.world.blind || !self.is_on_record(cookie), "{cookie} is held though {why}");
    }

    /// True at any time of a lonetd that serves.
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
        if self.world.blind {
            return;
        }
        for host in self.state.hosts.all() {
            for port in host.ports.held_from(0) {
                for cookie in host.ports.holders(port) {
                    let lives = self.world.sockets.get(cookie).is_some_and(|s| s.is_held());
                    let unheard = self.world.destroyed.contains(cookie) || self.state.is_doubtful(*cookie);
                    assert!(lives || unheard, "the dead {cookie} holds {}:{port}", host.name);
                }
            }
        }
    }

    /// True of the names of all connections.
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

    /// Which sockets hold which ports.
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

fn classes(m: &Mine) -> Classes {
    let ip = m.call.map(|(local, _)| local.ip).or(m.at.map(|at| at.ip));
    match ip.and_then(|ip| ip.to_ipv4_mapped()) {
        Some(Ipv4Addr::UNSPECIFIED) => Classes(3),
        Some(Ipv4Addr::LOCALHOST) => Classes(2),
        Some(_) => Classes(1),
        None => Classes(0),
    }
}

fn overlap(one: &Mine, other: &Mine) -> bool {
    classes(one).0 & classes(other).0 != 0
}

/// Whether a listener answers to who dialed this.
fn answers(listener: &Mine, dialed: Endpoint) -> bool {
    let dialed = match dialed.ip.to_ipv4_mapped() {
        Some(Ipv4Addr::LOCALHOST) => 2,
        _ => 1,
    };
    classes(listener).0 & dialed != 0
}

/// Which port an autobind may be given.
struct Expectation {
    ports: BTreeMap<u16, Holds>,
    /// No announcement is outstanding.
    all_known: bool,
    blind: bool,
}

impl Expectation {
    fn at(&self, port: u16) -> Holds {
        self.ports.get(&port).copied().unwrap_or(Holds::No)
    }

    /// How many ports lonetd asks the kernel about.
    const ASKED: u16 = 8;

    fn check(&self, net: &Net, host: Index, got: u16, cookie: Cookie) {
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
        if below_is_certain && (first <= Self::ASKED || known) {
            assert_eq!(got, first, "the first free port of {host}: {:?}", self.ports);
        }
    }
}
