//! bind and listen: which socket may have which port, and the OS address that the kernel is to bind it to.

use super::{Cookie, Index, Kernel, Outcome, Role, Scopes, Sender, Socket, State};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::{Asked, Reply, Requester, Runs};
use lonet_core::table::events::Kind;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

/// A program's request to bind a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct BindRequest {
    pub cookie: Cookie,
    pub asked: Asked,
    /// How many OS addresses the kernel has refused for it.
    pub attempt: u8,
}

/// The lowest private port: between it and the ephemeral range few ports are reserved.
const PRIVATE_FROM: u16 = 10_000;

/// How long the kernel may hold a closed connection's addresses in TIME_WAIT.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// Allocates OS ports that differ from the lonet port, in turn, so that none is reused soon.
#[derive(Clone, Debug)]
pub(super) struct OsPorts {
    ephemeral: (u16, u16),
    next: BTreeMap<Index, u16>,
    /// The time when a bound socket last dialed from an OS port: its addresses may be in TIME_WAIT.
    spent: BTreeMap<(Index, u16), Duration>,
}

impl OsPorts {
    pub fn new(ephemeral: (u16, u16)) -> OsPorts {
        OsPorts { ephemeral, next: BTreeMap::new(), spent: BTreeMap::new() }
    }

    pub fn spend(&mut self, host: Index, port: u16, now: Duration) {
        self.spent.retain(|_, when| now.saturating_sub(*when) < TIME_WAIT);
        self.spent.insert((host, port), now);
    }

    fn is_spent(&self, host: Index, port: u16, now: Duration) -> bool {
        self.spent.get(&(host, port)).is_some_and(|when| now.saturating_sub(*when) < TIME_WAIT)
    }

    /// The next port outside the ephemeral range for which `free` is true.
    fn private(&mut self, host: Index, free: impl Fn(u16) -> bool) -> Option<u16> {
        let (low, high) = self.ephemeral;
        let step = |p: u16| match p {
            u16::MAX => PRIVATE_FROM,
            p if (low..=high).contains(&(p + 1)) => high.checked_add(1).unwrap_or(PRIVATE_FROM),
            p => p + 1,
        };
        let start = self.next.get(&host).copied().unwrap_or(PRIVATE_FROM.min(low.max(1025) - 1));
        let mut port = start;
        loop {
            let here = port;
            port = step(port);
            if !(low..=high).contains(&here) && free(here) {
                self.next.insert(host, port);
                return Some(here);
            }
            if port == start {
                return None;
            }
        }
    }
}

fn in_use(at: Endpoint) -> (Errno, String) {
    (Errno::EADDRINUSE, format!("port {} is held", at.port))
}

impl State {
    pub(super) fn bind(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        request: BindRequest,
        (at, past): (Endpoint, Runs<'_>),
    ) -> Outcome {
        let face_of = |face: Face| Scopes::any(face, request.asked.v6only);
        let (host, scopes) = match self.place(at) {
            Place::NotLonet => return Ok(Reply::Native),
            Place::Any(_) | Place::Loopback(_) if requester.host.is_empty() => return Ok(Reply::Native),
            Place::Any(face) => (self.default_host(kernel, sender.pid, requester)?, face_of(face)),
            Place::Loopback(face) => {
                (self.default_host(kernel, sender.pid, requester)?, Scopes::loopback(face))
            }
            Place::Host(index, face) => {
                if !requester.host.is_empty() && self.default_host(kernel, sender.pid, requester)? != index {
                    return Err((Errno::EADDRNOTAVAIL, "the address of another host".into()));
                }
                (index, Scopes::host(face))
            }
            Place::Unassigned => return Err((Errno::EADDRNOTAVAIL, "no host's address".into())),
        };
        if self.hosts.get(host).is_none() {
            return Err((Errno::EADDRNOTAVAIL, "no host has this address".into()));
        }
        if request.asked.v6only && at.ip.to_ipv4_mapped().is_some() && request.asked.family == Face::V6 {
            return Err((Errno::EINVAL, "an IPv4 address for a socket with IPV6_V6ONLY".into()));
        }
        self.add_member(kernel, sender.pid);
        self.supersede(kernel, sender.pid, request.cookie, Role::Claimed, None);
        let claim = self.sockets.get(&request.cookie).filter(|s| s.role == Role::Claimed);
        // The request is repeated because the kernel refused the OS address, or because lonetd died before
        // its reply arrived. An autobound socket keeps its port. A port that the program named may be another
        // socket's by now, or is free again.
        let is_same = |s: &Socket| {
            at.port == 0 && (s.host, s.asked, s.at.map(|at| at.ip)) == (host, request.asked, Some(at.ip))
        };
        if claim.is_some_and(|s| !is_same(s)) {
            self.forget(request.cookie);
        }
        let at = match self.sockets.get(&request.cookie) {
            Some(s) if s.role == Role::Claimed => Endpoint::new(at.ip, s.port),
            Some(s) if s.role != Role::Gone => {
                return Err((Errno::EINVAL, "the socket has an address already".into()));
            }
            _ if at.port == 0 => Endpoint::new(
                at.ip,
                self.first_free_past(kernel, host, requester.options.autobind_from, past)?,
            ),
            _ => {
                // A dial does not keep others from binding its port, except on hosts of the C API.
                let is_strict = self.hosts.get(host).is_some_and(|h| h.fresh_accept_ports);
                if is_strict && self.is_claimed(kernel, host, at.port) {
                    return Err(in_use(at));
                }
                self.may_share(kernel, host, at, request.cookie, |s, mine| {
                    let is_dial = matches!(s.role, Role::Dialing | Role::Connected) && s.os.is_none();
                    if is_dial && !is_strict {
                        return true;
                    }
                    let both_reuse = request.asked.reuse_address && s.asked.reuse_address;
                    let listens = matches!(s.role, Role::Starting | Role::Listening);
                    let group = request.asked.reuse_port && s.asked.reuse_port;
                    !mine.overlap(scopes) || (both_reuse && !listens) || group
                })?;
                at
            }
        };
        let os = self.os_for(kernel, host, at.port, scopes, request, requester.options.private_ports)?;
        self.put(
            request.cookie,
            Socket {
                host,
                port: at.port,
                role: Role::Claimed,
                pid: sender.pid,
                asked: request.asked,
                at: Some(at),
                os: Some(os),
                call: None,
                accept_port: None,
                taken: false,
                made_by: None,
                destroyed: false,
                since: 0,
            },
        );
        Ok(Reply::BindTo { os, port: at.port })
    }

    pub(super) fn bound(&mut self, kernel: &mut dyn Kernel, cookie: Cookie, os: SocketAddrV4) {
        let revived = self.revive(cookie, Role::Claimed);
        if self.sockets.get(&cookie).is_some_and(|s| s.role == Role::Claimed) {
            self.note_socket(Kind::Bound, cookie);
        }
        self.change(cookie, |s| {
            s.os = Some(os);
            if s.role == Role::Claimed {
                s.role = Role::Bound;
            }
        });
        if revived {
            self.examine(kernel, cookie);
        }
    }

    /// Handles Failed: the call that was allowed has failed.
    pub(super) fn failed(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        match self.sockets.get(&cookie).map(|s| s.role) {
            Some(Role::Claimed) => self.forget(cookie),
            Some(Role::Starting) => {
                self.change(cookie, |s| s.role = Role::Bound);
                self.examine(kernel, cookie);
            }
            _ => {}
        }
    }

    pub(super) fn listen(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        request: BindRequest,
        bound: bool,
    ) -> Outcome {
        // A socket that was shut down may be as if it had never listened.
        if self.sockets.get(&request.cookie).is_some_and(|s| s.role == Role::Listening) {
            self.examine(kernel, request.cookie);
        }
        self.supersede(kernel, sender.pid, request.cookie, Role::Starting, Some(bound));
        let record = self.sockets.get(&request.cookie).cloned();
        match record {
            // listen may be called again, with another backlog.
            Some(s) if s.role == Role::Listening => {
                self.add_member(kernel, sender.pid);
                self.put(request.cookie, Socket { pid: sender.pid, ..s });
                return Ok(Reply::Listen);
            }
            Some(s) if s.os.is_some() && bound => {
                let at = s.at.unwrap_or(Endpoint::new(Ipv6Addr::UNSPECIFIED, s.port));
                let scopes = self.scopes(&s);
                self.may_share(kernel, s.host, at, request.cookie, |other, theirs| {
                    let listens = matches!(other.role, Role::Starting | Role::Listening);
                    let group = s.asked.reuse_port && other.asked.reuse_port;
                    // A port that was released meanwhile may belong to another socket now.
                    let lost = s.role == Role::Gone && !(s.asked.reuse_address && other.asked.reuse_address);
                    !theirs.overlap(scopes) || group || !(listens || lost)
                })?;
                self.add_member(kernel, sender.pid);
                self.put(request.cookie, Socket { role: Role::Starting, pid: sender.pid, call: None, ..s });
                return Ok(Reply::Listen);
            }
            Some(s) if s.role == Role::Starting && !bound => {}
            _ if bound || requester.host.is_empty() => return Ok(Reply::Native),
            _ => {}
        }
        let face = request.asked.family;
        let host = self.default_host(kernel, sender.pid, requester)?;
        let ip = match face {
            Face::V4 => std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
            Face::V6 => Ipv6Addr::UNSPECIFIED,
        };
        let port = match self.sockets.get(&request.cookie) {
            // The request is repeated: the kernel refused the OS address, or lonetd died before its reply
            // arrived.
            Some(s) if s.role == Role::Starting && s.host == host => s.port,
            _ => self.first_free(kernel, host, requester.options.autobind_from)?,
        };
        let scopes = Scopes::any(face, request.asked.v6only);
        let os = self.os_for(kernel, host, port, scopes, request, requester.options.private_ports)?;
        self.put(
            request.cookie,
            Socket {
                host,
                port,
                role: Role::Starting,
                pid: sender.pid,
                asked: request.asked,
                at: Some(Endpoint::new(ip, port)),
                os: Some(os),
                call: None,
                accept_port: None,
                taken: false,
                made_by: None,
                destroyed: false,
                since: 0,
            },
        );
        Ok(Reply::BindTo { os, port })
    }

    pub(super) fn listening(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let revived = self.revive(cookie, Role::Starting);
        let role = self.sockets.get(&cookie).map(|s| s.role);
        if matches!(role, Some(Role::Starting | Role::Bound | Role::Claimed)) {
            self.begins_to_listen(cookie);
        }
        if revived {
            self.examine(kernel, cookie);
        }
    }

    /// Fails with EADDRINUSE unless `agree` is true of every living holder of the port, given the addresses
    /// that it uses.
    fn may_share(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        at: Endpoint,
        cookie: Cookie,
        agree: impl Fn(&Socket, Scopes) -> bool,
    ) -> Result<(), (Errno, String)> {
        let holders = self.hosts.get(host).map_or(Vec::new(), |h| h.ports.holders(at.port).to_vec());
        for holder in holders.into_iter().filter(|c| *c != cookie) {
            let against = |s: &Socket| !agree(s, self.scopes(s));
            if self.sockets.get(&holder).is_some_and(against) && self.examine(kernel, holder) {
                // Its role may have changed while it was examined.
                let against = |s: &Socket| s.role != Role::Gone && !agree(s, self.scopes(s));
                if self.sockets.get(&holder).is_some_and(against) {
                    return Err(in_use(at));
                }
            }
        }
        Ok(())
    }

    /// The scopes of its host's addresses that a socket listens on or is connected from.
    pub(super) fn scopes(&self, s: &Socket) -> Scopes {
        let ip = match (s.call, s.at) {
            (Some(call), _) => call.local.ip,
            (None, Some(at)) => at.ip,
            (None, None) => return Scopes::NONE,
        };
        Scopes::at(self.block.place(ip), s.asked.v6only)
    }

    /// The OS address for the socket: the lonet port itself if available, so that `ss` and any browser see
    /// the same address, otherwise a port that lonet chooses.
    fn os_for(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        port: u16,
        scopes: Scopes,
        request: BindRequest,
        private: bool,
    ) -> Result<SocketAddrV4, (Errno, String)> {
        let ip = self.block.address(host);
        let now = kernel.now();
        let group = |s: &Socket| {
            // Sockets that share a port by SO_REUSEADDR alone can have addresses of their own if the kernel
            // refuses to share: one may already listen there before another has made the call that it was
            // allowed.
            let agreed = request.asked.reuse_port && s.asked.reuse_port
                || request.attempt == 0 && request.asked.reuse_address && s.asked.reuse_address;
            s.role != Role::Gone && s.port == port && agreed && self.scopes(s) == scopes
        };
        let holders = self.hosts.get(host).map_or(&[][..], |h| h.ports.holders(port));
        let members = holders.iter().filter(|c| **c != request.cookie).filter_map(|c| self.sockets.get(c));
        let members: Vec<&Socket> = members.filter(|s| group(s)).collect();
        let elsewhere = members.iter().filter_map(|s| s.os).find(|os| os.port() != port);
        let settled = members.iter().any(|s| !matches!(s.role, Role::Claimed | Role::Starting));
        // The kernel balances connections, and tells them apart, only among sockets with the very same
        // address. If two are refused the port itself at the same time, the second to report it follows the
        // first.
        match elsewhere.or_else(|| members.iter().find_map(|s| s.os)) {
            Some(os) if request.attempt == 0 || elsewhere.is_some() => return Ok(os),
            Some(_) if settled => {
                return Err((Errno::EADDRINUSE, "the kernel refuses to share the port".into()));
            }
            _ => {}
        }
        let free = |p: u16| self.addresses.bound(SocketAddrV4::new(ip, p)).is_empty();
        if request.attempt == 0 && !private && free(port) && !self.os_ports.is_spent(host, port, now) {
            return Ok(SocketAddrV4::new(ip, port));
        }
        let addresses = &self.addresses;
        let found = self.os_ports.private(host, |p| addresses.bound(SocketAddrV4::new(ip, p)).is_empty());
        let os = found.ok_or((Errno::EADDRINUSE, "no OS port is left for the host".to_owned()))?;
        Ok(SocketAddrV4::new(ip, os))
    }

    /// Notes that a bound socket dials from its OS port.
    pub(super) fn spend_os_port(&mut self, host: Index, os: SocketAddrV4, now: Duration) {
        self.os_ports.spend(host, os.port(), now);
    }
}
