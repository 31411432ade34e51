//! sendto(2), recvfrom(2) and recvmsg(2) with an address, for DNS: queries to a name server go to lonetd (`dns` of liblonet), and
//! its answers appear to come from that server.
//!
//! Hosts have no UDP ports of their own, so the kernel carries out all other calls.

use super::{Action, ProgramAddress, Response, Socket};
use crate::supervise::caller::{CallError, Caller, MAX_ADDRESS};
use crate::supervise::workers::{WaitResult, wait};
use lonet_core::dns_message::PORT;
use lonet_core::sys;
use nix::errno::Errno;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The longest datagram, in bytes.
const MAX_DATAGRAM: usize = 65536;

/// The cookies of sockets that were connected to a name server or have sent to one.
static DNS_SOCKETS: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);

/// How many cookies are kept before all are dropped. Resolvers open a socket for each query, and soon close it.
const MAX_DNS_SOCKETS: usize = 4096;

/// Remembers a socket that talks to a name server.
fn remember_dns_socket(socket: &Socket) -> Result<(), Errno> {
    let mut sockets = DNS_SOCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    if sockets.len() >= MAX_DNS_SOCKETS {
        sockets.clear();
    }
    sockets.insert(sys::cookie(socket.fd())?);
    Ok(())
}

/// Remembers a UDP socket that is about to be connected to a name server.
pub fn note_connect(socket: &Socket, to: &ProgramAddress) -> Result<(), Errno> {
    if socket.kind == libc::SOCK_DGRAM && to.port() == Some(PORT) {
        remember_dns_socket(socket)
    } else {
        Ok(())
    }
}

pub fn sendto(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let flags = caller.int_arg(3);
    if socket.kind == libc::SOCK_STREAM && flags & libc::MSG_FASTOPEN != 0 {
        if caller.pointer_arg(4) != 0 {
            ProgramAddress::read(caller, 4, 5)?;
        }
        return NO_FAST_OPEN;
    }
    if socket.kind != libc::SOCK_DGRAM {
        return Ok(Response::Continue);
    }
    let to = ProgramAddress::read(caller, 4, 5)?;
    if to.port() != Some(PORT) {
        return Ok(Response::Continue);
    }
    let len = caller.pointer_arg(2);
    if len > MAX_DATAGRAM {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut data = vec![0; len];
    caller.read(caller.pointer_arg(1), &mut data)?;
    remember_dns_socket(socket)?;
    // SAFETY: a buffer and an address with their lengths.
    let sent = unsafe {
        libc::sendto(socket.fd(), data.as_ptr().cast(), len, flags | libc::MSG_NOSIGNAL, to.pointer(), to.len)
    };
    Errno::result(sent).map(|n| Response::Value(n as i64)).map_err(CallError::from)
}

/// TCP Fast Open fails as if it were switched off in the kernel; programs then connect first.
const NO_FAST_OPEN: Result<Response, CallError> = Err(CallError::Errno(Errno::EOPNOTSUPP));

/// sendmsg(2) and sendmmsg(2), of which the filter notifies only with MSG_FASTOPEN.
pub fn sendmsg(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    if socket.kind != libc::SOCK_STREAM {
        return Ok(Response::Continue);
    }
    let message = caller.read_plain::<libc::msghdr>(caller.pointer_arg(1))?;
    let len = (message.msg_namelen as usize).min(MAX_ADDRESS);
    let mut address = [0; MAX_ADDRESS];
    if !message.msg_name.is_null() {
        caller.read(message.msg_name as usize, address.get_mut(..len).unwrap_or_default())?;
    }
    NO_FAST_OPEN
}

pub fn recvfrom(caller: Caller, socket: Socket) -> Result<Action, CallError> {
    let flags = caller.int_arg(3);
    begin(caller, socket, flags, recvfrom_now)
}

/// recvmsg(2): supervised on sockets that talk to a name server, continued on others.
pub fn recvmsg(caller: Caller, socket: Socket) -> Result<Action, CallError> {
    let flags = caller.int_arg(2);
    begin(caller, socket, flags, recvmsg_now)
}

/// Receives without waiting.
type Receive = fn(&Caller, &Socket) -> Result<Response, CallError>;

fn begin(caller: Caller, socket: Socket, flags: i32, receive: Receive) -> Result<Action, CallError> {
    let is_dns_socket = |cookie| DNS_SOCKETS.lock().unwrap_or_else(PoisonError::into_inner).contains(&cookie);
    if socket.kind != libc::SOCK_DGRAM || !is_dns_socket(sys::cookie(socket.fd())?) {
        return Ok(Response::Continue.into());
    }
    if flags & libc::MSG_DONTWAIT == 0 && socket.is_blocking() {
        return Ok(Action::Defer(Box::new(move || receive_and_wait(&caller, &socket, receive))));
    }
    receive(&caller, &socket).map(Action::from)
}

fn receive_and_wait(caller: &Caller, socket: &Socket, receive: Receive) -> Result<Response, CallError> {
    let timeout = socket.timeout_ms(libc::SO_RCVTIMEO);
    loop {
        let waited = wait(caller, socket.fd(), libc::POLLIN, timeout);
        caller.ensure_pending()?;
        match waited {
            WaitResult::Ready => match receive(caller, socket) {
                // Another thread has received the datagram.
                Err(CallError::Errno(Errno::EAGAIN)) => {}
                received => return received,
            },
            WaitResult::TimedOut => return Err(Errno::EAGAIN.into()),
            WaitResult::Recheck => {
                if let Some(errno) = caller.pending_signal_error() {
                    return Ok(Response::Errno(if timeout > 0 { libc::EINTR } else { errno }));
                }
            }
        }
    }
}

fn recvfrom_now(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let (to, room, flags) = (caller.pointer_arg(1), caller.pointer_arg(2), caller.int_arg(3));
    let (from_at, len_at) = (caller.pointer_arg(4), caller.pointer_arg(5));
    let mut data = vec![0; room.min(MAX_DATAGRAM)];
    let mut from = [0u8; MAX_ADDRESS];
    let mut len = MAX_ADDRESS as libc::socklen_t;
    // SAFETY: buffers with their lengths.
    let got = unsafe {
        let (data, room, from) = (data.as_mut_ptr().cast(), data.len(), from.as_mut_ptr().cast());
        libc::recvfrom(socket.fd(), data, room, flags | libc::MSG_DONTWAIT, from, &raw mut len)
    };
    let got = Errno::result(got)?;
    // With MSG_TRUNC, recvfrom returns the datagram's length, which may exceed the buffer's.
    caller.write(to, data.get(..(got as usize).min(data.len())).unwrap_or_default())?;
    let name_room = i32::try_from(caller.read_u32(len_at)?).map_err(|_| Errno::EINVAL)? as usize;
    caller.write(from_at, from.get(..name_room.min(len as usize)).unwrap_or_default())?;
    caller.write(len_at, &len.to_ne_bytes())?;
    Ok(Response::Value(got as i64))
}

/// Limits for recvmsg: the number of buffers, and the bytes of control messages.
const MAX_PARTS: usize = 1024;
const MAX_CONTROL: usize = 4096;

fn recvmsg_now(caller: &Caller, socket: &Socket) -> Result<Response, CallError> {
    let at = caller.pointer_arg(1);
    let program_header = caller.read_plain::<libc::msghdr>(at)?;
    let count = program_header.msg_iovlen.min(MAX_PARTS);
    let part = |i: usize| {
        caller.read_plain::<libc::iovec>(program_header.msg_iov as usize + i * size_of::<libc::iovec>())
    };
    let parts = (0..count).map(part).collect::<Result<Vec<_>, _>>()?;
    let room = parts.iter().fold(0usize, |all, part| all.saturating_add(part.iov_len));
    let mut data = vec![0u8; room.min(MAX_DATAGRAM)];
    let mut control = vec![0u64; program_header.msg_controllen.min(MAX_CONTROL) / size_of::<u64>()];
    let mut from = [0u8; MAX_ADDRESS];
    let mut whole = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let mut header = program_header;
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = MAX_ADDRESS as libc::socklen_t;
    (header.msg_iov, header.msg_iovlen) = (&raw mut whole, 1);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&*control);
    // SAFETY: all that it points to is ours and lives until the end.
    let got = unsafe { libc::recvmsg(socket.fd(), &raw mut header, caller.int_arg(2) | libc::MSG_DONTWAIT) };
    let got = Errno::result(got)?;
    let mut rest = data.get(..(got as usize).min(data.len())).unwrap_or_default();
    for part in parts {
        let (now, later) = rest.split_at(part.iov_len.min(rest.len()));
        caller.write(part.iov_base as usize, now)?;
        rest = later;
    }
    let mut reply = program_header;
    if !program_header.msg_name.is_null() {
        let n = (program_header.msg_namelen as usize).min(header.msg_namelen as usize);
        caller.write(program_header.msg_name as usize, from.get(..n).unwrap_or_default())?;
        reply.msg_namelen = header.msg_namelen;
    }
    let control: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    caller.write(
        program_header.msg_control as usize,
        control.get(..header.msg_controllen).unwrap_or_default(),
    )?;
    (reply.msg_controllen, reply.msg_flags) = (header.msg_controllen, header.msg_flags);
    // SAFETY: a structure's own bytes; those between its fields were the program's.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const reply).cast::<u8>(), size_of_val(&reply)) };
    caller.write(at, bytes)?;
    Ok(Response::Value(got as i64))
}
