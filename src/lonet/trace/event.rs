//! The events of a trace, and its header.
//!
//! Fields have the names and order of the JSON; those that do not apply are absent. lonet(7) documents them.

use super::moment::Moment;
use serde::{Deserialize, Serialize};

/// The version of the format. Readers ignore unknown fields, and refuse other versions.
pub const VERSION: u32 = 1;

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    #[serde(rename = "lonet_trace")]
    pub version: u32,
    /// The network's name.
    pub network: String,
    /// When the recording began.
    pub time: Moment,
}

/// The kind of an event: `host_up` and so on in JSON and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    HostUp,
    HostDown,
    /// A process has become a member.
    Joined,
    /// A member has ended.
    Ended,
    Bound,
    Listening,
    /// A listener listens no more.
    Unlistened,
    /// A dial begins.
    Dial,
    /// The connection is established for the dialer: connect(2) returns, or the socket becomes writable.
    Connected,
    /// accept(2) has returned.
    Accepted,
    Refused,
    Unreachable,
    TimedOut,
    /// An end of a connection is closed.
    Closed,
    Reset,
    NameAsked,
    NameAnswered,
    FaultSet,
    /// A fault has affected something.
    FaultHit,
    FaultHealed,
    /// Events that could not be recorded.
    Lost,
}

impl Kind {
    pub const ALL: [Kind; 21] = [
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
        Kind::Closed,
        Kind::Reset,
        Kind::NameAsked,
        Kind::NameAnswered,
        Kind::FaultSet,
        Kind::FaultHit,
        Kind::FaultHealed,
        Kind::Lost,
    ];

    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Kind::HostUp => "host_up",
            Kind::HostDown => "host_down",
            Kind::Joined => "joined",
            Kind::Ended => "ended",
            Kind::Bound => "bound",
            Kind::Listening => "listening",
            Kind::Unlistened => "unlistened",
            Kind::Dial => "dial",
            Kind::Connected => "connected",
            Kind::Accepted => "accepted",
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
            Kind::TimedOut => "timed_out",
            Kind::Closed => "closed",
            Kind::Reset => "reset",
            Kind::NameAsked => "name_asked",
            Kind::NameAnswered => "name_answered",
            Kind::FaultSet => "fault_set",
            Kind::FaultHit => "fault_hit",
            Kind::FaultHealed => "fault_healed",
            Kind::Lost => "lost",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who can reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Host,
    /// Only its own host.
    Loopback,
}

/// Who closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Program,
    /// The program was killed, or ended.
    Death,
    Kernel,
}

/// How a process ended. In JSON: `{"exit":0}`, `{"signal":"SIGKILL"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Exit(i32),
    Signal(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the order of events.
    pub seq: u64,
    pub time: Moment,
    #[serde(rename = "event")]
    pub kind: Kind,
    /// The host whose event it is; absent for those of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of the process that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What `ps` calls that process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The address of a socket without a peer: "web:80".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The dialer's address; the same in the events of both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The listener's address; the same in the events of both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where the kernel has the dialer's end: "127.7.0.2:40000".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_from: Option<String>,
    /// Where the kernel has the listener's end: "127.7.0.1:80".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_to: Option<String>,
    /// The errno of a call that failed: "ECONNREFUSED".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Bytes that this end has sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// Bytes that this end has received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The name that was looked up: "web.lonet".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An address, "none" or "fail".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// A fault, as `lonet faults` words it: "cut a b".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How many events are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Event {
    /// An event without optional fields.
    pub fn new(seq: u64, time: Moment, kind: Kind) -> Event {
        Event {
            seq,
            time,
            kind,
            host: None,
            pid: None,
            program: None,
            at: None,
            scope: None,
            from: None,
            to: None,
            os_from: None,
            os_to: None,
            error: None,
            by: None,
            sent: None,
            received: None,
            status: None,
            name: None,
            answer: None,
            rule: None,
            count: None,
        }
    }

    /// Parses a line of JSON.
    pub fn parse(line: &str) -> serde_json::Result<Event> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_same_names_in_text_and_json() {
        for kind in Kind::ALL {
            let json = serde_json::to_string(&kind).expect("JSON");
            assert_eq!(json, format!("\"{}\"", kind.name()));
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
    }

    #[test]
    fn event_is_read_as_it_was_written() {
        let line = r#"{"seq":7,"time":"2026-11-29T14:00:00.123456Z","event":"closed","host":"α","pid":12,"program":"curl","at":"α:1","scope":"loopback","from":"α:1","to":"β:80","os_from":"127.7.0.2:40000","os_to":"127.7.0.1:80","error":"EPIPE","by":"death","sent":5,"received":6,"status":{"signal":"SIGKILL"},"name":"β.lonet","answer":"none","rule":"cut a b","count":3}"#;
        let event = Event::parse(line).expect("an event");
        assert_eq!(serde_json::to_string(&event).expect("JSON"), line);
        let least = r#"{"seq":1,"time":"2026-11-29T14:00:00.000000Z","event":"lost"}"#;
        let event = Event::parse(least).expect("an event");
        assert_eq!(event, Event::new(1, event.time, Kind::Lost));
        assert_eq!(serde_json::to_string(&event).expect("JSON"), least);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_refused() {
        assert!(Event::parse(r#"{"seq":1,"time":"2026-11-29T14:00:00Z","event":"dial","colour":1}"#).is_ok());
        assert!(Event::parse(r#"{"seq":1,"time":"2026-11-29T14:00:00Z","event":"painted"}"#).is_err());
        assert!(Event::parse(r#"{"time":"2026-11-29T14:00:00Z","event":"dial"}"#).is_err());
    }
}
