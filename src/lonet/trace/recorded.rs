//! What lonetd has written of a trace, and goes on to write: see `daemon::trace::file`.

use crate::daemon::trace::file::{NAME, OLD};
use lonet_core::directory::Directory;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::AsRawFd;

pub struct Recorded {
    directory: Directory,
    file: BufReader<File>,
    /// It has been put aside, and another one goes on.
    is_old: bool,
    /// It is not the first file that is read: another header.
    is_next: bool,
    /// The beginning of a line whose end has not been written.
    rest: Vec<u8>,
}

impl Recorded {
    /// `None`: nothing was recorded.
    pub fn open(directory: Directory) -> io::Result<Option<Recorded>> {
        let open = |name| match directory.file(name, libc::O_RDONLY) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        };
        // If it is put aside just now, it is read for itself.
        let (old, new) = (open(OLD)?, open(NAME)?);
        let is_old = old.is_some();
        let Some(file) = old.or(new) else { return Ok(None) };
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Some(Recorded { directory, file, is_old, is_next: false, rest: Vec::new() }))
    }

    /// Reads on: the lines that are there, the header's among them.
    pub fn each(&mut self, take: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        while let Some(line) = self.next()? {
            take(&line)?;
        }
        Ok(())
    }

    /// The next line that is there. One of which a lonetd has written half when it was killed, or for the rest of which
    /// there was no room, is passed over.
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

    /// Passes over what is there, the header too, without reading it.
    pub fn go_to_the_end(&mut self) -> io::Result<()> {
        while self.has_next()? {}
        self.file.seek(SeekFrom::End(0))?;
        self.is_next = false;
        Ok(())
    }

    /// Passes over what is there, but for the header.
    pub fn skip(&mut self, take: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let mut is_first = true;
        self.each(&mut |line| if std::mem::take(&mut is_first) { take(line) } else { Ok(()) })
    }

    /// Whether another file goes on where this one ends. It is open then.
    fn has_next(&mut self) -> io::Result<bool> {
        let is_current = self.directory.leads_to(NAME, self.file.get_ref().as_raw_fd());
        if is_current {
            return Ok(false);
        }
        // What was written to this one before it was put aside comes first.
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
