//! Cuts a connection to a foreign host at our end alone, by TCP_MD5SIG.
//!
//! A foreign host's socket accepts segments with any TTL, so the valve ([`lonet_core::valve`]) at our end stops nothing that is
//! sent there. But a socket with a key for its peer signs each segment (RFC 2385) and drops unsigned ones, and a peer without
//! that key drops signed ones. This needs no privilege and does not reset the connection: TCP retransmits, as after a loss, and
//! continues when the key is removed. Both directions are cut, never one alone. From then on the kernel splits what such a
//! socket sends into segments of the size of a packet, which takes a little more time.

use lonet_core::sys;
use nix::errno::Errno;
use std::net::SocketAddrV4;
use std::os::fd::RawFd;

/// struct tcp_md5sig of `linux/tcp.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Signature {
    /// A sockaddr_storage.
    peer: [u8; 128],
    flags: u8,
    prefix: u8,
    /// 0: removes the key.
    key_len: u16,
    interface: i32,
    key: [u8; 80],
}

const KEY: &[u8] = b"lonet cut";

/// Cuts the connection of this socket to `peer`, or ends that.
pub fn set(fd: RawFd, peer: SocketAddrV4, is_cut: bool) -> Result<(), Errno> {
    // An IPv6 socket accepts AF_INET6 alone, even after it was made an IPv4 socket (IPV6_ADDRFORM); an IPv4 socket AF_INET.
    let set = match set_key(fd, libc::AF_INET, peer, is_cut) {
        Err(Errno::EINVAL) => set_key(fd, libc::AF_INET6, peer, is_cut),
        other => other,
    };
    match set {
        // The socket had no key, or this kernel has no TCP_MD5SIG.
        Err(Errno::ENOENT | Errno::ENOPROTOOPT) if !is_cut => Ok(()),
        other => other,
    }
}

fn set_key(fd: RawFd, family: i32, peer: SocketAddrV4, is_cut: bool) -> Result<(), Errno> {
    let mut signature =
        Signature { peer: [0; 128], flags: 0, prefix: 0, key_len: 0, interface: 0, key: [0; 80] };
    signature.peer[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    if family == libc::AF_INET6 {
        signature.peer[8..24].copy_from_slice(&peer.ip().to_ipv6_mapped().octets());
    } else {
        signature.peer[4..8].copy_from_slice(&peer.ip().octets());
    }
    if is_cut {
        signature.key[..KEY.len()].copy_from_slice(KEY);
        signature.key_len = KEY.len() as u16;
    }
    sys::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// Sends a byte, and waits until the kernel has sent it again.
    fn is_lost(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        /// tcpi_retransmits of struct tcp_info.
        const RETRANSMITS: usize = 2;
        from.write_all(b"x").expect("room");
        let info = || sys::getsockopt::<[u8; 8]>(from.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO);
        while info().expect("its state")[RETRANSMITS] == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        to.set_nonblocking(true).expect("a flag");
        let read = to.read(&mut [0; 10]).map_err(|e| e.kind());
        to.set_nonblocking(false).expect("a flag");
        read == Err(ErrorKind::WouldBlock)
    }

    #[test]
    fn nothing_passes_between_a_socket_with_a_key_and_one_without() {
        let listener = TcpListener::bind("[::]:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut dialer = TcpStream::connect(local).expect("a connection");
        let (mut accepted, from) = listener.accept().expect("the same");
        let SocketAddr::V6(from) = from else { unreachable!("a dual-stack listener") };
        let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, from.port());
        for (fd, peer, is_made_ipv4) in [
            (dialer.as_raw_fd(), local, false),
            (accepted.as_raw_fd(), from, false),
            (accepted.as_raw_fd(), from, true),
        ] {
            if is_made_ipv4 {
                sys::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_ADDRFORM, &libc::AF_INET).expect("IPv4");
            }
            if set(fd, peer, true) == Err(Errno::ENOPROTOOPT) {
                return;
            }
            assert!(is_lost(&mut dialer, &mut accepted) && is_lost(&mut accepted, &mut dialer));
            assert_eq!(set(fd, peer, false), Ok(()));
            assert_eq!(set(fd, peer, false), Ok(()));
            for stream in [&mut dialer, &mut accepted] {
                stream.read_exact(&mut [0; 1]).expect("what was lost is sent again");
            }
        }
    }
}
