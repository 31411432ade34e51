//! Who watches what happens: is sent the lines of a trace as they are written, several in a packet.

use crate::daemon::trace::lost;
use crate::trace::event::Event;
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags};
use std::os::fd::{AsRawFd, OwnedFd};

/// The bytes of a packet, if a line is not longer.
pub const PACKET: usize = 32 << 10;

/// So many bytes wait for who does not read. What comes on top is lost to him, which he is told.
const WAITING: usize = 4 << 20;

pub struct Watcher {
    pub fd: OwnedFd,
    waiting: Vec<u8>,
    /// How many events are lost, and the number of the last of them.
    lost: (u64, u64),
}

impl Watcher {
    pub fn new(fd: OwnedFd) -> Watcher {
        Watcher { fd, waiting: Vec::new(), lost: (0, 0) }
    }

    /// Sends these lines, as far as that takes no waiting. `false`: nobody reads any more.
    pub fn take(&mut self, lines: &[u8]) -> bool {
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
        if self.waiting.len() + lines.len() > WAITING {
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

/// The length of as many whole lines as go into a packet, at least of one.
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
    fn who_does_not_read_is_told_how_many_events_are_lost() {
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
        let sent = (WAITING / 9000 + 100) as u64;
        (1..=sent).for_each(|seq| assert!(watcher.take(&lines(seq))));
        let (mut got, mut buffer) = (Vec::new(), vec![0; PACKET]);
        let mut read = |got: &mut Vec<Event>| {
            while let Ok(n) = socket::recv(theirs.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                let text = std::str::from_utf8(&buffer[..n]).expect("UTF-8");
                got.extend(text.lines().map(|line| Event::parse(line).expect("an event")));
                assert!(watcher.take(b""));
            }
            assert!(watcher.take(&lines(sent + 1)));
        };
        read(&mut got);
        read(&mut got);
        let missing = crate::trace::read::lost(&got);
        assert!(missing > 0);
        assert_eq!(got.iter().filter(|event| event.kind == Kind::HostUp).count() as u64 + missing, sent + 1);
        let said = got.iter().find(|event| event.kind == Kind::Lost).map(|event| event.seq);
        assert_eq!(said, Some(sent), "the number of the last that is lost");
        drop(theirs);
        assert!(!watcher.take(&lines(1)));
    }
}
