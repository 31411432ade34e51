//! Questions of the command to lonetd.

use super::network;
use crate::daemon::names;
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use crate::memory_file;
use lonet_core::address::Address;
use lonet_core::client::{Client, StartIf, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, Malformed, NetworkOp, Op, Reply, Request};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::time::Duration;

/// What lonetd says of all that a network has.
pub struct Listing(String);

impl Listing {
    pub fn shown(&self) -> Result<NetworkShown<'_>, String> {
        serde_json::from_str(&self.0).map_err(|e| format!("cannot parse the list that lonetd sent: {e}"))
    }
}

/// All that a network has. `None`: it is not running.
pub fn network(client: &Client) -> Result<Option<Listing>, String> {
    match exchange(client, &NetworkOp::List, &mut [0u8; MAX_MESSAGE], text) {
        Ok(text) => Ok(Some(Listing(text?))),
        Err(Trouble::NotRunning) => Ok(None),
        Err(e) => Err(e.of(client).to_string()),
    }
}

/// That it is not, and which networks are.
pub fn not_running(client: &Client) -> String {
    let others = network::all(|_| ()).unwrap_or_default();
    let running: Vec<&str> = others.iter().filter(|(_, c)| runs(c)).map(|(name, _)| name.as_str()).collect();
    let running =
        if running.is_empty() { String::new() } else { format!("; running are: {}", some_of(&running)) };
    format!("network {:?} is not running{running}", client.config.network)
}

/// Whether somebody serves the network.
pub fn runs(client: &Client) -> bool {
    let op = Op::Locate { address: "" };
    let limit = Limit::within(Duration::from_secs(1));
    !matches!(client.ask(limit, &op, &mut [0; MAX_MESSAGE]), Err(Trouble::NotRunning))
}

/// Why nothing listens on these lonet addresses, as far as the list of the network tells.
pub fn why_nothing_listens(client: &Client, missing: &[Address]) -> String {
    let all: Vec<String> = missing.iter().map(Address::to_string).collect();
    let mut why = format!("nothing listens on {}", all.join(", "));
    let listing = match network(client) {
        Ok(Some(listing)) => listing,
        Ok(None) => return format!("{why}; {}", not_running(client)),
        Err(_) => return why,
    };
    let Ok(shown) = listing.shown() else { return why };
    let (mut said, mut absent) = (BTreeSet::new(), Vec::new());
    for name in missing.iter().map(|address| address.host.as_str()) {
        if !said.insert(name) {
            continue;
        }
        match find(&shown, name) {
            None => absent.push(name),
            Some(host) if host.foreign => {}
            Some(host) => why += &format!("; {}", what_listens(host)),
        }
    }
    if !absent.is_empty() {
        why += &format!("; {}", no_such_host(&shown, &absent));
    }
    why
}

/// The ports on which a host listens.
pub fn what_listens(host: &HostShown<'_>) -> String {
    let name = &host.name;
    match (ports_of(host, "host"), ports_of(host, "loopback")) {
        (None, None) => format!("{name} is up and listens on no port"),
        (Some(ports), None) => format!("{name} listens on {ports}"),
        (None, Some(loopback)) => format!("{name} listens on {loopback}, but only on its loopback"),
        (Some(ports), Some(loopback)) => {
            format!("{name} listens on {ports}, and only on its loopback on {loopback}")
        }
    }
}

/// The host of this name, however it is spelled.
pub fn find<'l, 'a>(shown: &'l NetworkShown<'a>, name: &str) -> Option<&'l HostShown<'a>> {
    let key = names::fold(name.as_bytes());
    shown.hosts.iter().find(|host| names::fold(host.name.as_bytes()) == key)
}

/// That hosts of these names are not up, and which are.
pub fn no_such_host(shown: &NetworkShown<'_>, absent: &[&str]) -> String {
    let absent: Vec<String> = absent.iter().map(|name| format!("{name:?}")).collect();
    let mut up: Vec<&str> = shown.hosts.iter().map(|host| &*host.name).collect();
    up.sort_unstable();
    let up = if up.is_empty() { "no host is".to_owned() } else { format!("up are: {}", some_of(&up)) };
    format!("no host {} is up in network {}; {up}", absent.join(", "), shown.network)
}

/// Fails, with the hosts that are, if none of this name is up.
pub fn is_up(client: &Client, name: &str) -> Result<(), String> {
    are_up(client, &[name])
}

/// As [`is_up`], of several names.
pub fn are_up(client: &Client, names: &[impl AsRef<str>]) -> Result<(), String> {
    let listing = network(client)?.ok_or_else(|| not_running(client))?;
    let shown = listing.shown()?;
    let names = names.iter().map(AsRef::as_ref);
    let absent: Vec<&str> = names.filter(|name| find(&shown, name).is_none()).collect();
    if absent.is_empty() { Ok(()) } else { Err(no_such_host(&shown, &absent)) }
}

/// So many of a list are named.
const NAMED: usize = 20;

fn some_of(all: &[impl AsRef<str>]) -> String {
    let named: Vec<&str> = all.iter().take(NAMED).map(AsRef::as_ref).collect();
    let rest = all.len().saturating_sub(NAMED);
    named.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// Where a host listens in this scope, if it does.
fn ports_of(host: &HostShown<'_>, scope: &str) -> Option<String> {
    let listens = |s: &&SocketShown<'_>| s.scope.as_deref() == Some(scope);
    let ports: BTreeSet<u16> = host.sockets.iter().filter(listens).map(|s| s.port).collect();
    (!ports.is_empty()).then(|| some_of(&ports.iter().map(u16::to_string).collect::<Vec<_>>()))
}

/// An answer that is a text in a memory file; if there is nothing to say, an empty one. The inner error is what else
/// lonetd has to say.
pub fn text(fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Result<String, String>, Trouble> {
    text_within(Limit::NONE, fd, buffer)
}

/// As [`text`], within a time limit.
pub fn text_within(
    limit: Limit,
    fd: &Fd,
    buffer: &mut [u8; MAX_MESSAGE],
) -> Result<Result<String, String>, Trouble> {
    await_reply(fd, limit)?;
    let (n, file) = match sys::recv_with(fd.raw(), buffer, true) {
        // lonetd came to its end with the question unanswered.
        Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(Trouble::NotRunning),
        other => other.map_err(Trouble::Silent)?,
    };
    let Some(file) = file else {
        return Ok(match control::read_reply(&buffer[..n]) {
            Ok((_, Reply::Done)) => Ok(String::new()),
            Ok((_, Reply::Error { text, .. })) => Err(text.to_owned()),
            Err(Malformed::Version(theirs)) => return Err(Trouble::Version { theirs }),
            other => Err(format!("lonetd answered with {other:?}")),
        });
    };
    // SAFETY: the descriptor was received just now and nobody else has it.
    let file = unsafe { File::from_raw_fd(file) };
    Ok(memory_file::text(&file, u64::MAX).map_err(|e| format!("cannot read lonetd's answer: {e}")))
}

/// A question with a short answer, of a network that runs or whose lonetd was killed.
pub fn ask<'b>(
    client: &Client,
    request: &dyn Request,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    client.ask_insisting(StartIf::Killed, Limit::NONE, request, buffer).map(|(_, reply)| reply)
}

/// A question whose answer `receive` takes, from as many lonetds as it needs.
pub fn exchange<T>(
    client: &Client,
    request: &dyn Request,
    buffer: &mut [u8; MAX_MESSAGE],
    mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    client.insist(StartIf::Killed, Limit::NONE, buffer, |buffer| {
        receive(&client.send(request, buffer)?, buffer)
    })
}
