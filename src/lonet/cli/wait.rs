//! `lonet wait`: waits until something listens on lonet addresses.

use super::{Network, completions, logs, query, write_json};
use crate::{duration, memory_file};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::address::Address;
use lonet_core::client::{Client, StartIf, Trouble};
use lonet_core::control::{MAX_MESSAGE, NetworkOp, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Wait until something listens on each of these lonet addresses.
///
/// Waits for the network, too, if it is not running yet. Fails, and names the missing addresses, when the time is up
/// or when a host that it waits for has died: it had a process since the wait began, and has had none for a second. A
/// listener on its host's 127.0.0.1 or ::1 alone counts only on that host, as in `lonet run -H web -- lonet wait
/// web:8080`, or with --loopback.
#[derive(Args)]
pub struct Wait {
    #[command(flatten)]
    network: Network,
    /// Give up after this time: 10s, 500ms, or a number of seconds [default: wait for ever]
    #[arg(long, value_name = "TIME", value_parser = duration::limit, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// Also count listeners on their host's 127.0.0.1 or ::1 alone
    #[arg(long)]
    loopback: bool,
    /// Go on waiting when a host has died, for another program to take its place
    #[arg(long)]
    keep_waiting: bool,
    /// Print at the end one line of JSON: whether all listen, and which are missing
    #[arg(long)]
    json: bool,
    /// Lonet addresses, such as web:8080
    #[arg(value_name = "ADDR", required = true, add = ArgValueCompleter::new(completions::addresses))]
    addresses: Vec<String>,
}

/// How often a network that is not running is looked for.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// How long the last request, for the missing addresses, may take when the time is up.
const FINAL_QUERY_LIMIT: Duration = Duration::from_secs(1);

/// How long to wait before a message on the terminal says what is waited for.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);

impl Wait {
    pub fn run(self) -> Result<ExitCode, String> {
        let wanted: Vec<Address> =
            self.addresses.iter().map(|text| super::address(text)).collect::<Result<_, String>>()?;
        let limit = self.timeout.map_or(Limit::NONE, Limit::within);
        let client = self.network.client()?;
        let (fail_on_death, loopback) = (!self.keep_waiting, self.loopback);
        let remedy = " (--keep-waiting waits on)";
        let waiting = Waiting { fail_on_death, loopback, remedy, ..Waiting::new(Arc::new(client), wanted)? };
        let (missing, text) = match waiting.run(limit) {
            Ok(()) => (Vec::new(), None),
            Err(WaitError { missing: Some(missing), text }) => (missing, Some(text)),
            Err(WaitError { missing: None, text }) => return Err(text),
        };
        if self.json {
            let missing = missing.iter().map(Address::to_string).collect();
            write_json(Outcome { listening: text.is_none(), missing, text: text.clone() })?;
        }
        text.map_or(Ok(ExitCode::SUCCESS), Err)
    }
}

#[derive(Serialize)]
struct Outcome {
    listening: bool,
    missing: Vec<String>,
    /// Why they are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Why a wait has failed.
pub struct WaitError {
    pub text: String,
    /// The addresses on which nothing listens. `None`: not known.
    missing: Option<Vec<Address>>,
}

impl From<String> for WaitError {
    fn from(text: String) -> WaitError {
        WaitError { text, missing: None }
    }
}

/// A wait for listeners.
pub struct Waiting {
    pub wanted: Vec<Address>,
    client: Arc<Client>,
    /// The addresses, a line each.
    file: File,
    /// Give up when a host has died.
    fail_on_death: bool,
    /// Listeners on their host's loopback alone count, too.
    loopback: bool,
    /// What the message about a dead host suggests.
    remedy: &'static str,
    /// When a lonetd was asked first, in nanoseconds on CLOCK_MONOTONIC. 0: none was.
    since: Cell<u64>,
    /// Gets a message when lonetd has the request: it reports the death of processes that start from then on.
    pub on_asked: Option<Sender<()>>,
}

/// lonetd's reply.
enum WaitReply {
    AllListen,
    /// The time is up, or there is no lonetd.
    NotYet,
    HostDied(String),
}

impl Waiting {
    /// Prepares to wait for these addresses, on whatever address of their hosts, or until a host has died.
    pub fn new(client: Arc<Client>, wanted: Vec<Address>) -> Result<Waiting, String> {
        let addresses: Vec<String> = wanted.iter().map(Address::to_string).collect();
        let file = memory_file::of(addresses.join("\n").as_bytes())
            .map_err(|e| format!("cannot make a memory file for the addresses: {e}"))?;
        Ok(Waiting {
            wanted,
            client,
            file,
            fail_on_death: true,
            loopback: true,
            remedy: "",
            since: Cell::new(0),
            on_asked: None,
        })
    }

    /// As [`Waiting::wait`], with a progress message on a terminal. Fails if the time is up, too.
    pub fn run(&self, limit: Limit) -> Result<(), WaitError> {
        if stderr().is_terminal() {
            if self.wait(limit.at_most(PROGRESS_AFTER))? {
                return Ok(());
            }
            if !limit.is_over() {
                let missing = self.missing()?;
                if missing.is_empty() {
                    return Ok(());
                }
                error_line!("lonet: waiting: {}", query::why_nothing_listens(&self.client, &missing));
            }
        }
        if self.wait(limit)? {
            return Ok(());
        }
        let missing = self.missing()?;
        if missing.is_empty() {
            return Ok(());
        }
        let text = query::why_nothing_listens(&self.client, &missing);
        Err(WaitError { text, missing: Some(missing) })
    }

    /// Waits until all are there. `false`: the time is up. Fails if a host has died, or lonetd does.
    pub fn wait(&self, limit: Limit) -> Result<bool, WaitError> {
        while !limit.is_over() {
            match self.all_listen(limit)? {
                WaitReply::AllListen => return Ok(true),
                WaitReply::HostDied(host) => return Err(self.host_died(&host)),
                WaitReply::NotYet => {
                    std::thread::sleep(Duration::from_millis(limit.of(RETRY_INTERVAL) as u64));
                }
            }
        }
        Ok(false)
    }

    fn host_died(&self, host: &str) -> WaitError {
        let missing: Vec<Address> =
            self.wanted.iter().filter(|address| address.host == host).cloned().collect();
        let why = query::why_nothing_listens(&self.client, &missing);
        let output = logs::recent_output(&self.client, host);
        let text = format!("{host} has ended{}: {why}{output}", self.remedy);
        WaitError { text, missing: Some(missing) }
    }

    fn all_listen(&self, limit: Limit) -> Result<WaitReply, String> {
        let outcome = self.exchange(false, limit, |fd, buffer| {
            if !sys::ready_within(fd.raw(), libc::POLLIN, limit.left()).map_err(Trouble::Silent)? {
                return Ok(Ok(WaitReply::NotYet));
            }
            self.client.receive(fd, buffer).map(|(_, reply)| match reply {
                Reply::Done => Ok(WaitReply::AllListen),
                Reply::Error { errno: libc::EHOSTDOWN, text } => Ok(WaitReply::HostDied(text.to_owned())),
                Reply::Error { text, .. } => Err(query::in_network(&self.client, text)),
                other => Err(format!("lonetd answered with {other:?}")),
            })
        });
        match outcome {
            Ok(outcome) => outcome,
            Err(Trouble::NotRunning) => Ok(WaitReply::NotYet),
            Err(Trouble::Silent(_)) if limit.is_over() => Ok(WaitReply::NotYet),
            Err(e) => Err(query::trouble(&self.client, e)),
        }
    }

    /// The addresses on which nothing listens at the moment.
    pub fn missing(&self) -> Result<Vec<Address>, String> {
        let limit = Limit::within(FINAL_QUERY_LIMIT);
        let receive = |fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]| query::receive_text_within(limit, fd, buffer);
        let missing = match self.exchange(true, limit, receive) {
            Ok(text) => text?,
            Err(Trouble::NotRunning) => return Ok(self.wanted.clone()),
            Err(Trouble::Silent(e)) => {
                let all: Vec<String> = self.wanted.iter().map(Address::to_string).collect();
                let all = all.join(", ");
                return Err(format!("lonetd does not answer ({e}): it is not known what listens on {all}"));
            }
            Err(e) => return Err(query::trouble(&self.client, e)),
        };
        let missing: BTreeSet<&str> = missing.lines().collect();
        let is_missing = |address: &&Address| missing.contains(&*address.to_string());
        Ok(self.wanted.iter().filter(is_missing).cloned().collect())
    }

    /// Sends the addresses and has `receive` take the reply. Both are repeated if lonetd is killed meanwhile.
    fn exchange<T>(
        &self,
        now: bool,
        limit: Limit,
        mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.client.retry(StartIf::Killed, limit, &mut [0; MAX_MESSAGE], |limit, buffer| {
            let (since, sent) = (self.since.get(), sys::clock(libc::CLOCK_MONOTONIC).as_nanos() as u64);
            let op = NetworkOp::Wait { now, fails: self.fail_on_death, loopback: self.loopback, since };
            let fd = self.client.send_with(&op, self.file.as_raw_fd(), limit, buffer)?;
            if !now && since == 0 {
                self.since.set(sent);
            }
            if let Some(on_asked) = &self.on_asked {
                let _ = on_asked.send(());
            }
            receive(&fd, buffer)
        })
    }
}
