//! Keys that sign TCP segments (TCP_MD5SIG and TCP_MD5SIG_EXT, RFC 2385; TCP_AO_ADD_KEY, RFC 5925). A key is
//! for the peer at an address, which may be one that the kernel never sees: a loopback address, behind which
//! is the host's own address, or a host's IPv6 address, behind which is its IPv4 one. A key for an address
//! that is never looked up would let in the peers that it is to keep out.
//!
//! So such a key is also set for the OS address, or refused. A key for a loopback address then applies to the
//! host's own address, too, as the kernel cannot tell the two apart.

use crate::address::{self, Address};
use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::{ask, host, kernel, memory, process};
use libc::{c_int, c_void, socklen_t};
use lonet_core::block::{Endpoint, FACE_BITS, FACES, Face, Place, is_face};
use lonet_core::sys;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr};

pub const TCP_MD5SIG: c_int = 14;
pub const TCP_MD5SIG_EXT: c_int = 32;
pub const TCP_AO_ADD_KEY: c_int = 38;

/// struct tcp_md5sig.
#[repr(C)]
#[derive(Clone, Copy)]
struct Key {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix: u8,
    length: u16,
    interface: c_int,
    key: [u8; 80],
}

/// The flag of TCP_MD5SIG_EXT for a key with a prefix.
const HAS_PREFIX: u8 = 1;

/// Sets a key; `real` is the program's own call.
pub fn set(
    fd: c_int,
    option: c_int,
    value: *const c_void,
    len: socklen_t,
    real: &dyn Fn() -> c_int,
) -> HookResult {
    let needed =
        if option == TCP_AO_ADD_KEY { size_of::<libc::sockaddr_storage>() } else { size_of::<Key>() };
    if !process::is_active() || (len as usize) < needed || !memory::is_readable(value.cast(), needed) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    // SAFETY: that many bytes can be read.
    let named = unsafe { address::read(value.cast(), size_of::<libc::sockaddr_storage>() as socklen_t) };
    let Some((peer, family)) = named.filter(|(_, family)| kernel::tcp_family(fd) == Some(*family)) else {
        return Ok(Decision::Libc(Bypass::OtherSocket));
    };
    if option == TCP_AO_ADD_KEY {
        // Refused as by a kernel without TCP-AO: with a second address the key could neither be deleted by
        // its number nor listed.
        let is_seen = os_address(peer.ip, 128)?.is_none();
        return Ok(if is_seen {
            Decision::Libc(Bypass::OtherAddress)
        } else {
            Decision::Fail(Errno::ENOPROTOOPT)
        });
    }
    // SAFETY: all of it can be read, and any bytes are a valid `Key`.
    let mut key = unsafe { value.cast::<Key>().read_unaligned() };
    let has_prefix = option == TCP_MD5SIG_EXT && key.flags & HAS_PREFIX != 0;
    let bits = match (has_prefix, peer.v4()) {
        (false, _) => 128,
        (true, Some(_)) => key.prefix.saturating_add(96).min(128),
        (true, None) => key.prefix.min(128),
    };
    let Some(os) = os_address(peer.ip, bits)? else {
        return Ok(Decision::Libc(Bypass::OtherAddress));
    };
    // The kernel checks the rest of the key.
    if real() != 0 {
        return Ok(Decision::Fail(Errno::last()));
    }
    let other = Address::of(Endpoint::new(os.to_ipv6_mapped(), peer.port), family);
    // SAFETY: an `Address` has room for any address.
    key.address = unsafe { other.pointer().cast::<libc::sockaddr_storage>().read() };
    if has_prefix {
        key.prefix = 32;
    }
    sys::setsockopt(fd, libc::IPPROTO_TCP, option, &key)?;
    Ok(Decision::Done(0))
}

/// The OS address behind the addresses that begin with the first `bits` of `ip`. `None`: the kernel sees
/// these addresses themselves.
fn os_address(ip: Ipv6Addr, bits: u8) -> Result<Option<Ipv4Addr>, Errno> {
    let has = |other: Ipv6Addr| {
        let differ = u128::from(ip) ^ u128::from(other);
        differ.checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
    };
    if bits == 128 && is_face(ip) {
        // Looking up the own host also yields the network's block.
        let own = || host::own(&mut ask::unbegun()).and_then(|_| process::block());
        return match process::block().or_else(own).map(|block| (block, block.place(ip))) {
            Some((block, Place::Host(index, _))) => Ok(Some(block.address(index))),
            Some(_) => Ok(None),
            None => Err(Errno::EADDRNOTAVAIL),
        };
    }
    // A prefix of many hosts has many OS addresses.
    if is_face(ip) || bits <= FACE_BITS && has(FACES) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    let loopback = has(Ipv6Addr::LOCALHOST) || has(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    if !loopback || !process::is_host() {
        return Ok(None);
    }
    let Some(Ok(own)) = host::own(&mut ask::unbegun()) else { return Err(Errno::ENETDOWN) };
    let own = own.address(Face::V4);
    Ok(own.to_ipv4_mapped().filter(|_| !has(own)))
}
