//! The machine's name servers, and the owners of its sockets.

use lonet_core::block::Endpoint;
use lonet_core::diag::Diag;
use lonet_core::dns_message;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// Whether the machine's resolver would send queries there.
pub fn is_name_server(at: Endpoint) -> bool {
    let listed = || std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    at.port == dns_message::PORT && name_servers(&listed()).any(|ip| ip == at.ip)
}

/// The servers that resolv.conf(5) lists; the machine itself if there are none. IPv4 ones are v4-mapped.
fn name_servers(resolv_conf: &str) -> impl Iterator<Item = Ipv6Addr> {
    let listed = resolv_conf.lines().filter_map(|line| {
        let address = line.trim_start().strip_prefix("nameserver")?.split_whitespace().next()?;
        // The scope identifier is for the socket.
        let address = address.split('%').next().unwrap_or(address);
        Some(match address.parse().ok()? {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        })
    });
    let mut all: Vec<Ipv6Addr> = listed.collect();
    if all.is_empty() {
        all.push(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    }
    all.into_iter()
}

/// Whether a UDP socket with this local port belongs to the user. False if it cannot be found.
pub fn is_of(from: SocketAddrV4, uid: u32) -> bool {
    is_in(["/proc/net/udp", "/proc/net/udp6"], from, uid)
}

/// Whether the TCP socket that is connected from there to here belongs to the user. False if it cannot be found, or has been
/// closed: the kernel has uid 0 for what is left then.
pub fn is_connected_of(from: SocketAddrV4, here: SocketAddrV4, uid: u32) -> bool {
    match Diag::open().and_then(|diag| diag.lookup(from, here)) {
        Ok(found) => found.is_some_and(|found| found.inode != 0 && found.uid == uid),
        // A kernel without NETLINK_SOCK_DIAG.
        Err(_) => is_in(["/proc/net/tcp", "/proc/net/tcp6"], from, uid),
    }
}

fn is_in(tables: [&str; 2], from: SocketAddrV4, uid: u32) -> bool {
    tables.iter().any(|table| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        text.lines().skip(1).any(|line| row(line) == Some((from.port(), uid)))
    })
}

/// Local port and uid of a row of /proc/net/udp or tcp.
fn row(line: &str) -> Option<(u16, u32)> {
    let mut fields = line.split_whitespace();
    let port = fields.nth(1)?.rsplit(':').next()?;
    // Between them: remote address, state, queues, timer, retransmissions.
    let uid = fields.nth(5)?;
    Some((u16::from_str_radix(port, 16).ok()?, uid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, UdpSocket};

    #[test]
    fn name_servers_are_read_as_resolv_conf_lists_them() {
        let read = |text| name_servers(text).map(|ip| ip.to_string()).collect::<Vec<_>>();
        let text = "search a b\n  nameserver 10.0.0.1 \n#nameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver x\n";
        assert_eq!(read(text), ["::ffff:10.0.0.1", "fe80::1"]);
        assert_eq!(read("options edns0\n"), ["::ffff:127.0.0.1"]);
    }

    #[test]
    fn a_connection_is_its_users() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = |a: std::io::Result<SocketAddr>| match a.expect("an address") {
            SocketAddr::V4(v4) => v4,
            SocketAddr::V6(v6) => unreachable!("{v6}"),
        };
        let here = address(listener.local_addr());
        let client = std::net::TcpStream::connect(here).expect("a connection");
        let from = address(client.local_addr());
        let uid = nix::unistd::geteuid().as_raw();
        assert!(is_connected_of(from, here, uid));
        assert!(!is_connected_of(from, here, uid + 1));
        assert!(is_in(["/proc/net/tcp", "/proc/net/tcp6"], from, uid));
        let accepted = listener.accept();
        drop(client);
        assert!(!is_connected_of(from, here, uid));
        drop(accepted);
    }

    #[test]
    fn a_udp_socket_is_its_users() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let Ok(SocketAddr::V4(address)) = socket.local_addr() else { return };
        let uid = nix::unistd::geteuid().as_raw();
        assert!(is_of(address, uid));
        assert!(!is_of(address, uid + 1));
        drop(socket);
        assert!(!is_of(address, uid));
        assert_eq!(
            row(
                "  1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 7 2"
            ),
            Some((8080, 1000))
        );
    }
}
