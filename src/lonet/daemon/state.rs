//! The state of a network, as a pure state machine: a message or an event goes in, a reply comes out.
//!
//! It has two indexes: sockets by cookie, and ports by host. A socket's record has what its program requested
//! and what lonetd answered; whether the socket is alive only the kernel knows: [`Kernel`] is asked, by a
//! rule for each [`Role`]. If the kernel cannot be asked, the socket counts as alive. Sockets that processes
//! enter in the table by themselves are in [`entered`]. Every change is written to the table before a reply
//! is sent. The machine does no I/O of its own and reads no clock.

mod accept;
mod address_index;
mod api;
mod autobind;
mod bind;
mod dial;
mod ends;
mod entered;
mod events;
mod fault_events;
mod faults;
mod foreign_hosts;
mod hosts;
mod kernel;
mod life;
mod permission;
mod ports;
mod processes;
mod reply;
mod restore;
mod save;
mod show;
mod slots;
#[cfg(test)]
mod tests;
mod unverified;

pub use entered::Tables;
pub use events::{Connected, EventTexts};
pub use faults::End;
pub use foreign_hosts::{Arrival, Incoming, Outgoing, RegistryQuery, cannot_tell};
pub use hosts::{By, Host, Hosts};
pub use kernel::{ConnectedSocket, Kernel, UnconnectedState};
pub use lonet_core::scopes::Scopes;
pub use lonet_core::table::entry::Call;
pub use processes::Process;
pub use reply::{Named, StateReply};
pub use restore::{KernelSocket, Saved};
pub use show::{HostShown, NetworkShown, SocketShown};

use address_index::AddressIndex;
use lonet_core::block::{Block, Endpoint, Place};
use lonet_core::control::{Asked, Op, Reply, Requester};
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

/// A map whose keys are numbers that the kernel chose: nobody can choose them so that they collide.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The state of a socket, as far as lonetd has been notified. In every state but `Gone` it holds its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// bind was allowed, and is not done yet. Operations: Bind again (next attempt), Bound, Failed. Alive:
    /// while its process is alive and holds the socket, as the kernel does not list it yet; after that, by
    /// what the kernel has (see `permission`).
    Claimed,
    /// Bound, neither listening nor connected. Operations: Listen, Dial. Alive: while the kernel lists it
    /// among the bound sockets (kernel 6.8 and later; otherwise while something holds its OS address).
    Bound,
    /// listen was allowed, and is not done yet. Alive: as `Claimed`.
    Starting,
    /// Listening. Operations: Listen again (another backlog), being dialed, Accept. Alive: while the kernel
    /// finds a listener with its cookie; bound but no longer listening (shutdown) makes it `Bound`.
    Listening,
    /// A dial was allowed, and connect has not returned. Its source port is unknown, unless accept at the
    /// other end has reported it. Operations: Dial again (the same reply), Dialed. Alive: while its process
    /// is alive, and as `Connected` if the source port is known: a thread may leave connect by cancellation.
    Dialing,
    /// connect has returned: the socket is connected, or about to be. Alive: while the kernel finds the
    /// connection under its cookie and some descriptor holds it; a socket that its program had bound becomes
    /// `Bound` again.
    Connected,
    /// Accepted. Alive: as `Connected`.
    Accepted,
    /// Dead, or without a port: a tombstone. It is kept for a while so that accept can name a dialer that has
    /// gone, and getsockname a socket whose connection has ended. Operations: Name; Listen and Dial anew.
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

// The roles of entered sockets have the same numbers for the lonetd that takes one over and for the next
// lonetd.
const _: () = assert!(Role::Dialing as u8 == entry::DIAL && Role::Accepted as u8 == entry::ACCEPTED);
// Programs recognise a tombstone by this number.
const _: () = assert!(Role::Gone as u8 == entry::TOMBSTONE);

#[derive(Clone, Debug)]
pub struct Socket {
    pub host: Index,
    pub port: u16,
    pub role: Role,
    /// The process that was last allowed to do something with it.
    pub pid: Pid,
    pub asked: Asked,
    /// The address that the program bound it to, with the port that it got. `None`: connect chose it.
    pub at: Option<Endpoint>,
    /// The kernel's local address, if the program bound the socket.
    pub os: Option<SocketAddrV4>,
    pub call: Option<Call>,
    /// accept has found this dial: no other accept will look for it.
    pub taken: bool,
    /// The port that this dial holds on the accepting host, if accepted connections of that host take fresh
    /// ports.
    pub accept_port: Option<u16>,
    /// The name of the program that bound or dialed it, if that process has ended and others hold the socket.
    pub made_by: Option<Box<str>>,
    /// The kernel has announced that it is destroyed.
    pub destroyed: bool,
    /// The network's listen count at the time when this socket was last allowed to dial, or began to listen.
    pub since: u64,
}

/// The sender of a message, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub pid: Pid,
    pub uid: u32,
}

/// The reply to a message; or a refusal: errno for the program, text for people.
pub type Outcome = Result<Reply<'static>, (Errno, String)>;

pub struct State {
    pub block: Block,
    table: Box<dyn Tables>,
    /// Ports that were found free while the current message is handled.
    reserved: Vec<(Index, u16)>,
    records: FreeRecordCursor,
    /// Entered dials that have ended and that an accept may still look for, oldest first.
    tombstones: VecDeque<Reference>,
    pub hosts: Hosts,
    pub sockets: Map<Cookie, Socket>,
    pub processes: BTreeMap<Pid, Process>,
    addresses: AddressIndex,
    /// The connection that a courier stands for, by the courier's source address and its listener.
    couriers: Map<(SocketAddrV4, SocketAddrV4), Cookie>,
    /// Tombstones of `sockets`, oldest first, with the time of death.
    retired: VecDeque<(Duration, Cookie)>,
    /// Sockets for which the previous lonetd gave a permission and that the kernel does not show yet, and the
    /// time until which they may still appear.
    unverified_sockets: Option<(Duration, Vec<Cookie>)>,
    os_ports: bind::OsPorts,
    /// The address to which dials without a listener are directed: of a socket that is bound and does not
    /// listen.
    refuser: SocketAddrV4,
    /// The owner's uid. `None`: uids do not tell users apart, so the owner of a socket is unknown.
    owner: Option<u32>,
    /// Hosts that count as up until it is known whether a process of theirs is left.
    unverified: BTreeSet<Index>,
    /// While messages are handled that had all been sent before the first of them was: the ports whose holders
    /// have been examined meanwhile. The result is newer than each of the messages.
    examined: Option<BTreeSet<(Index, u16)>>,
    /// The searches that are put off while many sockets or processes end at once.
    deferred: Option<ends::Deferred>,
    /// The dirty set: what has changed since the last [`State::take_changes`].
    changes: Changes,
    /// The fault rules from before a dial made one of them take effect.
    rules_before: Option<Vec<Rule>>,
    event_notes: events::EventNotes,
}

/// The dirty set: keys of what has changed, for [`State::save`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub sockets: BTreeSet<Cookie>,
    pub hosts: BTreeSet<Index>,
    pub processes: BTreeSet<Pid>,
    /// Ports whose listener may have changed.
    pub listeners: BTreeSet<(Index, u16)>,
    /// Answers about names that programs have cached may be out of date.
    pub names: bool,
}

impl Changes {
    /// Marks the port of a listening socket that is added, removed or changed: its listener may be another
    /// one now.
    fn relist(&mut self, socket: &Socket) {
        if socket.role == Role::Listening {
            self.listeners.insert((socket.host, socket.port));
        }
    }
}

impl State {
    /// `ephemeral`: the kernel's range of source ports; lonet chooses no port there. `owner`: the uid whose
    /// sockets are let in without a record.
    pub fn new(
        table: Box<dyn Tables>,
        owner: Option<u32>,
        refuser: SocketAddrV4,
        ephemeral: (u16, u16),
    ) -> State {
        // A new table has no block, and so no network.
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
            addresses: AddressIndex::default(),
            couriers: Map::default(),
            retired: VecDeque::new(),
            unverified_sockets: None,
            os_ports: bind::OsPorts::new(ephemeral),
            refuser,
            owner,
            unverified: BTreeSet::new(),
            examined: None,
            deferred: None,
            changes: Changes::default(),
            rules_before: None,
            event_notes: events::EventNotes::default(),
        }
    }

    /// Handles a program's message. The daemon handles each `NetworkOp` by itself.
    pub fn handle(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        op: &Op<'_>,
    ) -> StateReply {
        if let Some(cookie) = op.socket() {
            self.take_over(cookie);
        }
        let reply = self.dispatch(kernel, sender, requester, op);
        self.give_up_reserved();
        if requester.options.closes_unseen {
            self.expect_unseen(sender.pid, op.socket());
        }
        reply
    }

    fn dispatch(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        op: &Op<'_>,
    ) -> StateReply {
        let named = |found: Result<Named, (Errno, String)>| match found {
            Ok(host) => StateReply::Host(host),
            Err((errno, text)) => StateReply::Refuse(errno, text),
        };
        let outcome = match *op {
            Op::Join { supervises } => self.join(kernel, sender, requester, supervises),
            Op::Supervise => self.supervise(kernel, sender, requester),
            Op::Bind { cookie, at, asked, attempt, past } => {
                self.bind(kernel, sender, requester, bind::BindRequest { cookie, asked, attempt }, (at, past))
            }
            Op::Bound { cookie, os } => {
                self.bound(kernel, cookie, os);
                Ok(Reply::Done)
            }
            Op::Listen { cookie, bound, asked, attempt } => {
                self.listen(kernel, sender, requester, bind::BindRequest { cookie, asked, attempt }, bound)
            }
            Op::Listening { cookie } => {
                self.listening(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Failed { cookie } => {
                self.failed(kernel, cookie);
                Ok(Reply::Done)
            }
            Op::Dial { cookie, to, local, asked, acts, unaware } => {
                let dial = dial::Dial { cookie, to, local, asked, acts, unaware };
                self.dial(kernel, sender, requester, dial)
            }
            Op::Enter { dials, seat } => self.enter(kernel, sender, requester, (dials, seat)),
            Op::Look => {
                let default_host = self.hosts.find(requester.host.as_bytes()).map(|h| h.index);
                let own = self.processes.get(&sender.pid).and_then(|p| p.implicit_host);
                if let Some(host) = default_host.or(own) {
                    kernel.batch(Some((self.block.address(host), 32)));
                    self.look(kernel, host);
                    kernel.batch(None);
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
                let strict = strict || requester.options.strict_names;
                return named(self.resolve_recorded(kernel, sender, requester, (name, strict)));
            }
            Op::Reverse { ip } => match self.reverse(ip) {
                Some(found) => return named(found),
                None => Ok(Reply::Native),
            },
            Op::Locate { address } => self.locate(kernel, address),
            Op::Announce { share } => self.announce(kernel, sender, requester, share),
            Op::Leave => self.leave_by_name(kernel, sender, requester),
            Op::DialHost { cookie, host, port, asked } => {
                self.dial_host(kernel, sender, requester, (host, port), (cookie, asked))
            }
            Op::Whois { cookie, local, remote } => return self.whois(kernel, sender, cookie, local, remote),
        };
        outcome.into()
    }

    /// Whether the network has no process and no socket.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.hosts.all().all(|h| !h.is_up())
    }

    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The meaning of an address: whose it is, and whether it can be bound or dialed at all.
    fn place(&self, at: Endpoint) -> Place {
        self.block.place(at.ip)
    }
}
