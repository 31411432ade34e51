//! The valve of a TCP socket: what makes the kernel drop the segments that it sends, or those that it is sent.
//!
//! # Theory of operation
//!
//! The kernel drops a segment whose TTL is below IP_MINTTL of the socket that it is for, before TCP sees it. Every socket of
//! lonet's has IP_MINTTL 2 ([`LEAST`]); what is accepted inherits it. So either end of a connection shuts both directions:
//!
//! | direction | at the socket |
//! |---|---|
//! | what it sends is dropped | IP_TTL 1: below what every peer wants |
//! | what it is sent is dropped | IP_MINTTL 255: above what any peer sends |
//!
//! Nothing is lost: TCP sends again what has not been acknowledged, gives up when its time limits say so, and goes on as soon
//! as a segment passes. Both options may be set on a live socket, by whoever has a descriptor of it, and stay with the socket
//! through fork, exec and messages.
//!
//! **What the program sets** of the two lies between: never 1 or 255 in the kernel ([`Hops`]), so that these values always
//! mean a shut valve. The program is shown what it has set. While a valve is shut that is kept in the table
//! ([`crate::table::hops`]).
//!
//! **Who sets it.** lonetd, on all sockets that a change of the rules concerns; and the process itself, where a dial or an
//! accept makes a socket that rules concern ([`apply_rules`]). Both compute the setting from the rules in the table and then set it,
//! in any order and as often as they like. lonetd writes the rules and then looks for records of sockets; the process writes
//! the record and then looks for rules, and looks again after it has set something: one of the two sees the other.

use crate::pace::{self, Pace};
use crate::sys::{self, Result};
use crate::table::Table;
use std::os::fd::RawFd;
use std::sync::atomic::{Ordering, fence};

pub const IP_TTL: i32 = libc::IP_TTL;
pub const IP_MINTTL: i32 = 21;

/// IP_MINTTL of an open socket.
pub const LEAST: u8 = 2;

/// The settings of a shut valve.
const SHUT_TTL: i32 = 1;
const SHUT_LEAST: i32 = 255;

/// What the kernel may have of a program's, and its own choice of a TTL where nobody has set another.
const LOWEST: u8 = 2;
const HIGHEST: u8 = 254;
const DEFAULT: i32 = 64;

/// The directions that are shut at a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shut {
    pub sending: bool,
    pub receiving: bool,
}

impl Shut {
    pub const NEITHER: Shut = Shut { sending: false, receiving: false };

    pub fn is_any(self) -> bool {
        self.sending || self.receiving
    }

    /// As it is set at a socket whose handshake is under way, if `dials`: the other end of a handshake drops nothing that
    /// this end sends, so that this end must not hear of it.
    fn of_dial(self, dials: bool) -> Shut {
        Shut { receiving: self.receiving || dials && self.sending, ..self }
    }
}

/// What a program has set IP_TTL and IP_MINTTL to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// `None`: the system's default.
    pub ttl: Option<u8>,
    pub least: u8,
}

impl Hops {
    /// What the kernel has of it in an open socket.
    fn in_kernel(self) -> (i32, i32) {
        let ttl = self.ttl.map_or(-1, |ttl| i32::from(ttl.clamp(LOWEST, HIGHEST)));
        (ttl, i32::from(self.least.clamp(LEAST, HIGHEST)))
    }

    /// What a program is taken to have set by what the kernel has, which for some values is the nearest that it may have.
    /// Of a shut valve: nothing.
    fn from_kernel((ttl, least): (i32, i32)) -> Hops {
        let ttl = match ttl {
            SHUT_TTL | SHUT_LEAST | DEFAULT => None,
            2 => Some(1),
            254 => Some(255),
            other => u8::try_from(other).ok(),
        };
        let least = match least {
            0..=2 | SHUT_LEAST => 0,
            254 => 255,
            other => u8::try_from(other).unwrap_or(0),
        };
        Hops { ttl, least }
    }
}

fn settings(fd: RawFd) -> Result<(i32, i32)> {
    Ok((sys::getsockopt(fd, libc::SOL_IP, IP_TTL)?, sys::getsockopt(fd, libc::SOL_IP, IP_MINTTL)?))
}

/// A socket is about to get its place in the network.
pub fn fit(fd: RawFd) -> Result<()> {
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &i32::from(LEAST))
}

/// As [`fit`], where its program may have set the options.
pub fn fit_as_set(fd: RawFd) -> Result<()> {
    let (ttl, least) = settings(fd)?;
    let lowest = i32::from(LOWEST);
    let highest = i32::from(HIGHEST);
    if ttl != ttl.clamp(lowest, highest) {
        sys::setsockopt(fd, libc::SOL_IP, IP_TTL, &ttl.clamp(lowest, highest))?;
    }
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &least.clamp(i32::from(LEAST), highest))
}

/// What the program has set, as it is to be shown.
pub fn hops(table: Table<'_>, fd: RawFd, cookie: u64) -> Result<Hops> {
    match table.hops(cookie) {
        Some(hops) => Ok(hops),
        None => settings(fd).map(Hops::from_kernel),
    }
}

/// Whether anything is shut at a socket.
pub fn shut(fd: RawFd) -> Result<Shut> {
    let (ttl, least) = settings(fd)?;
    Ok(Shut { sending: ttl == SHUT_TTL, receiving: least == SHUT_LEAST })
}

/// Sets the valve of a socket. `dials`: its handshake is under way.
pub fn set(table: Table<'_>, fd: RawFd, cookie: u64, shut: Shut, dials: bool) -> Result<()> {
    let shut = shut.of_dial(dials);
    let is = settings(fd)?;
    let kept = table.hops(cookie);
    let hops = kept.unwrap_or_else(|| Hops::from_kernel(is));
    // Before it is lost.
    if shut.is_any() && kept.is_none() && hops != Hops::default() {
        table.set_hops(cookie, hops);
    }
    let (open_ttl, open_least) = hops.in_kernel();
    let ttl = if shut.sending { SHUT_TTL } else { open_ttl };
    let least = if shut.receiving { SHUT_LEAST } else { open_least };
    if is.0 != ttl && !(ttl == -1 && is.0 == DEFAULT) {
        sys::setsockopt(fd, libc::SOL_IP, IP_TTL, &ttl)?;
    }
    if is.1 != least {
        sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &least)?;
    }
    Ok(())
}

/// Opens a socket so wide that its segments pass whatever the other end is stuck with, which nobody can reach any more; and
/// hears whatever comes from there.
pub fn open_wide(fd: RawFd) -> Result<()> {
    sys::setsockopt(fd, libc::SOL_IP, IP_TTL, &SHUT_LEAST)?;
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &0)
}

/// Sets the valve of a socket of this process as the rules have it, if there are any. The socket has its record, or it has been
/// accepted. `ends`: the hosts of this end and of the other one.
pub fn apply_rules(table: Table<'_>, fd: RawFd, cookie: u64, ends: (u16, u16), dials: bool) {
    fence(Ordering::SeqCst);
    if table.faults() != 0 {
        let _ = enforce(table, fd, cookie, ends, dials);
    }
}

/// As [`apply_rules`], for a dial that is about to be made.
pub fn apply_rules_at_dial(table: Table<'_>, fd: RawFd, cookie: u64, ends: (u16, u16)) {
    fence(Ordering::SeqCst);
    if table.faults() != 0 {
        table.count_dial_hits(ends.0, ends.1);
        let _ = enforce(table, fd, cookie, ends, true);
    }
}

/// As [`apply_rules`], whether there are rules or not.
#[cold]
#[inline(never)]
pub fn enforce(table: Table<'_>, fd: RawFd, cookie: u64, ends: (u16, u16), dials: bool) -> Result<()> {
    let mut paced = Pace::default();
    loop {
        let (rules, (shut, pace)) = table.shut_and_pace_between(ends);
        set(table, fd, cookie, shut, dials)?;
        pace::set(fd, paced, pace)?;
        paced = pace;
        fence(Ordering::SeqCst);
        if table.faults() == rules {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_sets_is_never_a_shut_valve_in_the_kernel() {
        for value in 0..=255 {
            let hops = Hops { ttl: Some(value), least: value };
            let (ttl, least) = hops.in_kernel();
            assert!((2..=254).contains(&ttl) && (2..=254).contains(&least), "{value}");
        }
    }

    #[test]
    fn first_and_last_values_are_told_from_what_the_kernel_has() {
        for hops in [
            Hops::default(),
            Hops { ttl: Some(1), least: 0 },
            Hops { ttl: Some(255), least: 255 },
            Hops { ttl: Some(3), least: 253 },
        ] {
            let in_kernel = match hops.in_kernel() {
                (-1, least) => (DEFAULT, least),
                other => other,
            };
            assert_eq!(Hops::from_kernel(in_kernel), hops);
        }
        assert_eq!(Hops::from_kernel((SHUT_TTL, SHUT_LEAST)), Hops::default());
    }

    #[test]
    fn dial_that_may_not_send_does_not_hear_either() {
        let shut = Shut { sending: true, receiving: false };
        assert_eq!(shut.of_dial(true), Shut { sending: true, receiving: true });
        assert_eq!(shut.of_dial(false), shut);
        assert_eq!(Shut::NEITHER.of_dial(true), Shut::NEITHER);
    }
}
