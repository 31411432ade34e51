//! The command line of `lonet`: its commands, and what they have in common.

mod addr;
mod check;
mod completions;
mod doctor;
mod down;
mod env;
mod examples;
mod expect;
mod explain;
mod faults;
mod forward;
mod graph;
mod live;
mod logs;
mod ls;
mod network;
mod networks;
mod number;
mod pcap;
mod picture;
mod query;
mod ready;
pub mod run;
mod signal;
mod standard_output;
mod top;
mod trace;
mod trace_watch;
mod traced;
mod usage;
mod wait;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use lonet_core::address::Address;
use lonet_core::config::{Config, bare_host};
use network::{Network, client_of};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Simulates a TCP network of named hosts on this machine.
///
/// Programs run unmodified as hosts such as `web.lonet` and `db.lonet`, each with an address and ports of its own. No
/// root, no containers, no namespaces.
#[derive(Parser)]
#[command(name = "lonet", version, max_term_width = 100, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "\
Example:
  lonet run --host web --ready 80 -- python3 -m http.server 80
  lonet run --host client -- curl -s http://web.lonet/
  lonet ls
  lonet down --kill

`lonet help COMMAND` explains a command, with examples. Variables: LONET_NETWORK (default: u<uid>),
LONET_HOST, LONET_LOG and others (man 1 lonet); options take precedence over them.";

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Ls(ls::Ls),
    Logs(logs::Logs),
    Wait(wait::Wait),
    Addr(addr::Addr),
    Explain(explain::Explain),
    Expect(expect::Expect),
    Forward(forward::Forward),
    Networks(networks::Networks),
    Env(env::Env),
    Check(check::Check),
    Completions(completions::Completions),
    Kill(signal::Kill),
    Pause(signal::Pause),
    Resume(signal::Resume),
    Cut(faults::Cut),
    Refuse(faults::Refuse),
    Rate(faults::Rate),
    Delay(faults::Delay),
    Loss(faults::Loss),
    Names(faults::Names),
    Reset(faults::Reset),
    Heal(faults::Heal),
    Faults(faults::Faults),
    Trace(trace::Trace),
    Pcap(pcap::Pcap),
    Top(top::Top),
    Down(down::Down),
    Doctor(doctor::Doctor),
    Daemon(Daemon),
    #[command(hide = true)]
    Supervise(crate::supervise::Supervise),
}

/// Run lonetd, the daemon of a network, which the first program normally starts.
///
/// lonetd keeps the names, addresses and ports of one network, and ends a few seconds after its last process and
/// socket have gone. Run it by hand with --foreground to watch its log. The command returns when the network has
/// ended.
#[derive(Args)]
struct Daemon {
    #[command(flatten)]
    network: Network,
    /// Log to stderr instead of the file log in the network's directory, and end with Ctrl-C
    #[arg(long)]
    foreground: bool,
    #[arg(long, hide = true, requires = "on_demand")]
    dir: Option<PathBuf>,
    #[arg(long, hide = true, requires = "dir", allow_hyphen_values = true)]
    tmp: Option<PathBuf>,
    #[arg(long, hide = true)]
    on_demand: bool,
}

impl Daemon {
    fn run(self) -> Result<ExitCode, String> {
        let config = match self.dir {
            Some(dir) => {
                let config = self.network.read_config().map_err(text_of)?;
                Config { dir, tmp: self.tmp.unwrap_or(config.tmp), private_dir: None, ..config }
            }
            None => self.network.config().map_err(text_of)?,
        };
        let client = client_of(config.clone());
        let lock = if self.on_demand {
            None
        } else {
            let lock = client.lock_start().map_err(|e| text_of(e.of(&client)))?;
            Some(lock.ok_or_else(|| format!("network {:?} has a lonetd already", config.network))?)
        };
        let start = crate::daemon::Start { config, on_demand: self.on_demand, foreground: self.foreground };
        Ok(crate::daemon::run(start, lock))
    }
}

/// Parses `host:port` or `:port`. Who copies the address from a browser gives a URL.
fn host_and_port(text: &str) -> Result<Address, String> {
    if text.contains("://") {
        return Err(format!("address {text:?}: it is a URL, expected host:port, such as web:80"));
    }
    Address::parse(text).map_err(text_of)
}

/// Parses a lonet address that names a host. The suffix `.lonet` is optional, as in `--host`.
fn address(text: &str) -> Result<Address, String> {
    let address = host_and_port(text)?;
    let host = bare_host(&address.host);
    let why = if host.is_empty() {
        "no host"
    } else if host.eq_ignore_ascii_case("localhost") {
        "each host has a localhost of its own"
    } else if host.parse::<IpAddr>().is_ok() {
        "an IP address is not the name of a host"
    } else if address.port == 0 {
        return Err(format!("address {text:?}: nothing can listen on port 0; name a port from 1 to 65535"));
    } else {
        return Ok(Address { host: host.to_owned(), ..address });
    };
    Err(format!("address {text:?}: {why}; name the host, as in web:{}", address.port))
}

/// An error's text, as commands report it.
fn text_of(e: impl Display) -> String {
    e.to_string()
}

/// Writes to the standard output.
fn write_out(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<ExitCode, String> {
    let mut out = BufWriter::new(standard_output::open());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => Err(unwritable(&e)),
    }
}

fn unwritable(e: &io::Error) -> String {
    format!("cannot write to the standard output: {e}")
}

/// What `--json` prints, as one line. lonet-json(5) has the schemas.
#[derive(Serialize)]
struct Document<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

/// The version of all documents. It changes if a field is removed or changes its meaning, but not for a new field.
const DOCUMENT_VERSION: u32 = 1;

/// Writes a document to the standard output.
fn write_json(content: impl Serialize) -> Result<ExitCode, String> {
    let document = Document { version: DOCUMENT_VERSION, content };
    write_out(|mut out| {
        serde_json::to_writer(&mut out, &document).map_err(io::Error::from).and_then(|()| writeln!(out))
    })
}

/// Lets SIGPIPE end this command when its reader has gone, as usual for commands; Rust's runtime ignores the signal.
fn restore_sigpipe() {
    // SAFETY: no handler of ours; before there is another thread.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

pub fn main() -> ExitCode {
    completions::complete_if_requested();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let matches = examples::add(Cli::command()).try_get_matches_from(&arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) => return usage::exit(&e, &arguments),
    };
    if !matches!(
        cli.command,
        Command::Run(_) | Command::Daemon(_) | Command::Forward(_) | Command::Supervise(_)
    ) {
        restore_sigpipe();
    }
    let result = match cli.command {
        Command::Run(c) => return c.run(),
        Command::Ls(c) => c.run(),
        Command::Logs(c) => c.run(),
        Command::Wait(c) => c.run(),
        Command::Addr(c) => c.run(),
        Command::Explain(c) => c.run(),
        Command::Forward(c) => c.run(),
        Command::Networks(c) => c.run(),
        Command::Env(c) => c.run(),
        Command::Check(c) => return c.run(),
        Command::Expect(c) => return c.run(),
        Command::Completions(c) => c.run(),
        Command::Kill(c) => c.run(),
        Command::Pause(c) => c.run(),
        Command::Resume(c) => c.run(),
        Command::Cut(c) => c.run(),
        Command::Refuse(c) => c.run(),
        Command::Rate(c) => c.run(),
        Command::Delay(c) => c.run(),
        Command::Loss(c) => c.run(),
        Command::Names(c) => c.run(),
        Command::Reset(c) => c.run(),
        Command::Heal(c) => c.run(),
        Command::Faults(c) => c.run(),
        Command::Trace(c) => c.run(),
        Command::Pcap(c) => c.run(),
        Command::Top(c) => return c.run(),
        Command::Down(c) => c.run(),
        Command::Doctor(c) => c.run(),
        Command::Daemon(c) => c.run(),
        Command::Supervise(c) => return c.run(),
    };
    result.unwrap_or_else(|text| {
        error_line!("lonet: {text}");
        ExitCode::FAILURE
    })
}
