//! Queries over TCP, where each message follows its length in two bytes (RFC 7766).
//!
//! Theory of operation. The connections of programs come to a listener at the address that stands for a name server. As over
//! UDP, one that nobody has announced, or that is not of the uid that did, is closed. Queries about lonet are answered here. For
//! all others there is one connection to the server for each connection of a program, made with the first of them. Replies of
//! both kinds go back as they come, message by message: a program tells them apart by their numbers. When either end closes its
//! connection the other one's is closed, behind what was sent before; the program asks again for what was not answered. Only if
//! the server cannot be reached do queries to it fail.
//!
//! Nothing here waits, and no step takes more than [`MOST_AT_ONCE`] queries of a connection: the rest has its turn behind other
//! work. A connection reads no more queries while one is delayed, or while its other side takes too long to read
//! what is ready for it; so its buffers are bounded. One on which nothing has come for [`IDLE`] is closed.

mod stream;

use super::machine::is_connected_of;
use super::{Answer, Ask, IDLE, QUERY_DELAY, Querier, answer, failure};
use lonet_core::block::{Block, Endpoint, NAME_SERVERS};
use lonet_core::dns_message::MAX_ANSWER;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Instant;
use stream::{LONGEST, Stream, start_connect};

/// How many connections of programs there may be; beyond that, of the user who has the most, the one that has been silent for
/// longest is closed.
const MOST: usize = 64;

/// How many queries of a connection are handled in one step.
const MOST_AT_ONCE: usize = 4;

/// The length of a message's header: what is shorter is none.
const HEADER: usize = 12;

/// How many queries of a connection may wait for the server's replies.
const MOST_AWAITED: usize = 16;

/// The epoll tokens: listeners have their server's index; from here on connections have two numbers each, for the program's
/// side and for the server's.
const CONNECTION: u64 = NAME_SERVERS as u64;

pub struct Tcp {
    block: Block,
    epoll: Epoll,
    listeners: Vec<(TcpListener, Endpoint)>,
    /// By the local port of the socket that is about to be connected, and the uid of who has announced it.
    announced: HashMap<(u16, u32), Querier>,
    connections: BTreeMap<u64, Connection>,
    /// Those with queries that were put off to the next step.
    put_off: BTreeSet<u64>,
    next: u64,
}

impl Tcp {
    pub fn new(block: Block) -> Result<Tcp, Errno> {
        Ok(Tcp {
            block,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            listeners: Vec::new(),
            announced: HashMap::new(),
            connections: BTreeMap::new(),
            put_off: BTreeSet::new(),
            next: 0,
        })
    }

    /// Readable when [`Tcp::take`] has something to do.
    pub fn events(&self) -> &std::os::fd::OwnedFd {
        &self.epoll.0
    }

    /// Serves who connects to this listener, for the name server `real`.
    pub fn serve(&mut self, listener: TcpListener, real: Endpoint) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        // Edge-triggered: without a free descriptor a connection waits for the next one, and lonetd does not spin.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.epoll.add(&listener, EpollEvent::new(flags, self.listeners.len() as u64))?;
        self.listeners.push((listener, real));
        Ok(())
    }

    /// A socket with this local port is about to be connected.
    pub fn announce(&mut self, from: u16, querier: Querier) {
        self.announced.insert((from, querier.sender.uid), querier);
    }

    /// The time when the next query is due that was delayed or put off.
    pub fn until(&self) -> Option<Instant> {
        if !self.put_off.is_empty() {
            return Some(Instant::now());
        }
        self.connections.values().filter_map(|c| c.delayed.as_ref().map(|(at, _)| *at)).min()
    }

    pub fn forget_idle(&mut self, now: Instant) {
        self.connections.retain(|_, c| now.saturating_duration_since(c.last) < IDLE);
    }

    /// Handles what has arrived, and the delayed queries that are due.
    pub fn take(&mut self, ask: &mut Ask<'_>) {
        let now = Instant::now();
        let is_due = |c: &Connection| c.delayed.as_ref().is_some_and(|(at, _)| *at <= now);
        let mut due = std::mem::take(&mut self.put_off);
        due.extend(self.connections.iter().filter(|(_, c)| is_due(c)).map(|(id, _)| *id));
        due.into_iter().for_each(|id| self.step(id, None, ask));
        let mut events = [EpollEvent::empty(); 64];
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..n] {
            match event.data().checked_sub(CONNECTION) {
                None => self.accept(event.data() as usize),
                Some(number) => {
                    let side = if number % 2 == 0 { Side::Program } else { Side::Server };
                    self.step(number / 2, Some((side, event.events())), ask);
                }
            }
        }
    }

    fn accept(&mut self, server: usize) {
        loop {
            let Some(&(ref listener, real)) = self.listeners.get(server) else { return };
            let (stream, from) = match listener.accept() {
                Ok((stream, SocketAddr::V4(from))) => (stream, from),
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => return,
            };
            let Ok(SocketAddr::V4(here)) = stream.local_addr() else { continue };
            let Some(querier) = self.querier(from, here) else {
                tracing::debug!("a connection for queries from {from}, which nobody has announced");
                continue;
            };
            while self.connections.len() >= MOST {
                self.close_one();
            }
            let id = self.next;
            if let Ok(program) = Stream::new(&self.epoll, stream, token(id, Side::Program)) {
                self.next += 1;
                self.connections.insert(id, Connection::new(querier, real, program));
            }
        }
    }

    /// Closes the connection that has been silent for longest of those of the user who has the most.
    fn close_one(&mut self) {
        let uid = |c: &Connection| c.querier.sender.uid;
        let mut counts: HashMap<u32, usize> = HashMap::new();
        self.connections.values().for_each(|c| *counts.entry(uid(c)).or_default() += 1);
        let most = counts.into_iter().max_by_key(|(_, n)| *n).map(|(uid, _)| uid);
        let theirs = self.connections.iter().filter(|(_, c)| Some(uid(c)) == most);
        if let Some(id) = theirs.min_by_key(|(_, c)| c.last).map(|(id, _)| *id) {
            self.connections.remove(&id);
        }
    }

    /// Who has announced the connection from there to here, if it is theirs.
    fn querier(&mut self, from: SocketAddrV4, here: SocketAddrV4) -> Option<Querier> {
        let of_port = self.announced.keys().filter(|(port, _)| *port == from.port());
        let key = of_port.copied().find(|(_, uid)| is_connected_of(from, here, *uid))?;
        self.announced.remove(&key)
    }

    fn step(&mut self, id: u64, event: Option<(Side, EpollFlags)>, ask: &mut Ask<'_>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let open = |socket| Stream::new(&self.epoll, socket, token(id, Side::Server));
        let outcome = connection.step(self.block, event, &open, ask);
        match outcome.and_then(|rest| Ok(connection.watch(&self.epoll).map(|()| rest)?)) {
            Ok(Rest::Nothing) => {}
            Ok(Rest::PutOff) => _ = self.put_off.insert(id),
            Err(Over) => _ = self.connections.remove(&id),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Program,
    Server,
}

fn token(id: u64, side: Side) -> u64 {
    CONNECTION + 2 * id + u64::from(side == Side::Server)
}

/// A program's connection, and the one to the server that belongs to it.
struct Connection {
    querier: Querier,
    real: Endpoint,
    program: Stream,
    server: Option<Stream>,
    /// The queries that the server has not answered yet.
    awaited: Vec<Vec<u8>>,
    /// The query that is answered later, and when.
    delayed: Option<(Instant, Vec<u8>)>,
    /// The server has closed its connection: the program's is closed when it has had all replies.
    is_closing: bool,
    last: Instant,
}

/// What is left to do without a new event.
enum Rest {
    Nothing,
    PutOff,
}

/// The connection is to be closed.
struct Over;

impl From<Errno> for Over {
    fn from(_: Errno) -> Over {
        Over
    }
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over
    }
}

impl Connection {
    fn new(querier: Querier, real: Endpoint, program: Stream) -> Connection {
        let last = Instant::now();
        let (awaited, delayed, is_closing) = (Vec::new(), None, false);
        Connection { querier, real, program, server: None, awaited, delayed, is_closing, last }
    }

    fn step(
        &mut self,
        block: Block,
        event: Option<(Side, EpollFlags)>,
        open: &dyn Fn(TcpStream) -> io::Result<Stream>,
        ask: &mut Ask<'_>,
    ) -> Result<Rest, Over> {
        if let Some((side, flags)) = event {
            self.last = Instant::now();
            let is_lost = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            match side {
                Side::Program => {
                    self.program.fill()?;
                    if is_lost {
                        return Err(Over);
                    }
                }
                Side::Server => self.fill_from_server(is_lost),
            }
        }
        if let Some((_, query)) = self.delayed.take_if(|(at, _)| *at <= Instant::now()) {
            self.handle(block, query, open, &mut |querier, op| ask(querier, op, true));
        }
        let mut handled = 0;
        let mut has_moved = true;
        while has_moved && handled < MOST_AT_ONCE {
            has_moved = self.take_replies();
            if let Some(query) = self.next_query() {
                if query.len() < HEADER {
                    return Err(Over);
                }
                self.handle(block, query, open, &mut |querier, op| ask(querier, op, false));
                handled += 1;
                has_moved = true;
            }
            // What is written makes room for more.
            has_moved |= self.program.flush()?;
            has_moved |= self.flush_to_server();
        }
        let is_served = self.program.is_at_end && self.program.peek().is_none() && self.delayed.is_none();
        if is_served && let Some(server) = &mut self.server {
            server.end_output();
        }
        let is_over = self.is_closing || is_served && self.server.is_none();
        match self.program.output.is_empty() {
            true if is_over && self.server.as_ref().is_none_or(|server| server.peek().is_none()) => Err(Over),
            _ if has_moved => Ok(Rest::PutOff),
            _ => Ok(Rest::Nothing),
        }
    }

    /// Reads what the server has sent. `is_lost`: the connection has failed or ended.
    fn fill_from_server(&mut self, is_lost: bool) {
        let Some(server) = &mut self.server else { return };
        match server.fill() {
            Ok(()) => self.is_closing |= server.is_at_end,
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                self.is_closing = true;
            }
            Err(_) => return self.fail_awaited(),
        }
        if is_lost {
            // What has come is all.
            server.is_at_end |= server.input.len() < LONGEST;
            self.is_closing |= server.is_at_end;
        }
    }

    /// Writes to the server. Returns whether there is room again.
    fn flush_to_server(&mut self) -> bool {
        match self.server.as_mut().map(Stream::flush) {
            Some(Ok(has_room)) => has_room,
            Some(Err(e))
                if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                self.is_closing = true;
                false
            }
            Some(Err(_)) => {
                self.fail_awaited();
                true
            }
            None => false,
        }
    }

    /// Takes the program's next query, if there is room for what comes of it.
    fn next_query(&mut self) -> Option<Vec<u8>> {
        let has_room = !self.is_closing
            && self.delayed.is_none()
            && self.awaited.len() < MOST_AWAITED
            && self.program.has_room()
            && self.server.as_ref().is_none_or(Stream::has_room);
        if has_room { self.program.next() } else { None }
    }

    fn handle(
        &mut self,
        block: Block,
        query: Vec<u8>,
        open: &dyn Fn(TcpStream) -> io::Result<Stream>,
        ask: &mut dyn FnMut(&Querier, &lonet_core::control::Op<'_>) -> super::StateAnswer,
    ) {
        let mut made = [0; MAX_ANSWER];
        match answer(block, &query, &mut made, &mut |op| ask(&self.querier, op)) {
            Answer::Made(n) => self.program.put(made.get(..n).unwrap_or_default()),
            Answer::Later => self.delayed = Some((Instant::now() + QUERY_DELAY, query)),
            Answer::NotLonets => {
                if self.server.is_none() {
                    self.server = start_connect(self.real).and_then(open).ok();
                }
                if let Some(server) = &mut self.server {
                    server.put(&query);
                }
                self.awaited.push(query);
                if self.server.is_none() {
                    self.fail_awaited();
                }
            }
        }
    }

    /// Passes on what the server has sent. `false`: there is nothing, or no room for it.
    fn take_replies(&mut self) -> bool {
        let Some(server) = &mut self.server else { return false };
        let mut has_moved = false;
        while self.program.has_room()
            && let Some(reply) = server.next()
        {
            self.awaited.retain(|query| query.get(..2) != reply.get(..2));
            self.program.put(&reply);
            has_moved = true;
        }
        has_moved
    }

    /// Gives up a server that cannot be reached: what it was asked has failed. The next query tries it again.
    fn fail_awaited(&mut self) {
        self.server = None;
        for query in std::mem::take(&mut self.awaited) {
            let mut made = [0; MAX_ANSWER];
            if let Some(error) = failure(&query, &mut made) {
                self.program.put(error);
            }
        }
    }

    /// Has the epoll tell what both sides wait for.
    fn watch(&mut self, epoll: &Epoll) -> Result<(), Errno> {
        self.program.watch(epoll)?;
        self.server.as_mut().map_or(Ok(()), |server| server.watch(epoll))
    }
}
