//! Foreign peers: Go and Python processes that have hosts of their own on the network.
//!
//! Theory of operation. lonetd listens for all hosts of the network at once. Each connection with a foreign
//! peer is a task with its own state machine, driven by the loop: it gets an event of one of its sockets or
//! its timeout, does what it can without blocking, and becomes the next task, or none:
//!
//! ```text
//! incoming:  Acceptor ──▶ Courier ──▶ claimed by the program, which gets the dialer's own connection
//!                │            └─────▶ Relay, if a program has accepted the courier and did not claim it
//!                └─────▶ Lingering, if it is refused
//! outgoing:  Dialer ────▶ done: the program's own connection
//!                └─────▶ SlowDial ──▶ Relay, if the peer does not reply within the program's timeout
//! ```
//!
//! A socket that a program holds, too, is never set to non-blocking: that flag belongs to the open file
//! description, which is the program's. Every read and write here has MSG_DONTWAIT instead, and nothing here
//! connects such a socket.
//!
//! Limits: a handshake takes at most [`HANDSHAKE`]; at most [`HALF_DONE`] incoming ones are in progress at
//! once, and the oldest is dropped for the newest.

mod acceptor;
mod connection;
mod courier;
mod dialer;
pub mod io;
mod names;
mod relay;
mod task;

use super::current_directory::CurrentDirectory;
use super::kernel::Live;
use super::registry::{Place, Registry};
use super::reserved_block::ReservedBlock;
use super::setup::{SetupError, os};
use super::state::{Cookie, Kernel, Pid, State};
use super::tally::{self, Kind};
use acceptor::Acceptor;
use dialer::Dialer;
use lonet_core::block::Endpoint;
use lonet_core::config::Config;
use lonet_core::control::{self, MAX_MESSAGE, Opening, Reply};
use names::Names;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{self, MsgFlags, SockFlag};
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use task::{Task, TaskEvent};

pub use names::{Parked, Resume};

/// How long a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many handshakes of incoming connections may be in progress at once.
pub const HALF_DONE: usize = 1024;

/// The tokens of this module in the loop's epoll.
pub const LISTENER: u64 = 100;
pub const REGISTRY: u64 = 101;
pub const FIRST_TASK: u64 = 1000;

/// How many connections are accepted before the loop goes on.
const ACCEPT_AT_ONCE: usize = 64;

/// The parts of lonetd's event loop that tasks use.
pub struct EventLoop<'a> {
    pub state: &'a mut State,
    pub kernel: &'a mut Live,
    pub epoll: &'a Epoll,
}

type Id = u64;

/// State that tasks share.
struct Shared {
    /// The network's full name.
    network: Vec<u8>,
    /// The address at which foreign peers dial the network's hosts.
    listener: SocketAddrV4,
    /// The buffer sizes of a listener whose program has set none.
    buffers: [u32; 2],
    /// Couriers that have not been claimed, by their source and their listener.
    couriers: HashMap<(SocketAddrV4, SocketAddrV4), Id>,
    /// Programs' sockets that will connect to lonetd to be relayed.
    expected: HashMap<Cookie, Id>,
    /// Peers for which a program did not wait, and since when.
    slow: HashMap<SocketAddrV4, Instant>,
}

/// What a step of a task uses.
struct TaskContext<'a, 'w> {
    event_loop: &'a mut EventLoop<'w>,
    shared: &'a mut Shared,
    id: Id,
}

impl TaskContext<'_, '_> {
    fn watch(&self, side: u64, fd: &impl AsFd, flags: EpollFlags) {
        let event = EpollEvent::new(flags, FIRST_TASK + self.id * 2 + side);
        if let Err(Errno::EEXIST) = self.event_loop.epoll.add(fd, event) {
            let mut event = event;
            let _ = self.event_loop.epoll.modify(fd, &mut event);
        }
    }

    /// Stops watching a socket. epoll watches one that others hold, too, for as long as the open file
    /// description exists.
    fn unwatch(&self, fd: &impl AsFd) {
        let _ = self.event_loop.epoll.delete(fd);
    }

    fn reply(&self, control: &OwnedFd, reply: &Reply<'_>) {
        let mut buffer = [0u8; MAX_MESSAGE];
        let opening = Opening { block: self.event_loop.state.block.number(), pid: 0 };
        if let Some(n) = control::write_reply(&mut buffer, opening, reply) {
            let _ = socket::send(control.as_raw_fd(), &buffer[..n], MsgFlags::MSG_NOSIGNAL);
        }
    }
}

struct Slot {
    task: Task,
    armed: Option<Instant>,
}

pub struct Foreign {
    pub registry: Registry,
    names: Names,
    /// The listeners with their addresses; first the one that is announced in registry.db.
    listeners: Vec<(OwnedFd, SocketAddrV4)>,
    /// A spare descriptor, closed for a moment to accept a connection for which no other is left.
    spare: Option<OwnedFd>,
    shared: Shared,
    tasks: HashMap<Id, Slot>,
    timers: BTreeSet<(Instant, Id)>,
    half_done: BTreeSet<Id>,
    next: Id,
}

impl Foreign {
    pub fn new(
        config: &Config,
        directory: &CurrentDirectory,
        reserved: &ReservedBlock,
        former: Option<Ipv4Addr>,
        epoll: &Epoll,
    ) -> Result<Foreign, SetupError> {
        let lock = (reserved.lock.try_clone().map_err(os("duplicate the listener"))?, reserved.lock_address);
        let ipv6_listener =
            reserved.ipv6_listener.as_ref().and_then(|(fd, address)| Some((fd.try_clone().ok()?, *address)));
        let listeners: Vec<_> = ipv6_listener.into_iter().chain([lock]).collect();
        let (listener, address) = (&listeners[0].0, listeners[0].1);
        let place =
            Place { directory: directory.clone(), network: config.network.clone(), own: address, former };
        let registry = Registry::start(place).map_err(os("start the registry's thread"))?;
        let event = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        for (listener, _) in &listeners {
            epoll.add(listener, event(LISTENER)).map_err(os("watch the listener"))?;
        }
        epoll.add(registry.ready(), event(REGISTRY)).map_err(os("watch the registry"))?;
        let shared = Shared {
            network: [b"lonet", config.network.as_bytes()].concat(),
            listener: address,
            buffers: io::buffers(listener),
            couriers: HashMap::new(),
            expected: HashMap::new(),
            slow: HashMap::new(),
        };
        Ok(Foreign {
            registry,
            names: Names::default(),
            spare: listener.try_clone().ok(),
            listeners,
            shared,
            tasks: HashMap::new(),
            timers: BTreeSet::new(),
            half_done: BTreeSet::new(),
            next: 1,
        })
    }

    /// Whether no task and no message waits for anything.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.names.is_idle()
    }

    /// The time at which something is due if no event comes.
    pub fn until(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at).into_iter().chain(self.names.until()).min()
    }

    /// Handles an event of a task's socket.
    pub fn ready(&mut self, event_loop: &mut EventLoop<'_>, token: u64, flags: EpollFlags) {
        let at = token - FIRST_TASK;
        self.step(event_loop, at / 2, TaskEvent::Ready { side: at % 2, flags });
    }

    /// Handles the tasks whose timeout has passed.
    pub fn run_timers(&mut self, event_loop: &mut EventLoop<'_>) {
        let now = Instant::now();
        while let Some((at, id)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, id));
            self.step(event_loop, id, TaskEvent::TimedOut);
        }
    }

    fn step(&mut self, event_loop: &mut EventLoop<'_>, id: Id, event: TaskEvent) {
        let Some(slot) = self.tasks.remove(&id) else { return };
        if let Some(at) = slot.armed {
            self.timers.remove(&(at, id));
        }
        let mut cx = TaskContext { event_loop, shared: &mut self.shared, id };
        let next = slot.task.step(&mut cx, event);
        self.keep(event_loop, id, next);
    }

    /// Continues a task as `next`.
    fn keep(&mut self, event_loop: &mut EventLoop<'_>, id: Id, next: Option<Task>) {
        let Some(task) = next else {
            self.half_done.remove(&id);
            return;
        };
        if task.is_half_done() {
            self.half_done.insert(id);
        } else {
            self.half_done.remove(&id);
        }
        let armed = task.until();
        if let Some(at) = armed {
            self.timers.insert((at, id));
        }
        self.tasks.insert(id, Slot { task, armed });
        while self.half_done.len() > HALF_DONE {
            self.drop_oldest(event_loop);
        }
    }

    /// Drops the oldest incoming handshake. Returns whether there was one.
    fn drop_oldest(&mut self, event_loop: &mut EventLoop<'_>) -> bool {
        let Some(id) = self.half_done.pop_first() else { return false };
        if let Some(slot) = self.tasks.remove(&id) {
            if let Some(at) = slot.armed {
                self.timers.remove(&(at, id));
            }
            tally::count(Kind::Handshake, &format_args!("{HALF_DONE} may be under way"));
            slot.task.give_way(&mut TaskContext { event_loop, shared: &mut self.shared, id });
        }
        true
    }

    fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    /// Accepts the connections to the listeners.
    pub fn accept(&mut self, event_loop: &mut EventLoop<'_>) {
        for i in 0..self.listeners.len() {
            self.accept_at(event_loop, i);
        }
    }

    fn accept_at(&mut self, event_loop: &mut EventLoop<'_>, i: usize) {
        let (listener, local) = (self.listeners[i].0.as_raw_fd(), self.listeners[i].1);
        for _ in 0..ACCEPT_AT_ONCE {
            match socket::accept4(listener, SockFlag::SOCK_CLOEXEC) {
                Ok(fd) => {
                    // SAFETY: a new descriptor that nobody else has.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                    self.arrived(event_loop, fd, local);
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EMFILE | Errno::ENFILE) => {
                    if !self.drop_oldest(event_loop) {
                        self.turn_away(i);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Accepts and closes the next connection: no descriptor is left, and the loop would spin.
    fn turn_away(&mut self, i: usize) {
        let (listener, local) = &self.listeners[i];
        tally::count(Kind::ForeignNoDescriptor, local);
        self.spare = None;
        if let Ok(fd) = socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: a new descriptor that nobody else has.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        self.spare = self.listeners[i].0.try_clone().ok();
    }

    /// Decides about an accepted connection: it is a program's that is to be relayed, or that of a process of
    /// the network's owner. All others are refused.
    fn arrived(&mut self, event_loop: &mut EventLoop<'_>, fd: OwnedFd, local: SocketAddrV4) {
        let Some(remote) = io::remote(&fd) else { return };
        let found = event_loop.kernel.connection(remote, local).flatten();
        if let Some(id) = found.and_then(|f| self.shared.expected.remove(&f.cookie)) {
            let Some(slot) = self.tasks.remove(&id) else { return };
            if let Some(at) = slot.armed {
                self.timers.remove(&(at, id));
            }
            let mut cx = TaskContext { event_loop, shared: &mut self.shared, id };
            let next = match slot.task {
                Task::SlowDial(t) => t.arrived(&mut cx, fd),
                other => Some(other),
            };
            return self.keep(event_loop, id, next);
        }
        match found {
            Some(f) if f.held && event_loop.state.is_owners(f.uid) => {
                let id = self.new_id();
                let mut cx = TaskContext { event_loop, shared: &mut self.shared, id };
                let next = Acceptor::begin(&mut cx, fd, local, remote);
                self.keep(event_loop, id, next);
            }
            Some(f) if f.held => tally::count(Kind::ForeignUser, &format_args!("uid {} at {remote}", f.uid)),
            _ => tally::count(Kind::ForeignUnknown, &remote),
        }
    }

    /// Handles a program's accept. If the connection is a courier, returns the dialer's connection and
    /// address.
    pub fn claim(
        &mut self,
        event_loop: &mut EventLoop<'_>,
        pid: Pid,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<(OwnedFd, Endpoint)> {
        let id = *self.shared.couriers.get(&(remote, local))?;
        let slot = self.tasks.remove(&id)?;
        if let Some(at) = slot.armed {
            self.timers.remove(&(at, id));
        }
        let mut cx = TaskContext { event_loop, shared: &mut self.shared, id };
        let (next, claimed) = match slot.task {
            Task::Courier(courier) => courier.claim(&mut cx, pid),
            other => (Some(other), None),
        };
        self.keep(event_loop, id, next);
        claimed
    }

    /// The buffer sizes of a listener whose program has set none.
    pub fn buffers(&self) -> [u32; 2] {
        self.shared.buffers
    }

    /// Takes over a program's socket that is connecting to a foreign peer, for the handshake.
    pub fn hand_over(
        &mut self,
        event_loop: &mut EventLoop<'_>,
        control: OwnedFd,
        program: Option<OwnedFd>,
        cookie: Cookie,
        milliseconds: u32,
    ) {
        let id = self.new_id();
        let mut cx = TaskContext { event_loop, shared: &mut self.shared, id };
        let next = program.and_then(|p| Dialer::begin(&mut cx, control, p, cookie, milliseconds));
        self.keep(event_loop, id, next);
    }
}
