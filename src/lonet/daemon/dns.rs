//! A DNS proxy for programs that have their own resolver: c-ares (Node's dns.resolve), Java's, dig.
//!
//! Theory of operation. Such a program reads the machine's resolv.conf and sends its queries to port 53 of a
//! name server listed there. Which names it will query is not known when it connects its socket, so all its
//! queries come here: the library directs UDP sockets that are meant for one of these servers to an address
//! of the stack's that stands for the server, one for each, and shows the program the server's own address.
//! Queries for `*.lonet` and for the addresses of hosts are answered here; all others are forwarded unchanged
//! to the server that they were meant for, from a separate socket for each querying socket, and so are the
//! replies.
//!
//! Only queries from announced sockets are answered: the library announces the local port, and the uid that
//! the kernel has for that port now must be the one that announced it. All others are dropped.
//!
//! Queries over TCP take the same way: `tcp`. A server on the machine's loopback is the host's own, if it has one there.
//!
//! Limits. A lonetd that takes over from one that was killed does not know the announced sockets: resolvers
//! that get no reply try again with a new socket.

mod machine;
mod tcp;

use super::state::{Named, Sender, StateReply};
use lonet_core::block::{Block, Endpoint, Face, NAME_SERVERS};
use lonet_core::control::{Key, Op, Options, Reply, Requester};
use lonet_core::dns_message::{self, Lookup, MAX_ANSWER, Question, Rcode, Subject};
use machine::is_of;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::time::{Duration, Instant};
use tcp::Tcp;

pub use machine::is_name_server;

/// The ports for queries, on the address that stands for a server: below the ephemeral range.
const PORTS: [u16; 4] = [7353, 17353, 27353, 5353];

/// How long a server's reply is waited for: longer than resolvers wait.
const IDLE: Duration = Duration::from_secs(30);

/// How many querying sockets may be forwarded at once; beyond that the oldest is dropped.
const MOST: usize = 256;

/// The delay of a reply if a rule makes names slow: less than programs wait for lonetd, and more than they
/// would like to.
pub const QUERY_DELAY: Duration = Duration::from_secs(2);

/// The epoll tokens: upstream sockets have numbers from here on, servers their index below, and what is about TCP the last one.
const UPSTREAM: u64 = NAME_SERVERS as u64;
const TCP: u64 = u64::MAX;

/// The querying process, as it was announced.
pub struct Querier {
    pub sender: Sender,
    host: String,
    key: Key,
    options: Options,
}

impl Querier {
    pub fn new(sender: Sender, requester: &Requester<'_>) -> Querier {
        Querier { sender, host: requester.host.to_owned(), key: requester.key, options: requester.options }
    }

    pub fn requester(&self) -> Requester<'_> {
        Requester { host: &self.host, key: self.key, options: self.options }
    }
}

/// A name server's stand-in.
struct Server {
    real: Endpoint,
    socket: UdpSocket,
    address: SocketAddrV4,
}

/// The queries of one socket that are forwarded to a name server.
struct Upstream {
    socket: UdpSocket,
    server: usize,
    from: SocketAddrV4,
    last: Instant,
    /// The last query, for the error reply if the server cannot be reached.
    query: Vec<u8>,
}

pub struct Dns {
    block: Block,
    epoll: Epoll,
    servers: Vec<Server>,
    queriers: HashMap<u16, Querier>,
    upstreams: BTreeMap<u64, Upstream>,
    next: u64,
    delayed: VecDeque<DelayedQuery>,
    tcp: Tcp,
}

/// Asks the state: Resolve and Reverse; the last argument says that the query has been delayed.
type Ask<'s> = dyn FnMut(&Querier, &Op<'_>, bool) -> StateAnswer + 's;

/// The answer to a query that has, or has not, been delayed.
pub enum StateAnswer {
    Now(StateReply),
    /// The query is to be asked again after [`QUERY_DELAY`].
    Later,
}

/// A delayed query, and when it is due.
struct DelayedQuery {
    at: Instant,
    server: usize,
    from: SocketAddrV4,
    query: Vec<u8>,
}

impl Dns {
    pub fn new(block: Block) -> Result<Dns, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let tcp = Tcp::new(block)?;
        epoll.add(tcp.events(), EpollEvent::new(EpollFlags::EPOLLIN, TCP))?;
        Ok(Dns {
            block,
            epoll,
            tcp,
            servers: Vec::new(),
            queriers: HashMap::new(),
            upstreams: BTreeMap::new(),
            next: UPSTREAM,
            delayed: VecDeque::new(),
        })
    }

    /// Readable when [`Dns::take`] has something to do.
    pub fn events(&self) -> &std::os::fd::OwnedFd {
        &self.epoll.0
    }

    /// The address to which a socket with the local port `from` is to send queries for `server`, or to be connected if it is a
    /// TCP socket; port 0: it has none yet. `None`: to `server` itself, which is no name server of the machine.
    pub fn instead_of(
        &mut self,
        server: Endpoint,
        (from, tcp): (u16, bool),
        querier: Querier,
    ) -> Option<SocketAddrV4> {
        if !is_name_server(server) {
            return None;
        }
        let known = self.servers.iter().find(|s| s.real == server).map(|s| s.address);
        let address = match known {
            Some(address) => address,
            None => match self.stand_in(server) {
                Ok(address) => address,
                Err(e) => {
                    tracing::warn!("nothing stands for the name server {server}: {e}");
                    return None;
                }
            },
        };
        if from == 0 {
            return Some(address);
        }
        if tcp {
            self.tcp.announce(from, querier);
        } else {
            self.queriers.insert(from, querier);
        }
        Some(address)
    }

    /// The name server that an address of the stack's stands for.
    pub fn behind(&self, os: SocketAddrV4) -> Option<Endpoint> {
        self.servers.iter().find(|s| s.address == os).map(|s| s.real)
    }

    fn stand_in(&mut self, real: Endpoint) -> io::Result<SocketAddrV4> {
        let i = u8::try_from(self.servers.len()).ok().filter(|i| *i < NAME_SERVERS);
        let ip = self.block.name_server(i.ok_or(io::ErrorKind::QuotaExceeded)?);
        let at =
            |port: &u16| Some((UdpSocket::bind((ip, *port)).ok()?, TcpListener::bind((ip, *port)).ok()?));
        let (socket, listener) = PORTS.iter().find_map(at).ok_or(io::ErrorKind::AddrInUse)?;
        socket.set_nonblocking(true)?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.servers.len() as u64))?;
        self.tcp.serve(listener, real)?;
        self.servers.push(Server { real, socket, address });
        Ok(address)
    }

    /// Handles the queries and the servers' replies that have arrived.
    pub fn take(&mut self, ask: &mut Ask<'_>) {
        let mut buffer = vec![0; 65536];
        let mut events = [EpollEvent::empty(); 64];
        self.answer_delayed(ask);
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..n] {
            match event.data() {
                TCP => {}
                upstream @ UPSTREAM.. => self.take_answers(upstream, &mut buffer),
                server => self.take_queries(server as usize, &mut buffer, ask),
            }
        }
        self.tcp.take(ask);
    }

    fn take_queries(&mut self, server: usize, buffer: &mut [u8], ask: &mut Ask<'_>) {
        // A bound, so that one program with endless queries does not keep all others waiting.
        for _ in 0..64 {
            let Some(at) = self.servers.get(server) else { return };
            let (n, from) = match at.socket.recv_from(buffer) {
                Ok((n, SocketAddr::V4(from))) => (n, from),
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // An error of an earlier reply that could not be delivered.
                Err(_) => continue,
            };
            let Some(query) = buffer.get(..n) else { continue };
            self.handle_query((server, from), query, &mut |querier, op| ask(querier, op, false));
        }
    }

    fn handle_query(
        &mut self,
        (server, from): (usize, SocketAddrV4),
        query: &[u8],
        ask: &mut dyn FnMut(&Querier, &Op<'_>) -> StateAnswer,
    ) {
        let Some(at) = self.servers.get(server) else { return };
        let Some(querier) = self.queriers.get(&from.port()).filter(|a| is_of(from, a.sender.uid)) else {
            tracing::debug!("a query from {from}, which nobody has announced");
            return;
        };
        let mut made = [0; MAX_ANSWER];
        match answer(self.block, query, &mut made, &mut |op| ask(querier, op)) {
            Answer::Later => {
                if self.delayed.len() >= MOST {
                    self.delayed.pop_front();
                }
                self.delayed.push_back(DelayedQuery {
                    at: Instant::now() + QUERY_DELAY,
                    server,
                    from,
                    query: query.to_owned(),
                });
            }
            Answer::Made(n) => {
                let _ = at.socket.send_to(made.get(..n).unwrap_or_default(), from);
            }
            Answer::NotLonets => self.forward(server, from, query),
        }
    }

    /// The time when the next delayed query is due.
    pub fn until(&self) -> Option<Instant> {
        self.delayed.front().map(|query| query.at).into_iter().chain(self.tcp.until()).min()
    }

    /// Answers the delayed queries that are due.
    fn answer_delayed(&mut self, ask: &mut Ask<'_>) {
        let now = Instant::now();
        while self.delayed.front().is_some_and(|query| query.at <= now) {
            let Some(DelayedQuery { server, from, query, .. }) = self.delayed.pop_front() else { return };
            self.handle_query((server, from), &query, &mut |querier, op| ask(querier, op, true));
        }
    }

    fn forward(&mut self, server: usize, from: SocketAddrV4, query: &[u8]) {
        let known = self.upstreams.iter_mut().find(|(_, u)| u.server == server && u.from == from);
        let id = match known {
            Some((id, _)) => *id,
            None => match self.open_upstream(server, from) {
                Ok(id) => id,
                Err(e) => {
                    tracing::debug!("a query from {from} cannot go on: {e}");
                    return self.fail(server, from, query);
                }
            },
        };
        if let Some(upstream) = self.upstreams.get_mut(&id) {
            upstream.last = Instant::now();
            upstream.query = query.to_owned();
            if upstream.socket.send(query).is_err() {
                self.fail(server, from, query);
            }
        }
    }

    fn open_upstream(&mut self, server: usize, from: SocketAddrV4) -> io::Result<u64> {
        let real = self.servers.get(server).ok_or(io::ErrorKind::NotFound)?.real;
        let (any, to): (IpAddr, IpAddr) = match real.ip.to_ipv4_mapped() {
            Some(v4) => (Ipv4Addr::UNSPECIFIED.into(), v4.into()),
            None => (Ipv6Addr::UNSPECIFIED.into(), real.ip.into()),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect((to, real.port))?;
        while self.upstreams.len() >= MOST {
            let oldest = self.upstreams.iter().min_by_key(|(_, u)| u.last).map(|(id, _)| *id);
            oldest.and_then(|id| self.upstreams.remove(&id));
        }
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
        let upstream = Upstream { socket, server, from, last: Instant::now(), query: Vec::new() };
        self.upstreams.insert(self.next, upstream);
        self.next += 1;
        Ok(self.next - 1)
    }

    fn take_answers(&mut self, id: u64, buffer: &mut [u8]) {
        for _ in 0..64 {
            let Some(upstream) = self.upstreams.get(&id) else { return };
            match upstream.socket.recv(buffer) {
                Ok(n) => {
                    if let Some(server) = self.servers.get(upstream.server) {
                        let _ = server.socket.send_to(buffer.get(..n).unwrap_or_default(), upstream.from);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // No server is there: the program gets an error at once.
                Err(_) => {
                    if let Some(upstream) = self.upstreams.remove(&id) {
                        self.fail(upstream.server, upstream.from, &upstream.query);
                    }
                    return;
                }
            }
        }
    }

    /// Sends a program an error reply to its query.
    fn fail(&self, server: usize, from: SocketAddrV4, query: &[u8]) {
        let mut made = [0; MAX_ANSWER];
        if let Some(error) = failure(query, &mut made)
            && let Some(server) = self.servers.get(server)
        {
            let _ = server.socket.send_to(error, from);
        }
    }

    /// Drops upstream sockets whose queries have got no reply for [`IDLE`].
    pub fn forget_idle(&mut self, now: Instant) {
        self.upstreams.retain(|_, u| now.saturating_duration_since(u.last) < IDLE);
        self.tcp.forget_idle(now);
    }
}

/// What becomes of a query.
enum Answer {
    /// The reply has this length.
    Made(usize),
    /// The query is to be answered after [`QUERY_DELAY`].
    Later,
    NotLonets,
}

/// Writes the reply to a query.
fn answer(
    block: Block,
    query: &[u8],
    made: &mut [u8; MAX_ANSWER],
    ask: &mut dyn FnMut(&Op<'_>) -> StateAnswer,
) -> Answer {
    let Some(question) = Question::read(query) else { return Answer::NotLonets };
    let (op, reverse) = match question.subject() {
        Subject::Other => return Answer::NotLonets,
        Subject::Host(b"") => (None, false),
        Subject::Host(name) => (Some(Op::Resolve { name, strict: false }), false),
        Subject::Address(ip) => (Some(Op::Reverse { ip }), true),
    };
    let answer = match op.map(|op| ask(&op)) {
        Some(StateAnswer::Later) => return Answer::Later,
        Some(StateAnswer::Now(answer)) => Some(answer),
        None => None,
    };
    let found = match &answer {
        None => Lookup::Domain,
        Some(StateReply::Reply(Reply::Native)) => return Answer::NotLonets,
        Some(StateReply::Host(Named { ascii, .. })) if reverse => Lookup::Name(ascii),
        Some(StateReply::Host(Named { index, .. })) => {
            Lookup::Host { v4: block.address(*index), v6: block.shown(*index, Face::V6) }
        }
        Some(StateReply::Refuse(Errno::ENOENT, _)) => Lookup::Failed(Rcode::NxDomain),
        Some(_) => Lookup::Failed(Rcode::ServFail),
    };
    dns_message::answer(made, query, &question, found)
        .map_or(Answer::NotLonets, |answer| Answer::Made(answer.len))
}

/// The error reply to a query that cannot be forwarded.
fn failure<'m>(query: &[u8], made: &'m mut [u8; MAX_ANSWER]) -> Option<&'m [u8]> {
    let question = Question::read(query)?;
    let answer = dns_message::answer(made, query, &question, Lookup::Failed(Rcode::ServFail))?;
    made.get(..answer.len)
}
