//! Reads a trace while lonetd writes it: see `daemon::trace::file`.

use crate::daemon::trace::file::{NAME, OLD};
use lonet_core::directory::Directory;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::AsRawFd;

pub struct Recorded {
    directory: Directory,
    file: BufReader<File>,
    /// Whether `file` has been rotated: another one follows it.
    is_old: bool,
    /// Whether the next line is the header of a further file, which is skipped.
    is_next: bool,
    /// The beginning of a line that is not complete yet.
    rest: Vec<u8>,
}

impl Recorded {
    /// `None`: nothing was recorded.
    pub fn open(directory: Directory) -> io::Result<Option<Recorded>> {
        let open = |name| match directory.file(name, libc::O_RDONLY) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        };
        // Opened in this order, so that a rotation in between loses nothing.
        let (old, new) = (open(OLD)?, open(NAME)?);
        let is_old = old.is_some();
        let Some(file) = old.or(new) else { return Ok(None) };
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Some(Recorded { directory, file, is_old, is_next: false, rest: Vec::new() }))
    }

    /// Passes each line that has been written since the last call to `take`, with the header.
    pub fn each(&mut self, take: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        while let Some(line) = self.next()? {
            take(&line)?;
        }
        Ok(())
    }

    /// The next line that has been written. A line that lonetd could not complete, as it was killed or the disk was full,
    /// is skipped.
    pub fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            while self.file.read_until(b'\n', &mut self.rest)? > 0 && self.rest.ends_with(b"\n") {
                let line = self.rest.trim_ascii_end();
                let is_whole = serde_json::from_slice::<IgnoredAny>(line).is_ok();
                let line = is_whole.then(|| String::from_utf8_lossy(line).into_owned());
                self.rest.clear();
                if let Some(line) = line.filter(|_| !std::mem::take(&mut self.is_next)) {
                    return Ok(Some(line));
                }
            }
            if !self.has_next()? {
                return Ok(None);
            }
        }
    }

    /// Skips everything up to now, with the header, without reading it.
    pub fn go_to_the_end(&mut self) -> io::Result<()> {
        while self.has_next()? {}
        self.file.seek(SeekFrom::End(0))?;
        self.is_next = false;
        Ok(())
    }

    /// Skips everything up to now, but passes the header to `take`.
    pub fn skip(&mut self, take: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let mut is_first = true;
        self.each(&mut |line| if std::mem::take(&mut is_first) { take(line) } else { Ok(()) })
    }

    /// Whether another file follows the current one. If so, it is opened.
    fn has_next(&mut self) -> io::Result<bool> {
        let is_current = self.directory.leads_to(NAME, self.file.get_ref().as_raw_fd());
        if is_current {
            return Ok(false);
        }
        // First read what was written to this one before the rotation.
        if !std::mem::replace(&mut self.is_old, true) {
            return Ok(true);
        }
        match self.directory.file(NAME, libc::O_RDONLY) {
            Ok(next) => {
                self.file = BufReader::with_capacity(1 << 16, next);
                (self.is_old, self.is_next) = (false, true);
                self.rest.clear();
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}
