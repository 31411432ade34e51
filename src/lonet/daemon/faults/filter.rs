//! Loss by a socket filter that drops incoming segments at random (SO_ATTACH_FILTER in socket(7)).
//!
//! Attaching one to a TCP socket needs CAP_NET_ADMIN; on kernels from before June 2026 nothing. A socket has one filter: one
//! that its program has attached stays.

use lonet_core::sys::{self, check};
use lonet_core::table::rules::LOSS_WHOLE;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// Loads a random number of 32 bits: SKF_AD_OFF + SKF_AD_RANDOM of `linux/filter.h`.
const RANDOM: u32 = -0x1000_i32 as u32 + 56;

type Program = [libc::sock_filter; 4];

/// A filter that accepts a segment unless the random number is less than `limit`.
fn program(limit: u32) -> Program {
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        op((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, RANDOM),
        op((libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, 0, 1, limit),
        op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
        op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    ]
}

fn fields(program: &Program) -> [(u16, u8, u8, u32); 4] {
    program.map(|op| (op.code, op.jt, op.jf, op.k))
}

#[derive(Debug, PartialEq, Eq)]
enum Filter {
    None,
    /// lonet's, with its `limit`.
    Ours(u32),
    /// One that the program has attached.
    Programs,
}

fn filter(fd: RawFd) -> Result<Filter, Errno> {
    let mut is = program(0);
    // In instructions, not in bytes.
    let mut len = is.len() as libc::socklen_t;
    // SAFETY: room for `len` instructions.
    let got = check(unsafe {
        libc::syscall(
            libc::SYS_getsockopt,
            fd,
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            is.as_mut_ptr(),
            &raw mut len,
        )
    });
    match got {
        Ok(_) if len == 0 => Ok(Filter::None),
        Ok(_) if fields(&is) == fields(&program(is[1].k)) => Ok(Filter::Ours(is[1].k)),
        // A longer one, or an eBPF filter.
        Ok(_) | Err(Errno::EINVAL | Errno::EACCES) => Ok(Filter::Programs),
        Err(e) => Err(e),
    }
}

/// Makes a socket lose `part` of [`LOSS_WHOLE`] of the segments that it receives; 0 removes lonet's filter. EBUSY: the program
/// has a filter of its own. EPERM: lonetd may not attach one.
pub fn set_loss(fd: RawFd, part: u64) -> Result<(), Errno> {
    let limit = (part.min(LOSS_WHOLE) * u64::from(u32::MAX) / LOSS_WHOLE) as u32;
    match filter(fd)? {
        Filter::Ours(is) if is == limit => Ok(()),
        Filter::Ours(_) if limit == 0 => {
            sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
        }
        Filter::None | Filter::Programs if limit == 0 => Ok(()),
        Filter::Programs => Err(Errno::EBUSY),
        Filter::None | Filter::Ours(_) => {
            let mut program = program(limit);
            let all = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
            sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    // A UDP socket takes a filter from everybody.
    #[test]
    fn filter_is_attached_changed_and_taken_away() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let fd = socket.as_raw_fd();
        let limits = [LOSS_WHOLE / 2, LOSS_WHOLE / 4].map(|part| {
            assert_eq!(set_loss(fd, part), Ok(()));
            filter(fd)
        });
        assert_eq!(limits, [u32::MAX / 2, u32::MAX / 4].map(|limit| Ok(Filter::Ours(limit))));
        assert_eq!(set_loss(fd, LOSS_WHOLE), Ok(()));
        socket.send_to(b"lost", socket.local_addr().expect("its address")).expect("room");
        assert_eq!((set_loss(fd, 0), filter(fd)), (Ok(()), Ok(Filter::None)));
        socket.send_to(b"comes", socket.local_addr().expect("its address")).expect("room");
        let mut buffer = [0; 10];
        let n = socket.recv(&mut buffer).expect("what was sent last");
        assert_eq!(&buffer[..n], b"comes");
    }

    #[test]
    fn filter_of_the_programs_stays() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let fd = socket.as_raw_fd();
        for len in [1, 4, 5] {
            let mut all = [program(7)[2]; 5];
            let its = libc::sock_fprog { len, filter: all.as_mut_ptr() };
            sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &its).expect("a filter");
            assert_eq!((set_loss(fd, 5), set_loss(fd, 0)), (Err(Errno::EBUSY), Ok(())));
            assert_eq!(filter(fd), Ok(Filter::Programs));
        }
    }
}
