//! What the kernel is going to be asked for, so that it can be asked for all at once: each message to it costs as much
//! as several questions in one.

use super::{Cookie, Index, Kernel, Role, State};
use lonet_core::diag::{NOBODY, Question};
use std::net::SocketAddrV4;

/// So many of the lowest held ports are looked at when one is wanted.
const LOOKED_AT: usize = 8;

/// Questions for sockets that are about to be looked at.
#[derive(Default)]
pub struct Ahead {
    pub questions: Vec<Question>,
    /// Where sockets have dialed from, of which that is about to be told.
    pub dialed: Vec<(Cookie, SocketAddrV4)>,
}

impl State {
    /// For a dial from a host that wants a port from `port` on, to what listens at `os`.
    pub fn before_dial(&self, host: Index, port: u16, os: SocketAddrV4, ahead: &mut Ahead) {
        let listeners = self.by_os.get(&os).map_or(&[][..], Vec::as_slice);
        listeners.iter().for_each(|cookie| self.before_look(*cookie, ahead));
        if let Some((_, below)) = self.lowest_held(host, port) {
            self.before_looks_at_ports(host, &below, ahead);
        }
    }

    /// For a look at a socket. One of which the kernel can be asked in other ways only has no question.
    pub fn before_look(&self, cookie: Cookie, ahead: &mut Ahead) {
        let dialed = || Some(ahead.dialed.iter().find(|(dialed, _)| *dialed == cookie)?.1);
        let question = self.sockets.get(&cookie).and_then(|s| match s.role {
            Role::Listening => Some((s.os?, NOBODY, Some(cookie))),
            Role::Connected | Role::Accepted | Role::Dialing => {
                Some((s.call?.os_local.or_else(dialed)?, s.call?.os_remote, None))
            }
            _ => None,
        });
        if let Some(question) = question.filter(|question| !ahead.questions.contains(question)) {
            ahead.questions.push(question);
        }
    }

    /// For looks at ports. Thousands may hold one, of which the first tells.
    fn before_looks_at_ports(&self, host: Index, ports: &[u16], ahead: &mut Ahead) {
        let Some(h) = self.hosts.get(host) else { return };
        let holders = ports.iter().filter_map(|port| h.ports.holders(*port).first());
        holders.for_each(|cookie| self.before_look(*cookie, ahead));
    }

    /// The first port from `from` on that nobody is known to hold, if there is one, and the lowest of those below it.
    /// `None`: no such host.
    fn lowest_held(&self, host: Index, from: u16) -> Option<(Option<u16>, Vec<u16>)> {
        let ports = &self.hosts.get(host)?.ports;
        let limit = ports.first_free(from);
        let below = match limit {
            Some(free) => ports.held_between(from, free).take(LOOKED_AT).collect(),
            None => ports.held_from(from).take(LOOKED_AT).collect(),
        };
        Some((limit, below))
    }

    /// The first free port of a host from `from` on. The kernel is asked about the lowest held ports: what died without
    /// a word does not make the next port another one. `None`: there is none.
    pub(super) fn first_free_port(&mut self, kernel: &mut dyn Kernel, host: Index, from: u16) -> Option<u16> {
        let (limit, below) = self.lowest_held(host, from)?;
        let mut ahead = Ahead::default();
        self.before_looks_at_ports(host, &below, &mut ahead);
        kernel.look_ahead(&ahead.questions);
        below.into_iter().find(|port| !self.is_held(kernel, host, *port)).or(limit)
    }

    /// Whether some holder of this port lives.
    fn is_held(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) -> bool {
        let mut looked_at = 0;
        while let Some(cookie) =
            self.hosts.get(host).and_then(|h| h.ports.holders(port).get(looked_at)).copied()
        {
            if self.examine(kernel, cookie) {
                return true;
            }
            let is_there =
                self.hosts.get(host).is_some_and(|h| h.ports.holders(port).get(looked_at) == Some(&cookie));
            looked_at += usize::from(is_there);
        }
        false
    }
}
