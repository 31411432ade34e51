//! Host names: which spellings are the same host, how a name is written in DNS replies, and which names a
//! host may have.
//!
//! A user writes `bücher`. Java and nc hand `bücher.lonet` to the resolver as it was typed, curl
//! and Node hand it `xn--bcher-kva.lonet` (IDNA 2008, RFC 5891), Python hands it what IDNA 2003
//! (RFC 3490) makes of it. For `straße` the two standards disagree: the one says `xn--strae-oqa`,
//! the other `strasse`. All of these have to reach the same host, so a host is looked up by a key
//! that is coarser than either standard: [`fold`]. The key is never shown to anybody. What is
//! shown is the name as given, or where only ASCII will do, [`ascii`].
//!
//! The key of a label is, in this order:
//!
//! 1. its text without what is invisible, compatibility-decomposed, case-folded, composed
//!    (NFKC_Casefold of UAX #31, which turns `ß` into `ss` and final `ς` into `σ`, as IDNA 2003 does);
//! 2. if that starts with `xn--`: what the rest stands for in Punycode, put through step 1.
//!
//! Neither step asks whether IDNA would allow a character. A host may be called `♥`, and a symbol
//! newer than our Unicode tables is a good name too. Compared over all of Unicode, what Python's IDNA
//! 2003 makes of a character folds like the character itself, but for the five ideographs whose
//! decomposition Unicode has corrected since (Corrigendum #4).
//!
//! Everything here works on one label, without the `.lonet` behind it.

use std::iter;

use caseless::Caseless;
use idna::punycode;
use unicode_normalization::UnicodeNormalization;

/// The displayed spelling of a name that was only mentioned, as programs spell it: without `xn--`.
pub fn shown(label: &[u8]) -> Option<String> {
    let given = std::str::from_utf8(label).ok()?;
    let is_ascii_form = given.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    if is_ascii_form { fold(label) } else { Some(given.to_owned()) }
}

/// The longest label of the DNS, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// The prefix of a label that is Punycode (RFC 5890, 2.3.2.5).
const ACE: &str = "xn--";

/// Returns the key under which the host that `label` spells is known: equal keys, same host.
///
/// `label` is what a program asked the resolver for: UTF-8, or an A-label in any case, made by either
/// standard. `None` means that it spells no host at all: it is empty or has nothing visible in it, it is not
/// UTF-8 (a Java program in the C locale asks for `b?cher` instead, which is UTF-8 and another name), or it
/// starts with `xn--` and is no A-label: what follows is not Punycode, or stands for plain ASCII, or for
/// another `xn--`. RFC 5890 has no such A-labels, and `xn--db-` must not become a second spelling of `db`.
///
/// A key is its own key: `fold(fold(x)) == fold(x)`.
pub fn fold(label: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(label).ok()?;
    let mut key = mapped(text, Deviations::Folded);
    if let Some(code) = key.strip_prefix(ACE) {
        key = mapped(&decoded(code)?, Deviations::Folded);
        if key.starts_with(ACE) {
            return None;
        }
    }
    (!key.is_empty()).then_some(key)
}

/// Returns the spelling of `name` for places where DNS software expects ASCII: canonical names
/// and reverse answers.
///
/// An ASCII name is returned as it is. Any other gets the A-label of IDNA 2008 (`ß`, `ς` and joiners
/// are kept), which is what curl asks for and what a browser turns back into the name as given. It
/// folds to the same key as the name.
///
/// `None` if the name makes no DNS label of at most 63 bytes. Only foreign hosts have such names: [`check`]
/// refuses them.
pub fn ascii(name: &str) -> Option<String> {
    a_label(name).ok()
}

/// Decides whether a host of this network may be called `name`.
///
/// # Errors
///
/// One sentence that names the input and says what is wrong with it.
pub fn check(name: &str) -> Result<(), String> {
    let refuse = |why: String| Err(format!("host name {name:?} {why}"));
    if name.is_empty() {
        return refuse("is empty".into());
    }
    if name.len() > MAX_LABEL {
        return refuse(format!(
            "is {} bytes long in UTF-8, and a host name has at most {MAX_LABEL}",
            name.len()
        ));
    }
    match a_label(name) {
        Ok(_) => Ok(()),
        Err(why) => refuse(why),
    }
}

/// Makes a host name out of the name of a program, for a process that dials without having been
/// given a host.
///
/// `comm` is a file name, a command line or what `/proc/PID/comm` says. Its first word is taken,
/// without directories; whatever is neither letter, digit nor underscore becomes a dash.
/// The result passes [`check`], and still does with `-2` … `-9999` behind it.
/// A program whose name has nothing to offer is `program`.
pub fn from_program(comm: &[u8]) -> String {
    let text = String::from_utf8_lossy(comm);
    let word = text.split_whitespace().next().unwrap_or_default();
    let base = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();

    let mut name = String::new();
    for c in base.nfc() {
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
        } else if !name.ends_with('-') {
            // Never two dashes in a row, so that no program becomes `xn--…` and means another name.
            name.push('-');
        }
    }

    let mut name = name.trim_matches('-').to_owned();
    // The xn-- form grows by more than the suffix, so it is tried rather than computed.
    while !name.is_empty() && check(&format!("{name}-9999")).is_err() {
        name.pop();
    }
    if name.is_empty() { "program".into() } else { name }
}

/// The DNS label for `name`, or why there is none, as the rest of a sentence that starts with the
/// name.
fn a_label(name: &str) -> Result<String, String> {
    let Some(key) = fold(name.as_bytes()) else {
        return Err(if name.to_ascii_lowercase().starts_with(ACE) {
            "starts with xn-- and is not valid Punycode".into()
        } else {
            "has no visible character, or stands for a broken xn-- name".into()
        });
    };
    // The key shows what hides in the name: `．` and `。` are dots to IDNA software, `／` is a
    // slash, and an xn-- name can stand for anything.
    for c in name.chars().chain(key.chars()) {
        let what = match c {
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => "a dot",
            '/' => "a slash",
            ':' => "a colon",
            // In an address they enclose a host with colons.
            '[' | ']' => "a bracket",
            c if c.is_whitespace() => "whitespace",
            c if c.is_control() => "a control character",
            _ => continue,
        };
        return Err(format!("contains {what}, and a host name cannot"));
    }

    let label = if name.is_ascii() {
        name.to_owned()
    } else {
        let text = mapped(name, Deviations::Kept);
        if text.is_ascii() {
            text
        } else {
            let code = punycode::encode_str(&text).ok_or("is too long for Punycode")?;
            format!("{ACE}{code}")
        }
    };
    if label.len() > MAX_LABEL {
        return Err(format!(
            "is {} bytes long in its xn-- form, and a host name has at most {MAX_LABEL}",
            label.len()
        ));
    }
    // A joiner inside its xn-- prefix (`xn-\u{200d}-mxa`) hides the prefix from IDNA 2008 and not from
    // the key. Answering with a form that is read differently would point to another host.
    match fold(label.as_bytes()) {
        Some(read) if read == key => Ok(label),
        _ => Err("has no xn-- form that stands for it".into()),
    }
}

/// The text that an A-label encodes, given the part after `xn--`.
fn decoded(code: &str) -> Option<String> {
    // Decoding takes quadratic time, and a longer A-label is no DNS label.
    if ACE.len() + code.len() > MAX_LABEL {
        return None;
    }
    punycode::decode_to_string(code).filter(|text| !text.is_ascii())
}

/// The characters that IDNA 2003 maps away and IDNA 2008 keeps (UTS #46, section 7).
#[derive(Clone, Copy, PartialEq)]
enum Deviations {
    Folded,
    Kept,
}

/// Removes, normalises and case-folds until nothing changes any more.
///
/// Three rounds are enough for all of Unicode: folding can undo the normalisation before it,
/// and removing brings together what composes. The bound is there so that this ends by itself.
fn mapped(text: &str, deviations: Deviations) -> String {
    let kept = |c| deviations == Deviations::Kept && matches!(c, 'ß' | 'ς' | '\u{200c}' | '\u{200d}');
    let mut text = text.to_owned();
    for _ in 0..4 {
        let mut folded = String::with_capacity(text.len());
        for c in text.nfkd() {
            if kept(c) {
                folded.push(c);
            } else if !invisible(c) {
                folded.extend(iter::once(c).default_case_fold());
            }
        }
        let next: String = folded.nfkc().collect();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Characters that do not count in names: RFC 3454 table B.1 (IDNA 2003), and those that UTS #46 ignores
/// beyond it.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{1806}' | '\u{200b}'..='\u{200d}'
        | '\u{2060}' | '\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
