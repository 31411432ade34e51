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

/// How often a network that does not run is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long lonetd may take, when the time is up, to say what is missing.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What takes no longer than this is not worth a line on the terminal.
const SILENT_FOR: Duration = Duration::from_millis(500);

impl Wait {
    pub fn run(self) -> Result<ExitCode, String> {
        let wanted: Vec<Address> =
            self.addresses.iter().map(|text| super::address(text)).collect::<Result<_, String>>()?;
        let limit = self.timeout.map_or(Limit::NONE, Limit::within);
        let client = self.network.client()?;
        let (fails, loopback) = (!self.keep_waiting, self.loopback);
        let remedy = " (--keep-waiting waits on)";
        let waiting = Waiting { fails, loopback, remedy, ..Waiting::new(Arc::new(client), wanted)? };
        let (missing, text) = match waiting.run(limit) {
            Ok(()) => (Vec::new(), None),
            Err(Failed { missing: Some(missing), text }) => (missing, Some(text)),
            Err(Failed { missing: None, text }) => return Err(text),
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

/// Why it was not worth to go on waiting.
pub struct Failed {
    pub text: String,
    /// The addresses on which nothing listens. `None`: that is not known.
    missing: Option<Vec<Address>>,
}

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed { text, missing: None }
    }
}

pub struct Waiting {
    pub wanted: Vec<Address>,
    client: Arc<Client>,
    /// The addresses, a line each.
    file: File,
    /// Not for a host that has died.
    fails: bool,
    /// A listener on its host's loopback alone will do.
    loopback: bool,
    /// What to do where a host may die: it stands behind that it has.
    remedy: &'static str,
    /// When a lonetd was asked first, in nanoseconds on CLOCK_MONOTONIC. 0: none was.
    since: Cell<u64>,
    /// Is told when lonetd has been asked: of whose processes come from then on it tells that they have ended.
    pub asked: Option<Sender<()>>,
}

/// What lonetd has said of it.
enum News {
    AllListen,
    /// The time is up, or no lonetd is there or it ended.
    Nothing,
    HasDied(String),
}

impl Waiting {
    /// Until all are there, on whatever address of their hosts, or a host has died.
    pub fn new(client: Arc<Client>, wanted: Vec<Address>) -> Result<Waiting, String> {
        let addresses: Vec<String> = wanted.iter().map(Address::to_string).collect();
        let file = memory_file::of(addresses.join("\n").as_bytes())
            .map_err(|e| format!("cannot make a memory file for the addresses: {e}"))?;
        Ok(Waiting {
            wanted,
            client,
            file,
            fails: true,
            loopback: true,
            remedy: "",
            since: Cell::new(0),
            asked: None,
        })
    }

    /// As [`Waiting::wait`], and says on a terminal what it waits for. An error: the time is up, or a host has died.
    pub fn run(&self, limit: Limit) -> Result<(), Failed> {
        if stderr().is_terminal() {
            if self.wait(limit.at_most(SILENT_FOR))? {
                return Ok(());
            }
            if !limit.is_over() {
                let missing = self.missing()?;
                if missing.is_empty() {
                    return Ok(());
                }
                eprintln!("lonet: waiting: {}", query::why_nothing_listens(&self.client, &missing));
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
        Err(Failed { text, missing: Some(missing) })
    }

    /// Waits until all are there. `false`: the time is up. An error: a host has died, or it cannot be told.
    pub fn wait(&self, limit: Limit) -> Result<bool, Failed> {
        while !limit.is_over() {
            match self.all_listen(limit)? {
                News::AllListen => return Ok(true),
                News::HasDied(host) => return Err(self.death_of(&host)),
                News::Nothing => {
                    std::thread::sleep(Duration::from_millis(limit.of(LOOK_EVERY) as u64));
                }
            }
        }
        Ok(false)
    }

    fn death_of(&self, host: &str) -> Failed {
        let missing: Vec<Address> =
            self.wanted.iter().filter(|address| address.host == host).cloned().collect();
        let why = query::why_nothing_listens(&self.client, &missing);
        let last_words = logs::last_words(&self.client, host);
        let text = format!("{host} has ended{}: {why}{last_words}", self.remedy);
        Failed { text, missing: Some(missing) }
    }

    fn all_listen(&self, limit: Limit) -> Result<News, String> {
        let outcome = self.exchange(false, limit, |fd, buffer| {
            if !sys::ready_within(fd.raw(), libc::POLLIN, limit.left()).map_err(Trouble::Silent)? {
                return Ok(Ok(News::Nothing));
            }
            self.client.receive(fd, buffer).map(|(_, reply)| match reply {
                Reply::Done => Ok(News::AllListen),
                Reply::Error { errno: libc::EHOSTDOWN, text } => Ok(News::HasDied(text.to_owned())),
                Reply::Error { text, .. } => Err(text.into()),
                other => Err(format!("lonetd answered with {other:?}")),
            })
        });
        match outcome {
            Ok(outcome) => outcome,
            Err(Trouble::NotRunning) => Ok(News::Nothing),
            Err(Trouble::Silent(_)) if limit.is_over() => Ok(News::Nothing),
            Err(e) => Err(e.of(&self.client).to_string()),
        }
    }

    /// On which of them nothing listens at the moment.
    pub fn missing(&self) -> Result<Vec<Address>, String> {
        let limit = Limit::within(LAST_ANSWER);
        let receive = |fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]| query::text_within(limit, fd, buffer);
        let missing = match self.exchange(true, limit, receive) {
            Ok(text) => text?,
            Err(Trouble::NotRunning) => return Ok(self.wanted.clone()),
            Err(Trouble::Silent(e)) => {
                let all: Vec<String> = self.wanted.iter().map(Address::to_string).collect();
                let all = all.join(", ");
                return Err(format!("lonetd does not answer ({e}): it is not known what listens on {all}"));
            }
            Err(e) => return Err(e.of(&self.client).to_string()),
        };
        let missing: BTreeSet<&str> = missing.lines().collect();
        let is_missing = |address: &&Address| missing.contains(&*address.to_string());
        Ok(self.wanted.iter().filter(is_missing).cloned().collect())
    }

    /// Hands the addresses over, to as many lonetds as it needs, and has `receive` take the answer.
    fn exchange<T>(
        &self,
        now: bool,
        limit: Limit,
        mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.client.insist(StartIf::Killed, limit, &mut [0; MAX_MESSAGE], |buffer| {
            let (since, sent) = (self.since.get(), sys::clock(libc::CLOCK_MONOTONIC).as_nanos() as u64);
            let op = NetworkOp::Wait { now, fails: self.fails, loopback: self.loopback, since };
            let fd = self.client.send_with(&op, self.file.as_raw_fd(), limit, buffer)?;
            if !now && since == 0 {
                self.since.set(sent);
            }
            if let Some(asked) = &self.asked {
                let _ = asked.send(());
            }
            receive(&fd, buffer)
        })
    }
}
