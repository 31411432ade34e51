//! Requests of commands to lonetd, and texts about a network's hosts.

use super::network;
use crate::daemon::host_names;
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

/// lonetd's list of a network, as JSON.
pub struct Listing(String);

impl Listing {
    pub fn parse(&self) -> Result<NetworkShown<'_>, String> {
        serde_json::from_str(&self.0).map_err(|e| format!("cannot parse the list that lonetd sent: {e}"))
    }
}

/// Requests the list of a network. `None`: the network is not running.
pub fn network(client: &Client) -> Result<Option<Listing>, String> {
    match exchange(client, &NetworkOp::List, &mut [0u8; MAX_MESSAGE], receive_text) {
        Ok(text) => text.map(|text| Some(Listing(text))).map_err(|why| in_network(client, &why)),
        Err(Trouble::NotRunning) => Ok(None),
        Err(e) => Err(trouble(client, e)),
    }
}

/// A message about a network that cannot be reached.
pub fn in_network(client: &Client, why: &str) -> String {
    format!("network {:?}: {why}", client.config.network)
}

/// The message about an error of reaching lonetd.
pub fn trouble(client: &Client, trouble: Trouble) -> String {
    in_network(client, &trouble.of(client).to_string())
}

/// The message that a network is not running, with the names of those that are.
pub fn not_running(client: &Client) -> String {
    let others = network::list(|_| ()).unwrap_or_default();
    // A command that waits for the network has started it.
    let others = others.iter().filter(|(name, _)| *name != client.config.network);
    let running: Vec<&str> = others.filter(|(_, c)| is_running(c)).map(|(name, _)| name.as_str()).collect();
    let running =
        if running.is_empty() { String::new() } else { format!("; running are: {}", join_first(&running)) };
    format!("network {:?} is not running{running}", client.config.network)
}

/// Whether a lonetd serves the network.
pub fn is_running(client: &Client) -> bool {
    let op = Op::Locate { address: "" };
    let limit = Limit::within(Duration::from_secs(1));
    !matches!(client.ask(limit, &op, &mut [0; MAX_MESSAGE]), Err(Trouble::NotRunning))
}

/// The message that nothing listens on these lonet addresses, with what the list of the network tells about their hosts.
pub fn why_nothing_listens(client: &Client, missing: &[Address]) -> String {
    let all: Vec<String> = missing.iter().map(Address::to_string).collect();
    let mut why = format!("nothing listens on {}", all.join(", "));
    let listing = match network(client) {
        Ok(Some(listing)) => listing,
        Ok(None) => return format!("{why}; {}", not_running(client)),
        Err(_) => return why,
    };
    let Ok(shown) = listing.parse() else { return why };
    let (mut seen, mut absent) = (BTreeSet::new(), Vec::new());
    for name in missing.iter().map(|address| address.host.as_str()) {
        if !seen.insert(name) {
            continue;
        }
        match find(&shown, name) {
            None => absent.push(name),
            Some(host) if host.foreign => {}
            Some(host) => why += &format!("; {}", describe_listeners(host)),
        }
    }
    if !absent.is_empty() {
        why += &format!("; {}", no_such_host(&shown, &absent));
    }
    why
}

/// A sentence about the ports on which a host listens.
pub fn describe_listeners(host: &HostShown<'_>) -> String {
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

/// The host with this name, in any spelling.
pub fn find<'l, 'a>(shown: &'l NetworkShown<'a>, name: &str) -> Option<&'l HostShown<'a>> {
    let key = host_names::fold(name.as_bytes());
    shown.hosts.iter().find(|host| host_names::fold(host.name.as_bytes()) == key)
}

/// The message that these hosts are not up, with the names of those that are.
pub fn no_such_host(shown: &NetworkShown<'_>, absent: &[&str]) -> String {
    let absent: Vec<String> = absent.iter().map(|name| format!("{name:?}")).collect();
    let mut up: Vec<&str> = shown.hosts.iter().map(|host| &*host.name).collect();
    up.sort_unstable();
    let up = if up.is_empty() { "no host is".to_owned() } else { format!("up are: {}", join_first(&up)) };
    format!("no host {} is up in network {}; {up}", absent.join(", "), shown.network)
}

/// Fails if no host with this name is up.
pub fn ensure_up(client: &Client, name: &str) -> Result<(), String> {
    ensure_all_up(client, &[name])
}

/// Fails if one of these hosts is not up.
pub fn ensure_all_up(client: &Client, names: &[impl AsRef<str>]) -> Result<(), String> {
    let listing = network(client)?.ok_or_else(|| not_running(client))?;
    let shown = listing.parse()?;
    let names = names.iter().map(AsRef::as_ref);
    let absent: Vec<&str> = names.filter(|name| find(&shown, name).is_none()).collect();
    if absent.is_empty() { Ok(()) } else { Err(no_such_host(&shown, &absent)) }
}

/// How many items of a list a message names.
const MAX_NAMED: usize = 20;

/// The first of these names, and how many more there are.
pub fn join_first(all: &[impl AsRef<str>]) -> String {
    let named: Vec<&str> = all.iter().take(MAX_NAMED).map(AsRef::as_ref).collect();
    let rest = all.len().saturating_sub(MAX_NAMED);
    named.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// The ports on which a host listens in this scope. `None`: there are none.
fn ports_of(host: &HostShown<'_>, scope: &str) -> Option<String> {
    let listens = |s: &&SocketShown<'_>| s.scope.as_deref() == Some(scope);
    let ports: BTreeSet<u16> = host.sockets.iter().filter(listens).map(|s| s.port).collect();
    (!ports.is_empty()).then(|| join_first(&ports.iter().map(u16::to_string).collect::<Vec<_>>()))
}

/// Receives a reply that is a text in a memory file; a plain [`Reply::Done`] is an empty text. The inner error is lonetd's.
pub fn receive_text(fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Result<String, String>, Trouble> {
    receive_text_within(Limit::NONE, fd, buffer)
}

/// As [`receive_text`], within a time limit.
pub fn receive_text_within(
    limit: Limit,
    fd: &Fd,
    buffer: &mut [u8; MAX_MESSAGE],
) -> Result<Result<String, String>, Trouble> {
    await_reply(fd, limit)?;
    let (n, file) = match sys::recv_with(fd.raw(), buffer, true) {
        // lonetd has ended without a reply.
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

/// Sends a request and returns the reply. Starts lonetd again if it was killed.
pub fn ask<'b>(
    client: &Client,
    request: &dyn Request,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    client.ask_insisting(StartIf::Killed, Limit::NONE, request, buffer).map(|(_, reply)| reply)
}

/// Sends a request and has `receive` take the reply. Both are repeated if lonetd is killed meanwhile.
pub fn exchange<T>(
    client: &Client,
    request: &dyn Request,
    buffer: &mut [u8; MAX_MESSAGE],
    mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    client.retry(StartIf::Killed, Limit::NONE, buffer, |_, buffer| {
        receive(&client.send(request, buffer)?, buffer)
    })
}
