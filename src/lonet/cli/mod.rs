//! The command line.

mod addr;
mod check;
mod down;
mod env;
mod ls;
mod networks;
mod query;
mod run;
mod wait;

use clap::{Args, Parser, Subcommand};
use lonet_core::address::Address;
use lonet_core::client::Client;
use lonet_core::config::{Config, ConfigError, bare_host};
use nix::unistd::geteuid;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Simulates a TCP network of named hosts on this machine.
///
/// Programs run unmodified as hosts `α.lonet`, `β.lonet`, …, each with an address and ports of its own. No root,
/// no containers, no namespaces.
#[derive(Parser)]
#[command(name = "lonet", version, max_term_width = 100, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "\
Example:
  lonet run --host α -- redis-server --protected-mode no &
  lonet wait α:6379
  lonet run --host β -- redis-cli -h α.lonet ping

Environment: LONET_NETWORK (default: u<uid>), LONET_DIR, LONET_HOST, LONET_LOOPBACK, LONET_OS_PORTS,
LONET_NAMES, LONET_AUTOBIND, LONET_LOG, LONET_BIN; flags beat variables.";

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Ls(ls::Ls),
    Wait(wait::Wait),
    Addr(addr::Addr),
    Networks(networks::Networks),
    Env(env::Env),
    Check(check::Check),
    Down(down::Down),
    Daemon(Daemon),
}

/// Which network a command is about.
#[derive(Args, Clone)]
struct Network {
    /// The network: one plain word of at most 64 bytes [default: $LONET_NETWORK, else u<uid>]
    #[arg(short, long, value_name = "NET")]
    network: Option<String>,
}

impl Network {
    /// What flags and variables say.
    fn read(&self) -> Result<Config, ConfigError> {
        Config::read(&|name| std::env::var_os(name), geteuid().as_raw(), self.network.as_deref())
    }

    /// The same, with the directory that is to be used. That it is not the one where others look is said.
    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = self.read()?;
        if let Some(text) = config.choose_directory(geteuid().as_raw()) {
            eprintln!("lonet: {text}");
        }
        Ok(config)
    }

    fn client(&self) -> Result<Client, ConfigError> {
        Ok(client_of(self.config()?))
    }
}

fn client_of(config: Config) -> Client {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from));
    Client::new(config, beside.as_deref(), geteuid().as_raw())
}

/// Serve a network: what the first program of it starts by itself.
///
/// lonetd keeps the names, addresses and ports of one network and ends by itself a few seconds after the last
/// process and socket of it. Starting it by hand is good for watching its log.
#[derive(Args)]
struct Daemon {
    #[command(flatten)]
    network: Network,
    /// Stay in the foreground and log to stderr instead of <net>/log
    #[arg(long)]
    foreground: bool,
    #[arg(long, hide = true, requires = "on_demand")]
    dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    on_demand: bool,
}

impl Daemon {
    fn run(self) -> Result<ExitCode, String> {
        let config = match self.dir {
            Some(dir) => Config { dir, private_dir: None, ..self.network.read().map_err(say)? },
            None => self.network.config().map_err(say)?,
        };
        let client = client_of(config.clone());
        let lock = if self.on_demand {
            None
        } else {
            let lock = client.lock_start().map_err(say)?;
            Some(lock.ok_or_else(|| format!("network {:?} is served already", config.network))?)
        };
        let start = crate::daemon::Start { config, on_demand: self.on_demand, foreground: self.foreground };
        Ok(crate::daemon::run(start, lock))
    }
}

/// A lonet address as people write it: `α.lonet:80` is `α:80`, as in `--host`.
fn address(text: &str) -> Result<Address, String> {
    let address = Address::parse(text).map_err(say)?;
    Ok(Address { host: bare_host(&address.host).to_owned(), ..address })
}

fn say(e: impl Display) -> String {
    e.to_string()
}

/// Writes to the standard output.
fn write_out(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<ExitCode, String> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => Err(format!("cannot write to the standard output: {e}")),
    }
}

/// Whoever reads what a command says and has seen enough ends it, as other commands are ended.
fn end_with_the_reader() {
    // SAFETY: no handler of ours; before there is another thread.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Run(_) | Command::Daemon(_)) {
        end_with_the_reader();
    }
    let result = match cli.command {
        Command::Run(c) => return c.run(),
        Command::Ls(c) => c.run(),
        Command::Wait(c) => c.run(),
        Command::Addr(c) => c.run(),
        Command::Networks(c) => c.run(),
        Command::Env(c) => c.run(),
        Command::Check(c) => return c.run(),
        Command::Down(c) => c.run(),
        Command::Daemon(c) => c.run(),
    };
    result.unwrap_or_else(|text| {
        eprintln!("lonet: {text}");
        ExitCode::FAILURE
    })
}
