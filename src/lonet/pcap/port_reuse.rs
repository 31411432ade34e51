//! Connections that follow each other between the same two lonet addresses, one behind the other.
//!
//! A port of lonet's is free as soon as its last socket has gone, and may be dialed from again before the last segments of the
//! connection before have passed. With the kernel's ports these are two connections; with lonet's, a reader of the file could not tell
//! them apart. So the segments of the next connection are put behind the last ones of the one before, if these come soon.
//! Their times stay what they are.

use super::packet::Segment;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;

/// How long the end of a connection is waited for, in nanoseconds.
const MAX_DELAY: u64 = 500_000_000;

/// So many bytes wait for that at most.
const MAX_WAITING: usize = 32 << 20;

/// So many pairs of addresses are remembered before those are forgotten that have no connection.
const MAX_PAIRS: usize = 1 << 16;

/// A segment as it is to be written.
pub struct Ready {
    /// In nanoseconds since 1970.
    pub time: u64,
    pub length: usize,
    pub bytes: Vec<u8>,
    pub comment: Option<String>,
}

/// Of which connection a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The lonet addresses of the dialer and of the listener.
    pub ends: [SocketAddrV4; 2],
    /// Of two connections, the one that began later has the higher number.
    pub connection: u64,
    pub is_listeners: bool,
}

/// A pair of lonet addresses.
#[derive(Default)]
struct Pair {
    connection: u64,
    /// What the last segment of each end is acknowledged with.
    fin_end: [Option<u32>; 2],
    /// Whether it has been.
    fin_acknowledged: [bool; 2],
    waiting: VecDeque<(Origin, Segment, Ready)>,
}

#[derive(Default)]
pub struct PortReuse {
    pairs: HashMap<[SocketAddrV4; 2], Pair>,
    waiting: usize,
}

impl Pair {
    fn is_over(&self) -> bool {
        self.fin_acknowledged == [true; 2]
    }

    /// Whether a segment of this connection has its turn.
    fn may_write(&self, origin: &Origin) -> bool {
        origin.connection <= self.connection || self.connection == 0 || self.is_over()
    }

    /// A segment goes.
    fn record(&mut self, origin: &Origin, segment: &Segment) {
        if origin.connection > self.connection {
            *self = Pair {
                connection: origin.connection,
                waiting: std::mem::take(&mut self.waiting),
                ..Pair::default()
            };
        }
        if origin.connection < self.connection {
            return;
        }
        let (own, other) = (usize::from(origin.is_listeners), usize::from(!origin.is_listeners));
        if segment.is_reset() {
            self.fin_acknowledged = [true; 2];
        }
        if segment.is_fin() {
            self.fin_end[own] = Some(segment.next);
        }
        let is_behind = |end: u32| segment.acknowledged.is_some_and(|at| at.wrapping_sub(end) < 1 << 31);
        self.fin_acknowledged[other] |= self.fin_end[other].is_some_and(is_behind);
    }
}

impl PortReuse {
    /// Writes a segment, and those that have waited for it, or keeps it for later.
    pub fn push(&mut self, origin: Origin, segment: Segment, ready: Ready, write: &mut dyn FnMut(Ready)) {
        let pair = self.pairs.entry(origin.ends).or_default();
        if pair.may_write(&origin) && (pair.waiting.is_empty() || origin.connection <= pair.connection) {
            pair.record(&origin, &segment);
            write(ready);
            self.write_waiting(origin.ends, u64::MAX, write);
        } else {
            self.waiting += ready.bytes.len();
            pair.waiting.push_back((origin, segment, ready));
        }
        if self.pairs.len() > MAX_PAIRS {
            self.pairs.retain(|_, pair| !pair.is_over() || !pair.waiting.is_empty());
        }
    }

    /// Writes what has its turn between these addresses, and what has waited since `read_before` or longer.
    fn write_waiting(&mut self, ends: [SocketAddrV4; 2], read_before: u64, write: &mut dyn FnMut(Ready)) {
        let Some(pair) = self.pairs.get_mut(&ends) else { return };
        while let Some((origin, segment, ready)) = pair.waiting.pop_front() {
            let is_late = read_before != u64::MAX && ready.time <= read_before;
            if !is_late && !pair.may_write(&origin) {
                pair.waiting.push_front((origin, segment, ready));
                return;
            }
            pair.record(&origin, &segment);
            self.waiting -= ready.bytes.len();
            write(ready);
        }
    }

    /// Writes what has waited long enough. The bytes that go on waiting.
    pub fn flush_late(&mut self, now: u64, write: &mut dyn FnMut(Ready)) -> usize {
        if self.waiting > 0 {
            let read_before =
                if self.waiting > MAX_WAITING { u64::MAX - 1 } else { now.saturating_sub(MAX_DELAY) };
            let all: Vec<_> = self
                .pairs
                .iter()
                .filter(|(_, pair)| !pair.waiting.is_empty())
                .map(|(ends, _)| *ends)
                .collect();
            all.into_iter().for_each(|ends| self.write_waiting(ends, read_before, write));
        }
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const RST: u8 = 4;

    struct Line {
        reuse: PortReuse,
        written: Vec<u64>,
        time: u64,
    }

    impl Line {
        /// A segment of a connection, from its dialer or its listener; written or not, it has the time as its name.
        fn send(&mut self, connection: u64, is_listeners: bool, flags: u8, numbers: [u32; 2]) {
            self.time += 1;
            let end = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let segment = Segment::new([end(1), end(80)], flags, numbers);
            let origin = Origin { ends: [end(1), end(80)], connection, is_listeners };
            let ready = Ready { time: self.time, length: 1, bytes: vec![0], comment: None };
            let written = &mut self.written;
            self.reuse.push(origin, segment, ready, &mut |ready| written.push(ready.time));
        }

        fn written(&mut self) -> Vec<u64> {
            std::mem::take(&mut self.written)
        }
    }

    fn line() -> Line {
        Line { reuse: PortReuse::default(), written: Vec::new(), time: 0 }
    }

    #[test]
    fn next_connection_waits_for_the_end_of_the_one_before() {
        let mut line = line();
        line.send(1, false, SYN, [9, 0]);
        line.send(1, false, FIN | ACK, [10, 50]);
        line.send(2, false, SYN, [70, 0]);
        line.send(2, true, SYN | ACK, [90, 71]);
        assert_eq!(line.written(), [1, 2]);
        line.send(1, true, ACK, [50, 11]);
        line.send(1, true, FIN | ACK, [50, 11]);
        assert_eq!(line.written(), [5, 6]);
        line.send(1, false, ACK, [11, 51]);
        assert_eq!(line.written(), [7, 3, 4]);
        // What comes of the first one still does not wait.
        line.send(1, true, ACK, [51, 11]);
        line.send(2, false, RST, [71, 0]);
        line.send(3, false, SYN, [1, 0]);
        assert_eq!(line.written(), [8, 9, 10]);
    }

    #[test]
    fn connection_that_does_not_end_is_not_waited_for_longer() {
        let mut line = line();
        line.send(1, false, SYN, [9, 0]);
        line.send(2, false, SYN, [70, 0]);
        let mut written = Vec::new();
        assert_eq!(line.reuse.flush_late(MAX_DELAY + 1, &mut |ready| written.push(ready.time)), 1);
        assert_eq!(line.reuse.flush_late(MAX_DELAY + 2, &mut |ready| written.push(ready.time)), 0);
        line.send(2, true, SYN | ACK, [90, 71]);
        line.send(1, true, FIN | ACK, [50, 11]);
        assert_eq!((written, line.written()), (vec![2], vec![1, 3, 4]));
    }
}
