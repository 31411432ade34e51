//! Measures rates: bytes per second from the kernel's counters of sockets, dials per second from events.
//!
//! The counters are read from time to time. What a connection has carried between the last reading and its end is in the event
//! of its close, so short connections count, too.

use super::snapshot::{Connection, End, Snapshot};
use crate::trace::event::{Event, Kind};
use lonet_core::diag::Diag;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// The kernel's counters of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketBytes {
    pub cookie: u64,
    pub sent: u64,
    pub received: u64,
}

/// The counters of a network's sockets, by their local and remote OS addresses.
pub type Kernel = HashMap<(SocketAddrV4, SocketAddrV4), SocketBytes>;

/// Identifies an end of a connection: its host, and the addresses of the dialer and of the listener.
type EndKey = (String, String, String);

/// Bytes sent and received, by host.
type ByHost = HashMap<String, (u64, u64)>;
/// Bytes sent and received, by the cookies of sockets.
type BySocket = HashMap<u64, (u64, u64)>;

#[derive(Default)]
pub struct Meter {
    at: Option<Instant>,
    /// The bytes of each socket at the last measurement.
    sockets: BySocket,
    /// The bytes of each end at the last measurement, and whether it was there at that one (or only at the one before).
    ends: HashMap<EndKey, ((u64, u64), bool)>,
    /// The bytes since the last measurement of connections that are closed.
    closed: ByHost,
    dials: HashMap<String, u64>,
}

impl Meter {
    pub fn add_event(&mut self, event: &Event) {
        let Some(host) = &event.host else { return };
        match event.kind {
            Kind::Dial => *self.dials.entry(host.clone()).or_default() += 1,
            Kind::Closed => {
                let (Some(from), Some(to)) = (&event.from, &event.to) else { return };
                let seen = self.ends.remove(&(host.clone(), from.clone(), to.clone()));
                let (sent, received) = seen.map_or((0, 0), |(bytes, _)| bytes);
                let all = self.closed.entry(host.clone()).or_default();
                all.0 += event.sent.unwrap_or(0).saturating_sub(sent);
                all.1 += event.received.unwrap_or(0).saturating_sub(received);
            }
            _ => {}
        }
    }

    /// Sets the rates in a snapshot, since the last measurement. `kernel`: the counters, if they can be read; `counts_dials`:
    /// whether events arrive.
    pub fn measure(
        &mut self,
        now: Instant,
        shown: &mut Snapshot,
        kernel: Option<&Kernel>,
        counts_dials: bool,
    ) {
        let passed = self.at.replace(now).map(|before| now.saturating_duration_since(before));
        let seconds = passed.filter(|passed| *passed > Duration::ZERO).map(|passed| passed.as_secs_f64());
        let mut hosts: ByHost = std::mem::take(&mut self.closed);
        let mut sockets = HashMap::new();
        self.ends.retain(|_, (_, was_there)| std::mem::replace(was_there, false));
        if let Some(kernel) = kernel {
            let locals = by_local(kernel);
            for connection in &mut shown.connections {
                self.measure_connection(connection, (kernel, &locals), seconds, (&mut hosts, &mut sockets));
            }
        }
        self.sockets = sockets;
        let dials = std::mem::take(&mut self.dials);
        for host in &mut shown.hosts {
            let per_second = |n: u64| seconds.map(|seconds| n as f64 / seconds);
            let (sent, received) = hosts.get(&host.name).copied().unwrap_or((0, 0));
            host.rate = kernel.and_then(|_| per_second(sent).zip(per_second(received)));
            let dials = dials.get(&host.name).copied().unwrap_or(0);
            host.dials = if counts_dials { per_second(dials) } else { None };
        }
    }

    fn measure_connection(
        &mut self,
        connection: &mut Connection,
        (kernel, locals): (&Kernel, &HashMap<SocketAddrV4, Option<SocketBytes>>),
        seconds: Option<f64>,
        (hosts, sockets): (&mut ByHost, &mut BySocket),
    ) {
        let find = |own: &End, other: &End| match (own.os, other.os) {
            (Some(own), Some(other)) => kernel.get(&(own, other)).copied(),
            // The other end is outside the network. The socket is known if it is the only one with this local address.
            (Some(own), None) => locals.get(&own).copied().flatten(),
            (None, _) => None,
        };
        let names = (connection.from.at.clone(), connection.to.at.clone());
        let dialers = find(&connection.from, &connection.to);
        let listeners = find(&connection.to, &connection.from);
        let mut deltas = [None, None];
        let ends = [(&connection.from, dialers), (&connection.to, listeners)];
        for ((end, bytes), delta) in ends.into_iter().zip(&mut deltas) {
            let Some(SocketBytes { cookie, sent, received }) = bytes.filter(|_| end.is_listed) else {
                continue;
            };
            let before = self.sockets.get(&cookie).copied();
            // All bytes of a new connection are since the last measurement, if there was one.
            let before = before.or(seconds.map(|_| (0, 0))).unwrap_or((sent, received));
            let new = (sent.saturating_sub(before.0), received.saturating_sub(before.1));
            *delta = Some(new);
            let all = hosts.entry(end.host.clone()).or_default();
            (all.0, all.1) = (all.0 + new.0, all.1 + new.1);
            sockets.insert(cookie, (sent, received));
            let name = (end.host.clone(), names.0.clone(), names.1.clone());
            self.ends.insert(name, ((sent, received), true));
        }
        let (total, delta) = match (dialers, listeners, deltas) {
            (Some(c), _, [delta @ Some(_), _]) => (Some((c.sent, c.received)), delta),
            (_, Some(c), [_, Some((sent, received))]) => (Some((c.received, c.sent)), Some((received, sent))),
            _ => (None, None),
        };
        connection.total = total;
        connection.rate = delta
            .zip(seconds)
            .map(|((sent, received), seconds)| (sent as f64 / seconds, received as f64 / seconds));
    }
}

/// The counters by local address; `None`: several sockets have it.
fn by_local(kernel: &Kernel) -> HashMap<SocketAddrV4, Option<SocketBytes>> {
    let mut locals = HashMap::new();
    for ((local, _), bytes) in kernel {
        locals.entry(*local).and_modify(|one| *one = None).or_insert(Some(*bytes));
    }
    locals
}

/// Reads the counters of all connections in the block of an address such as "127.84.0.1".
pub fn read_kernel(diag: &Diag, address: &str) -> Option<Kernel> {
    let [a, b, ..] = address.parse::<Ipv4Addr>().ok()?.octets();
    let mut all = Kernel::new();
    let within = (Ipv4Addr::new(a, b, 0, 0), 16);
    let each = &mut |found: lonet_core::diag::SocketInfo, bytes: lonet_core::sys::Traffic| {
        let (sent, received) = (bytes.sent, bytes.received);
        all.insert((found.local, found.remote), SocketBytes { cookie: found.cookie, sent, received });
    };
    diag.dump_carried(within, each).ok()?;
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Host;
    use super::*;
    use crate::trace::moment::Moment;

    fn end(host: &str, port: u16, os: &str) -> End {
        let (at, host) = (format!("{host}:{port}"), host.to_owned());
        End { at, host, program: String::new(), os: os.parse().ok(), is_listed: !os.is_empty() }
    }

    fn shown(to: End) -> Snapshot {
        let host = |name: &str| Host { name: name.into(), ..Host::default() };
        let connection = Connection { from: end("a", 1, "127.1.0.1:1"), to, ..Connection::default() };
        Snapshot { hosts: vec![host("a"), host("b")], connections: vec![connection], ..Snapshot::default() }
    }

    fn kernel(bytes: &[(&str, &str, u64, u64, u64)]) -> Kernel {
        let at = |text: &str| text.parse::<SocketAddrV4>().expect("an address");
        let one = |(local, remote, cookie, sent, received): &(&str, &str, u64, u64, u64)| {
            let bytes = SocketBytes { cookie: *cookie, sent: *sent, received: *received };
            ((at(local), at(remote)), bytes)
        };
        bytes.iter().map(one).collect()
    }

    const A: &str = "127.1.0.1:1";
    const B: &str = "127.1.0.2:80";

    #[test]
    fn rate_is_of_the_bytes_since_the_last_measurement() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let mut first = shown(end("b", 80, B));
        meter.measure(start, &mut first, Some(&kernel(&[(A, B, 7, 100, 10), (B, A, 8, 10, 100)])), true);
        assert_eq!((first.connections[0].rate, first.connections[0].total), (None, Some((100, 10))));
        assert_eq!((first.hosts[0].rate, first.hosts[0].dials), (None, None));
        let mut next = shown(end("b", 80, B));
        let two = start + Duration::from_secs(2);
        meter.measure(two, &mut next, Some(&kernel(&[(A, B, 7, 300, 10), (B, A, 8, 10, 300)])), true);
        assert_eq!(next.connections[0].rate, Some((100.0, 0.0)));
        assert_eq!(
            next.hosts.iter().map(|h| h.rate).collect::<Vec<_>>(),
            [Some((100.0, 0.0)), Some((0.0, 100.0))]
        );
        let mut silent = shown(end("b", 80, B));
        meter.measure(two + Duration::from_secs(1), &mut silent, None, false);
        assert_eq!(
            (silent.connections[0].rate, silent.hosts[0].rate, silent.hosts[0].dials),
            (None, None, None)
        );
    }

    #[test]
    fn connection_to_outside_is_found_by_its_local_address() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let mut one = shown(end("b", 80, ""));
        meter.measure(now, &mut one, Some(&kernel(&[(A, "127.9.0.1:5", 7, 3, 4)])), true);
        assert_eq!(one.connections[0].total, Some((3, 4)));
        let two = kernel(&[(A, "127.9.0.1:5", 7, 3, 4), (A, "127.9.0.1:6", 9, 3, 4)]);
        let mut several = shown(end("b", 80, ""));
        meter.measure(now, &mut several, Some(&two), true);
        assert_eq!(several.connections[0].total, None);
    }

    #[test]
    fn closed_connections_and_dials_count() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let bytes = kernel(&[(A, B, 7, 100, 10)]);
        meter.measure(start, &mut shown(end("b", 80, B)), Some(&bytes), true);
        let closed = |sent, received| Event {
            host: Some("a".into()),
            from: Some("a:1".into()),
            to: Some("b:80".into()),
            sent: Some(sent),
            received: Some(received),
            ..Event::new(1, Moment(0), Kind::Closed)
        };
        meter.add_event(&closed(150, 10));
        // Another one, between the same ports.
        meter.add_event(&closed(50, 5));
        for _ in 0..3 {
            meter.add_event(&Event { host: Some("a".into()), ..Event::new(2, Moment(0), Kind::Dial) });
        }
        let mut next = Snapshot { connections: Vec::new(), ..shown(end("b", 80, B)) };
        meter.measure(start + Duration::from_secs(1), &mut next, Some(&Kernel::new()), true);
        assert_eq!((next.hosts[0].rate, next.hosts[0].dials), (Some((100.0, 5.0)), Some(3.0)));
        assert_eq!((next.hosts[1].rate, next.hosts[1].dials), (Some((0.0, 0.0)), Some(0.0)));
    }
}
