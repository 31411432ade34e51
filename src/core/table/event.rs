//! One event of the network, and its packed form in the ring of [`events`](super::events).

use super::entry::{pack_name, pack_os, unpack_name, unpack_os};
use crate::block::{Block, Endpoint};
use crate::sys;
use std::net::SocketAddrV4;

/// Number of words of a packed event.
pub const WORDS: usize = 7;

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    HostUp = 1,
    HostDown = 2,
    Joined = 3,
    Ended = 4,
    Bound = 5,
    Listening = 6,
    Unlistened = 7,
    Dial = 8,
    Connected = 9,
    Accepted = 10,
    Refused = 11,
    Unreachable = 12,
    TimedOut = 13,
    Reset = 14,
    NameAsked = 15,
    NameAnswered = 16,
    FaultSet = 17,
    FaultHit = 18,
    FaultHealed = 19,
    /// A descriptor of the socket is about to be closed; `numbers` are the bytes that this end has sent and
    /// received. It is the last close if the kernel announces the socket's end.
    Closing = 20,
    /// connect has returned, and the connection is not established yet.
    UnderWay = 21,
    /// A socket has ended whose close was not seen: with its process if `number` is not 0.
    Closed = 22,
}

impl Kind {
    const ALL: [Kind; 22] = [
        Kind::HostUp,
        Kind::HostDown,
        Kind::Joined,
        Kind::Ended,
        Kind::Bound,
        Kind::Listening,
        Kind::Unlistened,
        Kind::Dial,
        Kind::Connected,
        Kind::Accepted,
        Kind::Refused,
        Kind::Unreachable,
        Kind::TimedOut,
        Kind::Reset,
        Kind::NameAsked,
        Kind::NameAnswered,
        Kind::FaultSet,
        Kind::FaultHit,
        Kind::FaultHealed,
        Kind::Closing,
        Kind::UnderWay,
        Kind::Closed,
    ];

    /// The kind of event for a connect that failed with this errno.
    pub fn of_failure(errno: i32) -> Kind {
        match errno {
            libc::ECONNREFUSED => Kind::Refused,
            libc::ETIMEDOUT => Kind::TimedOut,
            libc::ECONNRESET | libc::ECONNABORTED => Kind::Reset,
            _ => Kind::Unreachable,
        }
    }
}

/// An event. It has addresses (`from`, `to`) or `numbers`, not both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    /// Microseconds since 1970.
    pub time: u64,
    pub pid: i32,
    /// Index of the host that the event is about; 0: none.
    pub host: u16,
    pub errno: u16,
    /// SO_COOKIE of the socket that the event is about; 0: none.
    pub cookie: u64,
    /// The dialer's address. A loopback address is one of the host `host`.
    pub from: Option<Endpoint>,
    /// The listener's address, or that of a socket without a peer.
    pub to: Option<Endpoint>,
    /// Its meaning depends on the kind. 0 where `os` is known.
    pub number: u64,
    /// Their meaning depends on the kind.
    pub numbers: Option<[u64; 2]>,
    /// Where the kernel has the two ends of a connection or of a dial, the dialer's first, as far as known.
    pub os: Ends,
    /// Who has called is no host.
    pub is_outsiders: bool,
}

/// The kernel's addresses of two ends.
pub type Ends = [Option<SocketAddrV4>; 2];

impl Event {
    /// An event that happens now, without details.
    pub fn new(kind: Kind, pid: i32, host: u16) -> Event {
        Event {
            kind,
            time: sys::clock(libc::CLOCK_REALTIME).as_micros() as u64,
            pid,
            host,
            errno: 0,
            cookie: 0,
            from: None,
            to: None,
            number: 0,
            numbers: None,
            os: [None; 2],
            is_outsiders: false,
        }
    }

    pub fn pack(&self, block: Block) -> [u64; WORDS] {
        let head = self.kind as u64
            | u64::from(self.numbers.is_some()) << 8
            | u64::from(self.has_os()) << 9
            | u64::from(self.is_outsiders) << 10
            | u64::from(self.errno) << 16
            | u64::from(self.host) << 32;
        let [a, b] = self.numbers.unwrap_or([pack_name(self.from, block), pack_name(self.to, block)]);
        let pid = u64::from(self.pid as u32);
        if !self.has_os() {
            return [self.time, head, pid, self.cookie, a, b, self.number];
        }
        // The IP addresses in the number's place, the ports above head and pid.
        let [from, to] = self.os.map(pack_os);
        let number = from >> 16 << 32 | to >> 16;
        [self.time, head | from << 48, pid | to << 48, self.cookie, a, b, number]
    }

    fn has_os(&self) -> bool {
        self.os.iter().any(Option::is_some)
    }

    /// Unpacks an event. `None`: its kind is unknown to this version.
    pub fn unpack(words: &[u64; WORDS], block: Block) -> Option<Event> {
        let [time, head, pid, cookie, a, b, number] = *words;
        let has_numbers = head >> 8 & 1 == 1;
        let has_os = head >> 9 & 1 == 1;
        let name = |word| if has_numbers { None } else { unpack_name(word, block) };
        let os = [(number >> 32) << 16 | head >> 48, (number & 0xffff_ffff) << 16 | pid >> 48];
        Some(Event {
            kind: *Kind::ALL.iter().find(|k| **k as u64 == head & 0xff)?,
            time,
            pid: pid as u32 as i32,
            host: (head >> 32) as u16,
            errno: (head >> 16) as u16,
            cookie,
            from: name(a),
            to: name(b),
            number: if has_os { 0 } else { number },
            numbers: has_numbers.then_some([a, b]),
            os: if has_os { os.map(unpack_os) } else { [None; 2] },
            is_outsiders: head >> 10 & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn event_is_unpacked_as_it_was_packed() {
        let b = Block::new(7).expect("a block");
        let at = |index, port| Some(Endpoint::new(b.shown(index, crate::block::Face::V4), port));
        let outside = Some(Endpoint::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 4711));
        for kind in Kind::ALL {
            let event = Event { errno: 111, cookie: u64::MAX, number: 9, ..Event::new(kind, -1, u16::MAX) };
            let named = Event { from: at(3, 1), to: outside, ..event };
            let counted = Event { numbers: Some([u64::MAX, 1]), ..event };
            let os = [Some(SocketAddrV4::new(Ipv4Addr::new(127, 7, 0, 3), 65535)), None];
            let called = Event { os, number: 0, is_outsiders: true, ..named };
            let both = Event { os: [os[0], Some(SocketAddrV4::new(Ipv4Addr::BROADCAST, 1))], ..called };
            for event in [event, named, counted, called, both] {
                assert_eq!(Event::unpack(&event.pack(b), b), Some(event));
            }
        }
    }
}
