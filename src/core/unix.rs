//! Addresses of Unix sockets, among them the abstract name of a network's control socket.

use crate::control::Key;
use crate::keyed_hash::keyed_hash;
use crate::sys;
use nix::errno::Errno;
use std::fmt;

/// The abstract name of a network's control socket, for programs that have changed their root directory or
/// uid: `lonet-` and the hexadecimal digits of a number that only members can compute.
///
/// Every user of the machine can read the abstract names that are bound (/proc/net/unix). So the number
/// reveals nothing and authorises nobody: lonetd checks who connects, and programs check who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbstractName(u64);

const PREFIX: &[u8; 6] = b"lonet-";

impl AbstractName {
    pub const LEN: usize = PREFIX.len() + 16;

    /// The name for a network and its key. It depends on the network too, as a process with the key of one
    /// network in its environment may ask for another.
    pub fn of(key: &Key, network: &str) -> AbstractName {
        // 0 stands for no name.
        AbstractName(keyed_hash(key, network.as_bytes()).max(1))
    }

    /// The name with this number. `None` for 0, which stands for no name.
    pub fn from_number(number: u64) -> Option<AbstractName> {
        (number != 0).then_some(AbstractName(number))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// The name without the zero byte that begins every abstract name.
    pub fn bytes(self) -> [u8; AbstractName::LEN] {
        let mut name = [0; AbstractName::LEN];
        let (prefix, digits) = name.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        for (i, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.0 >> (60 - 4 * i) & 15) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        name
    }

    /// The address with this name; never `None`, as the name is short enough.
    pub fn socket_name(self) -> Option<SocketName> {
        let mut name = [0; AbstractName::LEN + 1];
        name[1..].copy_from_slice(&self.bytes());
        SocketName::new(&name)
    }

    pub fn connect(self, fd: i32) -> Result<(), Errno> {
        self.socket_name().ok_or(Errno::ENAMETOOLONG)?.connect(fd)
    }
}

impl fmt::Display for AbstractName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lonet-{:016x}", self.0)
    }
}

/// A Unix socket's address, for system calls.
pub struct SocketName {
    address: libc::sockaddr_un,
    len: u32,
}

impl SocketName {
    /// The address with this path, or abstract name with its zero byte. `None`: it is too long.
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

    pub fn bind(&self, fd: i32) -> Result<(), Errno> {
        // SAFETY: the address is ours and `len` bytes of it are set.
        unsafe { sys::bind(fd, (&raw const self.address).cast(), self.len) }
    }

    pub fn connect(&self, fd: i32) -> Result<(), Errno> {
        // SAFETY: the address is ours and `len` bytes of it are set.
        unsafe { sys::connect(fd, (&raw const self.address).cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abstract_name_has_all_digits_of_its_number() {
        let name = AbstractName::from_number(0x0123_4567_89ab_cdef).expect("a name");
        assert_eq!(&name.bytes(), b"lonet-0123456789abcdef");
        assert_eq!(name.to_string().as_bytes(), name.bytes());
        assert_eq!(AbstractName::from_number(0), None);
    }

    #[test]
    fn abstract_names_of_two_keys_differ() {
        assert_ne!(AbstractName::of(&[1; 16], "n"), AbstractName::of(&[2; 16], "n"));
    }

    #[test]
    fn abstract_names_of_two_networks_with_one_key_differ() {
        assert_ne!(AbstractName::of(&[1; 16], "n"), AbstractName::of(&[1; 16], "m"));
    }
}
