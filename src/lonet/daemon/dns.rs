//! DNS for programs that bring their own resolver: c-ares (Node's dns.resolve), Java's, dig.
//!
//! Theory of operation. Such a program reads the machine's resolv.conf and sends its questions to port 53 of a name
//! server listed there. Which name it will ask for is not known when it connects its socket, so all its questions
//! come here: the library directs UDP sockets that are meant for one of these servers to an address of the stack's
//! that stands for the server, one for each, and calls it by the server's own address to the program. Questions
//! about `*.lonet` and about the addresses of hosts are answered here; all others go on to the server that they
//! were meant for, unchanged, from a socket of their own for each socket that asks, and so do the answers.
//!
//! Only those are heard who were announced by the library: by local port, with the uid that the kernel gives for
//! that port now and that announced it. Everybody else's questions are dropped.
//!
//! Limits. Questions over TCP go to the server itself, also where that is on the machine's loopback and the host has
//! no server of its own there. It knows nothing of lonet; no answer of ours is so long that it would be asked for over
//! TCP. A lonetd that takes over from one that was killed does not know who had been
//! announced: resolvers that get no answer come back with a new socket.

mod machine;

use super::state::{Answer, Named, Sender};
use lonet_core::block::{Block, Endpoint, Face, NAME_SERVERS};
use lonet_core::control::{Caller, Key, Op, Options, Reply};
use lonet_core::dns::{self, Lookup, MAX_ANSWER, Question, Rcode, Subject};
use machine::is_of;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

pub use machine::is_name_server;

/// Where questions arrive, on the address that stands for a server: below the ephemeral range.
const PORTS: [u16; 4] = [7353, 17353, 27353, 5353];

/// How long an answer is waited for: longer than resolvers wait.
const IDLE: Duration = Duration::from_secs(30);

/// How many questions may be under way; beyond them the oldest is forgotten.
const MOST: usize = 256;

/// How late an answer is where a rule makes names slow: less than programs wait for lonetd, and more than they would like to.
pub const LATE: Duration = Duration::from_secs(2);

/// Upstream sockets are named by numbers from here on, servers by their place below.
const UPSTREAM: u64 = NAME_SERVERS as u64;

/// Who asks, as it was announced.
pub struct Asker {
    pub sender: Sender,
    host: String,
    key: Key,
    options: Options,
}

impl Asker {
    pub fn new(sender: Sender, caller: &Caller<'_>) -> Asker {
        Asker { sender, host: caller.host.to_owned(), key: caller.key, options: caller.options }
    }

    pub fn caller(&self) -> Caller<'_> {
        Caller { host: &self.host, key: self.key, options: self.options }
    }
}

/// What stands for a name server.
struct Server {
    real: Endpoint,
    socket: UdpSocket,
    address: SocketAddrV4,
}

/// Questions of one socket that have gone on to a name server.
struct Upstream {
    socket: UdpSocket,
    server: usize,
    from: SocketAddrV4,
    last: Instant,
    /// The last question, for when the server cannot be reached.
    query: Vec<u8>,
}

pub struct Dns {
    block: Block,
    epoll: Epoll,
    servers: Vec<Server>,
    askers: HashMap<u16, Asker>,
    upstreams: BTreeMap<u64, Upstream>,
    next: u64,
    later: VecDeque<Later>,
}

/// The state's answer to Resolve and Reverse; the last argument: the question has waited.
type Ask<'s> = dyn FnMut(&Asker, &Op<'_>, bool) -> Asked + 's;

/// What is said to a question that has, or has not, waited already.
pub enum Asked {
    Told(Answer),
    /// In [`LATE`].
    AskLater,
}

/// A question that is answered late, and when.
struct Later {
    at: Instant,
    server: usize,
    from: SocketAddrV4,
    query: Vec<u8>,
}

impl Dns {
    pub fn new(block: Block) -> Result<Dns, Errno> {
        Ok(Dns {
            block,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            servers: Vec::new(),
            askers: HashMap::new(),
            upstreams: BTreeMap::new(),
            next: UPSTREAM,
            later: VecDeque::new(),
        })
    }

    /// Readable when there is something to [`Dns::take`].
    pub fn events(&self) -> &std::os::fd::OwnedFd {
        &self.epoll.0
    }

    /// Where a socket with the local port `from` is to send what is meant for `server`. `None`: there, as it is no
    /// name server of the machine.
    pub fn instead_of(&mut self, server: Endpoint, from: u16, asker: Asker) -> Option<SocketAddrV4> {
        if from == 0 || !is_name_server(server) {
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
        self.askers.insert(from, asker);
        Some(address)
    }

    /// The name server that an address of the stack's stands for.
    pub fn behind(&self, os: SocketAddrV4) -> Option<Endpoint> {
        self.servers.iter().find(|s| s.address == os).map(|s| s.real)
    }

    fn stand_in(&mut self, real: Endpoint) -> io::Result<SocketAddrV4> {
        let i = u8::try_from(self.servers.len()).ok().filter(|i| *i < NAME_SERVERS);
        let ip = self.block.name_server(i.ok_or(io::ErrorKind::QuotaExceeded)?);
        let socket = PORTS
            .iter()
            .find_map(|port| UdpSocket::bind((ip, *port)).ok())
            .ok_or(io::ErrorKind::AddrInUse)?;
        socket.set_nonblocking(true)?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.servers.len() as u64))?;
        self.servers.push(Server { real, socket, address });
        Ok(address)
    }

    /// Takes what has come: questions, and answers of name servers.
    pub fn take(&mut self, ask: &mut Ask<'_>) {
        let mut buffer = vec![0; 65536];
        let mut events = [EpollEvent::empty(); 64];
        self.take_late(ask);
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..n] {
            match event.data() {
                upstream @ UPSTREAM.. => self.take_answers(upstream, &mut buffer),
                server => self.take_queries(server as usize, &mut buffer, ask),
            }
        }
    }

    fn take_queries(&mut self, server: usize, buffer: &mut [u8], ask: &mut Ask<'_>) {
        // A bound, so that one who asks without end does not keep all others waiting.
        for _ in 0..64 {
            let Some(at) = self.servers.get(server) else { return };
            let (n, from) = match at.socket.recv_from(buffer) {
                Ok((n, SocketAddr::V4(from))) => (n, from),
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // What could not be delivered earlier.
                Err(_) => continue,
            };
            let Some(query) = buffer.get(..n) else { continue };
            self.take_query((server, from), query, &mut |asker, op| ask(asker, op, false));
        }
    }

    fn take_query(
        &mut self,
        (server, from): (usize, SocketAddrV4),
        query: &[u8],
        ask: &mut dyn FnMut(&Asker, &Op<'_>) -> Asked,
    ) {
        let Some(at) = self.servers.get(server) else { return };
        let Some(asker) = self.askers.get(&from.port()).filter(|a| is_of(from, a.sender.uid)) else {
            tracing::debug!("a question from {from}, which nobody has announced");
            return;
        };
        let mut made = [0; MAX_ANSWER];
        let mut is_later = false;
        let answer = self.answer(asker, query, &mut made, &mut |asker, op| match ask(asker, op) {
            Asked::Told(answer) => Some(answer),
            Asked::AskLater => {
                is_later = true;
                None
            }
        });
        match answer {
            _ if is_later => {
                if self.later.len() >= MOST {
                    self.later.pop_front();
                }
                self.later.push_back(Later {
                    at: Instant::now() + LATE,
                    server,
                    from,
                    query: query.to_owned(),
                });
            }
            Some(n) => {
                let _ = at.socket.send_to(made.get(..n).unwrap_or_default(), from);
            }
            None => self.send_on(server, from, query),
        }
    }

    /// When the next question is to be answered that is answered late.
    pub fn until(&self) -> Option<Instant> {
        self.later.front().map(|later| later.at)
    }

    /// Answers those that have waited long enough.
    fn take_late(&mut self, ask: &mut Ask<'_>) {
        let now = Instant::now();
        while self.until().is_some_and(|at| at <= now) {
            let Some(Later { server, from, query, .. }) = self.later.pop_front() else { return };
            self.take_query((server, from), &query, &mut |asker, op| ask(asker, op, true));
        }
    }

    /// The length of our answer. `None`: the question is not about lonet.
    fn answer(
        &self,
        asker: &Asker,
        query: &[u8],
        made: &mut [u8; MAX_ANSWER],
        ask: &mut dyn FnMut(&Asker, &Op<'_>) -> Option<Answer>,
    ) -> Option<usize> {
        let question = Question::read(query)?;
        let (answer, reverse) = match question.subject() {
            Subject::Other => return None,
            Subject::Host(b"") => (None, false),
            Subject::Host(name) => (Some(ask(asker, &Op::Resolve { name, strict: false })?), false),
            Subject::Address(ip) => (Some(ask(asker, &Op::Reverse { ip })?), true),
        };
        let found = match &answer {
            None => Lookup::Domain,
            Some(Answer::Reply(Reply::Native)) => return None,
            Some(Answer::Host(Named { ascii, .. })) if reverse => Lookup::Name(ascii),
            Some(Answer::Host(Named { index, .. })) => {
                Lookup::Host { v4: self.block.address(*index), v6: self.block.shown(*index, Face::V6) }
            }
            Some(Answer::Refuse(Errno::ENOENT, _)) => Lookup::Failed(Rcode::NxDomain),
            Some(_) => Lookup::Failed(Rcode::ServFail),
        };
        Some(dns::answer(made, query, &question, found)?.len)
    }

    fn send_on(&mut self, server: usize, from: SocketAddrV4, query: &[u8]) {
        let known = self.upstreams.iter_mut().find(|(_, u)| u.server == server && u.from == from);
        let id = match known {
            Some((id, _)) => *id,
            None => match self.open_upstream(server, from) {
                Ok(id) => id,
                Err(e) => {
                    tracing::debug!("a question from {from} cannot go on: {e}");
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
                // Nobody is there: the program need not wait to learn it.
                Err(_) => {
                    if let Some(upstream) = self.upstreams.remove(&id) {
                        self.fail(upstream.server, upstream.from, &upstream.query);
                    }
                    return;
                }
            }
        }
    }

    /// Tells a program that its question has no answer.
    fn fail(&self, server: usize, from: SocketAddrV4, query: &[u8]) {
        let mut made = [0; MAX_ANSWER];
        if let Some(question) = Question::read(query)
            && let Some(answer) = dns::answer(&mut made, query, &question, Lookup::Failed(Rcode::ServFail))
            && let Some(server) = self.servers.get(server)
        {
            let _ = server.socket.send_to(made.get(..answer.len).unwrap_or_default(), from);
        }
    }

    /// Questions that have got no answer for long are forgotten.
    pub fn forget_idle(&mut self, now: Instant) {
        self.upstreams.retain(|_, u| now.saturating_duration_since(u.last) < IDLE);
    }
}
