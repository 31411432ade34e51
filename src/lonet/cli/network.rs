//! The network that a command is about, and the networks of this user.

use super::{completions, text_of};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::client::Client;
use lonet_core::config::{Config, ConfigError};
use lonet_core::directory::{Place, Unfit};
use nix::errno::Errno;
use nix::unistd::geteuid;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// The option --network.
#[derive(Args, Clone)]
pub struct Network {
    /// Name of the network, one plain word of at most 64 bytes [default: $LONET_NETWORK, else u<uid>]
    #[arg(short, long, value_name = "NET", add = ArgValueCompleter::new(completions::networks))]
    network: Option<String>,
}

/// The prefix of full names, which lonet_network() of the C API returns.
const API_PREFIX: &str = "lonet";

impl Network {
    pub fn new(network: Option<String>) -> Network {
        Network { network }
    }

    /// The configuration from option and variables.
    pub fn read_config(&self) -> Result<Config, ConfigError> {
        read_config(self.network.as_deref())
    }

    /// As [`Network::read_config`], with the directory to use; warns if that is not the usual one. Also accepts a full name of the
    /// C API.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let (config, warning) = self.chosen()?;
        if let Some(text) = warning {
            error_line!("lonet: {text}");
        }
        Ok(config)
    }

    /// As [`Network::config`], with the warning.
    pub fn chosen(&self) -> Result<(Config, Option<String>), ConfigError> {
        let mut config = self.read_config()?;
        if let Some(other) = config.network.strip_prefix(API_PREFIX).filter(|name| !name.is_empty())
            && !has_directory(&config)
        {
            config = read_config(Some(other)).ok().filter(has_directory).unwrap_or(config);
        }
        let warning = config.choose_directory(geteuid().as_raw());
        Ok((config, warning))
    }

    pub fn client(&self) -> Result<Client, String> {
        Ok(client_of(self.config().map_err(text_of)?))
    }
}

fn read_config(network: Option<&str>) -> Result<Config, ConfigError> {
    Config::read(&|name| std::env::var_os(name), geteuid().as_raw(), network)
}

/// Whether the network's directory exists. It may be left from a network that has ended.
fn has_directory(config: &Config) -> bool {
    let owner = config.membership.map_or(geteuid().as_raw(), |m| m.owner);
    let mut places = [Some(&config.dir), config.private_dir.as_ref()].into_iter().flatten();
    places.any(|dir| Place::new(dir).open(owner).is_ok())
}

pub fn client_of(config: Config) -> Client {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from));
    Client::new(config, beside.as_deref(), geteuid().as_raw())
}

/// The networks of this user that have a directory, by name. Calls `report` for each place that cannot be searched.
pub fn list(mut report: impl FnMut(String)) -> Result<Vec<(String, Client)>, String> {
    let config = read_config(None).map_err(text_of)?;
    let mut found = Vec::new();
    for dir in [Some(&config.dir), config.private_dir.as_ref()].into_iter().flatten() {
        let root = dir.parent().unwrap_or(dir);
        match networks_in(dir) {
            Ok(names) => found.extend(names.into_iter().map(|name| (name.clone(), root.join(name)))),
            // The usual case for the second place.
            Err(Unfit::Errno(Errno::ENOENT)) => {}
            Err(why) => report(format!("{} {why}: networks in it are not listed", root.display())),
        }
    }
    found.sort();
    let client = |(name, dir): (String, PathBuf)| {
        let config = Config { network: name.clone(), dir, private_dir: None, ..config.clone() };
        (name, client_of(config))
    };
    Ok(found.into_iter().map(client).collect())
}

/// The networks of this user beside the network directory `dir`.
fn networks_in(dir: &Path) -> Result<Vec<String>, Unfit> {
    let uid = geteuid().as_raw();
    let root = Place::new(dir).root(uid)?;
    let is_network = |name: &String| CString::new(name.as_bytes()).is_ok_and(|name| root.open(&name).is_ok());
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", root.raw()));
    let names = entries.into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
    Ok(names.filter(is_network).collect())
}
