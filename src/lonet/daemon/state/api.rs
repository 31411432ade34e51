//! The requests of the C API beyond those of the hooks: hosts that are made and closed by name, dials by host
//! name, names of sockets.

use super::dial::Dial;
use super::{Cookie, Index, Kernel, Outcome, Role, Sender, Socket, State, StateReply};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::{Asked, Reply, Requester};
use nix::errno::Errno;
use std::net::SocketAddrV4;

/// A lonet address with the name of its host.
pub type HostPort = (String, u16);

impl State {
    /// Makes the sender's host, or lets the process share it.
    pub(super) fn announce(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        share: bool,
    ) -> Outcome {
        let known = self.hosts.find(requester.host.as_bytes()).map(|h| h.index);
        let taken = known.is_some_and(|index| self.is_host_up(kernel, index));
        if taken && !share {
            return Err((Errno::EEXIST, "host already registered".into()));
        }
        let index = self.default_host(kernel, sender.pid, requester)?;
        Ok(Reply::Located { os: SocketAddrV4::new(self.block.address(index), 0) })
    }

    /// Whether a host has a living process or socket; asks the kernel about the sockets that hold its ports.
    fn is_host_up(&mut self, kernel: &mut dyn Kernel, index: Index) -> bool {
        let Some(host) = self.hosts.get(index) else { return false };
        if !host.members.is_empty() || host.entered > 0 {
            return true;
        }
        let holders: Vec<Cookie> =
            host.ports.held_from(0).flat_map(|p| host.ports.holders(p).to_vec()).collect();
        holders.into_iter().any(|cookie| self.examine(kernel, cookie))
    }

    /// Handles Leave: the process closes its host, or leaves the network. The sockets that it made as that
    /// host hold nothing from now on, whatever the kernel says: their descriptors stay open.
    pub(super) fn leave_by_name(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
    ) -> Outcome {
        if requester.host.is_empty() {
            if self.processes.get(&sender.pid).is_some_and(super::Process::is_unused) {
                self.processes_ended(kernel, &[sender.pid]);
                // A process that asks for a name becomes a member again.
                self.changes.names = true;
            }
            return Ok(Reply::Done);
        }
        let Some(index) = self.hosts.find(requester.host.as_bytes()).map(|h| h.index) else {
            return Ok(Reply::Done);
        };
        let Some(process) = self.processes.get_mut(&sender.pid) else { return Ok(Reply::Done) };
        process.hosts.remove(&index);
        let all = process.sockets.clone();
        self.changes.processes.insert(sender.pid);
        for cookie in all {
            if self.sockets.get(&cookie).is_some_and(|s| s.host == index) {
                self.retire(kernel, cookie);
            }
        }
        self.leave(kernel, index, sender.pid);
        Ok(Reply::Done)
    }

    /// Handles a dial by host name. The reply has the source port also if the dial fails, for the program's
    /// error message.
    pub(super) fn dial_host(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        (name, port): (&str, u16),
        (cookie, asked): (Cookie, Asked),
    ) -> Outcome {
        let own = self.default_host(kernel, sender.pid, requester)?;
        let to = if name.is_empty() { Some(own) } else { self.hosts.find_any(name).map(|h| h.index) };
        let to = to.filter(|index| self.foreign_address(*index).is_some() || self.is_host_up(kernel, *index));
        let answer = match to {
            None => Err((Errno::EHOSTUNREACH, String::new())),
            Some(index) => {
                let to = Endpoint::new(self.block.shown(index, Face::V4), port);
                self.dial(
                    kernel,
                    sender,
                    requester,
                    Dial { cookie, to, local: None, asked, acts: false, unaware: false },
                )
            }
        };
        let port = match self.sockets.get(&cookie).filter(|s| s.role != Role::Gone) {
            Some(s) => s.port,
            None => self.first_free(kernel, own, requester.options.autobind_from).unwrap_or(0),
        };
        Ok(match answer {
            Ok(Reply::ConnectTo { to, from }) => Reply::Way { to, from, port, foreign: false },
            Ok(Reply::DialForeign { to, from }) => Reply::Way { to, from, port, foreign: true },
            Ok(_) => Reply::NoWay { errno: libc::EPROTO, port },
            Err((errno, _)) => Reply::NoWay { errno: errno as i32, port },
        })
    }

    /// The addresses of a socket, with host names.
    pub(super) fn whois(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        cookie: Cookie,
        local: SocketAddrV4,
        remote: Option<SocketAddrV4>,
    ) -> StateReply {
        let Reply::Named { local: Some(local), peer, .. } = self.name(kernel, sender, cookie, local, remote)
        else {
            return StateReply::Refuse(Errno::EINVAL, "not a lonet socket".into());
        };
        let Some(s) = self.sockets.get(&cookie) else {
            return StateReply::Refuse(Errno::EINVAL, "not a lonet socket".into());
        };
        StateReply::Names {
            local: self.name_of(s, local),
            peer: peer.map(|peer| self.name_of(s, peer)),
            own: s.pid == sender.pid,
            member: self.processes.get(&sender.pid).is_some_and(|p| p.hosts.contains(&s.host)),
        }
    }

    /// An address on the loopback is shown with the name of its host.
    fn name_of(&self, s: &Socket, at: Endpoint) -> HostPort {
        let index = match self.block.place(at.ip) {
            Place::Host(index, _) => index,
            Place::Any(_) | Place::Loopback(_) => s.host,
            Place::Unassigned | Place::NotLonet => 0,
        };
        let name = match (self.hosts.get(index), at.ip.to_ipv4_mapped()) {
            (Some(host), _) => host.name.clone(),
            (None, Some(v4)) => v4.to_string(),
            (None, None) => at.ip.to_string(),
        };
        (name, at.port)
    }
}
