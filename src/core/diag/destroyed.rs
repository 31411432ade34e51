//! The kernel's announcements of TCP sockets that have ended.
//!
//! The kernel multicasts a message for every TCP socket that it frees, whatever its state was and whether or
//! not it was ever bound. It does so from a work queue, up to some milliseconds later, and for sockets of this
//! network namespace only. That a connect was refused or a connection reset is no end: the close is. A closed
//! connection that goes on as TIME_WAIT, or as FIN_WAIT2 while its peer keeps open, is told of when it becomes
//! that: its 4-tuple lives on, its socket does not, and there is no second message when the tuple goes.

use super::netlink::Netlink;
use super::{SEVERAL, error, wire};
use crate::block::Block;
use crate::sys::{self, Traffic};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY are groups 1 and 3; group n is bit n - 1.
const GROUPS: u32 = 0b101;

/// Bytes that may wait to be read; the kernel doubles it, and counts about 1280 for a message. So 6,500 messages
/// with privilege; without, what net.core.rmem_max allows: 330 where that is 208 KiB.
const BACKLOG: libc::c_int = 4 << 20;

/// Of a message counts what is up to the end of the bytes that a socket has sent: 320.
const ROOM: usize = 384;

/// A socket that has ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub cookie: u64,
    /// `None`: the kernel does not say.
    pub traffic: Option<Traffic>,
}

/// A subscription to the ends of TCP sockets. Non-blocking; readable when there is news.
#[derive(Debug)]
pub struct Destroyed {
    netlink: Netlink,
}

impl Destroyed {
    pub fn open() -> io::Result<Self> {
        let netlink = Netlink::open(libc::SOCK_NONBLOCK)?;
        // Beyond the machine's limit with privilege, up to that limit without. Less only means that ENOBUFS
        // comes sooner.
        if sys::setsockopt(netlink.raw(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BACKLOG).is_err() {
            sys::setsockopt(netlink.raw(), libc::SOL_SOCKET, libc::SO_RCVBUF, &BACKLOG)?;
        }
        // SAFETY: all zeros is a sockaddr_nl.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = GROUPS;
        let len = size_of::<libc::sockaddr_nl>() as u32;
        // SAFETY: `address` has `len` bytes and outlives the call.
        unsafe { sys::bind(netlink.raw(), (&raw const address).cast(), len) }?;
        Ok(Destroyed { netlink })
    }

    /// From now on only of sockets with an end in this block, and of those without an address, as one is that was never
    /// bound or was closed with a reset: whoever follows a network's sockets is not to be woken by every connection of
    /// the machine.
    pub fn only(&self, block: Block) -> io::Result<()> {
        let mut filter = filter(block);
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        Ok(sys::setsockopt(self.netlink.raw(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?)
    }

    /// Sockets that have ended, some of them. `Ok(None)`: no more for the moment.
    ///
    /// ENOBUFS: news has been lost, and what the caller believes alive has to be checked; later calls go on
    /// with what comes after.
    pub fn next(&self) -> io::Result<Option<Vec<End>>> {
        let mut buffers = [[0; ROOM]; SEVERAL];
        let lengths = match self.netlink.receive_several(&mut buffers) {
            Ok(lengths) => lengths,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut ends = Vec::with_capacity(SEVERAL);
        for (buffer, length) in buffers.iter().zip(lengths).filter(|(_, length)| *length > 0) {
            // One datagram is one message is one socket. What cannot be read is as good as lost.
            let lost = || error(libc::ENOBUFS);
            let message = wire::messages(&buffer[..length]).next().ok_or_else(lost)?;
            if !matches!(message.kind, wire::ERROR | wire::DONE) {
                let cookie = wire::socket_cookie(message.body).ok_or_else(lost)?;
                ends.push(End { cookie, traffic: wire::carried(message.body) });
            }
        }
        Ok(Some(ends))
    }
}

/// Where messages have what the filter looks at. Behind the header (16 bytes) is an inet_diag_msg: the family in its
/// first byte, and 16 bytes for each address, of which the first four are an IPv4 address, the last a v4-mapped one.
const FAMILY: u32 = 16;
const SOURCE: u32 = FAMILY + 8;
const DESTINATION: u32 = SOURCE + 16;
const MAPPED: u32 = 12;

/// Takes what has a source or a destination in the block, or a source of zeros.
fn filter(block: Block) -> [libc::sock_filter; 12] {
    const LOAD_FAMILY: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const SET_INDEX: u32 = libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM;
    const LOAD_AT_INDEX: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_IND;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // `yes` and `no`: how many steps to skip.
    let step =
        |code: u32, k: u32, yes: u8, no: u8| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let net = u32::from(block.stack()) & 0xffff_0000;
    [
        step(LOAD_FAMILY, FAMILY, 0, 0),
        // The index is 0 at first.
        step(IF_EQUAL, libc::AF_INET6 as u32, 0, 1),
        step(SET_INDEX, MAPPED, 0, 0),
        step(LOAD_AT_INDEX, SOURCE, 0, 0),
        step(IF_EQUAL, 0, 5, 0),
        step(AND, 0xffff_0000, 0, 0),
        step(IF_EQUAL, net, 3, 0),
        step(LOAD_AT_INDEX, DESTINATION, 0, 0),
        step(AND, 0xffff_0000, 0, 0),
        step(IF_EQUAL, net, 0, 1),
        step(RETURN, u32::MAX, 0, 0),
        step(RETURN, 0, 0, 0),
    ]
}

impl AsRawFd for Destroyed {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.raw()
    }
}

impl AsFd for Destroyed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor lives as long as what it is borrowed from.
        unsafe { BorrowedFd::borrow_raw(self.netlink.raw()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::until;
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_overrun_of_the_news_is_an_error_and_then_it_goes_on() {
        let news = Destroyed::open().expect("a subscription");
        let smallest: libc::c_int = 0;
        sys::setsockopt(news.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &smallest).expect("an option");
        let mut overrun = false;
        until("an overrun", || {
            for _ in 0..64 {
                drop(sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket"));
            }
            std::thread::sleep(Duration::from_millis(5));
            loop {
                match news.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return overrun,
                    Err(e) => {
                        assert_eq!(e.raw_os_error(), Some(libc::ENOBUFS));
                        overrun = true;
                    }
                }
            }
        });
    }
}
