//! The program's side of a courier, a connection that lonetd makes to a listener in place of a foreign dialer (a
//! Go or Python process): the program takes the dialer's own connection over from lonetd.

use crate::descriptor_hints;
use libc::c_int;
use lonet_core::sys::{self, Fd, check};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A foreign connection that will arrive over a connection to lonetd.
pub struct Connection {
    control: Fd,
    /// The buffer sizes of a listener whose program has set none: receive, send.
    buffers: [u32; 2],
}

impl Connection {
    pub fn new(control: Fd, buffers: [u32; 2]) -> Connection {
        Connection { control, buffers }
    }

    /// Closes the courier and receives the connection, which so takes the courier's descriptor number and
    /// needs no other. `None`: it is lost.
    pub fn take(self, listener: c_int, courier: c_int, flags: c_int) -> Option<c_int> {
        let settings = Settings::of(courier);
        descriptor_hints::clear(courier);
        drop(Fd::adopt(courier));
        let mut byte = [0u8; 8];
        let cloexec = flags & libc::SOCK_CLOEXEC != 0;
        let (_, fd) = sys::recv_with(self.control.raw(), &mut byte, cloexec).ok()?;
        let fd = fd?;
        descriptor_hints::set(fd);
        settings.apply(fd);
        buffers(listener, fd, self.buffers);
        if flags & libc::SOCK_NONBLOCK != 0 {
            // SAFETY: no pointers. No other process has this open file any more.
            let _ = check(unsafe {
                let now = libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL);
                libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFL, now | i64::from(libc::O_NONBLOCK))
            });
        }
        Some(fd)
    }
}

/// Integer options that an accepted socket inherits from its listener.
const INTEGERS: [(c_int, c_int); 18] = [
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
];

const TIMES: [c_int; 2] = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO];

type Congestion = [u8; 16];

/// The options that the courier inherited from its listener, to be set on the connection.
struct Settings {
    integers: [Option<i32>; INTEGERS.len()],
    times: [Option<libc::timeval>; TIMES.len()],
    linger: Option<libc::linger>,
    congestion: Option<Congestion>,
}

impl Settings {
    fn of(fd: c_int) -> Settings {
        Settings {
            integers: INTEGERS.map(|(level, name)| sys::getsockopt(fd, level, name).ok()),
            times: TIMES.map(|name| sys::getsockopt(fd, libc::SOL_SOCKET, name).ok()),
            linger: sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER).ok(),
            congestion: sys::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION).ok(),
        }
    }

    /// Sets only what differs: setting an option to its current value can change its effect (TCP_LINGER2,
    /// buffers).
    fn apply(&self, fd: c_int) {
        let defaults = default_integers(fd);
        for (i, ((level, name), value)) in INTEGERS.iter().zip(self.integers).enumerate() {
            if let Some(value) = value.filter(|v| defaults[i] != Some(*v)) {
                let _ = sys::setsockopt(fd, *level, *name, &value);
            }
        }
        for (name, time) in TIMES.iter().zip(self.times) {
            if let Some(time) = time.filter(|t| t.tv_sec != 0 || t.tv_usec != 0) {
                let _ = sys::setsockopt(fd, libc::SOL_SOCKET, *name, &time);
            }
        }
        if let Some(linger) = self.linger.filter(|l| l.l_onoff != 0) {
            let _ = sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
        }
        let now = sys::getsockopt::<Congestion>(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION).ok();
        if let Some(name) = self.congestion.filter(|c| now != Some(*c)) {
            let _ = sys::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, &name);
        }
    }
}

/// The integer options of a connection as lonetd accepts it. They are those of lonetd's listener, hence the
/// same for all connections, and are read from the first one.
fn default_integers(fd: c_int) -> [Option<i32>; INTEGERS.len()] {
    static KNOWN: AtomicBool = AtomicBool::new(false);
    static DEFAULTS: [AtomicI32; INTEGERS.len()] = [const { AtomicI32::new(0) }; INTEGERS.len()];
    if KNOWN.load(Ordering::Acquire) {
        return std::array::from_fn(|i| Some(DEFAULTS[i].load(Ordering::Relaxed)));
    }
    let read = INTEGERS.map(|(level, name)| sys::getsockopt::<i32>(fd, level, name).ok());
    if read.iter().all(Option::is_some) {
        for (to, value) in DEFAULTS.iter().zip(read) {
            to.store(value.unwrap_or_default(), Ordering::Relaxed);
        }
        KNOWN.store(true, Ordering::Release);
    }
    read
}

/// Sets the buffer sizes if the program has set its listener's. Otherwise the kernel goes on adapting them to
/// the traffic, which it stops once they are set.
fn buffers(listener: c_int, fd: c_int, usual: [u32; 2]) {
    for (name, usual) in [libc::SO_RCVBUF, libc::SO_SNDBUF].into_iter().zip(usual) {
        if let Ok(size) = sys::getsockopt::<u32>(listener, libc::SOL_SOCKET, name)
            && size != usual
        {
            // The kernel doubles what it is given.
            let _ = sys::setsockopt(fd, libc::SOL_SOCKET, name, &(size / 2));
        }
    }
}
