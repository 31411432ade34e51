//! The loop around the state: sockets, processes, time.
//!
//! Order is kept across connections: a message that was sent before another connection was made is taken first,
//! so that a program which closed a socket and then told another program finds the port free there. For this,
//! connections are taken in the kernel's order, and before any message is read those that came earlier are
//! tried. Ends of processes and sockets that the kernel has announced are taken before any
//! message.

mod end;
mod messages;
mod processes;
mod wait;

use super::dns::Dns;
use super::foreign::{self, FIRST_TASK, Foreign, World};
use super::kernel::Live;
use super::setup::{Held, SetupError, Sockets, os};
use super::state::{Pid, State};
use super::store::Store;
use end::Ending;
use lonet_core::address::Address;
use lonet_core::config::{Config, Membership};
use lonet_core::control::MAX_MESSAGE;
use lonet_core::diag::Destroyed;
use messages::has_hung_up;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{self, SockFlag};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a network stays when nobody is in it.
const EMPTY_FOR: Duration = Duration::from_secs(3);

/// How long `lonet down --kill` waits between TERM and KILL.
const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// How long a caller may take to tell of its dial once more.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// How often KILL is sent again to those that have come meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(500);

/// How soon an end that somebody waits for is tried again.
const END_AGAIN: Duration = Duration::from_millis(10);

/// How often sockets are looked at that no process is known to have: what the kernel cannot announce is not missed for ever.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a connection may take to say something.
const SILENT_FOR: Duration = Duration::from_secs(5);

const CONTROL: u64 = 1;
const ABSTRACT: u64 = 2;
const DEATHS: u64 = 3;
const DESTROYED: u64 = 4;
const CONNECTION: u64 = 5;
const DNS: u64 = 6;

/// A connection that has said nothing so far.
struct Pending {
    fd: OwnedFd,
    since: Instant,
}

/// A question who calls, asked before the caller's dial is known.
struct Early {
    fd: OwnedFd,
    bytes: Vec<u8>,
    since: Instant,
}

/// Somebody waits until all these are listened on.
struct Waiter {
    fd: OwnedFd,
    addresses: Vec<Address>,
}

pub struct Daemon {
    state: State,
    kernel: Live,
    store: &'static Store,
    netns: u64,
    foreign: Foreign,
    /// Keeps the block for as long as the daemon lives.
    _held: Held,
    sockets: [OwnedFd; 2],
    config: Config,
    membership: Membership,
    epoll: Epoll,
    /// Becomes readable when a process ends.
    deaths: Epoll,
    processes: BTreeMap<Pid, OwnedFd>,
    destroyed: Option<Destroyed>,
    /// `epoll` waits for ends of sockets, too.
    watches_ends: bool,
    dns: Dns,
    pending: VecDeque<Pending>,
    early: Vec<Early>,
    waiters: Vec<Waiter>,
    ending: Option<Ending>,
    looked: Instant,
    empty_since: Option<Instant>,
}

fn event(data: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, data)
}

/// What a daemon is made of.
pub struct Parts {
    pub state: State,
    pub kernel: Live,
    pub store: &'static Store,
    pub held: Held,
    /// Where a lonetd before had its listener.
    pub former: Option<Ipv4Addr>,
    pub sockets: Sockets,
    /// Open since before the kernel was asked what there is: what ends in between is announced.
    pub destroyed: Option<Destroyed>,
    pub config: Config,
    pub membership: Membership,
    pub netns: u64,
}

impl Daemon {
    pub fn new(parts: Parts) -> Result<Daemon, SetupError> {
        let Parts { state, kernel, store, held, former, sockets, destroyed, config, membership, netns } =
            parts;
        if let Some(text) = kernel.shortcomings() {
            tracing::warn!("{text}");
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let deaths = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let Sockets { by_path, by_name } = sockets;
        epoll.add(&by_path, event(CONTROL)).map_err(os("watch the control socket"))?;
        epoll.add(&by_name, event(ABSTRACT)).map_err(os("watch the abstract socket"))?;
        epoll.add(&deaths.0, event(DEATHS)).map_err(os("watch processes"))?;
        let foreign = Foreign::new(&config, &held.lock, held.lock_address, former, &epoll)?;
        let dns = Dns::new(state.block).map_err(os("make an epoll"))?;
        epoll.add(dns.events(), event(DNS)).map_err(os("watch questions for names"))?;
        let mut daemon = Daemon {
            state,
            kernel,
            store,
            netns,
            foreign,
            _held: held,
            sockets: [by_path, by_name],
            config,
            membership,
            epoll,
            deaths,
            processes: BTreeMap::new(),
            destroyed,
            // Until it has been seen that there are none.
            watches_ends: false,
            dns,
            pending: VecDeque::new(),
            early: Vec::new(),
            waiters: Vec::new(),
            ending: None,
            looked: Instant::now(),
            empty_since: None,
        };
        daemon.settle();
        store.table().serve();
        Ok(daemon)
    }

    /// Returns when the network has ended.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut events = [EpollEvent::empty(); 64];
            let n = match self.next_events(&mut events) {
                Ok(n) => n,
                Err(Errno::EINTR) => 0,
                Err(e) => return Err(e.into()),
            };
            self.take_news();
            self.read_pending();
            for event in &events[..n] {
                let mut world =
                    World { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
                match event.data() {
                    CONTROL => self.accept(0),
                    ABSTRACT => self.accept(1),
                    DESTROYED => self.ends_begin(),
                    foreign::LISTENER => self.foreign.accept(&mut world),
                    foreign::REGISTRY => {
                        let resumed = self.foreign.told(&mut self.state);
                        self.resume(resumed);
                    }
                    task if task >= FIRST_TASK => self.foreign.ready(&mut world, task, event.events()),
                    _ => {}
                }
            }
            if events[..n].iter().any(|e| e.data() == DNS) {
                self.take_questions();
            }
            self.take_early();
            self.look_at_the_time();
            // Before the rows of hosts that have gone down are taken back: others may have their names then.
            self.settle();
            self.foreign.keep_rows(&mut self.state);
            if self.is_over() && self.end() {
                return Ok(());
            }
        }
    }

    /// Questions for names, as DNS has them, and what the machine's name servers answer.
    fn take_questions(&mut self) {
        let Daemon { dns, state, kernel, .. } = self;
        dns.take(&mut |asker, op| state.handle(kernel, asker.sender, &asker.caller(), op));
        self.settle();
    }

    fn accept(&mut self, which: usize) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        loop {
            match socket::accept4(self.sockets[which].as_raw_fd(), flags) {
                Ok(fd) => {
                    // SAFETY: a new descriptor that nobody else has.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                    self.pending.push_back(Pending { fd, since: Instant::now() });
                    self.read_pending();
                    if let Some(last) = self.pending.back() {
                        let _ = self.epoll.add(&last.fd, event(CONNECTION));
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(e) => {
                    tracing::error!("accept: {e}");
                    return;
                }
            }
        }
    }

    /// Takes what connections say, the oldest connection first.
    fn read_pending(&mut self) {
        let mut waiting = VecDeque::with_capacity(self.pending.len());
        while let Some(connection) = self.pending.pop_front() {
            let mut buffer = [0u8; MAX_MESSAGE];
            match lonet_core::sys::recv_with(connection.fd.as_raw_fd(), &mut buffer, true) {
                Ok((0, _)) => {}
                Ok((n, right)) => {
                    // SAFETY: a new descriptor that nobody else has.
                    let right = right.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                    self.take_news();
                    self.take_message(connection.fd, right, &buffer[..n], (false, false));
                }
                Err(Errno::EAGAIN) if connection.since.elapsed() < SILENT_FOR => {
                    waiting.push_back(connection);
                }
                Err(_) => {}
            }
        }
        self.pending = waiting;
    }

    /// Takes what the kernel has announced.
    fn take_news(&mut self) {
        self.take_deaths();
        self.take_ends();
        self.settle();
    }

    /// Ends of processes that the kernel has told of. To be settled.
    fn take_deaths(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while let Ok(n @ 1..) = self.deaths.wait(&mut events, EpollTimeout::ZERO) {
            for event in &events[..n] {
                self.process_ended(event.data() as Pid);
            }
        }
    }

    /// Ends of sockets that the kernel has told of. To be settled.
    fn take_ends(&mut self) {
        let Some(destroyed) = &self.destroyed else { return };
        let mut is_quiet = true;
        while let Some(ends) = destroyed.next().transpose() {
            is_quiet = false;
            match ends {
                Ok(ends) => {
                    for cookie in ends {
                        self.state.destroyed(&mut self.kernel, cookie);
                    }
                }
                Err(_) => self.state.review_all(&mut self.kernel),
            }
        }
        if is_quiet && !self.watches_ends {
            self.watches_ends = self.epoll.add(destroyed, event(DESTROYED)).is_ok();
        }
    }

    /// Ends of sockets have been announced: until there are no more they are taken when lonetd is awake.
    fn ends_begin(&mut self) {
        if let Some(destroyed) = &self.destroyed {
            self.watches_ends = self.epoll.delete(destroyed).is_err();
        }
    }

    fn look_at_the_time(&mut self) {
        let now = Instant::now();
        self.go_on_ending(now);
        let mut world = World { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
        self.foreign.look_at_the_time(&mut world);
        let late = self.foreign.resume_late();
        self.resume(late);
        self.dns.forget_idle(now);
        self.state.settle_doubts(&mut self.kernel);
        if now >= self.looked + LOOK_EVERY {
            self.looked = now;
            if self.state.processes.is_empty() {
                self.state.review_all(&mut self.kernel);
            }
        }
        self.waiters.retain(|w| !has_hung_up(&w.fd));
        let idle = self.foreign.is_idle()
            && self.state.is_empty()
            && self.waiters.is_empty()
            && self.early.is_empty()
            && self.pending.is_empty();
        self.empty_since = if idle { self.empty_since.or(Some(now)) } else { None };
    }
}
