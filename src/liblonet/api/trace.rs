//! The stream of a network's events: lonet_trace_open and lonet_trace_next.
//!
//! The descriptor is a connection to lonetd, which sends each event in a packet of its own.

use super::error::{Error, call};
use super::named::{self, LonetNet};
use lonet_core::client::{StartIf, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, NetworkOp, Reply, Trace};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, check};
use nix::errno::Errno;
use std::ffi::{c_char, c_int};

const ALL: c_int = 1;

#[unsafe(no_mangle)]
pub extern "C" fn lonet_trace_open(net: *mut LonetNet, flags: c_int) -> c_int {
    call(|| {
        let what = "lonet_trace_open";
        let net = named::net(net, what)?;
        let order = match flags {
            0 => Trace::Read,
            ALL => Trace::ReadAll,
            _ => return Err(Error::Invalid.because(what, "invalid flags")),
        };
        let mut buffer = [0; MAX_MESSAGE];
        let begun = net.client.retry(StartIf::Asked, Limit::NONE, &mut buffer, |_, buffer| {
            let fd = net.client.send(&NetworkOp::Trace(order), buffer)?;
            await_reply(&fd, Limit::NONE)?;
            let n = match sys::recv(fd.raw(), buffer) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(Trouble::NotRunning),
                n => n.map_err(Trouble::Silent)?,
            };
            Ok(match control::read_reply(&buffer[..n]) {
                Ok((_, Reply::Done)) => Ok(fd),
                Ok((_, Reply::Error { errno, .. })) => Err(Error::from_errno(Errno::from_raw(errno))),
                _ => Err(Error::Protocol),
            })
        });
        match begun {
            Ok(fd) => Ok(fd.map_err(|e| e.of(what))?.into_raw()),
            Err(trouble) => Err(Error::from(trouble).because(what, trouble)),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_trace_next(fd: c_int, buf: *mut c_char, size: usize) -> c_int {
    call(|| {
        let what = "lonet_trace_next";
        // The length first, so that an event that does not fit stays in the queue.
        let receive = |size: usize, flags: c_int| {
            let nobody = std::ptr::null_mut::<libc::sockaddr>();
            // SAFETY: room for `size` bytes, as lonet.h says; null pointers for an unwanted address.
            check(unsafe {
                libc::syscall(libc::SYS_recvfrom, fd, buf, size, flags | libc::MSG_DONTWAIT, nobody, 0usize)
            })
        };
        let length = match receive(0, libc::MSG_PEEK | libc::MSG_TRUNC) {
            Ok(0) | Err(Errno::ECONNRESET) => {
                return Err(Error::NetworkDown.because(what, "the network has ended, or lonetd was killed"));
            }
            Err(Errno::EAGAIN) => return Ok(0),
            length => length.map_err(|e| Error::from_errno(e).of(what))? as usize,
        };
        if buf.is_null() || length >= size {
            let why = format_args!("the event has {length} bytes").to_string();
            return Err(Error::Invalid.because(what, why));
        }
        let n = receive(length, 0).map_err(|e| Error::from_errno(e).of(what))?;
        // SAFETY: there is room for one byte more.
        unsafe { buf.add(length).write(0) };
        Ok(n as c_int)
    })
}
