//! The text form of an event, for people: `12:00:01.123456 γ curl(4711) connected γ:1 → α:80`.
//!
//! After the time come the host or `-`, the program and its pid if known, the kind of event, its subject, and the other fields as
//! `key=value`. Names with spaces or special characters are quoted as in JSON.

use super::event::{By, Event, Kind, Scope, Status};
use std::borrow::Cow;
use std::fmt;

/// A name as one word, quoted if necessary.
pub fn word(name: &str) -> Cow<'_, str> {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || "\"#$*{}=\\".contains(c);
    let is_plain = !name.is_empty() && name != "-" && !name.contains(is_special) && !has_arrow(name);
    if is_plain { name.into() } else { serde_json::Value::from(name).to_string().into() }
}

/// Whether it contains something like the arrow between two addresses.
fn has_arrow(text: &str) -> bool {
    text.contains('→') || text.contains("->")
}

/// The names of an event's fields in the text and in files of `lonet expect`.
pub const FIELDS: [&str; 18] = [
    "seq", "time", "pid", "program", "at", "name", "rule", "from", "to", "scope", "error", "by", "sent",
    "received", "exit", "signal", "answer", "count",
];

/// The fields that the text shows as `key=value`, unless they are the event's subject.
const KEYED: [&str; 14] = [
    "at", "name", "rule", "from", "to", "scope", "error", "by", "sent", "received", "exit", "signal",
    "answer", "count",
];

/// The value of one of [`FIELDS`]. `None`: the event does not have the field, or it does not exist.
pub fn value<'e>(event: &'e Event, field: &str) -> Option<Cow<'e, str>> {
    let number = |n: Option<u64>| n.map(|n| Cow::from(n.to_string()));
    match field {
        "seq" => number(Some(event.seq)),
        "time" => Some(event.time.to_string().into()),
        "pid" => event.pid.map(|pid| pid.to_string().into()),
        "scope" => event.scope.map(|scope| scope_name(scope).into()),
        "by" => event.by.map(|by| by_name(by).into()),
        "sent" => number(event.sent),
        "received" => number(event.received),
        "count" => number(event.count),
        "exit" | "signal" => match (&event.status, field) {
            (Some(Status::Exit(code)), "exit") => Some(code.to_string().into()),
            (Some(Status::Signal(name)), "signal") => Some(name.into()),
            _ => None,
        },
        _ => {
            let text = match field {
                "program" => &event.program,
                "at" => &event.at,
                "name" => &event.name,
                "rule" => &event.rule,
                "from" => &event.from,
                "to" => &event.to,
                "error" => &event.error,
                "answer" => &event.answer,
                _ => &None,
            };
            text.as_deref().map(Cow::from)
        }
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Host => "host",
        Scope::Loopback => "loopback",
    }
}

fn by_name(by: By) -> &'static str {
    match by {
        By::Program => "program",
        By::Death => "death",
        By::Kernel => "kernel",
    }
}

/// What follows the kind of event without a key.
pub enum Subject {
    Nothing,
    /// One field.
    Field(&'static str),
    /// `from → to`
    Ends,
}

pub fn subject(kind: Kind) -> Subject {
    use Kind::*;
    match kind {
        HostUp | HostDown | Joined | Ended | Lost => Subject::Nothing,
        Bound | Listening | Unlistened => Subject::Field("at"),
        NameAsked | NameAnswered => Subject::Field("name"),
        FaultSet | FaultHit | FaultHealed => Subject::Field("rule"),
        Dial | Connected | Accepted | Refused | Unreachable | TimedOut | Closed | Reset => Subject::Ends,
    }
}

/// The fields that have a key in an event's text, with their values.
pub fn keyed(event: &Event) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let subject = subject(event.kind);
    let has_key = move |field: &&str| match subject {
        Subject::Field(own) => *field != own,
        Subject::Ends => !matches!(*field, "from" | "to"),
        Subject::Nothing => true,
    };
    KEYED.into_iter().filter(has_key).filter_map(|field| Some((field, value(event, field)?)))
}

/// The text of a [`Subject`]. A fault rule is several words, not quoted as a whole.
pub fn subject_text(event: &Event, field: &str) -> Option<String> {
    let value = value(event, field)?;
    let is_words = field == "rule" && value.split(' ').all(|part| word(part) == part && !part.is_empty());
    Some(if is_words { value.into_owned() } else { word(&value).into_owned() })
}

fn write_subject(f: &mut fmt::Formatter<'_>, event: &Event) -> fmt::Result {
    match subject(event.kind) {
        Subject::Nothing => Ok(()),
        Subject::Field(field) => subject_text(event, field).map_or(Ok(()), |text| write!(f, " {text}")),
        Subject::Ends if event.from.is_none() && event.to.is_none() => Ok(()),
        Subject::Ends => {
            let shown = |field| subject_text(event, field).unwrap_or_else(|| "-".into());
            write!(f, " {} → {}", shown("from"), shown("to"))
        }
    }
}

impl Event {
    /// The text without the time.
    pub fn words(&self) -> impl fmt::Display {
        Words(self)
    }
}

struct Words<'a>(&'a Event);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let host = event.host.as_deref().map_or("-".into(), word);
        f.write_str(&host)?;
        match (&event.program, event.pid) {
            (None, None) => {}
            (Some(program), None) => write!(f, " {}()", word(program))?,
            (program, Some(pid)) => {
                write!(f, " {}({pid})", word(program.as_deref().unwrap_or("?")))?;
            }
        }
        write!(f, " {}", event.kind.name())?;
        write_subject(f, event)?;
        keyed(event).try_for_each(|(key, value)| write!(f, " {key}={}", word(&value)))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time.of_day(), self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        let line = format!(r#"{{"seq":1,"time":"2026-11-29T12:00:01.123456Z",{json}}}"#);
        Event::parse(&line).expect("an event").to_string()
    }

    #[test]
    fn text_has_time_host_program_and_what_happened() {
        for (json, want) in [
            (
                r#""event":"connected","host":"γ","pid":4711,"program":"curl","from":"γ:1","to":"α:80""#,
                "γ curl(4711) connected γ:1 → α:80",
            ),
            (r#""event":"host_up","host":"web""#, "web host_up"),
            (
                r#""event":"ended","host":"web","pid":7,"program":"nc","status":{"exit":1}"#,
                "web nc(7) ended exit=1",
            ),
            (
                r#""event":"ended","host":"web","pid":7,"status":{"signal":"SIGKILL"}"#,
                "web ?(7) ended signal=SIGKILL",
            ),
            (
                r#""event":"listening","host":"web","at":"web:80","scope":"loopback""#,
                "web listening web:80 scope=loopback",
            ),
            (
                r#""event":"refused","host":"a","from":"a:1","to":"b:80","error":"ECONNREFUSED""#,
                "a refused a:1 → b:80 error=ECONNREFUSED",
            ),
            (
                r#""event":"closed","host":"a","from":"a:1","to":"b:80","by":"death","sent":5,"received":0"#,
                "a closed a:1 → b:80 by=death sent=5 received=0",
            ),
            (
                r#""event":"name_answered","host":"a","name":"b.lonet","answer":"none""#,
                "a name_answered b.lonet answer=none",
            ),
            (r#""event":"fault_set","rule":"cut a b""#, "- fault_set cut a b"),
            (r#""event":"lost","count":3"#, "- lost count=3"),
            (r#""event":"unreachable","host":"a","to":"b:80""#, "a unreachable - → b:80"),
        ] {
            assert_eq!(text(json), format!("12:00:01.123456 {want}"));
        }
    }

    #[test]
    fn names_with_special_characters_are_quoted() {
        let json = r#""event":"joined","host":"a","pid":7,"program":"Web\nContent""#;
        assert_eq!(text(json), r#"12:00:01.123456 a "Web\nContent"(7) joined"#);
        for name in ["", "-", "->", "a b", "a#", "$a", "*", "a=b", "\"", "a\u{7f}"] {
            let word = word(name);
            assert_eq!(serde_json::from_str::<String>(&word).ok().as_deref(), Some(name), "{word}");
        }
    }
}
