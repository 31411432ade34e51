//! LONET_LOG: one line for each call that a hook has handled or left to libc, with the result and the reason.
//!
//! `12:00:01.123456 γ curl(4711) connect → α:5000: refused: α:5000 listens on α's loopback only`
//!
//! A line is built on the stack. The names of hosts come from lonetd: logged calls take longer.

use crate::bypass::Bypass;
use crate::failure::Failure;
use crate::{kernel, log_file, memory, name, process, table_map};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::client::Client;
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::log_prefix::LogPrefix;
use lonet_core::scopes::Scopes;
use lonet_core::table::entry::Destination;
use nix::errno::Errno;
use std::fmt::{Arguments, Write};
use std::net::Ipv6Addr;
use std::time::Duration;

/// A call of the program, as the log names it.
#[derive(Clone, Copy)]
pub struct Call {
    pub name: &'static str,
    pub about: About,
}

/// The address or socket of a call. It is looked at only if the call is logged.
#[derive(Clone, Copy)]
pub enum About {
    Nothing,
    /// A destination address that the program passes.
    To(*const sockaddr, socklen_t),
    /// An address for a socket to be bound to.
    At(*const sockaddr, socklen_t),
    /// A socket, shown by its lonet address.
    Socket(c_int),
    /// A listener, and the peer of a connection that it has accepted.
    From(c_int, Option<Endpoint>),
}

/// The time limit for a host's name.
const NAME_LIMIT: Duration = Duration::from_millis(500);

/// Whether LONET_LOG is set.
pub fn is_wanted() -> bool {
    process::client().is_some_and(|client| client.config.log.is_some())
}

/// Logs a call that is left to libc, before libc makes it.
pub fn bypassed(call: Call, why: Bypass) {
    if is_wanted() {
        line(call, format_args!("not lonet's: {why}"));
    }
}

/// Logs how a call ended. `why`: the reason of a failure, or another remark; may be empty.
pub fn ended(call: Call, outcome: Result<(), Errno>, why: Arguments<'_>) {
    if !is_wanted() {
        return;
    }
    let mut reason = Line::new();
    let _ = reason.write_fmt(why);
    let colon = if reason.text().is_empty() { "" } else { ": " };
    let why = reason.text();
    match outcome {
        Ok(()) => line(call, format_args!("done{colon}{why}")),
        Err(errno) => line(call, format_args!("{}{colon}{why}", result(errno))),
    }
}

fn result(errno: Errno) -> &'static str {
    match errno {
        Errno::ECONNREFUSED => "refused",
        Errno::EINPROGRESS => "under way",
        other => other.desc(),
    }
}

/// Logs a dial that is refused, with the reason.
pub fn refused(call: Call) {
    let Some(client) = process::client().filter(|client| client.config.log.is_some()) else { return };
    let About::To(address, len) = call.about else { return };
    let Some((to, _)) = memory::address(address, len) else { return };
    let mut at = Line::new();
    write_endpoint(&mut at, &client, to);
    let (at, refused) = (at.text(), result(Errno::ECONNREFUSED));
    let host = at.rsplit_once(':').map_or(at, |(host, _)| host);
    if listens(to, Scopes::host) {
        line(
            call,
            format_args!("{refused}: {at} listens no more, or for the other kind of IP addresses only"),
        );
    } else if listens(to, Scopes::loopback) {
        line(call, format_args!("{refused}: {at} listens on {host}'s loopback only"));
    } else {
        line(call, format_args!("{refused}: {at} has no listener"));
    }
}

/// Whether a host has a listener at this port, in the scope that `scopes` gives for a family.
fn listens(to: Endpoint, scopes: fn(Face) -> Scopes) -> bool {
    let Some(parts) = table_map::parts() else { return false };
    let Place::Host(host, _) = parts.block.place(to.ip) else { return false };
    let listens =
        |face| parts.listeners.find(Destination { host, port: to.port, scope: scopes(face) }).is_some();
    [Face::V4, Face::V6].into_iter().any(listens)
}

/// Logs the result of a name or address lookup.
pub fn resolved(query: Arguments<'_>, reply: &Result<Reply<'_>, Failure>) {
    match reply {
        Ok(Reply::Host { index, name, .. }) => {
            let address = process::block().map(|block| block.address(*index));
            note(format_args!("{query}: {name}{}", At(address)));
        }
        Ok(_) => note(format_args!("{query}: not lonet's: {}", Bypass::LeftByLonetd)),
        Err(failed) => note(format_args!("{query}: {}: {}", result(failed.errno), failed.why())),
    }
}

struct At(Option<std::net::Ipv4Addr>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, " at {address}"))
    }
}

/// A buffer for a line. What does not fit is cut off: half a line says more than none.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 512], len: 0 }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        // One byte is left for the newline.
        let n = s.floor_char_boundary(s.len().min(self.bytes.len() - 1 - self.len));
        if let (Some(to), Some(from)) = (self.bytes.get_mut(self.len..self.len + n), s.as_bytes().get(..n)) {
            to.copy_from_slice(from);
            self.len += n;
        }
        Ok(())
    }
}

/// Not inlined: its buffers would enlarge the frames of calls that are not logged.
#[cold]
#[inline(never)]
fn line(call: Call, text: Arguments<'_>) {
    let Some(client) = process::client() else { return };
    let mut line = Line::new();
    let host = process::host();
    let _ = write!(line, "{}{}", LogPrefix { host: host.as_deref().unwrap_or_default() }, call.name);
    write_about(&mut line, &client, call.about);
    let _ = write!(line, ": {text}");
    write(&client, line);
}

/// Logs something other than a call, such as the start of a program.
#[cold]
#[inline(never)]
pub fn note(text: Arguments<'_>) {
    let Some(client) = process::client().filter(|client| client.config.log.is_some()) else { return };
    let mut line = Line::new();
    let host = process::host();
    let _ = write!(line, "{}{text}", LogPrefix { host: host.as_deref().unwrap_or_default() });
    write(&client, line);
}

fn write_about(line: &mut Line, client: &Client, about: About) {
    let arrow = |line: &mut Line, arrow: &str, at: Option<Endpoint>| {
        let _ = line.write_str(arrow);
        match at {
            Some(at) => write_endpoint(line, client, at),
            None => _ = line.write_str("no address"),
        }
    };
    match about {
        About::Nothing => {}
        About::To(address, len) => {
            arrow(line, " → ", memory::address(address, len).map(|(to, _)| to));
        }
        About::At(address, len) => arrow(line, " ", memory::address(address, len).map(|(at, _)| at)),
        About::Socket(fd) => arrow(line, " ", socket_address(fd)),
        About::From(listener, peer) => {
            arrow(line, " ", socket_address(listener));
            arrow(line, " ← ", peer);
        }
    }
}

/// A socket's local address as the program sees it, in lonet's terms. `None` also for a port that the kernel has chosen for a dial
/// which has failed: it is none of lonet's.
fn socket_address(fd: c_int) -> Option<Endpoint> {
    let of_machine =
        |at: &Endpoint| at.port == 0 || !is_place_of_hosts(at.ip) || kernel::tcp_family(fd).is_none();
    name::named(fd, &mut Limit::within(NAME_LIMIT))
        .local
        .or_else(|| kernel::local(fd)?.endpoint().filter(of_machine))
}

/// Whether the TCP ports of this address are those of a host.
fn is_place_of_hosts(ip: Ipv6Addr) -> bool {
    let has_real_loopback = || process::client().is_some_and(|client| client.config.options.real_loopback);
    match process::block().map(|block| block.place(ip)) {
        Some(Place::Host(..)) => true,
        Some(Place::Loopback(_)) => process::is_host() && !has_real_loopback(),
        _ => false,
    }
}

/// Writes an address by its host's name: `α:80`; `*:80` for a wildcard.
fn write_endpoint(line: &mut Line, client: &Client, at: Endpoint) {
    let place = process::block().map_or(Place::NotLonet, |block| block.place(at.ip));
    let _ = match place {
        _ if at.ip.to_canonical().is_unspecified() => write!(line, "*:{}", at.port),
        Place::Loopback(_) if process::is_host() => write!(line, "localhost:{}", at.port),
        Place::Host(..) => {
            let mut buffer = [0; MAX_MESSAGE];
            match name_of(client, at.ip, &mut buffer) {
                Some(name) => write!(line, "{name}:{}", at.port),
                None => write!(line, "{at}"),
            }
        }
        _ => write!(line, "{at}"),
    };
}

fn name_of<'b>(client: &Client, ip: Ipv6Addr, buffer: &'b mut [u8; MAX_MESSAGE]) -> Option<&'b str> {
    match client.ask(Limit::within(NAME_LIMIT), &Op::Reverse { ip }, buffer) {
        Ok((_, Reply::Host { name, .. })) => Some(name),
        _ => None,
    }
}

fn write(client: &Client, mut line: Line) {
    // A newline in a name that the program passes must not begin another line.
    line.bytes[..line.len].iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
    line.bytes[line.len] = b'\n';
    if let Some(text) = line.bytes.get(..=line.len) {
        log_file::write(client, text);
    }
}
