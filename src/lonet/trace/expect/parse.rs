//! Parses a file of expected events. lonet(1) has the grammar, under EXPECTATIONS.

use super::pattern::Pattern;
use super::words::{Names, SyntaxError, Word, words};
use crate::duration;
use crate::trace::event::Kind;
use crate::trace::text::FIELDS;
use std::time::Duration;

/// A file of expected events.
#[derive(Debug)]
pub struct File {
    pub items: Vec<Item>,
    /// Every event of the trace is compared.
    pub is_strict: bool,
    pub names: Names,
    /// The number of lines with events.
    pub lines: usize,
}

#[derive(Clone, Debug)]
pub enum Item {
    Event(Expected),
    /// From here on, no such event may happen.
    Never(Expected),
    /// All items, in any order.
    Unordered(Vec<Item>),
    Ordered(Vec<Item>),
    /// As `Ordered`, concurrently with all that follows.
    Meanwhile(Vec<Item>),
}

/// A line with an expected event.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its line in the file, from 1 on.
    pub line: usize,
    /// The line as it is written.
    pub source: String,
    pub host: Pattern,
    /// `None`: any kind.
    pub kind: Option<Kind>,
    pub fields: Vec<(&'static str, Pattern)>,
    /// Other compared events may come first.
    pub is_eventual: bool,
    /// The most time after the previous event.
    pub within: Option<Duration>,
}

/// Whether a word is a keyword at the beginning of a line, unless it is quoted.
pub fn is_keyword(word: &str) -> bool {
    ["strict", "never", "eventually", "within", "unordered", "ordered", "meanwhile"].contains(&word)
}

type Parsed<T> = Result<T, (usize, String)>;

/// Reads a file.
pub fn parse(text: &str) -> Result<File, SyntaxError> {
    let mut file = File { items: Vec::new(), is_strict: false, names: Names::default(), lines: 0 };
    let mut open: Vec<OpenBlock> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let wrong = |(at, why): (usize, String)| {
            let column = line[..at.min(line.len())].chars().count() + 1;
            SyntaxError { line: number, column, why }
        };
        let words = words(line).map_err(wrong)?;
        let Some((first, others)) = words.split_first() else { continue };
        let item = match (first.raw, others) {
            ("strict", []) if file.items.is_empty() && open.is_empty() => {
                file.is_strict = true;
                continue;
            }
            ("strict", []) => return Err(wrong((first.at, "`strict` stands before all events".into()))),
            ("}", []) => match open.pop() {
                Some(block) => block.close(),
                None => return Err(wrong((first.at, "no block is open that this could end".into()))),
            },
            _ if words.last().is_some_and(|last| last.raw == "{") => {
                let column = line[..first.at].chars().count() + 1;
                open.push(OpenBlock::begin(&words, number, column).map_err(wrong)?);
                continue;
            }
            _ => {
                file.lines += 1;
                item(&words, number, line, &mut file.names).map_err(wrong)?
            }
        };
        open.last_mut().map_or(&mut file.items, |block| &mut block.items).push(item);
    }
    match open.pop() {
        Some(block) => Err(SyntaxError {
            line: block.line,
            column: block.column,
            why: "this block does not end: there is no `}`".into(),
        }),
        None if file.lines == 0 => {
            Err(SyntaxError { line: 1, column: 1, why: "no event is expected".into() })
        }
        None => Ok(file),
    }
}

/// A block whose end has not been read yet.
struct OpenBlock {
    kind: fn(Vec<Item>) -> Item,
    items: Vec<Item>,
    line: usize,
    column: usize,
}

impl OpenBlock {
    fn begin(words: &[Word<'_>], line: usize, column: usize) -> Parsed<OpenBlock> {
        let [word, _] = words else {
            let at = words.first().map_or(0, |word| word.at);
            return Err((at, "a block begins with `unordered {`, `ordered {` or `meanwhile {`".into()));
        };
        let kind = match word.raw {
            "unordered" => Item::Unordered,
            "ordered" => Item::Ordered,
            "meanwhile" => Item::Meanwhile,
            other => {
                let why = format!("{other:?} begins no block; `unordered`, `ordered` and `meanwhile` do");
                return Err((word.at, why));
            }
        };
        Ok(OpenBlock { kind, items: Vec::new(), line, column })
    }

    fn close(self) -> Item {
        (self.kind)(self.items)
    }
}

/// Parses a line with an event and the keywords in front of it.
fn item(words: &[Word<'_>], number: usize, line: &str, names: &mut Names) -> Parsed<Item> {
    let (mut rest, mut wrap) = (words, Item::Event as fn(Expected) -> Item);
    let (mut is_eventual, mut within) = (false, None);
    while let [first, others @ ..] = rest {
        match first.raw {
            "never" | "meanwhile" if rest.len() < words.len() => {
                return Err((first.at, format!("`{}` is a line's first word", first.raw)));
            }
            "never" => wrap = Item::Never,
            "meanwhile" => wrap = |event| Item::Meanwhile(vec![Item::Event(event)]),
            "eventually" => is_eventual = true,
            "within" => {
                let [time, others @ ..] = others else { return Err((end(first), "how long?".into())) };
                within = Some(duration::time(time.raw).map_err(|why| (time.at, why))?);
                rest = others;
                continue;
            }
            _ => break,
        }
        rest = others;
    }
    let event = event(rest, words, names)?;
    let expected = Expected { line: number, source: line.trim().to_owned(), is_eventual, within, ..event };
    match wrap(expected) {
        Item::Never(e) if e.is_eventual || e.within.is_some() => {
            let why = "`never` holds to the end of the trace: neither `eventually` nor `within` goes with it";
            Err((words.first().map_or(0, |word| word.at), why.into()))
        }
        item => Ok(item),
    }
}

/// `HOST [PROGRAM(PID)] EVENT [WHAT] [KEY=VALUE…]`
fn event(words: &[Word<'_>], all: &[Word<'_>], names: &mut Names) -> Parsed<Expected> {
    let behind = all.last().map_or(0, end);
    let [host, rest @ ..] = words else { return Err((behind, "a host is missing, or *".into())) };
    let host = host.pattern(names)?;
    let mut fields = Vec::new();
    let rest = match rest {
        [program, rest @ ..] if program.raw.ends_with(')') => {
            fields.extend(process(*program, names)?);
            rest
        }
        _ => rest,
    };
    let [kind, rest @ ..] = rest else {
        return Err((behind, "what happened is missing: dial, …, or *".into()));
    };
    let kind = kind_of(kind)?;
    let keys = rest.iter().position(|word| key(word).is_some()).unwrap_or(rest.len());
    let (subject, keyed) = rest.split_at(keys);
    fields.extend(subject_of(kind, subject, names)?);
    for word in keyed {
        let Some((name, value)) = key(word) else {
            return Err((word.at, "this stands before all KEY=VALUE".into()));
        };
        let Some(field) = FIELDS.into_iter().find(|field| *field == name) else {
            return Err((word.at, format!("no event has a field {name:?}; there are {}", FIELDS.join(", "))));
        };
        if fields.iter().any(|(known, _)| *known == field) {
            return Err((word.at, format!("{field} is said twice")));
        }
        fields.push((field, value.pattern(names)?));
    }
    Ok(Expected { line: 0, source: String::new(), host, kind, fields, is_eventual: false, within: None })
}

/// `curl(4711)`
fn process(word: Word<'_>, names: &mut Names) -> Parsed<Vec<(&'static str, Pattern)>> {
    let Some((program, pid)) = word.raw.strip_suffix(')').and_then(|raw| raw.rsplit_once('(')) else {
        return Err((word.at, "a program and its pid are written as in curl(4711)".into()));
    };
    let pid_at = word.at + program.len() + 1;
    let mut fields = Vec::new();
    for (field, raw, at) in [("program", program, word.at), ("pid", pid, pid_at)] {
        if !raw.is_empty() {
            fields.push((field, Word { raw, at }.pattern(names)?));
        }
    }
    Ok(fields)
}

fn kind_of(word: &Word<'_>) -> Parsed<Option<Kind>> {
    if word.raw == "*" {
        return Ok(None);
    }
    Kind::parse(word.raw).map(Some).ok_or_else(|| {
        let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        (word.at, format!("no event is called {:?}; there are {}", word.raw, kinds.join(", ")))
    })
}

/// `key=value`; not what is quoted.
fn key<'a>(word: &Word<'a>) -> Option<(&'a str, Word<'a>)> {
    let (name, value) = word.raw.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_name.then(|| (name, Word { raw: value, at: word.at + name.len() + 1 }))
}

/// What it happened to: `web:80`, `laptop:1 -> web:80`, `web.lonet`, `cut a b`, or nothing.
fn subject_of(
    kind: Option<Kind>,
    words: &[Word<'_>],
    names: &mut Names,
) -> Parsed<Vec<(&'static str, Pattern)>> {
    use Kind::*;
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if matches!(kind, Some(FaultSet | FaultHit | FaultHealed)) {
        let mut rule = Pattern::default();
        for (n, word) in words.iter().enumerate() {
            rule.0.extend((n > 0).then(|| super::pattern::Part::Text(" ".into())));
            rule.0.extend(word.pattern(names)?.0);
        }
        return Ok(vec![("rule", rule)]);
    }
    let field = match (kind, words) {
        (Some(HostUp | HostDown | Joined | Ended | Lost), _) => {
            return Err((first.at, "nothing stands behind this event but KEY=VALUE".into()));
        }
        (Some(NameAsked | NameAnswered), [_]) => "name",
        (Some(Bound | Listening | Unlistened) | None, [_]) => "at",
        (Some(NameAsked | NameAnswered | Bound | Listening | Unlistened), [_, second, ..]) => {
            return Err((second.at, "one word is expected here, then KEY=VALUE".into()));
        }
        (_, [from, arrow, to]) if arrow.raw == "->" => {
            let fields = [("from", from.pattern(names)?), ("to", to.pattern(names)?)];
            return Ok(fields.into());
        }
        _ => return Err((first.at, "two addresses are expected here, as in a:1 -> b:80".into())),
    };
    Ok(vec![(field, first.pattern(names)?)])
}

/// Where a word ends.
fn end(word: &Word<'_>) -> usize {
    word.at + word.raw.len()
}
