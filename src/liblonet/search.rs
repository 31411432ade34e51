//! Lookup of short names: on host α, which is called `alpha.lonet`, the name `beta` is `beta.lonet`, as it is
//! on a machine of that name.
//!
//! libc looks up a name without a dot in /etc/hosts. Then it takes the alias from HOSTALIASES, and queries
//! the DNS with each domain of a list appended, and with none: the domains are those of LOCALDOMAIN, or of
//! resolv.conf, or, where neither names any, the one in the machine's own name. libc has computed the list
//! (`_res`), but does not know that hosts are in the domain `lonet`, and which hosts there are. So these
//! queries are repeated here, in libc's order, and only if a host that is up would be the answer; in all
//! other cases the call is libc's, with its own answer, error and duration.
//!
//! A name with a dot is a host's only if it ends in `.lonet` (`host`): names of hosts have no dot.

mod files;

use crate::host::{self, Host, LookupError};
use crate::panic_barrier::without_cancellation;
use crate::resolver_state::ResolverState;
use crate::{environment, process};
use files::{alias_in, hosts_has, is_dns_first, names_domains};
use libc::{c_char, c_int, c_uchar};
use lonet_core::config::LONET_SUFFIX;
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Text, check};
use std::ffi::{CStr, CString};

/// The way in which a name is looked up.
pub struct Search<'a> {
    /// libc's resolver state.
    pub state: *mut ResolverState,
    /// The family for which /etc/hosts is looked up first. `None`: only the DNS is queried, and an alias from
    /// HOSTALIASES is not searched for.
    pub files_for: Option<c_int>,
    /// Whether the DNS has a name, which ends in a dot.
    pub dns_knows: &'a dyn Fn(&CStr) -> bool,
}

type GetState = unsafe extern "C" fn() -> *mut ResolverState;
type Begin = unsafe extern "C" fn(*mut ResolverState) -> c_int;
type MakeQuery = unsafe extern "C" fn(
    c_int,
    *const c_char,
    c_int,
    c_int,
    *const c_uchar,
    c_int,
    *const c_uchar,
    *mut c_uchar,
    c_int,
) -> c_int;

next! {
    // These three are as resolv.h declares them.
    static STATE: GetState = c"__res_state";
    static BEGIN: Begin = c"__res_ninit";
    // Before glibc 2.34 it was in a library of its own.
    static MAKE_QUERY: MakeQuery = c"res_mkquery";
}

const RES_INIT: libc::c_ulong = 1;
const RES_DEFNAMES: libc::c_ulong = 0x80;
const RES_DNSRCH: libc::c_ulong = 0x200;
const RES_NOALIASES: libc::c_ulong = 0x1000;

/// This thread's resolver state, as at the start of a search by libc. `None`: there is none.
pub fn state() -> Option<*mut ResolverState> {
    // SAFETY: it takes nothing.
    let state = unsafe { STATE.get()?() };
    match MAKE_QUERY.get() {
        // As a side effect this reads resolv.conf and the environment if that has not been done, and
        // resolv.conf if it has changed.
        Some(make) => {
            let (mut query, none) = ([0; 64], std::ptr::null());
            // SAFETY: a query for the root's address, and a buffer with its length.
            unsafe { make(0, c"".as_ptr(), 1, 1, none, 0, none, query.as_mut_ptr(), query.len() as c_int) };
        }
        // SAFETY: the thread's own state, which libc has not begun to use.
        None => unsafe {
            if (*state).options & RES_INIT == 0 {
                BEGIN.get()?(state);
            }
        },
    }
    Some(state)
}

/// The host that a name without a dot stands for. `None`: libc answers. `limit`: that of the program's call.
///
/// # Safety
/// `name` is null or a C string, and the state is one of libc's.
pub unsafe fn find<'a>(
    name: *const c_char,
    search: impl FnOnce() -> Option<Search<'a>>,
    limit: &mut Limit,
) -> Option<Result<Host, LookupError>> {
    if !process::is_active() || name.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !is_short(name) {
        return None;
    }
    let search = search()?;
    // SAFETY: as the caller promises.
    let list = unsafe { SearchList::of(search.state) };
    let alias = if list.options & RES_NOALIASES == 0 { alias_of(name) } else { None };
    let wanted = alias.as_deref().unwrap_or(name);
    let is_searched = is_short(wanted) && (alias.is_none() || search.files_for.is_some());
    let before = if is_searched { list.before_lonet()? } else { Vec::new() };
    if search.files_for.is_some_and(|family| is_in_hosts(name, family)) {
        return None;
    }
    let found =
        if is_searched { host::by_bare_name_if_up(wanted, limit)? } else { host::by_name(wanted, limit)? };
    if is_searched && matches!(found, Err(LookupError::NotFound))
        || knows_any(search.dns_knows, wanted, &before)
    {
        return None;
    }
    Some(found)
}

/// Whether the DNS has a name in one of these domains. libc blocks there.
fn knows_any(dns_knows: &dyn Fn(&CStr) -> bool, name: &[u8], domains: &[&[u8]]) -> bool {
    if domains.is_empty() {
        return false;
    }
    without_cancellation(|| {
        domains.iter().any(|domain| {
            let mut full = Text::<{ 64 + 256 + 2 }>::new();
            let dot: &[u8] = if domain.is_empty() { b"" } else { b"." };
            let parts = [name, dot, domain, b"."];
            parts.iter().all(|part| full.push(part)) && full.c_str().is_some_and(dns_knows)
        })
    })
}

/// Whether a name may be a host's without its domain: not if it has a dot, is an address in any notation, or
/// is `localhost`.
fn is_short(name: &[u8]) -> bool {
    const LONGEST: usize = 63;
    let is_number = name.first().is_some_and(u8::is_ascii_digit)
        && (name.iter().all(u8::is_ascii_digit)
            || name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"0x"))
                && name[2..].iter().all(u8::is_ascii_hexdigit));
    (1..=LONGEST).contains(&name.len())
        && !name.iter().any(|b| b".:".contains(b))
        && !is_number
        && !name.eq_ignore_ascii_case(b"localhost")
}

/// Whether /etc/hosts has a name, and libc looks there before it queries the DNS.
fn is_in_hosts(name: &[u8], family: c_int) -> bool {
    let has = |path, says: &dyn Fn(&[u8]) -> bool| sys::read_file(path).is_ok_and(|text| says(&text));
    has(c"/etc/hosts", &|text| hosts_has(text, name, family)) && !has(c"/etc/nsswitch.conf", &is_dns_first)
}

fn alias_of(name: &[u8]) -> Option<Vec<u8>> {
    let path = CString::new(environment::variable("HOSTALIASES")?).ok()?;
    alias_in(&sys::read_file(&path).ok()?, name)
}

/// The domains that libc searches, and the options of the search.
struct SearchList<'a> {
    options: libc::c_ulong,
    dots: u32,
    domains: Vec<&'a [u8]>,
}

impl<'a> SearchList<'a> {
    /// # Safety
    /// `state` is one of libc's, which stays as it is.
    unsafe fn of(state: *const ResolverState) -> SearchList<'a> {
        // SAFETY: as the caller promises; each entry of the list is a C string, or null, which ends it.
        let (options, dots, all) = unsafe { ((*state).options, (*state).dots(), (*state).search) };
        let texts = all.iter().take_while(|at| !at.is_null());
        // SAFETY: as above.
        let mut domains: Vec<&[u8]> = texts.map(|at| unsafe { CStr::from_ptr(*at) }.to_bytes()).collect();
        if process::host().is_some_and(|host| process::hostname_fits(&host)) && is_machines_own(&domains) {
            domains = vec![without_dot(LONET_SUFFIX.as_bytes())];
        }
        SearchList { options, dots, domains }
    }

    /// The domains that libc searches before `lonet`; an empty one: the name as it is. `None`: libc does not
    /// get to `lonet`.
    fn before_lonet(self) -> Option<Vec<&'a [u8]>> {
        if self.options & RES_DEFNAMES == 0 {
            return None;
        }
        let searched = if self.options & RES_DNSRCH == 0 { 1 } else { self.domains.len() };
        let lonet = without_dot(LONET_SUFFIX.as_bytes());
        let mut before = Vec::new();
        if self.dots == 0 {
            before.push(&b""[..]);
        }
        for domain in self.domains.into_iter().take(searched) {
            let domain = without_dot(domain);
            let domain = domain.strip_suffix(b".").unwrap_or(domain);
            if domain.eq_ignore_ascii_case(lonet) {
                return Some(before);
            }
            before.push(domain);
        }
        None
    }
}

fn without_dot(domain: &[u8]) -> &[u8] {
    domain.strip_prefix(b".").unwrap_or(domain)
}

/// Whether libc has derived the list from the machine's name, as no other was configured: a host's would come
/// from its own name.
fn is_machines_own(domains: &[&[u8]]) -> bool {
    let is_named = || {
        environment::variable("LOCALDOMAIN").is_some()
            || sys::read_file(c"/etc/resolv.conf").is_ok_and(|text| names_domains(&text))
    };
    match domains {
        [] => true,
        [domain] => is_domain_of_machine(domain) && !is_named(),
        _ => false,
    }
}

fn is_domain_of_machine(domain: &[u8]) -> bool {
    // SAFETY: all zeroes is a utsname.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: a structure to fill.
    let asked = check(unsafe { libc::syscall(libc::SYS_uname, &raw mut names) });
    let name = names.nodename.map(|c| c as u8);
    let mut parts = name.split(|b| *b == 0).next().unwrap_or_default().splitn(2, |b| *b == b'.');
    asked.is_ok() && parts.nth(1) == Some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before<'a>(options: libc::c_ulong, dots: u32, domains: &[&'a str]) -> Option<Vec<&'a str>> {
        let domains = domains.iter().map(|d| d.as_bytes()).collect();
        let before = SearchList { options, dots, domains }.before_lonet()?;
        Some(before.into_iter().map(|d| std::str::from_utf8(d).expect("text")).collect())
    }

    #[test]
    fn domains_before_lonet_are_those_that_libc_asks_for_first() {
        const USUAL: libc::c_ulong = RES_INIT | RES_DEFNAMES | RES_DNSRCH;
        assert_eq!(before(USUAL, 1, &["lonet"]), Some(vec![]));
        assert_eq!(before(USUAL, 1, &[".LONET."]), Some(vec![]));
        assert_eq!(before(USUAL, 1, &["a.example", "lonet", "b.example"]), Some(vec!["a.example"]));
        assert_eq!(before(USUAL, 0, &["a.example", "lonet"]), Some(vec!["", "a.example"]));
        assert_eq!(before(USUAL, 1, &["a.example"]), None);
        assert_eq!(before(USUAL, 1, &[]), None);
        assert_eq!(before(USUAL & !RES_DEFNAMES, 1, &["lonet"]), None);
        assert_eq!(before(USUAL & !RES_DNSRCH, 1, &["a.example", "lonet"]), None);
        assert_eq!(before(USUAL & !RES_DNSRCH, 1, &["lonet", "a.example"]), Some(vec![]));
    }

    #[test]
    fn short_name_is_neither_number_nor_address_nor_localhost() {
        for name in ["beta", "β", "3com", "0xyz", "x1", &"h".repeat(63)] {
            assert!(is_short(name.as_bytes()), "{name}");
        }
        for name in
            ["", "a.b", "beta.", "::1", "fe80::1%lo", "1", "0177", "0x7f000001", "LocalHost", &"h".repeat(64)]
        {
            assert!(!is_short(name.as_bytes()), "{name}");
        }
    }
}
