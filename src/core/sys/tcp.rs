//! Operations on TCP sockets that several parts of lonet use.

use super::{Result, connect, getsockopt, setsockopt};
use crate::diag::State;
use std::os::fd::RawFd;
use zerocopy::FromBytes;

/// SO_COOKIE: the identity of a socket, never reused while the machine runs.
pub fn cookie(fd: RawFd) -> Result<u64> {
    getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// Disconnects a socket, which stays open (connect to AF_UNSPEC). The peer sees a reset.
pub fn disconnect(fd: RawFd) -> Result<()> {
    // SAFETY: all zeroes is a sockaddr of AF_UNSPEC.
    let nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: an address of ours with its length.
    unsafe { connect(fd, &raw const nobody, size_of::<libc::sockaddr>() as u32) }
}

/// Makes the last close of a connection's descriptors send a reset (SO_LINGER 0).
pub fn reset_at_close(fd: RawFd) -> Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// State of a TCP socket, and the payload that it has sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The kernel's number of the state, as in [`State`].
    pub state: u8,
    /// Bytes that the program has sent.
    pub sent: u64,
    /// Bytes received, plus 1 if the peer's FIN has arrived.
    pub received: u64,
    /// Acknowledged sequence numbers that are not bytes: the dialer's SYN, and the FIN.
    pub acknowledged: u64,
}

pub fn traffic(fd: RawFd) -> Option<Traffic> {
    Traffic::of(getsockopt::<[u8; size_of::<Info>()]>(fd, libc::IPPROTO_TCP, libc::TCP_INFO).ok()?.as_slice())
}

/// How many segments a socket has sent again, from a struct tcp_info.
pub fn retransmitted(info: &[u8]) -> Option<u32> {
    Some(OldInfo::read_from_prefix(info).ok()?.0.total_retrans)
}

/// struct tcp_info of `linux/tcp.h`, as every kernel has it.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct OldInfo {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    wscale: u8,
    delivery_rate_app_limited: u8,
    /// From tcpi_rto to tcpi_rcv_space.
    timers_and_metrics: [u32; 23],
    total_retrans: u32,
}

/// The same, as far as Linux 4.19 has it.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct Info {
    old: OldInfo,
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery_rate: u64,
    busy_time: u64,
    rwnd_limited: u64,
    sndbuf_limited: u64,
    delivered: u32,
    delivered_ce: u32,
    bytes_sent: u64,
    bytes_retrans: u64,
}

const _: () = assert!(size_of::<OldInfo>() == 104 && size_of::<Info>() == 216);

impl Traffic {
    /// Reads a struct tcp_info. `None`: it is of a kernel before 4.19.
    pub fn of(info: &[u8]) -> Option<Traffic> {
        let (info, _) = Info::read_from_prefix(info).ok()?;
        let sent = info.bytes_sent.saturating_sub(info.bytes_retrans);
        Some(Traffic {
            state: info.old.state,
            sent: sent + u64::from(info.notsent_bytes),
            received: info.bytes_received,
            acknowledged: info.bytes_acked.saturating_sub(sent),
        })
    }

    /// Whether the connection is over, although this end is open.
    pub fn is_over(&self) -> bool {
        State(self.state) == State::CLOSE
    }

    /// Whether the connection is over by anything else than a FIN of each end, or was never established.
    /// `dialed`: by this end.
    pub fn was_cut_off(&self, dialed: bool) -> bool {
        self.is_over() && self.acknowledged <= u64::from(dialed)
    }

    /// Whether the peer has sent its FIN.
    pub fn is_done(&self, dialed: bool) -> bool {
        let done = [State::CLOSE_WAIT, State::LAST_ACK, State::CLOSING, State::TIME_WAIT];
        done.contains(&State(self.state)) || self.is_over() && !self.was_cut_off(dialed)
    }

    /// Packs everything but the bytes into a word.
    pub fn pack(&self) -> u64 {
        self.acknowledged << 8 | u64::from(self.state)
    }

    pub fn unpack(word: u64, [sent, received]: [u64; 2]) -> Traffic {
        Traffic { state: word as u8, acknowledged: word >> 8, sent, received }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let dialer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a dial");
        (dialer, listener.accept().expect("an accept").0)
    }

    fn seen(stream: &TcpStream) -> Traffic {
        traffic(stream.as_raw_fd()).expect("what the kernel says")
    }

    #[test]
    fn end_by_both_and_reset_differ_and_bytes_are_payload() {
        for dials in [true, false] {
            let (a, b) = pair();
            let (mut mine, mut other) = if dials { (a, b) } else { (b, a) };
            mine.write_all(b"hello").expect("a write");
            other.read_exact(&mut [0; 5]).expect("what was written");
            let t = seen(&mine);
            assert!(!t.is_over() && !t.is_done(dials) && (t.sent, t.received) == (5, 0), "{t:?}");
            let reset = Traffic { ..seen(&other) };
            assert_eq!(Traffic::unpack(reset.pack(), [reset.sent, reset.received]), reset);
            other.shutdown(Shutdown::Write).expect("a shutdown");
            let t = seen(&mine);
            assert!(t.is_done(dials) && !t.was_cut_off(dials) && t.received == 1, "{t:?}");
            mine.shutdown(Shutdown::Write).expect("a shutdown");
            for (end, dials) in [(&mine, dials), (&other, !dials)] {
                let t = seen(end);
                assert!(t.is_over() && t.is_done(dials) && !t.was_cut_off(dials), "{t:?}");
            }
            let (a, b) = pair();
            let (mut mine, other) = if dials { (a, b) } else { (b, a) };
            mine.write_all(b"hello").expect("a write");
            reset_at_close(other.as_raw_fd()).expect("an option");
            drop(other);
            let t = seen(&mine);
            assert!(t.was_cut_off(dials) && !t.is_done(dials) && t.received == 0, "{t:?}");
        }
    }
}
