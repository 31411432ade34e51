//! `lonet down`: ends a network.

use super::{Network, query};
use clap::Args;
use lonet_core::client::Trouble;
use lonet_core::control::{MAX_MESSAGE, NetworkOp, Reply};
use lonet_core::sys;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long lonetd may take: it sends TERM, then KILL after 5 seconds, and waits for the processes to end.
const TIMEOUT_SECONDS: i64 = 15;

/// After this time the command reports how long it took.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// End a network.
///
/// An empty network ends at once instead of after a few seconds. One with running programs is left alone, and the
/// command names them and fails, unless --kill is given. A member with another user id than the network's owner can
/// end only the programs of its own user, and is told which are left.
#[derive(Args)]
pub struct Down {
    #[command(flatten)]
    network: Network,
    /// Also end its programs: TERM, then KILL after 5 seconds; only members of the network, their child processes
    /// included
    #[arg(long)]
    kill: bool,
}

impl Down {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.network.client()?;
        let op = NetworkOp::Down { kill: self.kill };
        let mut buffer = [0; MAX_MESSAGE];
        let (mut lonetd, began) = (0, Instant::now());
        let outcome = query::exchange(&client, &op, &mut buffer, |fd, buffer| {
            let peer = sys::getsockopt::<libc::ucred>(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED);
            lonetd = peer.map_or(0, |peer| peer.pid);
            // Longer than other requests may take, as programs have to end.
            if sys::readable_within(fd.raw(), TIMEOUT_SECONDS * 1000) == Ok(false) {
                let waited = began.elapsed().as_secs_f64();
                return Ok(Err(format!(
                    "the network has not ended after {waited:.1} s; `lonet ls` shows what is left of it"
                )));
            }
            client.receive(fd, buffer).map(|(_, reply)| match reply {
                Reply::Done => Ok(()),
                Reply::Error { errno: libc::EBUSY, text } => {
                    Err(format!("{text}; end them first, or use --kill"))
                }
                Reply::Error { text, .. } => Err(query::in_network(&client, text)),
                other => Err(format!("lonetd answered with {other:?}")),
            })
        });
        match outcome {
            Ok(outcome) => outcome.map(|()| {
                let waited = began.elapsed();
                if waited >= REPORT_AFTER {
                    error_line!("lonet: the network has ended after {:.1} s", waited.as_secs_f64());
                }
                ExitCode::SUCCESS
            }),
            Err(Trouble::NotRunning) => {
                error_line!("lonet: {}", query::not_running(&client));
                Ok(ExitCode::SUCCESS)
            }
            // A lonetd from before `down` got its version-independent encoding.
            Err(Trouble::Version { theirs }) => Err(format!(
                "lonetd (pid {lonetd}) speaks version {theirs} of the control protocol and does not understand: \
                 use its own release's `lonet down`, or end its programs and then pid {lonetd}"
            )),
            Err(e) => Err(query::trouble(&client, e)),
        }
    }
}
