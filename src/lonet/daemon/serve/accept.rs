//! Accepts connections to the two control sockets.

use super::{ABSTRACT, CONTROL, Daemon, event};
use crate::daemon::control_sockets::ControlSocket;
use crate::daemon::tally::{self, Kind};
use nix::errno::Errno;
use nix::sys::socket::{self, SockFlag, sockopt};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many connections to a control socket are accepted before other work: as many as the kernel lets wait
/// there, so that all that came before are accepted.
const AT_ONCE: usize = libc::SOMAXCONN as usize + 1;

/// How many of them may be outsiders'. A member's connection behind more of them is accepted late, and its
/// message handled after some that were sent later.
const OUTSIDERS_AT_ONCE: usize = 64;

/// How long the control sockets are not watched after no descriptor was left for a new connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the abstract name is not watched while more outsiders' connections are being closed than can be.
const BEHIND: Duration = Duration::from_millis(5);

/// Which of the control sockets.
type Which = fn(&mut Daemon) -> &mut ControlSocket;
const BY_PATH: Which = |daemon| &mut daemon.control_sockets.by_path;
const BY_NAME: Which = |daemon| &mut daemon.control_sockets.by_name;

impl Daemon {
    /// Accepts the connections to the control sockets.
    pub(super) fn accept(&mut self) {
        self.accept_at(BY_PATH);
        if self.connections.closer.is_behind() {
            self.control_sockets.by_name.pause(&self.epoll, Instant::now() + BEHIND);
        }
        self.accept_at(BY_NAME);
    }

    fn accept_at(&mut self, which: Which) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let mut outsiders = 0;
        for _ in 0..AT_ONCE {
            let socket = which(self);
            if socket.paused_until().is_some() || outsiders == OUTSIDERS_AT_ONCE {
                return;
            }
            match socket::accept4(socket.fd.as_raw_fd(), flags) {
                // SAFETY: a new descriptor that nobody else has.
                Ok(fd) => outsiders += usize::from(self.accepted(unsafe { OwnedFd::from_raw_fd(fd) })),
                Err(Errno::EAGAIN) => return,
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(e) => {
                    tally::count(Kind::NoDescriptor, &e);
                    self.connections.drop_outsiders();
                    self.pause_control_sockets();
                }
            }
        }
    }

    /// Adds a connection. Returns whether it may be an outsider's.
    fn accepted(&mut self, fd: OwnedFd) -> bool {
        let outsider = match socket::getsockopt(&fd, sockopt::PeerCredentials) {
            Ok(by) if by.uid() == self.membership.owner || self.processes.contains(by.pid()) => None,
            Ok(by) => Some(by.uid()),
            Err(e) => {
                tally::count(Kind::NoSender, &e);
                self.connections.discard(fd);
                return true;
            }
        };
        self.connections.add(fd, outsider);
        outsider.is_some()
    }

    /// Stops watching the control sockets for a while: no descriptor is left, and the loop would spin.
    fn pause_control_sockets(&mut self) {
        let until = Instant::now() + PAUSE;
        self.control_sockets.by_path.pause(&self.epoll, until);
        self.control_sockets.by_name.pause(&self.epoll, until);
    }

    pub(super) fn watch_control_sockets(&mut self) -> Result<(), Errno> {
        self.control_sockets.by_path.watch(&self.epoll, event(CONTROL))?;
        self.control_sockets.by_name.watch(&self.epoll, event(ABSTRACT))
    }

    /// Watches those again whose pause is over.
    pub(super) fn resume_control_sockets(&mut self, now: Instant) {
        let sockets = &mut self.control_sockets;
        for (socket, data) in [(&mut sockets.by_path, CONTROL), (&mut sockets.by_name, ABSTRACT)] {
            if socket.paused_until().is_some_and(|until| now >= until) {
                let _ = socket.watch(&self.epoll, event(data));
            }
        }
    }
}
