use super::{Network, query, say};
use crate::daemon::state::{HostShown, NetworkShown};
use clap::Args;
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
        let Some(mut shown) = query::network(&client)? else { return Ok(ExitCode::SUCCESS) };
        shown.processes.clear();
        if self.json {
            println!("{}", serde_json::to_string(&shown).map_err(say)?);
        } else {
            print(&shown);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(shown: &NetworkShown) {
    for host in &shown.hosts {
        println!("{}  {}", host.name, host.address);
        rows(host).iter().for_each(|row| println!("  {}", row.trim_end()));
    }
}

/// The sockets of a host in columns.
fn rows(host: &HostShown) -> Vec<String> {
    let table: Vec<[String; 5]> = (host.sockets.iter())
        .map(|s| {
            [
                format!("{}:{}", host.name, s.port),
                s.state.clone(),
                s.peer.clone().unwrap_or_else(|| "-".into()),
                s.os.clone(),
                format!("{} (pid {})", s.program, s.pid),
            ]
        })
        .collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        cells.join("  ")
    };
    table.iter().map(line).collect()
}
