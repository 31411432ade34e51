//! `lonet explain`: predicts the outcome of a dial.

use super::faults::fault_on_dial;
use super::{Network, address, completions, query, text_of, write_out};
use crate::daemon::process::is_stopped;
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::address::Address;
use lonet_core::config::bare_host;
use std::process::ExitCode;

/// Tell what a dial would meet: who listens there, or why it would fail.
///
/// For example: `lonet explain client web:8080`. Nothing is dialed. `localhost:8080` and `:8080` mean FROM's own
/// loopback.
///
/// Exit codes: 0 somebody listens there, 1 the dial would fail.
#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    network: Network,
    /// The host that dials, such as client
    #[arg(value_name = "FROM", add = ArgValueCompleter::new(completions::hosts))]
    from: String,
    /// The lonet address that it dials, such as web:8080
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
        let prediction = match predict_from_faults(&self.network, &shown, from, &to)? {
            Some(prediction) => prediction,
            None => predict(&shown, from, &to),
        };
        write_out(|out| writeln!(out, "{}", prediction.text))?;
        Ok(if prediction.is_accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

enum Destination {
    Host(Address),
    /// A port of the dialer's own loopback.
    Loopback(u16),
}

impl Destination {
    fn parse(text: &str) -> Result<Destination, String> {
        let Address { host, port } = Address::parse(text).map_err(text_of)?;
        let is_loopback = match host.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.is_empty() || host.eq_ignore_ascii_case("localhost"),
        };
        if is_loopback { Ok(Destination::Loopback(port)) } else { address(text).map(Destination::Host) }
    }
}

/// The outcome if a `lonet cut` or `lonet refuse` is in force for the dial.
fn predict_from_faults(
    network: &Network,
    shown: &NetworkShown<'_>,
    from: &HostShown<'_>,
    to: &Destination,
) -> Result<Option<Prediction>, String> {
    let Destination::Host(to) = to else { return Ok(None) };
    let Some(host) = query::find(shown, &to.host) else { return Ok(None) };
    let prediction = fault_on_dial(network, (&from.name, &host.name, to.port))?;
    Ok(prediction.map(|(command, is_refused)| {
        let what = if is_refused { "is refused" } else { "hangs until `lonet heal`" };
        Prediction { is_accepted: false, text: format!("the dial {what}, as `{command}` is in force") }
    }))
}

/// The outcome without faults.
fn predict(shown: &NetworkShown<'_>, from: &HostShown<'_>, to: &Destination) -> Prediction {
    let refused = |text: String| Prediction { is_accepted: false, text };
    let (host, port) = match to {
        Destination::Loopback(port) => (from, *port),
        Destination::Host(to) => match query::find(shown, &to.host) {
            Some(host) => (host, to.port),
            None => {
                let why = query::no_such_host(shown, &[&to.host]);
                return refused(format!("the dial fails with \"no route to host\": {why}"));
            }
        },
    };
    let at = Address { host: host.name.as_ref().to_owned(), port };
    if host.foreign {
        let text = format!(
            "{} is a host of a Go or Python process: only a dial can tell what listens on {at}",
            at.host
        );
        return Prediction { is_accepted: true, text };
    }
    let is_loopback = matches!(to, Destination::Loopback(_));
    let holders: Vec<&SocketShown<'_>> = host.sockets.iter().filter(|s| s.port == port).collect();
    let in_scope = |scope| holders.iter().find(|s| s.scope.as_deref() == Some(scope));
    let (of_host, of_loopback) = (in_scope("host"), in_scope("loopback"));
    if let Some(socket) = if is_loopback { of_loopback.or(of_host) } else { of_host } {
        return reaches(&format!("{} dials {at}", from.name), socket);
    }
    if let Some(socket) = of_loopback {
        return refused(format!(
            "the dial is refused: {} listens on {at} only on {}'s loopback, where programs of {} reach it as \
             localhost:{port}; to be reached by other hosts it has to listen on all addresses (0.0.0.0 or ::)",
            program(socket),
            at.host,
            at.host
        ));
    }
    let mut text = match holders.iter().find(|s| s.state == "bound") {
        Some(socket) => {
            format!("the dial is refused: {} has bound {at} but does not listen", program(socket))
        }
        None => format!("nothing listens on {at}: the dial is refused; {}", query::describe_listeners(host)),
    };
    if is_loopback {
        text += &format!("; with LONET_LOOPBACK=real it goes to the machine's own port {port}");
    }
    refused(text)
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
