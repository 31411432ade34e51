//! The file of a trace, `<net>/trace`: events as JSON lines, of limited size.

use crate::daemon::current_directory::CurrentDirectory;
use crate::trace::event::{Header, Kind, VERSION};
use crate::trace::moment::Moment;
use lonet_core::directory::Directory;
use serde::Deserialize;
use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

pub const NAME: &CStr = c"trace";
/// The older part of a trace that is too large for one file.
pub const OLD: &CStr = c"trace.old";

/// The size at which the file is renamed to [`OLD`], in bytes.
const ROTATE_AT: u64 = 256 << 20;

/// More than is written at once, in bytes: all events of the table.
const MAX_WRITE: u64 = 32 << 20;

/// The fields that identify an event.
#[derive(Deserialize)]
struct EventId {
    seq: u64,
    #[serde(rename = "event")]
    kind: Kind,
}

pub struct Trace {
    directory: CurrentDirectory,
    network: String,
    file: File,
    len: u64,
    /// Whether the last line is incomplete, as there was no room for it.
    is_cut_off: bool,
    /// The size at which the file is renamed.
    rotate_at: u64,
}

impl Trace {
    /// Begins a new file.
    pub fn create(directory: &CurrentDirectory, network: &str) -> io::Result<Trace> {
        let here = directory.get();
        for name in [OLD, NAME] {
            let _ = here.remove(name);
        }
        let (directory, network, file) = (directory.clone(), network.to_owned(), open(&here)?);
        let mut trace = Trace { directory, network, file, len: 0, is_cut_off: false, rotate_at: ROTATE_AT };
        trace.begin()?;
        Ok(trace)
    }

    /// Continues the previous lonetd's file.
    pub fn resume(directory: &CurrentDirectory, network: &str) -> io::Result<Trace> {
        let file = open(&directory.get())?;
        let len = file.metadata()?.len();
        let (directory, network) = (directory.clone(), network.to_owned());
        let mut trace = Trace { directory, network, file, len, is_cut_off: false, rotate_at: ROTATE_AT };
        let end = trace.end_of(MAX_WRITE)?;
        if !end.contains(&b'\n') && len <= MAX_WRITE {
            // It was killed before or while it wrote the header.
            trace.file.set_len(0)?;
            trace.len = 0;
            trace.begin()?;
        } else if end.last() != Some(&b'\n') {
            // It was killed while it wrote a line. Readers may have read its beginning: it is ended, not removed.
            trace.is_cut_off = true;
        }
        Ok(trace)
    }

    /// The last bytes of the file.
    fn end_of(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut end = vec![0; self.len.min(most) as usize];
        let at = self.len - end.len() as u64;
        self.file.read_exact_at(&mut end, at)?;
        Ok(end)
    }

    /// The last events in the file that have higher numbers than this one.
    pub fn written_after(&self, number: u64) -> io::Result<HashSet<(u64, Kind)>> {
        let end = self.end_of(MAX_WRITE)?;
        // The last line may be complete but for its newline.
        let lines = end.split(|byte| *byte == b'\n');
        let written = lines.filter_map(|line| serde_json::from_slice::<EventId>(line).ok());
        Ok(written.filter(|id| id.seq > number).map(|id| (id.seq, id.kind)).collect())
    }

    fn begin(&mut self) -> io::Result<()> {
        let header = Header { version: VERSION, network: self.network.clone(), time: Moment::now() };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        self.put(&line)
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        let end_of_last_line: &[u8] = if self.is_cut_off { b"\n" } else { b"" };
        let before = self.len;
        self.file.write_all(&[end_of_last_line, text].concat()).inspect_err(|_| {
            self.len = self.file.metadata().map_or(0, |m| m.len());
            self.is_cut_off |= self.len != before;
        })?;
        self.len += (end_of_last_line.len() + text.len()) as u64;
        self.is_cut_off = false;
        Ok(())
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.len + lines.len() as u64 > self.rotate_at {
            let here = self.directory.get();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::trace::event::Event;
    use crate::trace::read;
    use crate::trace::recorded::Recorded;
    use lonet_core::directory::Place;
    use std::fs;
    use std::path::Path;

    fn directory(dir: &Path) -> Directory {
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Place::new(dir).open(nix::unistd::geteuid().as_raw()).unwrap()
    }

    fn line(seq: u64) -> Vec<u8> {
        let mut line = serde_json::to_vec(&Event::new(seq, Moment(0), Kind::Dial)).unwrap();
        line.push(b'\n');
        line
    }

    /// The numbers of the events that a reader of the network's trace finds.
    fn numbers(recorded: &mut Recorded) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut take = |line: &str| {
            numbers.extend(Event::parse(line).ok().map(|event| event.seq));
            Ok(())
        };
        recorded.each(&mut take).unwrap();
        numbers
    }

    #[test]
    fn full_file_is_rotated_and_readers_continue() {
        let dir = tempfile::tempdir().unwrap();
        let current = CurrentDirectory::new(directory(dir.path()));
        let mut trace = Trace::create(&current, "net").unwrap();
        trace.rotate_at = trace.len + 2 * line(1).len() as u64;
        let mut reader = Recorded::open(directory(dir.path())).unwrap().unwrap();
        let mut live = Vec::new();
        for seq in 1..=5 {
            trace.write(&line(seq)).unwrap();
            live.extend(numbers(&mut reader));
        }
        assert_eq!(live, [1, 2, 3, 4, 5]);
        // The oldest have gone.
        let mut late = Recorded::open(directory(dir.path())).unwrap().unwrap();
        assert_eq!(numbers(&mut late), [3, 4, 5]);
        let mut from_now = Recorded::open(directory(dir.path())).unwrap().unwrap();
        from_now.go_to_the_end().unwrap();
        trace.write(&line(6)).unwrap();
        assert_eq!((numbers(&mut from_now), numbers(&mut reader)), (vec![6], vec![6]));
    }

    #[test]
    fn half_line_of_a_killed_lonetd_is_ended_and_events_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let current = CurrentDirectory::new(directory(dir.path()));
        let path = dir.path().join("trace");
        let whole = line(3);
        for cut in 0..=whole.len() {
            let mut trace = Trace::create(&current, "net").unwrap();
            trace.write(&[line(1), line(2), whole[..cut].to_vec()].concat()).unwrap();
            let mut reader = Recorded::open(directory(dir.path())).unwrap().unwrap();
            let before = numbers(&mut reader);
            let mut trace = Trace::resume(&current, "net").unwrap();
            // It may lack its end.
            let is_whole = cut + 1 >= whole.len();
            let written = trace.written_after(1).unwrap();
            assert_eq!(written.contains(&(3, Kind::Dial)), is_whole, "{cut} bytes");
            assert!(written.contains(&(2, Kind::Dial)) && !written.contains(&(1, Kind::Dial)));
            trace.write(&line(4)).unwrap();
            let wanted = if is_whole { vec![1, 2, 3, 4] } else { vec![1, 2, 4] };
            assert_eq!([before, numbers(&mut reader)].concat(), wanted, "{cut} bytes");
            let read = read::Trace::read(fs::read(&path).unwrap().as_slice()).unwrap();
            assert_eq!(read.events.iter().map(|e| e.seq).collect::<Vec<_>>(), wanted, "{cut} bytes");
        }
    }

    #[test]
    fn lonetd_after_kill_within_the_header_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let current = CurrentDirectory::new(directory(dir.path()));
        let path = dir.path().join("trace");
        drop(Trace::create(&current, "net").unwrap());
        let header = fs::read(&path).unwrap();
        for cut in 0..header.len() {
            fs::write(&path, &header[..cut]).unwrap();
            Trace::resume(&current, "net").unwrap().write(&line(1)).unwrap();
            let read = read::Trace::read(fs::read(&path).unwrap().as_slice()).unwrap();
            assert_eq!((read.header.network.as_str(), read.events.len()), ("net", 1), "{cut} bytes");
        }
    }
}
