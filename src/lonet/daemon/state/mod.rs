//! The state of a network, as a pure machine: a message or an event goes in, an answer comes out.
//!
//! Two indexes: sockets by cookie, and ports by host. A record says what lonet was asked and what it answered;
//! whether the socket still lives is the kernel's to say, through [`Kernel`], by a rule for each [`Role`]. What processes do
//! by themselves is [`entered`] in the table, where all of it is written before an answer goes out.
//! "Cannot ask" always means alive. The machine does no I/O of its own and reads no clock.

mod accept;
mod answer;
mod api;
mod autobind;
mod bind;
mod dial;
mod ends;
mod entered;
mod faults;
mod foreign;
mod hosts;
mod kernel;
mod life;
mod noted;
mod noted_faults;
mod permission;
mod ports;
mod restore;
mod save;
mod show;
mod slots;
#[cfg(test)]
mod tests;
mod unverified;

pub use answer::{Answer, Named};
pub use entered::Tables;
pub use faults::End;
pub use foreign::{Arrival, Incoming, Outgoing, RegistryQuery, cannot_tell};
pub use hosts::{By, Host, Hosts};
pub use kernel::{ConnectedSocket, Kernel, UnconnectedState};
pub use lonet_core::classes::Classes;
pub use lonet_core::table::entry::Call;
pub use noted::Said;
pub use restore::{KernelSocket, Saved};
pub use show::{HostShown, NetworkShown, SocketShown};

use lonet_core::block::{Block, Endpoint, Place};
use lonet_core::control::{Asked, Caller, Op, Reply};
use lonet_core::table::entry;
use lonet_core::table::record::FreeRecordCursor;
use lonet_core::table::rules::Rule;
use lonet_core::table::state::Reference;
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

pub type Cookie = u64;
pub type Index = u16;
pub type Pid = i32;

/// By what the kernel has numbered: nobody chooses it so that it collides.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What a socket is, as far as lonetd was told. A socket holds its port in each of them but `Gone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// bind was allowed and the kernel has not done it yet.
    /// Operations: Bind again with the next attempt, Bound, Failed. Alive: while its process lives and holds it, as
    /// the kernel does not know the socket; then it is what the kernel has (see `permission`).
    Claimed,
    /// Bound, idle. Operations: Listen, Dial. Alive: while the kernel lists it among the bound ones (kernel 6.8
    /// and later; else until its destruction is announced).
    Bound,
    /// listen was allowed and the kernel has not done it yet. Alive: as `Claimed`.
    Starting,
    /// Operations: Listen again (another backlog), being dialed, Accept. Alive: while the kernel finds a
    /// listener with its cookie; bound but no longer listening (shutdown) makes it `Bound`.
    Listening,
    /// A dial was answered and connect has not returned; the source port is not known yet, unless accept at the
    /// other end has told it. Operations: Dial again (the same answer), Dialed. Alive: while its process lives,
    /// and as `Connected` where the source port is known: a thread may leave connect by cancellation.
    Dialing,
    /// connect returned: connected or on its way. Alive: while the kernel finds the connection under its
    /// cookie and some descriptor holds it; a socket that was bound by its program becomes `Bound` again.
    Connected,
    /// Accepted. Alive: as `Connected`.
    Accepted,
    /// Dead, or without a port. Kept for a while, so that accept can name a caller that has gone and
    /// getsockname a socket whose connection has ended. Operations: Name, Listen and Dial anew.
    Gone,
}

impl Role {
    pub const ALL: [Role; 8] = [
        Role::Claimed,
        Role::Bound,
        Role::Starting,
        Role::Listening,
        Role::Dialing,
        Role::Connected,
        Role::Accepted,
        Role::Gone,
    ];
}

// What a process has entered is the same to the lonetd that takes it over and to the next one.
const _: () = assert!(Role::Dialing as u8 == entry::DIAL && Role::Accepted as u8 == entry::ACCEPTED);
// Programs see by it what a socket is called.
const _: () = assert!(Role::Gone as u8 == entry::TOMBSTONE);

#[derive(Clone, Debug)]
pub struct Socket {
    pub host: Index,
    pub port: u16,
    pub role: Role,
    /// Who was last allowed to do something with it.
    pub pid: Pid,
    pub asked: Asked,
    /// What the program bound it to, with the port that it got; `None`: connect chose.
    pub at: Option<Endpoint>,
    /// Where the kernel has it bound, if the program bound it.
    pub os: Option<SocketAddrV4>,
    pub call: Option<Call>,
    /// accept has named the caller: nobody will look for it again.
    pub taken: bool,
    /// The port of the accepting host that this dial has taken, where accepted connections take fresh ones.
    pub accept_port: Option<u16>,
    /// The program that bound or dialed it, where that process has ended and others hold the socket.
    pub made_by: Option<Box<str>>,
    /// The kernel has announced its destruction.
    pub destroyed: bool,
    /// How many times sockets of the network had begun to listen when it was last allowed to dial, or began itself.
    pub since: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Process {
    pub program: String,
    /// The process in whose place it is, by which lists name it; 0: itself.
    pub stands_for: Pid,
    /// The hosts that it keeps up.
    pub hosts: BTreeSet<Index>,
    /// The host that was named after its program.
    pub implicit_host: Option<Index>,
    pub sockets: BTreeSet<Cookie>,
    /// Where it acts on the table by itself.
    pub slot: Option<u16>,
}

/// Who sent a message, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub pid: Pid,
    pub uid: u32,
}

/// A refusal: errno for the program, words for people.
pub type Outcome = Result<Reply<'static>, (Errno, String)>;

pub struct State {
    pub block: Block,
    table: Box<dyn Tables>,
    /// Ports that were found free for the message at hand.
    reserved: Vec<(Index, u16)>,
    records: FreeRecordCursor,
    /// Dials that processes have entered, that have ended, and that an accept may find, oldest first.
    tombstones: VecDeque<Reference>,
    pub hosts: Hosts,
    pub sockets: Map<Cookie, Socket>,
    pub processes: BTreeMap<Pid, Process>,
    /// Dialing sockets by the kernel's names of their connection: (local, remote).
    by_tuple: Map<(SocketAddrV4, SocketAddrV4), Cookie>,
    /// Listening and bound sockets by the address that the kernel has.
    by_os: Map<SocketAddrV4, Vec<Cookie>>,
    /// The connection that a courier stands for, by the courier's source and the listener that it goes to.
    couriers: Map<(SocketAddrV4, SocketAddrV4), Cookie>,
    /// Dead sockets, oldest first, with the time of death.
    retired: VecDeque<(Duration, Cookie)>,
    /// What an earlier lonetd allowed and the kernel does not show so far, and until when that may still come.
    unverified_sockets: Option<(Duration, Vec<Cookie>)>,
    os_ports: bind::OsPorts,
    /// Where dials end that find nobody: a socket that is bound and does not listen.
    refuser: SocketAddrV4,
    /// `None`: cannot tell whose a socket is.
    owner: Option<u32>,
    /// Hosts that are up for as long as it is not known whether a process of theirs is left.
    unverified: BTreeSet<Index>,
    /// While many end at once.
    deferred: Option<ends::Deferred>,
    /// What has changed since the last [`State::take_changes`].
    changes: Changes,
    /// The rules for faults before a dial made one take effect.
    rules_before: Option<Vec<Rule>>,
    /// While somebody records.
    noted: noted::Noted,
}

/// Names of what has changed, for whoever keeps a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub sockets: BTreeSet<Cookie>,
    pub hosts: BTreeSet<Index>,
    pub processes: BTreeSet<Pid>,
    /// Who listens there may be another.
    pub listeners: BTreeSet<(Index, u16)>,
    /// What was said of a name may be otherwise.
    pub names: bool,
}

impl Changes {
    /// The socket comes, goes or changes: if it listens, who listens on its port may be another.
    fn relist(&mut self, socket: &Socket) {
        if socket.role == Role::Listening {
            self.listeners.insert((socket.host, socket.port));
        }
    }
}

impl State {
    /// `ephemeral`: the range from which the kernel takes source ports; lonet binds nothing of its own choice
    /// there. `owner`: whose sockets get in without a record.
    pub fn new(
        table: Box<dyn Tables>,
        owner: Option<u32>,
        refuser: SocketAddrV4,
        ephemeral: (u16, u16),
    ) -> State {
        // A table that nobody has begun has none, and no network.
        let block = table.table().block().unwrap_or(Block::first_choice(""));
        State {
            block,
            table,
            reserved: Vec::new(),
            records: FreeRecordCursor::default(),
            tombstones: VecDeque::new(),
            hosts: Hosts::default(),
            sockets: Map::default(),
            processes: BTreeMap::new(),
            by_tuple: Map::default(),
            by_os: Map::default(),
            couriers: Map::default(),
            retired: VecDeque::new(),
            unverified_sockets: None,
            os_ports: bind::OsPorts::new(ephemeral),
            refuser,
            owner,
            unverified: BTreeSet::new(),
            deferred: None,
            changes: Changes::default(),
            rules_before: None,
            noted: noted::Noted::default(),
        }
    }

    /// Takes a message of a program's. List, Wait, Down and Signal are the daemon's, not the state's.
    pub fn handle(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        caller: &Caller<'_>,
        op: &Op<'_>,
    ) -> Answer {
        if let Some(cookie) = op.socket() {
            self.take_over(cookie);
        }
        let answer = self.answer(kernel, sender, caller, op);
        self.give_up_reserved();
        if caller.options.closes_unseen {
            self.expect_unseen(sender.pid, op.socket());
        }
        answer
    }

    fn answer(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        caller: &Caller<'_>,
        op: &Op<'_>,
    ) -> Answer {
        let named = |found: Result<Named, (Errno, String)>| match found {
            Ok(host) => Answer::Host(host),
            Err((errno, text)) => Answer::Refuse(errno, text),
        };
        let outcome = match *op {
            Op::Join => self.join(kernel, sender, caller),
            Op::Bind { cookie, at, asked, attempt, past } => {
                self.bind(kernel, sender, caller, bind::BindRequest { cookie, asked, attempt }, (at, past))
            }
            Op::Bound { cookie, os } => {
                self.bound(kernel, cookie, os);
                Ok(Reply::Done)
            }
            Op::Listen { cookie, bound, asked, attempt } => {
                self.listen(kernel, sender, caller, bind::BindRequest { cookie, asked, attempt }, bound)
            }
            Op::Listening { cookie } => {
                self.listening(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Failed { cookie } => {
                self.failed(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Dial { cookie, to, local, asked, acts } => {
                self.dial(kernel, sender, caller, dial::Dial { cookie, to, local, asked, acts })
            }
            Op::Enter { dials, seat } => self.enter(kernel, sender, caller, (dials, seat)),
            Op::Look => {
                let default_host = self.hosts.find(caller.host.as_bytes()).map(|h| h.index);
                let own = self.processes.get(&sender.pid).and_then(|p| p.implicit_host);
                if let Some(host) = default_host.or(own) {
                    self.look(kernel, host);
                }
                Ok(Reply::Done)
            }
            Op::Dialed { cookie, from, errno } => {
                self.dialed(kernel, cookie, from, Errno::from_raw(errno));
                Ok(Reply::Done)
            }
            Op::Disconnected { cookie } => {
                self.dissolved(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Accept { listener, cookie, local, remote } => {
                self.accept(kernel, sender, accept::Accepted { listener, cookie, local, remote })
            }
            Op::Name { cookie, local, remote } => Ok(self.name(kernel, sender, cookie, local, remote)),
            Op::Set { cookie, reuse_address } => {
                let is_known = self.sockets.contains_key(&cookie);
                self.change(cookie, |s| s.asked.reuse_address = reuse_address);
                Ok(if is_known { Reply::Done } else { Reply::Native })
            }
            Op::Closed { cookie } => {
                self.closed(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Review => {
                self.review(kernel, sender.pid);
                Ok(Reply::Done)
            }
            Op::Resolve { name, strict } => {
                let strict = strict || caller.options.strict_names;
                return named(self.resolve_noted(kernel, sender, caller, (name, strict)));
            }
            Op::Reverse { ip } => match self.reverse(ip) {
                Some(found) => return named(found),
                None => Ok(Reply::Native),
            },
            Op::Locate { address } => self.locate(kernel, address),
            Op::Announce { share } => self.announce(kernel, sender, caller, share),
            Op::Leave => self.leave_by_name(kernel, sender, caller),
            Op::DialHost { cookie, host, port, asked } => {
                self.dial_host(kernel, sender, caller, (host, port), (cookie, asked))
            }
            Op::Whois { cookie, local, remote } => return self.whois(kernel, sender, cookie, local, remote),
        };
        outcome.into()
    }

    /// Nothing lives here: no process and no socket.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.hosts.all().all(|h| !h.is_up())
    }

    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The process is a member from now on.
    pub fn add_member(&mut self, kernel: &mut dyn Kernel, pid: Pid) -> &mut Process {
        let changes = &mut self.changes;
        let process = self.processes.entry(pid).or_insert_with(|| {
            changes.processes.insert(pid);
            Process { program: kernel.program(pid), ..Process::default() }
        });
        // What joined as `lonet run` is its program by the time it does anything.
        if process.program == "lonet" {
            process.program = kernel.program(pid);
        }
        process
    }

    /// What an address means, and whether it can be bound or dialed at all.
    fn place(&self, at: Endpoint) -> Place {
        self.block.place(at.ip)
    }
}
