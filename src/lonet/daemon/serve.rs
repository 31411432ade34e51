//! The loop around the state: sockets, processes, time.
//!
//! Order is kept across connections: a message that was sent before another one is taken first, so that a program which
//! closed a socket and then told another program finds the port free there ([`connections`]). Ends of processes and
//! sockets that the kernel has announced are taken before any message.

mod connections;
mod end;
mod faults;
mod hands;
mod home;
mod idle;
mod inherited;
mod lent;
mod messages;
mod processes;
mod questions;
mod rights;
mod sender;
mod signal;
mod trace;
mod wait;
mod watcher;

use super::current::Current;
use super::dns::Dns;
use super::doors::{Doors, Service};
use super::faults::hits::Meter;
use super::faults::loss::Loss;
use super::foreign::{self, FIRST_TASK, Foreign, World};
use super::held::Held;
use super::kernel::Live;
use super::members::Members;
use super::owner::Owner;
use super::setup::{SetupError, os};
use super::state::{Pid, State};
use super::store::Store;
use super::tally;
use connections::Connections;
use end::Ending;
use hands::Hands;
use home::Home;
use inherited::Inheritance;
use lonet_core::config::{Config, Membership};
use lonet_core::diag::Destroyed;
use lonet_core::directory::Place;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use questions::Slow;
use signal::Signalling;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wait::Waiting;

/// How long a network stays when nobody is in it.
const EMPTY_FOR: Duration = Duration::from_secs(3);

/// So many messages about ends of sockets are taken before other work has its turn.
const ENDS_AT_ONCE: usize = 256;

/// How long `lonet down --kill` waits between TERM and KILL.
const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// How long a caller may take to tell of its dial once more.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// How often KILL is sent again to those that have come meanwhile.
const KILL_AGAIN: Duration = Duration::from_millis(500);

/// How soon an end that somebody waits for is tried again.
const END_AGAIN: Duration = Duration::from_millis(10);

/// All sockets are looked at again after so many times as long as it took the last time.
const REVIEW_REST: u32 = 10;

/// How often sockets are looked at that no process is known to have: what the kernel cannot announce is not missed for ever.
const LOOK_EVERY: Duration = Duration::from_secs(30);

const CONTROL: u64 = 1;
const ABSTRACT: u64 = 2;
const DEATHS: u64 = 3;
const DESTROYED: u64 = 4;
const CONNECTION: u64 = 5;
const DNS: u64 = 6;
const SEARCHED: u64 = 7;
const CONNECTIONS: u64 = 8;
const HOME: u64 = 9;

/// A question who calls, asked before the caller's dial is known.
struct Early {
    fd: OwnedFd,
    bytes: Vec<u8>,
    since: Instant,
}

pub use questions::LATE;

pub struct Daemon {
    state: State,
    kernel: Live,
    store: &'static Store,
    netns: u64,
    foreign: Foreign,
    /// Keeps the block for as long as the daemon lives.
    _held: Held,
    /// Held for as long as it serves.
    service: Service,
    home: Home,
    doors: Doors,
    /// They are shut until then.
    shut_until: Option<Instant>,
    place: Place,
    directory: Current,
    config: Config,
    owner: Owner,
    membership: Membership,
    inheritance: Inheritance,
    epoll: Epoll,
    /// Becomes readable when a process ends.
    deaths: Epoll,
    processes: BTreeMap<Pid, OwnedFd>,
    /// Who has sent the message that is being answered, if it was not known before.
    met: Option<(Pid, OwnedFd)>,
    destroyed: Option<Destroyed>,
    /// `epoll` waits for ends of sockets, too.
    watches_ends: bool,
    /// Ends were announced that lonetd has not heard of, and when it may look at all sockets for it.
    are_ends_lost: bool,
    reviews_at: Instant,
    /// What the rules for faults have met.
    meter: Meter,
    loss: Loss,
    dns: Dns,
    connections: Connections,
    /// What is done with sockets that programs have lent.
    lent: Hands,
    early: Vec<Early>,
    /// Questions for names that are answered late.
    slow: Slow,
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

/// What a daemon is made of.
pub struct Parts {
    pub state: State,
    pub kernel: Live,
    pub store: &'static Store,
    pub held: Held,
    /// Where a lonetd before had its listener.
    pub former: Option<Ipv4Addr>,
    pub service: Service,
    pub doors: Doors,
    /// Open since before the kernel was asked what there is: what ends in between is announced.
    pub destroyed: Option<Destroyed>,
    /// Where the network is, and its directory.
    pub place: Place,
    pub directory: Current,
    pub config: Config,
    pub owner: Owner,
    pub membership: Membership,
    pub netns: u64,
}

impl Daemon {
    pub fn new(parts: Parts) -> Result<Daemon, SetupError> {
        let Parts { state, kernel, store, held, former, service, doors, destroyed, .. } = parts;
        let Parts { place, directory, config, owner, membership, netns, .. } = parts;
        if let Some(text) = kernel.shortcomings() {
            tracing::warn!("{text}");
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let deaths = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let connections = Connections::new()?;
        epoll.add(&connections.epoll.0, event(CONNECTIONS)).map_err(os("watch connections"))?;
        epoll.add(&deaths.0, event(DEATHS)).map_err(os("watch processes"))?;
        let foreign = Foreign::new(&config, &directory, &held, former, &epoll)?;
        let members = Arc::new(Members::new(&config, &directory.now(), owner, membership));
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
            _held: held,
            service,
            home: Home::watch(&place, membership.owner),
            doors,
            shut_until: None,
            place,
            directory,
            config,
            owner,
            membership,
            inheritance,
            epoll,
            deaths,
            processes: BTreeMap::new(),
            met: None,
            destroyed,
            // Until it has been seen that there are none.
            watches_ends: false,
            are_ends_lost: false,
            reviews_at: Instant::now(),
            meter: Meter::default(),
            loss: Loss::default(),
            dns,
            connections,
            lent: Hands::new("lonetd-lent", lent::THREADS),
            early: Vec::new(),
            slow: Slow::default(),
            waiting: Waiting::new(),
            ending: None,
            signals: Vec::new(),
            looked: Instant::now(),
            empty_since: None,
            tracing: trace::Tracing::default(),
        };
        daemon.open_doors().map_err(os("watch the control sockets"))?;
        daemon.watch_home().map_err(os("watch the network's directory"))?;
        daemon.settle();
        daemon.restore_faults();
        daemon.resume_recording();
        store.table().set_abstract_name(Some(daemon.doors.name));
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
            let is_one_of = |kinds: &[u64]| events[..n].iter().any(|e| kinds.contains(&e.data()));
            if self.connections.has_received() || is_one_of(&[CONTROL, ABSTRACT, CONNECTIONS]) {
                self.take_messages();
            }
            for event in &events[..n] {
                let mut world =
                    World { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
                match event.data() {
                    DESTROYED => self.ends_begin(),
                    HOME => self.look_after_home(),
                    SEARCHED => self.take_found(Duration::ZERO),
                    foreign::LISTENER => self.foreign.accept(&mut world),
                    foreign::REGISTRY => {
                        let resumed = self.foreign.told(&mut self.state);
                        self.resume(resumed);
                    }
                    task if task >= FIRST_TASK => self.foreign.ready(&mut world, task, event.events()),
                    _ => {}
                }
            }
            if is_one_of(&[DNS]) || self.dns.until().is_some_and(|until| until <= Instant::now()) {
                self.take_questions();
            }
            self.take_early();
            self.take_slow();
            self.look_at_the_time();
            // Before the rows of hosts that have gone down are taken back: others may have their names then.
            self.settle();
            self.foreign.keep_rows(&mut self.state);
            self.look_for_members(Instant::now());
            if self.is_over() && self.end() {
                return Ok(());
            }
        }
    }

    /// Takes what the kernel has announced.
    pub(super) fn take_news(&mut self) {
        self.take_deaths();
        self.take_ends();
        self.settle();
    }

    /// Ends of sockets that the kernel has told of. To be settled.
    fn take_ends(&mut self) {
        let Some(destroyed) = &self.destroyed else { return };
        let (mut is_quiet, mut all) = (true, Vec::new());
        // Whoever makes and closes sockets all the time, which may be another user, does not keep lonetd from its work.
        for _ in 0..ENDS_AT_ONCE {
            let Some(ends) = destroyed.next().transpose() else { break };
            is_quiet = false;
            match ends {
                Ok(ends) => all.extend(ends),
                Err(_) => self.are_ends_lost = true,
            }
        }
        // First: what they were is in the state still.
        self.record_ends(&all);
        let all: Vec<u64> = all.iter().map(|end| end.cookie).collect();
        self.state.all_destroyed(&mut self.kernel, &all);
        all.iter().for_each(|cookie| self.store.table().forget_hops(*cookie));
        let now = Instant::now();
        if self.are_ends_lost && now >= self.reviews_at {
            self.are_ends_lost = false;
            self.kernel.many(true);
            self.state.review_all(&mut self.kernel);
            self.kernel.many(false);
            self.reviews_at = Instant::now() + REVIEW_REST * now.elapsed();
        }
        if is_quiet
            && !self.watches_ends
            && let Some(destroyed) = &self.destroyed
        {
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
        self.connections.look_at_the_time(now);
        tally::look_at_the_time(now);
        if self.shut_until.is_some_and(|until| now >= until) {
            let _ = self.open_doors();
        }
        let mut world = World { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
        self.foreign.look_at_the_time(&mut world);
        let late = self.foreign.resume_late();
        self.resume(late);
        self.dns.forget_idle(now);
        self.state.settle_doubts(&mut self.kernel);
        self.end_faults();
        self.look_for_loss();
        if now >= self.looked + LOOK_EVERY {
            self.looked = now;
            self.look_after_home();
            if self.state.processes.is_empty() {
                self.state.review_all(&mut self.kernel);
            }
        }
        self.forget_waiters_that_left();
        self.look_at_waited_for(now);
        self.look_at_recording(now);
        let idle = self.foreign.is_idle()
            && self.state.is_empty()
            && self.waiting.is_empty()
            && self.early.is_empty()
            && !self.connections.has_members()
            && !self.has_faults()
            && !self.keeps_recording();
        self.empty_since = if idle { self.empty_since.or(Some(now)) } else { None };
    }
}
