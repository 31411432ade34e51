//! The message about the first difference: what was expected, what happened instead, and the events around it.

use super::matcher::{Cause, Difference, Matcher, field_matches, matches_event};
use super::parse::{Expected, File};
use super::pattern::Pattern;
use super::plan::Line;
use crate::trace::event::Event;
use crate::trace::text;
use std::fmt;

/// The number of events before and after the difference, and the most lines of the file, that are shown.
const CONTEXT: usize = 3;
const MAX_LINES: usize = 6;

pub struct Report<'a> {
    /// The name of the file.
    pub name: &'a str,
    pub file: &'a File,
    pub matcher: &'a Matcher,
    pub events: &'a [Event],
    pub difference: &'a Difference,
    /// Why there are no more events: "the trace ends".
    pub end: &'a str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let at = lines.first().map_or(String::new(), |line| format!(":{}", line.line));
        let what = match (&self.difference.cause, self.difference.event) {
            (Cause::Never(_), _) => "what never happens has happened",
            (_, None) => "what is expected has not happened",
            (Cause::Expected(lines), _) if lines.is_empty() => "more has happened than is expected",
            _ => "what happened is not what is expected",
        };
        writeln!(f, "{}{at}: {what}", self.name)?;
        let end = self.difference.event.unwrap_or(self.events.len());
        let before = self.events.iter().take(end).filter(|event| self.matcher.compares(event));
        let before: Vec<&Event> = before.collect();
        for event in &before[before.len().saturating_sub(CONTEXT)..] {
            writeln!(f, "    {event}")?;
        }
        self.write_expected(f, &lines)?;
        match self.difference.event.and_then(|number| self.events.get(number)) {
            None => writeln!(f, "  + nothing: {}", self.end)?,
            Some(event) => {
                writeln!(f, "  + {event}")?;
                let after = self.events.iter().skip(end + 1).filter(|event| self.matcher.compares(event));
                after.take(CONTEXT).try_for_each(|event| writeln!(f, "    {event}"))?;
                self.write_hints(f, event, &lines)?;
            }
        }
        self.write_captures(f, &lines)
    }
}

impl Report<'_> {
    /// The lines that were expected; first those for the host and kind of the event.
    fn lines(&self) -> Vec<&Expected> {
        let of = |lines: &[Line]| lines.iter().filter_map(|line| self.matcher.line(*line)).collect();
        let mut lines: Vec<&Expected> = match &self.difference.cause {
            Cause::Never(line) => of(&[*line]),
            Cause::Expected(lines) => of(lines),
        };
        if let Some(event) = self.difference.event.and_then(|number| self.events.get(number)) {
            lines.sort_by_key(|line| (!self.is_about(line, event), self.differing(line, event).count()));
        }
        lines
    }

    /// The fields in which an event differs from a line.
    fn differing<'l>(
        &self,
        line: &'l Expected,
        event: &Event,
    ) -> impl Iterator<Item = &'static str> + use<'_, 'l> {
        let captured = self.difference.captured.clone();
        let event = event.clone();
        let differs = move |(field, like): &&(&'static str, Pattern)| {
            !field_matches(&event, field, like, &mut captured.clone())
        };
        line.fields.iter().filter(differs).map(|(field, _)| *field)
    }

    fn is_about(&self, line: &Expected, event: &Event) -> bool {
        let captured = &mut self.difference.captured.clone();
        line.kind.is_none_or(|kind| kind == event.kind)
            && line.host.matches(event.host.as_deref().unwrap_or("-"), captured)
    }

    fn write_expected(&self, f: &mut fmt::Formatter<'_>, lines: &[&Expected]) -> fmt::Result {
        if lines.is_empty() {
            return writeln!(f, "  - nothing more");
        }
        // If some lines are for this host and kind, the others are left out.
        let event = self.difference.event.and_then(|number| self.events.get(number));
        let about = event.map_or(0, |event| lines.iter().filter(|line| self.is_about(line, event)).count());
        let shown = if about > 0 { about.min(MAX_LINES) } else { lines.len().min(MAX_LINES) };
        for line in lines.iter().take(shown) {
            let number = if lines.len() > 1 { format!("    (line {})", line.line) } else { String::new() };
            writeln!(f, "  - {}{number}", line.source)?;
        }
        match lines.len() - shown {
            0 => Ok(()),
            1 => writeln!(f, "  - … or one more line"),
            more => writeln!(f, "  - … or one of {more} more lines"),
        }
    }

    /// Writes which fields differ, and whether the expected event comes later.
    fn write_hints(&self, f: &mut fmt::Formatter<'_>, event: &Event, lines: &[&Expected]) -> fmt::Result {
        let (Cause::Expected(_), Some(line)) = (&self.difference.cause, lines.first()) else { return Ok(()) };
        let captured = &self.difference.captured;
        if self.is_about(line, event) {
            for (field, like) in &line.fields {
                if !field_matches(event, field, like, &mut captured.clone()) {
                    let value = text::value(event, field)
                        .map_or("absent".into(), |value| text::word(&value).into_owned());
                    writeln!(f, "  {field} is {value}")?;
                }
            }
            if line.within.is_some() && matches_event(line, event, captured) {
                writeln!(f, "  it comes too late")?;
            }
        }
        if lines.len() > 1 {
            return Ok(());
        }
        let end = self.difference.event.map_or(0, |number| number + 1);
        let later = self.events.iter().skip(end).find(|event| matches_event(line, event, captured));
        later.map_or(Ok(()), |event| writeln!(f, "  it comes later: {event}"))
    }

    fn write_captures(&self, f: &mut fmt::Formatter<'_>, lines: &[&Expected]) -> fmt::Result {
        for (name, value) in self.file.names.0.iter().zip(&self.difference.captured) {
            let is_used = |line: &&Expected| line.source.contains(&format!("${name}"));
            if let (Some(value), true) = (value, lines.iter().any(is_used)) {
                writeln!(f, "  ${name} is {}", text::word(value))?;
            }
        }
        Ok(())
    }
}
