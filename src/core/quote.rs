//! Go's quoting of byte strings, which the lonet protocol uses for names, addresses and error texts.
//!
//! Writing: [`quote`] is `strconv.Quote`, that is `%q` of printing. Bytes that are not UTF-8 become
//! `\xNN`, characters that Go does not print become escapes, all others stand for themselves.
//!
//! Reading: [`scan_quoted`] is `%q` of scanning. It parses a string at the beginning of a text, and returns
//! what follows. A byte that is not UTF-8 reads as U+FFFD; such bytes are written as escapes.
//!
//! Which characters are printed depends on the Unicode version (16 here, 15 in Go 1.21). Readers do not
//! depend on it, as a character and its escape read the same.

use std::fmt;
use unicode_general_category::{GeneralCategory, get_general_category};

/// The error for a text that is not a quoted string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteError;

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid syntax")
    }
}

impl std::error::Error for QuoteError {}

/// Quotes bytes as `"…"`. The result is UTF-8 whatever the bytes are.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        match first_char(rest) {
            Some(c) => {
                quote_char(c, &mut out);
                rest = &rest[c.len_utf8()..];
            }
            None => {
                out.push_str(&format!("\\x{byte:02x}"));
                rest = tail;
            }
        }
    }
    out.push('"');
    out
}

fn quote_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        c if is_print(c) => out.push(c),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        '\0'..='\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
        '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", c as u32)),
        _ => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols, and the ASCII space.
fn is_print(c: char) -> bool {
    c == ' '
        || !matches!(
            get_general_category(c),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::SpaceSeparator
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

/// The first character of the bytes. `None`: they are empty, or do not begin with UTF-8.
///
/// Go counts each byte of a broken sequence as an error of its own. So after `None` for bytes that are not
/// empty, continue one byte later. (Rust's lossy conversion counts a broken sequence once.)
pub(crate) fn first_char(bytes: &[u8]) -> Option<char> {
    let len = match bytes.first()? {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    std::str::from_utf8(bytes.get(..len)?).ok()?.chars().next()
}

/// Splits the first character off non-empty bytes; a byte that is not UTF-8 counts as U+FFFD.
pub(crate) fn take_char(bytes: &[u8]) -> (char, &[u8]) {
    match first_char(bytes) {
        Some(c) => (c, &bytes[c.len_utf8()..]),
        None => (char::REPLACEMENT_CHARACTER, &bytes[1..]),
    }
}

/// Reads a `"…"` or `` `…` `` string at the start of the text. Returns its value and what follows it.
pub fn scan_quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), QuoteError> {
    match text.split_first() {
        Some((b'"', body)) => interpreted(body, b'"'),
        Some((b'`', body)) => {
            let end = position(body, b'`')?;
            let mut value = Vec::with_capacity(end);
            let mut raw = &body[..end];
            while !raw.is_empty() {
                let (c, tail) = take_char(raw);
                push_char(c, &mut value);
                raw = tail;
            }
            Ok((value, &body[end + 1..]))
        }
        _ => Err(QuoteError),
    }
}

fn position(bytes: &[u8], wanted: u8) -> Result<usize, QuoteError> {
    bytes.iter().position(|&b| b == wanted).ok_or(QuoteError)
}

fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads a string with escapes up to its closing quote. Returns its value and what follows the quote.
fn interpreted(body: &[u8], quote: u8) -> Result<(Vec<u8>, &[u8]), QuoteError> {
    let mut value = Vec::new();
    let mut rest = body;
    loop {
        match rest.split_first() {
            Some((&b, tail)) if b == quote => return Ok((value, tail)),
            Some(_) => rest = unescape(rest, quote, &mut value)?,
            None => return Err(QuoteError),
        }
    }
}

/// Reads one character or escape, appends its value to `out`, returns what follows.
fn unescape<'a>(text: &'a [u8], quote: u8, out: &mut Vec<u8>) -> Result<&'a [u8], QuoteError> {
    let (escape, rest) = match text {
        [b'\\', escape, rest @ ..] => (*escape, rest),
        [] | [b'\\'] | [b'\n', ..] => return Err(QuoteError),
        [b, ..] if *b == quote => return Err(QuoteError),
        _ => {
            let (c, rest) = take_char(text);
            push_char(c, out);
            return Ok(rest);
        }
    };
    let byte = match escape {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        b if b == quote => quote,
        b'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            out.push(u8::try_from(value).map_err(|_| QuoteError)?);
            return Ok(rest);
        }
        b'u' | b'U' => {
            let (value, rest) = digits(rest, if escape == b'u' { 4 } else { 8 }, 16)?;
            push_char(char::from_u32(value).ok_or(QuoteError)?, out);
            return Ok(rest);
        }
        b'0'..=b'7' => {
            let (value, rest) = digits(&text[1..], 3, 8)?;
            out.push(u8::try_from(value).map_err(|_| QuoteError)?);
            return Ok(rest);
        }
        _ => return Err(QuoteError),
    };
    out.push(byte);
    Ok(rest)
}

/// Reads exactly `count` digits (at most 8, so that the value fits). Returns their value and what follows.
fn digits(text: &[u8], count: usize, radix: u32) -> Result<(u32, &[u8]), QuoteError> {
    let (text, rest) = text.split_at_checked(count).ok_or(QuoteError)?;
    let mut value = 0;
    for &b in text {
        value = value * radix + char::from(b).to_digit(radix).ok_or(QuoteError)?;
    }
    Ok((value, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RECORDING: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/quote.jsonl"));
    /// So many lines of the recording were made by quoting, the rest by unquoting.
    const QUOTED: usize = 35;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|h| u8::from_str_radix(str::from_utf8(h).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn quotes_as_recorded() {
        assert!(RECORDING.lines().count() > QUOTED);
        for line in RECORDING.lines().take(QUOTED) {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let quoted = case["quoted"].as_str().unwrap();
            let value = case["bytes_hex"].as_str().map(bytes);
            assert_eq!(quote(value.as_deref().unwrap()), quoted, "{line}");
        }
    }

    #[test]
    fn scanning_reads_as_recorded_and_says_what_follows() {
        for line in RECORDING.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let quoted = case["quoted"].as_str().unwrap();
            let text = [quoted.as_bytes(), b" and \"more\""].concat();
            let scanned = scan_quoted(&text);
            match quoted {
                // A scanner knows no characters,
                "'a'" => assert_eq!(scanned, Err(QuoteError)),
                // and reads up to the first closing quote, which may be in what follows.
                "\"a\"b" => assert_eq!(scanned, Ok((b"a".to_vec(), &b"b and \"more\""[..]))),
                "\"abc" => assert_eq!(scanned, Ok((b"abc and ".to_vec(), &b"more\""[..]))),
                _ => {
                    let value = case["bytes_hex"].as_str().map(bytes);
                    assert_eq!(scanned.ok(), value.map(|v| (v, &b" and \"more\""[..])), "{line}");
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_count_one_by_one() {
        assert_eq!(quote(b"\xe2\x82"), r#""\xe2\x82""#);
        assert_eq!(quote(b"\xed\xa0\x80"), r#""\xed\xa0\x80""#);
        assert_eq!(scan_quoted(b"\"\xe2\x82\""), Ok(("\u{fffd}\u{fffd}".into(), &b""[..])));
        assert_eq!(scan_quoted(b"`\xe2\x82`"), Ok(("\u{fffd}\u{fffd}".into(), &b""[..])));
        assert_eq!(scan_quoted(br#""\xe2\x82""#), Ok((b"\xe2\x82".to_vec(), &b""[..])));
    }

    #[test]
    fn carriage_return_inside_backquotes_is_kept() {
        assert_eq!(scan_quoted(b"`a\rb`"), Ok((b"a\rb".to_vec(), &b""[..])));
    }

    #[test]
    fn every_byte_string_survives_quoting() {
        let all: Vec<u8> = (0..=u8::MAX).chain("αβ\u{e000}\u{2028}😀\u{10ffff}".bytes()).collect();
        for start in 0..all.len() {
            let text = quote(&all[start..]);
            assert_eq!(scan_quoted(text.as_bytes()), Ok((all[start..].to_vec(), &b""[..])));
        }
    }
}
