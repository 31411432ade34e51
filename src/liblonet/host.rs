//! Lookup of hosts by name and address, for all resolver hooks.
//!
//! Programs get names in ASCII (`xn--nxa.lonet` for `β.lonet`), as from libc and the DNS: some print any
//! other byte as Latin-1. They get the name in its own script where they ask for it (AI_CANONIDN, NI_IDN),
//! and as an alias. All spellings lead to the host.

mod cache;

use crate::ask::{Start, ask_for_text, ask_for_text_unless_silent};
use crate::failure::Failure;
use crate::{log, process};
use lonet_core::address::MAX_HOST;
use lonet_core::block::{Block, Face};
use lonet_core::config::LONET_SUFFIX;
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use nix::errno::Errno;
use std::ffi::CStr;
use std::net::Ipv6Addr;

/// A host of the network, as found by a lookup.
pub struct Host {
    block: Block,
    index: u16,
    pub ascii: FullName,
    pub given: FullName,
}

/// Why a lookup has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// No host has or can have this name or address.
    NotFound,
    /// The request to lonetd failed.
    Unavailable,
}

/// A host's name with `.lonet`, as a C string.
pub struct FullName {
    bytes: [u8; MAX_HOST + LONET_SUFFIX.len() + 1],
    len: usize,
}

impl FullName {
    /// The full name of a host. `None`: too long.
    pub fn new(bare: &str) -> Option<FullName> {
        FullName::with(bare, LONET_SUFFIX)
    }

    /// The name without `.lonet`.
    pub fn bare(bare: &str) -> Option<FullName> {
        FullName::with(bare, "")
    }

    fn with(bare: &str, suffix: &str) -> Option<FullName> {
        let mut name =
            FullName { bytes: [0; MAX_HOST + LONET_SUFFIX.len() + 1], len: bare.len() + suffix.len() };
        let (head, tail) = name.bytes.split_at_mut_checked(bare.len())?;
        head.copy_from_slice(bare.as_bytes());
        // The last byte stays zero.
        tail.len().checked_sub(suffix.len() + 1)?;
        tail.get_mut(..suffix.len())?.copy_from_slice(suffix.as_bytes());
        Some(name)
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// As a C string.
    pub fn pointer(&self) -> *const libc::c_char {
        self.with_zero().as_ptr().cast()
    }

    /// The bytes with the closing zero.
    pub fn with_zero(&self) -> &[u8] {
        self.bytes.get(..=self.len).unwrap_or(b"\0")
    }
}

impl Host {
    fn new(index: u16, name: &str, ascii: &str) -> Option<Host> {
        let (ascii, given) = (FullName::new(ascii)?, FullName::new(name)?);
        Some(Host { block: process::block()?, index, ascii, given })
    }

    /// Its name in ASCII, without `.lonet`.
    pub fn label(&self) -> &str {
        let name = self.ascii.bytes().strip_suffix(LONET_SUFFIX.as_bytes()).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// Its address; IPv4 addresses are v4-mapped.
    pub fn address(&self, face: Face) -> Ipv6Addr {
        self.block.shown(self.index, face)
    }

    /// The name in its own script, if the program's locale can write it; else in ASCII.
    pub fn in_locale(&self) -> &FullName {
        // SAFETY: the codeset of the locale, a string that libc keeps.
        let codeset = unsafe { CStr::from_ptr(libc::nl_langinfo(libc::CODESET)) };
        if codeset.to_bytes().eq_ignore_ascii_case(b"UTF-8") { &self.given } else { &self.ascii }
    }
}

/// The host of this name. `None`: not lonet's to say. `limit`: that of the program's call, here and below.
///
/// # Safety
/// `name` is null or a C string.
pub unsafe fn by_c_name(name: *const libc::c_char, limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    if !process::is_active() || name.is_null() {
        return None;
    }
    // SAFETY: a C string, as the caller promises.
    by_name(unsafe { CStr::from_ptr(name) }.to_bytes(), limit)
}

/// Whether this name is in the domain `lonet`.
///
/// # Safety
/// `name` is null or a C string.
pub unsafe fn is_ours(name: *const libc::c_char) -> bool {
    // SAFETY: a C string, as the caller promises.
    process::is_active()
        && !name.is_null()
        && without_suffix(unsafe { CStr::from_ptr(name) }.to_bytes()).is_some()
}

/// The host of this name. `None`: not lonet's to say.
pub fn by_name(name: &[u8], limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    if !process::is_active() {
        return None;
    }
    by_bare_name(without_suffix(name)?, limit)
}

/// As [`by_name`], for a name without `.lonet`.
pub fn by_bare_name(name: &[u8], limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    if name.is_empty() || name.len() > MAX_HOST {
        return Some(Err(LookupError::NotFound));
    }
    resolve(name, false, limit)
}

/// As [`by_bare_name`], for hosts that are up: other names are not found, and get no address by being looked
/// up.
pub fn by_bare_name_if_up(name: &[u8], limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    resolve(name, true, limit)
}

/// The name before `.lonet`, which may be in any case and have a dot at its end. A host whose hostname has no
/// room for `.lonet` (see `gethostname`) knows itself by its bare name.
fn without_suffix(name: &[u8]) -> Option<&[u8]> {
    let trimmed = name.strip_suffix(b".").unwrap_or(name);
    if let Some((head, tail)) = trimmed.len().checked_sub(LONET_SUFFIX.len()).map(|n| trimmed.split_at(n))
        && tail.eq_ignore_ascii_case(LONET_SUFFIX.as_bytes())
    {
        return Some(head);
    }
    let own = process::host()?;
    (!process::hostname_fits(&own) && trimmed == own.as_bytes()).then_some(trimmed)
}

/// The host with this address; IPv4 addresses are v4-mapped. `None`: not lonet's.
pub fn by_address(ip: Ipv6Addr) -> Option<Result<Host, LookupError>> {
    if !process::is_active() || !process::may_be_ours(ip) {
        return None;
    }
    let start = if process::is_certain(ip) { Start::Yes } else { Start::No };
    let mut buffer = [0; MAX_MESSAGE];
    let answer = match process::client() {
        Some(client) => ask_for_text(Limit::NONE, &client, &Op::Reverse { ip }, start, &mut buffer),
        None => Err(Errno::ENETDOWN.into()),
    };
    log::resolved(format_args!("reverse {}", ip.to_canonical()), &answer);
    read(answer)
}

/// The process's own host. `None`: it has none.
pub fn own(limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    let name = process::host().filter(|_| process::is_active())?;
    resolve(name.as_bytes(), false, limit)
}

/// The host of a name, from the cache or from lonetd. `strict`: only a host that is up.
fn resolve(name: &[u8], strict: bool, limit: &mut Limit) -> Option<Result<Host, LookupError>> {
    let Some(client) = process::client() else { return Some(Err(LookupError::Unavailable)) };
    let op = Op::Resolve { name, strict };
    let table = process::table(&client);
    if let Some(cached) =
        table.filter(|table| !strict && !table.has_name_faults()).and_then(|table| cache::find(table, name))
    {
        let answer = Ok(cached.reply());
        log::resolved(format_args!("resolve {}", quoted(name)), &answer);
        return read(answer);
    }
    let mut buffer = [0; MAX_MESSAGE];
    let answer = ask_for_text_unless_silent(limit, &client, &op, Start::Yes, &mut buffer);
    // Replies of another network's lonetd are not valid for this table.
    if let (Ok(reply), Some(_)) = (&answer, process::table(&client)) {
        cache::insert(name, reply);
    }
    log::resolved(format_args!("resolve {}", quoted(name)), &answer);
    read(answer)
}

fn quoted(name: &[u8]) -> impl std::fmt::Display {
    name.escape_ascii()
}

fn read(answer: Result<Reply<'_>, Failure>) -> Option<Result<Host, LookupError>> {
    match answer {
        Ok(Reply::Native) => None,
        Ok(Reply::Host { index, name, ascii, .. }) => {
            Some(Host::new(index, name, ascii).ok_or(LookupError::Unavailable))
        }
        Err(failed) if failed.errno == Errno::ENOENT => Some(Err(LookupError::NotFound)),
        _ => Some(Err(LookupError::Unavailable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_is_known_in_any_case_and_with_a_dot() {
        for name in ["α.lonet", "α.LONET", "α.Lonet."] {
            assert_eq!(without_suffix(name.as_bytes()), Some("α".as_bytes()));
        }
        assert_eq!(without_suffix(b".lonet"), Some(&b""[..]));
        for name in ["lonet", "lonet.", "α.lonet..", "α", "", "."] {
            assert_eq!(without_suffix(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn full_name_ends_in_zero() {
        assert_eq!(FullName::new("α").map(|n| n.with_zero().to_vec()), Some("α.lonet\0".into()));
        assert!(FullName::new(&"h".repeat(MAX_HOST)).is_some());
        assert!(FullName::new(&"h".repeat(MAX_HOST + 1)).is_none());
    }
}
