//! The seccomp filter: which system calls of a supervised program are suspended for the supervisor, which fail at once, and
//! which are allowed.
//!
//! A filter sees a call's arguments but not the memory that they point to. A notification costs some microseconds, so the filter
//! is as selective as arguments allow: reads, writes and sends without an address are allowed.

use super::arch;
use libc::{c_int, c_long, sock_filter};
use lonet_core::valve::{IP_MINTTL, IP_TTL};

/// No Multipath TCP sockets, as the kernel does not tell who is at their other end. Go's listeners fall back to TCP.
const NO_MPTCP: u32 = errno(libc::EPROTONOSUPPORT);
const NO_SUCH_CALL: u32 = errno(libc::ENOSYS);
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// The call returns 0 and does nothing.
const RETURN_ZERO: u32 = errno(0);

/// Options that the libc crate lacks (linux/tcp.h, asm-generic/socket.h).
const TCP_MD5SIG_EXT: c_int = 32;
const TCP_AO_ADD_KEY: c_int = 38;
const SO_PEERNAME: c_int = 28;

const fn errno(errno: c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// Calls that are suspended whatever their arguments.
const ALWAYS_NOTIFIED: [c_long; 10] = [
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_uname,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Options that lonet sets for itself, and those with addresses.
const NOTIFIED_SETSOCKOPT: [(c_int, c_int); 6] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_IP, IP_TTL),
    (libc::SOL_IP, IP_MINTTL),
    (libc::IPPROTO_TCP, libc::TCP_MD5SIG),
    (libc::IPPROTO_TCP, TCP_MD5SIG_EXT),
    (libc::IPPROTO_TCP, TCP_AO_ADD_KEY),
];
const NOTIFIED_GETSOCKOPT: [(c_int, c_int); 5] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_IP, IP_TTL),
    (libc::SOL_IP, IP_MINTTL),
    (libc::SOL_SOCKET, SO_PEERNAME),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
];

/// What filters differ in.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Suspend each recvmsg, as the filter cannot see whether it asks for an address. This makes all of them slow, but the
    /// resolver of musl needs it (since 1.2.4); that of Go does not.
    pub notify_recvmsg: bool,
    /// The program may have rings, whose requests no filter sees.
    pub allow_io_uring: bool,
}

/// The filter's program.
pub fn program(rules: Rules) -> Vec<sock_filter> {
    let mut all = vec![load(ARCH)];
    if let Some(compat) = arch::COMPAT_ABI {
        let mut body = vec![load(NUMBER)];
        compat.refused_calls.iter().for_each(|call| body.extend(when(*call, &[ret(NO_SUCH_CALL)])));
        body.extend(when(compat.prctl, &prctl()));
        body.push(ret(ALLOW));
        all.extend(when(compat.arch, &body));
    }
    all.extend(unless(arch::NATIVE, &[ret(NO_SUCH_CALL)]));
    all.push(load(NUMBER));
    if let Some(bit) = arch::X32_BIT {
        all.extend(when_any(bit, &[ret(NO_SUCH_CALL)]));
    }
    let mut call = |number: c_long, body: &[sock_filter]| all.extend(when(number as u32, body));
    ALWAYS_NOTIFIED.iter().for_each(|number| call(*number, &[ret(NOTIFY)]));
    call(libc::SYS_setsockopt, &options(&NOTIFIED_SETSOCKOPT));
    call(libc::SYS_getsockopt, &options(&NOTIFIED_GETSOCKOPT));
    // A send with MSG_FASTOPEN connects.
    call(libc::SYS_sendto, &[&notify_if_pointer(4)[..], &notify_if_flag(3, libc::MSG_FASTOPEN)].concat());
    call(libc::SYS_sendmsg, &notify_if_flag(2, libc::MSG_FASTOPEN));
    call(libc::SYS_sendmmsg, &notify_if_flag(3, libc::MSG_FASTOPEN));
    call(libc::SYS_recvfrom, &[&notify_if_pointer(4)[..], &[ret(ALLOW)]].concat());
    if rules.notify_recvmsg {
        call(libc::SYS_recvmsg, &[ret(NOTIFY)]);
    }
    let mptcp = when(libc::IPPROTO_MPTCP as u32, &[ret(NO_MPTCP)]);
    call(libc::SYS_socket, &[&[load(argument(2))][..], &mptcp, &[ret(ALLOW)]].concat());
    call(libc::SYS_prctl, &prctl());
    // Requests in its ring would bypass the filter.
    if !rules.allow_io_uring {
        call(libc::SYS_io_uring_setup, &[ret(NO_SUCH_CALL)]);
    }
    all.push(ret(ALLOW));
    all
}

/// Ignores PR_SET_DUMPABLE with 0, as the supervisor could not access a process that is not dumpable, and allows other calls.
fn prctl() -> Vec<sock_filter> {
    let undumpable = [&[load(argument(1))][..], &when(0, &[ret(RETURN_ZERO)]), &[ret(ALLOW)]].concat();
    let set_dumpable = when(libc::PR_SET_DUMPABLE as u32, &undumpable);
    [&[load(argument(0))][..], &set_dumpable, &[ret(ALLOW)]].concat()
}

/// Notifies if arguments 1 and 2 are one of these pairs of level and option, and allows the call otherwise.
fn options(all: &[(c_int, c_int)]) -> Vec<sock_filter> {
    let mut body = Vec::new();
    for (level, option) in all {
        let is_option = [&[load(argument(2))][..], &when(*option as u32, &[ret(NOTIFY)])].concat();
        body.push(load(argument(1)));
        body.extend(when(*level as u32, &is_option));
    }
    body.push(ret(ALLOW));
    body
}

/// Notifies if an argument of 64 bits is not zero. Otherwise the code behind it runs.
fn notify_if_pointer(number: usize) -> Vec<sock_filter> {
    let mut body = vec![load(argument(number))];
    body.extend(unless(0, &[ret(NOTIFY)]));
    body.push(load(argument(number) + 4));
    body.extend(unless(0, &[ret(NOTIFY)]));
    body
}

/// Notifies if an argument has this flag, and allows the call otherwise.
fn notify_if_flag(number: usize, flag: c_int) -> Vec<sock_filter> {
    let mut body = vec![load(argument(number))];
    body.extend(when_any(flag as u32, &[ret(NOTIFY)]));
    body.push(ret(ALLOW));
    body
}

// Offsets of fields in seccomp_data.
const NUMBER: u32 = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
const ARCH: u32 = std::mem::offset_of!(libc::seccomp_data, arch) as u32;

/// The offset of an argument's lower 32 bits, on a little-endian processor.
const fn argument(number: usize) -> u32 {
    (std::mem::offset_of!(libc::seccomp_data, args) + number * size_of::<u64>()) as u32
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn ret(value: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

/// `body`, which runs if the loaded value is this one.
fn when(value: u32, body: &[sock_filter]) -> Vec<sock_filter> {
    jump_over(libc::BPF_JEQ, value, 0, body.len(), body)
}

/// `body`, which runs if the loaded value is another one.
fn unless(value: u32, body: &[sock_filter]) -> Vec<sock_filter> {
    jump_over(libc::BPF_JEQ, value, body.len(), 0, body)
}

/// `body`, which runs if the loaded value has one of these bits.
fn when_any(bits: u32, body: &[sock_filter]) -> Vec<sock_filter> {
    jump_over(libc::BPF_JSET, bits, 0, body.len(), body)
}

fn jump_over(
    jump: u32,
    k: u32,
    skip_if_true: usize,
    skip_if_false: usize,
    body: &[sock_filter],
) -> Vec<sock_filter> {
    let code = (libc::BPF_JMP | jump | libc::BPF_K) as u16;
    // Jumps are limited to 255 instructions; no body of this file is longer.
    let distance = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    let mut all = vec![sock_filter { code, jt: distance(skip_if_true), jf: distance(skip_if_false), k }];
    all.extend_from_slice(body);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICTEST: Rules = Rules { notify_recvmsg: true, allow_io_uring: false };

    /// Interprets the filter: the action for a call.
    fn run(rules: Rules, arch: u32, number: c_long, args: [u64; 6]) -> u32 {
        let program = program(rules);
        let mut data = [0u8; size_of::<libc::seccomp_data>()];
        data[..4].copy_from_slice(&(number as u32).to_ne_bytes());
        data[4..8].copy_from_slice(&arch.to_ne_bytes());
        for (i, argument) in args.iter().enumerate() {
            data[16 + 8 * i..24 + 8 * i].copy_from_slice(&argument.to_ne_bytes());
        }
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let jump = |is: bool| usize::from(if is { step.jt } else { step.jf });
            match u32::from(step.code) {
                0x20 => {
                    let offset = step.k as usize;
                    loaded = u32::from_ne_bytes(data[offset..offset + 4].try_into().expect("4 bytes"));
                }
                0x06 => return step.k,
                0x15 => at += jump(loaded == step.k),
                0x45 => at += jump(loaded & step.k != 0),
                other => unreachable!("{other:#x}"),
            }
        }
    }

    fn native(number: c_long, args: [u64; 6]) -> u32 {
        run(STRICTEST, arch::NATIVE, number, args)
    }

    #[test]
    fn calls_with_addresses_are_notified_and_others_allowed() {
        for number in ALWAYS_NOTIFIED {
            assert_eq!(native(number, [0; 6]), NOTIFY, "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_write, libc::SYS_close, libc::SYS_sendto, libc::SYS_recvfrom]
        {
            assert_eq!(native(number, [1, 1, 1, 0, 0, 0]), ALLOW, "{number}");
        }
        for number in [libc::SYS_sendto, libc::SYS_recvfrom] {
            assert_eq!(native(number, [0, 0, 0, 0, 1, 0]), NOTIFY);
            assert_eq!(native(number, [0, 0, 0, 0, 1 << 32, 0]), NOTIFY);
        }
        assert_eq!(native(libc::SYS_sendto, [0, 0, 0, libc::MSG_FASTOPEN as u64, 0, 0]), NOTIFY);
        assert_eq!(native(libc::SYS_sendmsg, [0, 0, libc::MSG_FASTOPEN as u64, 0, 0, 0]), NOTIFY);
        assert_eq!(native(libc::SYS_sendmsg, [0; 6]), ALLOW);
    }

    #[test]
    fn rules_concern_their_own_calls_alone() {
        let all = |rules| {
            let action = |number| run(rules, arch::NATIVE, number, [0; 6]);
            [libc::SYS_recvmsg, libc::SYS_io_uring_setup, libc::SYS_connect].map(action)
        };
        assert_eq!(all(STRICTEST), [NOTIFY, NO_SUCH_CALL, NOTIFY]);
        assert_eq!(all(Rules { notify_recvmsg: false, ..STRICTEST }), [ALLOW, NO_SUCH_CALL, NOTIFY]);
        assert_eq!(all(Rules { allow_io_uring: true, ..STRICTEST }), [NOTIFY, ALLOW, NOTIFY]);
    }

    #[test]
    fn only_options_that_lonet_uses_are_notified() {
        let option =
            |number, (level, name): (c_int, c_int)| native(number, [3, level as u64, name as u64, 0, 0, 0]);
        NOTIFIED_SETSOCKOPT
            .iter()
            .for_each(|o| assert_eq!(option(libc::SYS_setsockopt, *o), NOTIFY, "{o:?}"));
        NOTIFIED_GETSOCKOPT
            .iter()
            .for_each(|o| assert_eq!(option(libc::SYS_getsockopt, *o), NOTIFY, "{o:?}"));
        let error = (libc::SOL_SOCKET, libc::SO_ERROR);
        assert_eq!(option(libc::SYS_getsockopt, error), ALLOW);
        assert_eq!(option(libc::SYS_setsockopt, (libc::IPPROTO_TCP, libc::TCP_NODELAY)), ALLOW);
    }

    #[test]
    fn calls_that_would_bypass_the_supervisor_fail() {
        let dumpable = |to| native(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, to, 0, 0, 0, 0]);
        assert_eq!((dumpable(0), dumpable(1)), (RETURN_ZERO, ALLOW));
        let socket = |protocol| native(libc::SYS_socket, [2, 1, protocol, 0, 0, 0]);
        assert_eq!((socket(0), socket(libc::IPPROTO_MPTCP as u64)), (ALLOW, NO_MPTCP));
        if let Some(arch::CompatAbi { arch, refused_calls, prctl }) = arch::COMPAT_ABI {
            let compat = |number: u32, args| run(STRICTEST, arch, number.into(), args);
            refused_calls.iter().for_each(|call| assert_eq!(compat(*call, [0; 6]), NO_SUCH_CALL));
            assert_eq!(compat(1, [0; 6]), ALLOW);
            let dumpable = |to| compat(prctl, [libc::PR_SET_DUMPABLE as u64, to, 0, 0, 0, 0]);
            assert_eq!((dumpable(0), dumpable(1)), (RETURN_ZERO, ALLOW));
        }
        if let Some(bit) = arch::X32_BIT {
            assert_eq!(native(libc::SYS_read | c_long::from(bit), [0; 6]), NO_SUCH_CALL);
        }
        assert_eq!(run(STRICTEST, 0xdead_beef, libc::SYS_read, [0; 6]), NO_SUCH_CALL);
    }
}
