//! Names of Unix sockets.

use crate::control::Key;
use crate::keyed_hash::keyed_hash;
use crate::sys;
use nix::errno::Errno;
use std::fmt;

/// The abstract name of a network's control socket, for programs that have left the file system or the owner's uid
/// behind: `lonet-` and the digits of a number that only members can know beforehand.
///
/// Every user of the machine can read the abstract names that are bound (/proc/net/unix). So the number gives nothing
/// away, and no one is let in for having it: lonetd looks at who comes, and programs at who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbstractName(u64);

const PREFIX: &[u8; 6] = b"lonet-";

impl AbstractName {
    pub const LEN: usize = PREFIX.len() + 16;

    /// The name that belongs to a network's key; of another network, of which somebody with this key in its environment
    /// asks, it is another one.
    pub fn of(key: &Key, network: &str) -> AbstractName {
        // 0 stands for none.
        AbstractName(keyed_hash(key, network.as_bytes()).max(1))
    }

    /// `None` for 0, which stands for none.
    pub fn from_number(number: u64) -> Option<AbstractName> {
        (number != 0).then_some(AbstractName(number))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// Without the zero that begins every abstract name.
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

    /// `None`: too long, which it is not.
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
