//! The valve of a TCP socket: makes the kernel drop the segments that the socket sends, receives, or both.
//!
//! # Theory of operation
//!
//! The kernel drops a received segment whose TTL is below the socket's IP_MINTTL, before TCP sees it. Every
//! socket of lonet has IP_MINTTL 2 ([`LEAST`]); accepted sockets inherit it. So either end of a connection
//! can shut both directions:
//!
//! | direction | at the socket |
//! |---|---|
//! | sending | IP_TTL 1: below the minimum of every peer |
//! | receiving | IP_MINTTL 255: above the TTL of every peer |
//!
//! No data is lost: TCP retransmits what was not acknowledged, gives up when its timeouts say so, and goes on
//! as soon as a segment passes. Any holder of a descriptor may set both options on a live socket, and they
//! stay with the socket through fork, exec and SCM_RIGHTS.
//!
//! **The program's own values** of the two options are clamped, so that the kernel never has 1 or 255 of them
//! ([`Hops`]) and these values always mean a shut valve. The program sees the values that it has set. While a
//! valve is shut the table stores them ([`crate::table::hops`]).
//!
//! **Who sets it.** lonetd, on all sockets that a change of the rules concerns; and the process itself, when
//! a dial or an accept makes a socket that rules concern ([`apply_rules`]). Both compute the setting from the
//! rules in the table and then set it, in any order and as often as they like. lonetd writes the rules and
//! then looks for records of sockets; the process writes the record and then reads the rules, and reads them
//! again after it has set something. So at least one of the two sees the other's change.

use crate::pace::{self, Pace};
use crate::sys::{self, Result};
use crate::table::Table;
use std::os::fd::RawFd;
use std::sync::atomic::{Ordering, fence};

pub const IP_TTL: i32 = libc::IP_TTL;
pub const IP_MINTTL: i32 = 21;

/// IP_MINTTL of a socket whose valve is open.
pub const LEAST: u8 = 2;

/// The settings of a shut valve.
const SHUT_TTL: i32 = 1;
const SHUT_LEAST: i32 = 255;

/// The range to which a program's values are clamped.
const LOWEST: u8 = 2;
const HIGHEST: u8 = 254;

/// The kernel's default TTL.
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

    /// What to shut at a socket. If `dials` (its handshake is in progress), a socket that must not send must
    /// not receive either: during the handshake the other end does not drop what this end sends.
    fn of_dial(self, dials: bool) -> Shut {
        Shut { receiving: self.receiving || dials && self.sending, ..self }
    }
}

/// A program's values of IP_TTL and IP_MINTTL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// IP_TTL. `None`: the system's default.
    pub ttl: Option<u8>,
    /// IP_MINTTL.
    pub least: u8,
}

impl Hops {
    /// The kernel's values in a socket whose valve is open; -1 is the default TTL.
    fn in_kernel(self) -> (i32, i32) {
        let ttl = self.ttl.map_or(-1, |ttl| i32::from(ttl.clamp(LOWEST, HIGHEST)));
        (ttl, i32::from(self.least.clamp(LEAST, HIGHEST)))
    }

    /// The program's values behind those of the kernel. The ends of the clamped range stand for the values
    /// beyond them, and those of a shut valve for unset.
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

/// Prepares a socket that is about to join the network: opens its valve.
pub fn fit(fd: RawFd) -> Result<()> {
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &i32::from(LEAST))
}

/// As [`fit`], for a socket on which the program may have set the options.
pub fn fit_as_set(fd: RawFd) -> Result<()> {
    let (ttl, least) = settings(fd)?;
    let lowest = i32::from(LOWEST);
    let highest = i32::from(HIGHEST);
    if ttl != ttl.clamp(lowest, highest) {
        sys::setsockopt(fd, libc::SOL_IP, IP_TTL, &ttl.clamp(lowest, highest))?;
    }
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &least.clamp(i32::from(LEAST), highest))
}

/// The values that the program sees.
pub fn hops(table: Table<'_>, fd: RawFd, cookie: u64) -> Result<Hops> {
    match table.hops(cookie) {
        Some(hops) => Ok(hops),
        None => settings(fd).map(Hops::from_kernel),
    }
}

/// The directions that are shut at a socket.
pub fn shut(fd: RawFd) -> Result<Shut> {
    let (ttl, least) = settings(fd)?;
    Ok(Shut { sending: ttl == SHUT_TTL, receiving: least == SHUT_LEAST })
}

/// Sets the valve of a socket. `dials`: its handshake is in progress.
pub fn set(table: Table<'_>, fd: RawFd, cookie: u64, shut: Shut, dials: bool) -> Result<()> {
    let shut = shut.of_dial(dials);
    let is = settings(fd)?;
    let kept = table.hops(cookie);
    let hops = kept.unwrap_or_else(|| Hops::from_kernel(is));
    // The kernel is about to lose the program's values.
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

/// Opens a valve so wide that segments pass in both directions even if the other end, which nobody can reach
/// any more, is stuck with a shut valve.
pub fn open_wide(fd: RawFd) -> Result<()> {
    sys::setsockopt(fd, libc::SOL_IP, IP_TTL, &SHUT_LEAST)?;
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &0)
}

/// Lets segments of this TTL, and greater ones, in, whatever the valve drops.
pub fn let_in(fd: RawFd, ttl: u8) -> Result<()> {
    sys::setsockopt(fd, libc::SOL_IP, IP_MINTTL, &i32::from(ttl))
}

/// Applies the fault rules, if there are any, to a socket of this process that has a record or was accepted.
/// `ends`: the hosts of this end and of the other one. `dials`: as for [`set`].
pub fn apply_rules(table: Table<'_>, fd: RawFd, cookie: u64, ends: (u16, u16), dials: bool) {
    fence(Ordering::SeqCst);
    if table.faults() != 0 {
        let _ = enforce(table, fd, cookie, ends, dials);
    }
}

/// As [`apply_rules`], before connect. Counts the dial as a hit of the rules that cut it.
pub fn apply_rules_at_dial(table: Table<'_>, fd: RawFd, cookie: u64, ends: (u16, u16)) {
    fence(Ordering::SeqCst);
    if table.faults() != 0 {
        table.count_dial_hits(ends.0, ends.1);
        let _ = enforce(table, fd, cookie, ends, true);
    }
}

/// As [`apply_rules`], even if there are no rules.
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
    fn value_of_a_program_is_never_a_shut_valve_in_the_kernel() {
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
    fn dial_that_may_not_send_does_not_receive_either() {
        let shut = Shut { sending: true, receiving: false };
        assert_eq!(shut.of_dial(true), Shut { sending: true, receiving: true });
        assert_eq!(shut.of_dial(false), shut);
        assert_eq!(Shut::NEITHER.of_dial(true), Shut::NEITHER);
    }
}
