use super::{Network, client_of, query, say};
use clap::Args;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

/// Show the networks of this user that are running, with their hosts and processes.
#[derive(Args)]
pub struct Networks {}

impl Networks {
    pub fn run(self) -> Result<ExitCode, String> {
        let config = Network { network: None }.config().map_err(say)?;
        let root = config.dir.parent().unwrap_or(&config.dir).to_owned();
        let mut names: Vec<String> = std::fs::read_dir(&root)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|e| e.metadata().is_ok_and(|m| m.is_dir() && m.uid() == nix::unistd::geteuid().as_raw()))
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        for name in names {
            let dir = root.join(&name);
            let client =
                client_of(lonet_core::config::Config { network: name.clone(), dir, ..config.clone() });
            // One that is broken does not hide the others.
            match query::network(&client).and_then(|n| n.as_ref().map(counts).transpose()) {
                Ok(Some(counts)) => println!("{name}  {counts}"),
                Ok(None) => {}
                Err(e) => eprintln!("lonet: network {name:?}: {e}"),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn counts(listing: &query::Listing) -> Result<String, String> {
    let shown = listing.shown()?;
    Ok(format!("{} hosts, {} processes", shown.hosts.len(), shown.processes.len()))
}
