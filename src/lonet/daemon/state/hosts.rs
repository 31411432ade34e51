//! The hosts of a network: their names, their indexes, and what keeps them up.
//!
//! A name keeps its index for as long as the network runs, also while its host is down: addresses that
//! programs have stored (a cluster's table of nodes) stay true when the host comes back, and the next index
//! never depends on how fast the end of a host was noticed.

use super::ports::PortHolders;
use super::{Index, Kernel, Named, Outcome, Pid, Scopes, Sender, State};
use crate::daemon::host_names;
use lonet_core::address::Address;
use lonet_core::block::{Face, MAX_INDEX, Place};
use lonet_core::control::{Reply, Requester};
use lonet_core::table::saved::SavedHost;
use nix::errno::Errno;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Host {
    /// As its owner spelled it, or as it was first mentioned.
    pub name: String,
    pub index: Index,
    pub ports: PortHolders,
    /// The processes that keep it up.
    pub members: BTreeSet<Pid>,
    /// When its last process has left it, by [`Kernel::now`]; 0: none has.
    pub left: Duration,
    /// Accepted connections take the lowest free port instead of their listener's.
    pub fresh_accept_ports: bool,
    /// How many living sockets its processes have entered in the table; counted while it has no members.
    pub entered: usize,
    /// Its last known process has ended, and may have left children.
    pub is_unverified: bool,
    /// The OS address at which it is dialed in another subnetwork. It has no meaning while the host is up
    /// here.
    pub foreign: Option<SocketAddrV4>,
}

impl Host {
    /// Whether some process or socket of it is alive, or may be.
    pub fn is_up(&self) -> bool {
        self.is_used() || self.is_unverified
    }

    /// Whether some process or socket of it is known.
    fn is_used(&self) -> bool {
        !self.members.is_empty() || !self.ports.is_empty() || self.entered > 0
    }
}

/// Hosts by index, and by the keys of their names ([`host_names::fold`]).
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    all: Vec<Host>,
    by_key: HashMap<String, Index>,
    /// By names as they were spelled: folding one takes longer than all else that is done for a message.
    by_name: HashMap<String, Index>,
    /// Hosts that may have come up or gone down since [`Hosts::take_touched`].
    touched: BTreeSet<Index>,
    /// Counts the calls of [`Hosts::touch`].
    touches: u64,
}

impl Hosts {
    pub fn all(&self) -> impl Iterator<Item = &Host> {
        self.all.iter()
    }

    pub fn get(&self, index: Index) -> Option<&Host> {
        self.all.get(usize::from(index).checked_sub(1)?)
    }

    pub fn get_mut(&mut self, index: Index) -> Option<&mut Host> {
        self.touch(index);
        self.all.get_mut(usize::from(index).checked_sub(1)?)
    }

    pub fn find(&self, name: &[u8]) -> Option<&Host> {
        let given = std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name));
        self.get(*given.or_else(|| self.by_key.get(&host_names::fold(name)?))?)
    }

    /// Like [`Hosts::find`], also for foreign hosts whose names resolvers cannot carry.
    pub fn find_any(&self, name: &str) -> Option<&Host> {
        let key = host_names::fold(name.as_bytes()).unwrap_or_else(|| Hosts::odd_key(name.as_bytes()));
        self.get(*self.by_key.get(&key)?)
    }

    /// Restores a host of the previous lonetd; indexes come in ascending order, without gaps.
    pub(super) fn restore(&mut self, saved: &SavedHost) {
        let (index, name) = (saved.index, saved.name.as_str());
        // A foreign host's name may be invalid for resolvers.
        let entered = self.enter(name).or_else(|| self.enter_odd(&index.to_le_bytes(), name));
        if entered == Some(index)
            && let Some(host) = self.get_mut(index)
        {
            (host.fresh_accept_ports, host.left) = (saved.fresh_accept_ports, saved.left);
        }
    }

    /// The hosts that may have come up or gone down since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<Index> {
        std::mem::take(&mut self.touched)
    }

    pub fn touch(&mut self, index: Index) {
        self.touched.insert(index);
        self.touches += 1;
    }

    /// A counter: while it does not change, no host comes up or goes down.
    pub fn touches(&self) -> u64 {
        self.touches
    }

    /// Forgets that the hosts at these addresses are foreign.
    pub fn forget_foreign(&mut self, at: impl Fn(SocketAddrV4) -> bool) {
        for host in &mut self.all {
            if host.foreign.is_some_and(&at) {
                host.foreign = None;
            }
        }
    }

    /// The host of this name, which is made if there is none. `None`: the name is invalid, or no index is
    /// left.
    pub(super) fn enter(&mut self, name: &str) -> Option<Index> {
        let index = self.enter_key(host_names::fold(name.as_bytes())?, name)?;
        self.by_name.insert(name.to_owned(), index);
        Some(index)
    }

    /// Enters a foreign host whose name is invalid for resolvers, by its bytes.
    pub(super) fn enter_odd(&mut self, name: &[u8], shown: &str) -> Option<Index> {
        self.enter_key(Hosts::odd_key(name), shown)
    }

    /// The key of an invalid name. No folded name begins with NUL: folding removes invisible characters.
    fn odd_key(name: &[u8]) -> String {
        format!("\0{}", lonet_core::quote::quote(name))
    }

    /// The number of hosts, up or not.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn enter_key(&mut self, key: String, name: &str) -> Option<Index> {
        if let Some(index) = self.by_key.get(&key) {
            return Some(*index);
        }
        let index = Index::try_from(self.all.len() + 1).ok().filter(|i| *i <= MAX_INDEX)?;
        self.by_key.insert(key, index);
        self.all.push(Host {
            name: name.to_owned(),
            index,
            ports: PortHolders::default(),
            members: BTreeSet::new(),
            left: Duration::ZERO,
            fresh_accept_ports: false,
            entered: 0,
            is_unverified: false,
            foreign: None,
        });
        Some(index)
    }
}

/// The programs that are to reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// Programs of this host; of any other host if it is empty. A host's loopback is reached by its own
    /// programs alone.
    Host(&'a str),
    /// Any program that can reach it: of another host, or of the listener's own.
    Anybody,
}

const NO_INDEX: &str = "the network has no address left for another host";

impl State {
    /// The process's default host, from LONET_HOST, which is up from now on.
    pub(super) fn default_host(
        &mut self,
        kernel: &mut dyn Kernel,
        pid: Pid,
        requester: &Requester<'_>,
    ) -> Result<Index, (Errno, String)> {
        // Most senders keep their host up already.
        let is_home = |index: &Index| self.hosts.get(*index).is_some_and(|h| h.name == requester.host);
        if let Some(index) = self.processes.get(&pid).and_then(|p| p.hosts.iter().copied().find(is_home)) {
            return Ok(index);
        }
        host_names::check(requester.host).map_err(|text| (Errno::EINVAL, text))?;
        let index = self.enter_named(requester.host)?;
        self.begin(index, requester.options.fresh_accept_ports);
        self.join_host(kernel, pid, index);
        Ok(index)
    }

    /// The process's host: the default host from LONET_HOST, or an implicit one named after its program.
    pub(super) fn default_or_implicit_host(
        &mut self,
        kernel: &mut dyn Kernel,
        pid: Pid,
        requester: &Requester<'_>,
    ) -> Result<Index, (Errno, String)> {
        if !requester.host.is_empty() {
            return self.default_host(kernel, pid, requester);
        }
        let process = self.add_member(kernel, pid);
        if let Some(own) = process.implicit_host {
            return Ok(own);
        }
        // The name is read again: a process that joined as `lonet run` has executed its program by now.
        let base = host_names::from_program(kernel.program(pid).as_bytes());
        let free =
            |name: &str| self.hosts.find(name.as_bytes()).is_none_or(|h| !h.is_up() && h.foreign.is_none());
        let name = std::iter::once(base.clone())
            .chain((2..=u32::from(MAX_INDEX)).map(|n| format!("{base}-{n}")))
            .find(|name| free(name))
            .ok_or((Errno::EADDRNOTAVAIL, NO_INDEX.to_owned()))?;
        let index = self.enter_named(&name)?;
        self.begin(index, requester.options.fresh_accept_ports);
        self.join_host(kernel, pid, index);
        self.add_member(kernel, pid).implicit_host = Some(index);
        Ok(index)
    }

    /// Brings a host up. The process that does so decides how the host accepts.
    fn begin(&mut self, index: Index, fresh_accept_ports: bool) {
        if let Some(host) = self.hosts.get_mut(index).filter(|h| !h.is_up()) {
            host.fresh_accept_ports = fresh_accept_ports;
            self.changes.hosts.insert(index);
            self.parts().ports.set_unseen(index, false);
        }
    }

    pub(super) fn enter_named(&mut self, name: &str) -> Result<Index, (Errno, String)> {
        if let Some(host) = self.hosts.find(name.as_bytes())
            && (host.is_used() || host.name == name)
        {
            return Ok(host.index);
        }
        let index = self.hosts.enter(name).ok_or((Errno::EADDRNOTAVAIL, NO_INDEX.to_owned()))?;
        // A host that was only mentioned, perhaps in its xn-- form, gets the spelling of its owner.
        if let Some(host) = self.hosts.get_mut(index)
            && !host.is_used()
            && host.name != name
        {
            host.name = name.to_owned();
            self.changes.names = true;
        }
        self.changes.hosts.insert(index);
        Ok(index)
    }

    /// Adds a process that inherited its membership: it keeps the network, and its host, up.
    pub fn adopt(&mut self, kernel: &mut dyn Kernel, pid: Pid, host: Option<&str>) {
        self.add_member(kernel, pid);
        // Its host may have gone down, and the process that is about to bring it up again may spell it
        // differently.
        if let Some(name) = host.filter(|name| self.hosts.find(name.as_bytes()).is_some())
            && let Ok(index) = self.enter_named(name)
        {
            self.join_host(kernel, pid, index);
        }
    }

    /// The host of a name, for a resolver.
    ///
    /// While a host is up its index and its name stay the same, and registry.db is not asked about it: the
    /// reply may be cached until it goes down. Not so if only names of living hosts are wanted: the program
    /// may learn of the end of one before lonetd does.
    pub(super) fn resolve(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        (name, strict): (&[u8], bool),
    ) -> Result<Named, (Errno, String)> {
        self.add_member(kernel, sender.pid);
        // A host resolves its own name, up or not, with strict names, too.
        let key = host_names::fold(name);
        if key.is_some() && key == host_names::fold(requester.host.as_bytes()) {
            host_names::check(requester.host).map_err(|text| (Errno::EINVAL, text))?;
            let index = self.enter_named(requester.host)?;
            return self.named_for(index, strict);
        }
        if let Some(host) = self.hosts.find(name)
            && (host.is_up() || host.foreign.is_some() || !strict)
        {
            return self.named_for(host.index, strict);
        }
        let text = String::from_utf8_lossy(name);
        if strict {
            return Err((Errno::ENOENT, format!("no host is called {text:?}")));
        }
        let index = host_names::shown(name)
            .filter(|n| host_names::check(n).is_ok())
            .and_then(|n| self.hosts.enter(&n));
        let index = index.ok_or_else(|| (Errno::ENOENT, format!("{text:?} cannot be a host's name")))?;
        self.changes.hosts.insert(index);
        self.named(index)
    }

    fn named_for(&self, index: Index, strict: bool) -> Result<Named, (Errno, String)> {
        let is_up = self.hosts.get(index).is_some_and(Host::is_up);
        self.named(index).map(|named| Named { is_cacheable: is_up && !strict, ..named })
    }

    /// The host of an address, up or not. `None`: the address is not the network's.
    pub(super) fn reverse(&self, ip: Ipv6Addr) -> Option<Result<Named, (Errno, String)>> {
        match self.block.place(ip) {
            Place::Host(index, _) => Some(self.named(index)),
            Place::Unassigned => Some(Err((Errno::ENOENT, format!("{ip} is no host's address")))),
            Place::Any(_) | Place::Loopback(_) | Place::NotLonet => None,
        }
    }

    /// The names of a host, for resolvers. Names that DNS software cannot carry are known to the C API alone.
    fn named(&self, index: Index) -> Result<Named, (Errno, String)> {
        let host =
            self.hosts.get(index).ok_or_else(|| (Errno::ENOENT, "no host has this address".to_owned()))?;
        match host_names::ascii(&host.name) {
            Some(ascii) => Ok(Named { index, name: host.name.clone(), ascii, is_cacheable: false }),
            None => Err((Errno::ENOENT, format!("{:?} makes no DNS name", host.name))),
        }
    }

    /// The OS address of the listener on a lonet address, for programs outside the network.
    pub(super) fn locate(&mut self, kernel: &mut dyn Kernel, address: &str) -> Outcome {
        let invalid = |e: lonet_core::address::AddressError| (Errno::EINVAL, e.to_string());
        let address = Address::parse(address).map_err(invalid)?;
        match self.listener(kernel, &address, Scopes::host) {
            Some(os) => Ok(Reply::Located { os }),
            None => Err((Errno::ECONNREFUSED, format!("nothing listens on {address}"))),
        }
    }

    /// Whether a socket listens on a lonet address and is reachable for these programs.
    pub fn listens(&mut self, kernel: &mut dyn Kernel, address: &Address, by: By<'_>) -> bool {
        let index = |name: &str| self.hosts.find(name.as_bytes()).map(|host| host.index);
        let is_loopback_theirs = match by {
            By::Anybody => true,
            By::Host(name) => index(name) == index(&address.host),
        };
        self.listener(kernel, address, Scopes::host).is_some()
            || is_loopback_theirs && self.listener(kernel, address, Scopes::loopback).is_some()
    }

    fn listener(
        &mut self,
        kernel: &mut dyn Kernel,
        address: &Address,
        scope: impl Fn(Face) -> Scopes,
    ) -> Option<SocketAddrV4> {
        let index = self.hosts.find(address.host.as_bytes())?.index;
        let mut scopes = [Face::V4, Face::V6].map(scope).into_iter();
        scopes.find_map(|scope| self.find_listener(kernel, index, address.port, scope)).map(|(_, os)| os)
    }
}
