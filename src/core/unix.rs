//! Names of Unix sockets.

use crate::config::ABSTRACT_NAME;
use crate::sys;
use nix::errno::Errno;

/// A Unix socket's address, ready to use.
pub struct SocketName {
    address: libc::sockaddr_un,
    len: u32,
}

impl SocketName {
    /// `None`: too long.
    pub fn new(path: &[u8]) -> Option<SocketName> {
        // SAFETY: all zeroes is a sockaddr_un.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let room = address.sun_path.get_mut(..path.len())?;
        for (to, from) in room.iter_mut().zip(path) {
            *to = *from as libc::c_char;
        }
        let len = std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len();
        Some(SocketName { address, len: len as u32 })
    }

    pub fn fixed(name: &[u8; ABSTRACT_NAME]) -> SocketName {
        match SocketName::new(name) {
            Some(name) => name,
            None => unreachable!("an abstract name of 23 bytes fits"),
        }
    }

    pub fn connect(&self, fd: i32) -> Result<(), Errno> {
        // SAFETY: the address is ours and `len` bytes of it are set.
        unsafe { sys::connect(fd, (&raw const self.address).cast(), self.len) }
    }
}
