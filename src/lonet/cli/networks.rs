//! `lonet networks`: lists the running networks of this user.

use super::{network, query, write_json, write_out};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// List the running networks of this user, with the numbers of their hosts and processes.
#[derive(Args)]
pub struct Networks {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    networks: Vec<NetworkCounts>,
}

#[derive(Serialize)]
struct NetworkCounts {
    name: String,
    hosts: usize,
    processes: usize,
}

impl Networks {
    pub fn run(self) -> Result<ExitCode, String> {
        let mut networks = Vec::new();
        for (name, client) in network::list(|text| error_line!("lonet: {text}"))? {
            // An error in one does not hide the others.
            let counts = |listing| counts(&name, &listing).map_err(|why| query::in_network(&client, &why));
            match query::network(&client).and_then(|listing| listing.map(counts).transpose()) {
                Ok(counts) => networks.extend(counts),
                Err(e) => error_line!("lonet: {e}"),
            }
        }
        if self.json {
            return write_json(Shown { networks });
        }
        write_out(|out| {
            (networks.iter()).try_for_each(|NetworkCounts { name, hosts, processes }| {
                let hosts = format!("{hosts} {}", if *hosts == 1 { "host" } else { "hosts" });
                let processes =
                    format!("{processes} {}", if *processes == 1 { "process" } else { "processes" });
                writeln!(out, "{name}  {hosts}, {processes}")
            })
        })
    }
}

fn counts(name: &str, listing: &query::Listing) -> Result<NetworkCounts, String> {
    let shown = listing.parse()?;
    Ok(NetworkCounts { name: name.to_owned(), hosts: shown.hosts.len(), processes: shown.processes.len() })
}
