//! Queries over TCP, where each message follows its length in two bytes (RFC 7766).
//!
//! Theory of operation. The connections of programs come to a listener at the address that stands for a name server. As over
//! UDP, one that nobody has announced, or that is not of the uid that did, is closed. Queries about lonet are answered here. For
//! all others there is one connection to the server for each connection of a program, made with the first of them. Replies of
//! both kinds go back as they come, message by message: a program tells them apart by their numbers.
//!
//! Nothing here waits. A connection reads no more queries while one is delayed, or while its other side takes too long to read
//! what is ready for it; so its buffers are bounded. One on which nothing has come for [`IDLE`] is closed.

use super::machine::is_connected_of;
use super::{Answer, Ask, IDLE, QUERY_DELAY, Querier, answer, failure};
use lonet_core::block::{Block, Endpoint, NAME_SERVERS};
use lonet_core::dns_message::MAX_ANSWER;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

/// How many connections of programs there may be; beyond that the one that has been silent for longest is closed.
const MOST: usize = 64;

/// How many queries of a connection may wait for the server's replies.
const MOST_AWAITED: usize = 16;

/// The longest message, with its length.
const LONGEST: usize = 2 + 65535;

/// The epoll tokens: listeners have their server's index; from here on connections have two numbers each, for the program's
/// side and for the server's.
const CONNECTION: u64 = NAME_SERVERS as u64;

pub struct Tcp {
    block: Block,
    epoll: Epoll,
    listeners: Vec<(TcpListener, Endpoint)>,
    /// By the local port of the socket that is about to be connected.
    announced: HashMap<u16, Querier>,
    connections: BTreeMap<u64, Connection>,
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
        self.announced.insert(from, querier);
    }

    /// The time when the next delayed query is due.
    pub fn until(&self) -> Option<Instant> {
        self.connections.values().filter_map(|c| c.delayed.as_ref().map(|(at, _)| *at)).min()
    }

    pub fn forget_idle(&mut self, now: Instant) {
        self.connections.retain(|_, c| now.saturating_duration_since(c.last) < IDLE);
    }

    /// Handles what has arrived, and the delayed queries that are due.
    pub fn take(&mut self, ask: &mut Ask<'_>) {
        let now = Instant::now();
        let is_due = |c: &Connection| c.delayed.as_ref().is_some_and(|(at, _)| *at <= now);
        let due: Vec<u64> = self.connections.iter().filter(|(_, c)| is_due(c)).map(|(id, _)| *id).collect();
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
                let oldest = self.connections.iter().min_by_key(|(_, c)| c.last).map(|(id, _)| *id);
                oldest.and_then(|id| self.connections.remove(&id));
            }
            let id = self.next;
            if let Ok(program) = Stream::new(&self.epoll, stream, token(id, Side::Program)) {
                self.next += 1;
                self.connections.insert(id, Connection::new(querier, real, program));
            }
        }
    }

    /// Who has announced the connection from there to here, if it is theirs.
    fn querier(&mut self, from: SocketAddrV4, here: SocketAddrV4) -> Option<Querier> {
        self.announced.remove(&from.port()).filter(|querier| is_connected_of(from, here, querier.sender.uid))
    }

    fn step(&mut self, id: u64, event: Option<(Side, EpollFlags)>, ask: &mut Ask<'_>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let open = |socket| Stream::new(&self.epoll, socket, token(id, Side::Server));
        if connection.step(self.block, event, &open, ask).is_err() || connection.watch(&self.epoll).is_err() {
            self.connections.remove(&id);
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
    last: Instant,
}

/// The connection is to be closed.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over
    }
}

impl Connection {
    fn new(querier: Querier, real: Endpoint, program: Stream) -> Connection {
        let last = Instant::now();
        Connection { querier, real, program, server: None, awaited: Vec::new(), delayed: None, last }
    }

    fn step(
        &mut self,
        block: Block,
        event: Option<(Side, EpollFlags)>,
        open: &dyn Fn(TcpStream) -> io::Result<Stream>,
        ask: &mut Ask<'_>,
    ) -> Result<(), Over> {
        if let Some((side, flags)) = event {
            self.last = Instant::now();
            let is_lost = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            let stream = if side == Side::Program { Some(&mut self.program) } else { self.server.as_mut() };
            let is_lost = stream.is_some_and(|stream| stream.fill().is_err()) || is_lost;
            match side {
                Side::Program if is_lost => return Err(Over),
                Side::Server if is_lost => {
                    self.take_replies();
                    self.fail_awaited();
                }
                _ => {}
            }
        }
        if let Some((_, query)) = self.delayed.take_if(|(at, _)| *at <= Instant::now()) {
            self.handle(block, query, open, &mut |querier, op| ask(querier, op, true));
        }
        // What has been written makes room for more.
        loop {
            let mut has_moved = self.take_replies();
            if let Some(query) = self.next_query() {
                self.handle(block, query, open, &mut |querier, op| ask(querier, op, false));
                has_moved = true;
            }
            self.program.flush()?;
            if self.server.as_mut().is_some_and(|server| server.flush().is_err() || server.is_exhausted()) {
                has_moved = true;
                self.fail_awaited();
            }
            if !has_moved {
                break;
            }
        }
        let is_done = self.program.is_at_end && self.delayed.is_none() && self.awaited.is_empty();
        if is_done && self.program.output.is_empty() { Err(Over) } else { Ok(()) }
    }

    /// Takes the program's next query, if there is room for what comes of it.
    fn next_query(&mut self) -> Option<Vec<u8>> {
        let has_room = self.delayed.is_none()
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

    /// Gives up the server's connection: what it has not answered has failed. The next query makes a new one.
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

/// One side of a connection.
struct Stream {
    socket: TcpStream,
    token: u64,
    /// What has been read and is not taken yet: at most one message of the greatest length.
    input: Vec<u8>,
    output: Vec<u8>,
    is_at_end: bool,
    watched: EpollFlags,
}

impl Stream {
    fn new(epoll: &Epoll, socket: TcpStream, token: u64) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        let watched = EpollFlags::EPOLLIN;
        epoll.add(&socket, EpollEvent::new(watched, token))?;
        Ok(Stream { socket, token, input: Vec::new(), output: Vec::new(), is_at_end: false, watched })
    }

    /// Reads what has come, as far as there is room. An error: the connection is lost.
    fn fill(&mut self) -> io::Result<()> {
        let had = self.input.len();
        if self.is_at_end || had >= LONGEST {
            return Ok(());
        }
        self.input.resize(LONGEST, 0);
        let read = self.socket.read(self.input.get_mut(had..).unwrap_or_default());
        self.input.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(n) => self.is_at_end = n == 0,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// The next message, if it is complete.
    fn peek(&self) -> Option<&[u8]> {
        let (length, rest) = self.input.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    }

    /// Takes the next message.
    fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.input.drain(..2 + message.len());
        Some(message)
    }

    /// Whether no message will come any more.
    fn is_exhausted(&self) -> bool {
        self.is_at_end && self.peek().is_none()
    }

    fn has_room(&self) -> bool {
        self.output.len() < LONGEST
    }

    /// Appends a message to what is to be written.
    fn put(&mut self, message: &[u8]) {
        self.output.extend((message.len() as u16).to_be_bytes());
        self.output.extend(message);
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn watch(&mut self, epoll: &Epoll) -> Result<(), Errno> {
        let reads = !self.is_at_end && self.input.len() < LONGEST;
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, reads);
        flags.set(EpollFlags::EPOLLOUT, !self.output.is_empty());
        if flags != self.watched {
            epoll.modify(&self.socket, &mut EpollEvent::new(flags, self.token))?;
            self.watched = flags;
        }
        Ok(())
    }
}

/// A socket that is on its way to the name server.
fn start_connect(real: Endpoint) -> io::Result<TcpStream> {
    let (family, ip) = match real.ip.to_ipv4_mapped() {
        Some(v4) => (AddressFamily::Inet, IpAddr::V4(v4)),
        None => (AddressFamily::Inet6, IpAddr::V6(real.ip)),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((ip, real.port)))) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
        Err(e) => Err(e.into()),
    }
}
