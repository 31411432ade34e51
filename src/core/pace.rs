//! Rate and delay of what a socket sends: SO_MAX_PACING_RATE and TCP_TX_DELAY, which any holder of a
//! descriptor may set on a live socket.
//!
//! The kernel paces each connection, but for its first ten segments. If the program has set a lower rate than
//! the rule, it keeps that. A higher rate that it has set is lost when the rule ends, and so is a delay. The
//! delay is a time stamp on each segment, which only the fq queueing discipline obeys.

use crate::sys::{self, Result};
use std::os::fd::RawFd;

const TCP_TX_DELAY: i32 = 37;

/// Rate and delay that the fault rules want for a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second. `None`: no rule limits it.
    pub rate: Option<u64>,
    /// Microseconds.
    pub delay: u32,
}

/// Sets rate and delay of a socket. `was`: those that the rules have set before.
pub fn set(fd: RawFd, was: Pace, is: Pace) -> Result<()> {
    set_rate(fd, was.rate, is.rate)?;
    if was.delay == is.delay && is.delay == 0 {
        return Ok(());
    }
    sys::setsockopt(fd, libc::IPPROTO_TCP, TCP_TX_DELAY, &(is.delay as i32))
}

/// What the socket sends is not delayed any more.
pub fn end_delay(fd: RawFd) -> Result<()> {
    match sys::getsockopt::<i32>(fd, libc::IPPROTO_TCP, TCP_TX_DELAY) {
        // This kernel has no such option.
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => sys::setsockopt(fd, libc::IPPROTO_TCP, TCP_TX_DELAY, &0_i32),
    }
}

const UNLIMITED: u64 = u64::MAX;

fn rate(fd: RawFd) -> Result<u64> {
    sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE)
}

fn set_rate(fd: RawFd, was: Option<u64>, is: Option<u64>) -> Result<()> {
    if was.is_none() && is.is_none() {
        return Ok(());
    }
    let now = rate(fd)?;
    let is_ours = was == Some(now);
    let to = match is {
        Some(limit) if is_ours || now > limit => limit,
        None if is_ours => UNLIMITED,
        _ => return Ok(()),
    };
    if to == now { Ok(()) } else { sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn rate_is_the_rules_unless_the_program_has_a_lower_one() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let fd = socket.as_raw_fd();
        let all = |was, is| {
            set_rate(fd, was, is).expect("an option");
            rate(fd).expect("its value")
        };
        assert_eq!(all(None, None), UNLIMITED);
        assert_eq!(all(None, Some(5000)), 5000);
        assert_eq!(all(Some(5000), Some(9000)), 9000);
        assert_eq!(all(Some(9000), None), UNLIMITED);
        assert_eq!(all(Some(9000), None), UNLIMITED);
        sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, &700_u64).expect("an option");
        assert_eq!(all(None, Some(5000)), 700);
        assert_eq!(all(Some(5000), None), 700);
    }

    #[test]
    fn delay_is_set_and_taken_back() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let fd = socket.as_raw_fd();
        let delay = |delay| Pace { delay, ..Pace::default() };
        for (was, is) in [(0, 50_000), (50_000, 20_000), (20_000, 0), (0, 0)] {
            set(fd, delay(was), delay(is)).expect("an option");
            assert_eq!(sys::getsockopt::<u32>(fd, libc::IPPROTO_TCP, TCP_TX_DELAY), Ok(is));
        }
    }
}
