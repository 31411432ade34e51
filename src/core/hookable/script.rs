//! Parses `#!` lines as the kernel does (fs/binfmt_script.c).

use crate::sys::Text;

/// Bytes of a script that the kernel reads (BINPRM_BUF_SIZE).
pub(super) const LINE: usize = 256;

/// How the kernel runs a script.
pub struct Script {
    /// The interpreter's path.
    pub interpreter: Text<LINE>,
    /// The argument before the script's name; empty: none. Blanks do not split it.
    pub argument: Text<LINE>,
}

impl Script {
    /// Parses the beginning of a file: [`LINE`] bytes, or all if it is shorter. `None`: it is no script to
    /// the kernel.
    pub(super) fn read(head: &[u8]) -> Option<Script> {
        let head = head.get(..LINE).unwrap_or(head);
        let rest = head.strip_prefix(b"#!")?;
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\0'));
        let line = rest.get(..end.unwrap_or(rest.len()))?;
        let line = line.get(line.iter().position(|b| !is_blank(*b))?..)?;
        let blank = line.iter().position(|b| is_blank(*b));
        // Without blank or end of line in what the kernel reads, the path may be cut off.
        if blank.is_none() && end.is_none() && head.len() >= LINE {
            return None;
        }
        let (path, argument) = line.split_at_checked(blank.unwrap_or(line.len()))?;
        let mut script = Script { interpreter: Text::new(), argument: Text::new() };
        let all = script.interpreter.push(path) && script.argument.push(argument.trim_ascii());
        all.then_some(script)
    }
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}
