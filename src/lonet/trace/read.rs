//! Reads a whole trace from a file of JSON lines.

use super::event::{Event, Header, VERSION};
use std::io::{self, BufRead};

/// A whole trace, with its events sorted.
#[derive(Clone, Debug)]
pub struct Trace {
    pub header: Header,
    pub events: Vec<Event>,
    /// The last line is incomplete: its writer was killed.
    pub is_cut_off: bool,
}

impl Trace {
    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// A sentence that says in which line what is wrong.
    pub fn read(mut from: impl BufRead) -> Result<Trace, String> {
        let mut lines = Lines { from: &mut from, number: 0, is_cut_off: false };
        let header = lines.next()?.ok_or("it is empty: not even the header of a trace is there")?;
        let header = lines.header(&header)?;
        let mut events = Vec::new();
        while let Some(line) = lines.next()? {
            match Event::parse(&line) {
                Ok(event) => events.push(event),
                // An incomplete line: its writer was killed, and the next lonetd has continued on a new line.
                Err(e) if e.is_eof() => {}
                Err(e) => return Err(lines.wrong(&format!("no event of a trace: {e}"))),
            }
        }
        let is_cut_off = lines.is_cut_off;
        events.sort_by_key(|event| event.seq);
        // The next lonetd may have written an event again.
        events.dedup_by_key(|event| (event.seq, event.kind));
        Ok(Trace { header, events, is_cut_off })
    }

    /// How many events are known to be missing.
    pub fn lost(&self) -> u64 {
        lost(&self.events)
    }
}

/// How many events are missing, by the events about that.
pub fn lost(events: &[Event]) -> u64 {
    use super::event::Kind;
    events.iter().filter(|event| event.kind == Kind::Lost).map(|event| event.count.unwrap_or(1)).sum()
}

struct Lines<'a, R> {
    from: &'a mut R,
    number: u64,
    /// The line that was read last does not end.
    is_cut_off: bool,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut line = Vec::new();
            let n = self.from.read_until(b'\n', &mut line).map_err(|e: io::Error| e.to_string())?;
            if n == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.is_cut_off = line.last() != Some(&b'\n');
            let line = match String::from_utf8(line.trim_ascii_end().to_vec()) {
                Ok(line) => line,
                // It ends within a character: an incomplete line.
                Err(e) if e.utf8_error().error_len().is_none() => continue,
                Err(_) => return Err(self.wrong("not UTF-8")),
            };
            if !line.trim().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn header(&self, line: &str) -> Result<Header, String> {
        let version =
            serde_json::from_str::<serde_json::Value>(line).ok().and_then(|v| v.get("lonet_trace")?.as_u64());
        match version {
            None => Err(self.wrong("not the header of a trace, which begins with {\"lonet_trace\":")),
            Some(version) if version != u64::from(VERSION) => {
                Err(self.wrong(&format!("a trace of version {version}; this lonet reads version {VERSION}")))
            }
            Some(_) => {
                serde_json::from_str(line).map_err(|e| self.wrong(&format!("no header of a trace: {e}")))
            }
        }
    }

    fn wrong(&self, why: &str) -> String {
        format!("line {}: {why}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"lonet_trace":1,"network":"u0","time":"2026-11-29T14:00:00.123456Z"}"#;

    fn line(seq: u64) -> String {
        format!(r#"{{"seq":{seq},"time":"2026-11-29T14:00:00.2Z","event":"lost","count":{seq}}}"#)
    }

    #[test]
    fn events_are_read_in_their_order() {
        let text = format!("{HEADER}\n{}\n\n{}\n", line(2), line(1));
        let trace = Trace::read(text.as_bytes()).expect("a trace");
        assert_eq!(trace.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((trace.header.network.as_str(), trace.lost(), trace.is_cut_off), ("u0", 3, false));
    }

    #[test]
    fn truncated_trace_is_read_up_to_its_last_line() {
        let text = format!("{HEADER}\n{}\n{}", line(1), line(2));
        let events =
            |text: &str| Trace::read(text.as_bytes()).map(|trace| (trace.events.len(), trace.is_cut_off));
        assert_eq!(events(&text), Ok((2, true)));
        assert_eq!(events(&text[..text.len() - 1]), Ok((1, true)));
        for cut in 1..line(2).len() {
            assert_eq!(events(&text[..text.len() - cut]), Ok((1, true)), "{cut} bytes less");
        }
    }

    #[test]
    fn incomplete_line_is_skipped_and_repeated_events_count_once() {
        let second = line(2).replace("\"event\"", "\"host\":\"α\",\"event\"");
        for cut in 1..second.len() {
            let half =
                [HEADER.as_bytes(), b"\n", line(1).as_bytes(), b"\n", &second.as_bytes()[..cut]].concat();
            let again = format!("\n{}\n{second}\n{}\n", line(1), line(3));
            let trace = Trace::read([&half, again.as_bytes()].concat().as_slice()).expect("a trace");
            assert_eq!(trace.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3], "cut at {cut}");
        }
    }

    #[test]
    fn error_names_the_line() {
        for (text, want) in [
            (String::new(), "it is empty"),
            ("hello\n".into(), "line 1: not the header"),
            (HEADER.replace(":1,", ":2,") + "\n", "line 1: a trace of version 2; this lonet reads version 1"),
            (format!("{HEADER}\n{}\nhello\n", line(1)), "line 3: no event of a trace: expected value"),
        ] {
            let why = Trace::read(text.as_bytes()).expect_err("nothing is wrong");
            assert!(why.starts_with(want), "{why}");
        }
    }
}
