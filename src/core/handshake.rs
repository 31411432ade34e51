//! The handshake between a dialer and an acceptor of a lonet network: parser and writer of its lines, without
//! I/O.
//!
//! A dialer connects to the OS address of the acceptor's subnetwork and sends the address that it dials; the
//! acceptor replies. Behind the reply the connection carries the data of the programs:
//!
//! ```text
//! > lonet "lonetmynet" dial "β:1" "α:80"\n
//! < lonet "lonetmynet" connected "α:1"\n         or
//! < lonet "lonetmynet" E "connection refused"\n
//! ```
//!
//! # What the caller's I/O must do
//!
//! A line has at most [`MAX_LINE`] bytes. No byte behind it may be read, as it belongs to the program. So
//! peek (`MSG_PEEK`) at most [`LineBuf::room`] bytes, ask [`LineBuf::wanted`] how many of them to read, read
//! those, and [`LineBuf::push`] them; it returns the line when it is complete. Read partial lines too, or
//! else poll would report the same bytes again and again. If the connection ends before that, an acceptor
//! closes without a reply and a dialer has [`ReplyError::UnexpectedEof`].
//!
//! Acceptor: [`answer`] the line, send [`Reply::to_line`], close unless the reply is `Connected`. If the
//! decision takes time: [`DialRequest::parse`], and a `Reply` later.
//!
//! Dialer: send [`DialRequest::to_line`], read a line, [`Reply::parse`] it.
//!
//! # What is accepted
//!
//! The same as by the reference implementation (Go): fields are separated by one or more spaces, a line may
//! end in spaces, strings are in double quotes or backquotes, a line that reaches the limit counts as
//! complete. Sent is the plain form above, which the Python implementation requires.

mod line;

use crate::quote::{quote, scan_quoted, take_char};
pub use line::{LineBuf, MAX_LINE};
use std::fmt;

/// An address on the wire.
///
/// Laxer than [`Address`](crate::address::Address): the host is any bytes, the port any number up to 2⁶³-1,
/// with leading zeros or a plus sign if the peer likes. Only a look-up decides whether it exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WireAddr {
    /// Name of the host, mostly UTF-8; may be empty.
    pub host: Vec<u8>,
    /// Port of the host.
    pub port: u64,
}

impl WireAddr {
    /// Parses `host:port` or `[host]:port` as Go's `net.SplitHostPort` and `strconv.Atoi` do.
    pub fn parse(text: &[u8]) -> Option<WireAddr> {
        let colon = text.iter().rposition(|&b| b == b':')?;
        let (host, port) = (&text[..colon], &text[colon + 1..]);
        let (host, bracketed) = match host.strip_prefix(b"[") {
            Some(rest) => (rest.strip_suffix(b"]")?, true),
            None => (host, false),
        };
        if host.iter().any(|b| b"[]".contains(b) || (*b == b':' && !bracketed)) {
            return None;
        }
        // i64's parser and Atoi agree on signs, zeros and the limit; "-0" is 0 to both.
        let port: i64 = std::str::from_utf8(port).ok()?.parse().ok()?;
        Some(WireAddr { host: host.to_vec(), port: u64::try_from(port).ok()? })
    }

    /// The address as text for the wire; a host with colons is put in brackets.
    pub fn to_bytes(&self) -> Vec<u8> {
        let port = self.port.to_string();
        if self.host.contains(&b':') {
            [b"[", &self.host[..], b"]:", port.as_bytes()].concat()
        } else {
            [&self.host[..], b":", port.as_bytes()].concat()
        }
    }
}

/// For people: a host that is not UTF-8 is shown lossily.
impl fmt::Display for WireAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// A dialer's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRequest {
    /// Full name of the network, e.g. `lonetmynet`.
    pub network: Vec<u8>,
    /// The dialer's address.
    pub src: WireAddr,
    /// The dialed address.
    pub dst: WireAddr,
}

impl DialRequest {
    /// Parses the line of a dialer, for an acceptor of the given network (full name).
    pub fn parse(line: &[u8], network: &[u8]) -> Result<DialRequest, RequestError> {
        let [theirs, src, dst] = scan_request(line).ok_or(RequestError::Invalid)?;
        if theirs != network {
            return Err(RequestError::NetworkMismatch);
        }
        let src = WireAddr::parse(&src).ok_or(RequestError::SrcInvalid)?;
        let dst = WireAddr::parse(&dst).ok_or(RequestError::DstInvalid)?;
        Ok(DialRequest { network: theirs, src, dst })
    }

    /// The line to send. Names must be short enough for it to fit [`MAX_LINE`], or acceptors refuse it.
    pub fn to_line(&self) -> Vec<u8> {
        let [network, src, dst] =
            [&self.network, &self.src.to_bytes(), &self.dst.to_bytes()].map(|s| quote(s));
        format!("> lonet {network} dial {src} {dst}\n").into_bytes()
    }

    /// The error message of this dial, in the words of the reference's `Dial`. `None`: it succeeded.
    ///
    /// `os_addr`: the OS address that was connected to.
    pub fn failure(&self, os_addr: impl fmt::Display, outcome: &Result<Reply, ReplyError>) -> Option<String> {
        let cause = cause(os_addr, outcome)?;
        let network = String::from_utf8_lossy(&self.network);
        Some(format!("dial {network} {}->{}: {cause}", self.src, self.dst))
    }
}

/// Why a dial failed, without the dial's addresses. `None`: it succeeded.
pub fn cause(os_addr: impl fmt::Display, outcome: &Result<Reply, ReplyError>) -> Option<String> {
    Some(match outcome {
        Ok(Reply::Connected(_)) => return None,
        Ok(Reply::Refused) => REFUSED.to_owned(),
        Ok(Reply::Error(text)) => format!("loconnect {os_addr}: {}", String::from_utf8_lossy(text)),
        Err(err) => format!("loconnect {os_addr}: {err}"),
    })
}

/// Why a line is no dial request for this network. Its text is sent to the dialer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not of the form of a request.
    Invalid,
    /// For another network.
    NetworkMismatch,
    /// The dialer's address cannot be parsed.
    SrcInvalid,
    /// The dialed address cannot be parsed.
    DstInvalid,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestError::Invalid => "protocol error: invalid dial request",
            RequestError::NetworkMismatch => "protocol error: network mismatch",
            RequestError::SrcInvalid => "protocol error: src address invalid",
            RequestError::DstInvalid => "protocol error: dst address invalid",
        })
    }
}

impl std::error::Error for RequestError {}

/// An acceptor's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection is established; the address is the accepting end.
    Connected(WireAddr),
    /// Nobody listens on the dialed port.
    Refused,
    /// Any other failure, described by the acceptor.
    Error(Vec<u8>),
}

/// The error text that dialers map to ECONNREFUSED.
const REFUSED: &str = "connection refused";

impl Reply {
    /// The reply to a request for a host that is not of this subnetwork.
    pub fn no_such_host(dst: &WireAddr) -> Reply {
        Reply::Error([b"address ", &dst.to_bytes()[..], b": no such host"].concat())
    }

    /// The line to send, for an acceptor of the given network (full name).
    pub fn to_line(&self, network: &[u8]) -> Vec<u8> {
        let (verb, arg) = match self {
            Reply::Connected(addr) => ("connected", quote(&addr.to_bytes())),
            Reply::Refused => ("E", quote(REFUSED.as_bytes())),
            Reply::Error(text) => ("E", quote(text)),
        };
        format!("< lonet {} {verb} {arg}\n", quote(network)).into_bytes()
    }

    /// Parses the reply to a request.
    ///
    /// An error is accepted from any network, "connected" only from the request's network and for its host.
    pub fn parse(line: &[u8], request: &DialRequest) -> Result<Reply, ReplyError> {
        let (network, verb, arg) = scan_reply(line).ok_or_else(|| ReplyError::Invalid(line.to_vec()))?;
        match &verb[..] {
            "connected" => {}
            "E" if arg == REFUSED.as_bytes() => return Ok(Reply::Refused),
            "E" => return Ok(Reply::Error(arg)),
            _ => return Err(ReplyError::Verb(verb)),
        }
        if network != request.network {
            return Err(ReplyError::NetworkMismatch(network));
        }
        let addr = WireAddr::parse(&arg).ok_or(ReplyError::AddressInvalid)?;
        if addr.host != request.dst.host {
            return Err(ReplyError::OtherHost(addr.host));
        }
        Ok(Reply::Connected(addr))
    }
}

impl From<RequestError> for Reply {
    fn from(err: RequestError) -> Reply {
        Reply::Error(err.to_string().into_bytes())
    }
}

/// Why a reply that reports no error establishes no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The connection ended before the line did.
    UnexpectedEof,
    /// Not of the form of a reply: the line.
    Invalid(Vec<u8>),
    /// Neither "connected" nor "E": the verb.
    Verb(String),
    /// Connected on another network: its full name.
    NetworkMismatch(Vec<u8>),
    /// The accepting end's address cannot be parsed.
    AddressInvalid,
    /// Connected to another host than was dialed: its name.
    OtherHost(Vec<u8>),
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self != ReplyError::UnexpectedEof {
            f.write_str("protocol error: ")?;
        }
        match self {
            ReplyError::UnexpectedEof => f.write_str("unexpected EOF"),
            ReplyError::Invalid(line) => write!(f, "invalid dial reply: {}", quote(line)),
            ReplyError::Verb(verb) => write!(f, "invalid reply verb: {}", quote(verb.as_bytes())),
            ReplyError::NetworkMismatch(network) => {
                write!(f, "connected, but network mismatch: {}", quote(network))
            }
            // As in the reference, which prints the result of the failed parse.
            ReplyError::AddressInvalid => f.write_str("connected, but accept address invalid: <nil>"),
            ReplyError::OtherHost(host) => {
                write!(f, "connected, but accept address is for different host: {}", quote(host))
            }
        }
    }
}

impl std::error::Error for ReplyError {}

/// The reply to a dialer's line. `decide` is called for valid requests.
pub fn answer(line: &[u8], network: &[u8], decide: impl FnOnce(DialRequest) -> Reply) -> Reply {
    match DialRequest::parse(line, network) {
        Ok(request) => decide(request),
        Err(err) => err.into(),
    }
}

/// `> lonet %q dial %q %q\n`
fn scan_request(line: &[u8]) -> Option<[Vec<u8>; 3]> {
    let rest = spaces(literal(line, b">")?)?;
    let rest = spaces(literal(rest, b"lonet")?)?;
    let (network, rest) = scan_quoted(rest).ok()?;
    let rest = spaces(literal(spaces(rest)?, b"dial")?)?;
    let (src, rest) = scan_quoted(rest).ok()?;
    let (dst, rest) = scan_quoted(spaces(rest)?).ok()?;
    at_end(rest).then_some([network, src, dst])
}

/// `< lonet %q %s %q\n`: network, verb, argument.
fn scan_reply(line: &[u8]) -> Option<(Vec<u8>, String, Vec<u8>)> {
    let rest = spaces(literal(line, b"<")?)?;
    let rest = spaces(literal(rest, b"lonet")?)?;
    let (network, rest) = scan_quoted(rest).ok()?;
    let mut verb = String::new();
    let mut rest = spaces(rest)?;
    while let Some((c, tail)) = next_char(rest).filter(|(c, _)| !c.is_whitespace()) {
        verb.push(c);
        rest = tail;
    }
    let (arg, rest) = scan_quoted(spaces(rest)?).ok()?;
    at_end(rest).then_some((network, verb, arg))
}

fn literal<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(wanted)
}

fn next_char(text: &[u8]) -> Option<(char, &[u8])> {
    if text.is_empty() { None } else { Some(take_char(text)) }
}

/// Skips one or more spaces. As in Go's scanning, these are Unicode's, but for the newline.
fn spaces(text: &[u8]) -> Option<&[u8]> {
    let rest = skip_spaces(text);
    (rest.len() < text.len()).then_some(rest)
}

fn skip_spaces(mut text: &[u8]) -> &[u8] {
    while let Some((_, rest)) = next_char(text).filter(|(c, _)| c.is_whitespace() && *c != '\n') {
        text = rest;
    }
    text
}

/// Whether only spaces and the newline are left; a line cut at the limit has no newline.
fn at_end(text: &[u8]) -> bool {
    matches!(skip_spaces(text), b"" | b"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
