use super::{Network, query, say, write_out};
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use clap::Args;
use std::io::{self, Write};
use std::process::ExitCode;

/// Show the hosts of a network and their sockets.
///
/// For each socket: lonet address, state, peer, the address where the kernel has it, and its process. A network
/// that is not running has none.
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    network: Network,
    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.network.client().map_err(say)?;
        let listing = query::network(&client)?;
        let mut shown = match &listing {
            Some(listing) => listing.shown()?,
            None => {
                eprintln!("lonet: {}", query::not_running(&client));
                NetworkShown::empty(&client.config.network)
            }
        };
        shown.processes.clear();
        write_out(|mut out| match self.json {
            true => {
                serde_json::to_writer(&mut out, &shown).map_err(io::Error::from).and_then(|()| writeln!(out))
            }
            false => shown.hosts.iter().try_for_each(|host| print(&mut out, host)),
        })
    }
}

/// A host, and its sockets in columns.
fn print(out: &mut impl Write, host: &HostShown<'_>) -> io::Result<()> {
    writeln!(out, "{}  {}", host.name, host.address)?;
    let width = |cell: &dyn Fn(&SocketShown<'_>) -> usize| host.sockets.iter().map(cell).max().unwrap_or(0);
    let name = host.name.chars().count() + 1;
    let address = name + width(&|s| s.port.checked_ilog10().unwrap_or(0) as usize + 1);
    let state = width(&|s| state_of(s).len());
    let peer = width(&|s| peer_of(s).chars().count());
    let os = width(&|s| s.os.chars().count());
    for s in &host.sockets {
        let port = address - name;
        let (of_host, peer_is, pid) = (&host.name, peer_of(s), s.pid);
        writeln!(
            out,
            "  {of_host}:{:<port$}  {:<state$}  {peer_is:<peer$}  {:<os$}  {} (pid {pid})",
            s.port,
            state_of(s),
            s.os,
            s.program
        )?;
    }
    Ok(())
}

/// Who listens on its host's loopback alone is not to be taken for what others reach.
fn state_of<'a>(s: &'a SocketShown<'_>) -> &'a str {
    if s.scope.as_deref() == Some("loopback") { "listening on loopback" } else { &s.state }
}

fn peer_of<'a>(s: &'a SocketShown<'_>) -> &'a str {
    s.peer.as_deref().unwrap_or("-")
}
