//! Conversions between `sockaddr` of C and addresses of lonet.

use lonet_core::block::Endpoint;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// Reads an IPv4 or IPv6 address that a program has passed. Returns it with its family.
///
/// `None` also for pointers that cannot be valid and lengths that the kernel would refuse: the kernel reports
/// what is wrong with them.
///
/// # Safety
/// `address` must be readable for `len` bytes if [`is_plausible`].
pub unsafe fn read(address: *const libc::sockaddr, len: libc::socklen_t) -> Option<(Endpoint, i32)> {
    let most = std::mem::size_of::<libc::sockaddr_storage>();
    if !is_plausible(address) || !(std::mem::size_of::<libc::sa_family_t>()..=most).contains(&(len as usize))
    {
        return None;
    }
    // SAFETY: two bytes are readable, as the caller promises.
    let family = i32::from(unsafe { address.cast::<libc::sa_family_t>().read_unaligned() });
    // The kernel accepts IPv6 addresses without the scope that RFC 2553 added.
    const SIN6_LEN_RFC2133: usize = 24;
    match family {
        libc::AF_INET if len as usize >= std::mem::size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family and the length say what it is.
            let a = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr)).to_ipv6_mapped();
            Some((Endpoint::new(ip, u16::from_be(a.sin_port)), family))
        }
        libc::AF_INET6 if len as usize >= SIN6_LEN_RFC2133 => {
            // SAFETY: these fields lie within the 24 bytes.
            let (port, ip) = unsafe {
                let a = address.cast::<libc::sockaddr_in6>();
                ((&raw const (*a).sin6_port).read_unaligned(), (&raw const (*a).sin6_addr).read_unaligned())
            };
            Some((Endpoint::new(Ipv6Addr::from(ip.s6_addr), u16::from_be(port)), family))
        }
        _ => None,
    }
}

/// Reads the family of an address that a program has passed. `None`: as for [`read`].
///
/// # Safety
/// As for [`read`].
pub unsafe fn family(address: *const libc::sockaddr, len: libc::socklen_t) -> Option<i32> {
    if !is_plausible(address) || (len as usize) < std::mem::size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: two bytes are readable, as the caller promises.
    Some(i32::from(unsafe { address.cast::<libc::sa_family_t>().read_unaligned() }))
}

/// Whether a pointer can be valid. Programs pass ones into the first or last page by mistake or to get
/// EFAULT.
pub fn is_plausible<T>(pointer: *const T) -> bool {
    let at = pointer.addr();
    (4096..usize::MAX - 4096).contains(&at)
}

/// A `sockaddr` with its length, for system calls.
#[derive(Clone, Copy)]
pub struct Address {
    storage: libc::sockaddr_storage,
    pub len: libc::socklen_t,
}

impl Address {
    /// Room for any address that a system call may write.
    pub fn empty() -> Address {
        // SAFETY: all zeroes is a sockaddr_storage.
        let storage = unsafe { std::mem::zeroed() };
        Address { storage, len: std::mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// `endpoint` for a socket of this family; an IPv4 address is v4-mapped for AF_INET6.
    pub fn of(endpoint: Endpoint, family: i32) -> Address {
        let mut all = Address::empty();
        if family == libc::AF_INET {
            let ip = endpoint.ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: endpoint.port.to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
                sin_zero: [0; 8],
            };
            all.len = std::mem::size_of_val(&address) as libc::socklen_t;
            // SAFETY: a sockaddr_storage has room for every address.
            unsafe { (&raw mut all.storage).cast::<libc::sockaddr_in>().write(address) };
        } else {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: endpoint.port.to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: endpoint.ip.octets() },
                sin6_scope_id: 0,
            };
            all.len = std::mem::size_of_val(&address) as libc::socklen_t;
            // SAFETY: a sockaddr_storage has room for every address.
            unsafe { (&raw mut all.storage).cast::<libc::sockaddr_in6>().write(address) };
        }
        all
    }

    /// The OS address `os` for a socket of this family.
    pub fn of_os(os: SocketAddrV4, family: i32) -> Address {
        Address::of(os.into(), family)
    }

    /// Copies an IPv4 or IPv6 address of `len` bytes. `None`: as for [`read`].
    ///
    /// # Safety
    /// As for [`read`].
    pub unsafe fn copied(address: *const libc::sockaddr, len: u32) -> Option<Address> {
        // SAFETY: as the caller promises.
        unsafe { read(address, len) }.map(|(endpoint, family)| Address::of(endpoint, family))
    }

    pub fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub fn pointer_mut(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    pub fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    pub fn endpoint(&self) -> Option<Endpoint> {
        // SAFETY: the storage is as large as any length that the kernel gives for these families.
        unsafe { read(self.pointer(), self.len) }.map(|(endpoint, _)| endpoint)
    }

    /// The address as an OS address, if it is IPv4.
    pub fn os(&self) -> Option<SocketAddrV4> {
        self.endpoint()?.v4()
    }

    /// Copies the address to a program as the kernel does: as much as fits, and the full length.
    ///
    /// # Safety
    /// `len` must be writable, and `address` for `room` bytes.
    pub unsafe fn copy_out(&self, address: *mut libc::sockaddr, room: u32, len: *mut libc::socklen_t) {
        let n = room.min(self.len) as usize;
        // SAFETY: `room` bytes are writable, `self.len` are readable.
        unsafe {
            std::ptr::copy_nonoverlapping(self.pointer().cast::<u8>(), address.cast::<u8>(), n);
            len.write(self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_each_family_is_read_back() {
        let v4 = Endpoint::from(SocketAddrV4::new(Ipv4Addr::new(127, 7, 0, 1), 80));
        for family in [libc::AF_INET, libc::AF_INET6] {
            let a = Address::of(v4, family);
            assert_eq!((a.endpoint(), a.family()), (Some(v4), family));
        }
    }

    #[test]
    fn null_and_short_addresses_are_left_to_the_kernel() {
        let a = Address::of(Endpoint::new(Ipv6Addr::LOCALHOST, 1), libc::AF_INET6);
        // SAFETY: valid for the lengths given, or null.
        unsafe {
            assert!(read(std::ptr::null(), 16).is_none());
            assert!(read(a.pointer(), 23).is_none());
            assert!(read(a.pointer(), 24).is_some());
        }
    }
}
