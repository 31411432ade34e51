//! Parsers of the files that decide whether libc or lonet answers for a short name: hosts(5),
//! nsswitch.conf(5), resolv.conf(5) and the file of HOSTALIASES (hostname(7)). Each reads as libc does, and
//! ignores invalid lines.

use libc::c_int;
use std::net::{Ipv4Addr, Ipv6Addr};

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n')
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn without_comment(line: &[u8]) -> &[u8] {
    line.split(|b| *b == b'#').next().unwrap_or_default()
}

/// Whether a name has an address of this family in /etc/hosts; AF_UNSPEC: of either.
pub fn hosts_has(text: &[u8], name: &[u8], family: c_int) -> bool {
    lines(text).any(|line| {
        let mut words = words(without_comment(line));
        words.next().is_some_and(|ip| is_of(ip, family)) && words.any(|word| word.eq_ignore_ascii_case(name))
    })
}

/// A lookup for IPv4 takes ::1 as 127.0.0.1, too.
fn is_of(ip: &[u8], family: c_int) -> bool {
    let Ok(ip) = std::str::from_utf8(ip) else { return false };
    let v6 = ip.parse::<Ipv6Addr>();
    let is_v4 = ip.parse::<Ipv4Addr>().is_ok();
    match family {
        libc::AF_INET => is_v4 || v6.is_ok_and(|v6| v6.is_loopback() || v6.to_ipv4_mapped().is_some()),
        libc::AF_INET6 => v6.is_ok(),
        _ => is_v4 || v6.is_ok(),
    }
}

/// Whether nsswitch.conf has libc query the DNS for hosts before /etc/hosts.
pub fn is_dns_first(text: &[u8]) -> bool {
    let services =
        lines(text).find_map(|line| without_comment(line).trim_ascii_start().strip_prefix(b"hosts:"));
    let first =
        services.and_then(|services| words(services).find(|word| [&b"files"[..], b"dns"].contains(word)));
    first == Some(b"dns")
}

/// Whether resolv.conf names the domains to search.
pub fn names_domains(text: &[u8]) -> bool {
    let says = |line: &[u8], key: &[u8]| {
        let rest = line.strip_prefix(key).filter(|rest| rest.first().is_some_and(|b| b" \t".contains(b)));
        rest.is_some_and(|rest| !rest.trim_ascii().is_empty())
    };
    lines(text).any(|line| says(line, b"domain") || says(line, b"search"))
}

/// The alias of a name in a file of HOSTALIASES. The file ends with the first line that is not a name, a
/// blank and another name.
pub fn alias_in(text: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    for line in lines(text) {
        let end = line.iter().position(u8::is_ascii_whitespace)?;
        let (known, rest) = line.split_at(end);
        if known.strip_suffix(b".").unwrap_or(known).eq_ignore_ascii_case(name) {
            return words(rest).next().map(<[u8]>::to_vec);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_hosts_has_the_families_of_its_addresses() {
        let text = b"127.0.0.1\tlocalhost beta # gamma\n#10.0.0.1 delta\n::1 ip6-localhost\nfd00::1 six\r\nbad epsilon\n";
        let has = |name: &str| {
            [libc::AF_UNSPEC, libc::AF_INET, libc::AF_INET6]
                .map(|family| hosts_has(text, name.as_bytes(), family))
        };
        assert_eq!(has("BETA"), [true, true, false]);
        assert_eq!(has("ip6-localhost"), [true, true, true]);
        assert_eq!(has("six"), [true, false, true]);
        for name in ["gamma", "delta", "epsilon", "127.0.0.1", "bet"] {
            assert_eq!(has(name), [false; 3], "{name}");
        }
    }

    #[test]
    fn order_of_hosts_and_dns_is_that_of_nsswitch() {
        for text in [
            "",
            "hosts: files dns",
            "passwd: dns\nhosts:\tfiles [NOTFOUND=return] dns",
            "hosts: resolve files dns",
        ] {
            assert!(!is_dns_first(text.as_bytes()), "{text}");
        }
        for text in ["hosts: dns files", "hosts:dns", " hosts: mdns4_minimal [NOTFOUND=return] dns # files"] {
            assert!(is_dns_first(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn resolv_conf_names_domains_by_search_and_domain() {
        for text in ["search example.com", "nameserver ::1\ndomain\texample.com\n", "search ."] {
            assert!(names_domains(text.as_bytes()), "{text}");
        }
        for text in
            ["", "nameserver 10.0.0.1\n", "search\n", "search  \n", "#search a", " search a", "searching a"]
        {
            assert!(!names_domains(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn alias_is_the_second_word_of_the_line_of_a_name() {
        let alias = |text: &str, name: &str| alias_in(text.as_bytes(), name.as_bytes());
        let text = "db beta.lonet and more\nWEB\t gamma\nlast delta.lonet";
        assert_eq!(alias(text, "DB"), Some(b"beta.lonet".to_vec()));
        assert_eq!(alias(text, "web"), Some(b"gamma".to_vec()));
        assert_eq!(alias(text, "last"), Some(b"delta.lonet".to_vec()));
        assert_eq!(alias(text, "beta"), None);
        assert_eq!(alias("one\ndb beta.lonet\n", "db"), None);
        assert_eq!(alias("db \nweb x\n", "db"), None);
    }
}
