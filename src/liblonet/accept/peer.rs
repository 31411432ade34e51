//! Who calls: what lonet's own records and the kernel say of the other end of a connection that was accepted.
//!
//! Nobody is let in because something could not be asked. The table names the callers from this network's hosts; whatever
//! else calls lonetd decides upon. Where neither answers, there is what the kernel says
//! alone: a live socket of the network owner's uid that does not speak from a host's address is a program of the owner's
//! outside the network. All others are reset, also those that could be named with an answer.

use super::courier;
use crate::address::Address;
use crate::ask::{Start, ask_keeping_connection, tell_to};
use crate::{actor, given, kernel, marks, name, process};
use libc::c_int;
use lonet_core::aside::aside;
use lonet_core::block::{Block, Place};
use lonet_core::classes::Classes;
use lonet_core::client::Client;
use lonet_core::control::{Op, Reply};
use lonet_core::diag::{self, Diag, Found, State};
use lonet_core::limit::Limit;
use lonet_core::uids;
use lonet_sockets::accept::{Accepted, Peer as RecordedPeer, identify};
use nix::errno::Errno;
use std::net::SocketAddrV4;

pub enum Peer {
    /// As lonet names it.
    Named(Address),
    /// A courier came in this one's place.
    Foreign(Address, courier::Connection),
    /// As the kernel does: no business of lonet's, or a program of the owner's outside the network.
    Native,
    /// Not for this listener, or it cannot be told.
    Rejected,
}

/// `new`: the descriptor that accept has given, for a caller at `caller`.
pub fn identify_peer(listener: c_int, new: c_int, address: &Address) -> Peer {
    let who = find_peer(listener, new, address);
    if !matches!(who, Peer::Native) {
        marks::set(listener);
    }
    who
}

fn find_peer(listener: c_int, new: c_int, address: &Address) -> Peer {
    let Some(remote) = address.os() else { return Peer::Native };
    let Some(local) = kernel::local(new) else { return Peer::Rejected };
    // An IPv4 caller of what is none.
    let Some(local) = local.os() else { return Peer::Native };
    let Some(client) = process::client_at(*local.ip()) else {
        // What the environment says makes no sense, so that nobody can be asked.
        let ours = process::is_active() && process::may_be_ours(local.ip().to_ipv6_mapped());
        return if ours { Peer::Rejected } else { Peer::Native };
    };
    let (Ok(cookie), Ok(accepted)) = (kernel::cookie(listener), kernel::cookie(new)) else {
        return Peer::Rejected;
    };
    marks::set(new);
    // For whom the stack itself calls is in no record.
    let stack = Block::new(local.ip().octets()[1]).map(Block::stack);
    if stack != Some(*remote.ip())
        && let Some(actor) = actor::actor(&client, false)
        && let RecordedPeer::Dialer { local: at, name, is_last } =
            identify(&actor, &Accepted { listener: cookie, cookie: accepted, fd: new, local, remote })
    {
        if is_last {
            tell_to(Limit::NONE, &client, &Op::Closed { cookie: accepted });
        }
        given::is_used(at);
        return Peer::Named(Address::of(name, address.family()));
    }
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::IfKilled };
    match ask_keeping_connection(
        Limit::NONE,
        &client,
        &Op::Accept { listener: cookie, cookie: accepted, local, remote },
        start,
    ) {
        Ok((_, Reply::Accepted { local, peer })) => {
            given::is_used(local);
            Peer::Named(Address::of(peer, address.family()))
        }
        Ok((Some(control), Reply::Courier { peer, buffers })) => {
            if !given::is_empty() {
                name::named(listener).local.into_iter().for_each(given::is_used);
            }
            let connection = courier::Connection::new(control, buffers);
            Peer::Foreign(Address::of(peer, address.family()), connection)
        }
        Ok((_, Reply::Native)) => Peer::Native,
        Ok(_) => Peer::Rejected,
        Err(_) => {
            let ends = Ends { local, remote };
            let socket = ends.look_or_aside(new).unwrap_or_else(|_| ends.in_proc());
            // A connection that was reset while it waited has left its addresses to others: who is there now has not called.
            let is_whole = kernel::remote(new).is_some();
            let is_outsider = socket.is_some_and(|found| ends.is_outsider_of(&client, &found, new));
            if is_outsider && is_whole && !is_on_loopback(cookie) { Peer::Native } else { Peer::Rejected }
        }
    }
}

/// Whether a listener is there for its own host alone. Not inlined: the caller's frame would have room for what this reads,
/// and may be one of many on a small stack.
#[cold]
#[inline(never)]
fn is_on_loopback(listener: u64) -> bool {
    let parts = actor::mapped();
    parts
        .and_then(|parts| Some(parts.find(listener)?.entry.classes(parts.block)))
        .is_some_and(Classes::is_loopback)
}

/// The kernel's addresses of a connection that was accepted.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddrV4,
    remote: SocketAddrV4,
}

impl Ends {
    /// The caller's socket, if the kernel knows it. Where no descriptor is left a child looks, in which what was accepted
    /// gives way: `new`.
    fn look_or_aside(&self, new: c_int) -> Result<Option<Found>, Errno> {
        match self.look() {
            Err(Errno::EMFILE) => aside(new, || self.look())?,
            seen => seen,
        }
    }

    fn look(&self) -> Result<Option<Found>, Errno> {
        let socket = Diag::open().and_then(|diag| diag.lookup(self.remote, self.local));
        socket.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// The caller's socket as /proc has it, for where the kernel's other way is closed.
    #[cold]
    fn in_proc(&self) -> Option<Found> {
        let (mut socket, mut several) = (None, false);
        let read = diag::proc_dump(&mut |found| {
            if (found.local, found.remote) == (self.remote, self.local) {
                several |= socket.replace(found).is_some();
            }
        });
        socket.filter(|_| read.is_ok() && !several)
    }

    /// Whether the caller is a program of the owner's outside the network: it is alive, so that its uid is its own. A host's
    /// address is for those that lonet has a record of. In a user namespace where not each user has a number of its own the
    /// owner's may be another's. `new`: as in `look_or_aside`.
    fn is_outsider_of(&self, client: &Client, found: &Found, new: c_int) -> bool {
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
    uids::all_have_numbers().or_else(|| aside(new, uids::all_have_numbers).ok()?)
}
