//! Loss of each segment by itself: a filter of a socket that drops what it is sent at random (SO_ATTACH_FILTER in socket(7)).
//!
//! Who has CAP_NET_ADMIN may attach one to a TCP socket; on kernels of before June 2026 everybody may. A socket has one
//! filter: if its program has given it one, it keeps that.

use lonet_core::sys::{self, check};
use lonet_core::table::rules::LOSS_WHOLE;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// Loads a random number of 32 bits: SKF_AD_OFF + SKF_AD_RANDOM of `linux/filter.h`.
const RANDOM: u32 = -0x1000_i32 as u32 + 56;

type Program = [libc::sock_filter; 4];

/// Takes a segment whole, unless the random number is less than `limit`.
fn program(limit: u32) -> Program {
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        op((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, RANDOM),
        op((libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, 0, 1, limit),
        op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
        op((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    ]
}

fn words(program: &Program) -> [(u16, u8, u8, u32); 4] {
    program.map(|op| (op.code, op.jt, op.jf, op.k))
}

#[derive(Debug, PartialEq, Eq)]
enum Filter {
    None,
    /// It drops what is below this.
    Ours(u32),
    Programs,
}

fn filter(fd: RawFd) -> Result<Filter, Errno> {
    let mut is = program(0);
    // In instructions, not in bytes.
    let mut len = is.len() as libc::socklen_t;
    // SAFETY: room for so many instructions.
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
        Ok(_) if words(&is) == words(&program(is[1].k)) => Ok(Filter::Ours(is[1].k)),
        // A longer one, or none of the classic kind.
        Ok(_) | Err(Errno::EINVAL | Errno::EACCES) => Ok(Filter::Programs),
        Err(e) => Err(e),
    }
}

/// Has a socket lose this part of what it is sent, of [`LOSS_WHOLE`]; 0: nothing, as far as it is our doing. EBUSY: its program has
/// a filter of its own. EPERM: nobody may.
pub fn lose(fd: RawFd, part: u64) -> Result<(), Errno> {
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
            assert_eq!(lose(fd, part), Ok(()));
            filter(fd)
        });
        assert_eq!(limits, [u32::MAX / 2, u32::MAX / 4].map(|limit| Ok(Filter::Ours(limit))));
        assert_eq!(lose(fd, LOSS_WHOLE), Ok(()));
        socket.send_to(b"lost", socket.local_addr().expect("its address")).expect("room");
        assert_eq!((lose(fd, 0), filter(fd)), (Ok(()), Ok(Filter::None)));
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
            assert_eq!((lose(fd, 5), lose(fd, 0)), (Err(Errno::EBUSY), Ok(())));
            assert_eq!(filter(fd), Ok(Filter::Programs));
        }
    }
}
