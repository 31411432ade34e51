//! `lonet explain`: predicts the outcome of a dial.

mod destination;

use super::faults::fault_on_dial;
use super::{Network, completions, query, write_out};
use crate::daemon::process::is_stopped;
use crate::daemon::state::{HostShown, SocketShown};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use destination::{Destination, Dialed, NoHost};
use lonet_core::address::Address;
use lonet_core::client::Client;
use lonet_core::config::bare_host;
use std::process::ExitCode;

/// Tell what a dial would meet: who listens there, or why it would fail.
///
/// For example: `lonet explain client web:8080`. Nothing is dialed. `localhost:8080` and `:8080` mean FROM's own
/// loopback. TO may be an IP address, too.
///
/// Exit codes: 0 somebody listens there, or only a dial can tell, 1 the dial would fail.
#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    network: Network,
    /// The host that dials, such as client
    #[arg(value_name = "FROM", add = ArgValueCompleter::new(completions::hosts))]
    from: String,
    /// The address that it dials, such as web:8080
    #[arg(value_name = "TO", add = ArgValueCompleter::new(completions::addresses))]
    to: String,
}

/// The predicted outcome of a dial.
struct Prediction {
    is_accepted: bool,
    text: String,
}

impl Explain {
    pub fn run(self) -> Result<ExitCode, String> {
        let from = bare_host(&self.from);
        let to = Destination::parse(&self.to)?;
        let client = self.network.client()?;
        let listing = query::network(&client)?.ok_or_else(|| query::not_running(&client))?;
        let shown = listing.parse()?;
        let from = query::find(&shown, from).ok_or_else(|| query::no_such_host(&shown, &[from]))?;
        let prediction = match to.resolve(&shown, from) {
            Err(NoHost::NoRoute(text)) => Prediction { is_accepted: false, text },
            Err(NoHost::NotLonet(text)) => Prediction { is_accepted: true, text },
            Ok(to) => match predict_from_faults(&client, from, &to)? {
                Some(prediction) => prediction,
                None => predict(from, &to),
            },
        };
        write_out(|out| writeln!(out, "{}", prediction.text))?;
        Ok(if prediction.is_accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The outcome if a `lonet cut` or `lonet refuse` is in force for the dial.
fn predict_from_faults(
    client: &Client,
    from: &HostShown<'_>,
    to: &Dialed<'_, '_>,
) -> Result<Option<Prediction>, String> {
    if to.is_loopback() {
        return Ok(None);
    }
    let prediction = fault_on_dial(client, (&from.name, &to.host.name, to.port))?;
    Ok(prediction.map(|(command, is_refused)| {
        let what = if is_refused { "is refused" } else { "hangs until `lonet heal`" };
        Prediction { is_accepted: false, text: format!("the dial {what}, as `{command}` is in force") }
    }))
}

/// The outcome without faults.
fn predict(from: &HostShown<'_>, to: &Dialed<'_, '_>) -> Prediction {
    let Dialed { host, port, at: ip, .. } = to;
    let at = Address { host: host.name.as_ref().to_owned(), port: *port };
    if host.foreign {
        let text = format!(
            "{} is a host of a Go or Python process: only a dial can tell what listens on {at}",
            at.host
        );
        return Prediction { is_accepted: true, text };
    }
    if let Some(socket) = host.sockets.iter().find(|socket| to.reaches(socket)) {
        return reaches(&format!("{} dials {at}", from.name), socket);
    }
    let holders = || host.sockets.iter().filter(|s| s.port == *port);
    let listeners: Vec<&SocketShown<'_>> = holders().filter(|s| s.scope.is_some()).collect();
    let is_private = listeners.iter().all(|s| s.scope.as_deref() == Some("loopback"));
    let mut text = match (listeners.first(), holders().find(|s| s.state == "bound")) {
        (Some(socket), _) if is_private && !to.is_loopback() => format!(
            "the dial is refused: {} listens on {at} only on {}'s loopback, where programs of {} reach it as \
             localhost:{port}; to be reached by other hosts it has to listen on all addresses (0.0.0.0 or ::)",
            program(socket),
            at.host,
            at.host
        ),
        (Some(socket), _) => format!(
            "the dial is refused: {} listens on {at} only at {}, not at {ip}",
            program(socket),
            bound_address(socket)
        ),
        (None, Some(socket)) => {
            format!("the dial is refused: {} has bound {at} but does not listen", program(socket))
        }
        (None, None) => {
            format!("nothing listens on {at}: the dial is refused; {}", query::describe_listeners(host))
        }
    };
    if to.is_loopback() {
        text += &format!("; with LONET_LOOPBACK=real it goes to the machine's own port {port}");
    }
    Prediction { is_accepted: false, text }
}

/// The address at which a listener accepts dials.
fn bound_address(socket: &SocketShown<'_>) -> String {
    match (socket.ip.as_deref(), socket.family.as_deref()) {
        (Some("::"), Some("v6")) => ":: with IPV6_V6ONLY (IPv6 alone)".into(),
        (Some("0.0.0.0"), _) => "0.0.0.0 (IPv4 alone)".into(),
        (ip, _) => ip.unwrap_or("another address").into(),
    }
}

/// The outcome if the dial reaches this listener.
fn reaches(dial: &str, socket: &SocketShown<'_>) -> Prediction {
    let text =
        format!("{dial} and reaches {}, which listens there (OS address {})", program(socket), socket.os);
    let more = if is_stopped(socket.pid) {
        "; that process is stopped: the kernel accepts the dial, but nobody answers until it continues"
    } else {
        ""
    };
    Prediction { is_accepted: true, text: text + more }
}

fn program(socket: &SocketShown<'_>) -> String {
    format!("{} (pid {})", socket.program, socket.pid)
}
