//! Hook of getaddrinfo(3), for names that end in `.lonet` and short names of hosts (`search`).
//!
//! libc builds the list from the host's address and the program's own service and hints: so libc frees it,
//! and all rules about services and socket types are libc's.
//!
//! Unless it asks for IPv6, a program gets only the IPv4 address: with a second one it would connect twice
//! where nothing listens.
//!
//! The cost, counted by tests/hot_paths_take_few_system_calls.sh: a cached name takes one system call, getpid
//! (`host::cache`). Another name, or one whose host is not up, takes a request to lonetd: eight system calls,
//! and a switch to another process and back.

use crate::host::{self, Host, LookupError};
use crate::panic_barrier::run_isolated;
use crate::search::{self, Search};
use libc::{addrinfo, c_char, c_int};
use lonet_core::block::Face;
use lonet_core::limit::Limit;
use std::ffi::CStr;
use std::fmt::Write;
use std::net::Ipv6Addr;

hook! {
    unsafe fn getaddrinfo(
        node: *const c_char, service: *const c_char, hints: *const addrinfo, list: *mut *mut addrinfo
    ) -> c_int => lonet_getaddrinfo {
        let mut limit = Limit::NONE;
        // SAFETY: the program's arguments.
        unsafe { run(node, service, hints, list, &mut limit) }
    }
}

/// getaddrinfo as the hook answers it. `limit`: that of the program's call, which may look up several names.
///
/// # Safety
/// As for getaddrinfo(3).
pub unsafe fn run(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
    limit: &mut Limit,
) -> c_int {
    let mut answer = Some(libc::EAI_FAIL);
    run_isolated(|| {
        // SAFETY: the program's pointers, as getaddrinfo takes them.
        answer = unsafe { on_network(node, service, hints, list, limit) };
    });
    // SAFETY: the program's arguments.
    answer.unwrap_or_else(|| unsafe { real(node, service, hints, list) })
}

/// # Safety
/// As for getaddrinfo(3).
unsafe fn real(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { redhook::real!(getaddrinfo)(node, service, hints, list) }
}

/// The result if the name is lonet's: 0 with the list, or an EAI_* code.
///
/// # Safety
/// The pointers are as getaddrinfo(3) takes them.
unsafe fn on_network(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    list: *mut *mut addrinfo,
    limit: &mut Limit,
) -> Option<c_int> {
    // SAFETY: all zeroes is an addrinfo; hints are one or null.
    let hints: addrinfo = unsafe { if hints.is_null() { std::mem::zeroed() } else { *hints } };
    // libc reports errors in the hints, before it looks at names.
    let host = if !matches!(hints.ai_family, libc::AF_UNSPEC | libc::AF_INET | libc::AF_INET6)
        || hints.ai_flags & libc::AI_NUMERICHOST != 0
    {
        // SAFETY: as the caller promises.
        return unsafe { as_no_address(node, service, &hints) };
    } else {
        // SAFETY: a C string or null.
        match unsafe { named(node, hints.ai_family, limit) }? {
            Ok(host) => host,
            Err(LookupError::NotFound) => return Some(libc::EAI_NONAME),
            Err(LookupError::Unavailable) => return Some(libc::EAI_AGAIN),
        }
    };
    // SAFETY: as the caller promises.
    Some(unsafe { build(&host, service, &hints, list) })
}

/// The host of this name, which may be a short one. `None`: libc answers. `limit`: as for [`run`].
///
/// # Safety
/// `name` is null or a C string.
pub unsafe fn named(
    name: *const c_char,
    family: c_int,
    limit: &mut Limit,
) -> Option<Result<Host, LookupError>> {
    // SAFETY: all zeroes is an addrinfo.
    let hints =
        addrinfo { ai_family: family, ai_socktype: libc::SOCK_STREAM, ..unsafe { std::mem::zeroed() } };
    let dns_knows = |name: &CStr| {
        let mut list = std::ptr::null_mut();
        // SAFETY: a C string and hints of ours, and a list that is freed.
        unsafe {
            let is_known = real(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) == 0;
            if is_known {
                libc::freeaddrinfo(list);
            }
            is_known
        }
    };
    let search = || Some(Search { state: search::state()?, files_for: Some(family), dns_knows: &dns_knows });
    // SAFETY: as the caller promises; the state is the thread's.
    unsafe { host::by_c_name(name, limit).or_else(|| search::find(name, search, limit)) }
}

/// Whether lonet answers for this name. `limit`: as for [`run`].
///
/// # Safety
/// As for getaddrinfo(3).
pub unsafe fn is_ours(node: *const c_char, hints: *const addrinfo, limit: &mut Limit) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let (family, flags) = hints.as_ref().map_or((libc::AF_UNSPEC, 0), |h| (h.ai_family, h.ai_flags));
        host::is_ours(node) || flags & libc::AI_NUMERICHOST == 0 && named(node, family, limit).is_some()
    }
}

/// The error code where the hints do not allow a `.lonet` name. `None`: not such a name.
///
/// # Safety
/// As for getaddrinfo(3).
unsafe fn as_no_address(node: *const c_char, service: *const c_char, hints: &addrinfo) -> Option<c_int> {
    // SAFETY: a C string or null.
    if !unsafe { host::is_ours(node) } {
        return None;
    }
    let mut list = std::ptr::null_mut();
    let literal = if hints.ai_family == libc::AF_INET6 { c"::1" } else { c"127.0.0.1" };
    let mut hints = *hints;
    hints.ai_flags |= libc::AI_NUMERICHOST;
    // SAFETY: a literal and hints of ours, the program's service, a list that is freed.
    unsafe {
        let code = real(literal.as_ptr(), service, &raw const hints, &raw mut list);
        if code != 0 {
            return Some(code);
        }
        libc::freeaddrinfo(list);
    }
    Some(libc::EAI_NONAME)
}

/// # Safety
/// As for getaddrinfo(3).
unsafe fn build(host: &Host, service: *const c_char, hints: &addrinfo, list: *mut *mut addrinfo) -> c_int {
    const BOTH: c_int = libc::AI_V4MAPPED | libc::AI_ALL;
    let v6 = hints.ai_family == libc::AF_INET6;
    // SAFETY: as the caller promises.
    unsafe {
        let code = of_literal(host.address(if v6 { Face::V6 } else { Face::V4 }), service, hints, list);
        if code != 0 {
            return code;
        }
        if v6 && hints.ai_flags & BOTH == BOTH {
            let mut mapped = std::ptr::null_mut();
            let code = of_literal(host.address(Face::V4), service, hints, &raw mut mapped);
            if code != 0 {
                libc::freeaddrinfo(*list);
                return code;
            }
            let mut last = *list;
            while !(*last).ai_next.is_null() {
                last = (*last).ai_next;
            }
            (*last).ai_next = mapped;
        }
        if hints.ai_flags & libc::AI_CANONNAME != 0 {
            const AI_CANONIDN: c_int = 0x80;
            let name = if hints.ai_flags & AI_CANONIDN != 0 { host.in_locale() } else { &host.ascii };
            // freeaddrinfo frees it, so it must be malloc's, as strdup's is.
            let copy = libc::strdup(name.pointer());
            if copy.is_null() {
                libc::freeaddrinfo(*list);
                return libc::EAI_MEMORY;
            }
            (**list).ai_canonname = copy;
        }
    }
    0
}

/// # Safety
/// As for getaddrinfo(3).
unsafe fn of_literal(
    ip: Ipv6Addr,
    service: *const c_char,
    hints: &addrinfo,
    list: *mut *mut addrinfo,
) -> c_int {
    let Some(literal) = Literal::of(ip) else { return libc::EAI_FAIL };
    let mut hints = *hints;
    // For AI_ADDRCONFIG libc asks the kernel each time for the machine's addresses. A host has one of each
    // family on its lonet0 (`getifaddrs`), also where the machine has none.
    hints.ai_flags = hints.ai_flags & !(libc::AI_CANONNAME | libc::AI_ADDRCONFIG) | libc::AI_NUMERICHOST;
    // SAFETY: a C string and hints of ours, the program's service and list.
    unsafe { real(literal.text.as_ptr().cast(), service, &raw const hints, list) }
}

/// An address as a C string; IPv4 where it is v4-mapped.
struct Literal {
    text: [u8; 48],
    len: usize,
}

impl Literal {
    fn of(ip: Ipv6Addr) -> Option<Literal> {
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
