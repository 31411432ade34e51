//! The prefix of lines in LONET_LOG and lonetd's log: `12:00:01.123456 γ curl(4711) `.

use crate::sys::{self, Text};
use std::fmt;

/// The kernel's limit of a program's name in bytes, with the terminating zero (TASK_COMM_LEN).
const COMM: usize = 16;

/// Displays the time of day in UTC, the host, and this process's program and pid.
pub struct LogPrefix<'a> {
    /// The host of the process; empty: it has none.
    pub host: &'a str,
}

impl fmt::Display for LogPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = sys::clock(libc::CLOCK_REALTIME);
        let second = now.as_secs() % (24 * 60 * 60);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        let host = if self.host.is_empty() { "-" } else { self.host };
        write!(f, "{h:02}:{m:02}:{s:02}.{:06} {host} ", now.subsec_micros())?;
        write_name(f, program().bytes())?;
        write!(f, "({}) ", sys::getpid())
    }
}

/// The name of this process's program, as `ps` shows it.
fn program() -> Text<COMM> {
    let (mut name, mut bytes) = (Text::new(), [0; COMM]);
    let n = sys::open(c"/proc/self/comm", libc::O_RDONLY)
        .and_then(|file| sys::read_at(file.raw(), 0, &mut bytes))
        .unwrap_or(0);
    let whole = bytes.get(..n).unwrap_or_default();
    name.push(whole.strip_suffix(b"\n").unwrap_or(whole));
    name
}

/// Writes a name of any bytes, with `?` for control characters and for what is not UTF-8.
fn write_name(f: &mut fmt::Formatter<'_>, name: &[u8]) -> fmt::Result {
    for chunk in name.utf8_chunks() {
        let printed = |c: char| if c.is_control() { '?' } else { c };
        chunk.valid().chars().try_for_each(|c| fmt::Write::write_char(f, printed(c)))?;
        if !chunk.invalid().is_empty() {
            f.write_str("?")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_has_time_host_program_and_pid() {
        let head = LogPrefix { host: "γ" }.to_string();
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!((words[0].len(), words[1], words.len()), ("12:00:01.123456".len(), "γ", 4), "{head}");
        assert!(words[2].ends_with(&format!("({})", std::process::id())), "{head}");
        assert!(LogPrefix { host: "" }.to_string().contains(" - "));
    }
}
