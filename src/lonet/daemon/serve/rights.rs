//! Descriptors received with messages, from any process that reaches the control sockets.
//!
//! Closing one may take an hour, if it is the last of a connection that lingers (SO_LINGER), and any time if
//! it is of a file system of the sender's, or if the sender holds the connection's lock. So lonetd's loop
//! closes none. All descriptors are received, as the kernel closes those for which there is no room on the
//! receiver's behalf; and closing a connection with unread messages would close theirs in the same way. So
//! the loop does not close the connections of outsiders either.

use super::thread_pool::ThreadPool;
use lonet_core::control::MAX_MESSAGE;
use lonet_core::sys::{self, check};
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, Shutdown, sockopt};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads close descriptors; and connections, each of which may hold thousands of descriptors.
const THREADS: usize = 4;
const CONNECTION_THREADS: usize = 2;

/// How many connections may wait for these threads before no more are to be taken.
const WAITING: usize = 512;

/// The room for as many descriptors as the kernel allows in a message (SCM_MAX_FD), and the sender's
/// credentials.
const ROOM: usize = 2048;

#[derive(Clone)]
pub struct Closer {
    descriptors: Arc<ThreadPool>,
    connections: Arc<ThreadPool>,
    /// How many connections are not closed yet.
    waiting: Arc<AtomicUsize>,
}

impl Closer {
    pub fn new() -> Closer {
        Closer {
            descriptors: Arc::new(ThreadPool::new("lonetd-close", THREADS)),
            connections: Arc::new(ThreadPool::new("lonetd-refuse", CONNECTION_THREADS)),
            waiting: Arc::default(),
        }
    }

    /// Closes a descriptor of any kind, on another thread.
    pub fn close(&self, fd: OwnedFd) {
        self.descriptors.submit(move || close(fd));
    }

    /// Closes outsiders' connections and all descriptors that they may have sent, on threads of their own: what keeps
    /// these busy for ever holds up outsiders alone.
    pub fn end(&self, connections: Vec<OwnedFd>) {
        let waiting = self.waiting.clone();
        waiting.fetch_add(connections.len(), Ordering::Relaxed);
        self.connections.submit(move || {
            for connection in connections {
                end(connection);
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// Whether more connections are being refused than can be closed.
    pub fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= WAITING
    }
}

fn end(connection: OwnedFd) {
    // Nothing arrives any more.
    let _ = socket::shutdown(connection.as_raw_fd(), Shutdown::Read);
    // The sender's credentials distinguish a message without bytes from the end.
    let _ = socket::setsockopt(&connection, sockopt::PassCred, &true);
    let mut buffer = [0u8; MAX_MESSAGE];
    while let Ok(Some(message)) = receive(&connection, &mut buffer) {
        message.rights.into_iter().for_each(close);
    }
}

/// A descriptor that came with a message, and is closed by [`Closer`] unless it is taken.
pub struct Right {
    fd: Option<OwnedFd>,
    closer: Closer,
}

impl Right {
    pub fn new(fd: OwnedFd, closer: &Closer) -> Right {
        Right { fd: Some(fd), closer: closer.clone() }
    }

    pub fn take(mut self) -> Option<OwnedFd> {
        self.fd.take()
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        self.fd.take().into_iter().for_each(|fd| self.closer.close(fd));
    }
}

/// Closes a received descriptor without lingering. Unsent data of such a connection is still sent, or not.
pub fn close(fd: OwnedFd) {
    let now = libc::linger { l_onoff: 0, l_linger: 0 };
    let _ = sys::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &now);
}

/// A received message.
pub struct Message {
    pub len: usize,
    pub rights: Vec<OwnedFd>,
}

/// Reads a message and leaves it there, with its descriptors. Nothing: as for [`receive`].
pub fn peek(connection: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // Without room for descriptors, whose last references stay with the message: none is closed.
    socket::recv(connection.as_raw_fd(), buffer, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)
}

/// Receives a message with its descriptors. `Ok(None)`: the connection has ended, or the message is empty.
pub fn receive(connection: &OwnedFd, buffer: &mut [u8]) -> Result<Option<Message>, Errno> {
    #[repr(C, align(8))]
    struct Room([u8; ROOM]);
    let mut room = Room([0; ROOM]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    (header.msg_control, header.msg_controllen) = (room.0.as_mut_ptr().cast(), ROOM);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the buffer and the room, which live until the return.
    let len =
        check(unsafe { libc::recvmsg(connection.as_raw_fd(), &raw mut header, flags) } as i64)? as usize;
    let is_end = len == 0 && header.msg_controllen == 0;
    let mut rights = Vec::new();
    // SAFETY: the kernel has filled the room as far as the header says.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: as above; the data of such a control message are descriptors, which nobody else has.
    while let Some(one) = unsafe { control.as_ref() } {
        if (one.cmsg_level, one.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: as above.
            unsafe {
                let data = libc::CMSG_DATA(control);
                let bytes = one.cmsg_len.saturating_sub(data.addr() - control.addr());
                let numbers =
                    (0..bytes / size_of::<i32>()).map(|n| data.cast::<i32>().add(n).read_unaligned());
                rights.extend(numbers.map(|fd| OwnedFd::from_raw_fd(fd)));
            }
        }
        // SAFETY: as above.
        control = unsafe { libc::CMSG_NXTHDR(&raw const header, control) };
    }
    Ok((!is_end).then_some(Message { len, rights }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, ControlMessage, SockFlag, SockType, socketpair};
    use std::io::IoSlice;

    /// A pair of sockets of the kind that the control sockets are.
    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).expect("a pair")
    }

    fn send(fd: &OwnedFd, bytes: &[u8], rights: &[i32]) {
        let control = [ControlMessage::ScmRights(rights)];
        let control = if rights.is_empty() { &[][..] } else { &control[..] };
        socket::sendmsg::<()>(fd.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None)
            .expect("a message");
    }

    #[test]
    fn all_descriptors_of_a_message_are_received() {
        let (a, b) = pair();
        for many in [0, 1, 253] {
            send(&a, b"x", &vec![a.as_raw_fd(); many]);
            let got = receive(&b, &mut [0; 8]).expect("a message").expect("one that has bytes");
            assert_eq!((got.len, got.rights.len()), (1, many));
        }
        assert_eq!(receive(&b, &mut [0; 8]).err(), Some(Errno::EAGAIN));
        drop(a);
        assert!(receive(&b, &mut [0; 8]).expect("the end").is_none());
    }

    #[test]
    fn connection_that_is_given_up_is_read_to_its_end() {
        let ((a, b), (read, write)) = (pair(), nix::unistd::pipe().expect("a pipe"));
        send(&a, b"", &[]);
        send(&a, b"", &[write.as_raw_fd()]);
        send(&a, b"x", &[]);
        send(&a, b"x", &[write.as_raw_fd(); 2]);
        drop(write);
        end(b.try_clone().expect("a copy"));
        // No message was left, and its descriptor is closed.
        assert!(receive(&b, &mut [0; 8]).expect("the end").is_none());
        assert_eq!(nix::unistd::read(&read, &mut [0]), Ok(0));
    }
}
