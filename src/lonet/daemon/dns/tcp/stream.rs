//! One side of a connection for queries: a socket, and the messages on their way in and out.

use lonet_core::block::Endpoint;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// The longest message, with its length.
pub const LONGEST: usize = 2 + 65535;

/// One side of a connection.
pub struct Stream {
    socket: TcpStream,
    token: u64,
    /// What has been read and is not taken yet: at most one message of the greatest length.
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub is_at_end: bool,
    /// Nothing more will be written.
    is_ended: bool,
    /// Empty: it is not watched.
    watched: EpollFlags,
}

impl Stream {
    pub fn new(epoll: &Epoll, socket: TcpStream, token: u64) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        let watched = EpollFlags::EPOLLIN;
        epoll.add(&socket, EpollEvent::new(watched, token))?;
        let (input, output) = (Vec::new(), Vec::new());
        Ok(Stream { socket, token, input, output, is_at_end: false, is_ended: false, watched })
    }

    /// Reads what has come, as far as there is room. An error: the connection is lost.
    pub fn fill(&mut self) -> io::Result<()> {
        let had = self.input.len();
        if self.is_at_end || had >= LONGEST {
            return Ok(());
        }
        self.input.resize(LONGEST, 0);
        let read = self.socket.read(self.input.get_mut(had..).unwrap_or_default());
        self.input.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(n) => self.is_at_end = n == 0,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// The next message, if it is complete.
    pub fn peek(&self) -> Option<&[u8]> {
        let (length, rest) = self.input.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    }

    /// Takes the next message.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.input.drain(..2 + message.len());
        Some(message)
    }

    pub fn has_room(&self) -> bool {
        self.output.len() < LONGEST
    }

    /// Appends a message to what is to be written.
    pub fn put(&mut self, message: &[u8]) {
        self.output.extend((message.len() as u16).to_be_bytes());
        self.output.extend(message);
    }

    /// Writes what can be written. Returns whether there was no room before, and there is now.
    pub fn flush(&mut self) -> io::Result<bool> {
        let had_room = self.has_room();
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(!had_room && self.has_room())
    }

    /// Nothing more will be written: the other end hears of it as soon as all has been.
    pub fn end_output(&mut self) {
        if self.output.is_empty() && !self.is_ended {
            self.is_ended = self.socket.shutdown(Shutdown::Write).is_ok();
        }
    }

    pub fn watch(&mut self, epoll: &Epoll) -> Result<(), Errno> {
        let reads = !self.is_at_end && self.input.len() < LONGEST;
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, reads);
        flags.set(EpollFlags::EPOLLOUT, !self.output.is_empty());
        // One for which nothing is wanted is not watched: the kernel would tell of its end over and over.
        let mut event = EpollEvent::new(flags, self.token);
        match (self.watched.is_empty(), flags.is_empty()) {
            _ if flags == self.watched => {}
            (true, _) => epoll.add(&self.socket, event)?,
            (false, true) => epoll.delete(&self.socket)?,
            (false, false) => epoll.modify(&self.socket, &mut event)?,
        }
        self.watched = flags;
        Ok(())
    }
}

/// A socket that is on its way to the name server.
pub fn start_connect(real: Endpoint) -> io::Result<TcpStream> {
    let (family, ip) = match real.ip.to_ipv4_mapped() {
        Some(v4) => (AddressFamily::Inet, IpAddr::V4(v4)),
        None => (AddressFamily::Inet6, IpAddr::V6(real.ip)),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((ip, real.port)))) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
        Err(e) => Err(e.into()),
    }
}
