//! `lonet kill`, `lonet pause` and `lonet resume`: send signals to the processes of a host.

use super::{Network, completions, query, write_out};
use crate::daemon::process::asks_to_end;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::client::{Client, Trouble};
use lonet_core::config::bare_host;
use lonet_core::control::{MAX_MESSAGE, NetworkOp};
use nix::sys::signal::Signal;
use std::process::ExitCode;

/// Send a signal to all processes of a host: TERM to end them, KILL as if its machine had crashed.
///
/// This includes child processes that have never used the network. A process that is several hosts, by the C API,
/// counts for each. A paused process continues to take TERM, INT, HUP or QUIT; other signals wait until `lonet
/// resume`, except KILL.
#[derive(Args)]
pub struct Kill {
    #[command(flatten)]
    network: Network,
    /// The signal, by name or number: TERM, KILL, 9
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    signal: u8,
    /// The host, such as web
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    host: String,
}

/// Stop all processes of a host (SIGSTOP), as if its machine hung.
///
/// The kernel still takes connections and data for them, until its buffers are full, but nobody answers. `lonet
/// resume` lets them continue.
#[derive(Args)]
pub struct Pause {
    #[command(flatten)]
    network: Network,
    /// The host, such as web
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    host: String,
}

/// Let all processes of a host that `lonet pause` has stopped continue (SIGCONT).
#[derive(Args)]
pub struct Resume {
    #[command(flatten)]
    network: Network,
    /// The host, such as web
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    host: String,
}

impl Kill {
    pub fn run(self) -> Result<ExitCode, String> {
        let name = Signal::try_from(i32::from(self.signal))
            .map_or_else(|_| self.signal.to_string(), |s| s.to_string());
        let done = DoneText { action: &format!("sent {name} to"), paused: paused_text(self.signal) };
        send(&self.network, &self.host, self.signal, done)
    }
}

impl Pause {
    pub fn run(self) -> Result<ExitCode, String> {
        send(&self.network, &self.host, libc::SIGSTOP as u8, DoneText { action: "paused", paused: None })
    }
}

impl Resume {
    pub fn run(self) -> Result<ExitCode, String> {
        send(&self.network, &self.host, libc::SIGCONT as u8, DoneText { action: "resumed", paused: None })
    }
}

/// A signal as kill(1) takes it: TERM, SIGTERM or 15.
fn signal(text: &str) -> Result<u8, String> {
    if let Ok(number) = text.parse::<u8>() {
        let is_one = (1..=libc::SIGRTMAX()).contains(&i32::from(number));
        return if is_one { Ok(number) } else { Err(format!("signals are 1 to {}", libc::SIGRTMAX())) };
    }
    let name = text.to_ascii_uppercase();
    let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    full.parse().map(|signal: Signal| signal as u8).map_err(|_| "no such signal; `kill -l` lists them".into())
}

/// The words of the message about what was done.
struct DoneText<'a> {
    /// The verb, to which the number of processes is the object.
    action: &'a str,
    /// What paused processes do with the signal, if the message mentions them.
    paused: Option<&'static str>,
}

fn paused_text(signal: u8) -> Option<&'static str> {
    match i32::from(signal) {
        libc::SIGKILL | libc::SIGSTOP | libc::SIGCONT => None,
        signal if asks_to_end(signal) => Some("continued to take it"),
        _ => Some("will take it after `lonet resume`"),
    }
}

fn send(network: &Network, host: &str, signal: u8, done: DoneText<'_>) -> Result<ExitCode, String> {
    let client = network.client()?;
    let host = bare_host(host);
    query::ensure_up(&client, host)?;
    let text = request(&client, host, signal)?;
    let numbers: Vec<u32> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [sent, refused, stopped] = numbers[..] else { return Err(format!("lonetd answered with {text:?}")) };
    let processes = |n| if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
    let action = done.action;
    let paused = match done.paused {
        Some(continuation) if stopped > 0 => format!("; {} that were paused {continuation}", stopped),
        _ => String::new(),
    };
    match (sent, refused) {
        (0, 0) => Err(format!("no process of {host} is known; `lonet ls` shows who has its sockets")),
        (0, _) => Err(format!("{} of {host} may not be sent signals: another user's", processes(refused))),
        (_, 0) => write_out(|out| writeln!(out, "{action} {} of {host}{paused}", processes(sent))),
        _ => Err(format!(
            "{action} {} of {host}{paused}; {} may not be sent signals: another user's",
            processes(sent),
            processes(refused)
        )),
    }
}

fn request(client: &Client, host: &str, signal: u8) -> Result<String, String> {
    match query::exchange(
        client,
        &NetworkOp::Signal { host, signal },
        &mut [0; MAX_MESSAGE],
        query::receive_text,
    ) {
        Ok(text) => text,
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(query::trouble(client, e)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn signal_is_taken_by_name_or_number() {
        for text in ["KILL", "SIGKILL", "kill", "9"] {
            assert_eq!(super::signal(text), Ok(9), "{text}");
        }
        for text in ["0", "65", "-9", "256", "", "SIG", "WHAT"] {
            assert!(super::signal(text).is_err(), "{text}");
        }
    }
}
