//! Keeps consecutive connections between the same two lonet addresses apart.
//!
//! A lonet port is free as soon as its last socket is closed, and may be reused before the last segments of the earlier connection
//! have passed. With OS ports these are two connections; with lonet ports, a reader of the file could not tell them apart. So the
//! segments of the next connection are written after the last ones of the earlier connection, if these come soon. Their times are
//! not changed.

use super::packet::Segment;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;

/// How long a segment may wait for the end of the earlier connection, in nanoseconds.
const MAX_DELAY: u64 = 500_000_000;

/// The most bytes that wait; beyond that, all are written.
const MAX_WAITING: usize = 32 << 20;

/// How many pairs of addresses are kept before those without a connection are dropped.
const MAX_PAIRS: usize = 1 << 16;

/// A segment that is ready to be written.
pub struct Ready {
    /// In nanoseconds since 1970.
    pub time: u64,
    pub length: usize,
    pub bytes: Vec<u8>,
    pub comment: Option<String>,
}

/// The connection, and its end, that a segment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The lonet addresses of the dialer and of the listener.
    pub ends: [SocketAddrV4; 2],
    /// The number of the connection, in the order in which connections began.
    pub connection: u64,
    pub is_listeners: bool,
}

/// The state of a pair of lonet addresses.
#[derive(Default)]
struct Pair {
    connection: u64,
    /// The sequence number after each end's FIN.
    fin_end: [Option<u32>; 2],
    /// Whether each end's FIN has been acknowledged.
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

    /// Whether a segment of this connection may be written now.
    fn may_write(&self, origin: &Origin) -> bool {
        origin.connection <= self.connection || self.connection == 0 || self.is_over()
    }

    /// Records that a segment is written.
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
    /// Writes a segment, and those that have waited for it, or queues it.
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

    /// Writes the queued segments of a pair that may be written, and those that were read before `read_before`.
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

    /// Writes segments that have waited too long. Returns the number of bytes that are still queued.
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
        /// Sends a segment of a connection, from its dialer or its listener. Its time, a counter, identifies it.
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
        // Late segments of the first connection do not wait.
        line.send(1, true, ACK, [51, 11]);
        line.send(2, false, RST, [71, 0]);
        line.send(3, false, SYN, [1, 0]);
        assert_eq!(line.written(), [8, 9, 10]);
    }

    #[test]
    fn unended_connection_delays_the_next_for_a_limited_time() {
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
