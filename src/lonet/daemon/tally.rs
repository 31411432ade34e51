//! Rate-limited log lines for events that others can cause as often as they like: at most one line a minute
//! of each kind, with a count.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The kinds of events that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection to a listener of the network's by a program that may not reach it.
    Reset,
    /// A message of a process that is no member.
    NotLetIn,
    /// A connection of another user's process that sent nothing in time, or was one too many.
    Silent,
    /// Bytes that are no message.
    Malformed,
    /// A message of another version of the protocol.
    Version,
    /// A message whose sender cannot be identified.
    NoSender,
    /// No descriptor was left for a connection to the control socket.
    NoDescriptor,
    /// Another user's process at the listener for foreign peers.
    ForeignUser,
    /// A connection there whose user cannot be identified.
    ForeignUnknown,
    /// No descriptor was left for a connection there.
    ForeignNoDescriptor,
    /// A handshake that was dropped for newer ones.
    Handshake,
    /// A list that could not be sent.
    List,
}

const KINDS: usize = Kind::List as usize + 1;

impl Kind {
    /// What happened, as text that follows a number.
    fn text(self) -> &'static str {
        match self {
            Kind::Reset => {
                "connections to the network's listeners reset: not by members nor by other processes of the owner's"
            }
            Kind::NotLetIn => "messages refused: another user's process without the network's LONET_KEY",
            Kind::Silent => {
                "connections of other users' processes to the control socket closed: nothing said in time, or too many"
            }
            Kind::Malformed => "messages refused: no lonet messages",
            Kind::Version => "messages refused: another version of the control protocol",
            Kind::NoSender => "messages refused: the sender's credentials cannot be read",
            Kind::NoDescriptor => "times no descriptor for a connection to the control socket",
            Kind::ForeignUser => "connections to the foreign peers' listener refused: another user's process",
            Kind::ForeignUnknown => {
                "connections to the foreign peers' listener refused: the process cannot be determined"
            }
            Kind::ForeignNoDescriptor => {
                "connections to the foreign peers' listener refused: no descriptor left"
            }
            Kind::Handshake => "handshakes with foreign peers dropped for newer ones: too many at once",
            Kind::List => "lists not sent",
        }
    }
}

/// The least time between two lines of a kind.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Count {
    /// The count since the last line, and the detail of the last event.
    pending: u64,
    last: String,
    logged: Option<Instant>,
}

struct Tally([Count; KINDS]);

impl Tally {
    const fn new() -> Tally {
        Tally([const { Count { pending: 0, last: String::new(), logged: None } }; KINDS])
    }

    /// Counts an event. Returns the line to write, if one is due.
    fn count(&mut self, kind: Kind, detail: &dyn Display, now: Instant) -> Option<String> {
        let count = &mut self.0[kind as usize];
        count.pending += 1;
        count.last.clear();
        let _ = std::fmt::Write::write_fmt(&mut count.last, format_args!("{detail}"));
        count.line(kind.text(), now)
    }

    fn due(&self) -> Option<Instant> {
        let waiting = self.0.iter().filter(|count| count.pending > 0);
        waiting.filter_map(|count| Some(count.logged? + EVERY)).min()
    }

    fn lines(&mut self, now: Instant) -> Vec<String> {
        let all = self.0.iter_mut().zip(ALL);
        all.filter(|(count, _)| count.pending > 0)
            .filter_map(|(count, kind)| count.line(kind.text(), now))
            .collect()
    }
}

const ALL: [Kind; KINDS] = [
    Kind::Reset,
    Kind::NotLetIn,
    Kind::Silent,
    Kind::Malformed,
    Kind::Version,
    Kind::NoSender,
    Kind::NoDescriptor,
    Kind::ForeignUser,
    Kind::ForeignUnknown,
    Kind::ForeignNoDescriptor,
    Kind::Handshake,
    Kind::List,
];

impl Count {
    fn line(&mut self, text: &str, now: Instant) -> Option<String> {
        if self.logged.is_some_and(|logged| now < logged + EVERY) {
            return None;
        }
        let n = std::mem::take(&mut self.pending);
        self.logged = Some(now);
        Some(format!("{n} {text} (the last: {})", self.last))
    }
}

static TALLY: Mutex<Tally> = Mutex::new(Tally::new());

/// Counts an event. `detail`: of this event.
pub fn count(kind: Kind, detail: &dyn Display) {
    let line = TALLY.lock().ok().and_then(|mut tally| tally.count(kind, detail, Instant::now()));
    line.into_iter().for_each(|line| tracing::warn!("{line}"));
}

/// The time at which a line is due if nothing else happens.
pub fn due() -> Option<Instant> {
    TALLY.lock().ok()?.due()
}

/// Writes the lines that are due.
pub fn run_timers(now: Instant) {
    let lines = TALLY.lock().map(|mut tally| tally.lines(now)).unwrap_or_default();
    lines.into_iter().for_each(|line| tracing::warn!("{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_events_in_a_minute_make_two_lines() {
        let (mut tally, start) = (Tally::new(), Instant::now());
        let first = tally.count(Kind::NotLetIn, &"pid 1 of uid 2", start);
        assert!(
            first.is_some_and(|line| line.starts_with("1 messages") && line.ends_with("pid 1 of uid 2)"))
        );
        for pid in 0..1000 {
            assert_eq!(tally.count(Kind::NotLetIn, &format_args!("pid {pid}"), start), None);
        }
        assert_eq!(tally.due(), Some(start + EVERY));
        assert_eq!(tally.lines(start), Vec::<String>::new());
        let lines = tally.lines(start + EVERY);
        assert!(
            lines.len() == 1 && lines[0].starts_with("1000 ") && lines[0].contains("pid 999"),
            "{lines:?}"
        );
        assert_eq!(tally.due(), None);
    }

    #[test]
    fn kinds_are_counted_apart() {
        let (mut tally, start) = (Tally::new(), Instant::now());
        for (at, kind) in ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert!(tally.count(kind, &"", start).is_some());
        }
    }
}
