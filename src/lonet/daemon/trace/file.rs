//! `<net>/trace`: what was recorded, as JSON lines, of limited size.

use crate::daemon::current::Current;
use crate::trace::event::{Header, VERSION};
use crate::trace::moment::Moment;
use lonet_core::directory::Directory;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

pub const NAME: &CStr = c"trace";
/// What was recorded before, where it was too much for one file.
pub const OLD: &CStr = c"trace.old";

/// The size at which the file is put aside, in bytes. What was put aside before goes.
const PUT_ASIDE_AT: u64 = 256 << 20;

pub struct Trace {
    directory: Current,
    network: String,
    file: File,
    len: u64,
    /// The last line has no end: there was no room for all of it.
    is_cut_off: bool,
}

impl Trace {
    /// Begins anew.
    pub fn create(directory: &Current, network: &str) -> io::Result<Trace> {
        let here = directory.now();
        for name in [OLD, NAME] {
            let _ = here.remove(name);
        }
        let (directory, network, file) = (directory.clone(), network.to_owned(), open(&here)?);
        let mut trace = Trace { directory, network, file, len: 0, is_cut_off: false };
        trace.begin()?;
        Ok(trace)
    }

    /// Goes on with what a lonetd before has written.
    pub fn resume(directory: &Current, network: &str) -> io::Result<Trace> {
        let file = open(&directory.now())?;
        let len = file.metadata()?.len();
        let (directory, network) = (directory.clone(), network.to_owned());
        let mut trace = Trace { directory, network, file, len, is_cut_off: false };
        let mut last = [b'\n'];
        if len == 0 {
            trace.begin()?;
        } else if trace.file.read_exact_at(&mut last, len - 1).is_ok() && last != *b"\n" {
            // It was killed in the midst of a line.
            trace.is_cut_off = true;
        }
        Ok(trace)
    }

    fn begin(&mut self) -> io::Result<()> {
        let header = Header { version: VERSION, network: self.network.clone(), time: Moment::now() };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        self.put(&line)
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        let end_of_the_last: &[u8] = if self.is_cut_off { b"\n" } else { b"" };
        let before = self.len;
        self.file.write_all(&[end_of_the_last, text].concat()).inspect_err(|_| {
            self.len = self.file.metadata().map_or(0, |m| m.len());
            self.is_cut_off |= self.len != before;
        })?;
        self.len += (end_of_the_last.len() + text.len()) as u64;
        self.is_cut_off = false;
        Ok(())
    }

    /// Whole lines.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.len + lines.len() as u64 > PUT_ASIDE_AT {
            let here = self.directory.now();
            here.rename(NAME, OLD)?;
            (self.file, self.len, self.is_cut_off) = (open(&here)?, 0, false);
            self.begin()?;
        }
        self.put(lines)
    }
}

fn open(directory: &Directory) -> io::Result<File> {
    directory.file(NAME, libc::O_RDWR | libc::O_APPEND | libc::O_CREAT)
}
