//! The event loop around the state: control connections, processes, timers.
//!
//! Messages are handled in the order in which they were sent, across connections, so that a program which
//! closed a socket and then notified another program finds the port free there ([`connections`]). Ends of
//! processes and sockets that the kernel has announced are handled before any message.

mod accept;
mod connections;
mod directory_watch;
mod end;
mod faults;
mod idle;
mod inherited;
mod lent;
mod messages;
mod name_queries;
mod processes;
mod recorded_sockets;
mod rights;
mod sender;
mod signal;
mod socket_ends;
mod thread_pool;
mod trace;
mod wait;
mod watcher;

use super::control_sockets::{ControlSockets, Service};
use super::current_directory::CurrentDirectory;
use super::dns::Dns;
use super::faults::enforce::Untouched;
use super::faults::hits::HitCounter;
use super::faults::loss::Loss;
use super::foreign::{self, EventLoop, FIRST_TASK, Foreign};
use super::kernel::Live;
use super::members::Members;
use super::owner::Owner;
use super::reserved_block::ReservedBlock;
use super::setup::{SetupError, os};
use super::state::{Connected, Cookie, State};
use super::store::Store;
use super::tally;
use connections::Connections;
use directory_watch::DirectoryWatch;
use end::Ending;
use inherited::Inheritance;
use lonet_core::config::{Config, Membership};
use lonet_core::diag::Destroyed;
use lonet_core::directory::Place;
use name_queries::DelayedQueries;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use processes::Processes;
use signal::Signalling;
use socket_ends::SocketEnds;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thread_pool::ThreadPool;
use wait::Waiting;

/// How long an empty network stays up.
const EMPTY_FOR: Duration = Duration::from_secs(3);

/// How long `lonet down --kill` waits between TERM and KILL.
const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// How long a dialer may take to repeat the notification of its dial.
const DIAL_ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);

/// How often KILL is sent again, to new processes.
const KILL_AGAIN: Duration = Duration::from_millis(500);

/// How soon the end of the network is tried again while a program waits for it.
const END_AGAIN: Duration = Duration::from_millis(10);

/// How often it is tried again to watch a process for which no descriptor was left.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

/// How often sockets are examined that no known process has: ends that the kernel cannot announce are found
/// in the end.
const CHECK_EVERY: Duration = Duration::from_secs(30);

const CONTROL: u64 = 1;
const ABSTRACT: u64 = 2;
const DEATHS: u64 = 3;
const DESTROYED: u64 = 4;
const CONNECTION: u64 = 5;
const DNS: u64 = 6;
const SEARCHED: u64 = 7;
const CONNECTIONS: u64 = 8;
const DIRECTORY: u64 = 9;

/// An accept that was reported before its dial.
struct EarlyAccept {
    fd: OwnedFd,
    bytes: Vec<u8>,
    since: Instant,
}

pub struct Daemon {
    state: State,
    kernel: Live,
    store: &'static Store,
    netns: u64,
    foreign: Foreign,
    /// Reserves the block as long as the daemon lives.
    _reserved: ReservedBlock,
    /// The service lock, held as long as the daemon serves.
    service: Service,
    directory_watch: DirectoryWatch,
    control_sockets: ControlSockets,
    place: Place,
    directory: CurrentDirectory,
    config: Config,
    owner: Owner,
    membership: Membership,
    inheritance: Inheritance,
    epoll: Epoll,
    processes: Processes,
    socket_ends: SocketEnds,
    hit_counter: HitCounter,
    untouched: Untouched,
    loss: Loss,
    dns: Dns,
    connections: Connections,
    /// The threads that bind and connect sockets which programs have lent.
    lent_pool: ThreadPool,
    early: Vec<EarlyAccept>,
    /// Name queries that are answered late.
    delayed_queries: DelayedQueries,
    waiting: Waiting,
    ending: Option<Ending>,
    signals: Vec<Signalling>,
    looked: Instant,
    empty_since: Option<Instant>,
    tracing: trace::Tracing,
}

fn event(data: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, data)
}

/// The parts of a daemon.
pub struct Parts {
    pub state: State,
    pub kernel: Live,
    pub store: &'static Store,
    pub reserved: ReservedBlock,
    /// The address of the previous lonetd's listener.
    pub former: Option<Ipv4Addr>,
    pub service: Service,
    pub control_sockets: ControlSockets,
    /// Opened before the kernel was asked for the sockets there are: ends in between are announced.
    pub destroyed: Option<Destroyed>,
    /// The network's path, and its directory.
    pub place: Place,
    pub directory: CurrentDirectory,
    pub config: Config,
    pub owner: Owner,
    pub membership: Membership,
    pub netns: u64,
    /// The connections that the previous lonetd knew, if it has recorded them.
    pub recorded: Vec<(Cookie, Connected)>,
}

impl Daemon {
    pub fn new(parts: Parts) -> Result<Daemon, SetupError> {
        let Parts { state, kernel, store, reserved, former, service, control_sockets, destroyed, .. } = parts;
        let Parts { place, directory, config, owner, membership, netns, recorded, .. } = parts;
        if let Some(text) = kernel.shortcomings() {
            tracing::warn!("{text}");
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let processes = Processes::new().map_err(os("make an epoll"))?;
        let connections = Connections::new(membership.key)?;
        epoll.add(&connections.epoll.0, event(CONNECTIONS)).map_err(os("watch connections"))?;
        epoll.add(processes.events(), event(DEATHS)).map_err(os("watch processes"))?;
        let foreign = Foreign::new(&config, &directory, &reserved, former, &epoll)?;
        let members = Arc::new(Members::new(&config, &directory.get(), owner, membership));
        let inheritance = Inheritance::new(members);
        if let Some(done) = inheritance.search_done() {
            epoll.add(done, event(SEARCHED)).map_err(os("watch for other members"))?;
        }
        let dns = Dns::new(state.block).map_err(os("make an epoll"))?;
        epoll.add(dns.events(), event(DNS)).map_err(os("watch questions for names"))?;
        let mut daemon = Daemon {
            state,
            kernel,
            store,
            netns,
            foreign,
            _reserved: reserved,
            service,
            directory_watch: DirectoryWatch::watch(&place, membership.owner),
            control_sockets,
            place,
            directory,
            config,
            owner,
            membership,
            inheritance,
            epoll,
            processes,
            socket_ends: SocketEnds::new(destroyed),
            hit_counter: HitCounter::default(),
            untouched: Untouched::default(),
            loss: Loss::default(),
            dns,
            connections,
            lent_pool: ThreadPool::new("lonetd-lent", lent::THREADS),
            early: Vec::new(),
            delayed_queries: DelayedQueries::default(),
            waiting: Waiting::new(),
            ending: None,
            signals: Vec::new(),
            looked: Instant::now(),
            empty_since: None,
            tracing: trace::Tracing::default(),
        };
        daemon.watch_control_sockets().map_err(os("watch the control sockets"))?;
        daemon.watch_directory().map_err(os("watch the network's directory"))?;
        daemon.commit();
        daemon.restore_faults();
        daemon.resume_recording(recorded);
        store.table().set_abstract_name(Some(daemon.control_sockets.name));
        store.table().serve();
        Ok(daemon)
    }

    /// Serves until the network has ended.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let mut events = [EpollEvent::empty(); 64];
            let n = match self.next_events(&mut events) {
                Ok(n) => n,
                Err(Errno::EINTR) => 0,
                Err(e) => return Err(e.into()),
            };
            self.handle_ends();
            let is_one_of = |kinds: &[u64]| events[..n].iter().any(|e| kinds.contains(&e.data()));
            if self.connections.is_due(Instant::now()) || is_one_of(&[CONTROL, ABSTRACT, CONNECTIONS]) {
                self.handle_messages();
            }
            for event in &events[..n] {
                let mut event_loop =
                    EventLoop { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
                match event.data() {
                    DESTROYED => self.socket_ends.unwatch(&self.epoll),
                    DIRECTORY => self.check_directory(),
                    SEARCHED => self.handle_search_result(),
                    foreign::LISTENER => self.foreign.accept(&mut event_loop),
                    foreign::REGISTRY => {
                        let resumed = self.foreign.handle_responses(&mut self.state);
                        self.resume(resumed);
                    }
                    task if task >= FIRST_TASK => self.foreign.ready(&mut event_loop, task, event.events()),
                    _ => {}
                }
            }
            if is_one_of(&[DNS]) || self.dns.until().is_some_and(|until| until <= Instant::now()) {
                self.handle_dns();
            }
            self.retry_early_accepts();
            self.answer_delayed_queries();
            self.run_timers();
            // This comes before the rows of hosts that have gone down are withdrawn: others may have their
            // names then.
            self.commit();
            self.foreign.keep_rows(&mut self.state);
            self.search_if_needed(Instant::now());
            self.connections.close_discarded();
            if self.is_over() && self.end() {
                return Ok(());
            }
        }
    }

    /// Handles the kernel's announcements.
    pub(super) fn handle_ends(&mut self) {
        self.handle_process_ends();
        self.handle_socket_ends();
        self.commit();
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        if self.processes.watch_again_at().is_some_and(|at| now >= at) {
            self.watch_again();
        }
        self.continue_ending(now);
        self.connections.run_timers(now);
        tally::run_timers(now);
        self.resume_control_sockets(now);
        let mut event_loop =
            EventLoop { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
        self.foreign.run_timers(&mut event_loop);
        let late = self.foreign.resume_late();
        self.resume(late);
        self.dns.forget_idle(now);
        self.state.end_grace_period(&mut self.kernel);
        self.expire_faults();
        self.look_for_loss();
        if now >= self.looked + CHECK_EVERY {
            self.looked = now;
            self.check_directory();
            if self.state.processes.is_empty() {
                self.review_all();
            }
        }
        self.drop_waiters_that_left();
        self.check_waited_hosts(now);
        self.run_recorder(now);
        // A request in progress is no reason to begin anew: `lonet top` sends one each second.
        let is_empty = self.state.is_empty()
            && self.waiting.is_empty()
            && !self.has_faults()
            && !self.recording_keeps_network();
        self.empty_since = if is_empty { self.empty_since.or(Some(now)) } else { None };
    }
}
