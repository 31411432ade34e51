//! The connection of a foreign dialer, and its refusal.

use super::io;
use super::{Cx, Task, TaskEvent};
use crate::daemon::state::Cookie;
use lonet_core::handshake::Reply;
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A dialer's connection, as it came.
pub struct Connection {
    pub fd: OwnedFd,
    pub cookie: Cookie,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    /// Its family is not that of the connections of the listener that it is for, and cannot become it.
    pub is_misfit: bool,
}

/// Says why not. The connection stays for a moment: closing it with the dialer's data unread would be a reset,
/// which may overtake the answer.
pub fn refuse(cx: &mut Cx<'_, '_>, fd: OwnedFd, reply: &Reply) -> Option<Task> {
    io::send_line(&fd, &reply.to_line(&cx.shared.network)).ok()?;
    io::end_of_data(&fd);
    cx.watch(0, &fd, EpollFlags::EPOLLIN);
    Lingering { fd, until: Instant::now() + LINGER }.drain()
}

const LINGER: Duration = Duration::from_secs(1);

/// Waits until the dialer, who has been refused, closes.
pub struct Lingering {
    fd: OwnedFd,
    pub until: Instant,
}

impl Lingering {
    pub fn step(self, what: TaskEvent) -> Option<Task> {
        match what {
            TaskEvent::Ready { .. } => self.drain(),
            TaskEvent::TimedOut => None,
        }
    }

    fn drain(self) -> Option<Task> {
        let mut buffer = [0u8; 4096];
        // A few times: there may be no end of it.
        for _ in 0..8 {
            match io::receive(&self.fd, &mut buffer) {
                Ok(1..) => {}
                Err(nix::errno::Errno::EAGAIN) => break,
                Ok(0) | Err(_) => return None,
            }
        }
        Some(Task::Lingering(self))
    }
}
