//! Questions of the command to lonetd.

use crate::daemon::names;
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use crate::memory_file;
use lonet_core::address::Address;
use lonet_core::client::{Client, StartIf, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, Malformed, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::FromRawFd;

/// What lonetd says of all that a network has.
pub struct Listing(String);

impl Listing {
    pub fn shown(&self) -> Result<NetworkShown<'_>, String> {
        serde_json::from_str(&self.0).map_err(|e| format!("what lonetd answered is no list: {e}"))
    }
}

/// All that a network has. `None`: it is not running.
pub fn network(client: &Client) -> Result<Option<Listing>, String> {
    match exchange(client, &Op::List, &mut [0u8; MAX_MESSAGE], text) {
        Ok(text) => Ok(Some(Listing(text?))),
        Err(Trouble::NotRunning) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

pub fn not_running(client: &Client) -> String {
    format!("network {:?} is not running", client.config.network)
}

/// Why nothing listens on these lonet addresses, as far as the list of the network tells.
pub fn why_nothing_listens(client: &Client, missing: &[Address]) -> String {
    let all: Vec<String> = missing.iter().map(Address::to_string).collect();
    let mut why = format!("nothing listens on {}", all.join(", "));
    let Ok(Some(listing)) = network(client) else { return why };
    let Ok(shown) = listing.shown() else { return why };
    let is_called =
        |host: &HostShown<'_>, name: &str| names::fold(host.name.as_bytes()) == names::fold(name.as_bytes());
    let (mut said, mut absent) = (BTreeSet::new(), Vec::new());
    for name in missing.iter().map(|address| address.host.as_str()) {
        if !said.insert(name) {
            continue;
        }
        match shown.hosts.iter().find(|host| is_called(host, name)) {
            None => absent.push(format!("{name:?}")),
            Some(host) if host.foreign => {}
            Some(host) => match (ports_of(host, "host"), ports_of(host, "loopback")) {
                (None, None) => why += &format!("; {name} is up and listens on no port"),
                (Some(ports), None) => why += &format!("; {name} listens on {ports}"),
                (None, Some(loopback)) => {
                    why += &format!("; {name} listens on {loopback}, on its loopback alone")
                }
                (Some(ports), Some(loopback)) => {
                    why += &format!("; {name} listens on {ports}, and on its loopback alone on {loopback}");
                }
            },
        }
    }
    if !absent.is_empty() {
        let up: Vec<&str> = shown.hosts.iter().map(|host| &*host.name).collect();
        let up = if up.is_empty() { "none".to_owned() } else { some_of(&up) };
        why += &format!("; no host {} is up in network {:?}, up: {up}", absent.join(", "), shown.network);
    }
    why
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
            Err(Malformed::Version(theirs)) => Err(Trouble::Version { theirs }.to_string()),
            other => Err(format!("lonetd answered with {other:?}")),
        });
    };
    // SAFETY: the descriptor was received just now and nobody else has it.
    let file = unsafe { File::from_raw_fd(file) };
    Ok(memory_file::text(&file, u64::MAX).map_err(|e| format!("what lonetd answered cannot be read: {e}")))
}

/// A question with a short answer, of a network that runs or whose lonetd was killed.
pub fn ask<'b>(
    client: &Client,
    op: &Op<'_>,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    client.ask_insisting(StartIf::Killed, Limit::NONE, op, buffer).map(|(_, reply)| reply)
}

/// A question whose answer `receive` takes, from as many lonetds as it needs.
pub fn exchange<T>(
    client: &Client,
    op: &Op<'_>,
    buffer: &mut [u8; MAX_MESSAGE],
    mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    client.insist(StartIf::Killed, Limit::NONE, buffer, |buffer| receive(&client.send(op, buffer)?, buffer))
}
