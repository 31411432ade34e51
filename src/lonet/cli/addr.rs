//! `lonet addr`: the OS address behind a lonet address, and the reverse.

use super::{Network, completions, query, write_json, write_out};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::address::Address;
use lonet_core::client::{Client, Trouble};
use lonet_core::config::LONET_SUFFIX;
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use serde::Serialize;
use std::net::SocketAddrV4;
use std::process::ExitCode;

/// Print the OS address behind a lonet address, for clients outside lonet, or the reverse.
///
/// For example: `curl http://$(lonet addr web:8080)/`. An OS address, as `ss` shows it, is translated back: `lonet
/// addr 127.84.0.1:8080` prints `web:8080`.
#[derive(Args)]
pub struct Addr {
    #[command(flatten)]
    network: Network,
    /// A lonet address, such as web:8080, or an OS address of the network
    #[arg(value_name = "ADDR", add = ArgValueCompleter::new(completions::addresses))]
    address: String,
    /// Only the IP address, or the name of the host
    #[arg(long, group = "form")]
    host: bool,
    /// Only the port
    #[arg(long, group = "form")]
    port: bool,
    /// As a URL: http://ip:port/
    #[arg(long, group = "form")]
    url: bool,
    /// Both addresses, as one line of JSON
    #[arg(long, group = "form")]
    json: bool,
}

/// What `--json` prints: a lonet address and its OS address.
#[derive(Serialize)]
struct Place {
    host: String,
    port: u16,
    os: SocketAddrV4,
}

impl Addr {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.network.client()?;
        let parsed = self.address.parse::<SocketAddrV4>();
        let (Address { host, port }, os) = match parsed {
            Ok(os) => (lonet_of(&client, os)?, os),
            Err(_) => {
                let address = super::address(&self.address)?;
                (address.clone(), os_of(&client, address)?)
            }
        };
        if self.json {
            return write_json(Place { host, port, os });
        }
        let (host, name, port) = match parsed {
            Ok(_) => (host.clone(), host + LONET_SUFFIX, port),
            Err(_) => (os.ip().to_string(), os.ip().to_string(), os.port()),
        };
        let address = Address { host: host.clone(), port };
        write_out(|out| match (self.host, self.port, self.url) {
            (true, ..) => writeln!(out, "{host}"),
            (_, true, _) => writeln!(out, "{port}"),
            (.., true) => writeln!(out, "http://{name}:{port}/"),
            _ => writeln!(out, "{address}"),
        })
    }
}

/// The OS address of the listener at a lonet address.
pub fn os_of(client: &Client, address: Address) -> Result<SocketAddrV4, String> {
    let mut buffer = [0; MAX_MESSAGE];
    match query::ask(client, &Op::Locate { address: &address.to_string() }, &mut buffer) {
        Ok(Reply::Located { os }) => Ok(os),
        Ok(Reply::Error { errno: libc::ECONNREFUSED, .. }) => {
            Err(query::why_nothing_listens(client, &[address]))
        }
        Ok(Reply::Error { text, .. }) => Err(query::in_network(client, text)),
        Ok(other) => Err(format!("lonetd answered with {other:?}")),
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(query::trouble(client, e)),
    }
}

/// The lonet address of a socket by its OS address. Connections that a listener has accepted have the same, so listeners come first.
fn lonet_of(client: &Client, os: SocketAddrV4) -> Result<Address, String> {
    let listing = query::network(client)?.ok_or_else(|| query::not_running(client))?;
    let shown = listing.parse()?;
    let text = os.to_string();
    let mut there: Vec<_> = (shown.hosts.iter())
        .flat_map(|host| host.sockets.iter().map(move |socket| (host, socket)))
        .filter(|(_, socket)| socket.os == text)
        .collect();
    there.sort_by_key(|(_, socket)| socket.scope.is_none());
    match there.first() {
        Some((host, socket)) => Ok(Address { host: host.name.to_string(), port: socket.port }),
        None => Err(format!(
            "network {} has no socket at {os}; `lonet ls` shows where it has some",
            shown.network
        )),
    }
}
