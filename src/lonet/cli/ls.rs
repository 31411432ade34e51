//! `lonet ls`: lists hosts and their sockets.

use super::{Network, completions, graph, query, write_json, write_out};
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::config::bare_host;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// List the hosts of a network and their sockets, by name.
///
/// For each socket: lonet address, state, peer, OS address and process; for a host without sockets, its processes. The
/// process is the one that made the socket or, if that has ended, one that holds it. A network that is not running has
/// no hosts.
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    network: Network,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Draw who is connected to whom, as an SVG or as text for Graphviz
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "json")]
    graph: Option<graph::Form>,
    /// Only these hosts
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    hosts: Vec<String>,
}

impl Ls {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.network.client()?;
        let listing = query::network(&client)?;
        let mut shown = match &listing {
            Some(listing) => listing.parse()?,
            None => {
                error_line!("lonet: {}", query::not_running(&client));
                NetworkShown::empty(&client.config.network)
            }
        };
        shown.processes.clear();
        if !self.hosts.is_empty() {
            select(&mut shown, &self.hosts)?;
        }
        shown.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        match (self.graph, self.json) {
            (Some(form), _) => write_out(|out| out.write_all(graph::draw(&shown, form).as_bytes())),
            (None, true) => write_json(&shown),
            (None, false) => {
                write_out(|mut out| shown.hosts.iter().try_for_each(|host| print(&mut out, host)))
            }
        }
    }
}

/// Removes all other hosts from a list. Fails if one of these is not up.
fn select(shown: &mut NetworkShown<'_>, names: &[String]) -> Result<(), String> {
    let names: Vec<&str> = names.iter().map(|name| bare_host(name)).collect();
    let (found, absent): (Vec<_>, Vec<_>) =
        names.into_iter().map(|name| (name, query::find(shown, name))).partition(|(_, host)| host.is_some());
    if !absent.is_empty() {
        let absent: Vec<&str> = absent.into_iter().map(|(name, _)| name).collect();
        return Err(query::no_such_host(shown, &absent));
    }
    let indexes: BTreeSet<u16> = found.into_iter().filter_map(|(_, host)| host).map(|h| h.index).collect();
    shown.hosts.retain(|host| indexes.contains(&host.index));
    Ok(())
}

/// Prints a host, and its sockets in columns.
fn print(out: &mut impl Write, host: &HostShown<'_>) -> io::Result<()> {
    writeln!(out, "{}  {}", host.name, host.address)?;
    if host.sockets.is_empty() {
        return (host.processes.iter()).try_for_each(|p| writeln!(out, "  {} (pid {})", p.program, p.pid));
    }
    let rows: Vec<[String; 4]> = host.sockets.iter().map(|s| cells(host, s)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    for (s, row) in host.sockets.iter().zip(&rows) {
        for (cell, width) in row.iter().zip(widths) {
            // Not by format!, which counts characters; they may be two columns wide, or none.
            write!(out, "  {cell}{:1$}", "", width - cell.width())?;
        }
        writeln!(out, "  {} (pid {})", s.program, s.pid)?;
    }
    Ok(())
}

fn cells(host: &HostShown<'_>, s: &SocketShown<'_>) -> [String; 4] {
    let address = format!("{}:{}", host.name, s.port);
    [address, state_of(s).to_owned(), s.peer.as_deref().unwrap_or("-").to_owned(), s.os.to_string()]
}

/// The state of a socket. Listeners that only some dials reach, on loopback or IPv6 alone, say so.
fn state_of<'a>(s: &'a SocketShown<'_>) -> &'a str {
    match (s.scope.as_deref(), s.family.as_deref()) {
        (Some("loopback"), Some("v6")) => "listening on IPv6 loopback",
        (Some("loopback"), _) => "listening on loopback",
        (_, Some("v6")) => "listening on IPv6",
        _ => &s.state,
    }
}
