//! Hook of getnameinfo(3), for the addresses of the network.
//!
//! lonet supplies the host's name; libc supplies the service and numeric addresses, and checks the arguments.

use crate::host::{self, Host, LookupError};
use crate::panic_barrier::run_isolated;
use crate::{address, process};
use libc::{c_char, c_int, sockaddr, socklen_t};
use lonet_core::config::LONET_SUFFIX;

hook! {
    unsafe fn getnameinfo(
        address: *const sockaddr, len: socklen_t,
        name: *mut c_char, name_len: socklen_t,
        service: *mut c_char, service_len: socklen_t,
        flags: c_int
    ) -> c_int => lonet_getnameinfo {
        let mut result = NameResult::Return(libc::EAI_FAIL);
        // SAFETY: the program's pointers.
        run_isolated(|| result = unsafe { on_network(address, len, name, name_len, flags) });
        let real = redhook::real!(getnameinfo);
        // SAFETY: the program's arguments, some left out.
        unsafe {
            match result {
                NameResult::Return(code) => code,
                NameResult::Libc { flags } => real(address, len, name, name_len, service, service_len, flags),
                NameResult::NameWritten if service.is_null() || service_len == 0 => 0,
                NameResult::NameWritten => {
                    let flags = flags & !libc::NI_NAMEREQD;
                    real(address, len, std::ptr::null_mut(), 0, service, service_len, flags)
                }
            }
        }
    }
}

enum NameResult {
    /// Return this code.
    Return(c_int),
    /// The name is stored; libc adds the service.
    NameWritten,
    /// libc does it all.
    Libc { flags: c_int },
}

const NI_IDN: c_int = 32;

/// All flags that glibc knows.
const KNOWN: c_int = libc::NI_NUMERICHOST
    | libc::NI_NUMERICSERV
    | libc::NI_NOFQDN
    | libc::NI_NAMEREQD
    | libc::NI_DGRAM
    | NI_IDN
    // Without effect in glibc since 2.28: NI_IDN_ALLOW_UNASSIGNED, NI_IDN_USE_STD3_ASCII_RULES.
    | 64
    | 128;

/// # Safety
/// The pointers are as getnameinfo(3) takes them.
unsafe fn on_network(
    address: *const sockaddr,
    len: socklen_t,
    name: *mut c_char,
    name_len: socklen_t,
    flags: c_int,
) -> NameResult {
    let libc_says = NameResult::Libc { flags };
    if !process::is_active()
        || name.is_null()
        || name_len == 0
        || flags & libc::NI_NUMERICHOST != 0
        || flags & !KNOWN != 0
    {
        return libc_says;
    }
    // SAFETY: as the caller promises.
    let Some((endpoint, family)) = (unsafe { address::read(address, len) }) else { return libc_says };
    if family == libc::AF_INET6 && (len as usize) < size_of::<libc::sockaddr_in6>() {
        return libc_says;
    }
    match host::by_address(endpoint.ip) {
        None => libc_says,
        Some(Ok(host)) => {
            let text = shown(&host, flags);
            if text.len() >= name_len as usize {
                return NameResult::Return(libc::EAI_OVERFLOW);
            }
            // SAFETY: there is room for it and a closing zero.
            unsafe {
                std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), text.len());
                name.add(text.len()).write(0);
            }
            NameResult::NameWritten
        }
        Some(Err(LookupError::NotFound)) if flags & libc::NI_NAMEREQD != 0 => {
            NameResult::Return(libc::EAI_NONAME)
        }
        // Not a query for a name server.
        Some(Err(LookupError::NotFound)) => NameResult::Libc { flags: flags | libc::NI_NUMERICHOST },
        Some(Err(LookupError::Unavailable)) => NameResult::Return(libc::EAI_AGAIN),
    }
}

/// The name to store. NI_NOFQDN leaves out the domain of the machine itself, which is `lonet` only for hosts.
fn shown(host: &Host, flags: c_int) -> &[u8] {
    let full = if flags & NI_IDN != 0 { host.in_locale().bytes() } else { host.ascii.bytes() };
    if flags & libc::NI_NOFQDN != 0 && process::is_host() {
        full.strip_suffix(LONET_SUFFIX.as_bytes()).unwrap_or(full)
    } else {
        full
    }
}
