//! Splits a line of a file into words: patterns, quoted or not, with their positions.

use super::pattern::{Part, Pattern};

/// A syntax error and its position. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub line: usize,
    pub column: usize,
    pub why: String,
}

/// A word of a line.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    pub raw: &'a str,
    /// In bytes, from the beginning of the line.
    pub at: usize,
}

/// The names of captures. A capture's number is its index here.
#[derive(Debug, Default)]
pub struct Names(pub Vec<String>);

impl Names {
    fn number(&mut self, name: &str) -> usize {
        match self.0.iter().position(|known| known == name) {
            Some(number) => number,
            None => {
                self.0.push(name.to_owned());
                self.0.len() - 1
            }
        }
    }
}

/// Splits a line. A word that begins with `#` begins a comment; an arrow is a word of its own.
///
/// # Errors
///
/// The position in bytes, and the message.
pub fn words(line: &str) -> Result<Vec<Word<'_>>, (usize, String)> {
    let mut words = Vec::new();
    let mut begin = None;
    let mut rest = 0;
    while let Some(c) = line[rest..].chars().next() {
        let arrow = ["->", "→"].into_iter().find(|arrow| line[rest..].starts_with(arrow));
        if c == '#' && begin.is_none() {
            break;
        }
        if c.is_whitespace() || arrow.is_some() {
            if let Some(begin) = begin.take() {
                words.push(Word { raw: &line[begin..rest], at: begin });
            }
            if let Some(arrow) = arrow {
                words.push(Word { raw: "->", at: rest });
                rest += arrow.len();
            } else {
                rest += c.len_utf8();
            }
            continue;
        }
        begin.get_or_insert(rest);
        rest += if c == '"' { quoted(&line[rest..]).map_err(|why| (rest, why))?.1 } else { c.len_utf8() };
    }
    if let Some(begin) = begin {
        words.push(Word { raw: &line[begin..rest], at: begin });
    }
    Ok(words)
}

/// The value of the quoted text at the beginning, and its length with the quotes.
fn quoted(text: &str) -> Result<(String, usize), String> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                let raw = &text[..=at];
                let text = serde_json::from_str(raw)
                    .map_err(|_| format!("{raw} is not quoted as JSON quotes a text"))?;
                return Ok((text, raw.len()));
            }
            _ => {}
        }
    }
    Err("there is no \" that ends this quoted text".into())
}

impl Word<'_> {
    /// The word as a pattern. Between quotes everything stands for itself.
    ///
    /// # Errors
    ///
    /// As those of [`words`].
    pub fn pattern(self, names: &mut Names) -> Result<Pattern, (usize, String)> {
        let mut parts: Vec<Part> = Vec::new();
        let mut add = |part: Part| match (parts.last_mut(), part) {
            (Some(Part::Text(last)), Part::Text(text)) => last.push_str(&text),
            (Some(Part::Any), Part::Any) => {}
            (_, part) => parts.push(part),
        };
        let mut rest = 0;
        while let Some(c) = self.raw[rest..].chars().next() {
            let wrong = |why| (self.at + rest, why);
            let len = match c {
                '"' => {
                    let (text, len) = quoted(&self.raw[rest..]).map_err(wrong)?;
                    add(Part::Text(text));
                    len
                }
                '*' => {
                    add(Part::Any);
                    1
                }
                '$' => {
                    let name = &self.raw[rest + 1..];
                    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
                    let name = &name[..name.find(|c| !is_of_name(c)).unwrap_or(name.len())];
                    if name.is_empty() {
                        let why = "a capture is $ and a name of letters and digits; \"$\" is a dollar sign";
                        return Err(wrong(why.into()));
                    }
                    add(Part::Capture(names.number(name)));
                    1 + name.len()
                }
                c => {
                    add(Part::Text(c.into()));
                    c.len_utf8()
                }
            };
            rest += len;
        }
        if parts.is_empty() {
            parts.push(Part::Text(String::new()));
        }
        Ok(Pattern(parts))
    }
}
