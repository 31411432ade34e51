//! A model of programs on a network: what the hooks do, with a lonetd that may be killed, and the invariants.
//!
//! The model of the ports is one line: a port is held by the sockets that got it, for as long as some process
//! holds them and the kernel has them where they got it. It does not depend on how lonetd finds that out.

mod hooks;
mod truth;

use super::world::{Is, OWNER, SOURCES, World};
use crate::daemon::state::{Cookie, Index, Pid, Saved, Scopes, Sender, State, StateReply, Tables};
use lonet_core::block::{Block, Endpoint, Face};
use lonet_core::control::{Asked, Delivery, Op, Options, Reply, Request as _, Requester, Runs};
use lonet_core::table::word::Word;
use lonet_core::table::{Mapping, Table};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use truth::{answers, overlap};

pub const HOSTS: [&str; 3] = ["α", "β", "γ"];

/// The address that a program binds to or dials.
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
    /// connect has chosen its port; that does not keep others from binding it.
    is_autobound_dial: bool,
    asked: Asked,
    /// Its connection as both ends should see it.
    call: Option<(Endpoint, Endpoint)>,
    /// The process that requested it.
    pid: Pid,
    /// lonetd was killed before it was notified of the result.
    untold: bool,
}

/// A call between lonetd's reply and its return.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Bind { os: SocketAddrV4 },
    Listen { os: Option<SocketAddrV4> },
    Connect { to: SocketAddrV4, refused: bool },
    Dialed { from: Option<SocketAddrV4> },
}

/// How certainly a socket holds its port, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    /// The kernel has forgotten the socket, which is open: it holds no port once it is examined.
    IfNobodyLooks,
    /// It cannot be determined.
    Perhaps,
    Yes,
}

pub struct Net {
    pub world: World,
    pub state: State,
    table: Arc<Mapping>,
    /// lonetd was killed, and no message has needed another one so far.
    is_killed: bool,
    /// lonetd is killed between the next message and its reply.
    pub kill_before_reply: bool,
    homes: BTreeMap<Pid, usize>,
    mine: BTreeMap<Cookie, Mine>,
    pending: BTreeMap<Cookie, (Pid, Pending)>,
    /// The dialer of each connection that waits to be accepted.
    dialers: BTreeMap<Cookie, Cookie>,
}

fn block() -> Block {
    Block::new(7).expect("a block")
}

struct Shared(Arc<Mapping>);

impl Tables for Shared {
    fn table(&self) -> Table<'_> {
        self.0.table()
    }
}

fn fresh(table: &Arc<Mapping>) -> State {
    let header = table.table().header();
    if header.block.get() != 0 {
        table.table().parts(block()).listeners.clear();
    }
    header.block.set(u64::from(block().number()));
    let refuser = SocketAddrV4::new(block().stack(), 1);
    State::new(Box::new(Shared(table.clone())), Some(OWNER), refuser, SOURCES)
}

impl Net {
    pub fn new() -> Net {
        let table = Arc::new(Mapping::private().expect("memory"));
        let mut net = Net {
            world: World::default(),
            state: fresh(&table),
            table,
            is_killed: false,
            kill_before_reply: false,
            homes: BTreeMap::new(),
            mine: BTreeMap::new(),
            pending: BTreeMap::new(),
            dialers: BTreeMap::new(),
        };
        for home in 0..HOSTS.len() {
            net.run(home);
        }
        net
    }

    // ---------------------------------------------------------------------------------------- lonetd

    pub fn kill_lonetd(&mut self) {
        self.is_killed |= !self.world.blind;
    }

    /// The table, as programs see it meanwhile.
    pub fn table(&self) -> Arc<Mapping> {
        self.table.clone()
    }

    pub fn is_up(&self) -> bool {
        !self.is_killed
    }

    /// Makes sure that a lonetd serves.
    pub fn revive(&mut self) {
        if !std::mem::take(&mut self.is_killed) {
            return;
        }
        self.state = fresh(&self.table);
        let saved = Saved::of(self.table.table());
        // Announcements made while no lonetd was there are lost.
        self.world.destroyed.clear();
        let kernel_sockets = self.world.kernel_sockets();
        self.state.restore(&mut self.world, saved, kernel_sockets.as_ref());
        self.save();
    }

    /// Saves the dirty set, as lonetd does before it replies.
    pub(super) fn save(&mut self) {
        let changes = self.state.take_changes();
        self.state.save(&mut self.world, &changes);
    }

    fn handle(&mut self, pid: Pid, op: &Op<'_>) -> StateReply {
        let requester =
            Requester { host: HOSTS[self.homes[&pid]], key: [0; 16], options: Options::default() };
        let answer = self.state.handle(&mut self.world, Sender { pid, uid: OWNER }, &requester, op);
        self.save();
        answer
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
            StateReply::Reply(reply) => Ok(reply),
            StateReply::Refuse(errno, _) => Err(errno),
            other => panic!("{op:?} is answered with {other:?}"),
        }
    }

    /// Sends a message. Returns whether a lonetd received it; requests start a new lonetd.
    fn tell(&mut self, pid: Pid, op: &Op<'_>) -> bool {
        if op.delivery() == Delivery::Replied {
            return self.ask(pid, op).is_ok();
        }
        if self.is_up() {
            self.handle(pid, op);
        }
        self.is_up()
    }

    /// Delivers the kernel's announcements.
    pub fn announce(&mut self) {
        let all = std::mem::take(&mut self.world.destroyed);
        if self.is_up() {
            self.state.all_destroyed(&mut self.world, &all);
            self.save();
        }
    }

    /// Completes all calls, delivers all messages and announcements, and lets time pass.
    pub fn come_to_rest(&mut self) {
        self.world.blind = false;
        self.revive();
        for cookie in self.pending.keys().copied().collect::<Vec<_>>() {
            self.step(cookie);
            self.step(cookie);
        }
        self.announce();
        self.world.now += Duration::from_secs(10);
        self.state.end_grace_period(&mut self.world);
        self.save();
    }

    // ------------------------------------------------------------------------------------- processes

    /// `lonet run`
    pub fn run(&mut self, home: usize) -> Pid {
        let pid = self.world.spawn();
        self.homes.insert(pid, home);
        let _ = self.ask(pid, &Op::Join { supervises: false });
        pid
    }

    pub fn fork(&mut self, pid: Pid) -> Pid {
        let child = self.world.fork(pid);
        self.homes.insert(child, self.homes[&pid]);
        child
    }

    /// Ends processes, of which lonetd is notified at once.
    pub fn end(&mut self, pids: impl IntoIterator<Item = Pid>) {
        let pids = BTreeSet::from_iter(pids);
        let mut held: Vec<(Cookie, Pid)> = Vec::new();
        for pid in &pids {
            if self.state.processes.contains_key(pid) {
                held.extend(self.sockets_of(*pid).into_iter().map(|cookie| (cookie, *pid)));
            }
            self.world.exit(*pid);
        }
        for (cookie, _) in self.pending.extract_if(.., |_, (p, _)| pids.contains(p)) {
            // Others may hold it: it will not listen any more, though lonetd may expect that it will.
            self.mine.entry(cookie).and_modify(|m| m.untold = true);
        }
        if self.is_up() {
            self.state.processes_ended(&mut self.world, &Vec::from_iter(pids));
            self.save();
            let made = |(cookie, pid): &(Cookie, Pid)| self.mine.get(cookie).is_some_and(|m| m.pid == *pid);
            for (cookie, _) in held.into_iter().filter(made) {
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
}
