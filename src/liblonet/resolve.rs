//! getaddrinfo(3), for names that end in `.lonet`.
//!
//! libc builds the list, from the address and the program's own service and hints: so it is libc's to free,
//! whoever frees it, and every rule about services and socket types is libc's.

use crate::ask::{Start, ask};
use crate::fence::silently;
use crate::process;
use libc::{addrinfo, c_char, c_int};
use lonet_core::block::{Block, Face};
use lonet_core::control::{Op, Reply};
use std::ffi::CStr;
use std::fmt::Write;
use std::net::Ipv6Addr;

redhook::hook! {
    unsafe fn getaddrinfo(
        node: *const c_char, service: *const c_char, hints: *const addrinfo, list: *mut *mut addrinfo
    ) -> c_int => lonet_getaddrinfo {
        let mut answer = Some(libc::EAI_FAIL);
        silently(|| {
            // SAFETY: the program's pointers, as getaddrinfo takes them.
            answer = unsafe { on_network(node, service, hints, list) };
        });
        // SAFETY: the program's arguments.
        answer.unwrap_or_else(|| unsafe { redhook::real!(getaddrinfo)(node, service, hints, list) })
    }
}

pub fn resolve_real() {
    getaddrinfo.get();
}

/// The name of a host of the network, if `node` is one.
///
/// # Safety
/// `node` is null or a C string.
unsafe fn lonet_name<'a>(node: *const c_char) -> Option<&'a [u8]> {
    if !process::is_active() || node.is_null() {
        return None;
    }
    // SAFETY: a C string, as the caller promises.
    let node = unsafe { CStr::from_ptr(node) }.to_bytes();
    let trimmed = node.strip_suffix(b".").unwrap_or(node);
    let name = trimmed.get(..trimmed.len().checked_sub(6)?)?;
    trimmed[name.len()..].eq_ignore_ascii_case(lonet_core::config::LONET_SUFFIX.as_bytes()).then_some(name)
}

/// `None`: not lonet's. Else 0 with the list, or an EAI_* code.
///
/// # Safety
/// The pointers are as getaddrinfo(3) takes them.
unsafe fn on_network(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
) -> Option<c_int> {
    // SAFETY: as the caller promises.
    let name = unsafe { lonet_name(node) }?;
    // SAFETY: all zeroes is an addrinfo; hints are one or null.
    let mut wanted = unsafe { if hints.is_null() { std::mem::zeroed() } else { *hints } };
    if wanted.ai_flags & libc::AI_NUMERICHOST != 0 {
        return Some(libc::EAI_NONAME);
    }
    if !matches!(wanted.ai_family, libc::AF_UNSPEC | libc::AF_INET | libc::AF_INET6) {
        return Some(libc::EAI_FAMILY);
    }
    let index = match ask(&Op::Resolve { name }, Start::Yes) {
        Ok(Reply::Host { index }) => index,
        Err(nix::errno::Errno::ENOENT) => return Some(libc::EAI_NONAME),
        _ => return Some(libc::EAI_AGAIN),
    };
    let face = if wanted.ai_family == libc::AF_INET6 { Face::V6 } else { Face::V4 };
    let literal = Literal::of(process::block()?, index, face)?;
    let canonical = wanted.ai_flags & libc::AI_CANONNAME != 0;
    wanted.ai_flags = wanted.ai_flags & !libc::AI_CANONNAME | libc::AI_NUMERICHOST;
    // SAFETY: a C string and hints of ours, the program's service and list.
    let code = unsafe {
        redhook::real!(getaddrinfo)(literal.text.as_ptr().cast(), service, &raw const wanted, list)
    };
    if code == 0 && canonical {
        // SAFETY: libc has just made the list; what freeaddrinfo frees is to be malloc's, as strdup's is.
        unsafe { (**list).ai_canonname = libc::strdup(node) };
    }
    Some(code)
}

/// An address as a C string.
struct Literal {
    text: [u8; 48],
    len: usize,
}

impl Literal {
    fn of(block: Block, index: u16, face: Face) -> Option<Literal> {
        let ip: Ipv6Addr = block.shown(index, face);
        let mut literal = Literal { text: [0; 48], len: 0 };
        match ip.to_ipv4_mapped() {
            Some(v4) => write!(literal, "{v4}"),
            None => write!(literal, "{ip}"),
        }
        .ok()?;
        Some(literal)
    }
}

impl Write for Literal {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        // One byte stays for the closing zero.
        let to = self.text[..47].get_mut(self.len..self.len + s.len()).ok_or(std::fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}
