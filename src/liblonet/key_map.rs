//! The mapping by which lonetd knows a process for a member of its network.

use lonet_core::client::Client;
use lonet_core::directory::Directory;
use lonet_core::sys::{self, check};

/// The mapping of a network's key file.
pub struct KeyMap(*mut libc::c_void);

const KEY_MAP: usize = 4096;

impl KeyMap {
    pub fn new(client: &Client, directory: &Directory) -> Option<KeyMap> {
        let fd = directory.open(c"key", libc::O_RDONLY).ok()?;
        let mut key = [0; 16];
        // SAFETY: a buffer of ours. A shorter file is a key that could not be saved.
        let read = check(unsafe { libc::syscall(libc::SYS_read, fd.raw(), key.as_mut_ptr(), key.len()) });
        if read == Ok(key.len() as i64) {
            client.learn_key(&key);
        }
        let anywhere = std::ptr::null_mut();
        // SAFETY: a new mapping at an address that the kernel chooses, which is never read.
        let at = unsafe { sys::mmap(anywhere, KEY_MAP, libc::PROT_READ, libc::MAP_SHARED, fd.raw()) };
        at.ok().map(KeyMap)
    }
}

impl Drop for KeyMap {
    fn drop(&mut self) {
        // SAFETY: a mapping of its own.
        unsafe { sys::munmap(self.0, KEY_MAP) };
    }
}
