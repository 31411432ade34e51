//! The accepting side of the handshake: a foreign peer dials a host of this network.

use super::connection::{Connection, refuse};
use super::courier::Courier;
use super::io::{self, LineRead};
use super::{HANDSHAKE, Task, TaskContext, TaskEvent};
use crate::daemon::state::{Arrival, Incoming};
use lonet_core::block::Face;
use lonet_core::handshake::{DialRequest, LineBuf, Reply, WireAddr};
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Waits for the request line of a dialer.
pub struct Acceptor {
    pub dialer: Connection,
    line: LineBuf,
    pub until: Instant,
    /// Often the line has arrived with the connection: then there is nothing to watch.
    watched: bool,
}

impl Acceptor {
    pub fn begin(
        cx: &mut TaskContext<'_, '_>,
        fd: OwnedFd,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<Task> {
        let dialer = Connection { cookie: io::cookie(&fd), fd, local, remote, is_misfit: false };
        let line = LineBuf::default();
        Acceptor { dialer, line, until: Instant::now() + HANDSHAKE, watched: false }.read_line(cx)
    }

    pub fn step(self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        match event {
            TaskEvent::Ready { .. } => self.read_line(cx),
            // Without a reply: the dialer does not speak this protocol.
            TaskEvent::TimedOut => None,
        }
    }

    fn read_line(mut self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        match io::read_line(&self.dialer.fd, &mut self.line) {
            LineRead::More => {
                if !self.watched {
                    cx.watch(0, &self.dialer.fd, EpollFlags::EPOLLIN);
                    self.watched = true;
                }
                Some(Task::Acceptor(self))
            }
            LineRead::End | LineRead::Failed(_) => None,
            LineRead::Line(line) => {
                if self.watched {
                    cx.unwatch(&self.dialer.fd);
                }
                self.decide(cx, &line)
            }
        }
    }

    fn decide(mut self, cx: &mut TaskContext<'_, '_>, line: &[u8]) -> Option<Task> {
        let request = match DialRequest::parse(line, &cx.shared.network) {
            Ok(request) => request,
            Err(e) => return refuse(cx, self.dialer.fd, &e.into()),
        };
        let dial = Incoming {
            cookie: self.dialer.cookie,
            local: self.dialer.local,
            remote: self.dialer.remote,
            from: &request.src,
            to: &request.dst,
        };
        match cx.event_loop.state.incoming(cx.event_loop.kernel, &dial) {
            Arrival::NoSuchHost => refuse(cx, self.dialer.fd, &Reply::no_such_host(&request.dst)),
            Arrival::Refused => refuse(cx, self.dialer.fd, &Reply::Refused),
            Arrival::At { os, port, family } => {
                if family == Face::V4 {
                    io::become_ipv4(&self.dialer.fd);
                }
                self.dialer.is_misfit = io::is_ipv6(&self.dialer.fd) != (family == Face::V6);
                // The host as the dialer spells it, which compares the two.
                let at = WireAddr { host: request.dst.host, port: u64::from(port) };
                Courier::begin(cx, self.dialer, os, at, self.until)
            }
        }
    }
}
