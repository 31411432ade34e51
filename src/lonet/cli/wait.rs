use super::{Network, query, say};
use crate::memory_file;
use clap::Args;
use lonet_core::address::Address;
use lonet_core::client::{Client, StartIf, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

/// Wait until something listens on each of these lonet addresses.
///
/// Returns as soon as that is so, or with exit code 1 and the missing ones named. Waits for the network itself,
/// too, if it is not running yet. A listener on its host's 127.0.0.1 or ::1 alone counts for that host's programs only:
/// `lonet run -H α -- lonet wait α:8080`.
#[derive(Args)]
pub struct Wait {
    #[command(flatten)]
    network: Network,
    /// Give up after so many seconds [default: wait for ever]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Lonet addresses, such as α:8080
    #[arg(value_name = "ADDR", required = true)]
    addresses: Vec<String>,
}

/// How often a network that does not run is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long lonetd may take, when the time is up, to say what is missing.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// The longest time limit that is kept; longer ones are none.
const LONGEST: Duration = Duration::from_secs(86_400 * 365);

impl Wait {
    pub fn run(self) -> Result<ExitCode, String> {
        let wanted: Vec<Address> =
            self.addresses.iter().map(|text| super::address(text)).collect::<Result<_, String>>()?;
        let addresses: Vec<String> = wanted.iter().map(Address::to_string).collect();
        let limit = match self.timeout.map(Duration::try_from_secs_f64) {
            None => Limit::NONE,
            Some(Ok(time)) if time > LONGEST => Limit::NONE,
            Some(Ok(time)) => Limit::within(time),
            Some(Err(e)) => return Err(format!("--timeout {}: {e}", self.timeout.unwrap_or_default())),
        };
        let client = self.network.client().map_err(say)?;
        let file = memory_file::of(addresses.join("\n").as_bytes())
            .map_err(|e| format!("cannot make a memory file for the addresses: {e}"))?;
        while !limit.is_over() {
            if all_listen(&client, &file, limit)? {
                return Ok(ExitCode::SUCCESS);
            }
            std::thread::sleep(Duration::from_millis(limit.of(LOOK_EVERY) as u64));
        }
        let limit = Limit::within(LAST_ANSWER);
        let receive = |fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]| query::text_within(limit, fd, buffer);
        let missing = match exchange(&client, &file, true, limit, receive) {
            Ok(text) => text?,
            Err(Trouble::NotRunning) => addresses.join("\n"),
            Err(Trouble::Silent(e)) => {
                let all = addresses.join(", ");
                return Err(format!("lonetd does not answer ({e}): it is not known what listens on {all}"));
            }
            Err(e) => return Err(e.to_string()),
        };
        let missing: BTreeSet<&str> = missing.lines().collect();
        if missing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let of_those = |address: &&Address| missing.contains(&*address.to_string());
        let missing: Vec<Address> = wanted.iter().filter(of_those).cloned().collect();
        Err(query::why_nothing_listens(&client, &missing))
    }
}

/// Whether all are there. `false`: the time is up, or no lonetd is there or it ended.
fn all_listen(client: &Client, file: &File, limit: Limit) -> Result<bool, String> {
    let outcome = exchange(client, file, false, limit, |fd, buffer| {
        if !sys::ready_within(fd.raw(), libc::POLLIN, limit.left()).map_err(Trouble::Silent)? {
            return Ok(Ok(false));
        }
        client.receive(fd, buffer).map(|(_, reply)| match reply {
            Reply::Done => Ok(true),
            Reply::Error { text, .. } => Err(text.into()),
            other => Err(format!("lonetd answered with {other:?}")),
        })
    });
    match outcome {
        Ok(outcome) => outcome,
        Err(Trouble::NotRunning) => Ok(false),
        Err(Trouble::Silent(_)) if limit.is_over() => Ok(false),
        Err(e) => Err(e.to_string()),
    }
}

/// Hands the addresses over, to as many lonetds as it needs, and has `receive` take the answer.
fn exchange<T>(
    client: &Client,
    file: &File,
    now: bool,
    limit: Limit,
    mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    client.insist(StartIf::Killed, limit, &mut [0; MAX_MESSAGE], |buffer| {
        let fd = client.send_with(&Op::Wait { now }, file.as_raw_fd(), limit, buffer)?;
        receive(&fd, buffer)
    })
}
