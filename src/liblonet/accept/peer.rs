//! Identification of the peer of an accepted connection, from lonet's records and the kernel's.
//!
//! A failed request lets nobody in. The table names peers that are hosts of this network; lonetd decides
//! about all others. Where both fail, only the kernel's information is left: a live socket of the network
//! owner's uid that is not bound to a host's address belongs to a program of the owner outside the network.
//! All other connections are reset, including those that a reply would have named.

use super::courier;
use crate::address::Address;
use crate::ask::{Start, ask_keeping_connection, tell_to};
use crate::{actor, autobound, descriptor_hints, kernel, name, process, table_map};
use libc::c_int;
use lonet_core::block::{Block, Place};
use lonet_core::child::run_in_child;
use lonet_core::client::Client;
use lonet_core::control::{Op, Reply};
use lonet_core::diag::{self, Diag, Loan, SocketInfo, State};
use lonet_core::limit::Limit;
use lonet_core::scopes::Scopes;
use lonet_core::uids;
use lonet_sockets::accept::{Accepted, Peer as RecordedPeer, identify};
use nix::errno::Errno;
use std::net::SocketAddrV4;

pub enum Peer {
    /// Has this lonet address.
    Named(Address),
    /// A foreign peer with this address, for which lonetd sent a courier.
    Foreign(Address, courier::Connection),
    /// Keeps the kernel's address: not lonet's, or a program of the owner outside the network.
    Native,
    /// Not meant for this listener, or not identifiable.
    Rejected,
}

/// Identifies the peer of an accepted connection. `new`: the descriptor from accept; `address`: the kernel's
/// address of the peer; `limit`: that of the program's call, for all peers that it rejects.
pub fn identify_peer(listener: c_int, new: c_int, address: &Address, limit: &mut Limit) -> Peer {
    let who = find_peer(listener, new, address, limit);
    if !matches!(who, Peer::Native) {
        descriptor_hints::set(listener);
    }
    who
}

fn find_peer(listener: c_int, new: c_int, address: &Address, limit: &mut Limit) -> Peer {
    let Some(remote) = address.os() else { return Peer::Native };
    let Some(local) = kernel::local(new) else { return Peer::Rejected };
    // An IPv4 peer on a socket that has no IPv4 address.
    let Some(local) = local.os() else { return Peer::Native };
    let Some(client) = process::client_at(*local.ip()) else {
        // The environment is invalid, so no lonetd can be asked.
        let ours = process::is_active() && process::may_be_ours(local.ip().to_ipv6_mapped());
        return if ours { Peer::Rejected } else { Peer::Native };
    };
    let (Ok(cookie), Ok(accepted)) = (kernel::cookie(listener), kernel::cookie(new)) else {
        return Peer::Rejected;
    };
    descriptor_hints::set(new);
    // lonetd dials on behalf of others from the stack's own address; these connections have no record.
    let stack = Block::new(local.ip().octets()[1]).map(Block::stack);
    if stack != Some(*remote.ip())
        && let Some(actor) = actor::actor(&client, false, limit)
        && let RecordedPeer::Dialer { local: at, name, is_last } =
            identify(&actor, &Accepted { listener: cookie, cookie: accepted, fd: new, local, remote })
    {
        if is_last {
            tell_to(*limit, &client, &Op::Closed { cookie: accepted });
        }
        autobound::record_use(at);
        return Peer::Named(Address::of(name, address.family()));
    }
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::IfKilled };
    match ask_keeping_connection(
        limit,
        &client,
        &Op::Accept { listener: cookie, cookie: accepted, local, remote },
        start,
    ) {
        Ok((_, Reply::Accepted { local, peer })) => {
            autobound::record_use(local);
            Peer::Named(Address::of(peer, address.family()))
        }
        Ok((Some(control), Reply::Courier { peer, receive_buffer, send_buffer })) => {
            if !autobound::is_empty() {
                name::named(listener, limit).local.into_iter().for_each(autobound::record_use);
            }
            let connection = courier::Connection::new(control, [receive_buffer, send_buffer]);
            Peer::Foreign(Address::of(peer, address.family()), connection)
        }
        Ok((_, Reply::Native)) => Peer::Native,
        Ok(_) => Peer::Rejected,
        Err(_) => {
            let ends = Ends { local, remote };
            let socket = ends.look_or_aside(new).unwrap_or_else(|_| ends.in_proc());
            // A connection that was reset while it waited has released its address: the socket that has it
            // now is not the peer.
            let is_whole = kernel::remote(new).is_some();
            let is_outsider = socket.is_some_and(|found| ends.is_outsider_of(&client, &found, new));
            if is_outsider && is_whole && !is_on_loopback(cookie) { Peer::Native } else { Peer::Rejected }
        }
    }
}

/// Whether a listener is on its host's loopback only. Not inlined: what this reads would enlarge the frame of
/// its caller, which may be one of many on a small stack.
#[cold]
#[inline(never)]
fn is_on_loopback(listener: u64) -> bool {
    let parts = table_map::parts();
    parts
        .and_then(|parts| Some(parts.find(listener)?.entry.scopes(parts.block)))
        .is_some_and(Scopes::is_loopback)
}

/// The kernel's addresses of an accepted connection.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddrV4,
    remote: SocketAddrV4,
}

impl Ends {
    /// The peer's socket, if the kernel knows it. With no descriptor left a child process looks it up, and
    /// closes its copy of `new` for it.
    fn look_or_aside(&self, new: c_int) -> Result<Option<SocketInfo>, Errno> {
        let look = |diag: &Diag| diag.lookup(self.remote, self.local);
        let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        match Loan::open().and_then(|mut loan| loan.ask(look)).map_err(errno) {
            Err(Errno::EMFILE) => {
                run_in_child(new, || Diag::open().and_then(|diag| look(&diag)).map_err(errno))?
            }
            seen => seen,
        }
    }

    /// The peer's socket according to /proc, where netlink is not available.
    #[cold]
    fn in_proc(&self) -> Option<SocketInfo> {
        let (mut socket, mut several) = (None, false);
        let read = diag::proc_dump(&mut |found| {
            if (found.local, found.remote) == (self.remote, self.local) {
                several |= socket.replace(found).is_some();
            }
        });
        socket.filter(|_| read.is_ok() && !several)
    }

    /// Whether the peer is a program of the owner outside the network. Its socket must be alive, as only then
    /// its uid is its own. A host's address belongs to sockets that lonet has a record of. In a user
    /// namespace in which not each user has a uid of its own, the owner's uid may be another user's. `new`:
    /// as in `look_or_aside`.
    fn is_outsider_of(&self, client: &Client, found: &SocketInfo, new: c_int) -> bool {
        let is_over = matches!(found.state, State::TIME_WAIT | State::CLOSE | State::SYN_RECV);
        let block = Block::new(self.local.ip().octets()[1]);
        let is_hosts =
            block.is_none_or(|b| matches!(b.place(self.remote.ip().to_ipv6_mapped()), Place::Host(..)));
        found.uid == client.owner()
            && found.inode != 0
            && !is_over
            && !is_hosts
            && all_have_numbers(new) == Some(true)
    }
}

fn all_have_numbers(new: c_int) -> Option<bool> {
    uids::all_have_numbers().or_else(|| run_in_child(new, uids::all_have_numbers).ok()?)
}
