//! The log file, `<net>/log`, of limited size: a network may run for months, and what others can cause must
//! not fill a disk.
//!
//! Its lines have the format of LONET_LOG ([`lonet_core::logged`]), and the first one of a day has the date.

use super::current_directory::CurrentDirectory;
use lonet_core::directory::Directory;
use lonet_core::log_prefix::LogPrefix;
use lonet_core::sys;
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The size in bytes at which the log is renamed to `log.old`, replacing an older one.
const PUT_ASIDE_AT: u64 = 1 << 20;

const NAME: &CStr = c"log";
const OLD: &CStr = c"log.old";

pub struct Log {
    directory: CurrentDirectory,
    file: File,
    len: u64,
}

impl Log {
    pub fn open(directory: &CurrentDirectory) -> io::Result<Log> {
        let (file, len) = open(&directory.get())?;
        Ok(Log { directory: directory.clone(), file, len })
    }
}

/// The formatter of a line.
#[derive(Default)]
pub struct Lines {
    /// The day of the last line, counted from 1970.
    day: AtomicU64,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = sys::clock(libc::CLOCK_REALTIME).as_secs();
        let day = now / (24 * 60 * 60);
        if self.day.swap(day, Ordering::Relaxed) != day {
            writeln!(to, "{}{}", LogPrefix { host: "" }, date(now))?;
        }
        write!(to, "{}", LogPrefix { host: "" })?;
        match *event.metadata().level() {
            Level::ERROR => to.write_str("error: ")?,
            Level::WARN => to.write_str("warning: ")?,
            _ => {}
        }
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// The date of a time, UTC.
fn date(seconds: u64) -> String {
    // SAFETY: all zeroes is a broken-down time.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: a time to read, and a structure to fill.
    unsafe { libc::gmtime_r(&(seconds as libc::time_t), &raw mut tm) };
    format!("{:04}-{:02}-{:02} UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday)
}

fn open(directory: &Directory) -> io::Result<(File, u64)> {
    let file = directory.file(NAME, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl Write for Log {
    /// A line that cannot be written is lost, and one that would exceed the limit is not written.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let directory = self.directory.get();
        if !directory.leads_to(NAME, self.file.as_raw_fd()) {
            (self.file, self.len) = open(&directory)?;
        }
        if self.len + line.len() as u64 > PUT_ASIDE_AT {
            directory.rename(NAME, OLD)?;
            (self.file, self.len) = open(&directory)?;
        }
        let n = self.file.write(line)?;
        self.len += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonet_core::directory::Place;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn log_in(dir: &Path) -> Log {
        let directory = Place::new(dir).open(nix::unistd::geteuid().as_raw()).expect("a directory");
        Log::open(&CurrentDirectory::new(directory)).expect("a log")
    }

    /// Closed to others, in one that is.
    fn directory() -> (tempfile::TempDir, std::path::PathBuf) {
        let tmp = tempfile::tempdir().expect("a directory");
        let dir = tmp.path().join("net");
        let closed = std::fs::Permissions::from_mode(0o700);
        std::fs::create_dir(&dir).and_then(|()| std::fs::set_permissions(&dir, closed)).expect("a directory");
        (tmp, dir)
    }

    #[test]
    fn log_without_end_keeps_its_last_lines_in_two_files() {
        let (_tmp, dir) = directory();
        let mut log = log_in(&dir);
        let line = [b'x'; 1 << 10];
        for _ in 0..5 * (PUT_ASIDE_AT >> 10) {
            log.write_all(&line).expect("written");
        }
        log.write_all(b"last\n").expect("written");
        let names = std::fs::read_dir(&dir).expect("a directory").flatten();
        let sizes: Vec<u64> = names.map(|f| f.metadata().expect("a file").len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|len| *len <= PUT_ASIDE_AT), "{sizes:?}");
        assert!(std::fs::read(dir.join("log")).expect("the log").ends_with(b"last\n"));
    }

    #[test]
    fn date_is_that_of_the_day() {
        assert_eq!(date(0), "1970-01-01 UTC");
        assert_eq!(date(951_782_400 + 86_399), "2000-02-29 UTC");
    }

    #[test]
    fn log_of_previous_lonetd_counts_towards_limit() {
        let (_tmp, dir) = directory();
        std::fs::write(dir.join("log"), vec![b'x'; PUT_ASIDE_AT as usize]).expect("a log");
        log_in(&dir).write_all(b"first\n").expect("written");
        assert_eq!(std::fs::read(dir.join("log")).expect("the log"), b"first\n");
        assert_eq!(dir.join("log.old").metadata().expect("a file").len(), PUT_ASIDE_AT);
    }

    #[test]
    fn log_that_was_deleted_is_made_again() {
        let (_tmp, dir) = directory();
        let mut log = log_in(&dir);
        std::fs::remove_file(dir.join("log")).expect("deleted");
        log.write_all(b"first\n").expect("written");
        assert_eq!(std::fs::read(dir.join("log")).expect("the log"), b"first\n");
    }
}
