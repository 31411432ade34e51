//! Texts that are longer than a message: files in memory (memfd_create(2)), whose descriptors are passed with one.
//!
//! They are sealed, so that the sender can neither change nor truncate one while it is read, and reads never block.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const SEALS: SealFlag = SealFlag::F_SEAL_WRITE
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_SEAL);

/// Makes a file with this text.
pub fn of(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"lonet", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(text)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file)
}

/// Reads the text of such a file, of at most `most` bytes. Fails for any other descriptor.
pub fn text(file: &File, most: u64) -> io::Result<String> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
    // Other files have no seals.
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    if !seals.is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(invalid("not a sealed memory file"));
    }
    let size = file.metadata()?.len();
    if size > most {
        return Err(invalid("too large"));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0)?;
    String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_written() {
        let file = of("α:80\nβ:1".as_bytes()).expect("a file");
        assert_eq!(text(&file, 100).expect("its text"), "α:80\nβ:1");
    }

    #[test]
    fn unsealed_file_is_refused() {
        let file = memfd_create(c"open", MFdFlags::MFD_ALLOW_SEALING).expect("a file");
        assert!(text(&File::from(file), 100).is_err());
    }

    #[test]
    fn pipe_is_refused_at_once() {
        let (read, _write) = nix::unistd::pipe().expect("a pipe");
        assert!(text(&File::from(read), 100).is_err());
    }

    #[test]
    fn file_beyond_the_limit_is_refused() {
        let file = of(b"12345").expect("a file");
        assert_eq!(text(&file, 5).expect("its text"), "12345");
        assert!(text(&file, 4).is_err());
    }
}
