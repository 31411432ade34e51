//! Lists TCP sockets from /proc/net/tcp and /proc/net/tcp6, for kernels that have no NETLINK_SOCK_DIAG.
//!
//! Slower: the kernel prints every connection of the machine, to be read line by line. Less: no cookie, no
//! bound idle sockets, and a `[::]` listener looks the same with V6ONLY and without; it is shown as 0.0.0.0.
//! Not a snapshot: sockets that come or go while it is read may be seen twice or not at all.

use super::wire::v4_of;
use super::{SocketInfo, State, error};
use crate::sys;
use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::RawFd;

/// Lines have about 150 bytes (tcp) and 180 (tcp6).
const BUFFER: usize = 4096;

/// Calls `each` for every TCP socket that has IPv4 addresses; `cookie` is 0. Allocates nothing.
///
/// A line that cannot be read is an error (EPROTO): it might have been the socket that the caller looks for.
pub fn proc_dump(each: &mut dyn FnMut(SocketInfo)) -> io::Result<()> {
    read_table(c"/proc/net/tcp", each)?;
    match read_table(c"/proc/net/tcp6", each) {
        // A machine without IPv6.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_table(path: &CStr, each: &mut dyn FnMut(SocketInfo)) -> io::Result<()> {
    let file = sys::open(path, libc::O_RDONLY)?;
    let mut buffer = [0; BUFFER];
    let mut filled = 0;
    let mut is_heading = true;
    loop {
        let got = read(file.raw(), &mut buffer[filled..])?;
        if got == 0 {
            return if filled == 0 { Ok(()) } else { Err(error(libc::EPROTO)) };
        }
        filled += got;
        let mut start = 0;
        while let Some(len) = buffer[start..filled].iter().position(|&b| b == b'\n') {
            if !std::mem::take(&mut is_heading)
                && let Some(found) = parse(&buffer[start..start + len])?
            {
                each(found);
            }
            start += len + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == BUFFER {
            return Err(error(libc::EPROTO));
        }
    }
}

/// One line: `sl local remote st tx:rx tr:when retransmits uid timeout inode ...`. `None`: IPv6 addresses.
fn parse(line: &[u8]) -> io::Result<Option<SocketInfo>> {
    let malformed = || error(libc::EPROTO);
    let line = str::from_utf8(line).map_err(|_| malformed())?;
    let mut fields = line.split_ascii_whitespace();
    let mut field = |skip| fields.nth(skip).ok_or_else(malformed);
    let local = endpoint(field(1)?).ok_or_else(malformed)?;
    let remote = endpoint(field(0)?).ok_or_else(malformed)?;
    let state = u8::from_str_radix(field(0)?, 16).map_err(|_| malformed())?;
    let uid = field(3)?.parse().map_err(|_| malformed())?;
    let inode = field(1)?.parse().map_err(|_| malformed())?;
    let (Endpoint::V4(local), Endpoint::V4(remote)) = (local, remote) else { return Ok(None) };
    Ok(Some(SocketInfo { state: State(state), cookie: 0, inode, uid, local, remote }))
}

enum Endpoint {
    V4(SocketAddrV4),
    V6,
}

/// `0100007F:1F90`: each group of eight digits is four bytes in network order, printed as one number of this
/// machine; the port is a plain number. `None`: malformed.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let group = |at| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => Some(Ipv4Addr::from(group(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&group(at * 8)?);
            }
            v4_of(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(address.map_or(Endpoint::V6, |address| Endpoint::V4(SocketAddrV4::new(address, port))))
}

fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length.
        let got = sys::check(unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) });
        match got {
            Ok(n) => return Ok(n as usize),
            Err(e) if e as i32 == libc::EINTR => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_each_table_is_read() {
        let v4 = b"   2: 0101E77F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1776 1 0 100 0";
        let found = parse(v4).expect("well formed").expect("IPv4");
        assert_eq!(found.local, "127.231.1.1:8080".parse().expect("an address"));
        assert_eq!((found.state, found.uid, found.inode, found.cookie), (State::LISTEN, 1000, 1776, 0));

        let mapped = b"   0: 0000000000000000FFFF00000101E77F:0050 0000000000000000FFFF00000201E77F:C350 01 00000000:00000000 00:00000000 00000000     0        0 99 1";
        let found = parse(mapped).expect("well formed").expect("v4-mapped");
        assert_eq!(found.remote, "127.231.1.2:50000".parse().expect("an address"));

        let v6 = b"   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1";
        assert_eq!(parse(v6).expect("well formed"), None);
    }

    #[test]
    fn a_malformed_line_is_an_error_not_an_absence() {
        for line in ["", "0:", "0: 0101E77F:1F90 0:0 0A", "0: 0101E77F 00000000:0000 0A 0:0 0:0 0 0 0 1"] {
            assert!(parse(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
