//! Who runs a file that is not ELF: `#!` lines as the kernel reads them (fs/binfmt_script.c), and what
//! env(1) makes of its argument.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// How much of a file the kernel looks at, in bytes (BINPRM_BUF_SIZE).
pub(super) const HEAD: usize = 256;

/// Who runs a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Not a script for the kernel (ENOEXEC): execvp gives it to the shell.
    Shell,
    Interpreter(PathBuf),
    /// The interpreter is env(1), which executes something else.
    Env {
        env: PathBuf,
        target: Target,
    },
}

/// What env(1) executes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// `None`: nothing, or its arguments are beyond us.
    pub program: Option<OsString>,
    /// The PATH in which it looks, if that is set by its arguments.
    pub path: Option<OsString>,
}

/// Decides by the first [`HEAD`] bytes of a file, or all if it is shorter.
pub(super) fn next(head: &[u8]) -> Next {
    let Some((interpreter, argument)) = shebang(head) else { return Next::Shell };
    let path = Path::new(OsStr::from_bytes(interpreter));
    if path.file_name() == Some(OsStr::new("env")) {
        Next::Env { env: path.into(), target: env_target(argument) }
    } else {
        Next::Interpreter(path.into())
    }
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Splits a `#!` line into interpreter and argument, which is one or empty whatever blanks are in it.
fn shebang(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|&b| matches!(b, b'\n' | b'\0'));
    let line = &rest[..end.unwrap_or(rest.len())];
    let start = line.iter().position(|&b| !is_blank(b))?;
    let line = &line[start..];
    let (interpreter, argument) = match line.iter().position(|&b| is_blank(b)) {
        Some(blank) => (&line[..blank], line[blank..].trim_ascii()),
        // Neither blank nor end of line in what the kernel reads: the path may be cut off.
        None if end.is_none() && head.len() >= HEAD => return None,
        None => (line, &[][..]),
    };
    Some((interpreter, argument))
}

/// What `env ARGUMENT` executes.
fn env_target(argument: &[u8]) -> Target {
    let split = |text: &[u8]| split_string(text).map(|words| env_words(&words)).unwrap_or_default();
    for option in [&b"--split-string="[..], b"-vS", b"-S"] {
        if let Some(text) = argument.strip_prefix(option) {
            return split(text);
        }
    }
    // Without -S the kernel's single argument is one word, blanks and all.
    if argument.is_empty() { Target::default() } else { env_words(&[argument.to_owned()]) }
}

/// Reads what follows `env`: options, assignments, then the program.
fn env_words(words: &[Vec<u8>]) -> Target {
    let mut target = Target::default();
    let mut words = words.iter();
    let mut options = true;
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"--" if options => options = false,
            b"-" | b"-i" | b"--ignore-environment" | b"-v" | b"--debug" if options => {}
            b"-u" | b"--unset" if options => _ = words.next(),
            option if options && option.starts_with(b"--unset=") => {}
            // -C changes what a relative program is, and other options are rarer still.
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

/// Splits the text of `env -S` into words. `None` for what it needs more than quotes for: variables
/// and escapes.
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
