//! Who calls: what lonet's own records and the kernel say of the other end of a connection that was accepted.
//!
//! Nobody is let in because something could not be asked. The view names the callers that lonetd knows, once the kernel
//! has told the caller's cookie; whatever else calls lonetd decides upon. Where neither answers, there is what the kernel says
//! alone: a live socket of the network owner's uid that does not speak from a host's address is a program of the owner's
//! outside the network. All others are reset, also those that could be named with an answer.

use super::courier;
use crate::address::Address;
use crate::ask::{Start, ask_for_more, tell_to};
use crate::{kernel, marks, process};
use libc::c_int;
use lonet_core::aside::aside;
use lonet_core::block::{Block, Endpoint, Place};
use lonet_core::client::Client;
use lonet_core::control::{Op, Reply};
use lonet_core::diag::{self, Diag, Found, State};
use lonet_core::limit::Limit;
use lonet_core::uids;
use lonet_core::view::View;
use nix::errno::Errno;
use std::net::SocketAddrV4;
use std::time::Duration;

pub enum Caller {
    /// As lonet names it.
    Named(Address),
    /// A courier came in this one's place.
    Foreign(Address, courier::Connection),
    /// As the kernel does: no business of lonet's, or a program of the owner's outside the network.
    Kernels,
    /// Not for this listener, or it cannot be told.
    Unwanted,
}

/// `new`: the descriptor that accept has given, for a caller at `caller`.
pub fn who_calls(listener: c_int, new: c_int, caller: &Address) -> Caller {
    let who = ask_who_calls(listener, new, caller);
    if !matches!(who, Caller::Kernels) {
        marks::set(listener);
    }
    who
}

fn ask_who_calls(listener: c_int, new: c_int, caller: &Address) -> Caller {
    let Some(remote) = caller.os() else { return Caller::Kernels };
    let Some(local) = kernel::local(new) else { return Caller::Unwanted };
    // An IPv4 caller of what is none.
    let Some(local) = local.os() else { return Caller::Kernels };
    let Some(client) = process::client_at(*local.ip()) else {
        // What the environment says makes no sense, so that nobody can be asked.
        let ours = process::is_active() && process::may_be_ours(local.ip().to_ipv6_mapped());
        return if ours { Caller::Unwanted } else { Caller::Kernels };
    };
    let (Ok(cookie), Ok(accepted)) = (kernel::cookie(listener), kernel::cookie(new)) else {
        return Caller::Unwanted;
    };
    marks::set(new);
    let ends = Ends { listener: cookie, local, remote };
    // For whom the stack itself calls is not in the view.
    let stack = Block::new(local.ip().octets()[1]).map(Block::stack);
    let view = process::view(&client).filter(|_| stack != Some(*remote.ip()));
    let seen = view.map(|view| ends.look_or_aside(Some(view), new));
    // A connection that was reset while it waited has left its addresses to others: who is there now has not called.
    let is_whole = || kernel::remote(new).is_some();
    if let Some(Ok(Seen { caller: Some(found), named: Some(peer) })) = seen
        && is_whole()
    {
        let op = Op::Took { listener: cookie, cookie: accepted, caller: found.cookie, local, remote };
        tell_to(Limit::NONE, &client, &op);
        return Caller::Named(Address::of(peer, caller.family()));
    }
    let start = if process::is_certain(local.ip().to_ipv6_mapped()) { Start::Yes } else { Start::IfKilled };
    match ask_for_more(
        Limit::NONE,
        &client,
        &Op::Accept { listener: cookie, cookie: accepted, local, remote },
        start,
    ) {
        Ok((_, Reply::Accepted { peer, .. })) => Caller::Named(Address::of(peer, caller.family())),
        Ok((Some(control), Reply::Courier { peer, buffers })) => {
            let connection = courier::Connection::new(control, buffers);
            Caller::Foreign(Address::of(peer, caller.family()), connection)
        }
        Ok((_, Reply::Native)) => Caller::Kernels,
        Ok(_) => Caller::Unwanted,
        Err(_) => {
            let seen = seen.unwrap_or_else(|| ends.look_or_aside(None, new));
            let caller = seen.map_or_else(|_| ends.in_proc(), |seen| seen.caller);
            if caller.is_some_and(|found| ends.is_outsider_of(&client, &found, new)) && is_whole() {
                Caller::Kernels
            } else {
                Caller::Unwanted
            }
        }
    }
}

/// How long lonetd may take to enter a dial before it is asked who calls.
const PATIENCE: Duration = Duration::from_micros(300);

/// Where a connection was accepted.
#[derive(Clone, Copy)]
struct Ends {
    /// The listener's cookie.
    listener: u64,
    local: SocketAddrV4,
    remote: SocketAddrV4,
}

/// What is to be seen of a caller.
#[derive(Clone, Copy)]
struct Seen {
    /// Its socket, if the kernel knows it.
    caller: Option<Found>,
    /// What it is called, if the view says that it dialed this listener. Otherwise lonetd decides.
    named: Option<Endpoint>,
}

impl Ends {
    /// As `look`. Where no descriptor is left a child looks, in which what was accepted gives way: `new`.
    fn look_or_aside(&self, view: Option<View<'_>>, new: c_int) -> Result<Seen, Errno> {
        match self.look(view) {
            Err(Errno::EMFILE) => aside(new, || self.look(view))?,
            seen => seen,
        }
    }

    /// Asks the kernel for the caller's socket, and the view for its name.
    ///
    /// A caller from a host's address has told of its dial before it set out: what lonetd makes of it is about to be there.
    fn look(&self, view: Option<View<'_>>) -> Result<Seen, Errno> {
        let Ends { listener, local, remote } = *self;
        let caller = Diag::open().and_then(|diag| diag.lookup(remote, local));
        let caller = caller.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
        let named = || {
            let (view, found) = (view?, caller?);
            let listener = view.find(listener).filter(|e| e.is_listener)?;
            let is_to_come = found.inode != 0 && local.ip().octets()[1] == remote.ip().octets()[1];
            let dial = match is_to_come {
                true => view.await_dial(found.cookie, PATIENCE),
                false => view.find(found.cookie).filter(|e| e.is_dial),
            }?;
            let meant = dial.os_remote == local
                && dial.dialed_port == listener.local?.port
                && dial.class & listener.class != 0;
            dial.local.filter(|_| meant)
        };
        Ok(Seen { caller, named: named() })
    }

    /// The caller's socket as /proc has it, for where the kernel's other way is closed.
    #[cold]
    fn in_proc(&self) -> Option<Found> {
        let (mut caller, mut several) = (None, false);
        let read = diag::proc_dump(&mut |found| {
            if (found.local, found.remote) == (self.remote, self.local) {
                several |= caller.replace(found).is_some();
            }
        });
        caller.filter(|_| read.is_ok() && !several)
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
