//! `<net>/log`, of limited size: a network may live for months, and what others make happen is not to fill a disk.

use super::doors::is_at_path;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The size at which the log is put aside as `log.old`, in bytes. What was there before goes.
const PUT_ASIDE_AT: u64 = 1 << 20;

pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Log {
    pub fn open(dir: &Path) -> io::Result<Log> {
        let path = dir.join("log");
        let (file, len) = open(&path)?;
        Ok(Log { path, file, len })
    }

    fn open_again(&mut self) -> io::Result<()> {
        (self.file, self.len) = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl Write for Log {
    /// What cannot be written is lost, and what would be too much is not written.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !is_at_path(&self.file, &self.path) {
            self.open_again()?;
        }
        if self.len + line.len() as u64 > PUT_ASIDE_AT {
            std::fs::rename(&self.path, self.path.with_extension("old"))?;
            self.open_again()?;
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

    #[test]
    fn log_without_end_keeps_its_last_lines_in_two_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path()).expect("a log");
        let line = [b'x'; 1 << 10];
        for _ in 0..5 * (PUT_ASIDE_AT >> 10) {
            log.write_all(&line).expect("written");
        }
        log.write_all(b"last\n").expect("written");
        let names = std::fs::read_dir(dir.path()).expect("a directory").flatten();
        let sizes: Vec<u64> = names.map(|f| f.metadata().expect("a file").len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|len| *len <= PUT_ASIDE_AT), "{sizes:?}");
        assert!(std::fs::read(dir.path().join("log")).expect("the log").ends_with(b"last\n"));
    }

    #[test]
    fn log_of_a_lonetd_before_counts() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("log"), vec![b'x'; PUT_ASIDE_AT as usize]).expect("a log");
        Log::open(dir.path()).expect("a log").write_all(b"first\n").expect("written");
        assert_eq!(std::fs::read(dir.path().join("log")).expect("the log"), b"first\n");
        assert_eq!(dir.path().join("log.old").metadata().expect("a file").len(), PUT_ASIDE_AT);
    }

    #[test]
    fn log_that_was_deleted_is_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path()).expect("a log");
        std::fs::remove_file(dir.path().join("log")).expect("deleted");
        log.write_all(b"first\n").expect("written");
        assert_eq!(std::fs::read(dir.path().join("log")).expect("the log"), b"first\n");
    }
}
