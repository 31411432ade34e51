//! Watchers: clients that are sent events as they are output, several lines in a packet.

use crate::daemon::trace::lost;
use crate::trace::event::Event;
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags};
use std::os::fd::{AsRawFd, OwnedFd};

/// The size of a packet in bytes, unless a single line is longer.
pub const PACKET: usize = 32 << 10;

/// The most bytes that wait for a client that does not read. Later lines are lost, and the client is told so.
const MAX_WAITING: usize = 4 << 20;

pub struct Watcher {
    pub fd: OwnedFd,
    waiting: Vec<u8>,
    /// How many events are lost, and the number of the last one.
    lost: (u64, u64),
}

impl Watcher {
    pub fn new(fd: OwnedFd) -> Watcher {
        Watcher { fd, waiting: Vec::new(), lost: (0, 0) }
    }

    /// Sends these lines, as far as possible without waiting. `false`: the client reads no more.
    pub fn send(&mut self, lines: &[u8]) -> bool {
        self.add(lines);
        while !self.waiting.is_empty() {
            let n = packet(&self.waiting);
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match socket::send(self.fd.as_raw_fd(), &self.waiting[..n], flags) {
                Ok(_) => _ = self.waiting.drain(..n),
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn add(&mut self, lines: &[u8]) {
        if self.waiting.len() + lines.len() > MAX_WAITING {
            let all = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for line in all {
                let seq = serde_json::from_slice::<Event>(line).map_or(self.lost.1, |event| event.seq);
                self.lost = (self.lost.0 + 1, seq);
            }
            return;
        }
        if let (count @ 1.., number) = std::mem::take(&mut self.lost) {
            crate::daemon::trace::line(&mut self.waiting, &lost(number, count));
        }
        self.waiting.extend_from_slice(lines);
    }
}

/// The length of the whole lines that fit in a packet, at least one.
fn packet(lines: &[u8]) -> usize {
    let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let fits = lines.get(..PACKET).map_or(Some(lines.len()), end);
    let first = || lines.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    fits.or_else(first).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::Kind;
    use crate::trace::moment::Moment;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    #[test]
    fn packets_are_whole_lines() {
        assert_eq!(packet(b"a\nbc\n"), 5);
        let long = [vec![b'x'; PACKET], vec![b'\n', b'y', b'\n']].concat();
        assert_eq!(packet(&long), PACKET + 1);
        let two = [vec![b'x'; PACKET - 4], b"\nyyyyyy\n".to_vec()].concat();
        assert_eq!(packet(&two), PACKET - 3);
    }

    #[test]
    fn client_that_does_not_read_gets_the_number_of_lost_events() {
        let kind = SockType::SeqPacket;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).expect("a pair of sockets");
        let mut watcher = Watcher::new(ours);
        let lines = |seq| {
            let mut lines = Vec::new();
            let event = Event { host: Some("x".repeat(9000)), ..Event::new(seq, Moment(0), Kind::HostUp) };
            crate::daemon::trace::line(&mut lines, &event);
            lines
        };
        let sent = (MAX_WAITING / 9000 + 100) as u64;
        (1..=sent).for_each(|seq| assert!(watcher.send(&lines(seq))));
        let (mut got, mut buffer) = (Vec::new(), vec![0; PACKET]);
        let mut read = |got: &mut Vec<Event>| {
            while let Ok(n) = socket::recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                let text = std::str::from_utf8(&buffer[..n]).expect("UTF-8");
                got.extend(text.lines().map(|line| Event::parse(line).expect("an event")));
                assert!(watcher.send(b""));
            }
            assert!(watcher.send(&lines(sent + 1)));
        };
        read(&mut got);
        read(&mut got);
        let missing = crate::trace::read::lost(&got);
        assert!(missing > 0);
        assert_eq!(got.iter().filter(|event| event.kind == Kind::HostUp).count() as u64 + missing, sent + 1);
        let last_lost = got.iter().find(|event| event.kind == Kind::Lost).map(|event| event.seq);
        assert_eq!(last_lost, Some(sent), "the number of the last that is lost");
        drop(theirs);
        assert!(!watcher.send(&lines(1)));
    }
}
