use super::{Network, client_of, query, say, write_out};
use clap::Args;
use lonet_core::config::Config;
use lonet_core::directory::{Place, Unfit};
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::ffi::CString;
use std::path::Path;
use std::process::ExitCode;

/// Show the networks of this user that are running, with their hosts and processes.
#[derive(Args)]
pub struct Networks {}

impl Networks {
    pub fn run(self) -> Result<ExitCode, String> {
        let config = Network { network: None }.read().map_err(say)?;
        let dirs = [Some(&config.dir), config.private_dir.as_ref()];
        let mut found = Vec::new();
        for dir in dirs.into_iter().flatten() {
            let root = dir.parent().unwrap_or(dir);
            match networks_in(dir) {
                Ok(names) => found.extend(names.into_iter().map(|name| (name.clone(), root.join(name)))),
                // Nothing is there, mostly.
                Err(Unfit::Errno(Errno::ENOENT)) => {}
                Err(why) => eprintln!("lonet: {} {why}: it is not looked into", root.display()),
            }
        }
        found.sort();
        write_out(|out| {
            for (name, dir) in found {
                let client =
                    client_of(Config { network: name.clone(), dir, private_dir: None, ..config.clone() });
                // One that is broken does not hide the others.
                match query::network(&client).and_then(|n| n.as_ref().map(counts).transpose()) {
                    Ok(Some(counts)) => writeln!(out, "{name}  {counts}")?,
                    Ok(None) => {}
                    Err(e) => eprintln!("lonet: network {name:?}: {e}"),
                }
            }
            Ok(())
        })
    }
}

fn counts(listing: &query::Listing) -> Result<String, String> {
    let shown = listing.shown()?;
    Ok(format!("{} hosts, {} processes", shown.hosts.len(), shown.processes.len()))
}

/// The networks of this user that are where the network `dir` would be.
fn networks_in(dir: &Path) -> Result<Vec<String>, Unfit> {
    let uid = geteuid().as_raw();
    let root = Place::new(dir).root(uid)?;
    let is_network = |name: &String| CString::new(name.as_bytes()).is_ok_and(|name| root.open(&name).is_ok());
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", root.raw()));
    let names = entries.into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
    Ok(names.filter(is_network).collect())
}
