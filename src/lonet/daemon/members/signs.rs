//! The mapping of the network's key file, by which children of a fork are recognised.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;

/// The mapped key file. While this lives, no other file has its inode, even if the file is removed.
pub struct KeyFile {
    address: *mut libc::c_void,
    /// Device and inode as the kernel writes them to /proc/PID/maps: on btrfs and overlayfs stat(2) has other
    /// numbers.
    name: Vec<u8>,
}

const LENGTH: usize = 4096;

// SAFETY: the mapping is never read, and is unmapped by the last owner.
unsafe impl Send for KeyFile {}
// SAFETY: as above.
unsafe impl Sync for KeyFile {}

impl KeyFile {
    pub fn map(file: &File) -> io::Result<KeyFile> {
        let (anywhere, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping at an address of the kernel's choice, which is never read.
        let address = unsafe { libc::mmap(anywhere, LENGTH, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut key_file = KeyFile { address, name: Vec::new() };
        let begins = format!("{:08x}-", address as usize);
        let is_ours =
            |line: &[u8]| line.starts_with(begins.as_bytes()).then(|| name(line).map(<[u8]>::to_vec));
        key_file.name = any_line(File::open("/proc/self/maps")?, is_ours)?
            .flatten()
            .ok_or_else(|| io::Error::other("/proc/self/maps does not show the key file"))?;
        Ok(key_file)
    }

    /// Whether the process whose /proc/PID/maps this is has mapped the file.
    pub fn is_among(&self, maps: File) -> bool {
        let is_it = |line: &[u8]| (name(line) == Some(&self.name)).then_some(());
        any_line(maps, is_it).is_ok_and(|found| found.is_some())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // SAFETY: a mapping of our own.
        unsafe { libc::munmap(self.address, LENGTH) };
    }
}

/// The first result of `look` over the lines. A process may have a hundred thousand lines.
fn any_line<T>(maps: File, look: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    let (mut maps, mut line) = (BufReader::with_capacity(64 << 10, maps), Vec::new());
    while maps.read_until(b'\n', &mut line)? > 0 {
        if let Some(found) = look(&line) {
            return Ok(Some(found));
        }
        line.clear();
    }
    Ok(None)
}

/// `device inode` of `address permissions offset device inode path`. `None`: no file is mapped there.
fn name(line: &[u8]) -> Option<&[u8]> {
    let spaces: Vec<usize> = (0..line.len()).filter(|at| line[*at] == b' ').take(5).collect();
    let [_, _, begin, middle, end] = spaces[..] else { return None };
    (&line[middle..end] != b" 0").then(|| &line[begin + 1..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_mapped_file_is_device_and_inode() {
        let line =
            b"7f7a3c000000-7f7a3c001000 r--s 00000000 fd:00 1234567                    /tmp/lonet/n/key\n";
        assert_eq!(name(line), Some(&b"fd:00 1234567"[..]));
        assert_eq!(name(b"7f7a3c000000-7f7a3c001000 rw-p 00000000 00:00 0 \n"), None);
        assert_eq!(name(b""), None);
    }

    #[test]
    fn file_of_the_same_path_elsewhere_is_not_taken_for_the_key() {
        let tmp = tempfile::tempdir().expect("a directory");
        let [key, other] = ["a", "b"].map(|dir| {
            let dir = tmp.path().join(dir).join("lonet/n");
            std::fs::create_dir_all(&dir).expect("a directory");
            std::fs::write(dir.join("key"), [7; 16]).expect("a file");
            File::open(dir.join("key")).expect("a file")
        });
        let key_file = KeyFile::map(&key).expect("a mapping");
        let maps = || File::open("/proc/self/maps").expect("its mappings");
        assert!(key_file.is_among(maps()));
        let name = std::mem::take(&mut { key_file }.name);
        let other = KeyFile::map(&other).expect("a mapping");
        assert_ne!(other.name, name);
    }
}
