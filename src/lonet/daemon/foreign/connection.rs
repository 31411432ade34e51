//! The connection of a foreign dialer, and how it is refused.

use super::io;
use super::{Task, TaskContext, TaskEvent};
use crate::daemon::state::Cookie;
use lonet_core::handshake::Reply;
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The accepted connection of a foreign dialer.
pub struct Connection {
    pub fd: OwnedFd,
    pub cookie: Cookie,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    /// Its family is not that of its listener's connections, and cannot be changed to it.
    pub is_misfit: bool,
}

/// Sends a refusal. The connection stays open for a moment: closing it with the dialer's data unread would
/// cause a reset, which may overtake the reply.
pub fn refuse(cx: &mut TaskContext<'_, '_>, fd: OwnedFd, reply: &Reply) -> Option<Task> {
    io::send_line(&fd, &reply.to_line(&cx.shared.network)).ok()?;
    io::end_of_data(&fd);
    cx.watch(0, &fd, EpollFlags::EPOLLIN);
    Lingering { fd, until: Instant::now() + LINGER }.drain()
}

const LINGER: Duration = Duration::from_secs(1);

/// Waits until a refused dialer closes its connection.
pub struct Lingering {
    fd: OwnedFd,
    pub until: Instant,
}

impl Lingering {
    pub fn step(self, event: TaskEvent) -> Option<Task> {
        match event {
            TaskEvent::Ready { .. } => self.drain(),
            TaskEvent::TimedOut => None,
        }
    }

    fn drain(self) -> Option<Task> {
        let mut buffer = [0u8; 4096];
        // A few times: the data may be endless.
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
