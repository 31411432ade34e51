use super::{Network, query, say};
use clap::Args;
use lonet_core::client::{Client, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::sys;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Wait until something listens on each of these lonet addresses.
///
/// Returns as soon as that is so, or with exit code 1 and the missing ones named. Waits for the network itself,
/// too, if it is not running yet.
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

impl Wait {
    pub fn run(self) -> Result<ExitCode, String> {
        let addresses: Vec<String> = (self.addresses.iter())
            .map(|text| Ok(super::address(text)?.to_string()))
            .collect::<Result<_, String>>()?;
        let limit = match self.timeout {
            None => Duration::from_secs(86_400 * 365),
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("--timeout {seconds}: not a number of seconds"))?,
        };
        let client = self.network.client().map_err(say)?;
        let deadline = Instant::now() + limit;
        let lines = addresses.join("\n");
        loop {
            match ask(&client, &lines, deadline) {
                Ok(true) => return Ok(ExitCode::SUCCESS),
                Ok(false) => {}
                Err(text) => return Err(text),
            }
            if Instant::now() >= deadline {
                return Err(format!("nothing listens on {}", missing(&client, &addresses).join(", ")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Those on which nothing listens.
fn missing<'a>(client: &Client, addresses: &'a [String]) -> Vec<&'a str> {
    let listens = |address: &&String| {
        let mut buffer = [0; MAX_MESSAGE];
        let op = Op::Locate { address };
        matches!(query::ask(client, &op, &mut buffer), Ok(Reply::Located { .. }))
    };
    addresses.iter().filter(|a| !listens(a)).map(String::as_str).collect()
}

/// Whether all are there; `false` when the time is up, or no lonetd is there or it ended.
fn ask(client: &Client, addresses: &str, deadline: Instant) -> Result<bool, String> {
    let op = Op::Wait { addresses };
    let outcome = query::exchange(client, &op, &mut [0; MAX_MESSAGE], |fd, buffer| {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        if !sys::readable_within(fd.raw(), left).map_err(Trouble::Silent)? {
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
        Err(e) => Err(e.to_string()),
    }
}
