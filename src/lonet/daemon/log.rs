//! `<net>/log`, of limited size: a network may live for months, and what others make happen is not to fill a disk.

use super::current::Current;
use lonet_core::directory::Directory;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

/// The size at which the log is put aside as `log.old`, in bytes. What was there before goes.
const PUT_ASIDE_AT: u64 = 1 << 20;

const NAME: &CStr = c"log";
const OLD: &CStr = c"log.old";

pub struct Log {
    directory: Current,
    file: File,
    len: u64,
}

impl Log {
    pub fn open(directory: &Current) -> io::Result<Log> {
        let (file, len) = open(&directory.now())?;
        Ok(Log { directory: directory.clone(), file, len })
    }
}

fn open(directory: &Directory) -> io::Result<(File, u64)> {
    let file = directory.file(NAME, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl Write for Log {
    /// What cannot be written is lost, and what would be too much is not written.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let directory = self.directory.now();
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
        Log::open(&Current::new(directory)).expect("a log")
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
    fn log_of_a_lonetd_before_counts() {
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
