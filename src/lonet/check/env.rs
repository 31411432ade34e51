//! The program that env(1) executes as the interpreter of a script. env is hooked and looks for it itself,
//! but `lonet check` has to know it before.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The program that env executes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// `None`: nothing, or its arguments are not understood here.
    pub program: Option<OsString>,
    /// The PATH in which env looks, if its arguments set that.
    pub path: Option<OsString>,
}

/// The program that `env ARGUMENT` executes.
pub(super) fn target(argument: &[u8]) -> Target {
    let split = |text: &[u8]| split_string(text).map(|words| words_of(&words)).unwrap_or_default();
    for option in [&b"--split-string="[..], b"-vS", b"-S"] {
        if let Some(text) = argument.strip_prefix(option) {
            return split(text);
        }
    }
    // Without -S the kernel's single argument is one word, including blanks.
    if argument.is_empty() { Target::default() } else { words_of(&[argument.to_owned()]) }
}

/// Reads what follows `env`: options, assignments, then the program.
fn words_of(words: &[Vec<u8>]) -> Target {
    let mut target = Target::default();
    let mut words = words.iter();
    let mut options = true;
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" if options => options = false,
            b"-" | b"-i" | b"--ignore-environment" | b"-v" | b"--debug" if options => {}
            b"-u" | b"--unset" if options => _ = words.next(),
            option if options && option.starts_with(b"--unset=") => {}
            // -C changes the meaning of a relative path, and other options are rarer still.
            option if options && option.starts_with(b"-") => return Target::default(),
            assignment if assignment.contains(&b'=') => {
                options = false;
                if let Some(path) = assignment.strip_prefix(b"PATH=") {
                    target.path = Some(OsString::from_vec(path.to_vec()));
                }
            }
            program => {
                target.program = Some(OsStr::from_bytes(program).to_owned());
                break;
            }
        }
    }
    target
}

/// Splits the text of `env -S` into words. `None` if it needs more than quotes: variables and escapes.
fn split_string(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    for &b in text {
        match (quote, b) {
            (_, b'\\' | b'$') => return None,
            (Some(q), _) if q == b => quote = None,
            (None, b'\'' | b'"') => {
                quote = Some(b);
                word.get_or_insert_default();
            }
            (None, b'#') if word.is_none() => break,
            (None, _) if b.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(b),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
