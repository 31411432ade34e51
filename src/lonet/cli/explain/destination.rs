//! The destination of a dial, as text, and what a program's dial of it concerns: by the rules of core's `Block::place`.

use super::super::{address, host_and_port, query};
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use lonet_core::address::Address;
use lonet_core::block::{Block, Face, Place};
use lonet_core::config::bare_host;
use lonet_core::scopes::Scopes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// What a command line names.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// A name of lonet's. Programs get its IPv4 address, unless they ask for IPv6.
    Name(Address),
    /// `localhost`, or no name: the dialer's own loopback, of which programs try each address that the machine has for it.
    Localhost(Vec<Ipv6Addr>, u16),
    /// An IP address; IPv4 addresses are v4-mapped.
    Ip(Ipv6Addr, u16),
    /// A name with a dot that does not end in `.lonet`: the machine resolves it.
    OtherName(String),
}

impl Destination {
    pub fn parse(text: &str) -> Result<Destination, String> {
        let Address { host, port } = host_and_port(text)?;
        // `fe80::1%eth0`: the interface changes nothing here.
        match host.split('%').next().unwrap_or(&host).parse() {
            Ok(IpAddr::V4(ip)) => return Ok(Destination::Ip(ip.to_ipv6_mapped(), port)),
            Ok(IpAddr::V6(ip)) => return Ok(Destination::Ip(ip, port)),
            Err(_) => {}
        }
        if let Some(ip) = short_ipv4(&host) {
            return Ok(Destination::Ip(ip.to_ipv6_mapped(), port));
        }
        if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
            return Ok(Destination::Localhost(localhost(), port));
        }
        if host.contains('.') && bare_host(&host) == host {
            return Ok(Destination::OtherName(host));
        }
        address(text).map(Destination::Name)
    }

    /// Who is dialed, if a host that is up dials this.
    pub fn resolve<'l, 'a>(
        &self,
        shown: &'l NetworkShown<'a>,
        from: &'l HostShown<'a>,
    ) -> Result<Dialed<'l, 'a>, NoHost> {
        let no_route =
            |why: String| NoHost::NoRoute(format!("the dial fails with \"no route to host\": {why}"));
        let network = &shown.network;
        match self {
            Destination::Localhost(ips, port) => {
                let scope =
                    |ip: &Ipv6Addr| Scopes::loopback(if ip.is_loopback() { Face::V6 } else { Face::V4 });
                let scopes = Scopes(ips.iter().fold(0, |all, ip| all | scope(ip).0));
                let at: Vec<String> = ips.iter().map(|ip| ip.to_canonical().to_string()).collect();
                Ok(Dialed { host: from, port: *port, scopes, at: at.join(" or ") })
            }
            Destination::Name(to) => {
                let host = query::find(shown, &to.host)
                    .ok_or_else(|| no_route(query::no_such_host(shown, &[&to.host])))?;
                let scopes = Scopes::host(Face::V4);
                let at = format!("{}, as which programs know it that do not ask for IPv6", host.address);
                Ok(Dialed { host, port: to.port, scopes, at })
            }
            Destination::Ip(ip, port) => {
                let place = block_of(from).map_or(Place::NotLonet, |block| block.place(*ip));
                let at = ip.to_canonical().to_string();
                match place {
                    Place::Any(face) | Place::Loopback(face) => {
                        Ok(Dialed { host: from, port: *port, scopes: Scopes::loopback(face), at })
                    }
                    Place::Host(index, face) => {
                        let host = shown.hosts.iter().find(|host| host.index == index).ok_or_else(|| {
                            no_route(format!("no host with the address {at} is up in network {network}"))
                        })?;
                        Ok(Dialed { host, port: *port, scopes: Scopes::host(face), at })
                    }
                    Place::Unassigned => {
                        Err(no_route(format!("{at} is an address of network {network}, but no host's")))
                    }
                    Place::NotLonet => Err(not_lonets(format!("{at} is no address of network {network}"))),
                }
            }
            Destination::OtherName(name) => Err(not_lonets(format!(
                "{name} is no name of lonet's, which end in .lonet, so that the machine resolves it"
            ))),
        }
    }
}

/// The IPv4 address in the other forms that libc's resolver takes for one, as inet_aton(3) has them: `127.1`, `0x7f.0.0.1`. A number
/// without a dot may be a host's name here.
fn short_ipv4(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    // The parsers of numbers take a sign, too.
    if text.contains('+') {
        return None;
    }
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, first) = parts.split_last()?;
    // Each number but the last is a byte; the last one fills the rest.
    let rest = u32::MAX.checked_shr(8 * first.len() as u32)?;
    if first.is_empty() || *last > rest {
        return None;
    }
    let bytes = first.iter().map(|part| u8::try_from(*part).ok()).collect::<Option<Vec<_>>>()?;
    let head = (0u32..).zip(bytes).fold(0, |all, (i, byte)| all | u32::from(byte) << (24 - 8 * i));
    Some(Ipv4Addr::from(head | last))
}

/// The addresses of `localhost`, as all programs of this machine get them; 127.0.0.1 if there are none.
fn localhost() -> Vec<Ipv6Addr> {
    let found = ("localhost", 0).to_socket_addrs().into_iter().flatten().map(|at| match at.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    });
    let v4 = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let mut all: Vec<Ipv6Addr> = found.filter(|ip| *ip == v4 || ip.is_loopback()).collect();
    all.dedup();
    if all.is_empty() { vec![v4] } else { all }
}

fn not_lonets(why: String) -> NoHost {
    NoHost::NotLonet(format!(
        "{why}: the dial is the machine's, as without lonet, and only a dial can tell what listens there"
    ))
}

/// A port of a host that a dial leads to.
pub struct Dialed<'l, 'a> {
    pub host: &'l HostShown<'a>,
    pub port: u16,
    /// The scope that is dialed, or the two of a name.
    pub scopes: Scopes,
    /// The IP address that is dialed.
    pub at: String,
}

impl Dialed<'_, '_> {
    pub fn is_loopback(&self) -> bool {
        self.scopes.is_loopback()
    }

    /// Whether a listener accepts the dial.
    pub fn reaches(&self, socket: &SocketShown<'_>) -> bool {
        socket.port == self.port && scopes_of(self.host, socket).overlap(self.scopes)
    }
}

/// Why a dial leads to no host.
#[derive(Debug, PartialEq, Eq)]
pub enum NoHost {
    /// It fails.
    NoRoute(String),
    /// It is not lonet's to say.
    NotLonet(String),
}

/// The scopes of a listener; of others, none.
fn scopes_of(host: &HostShown<'_>, socket: &SocketShown<'_>) -> Scopes {
    let ip: Option<IpAddr> = socket.ip.as_deref().and_then(|ip| ip.parse().ok());
    match (block_of(host), ip) {
        (Some(block), Some(IpAddr::V4(ip))) => Scopes::at(block.place(ip.to_ipv6_mapped()), false),
        (Some(block), Some(IpAddr::V6(ip))) => {
            Scopes::at(block.place(ip), socket.family.as_deref() != Some("both"))
        }
        _ => Scopes::NONE,
    }
}

/// The block of a host's network.
fn block_of(host: &HostShown<'_>) -> Option<Block> {
    let address: Ipv4Addr = host.address.parse().ok()?;
    Block::new(address.octets()[1])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Hosts 127.7.0.1 and 127.7.0.2, the second with a listener at each of these addresses.
    fn network(listeners: &[(u16, &str, &str)]) -> String {
        let sockets: Vec<String> = (listeners.iter())
            .map(|(port, ip, family)| {
                format!(
                    r#"{{"port":{port},"os":"127.7.0.2:{port}","state":"listening","scope":"host","family":"{family}",
                    "ip":"{ip}","peer":null,"os_peer":null,"pid":1,"program":"server"}}"#
                )
            })
            .collect();
        let host = |name: &str, index: u16, sockets: &str| {
            format!(
                r#"{{"name":"{name}","index":{index},"address":"127.7.0.{index}","sockets":[{sockets}]}}"#
            )
        };
        format!(r#"{{"network":"n","hosts":[{},{}]}}"#, host("a", 1, ""), host("b", 2, &sockets.join(",")))
    }

    #[test]
    fn dial_reaches_listeners_of_its_family_and_scope() {
        let listeners = [
            (1, "0.0.0.0", "v4"),
            (2, "127.0.0.1", "v4"),
            (3, "127.7.0.2", "v4"),
            (4, "::", "v6"),
            (5, "::1", "v6"),
            (6, "fd6c:6f6e:6574:7::2", "v6"),
            (7, "::", "both"),
        ];
        let text = network(&listeners);
        let shown: NetworkShown<'_> = serde_json::from_str(&text).unwrap();
        let reached = |from: usize, to: &str| -> Vec<u16> {
            let is_reached = |port: &u16| {
                let destination = Destination::parse(&format!("{to}:{port}")).unwrap();
                let dialed = destination.resolve(&shown, &shown.hosts[from]).ok().unwrap();
                dialed.host.sockets.iter().any(|socket| dialed.reaches(socket))
            };
            (1..=7).filter(is_reached).collect()
        };
        for from in [0, 1] {
            for v4 in ["b", "b.lonet", "127.7.0.2", "[::ffff:127.7.0.2]"] {
                assert_eq!(reached(from, v4), [1, 3, 7], "{v4}");
            }
            assert_eq!(reached(from, "[fd6c:6f6e:6574:7::2]"), [4, 6, 7]);
        }
        for v4 in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"] {
            assert_eq!(reached(1, v4), [1, 2, 7], "{v4}");
        }
        for v6 in ["[::1]", "[::]"] {
            assert_eq!(reached(1, v6), [4, 5, 7], "{v6}");
        }
        let of_localhost = if localhost().len() == 2 { vec![1, 2, 4, 5, 7] } else { reached(1, "127.0.0.1") };
        assert_eq!((reached(1, "localhost"), reached(0, "localhost")), (of_localhost, vec![]));
    }

    #[test]
    fn ipv4_addresses_have_the_forms_of_inet_aton() {
        let of = |text: &str| short_ipv4(text).map(|ip| ip.to_string());
        for (text, ip) in [
            ("127.1", "127.0.0.1"),
            ("127.258", "127.0.1.2"),
            ("127.7.513", "127.7.2.1"),
            ("0x7f.0.0.1", "127.0.0.1"),
            ("0X7F.0xfFffFf", "127.255.255.255"),
            ("0177.0.0.010", "127.0.0.8"),
            ("0.0", "0.0.0.0"),
        ] {
            assert_eq!(of(text).as_deref(), Some(ip), "{text}");
        }
        for text in [
            "1",
            "127.",
            ".1",
            "127..1",
            "256.1",
            "127.16777216",
            "127.0.0.256",
            "1.2.3.4.5",
            "08.1",
            "0x.1",
            "+127.1",
            "127.-1",
            "a.1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_hosts_is_told_from_what_is_not_lonets() {
        let text = network(&[]);
        let shown: NetworkShown<'_> = serde_json::from_str(&text).unwrap();
        let of = |to: &str| Destination::parse(to).unwrap().resolve(&shown, &shown.hosts[0]).err().unwrap();
        for to in ["c:80", "127.7.0.3:80", "127.7.0.0:80", "127.7.255.254:80", "[fd6c:6f6e:6574:7::9]:80"] {
            assert!(matches!(of(to), NoHost::NoRoute(_)), "{to}");
        }
        for to in [
            "example.com:443",
            "8.8.8.8:80",
            "127.0.0.2:80",
            "127.8.0.1:80",
            "[fd6c:6f6e:6574:8::1]:80",
            "[fe80::1%lo]:80",
        ] {
            assert!(matches!(of(to), NoHost::NotLonet(_)), "{to}");
        }
    }
}
