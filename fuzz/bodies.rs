//! What each fuzz target checks, given any bytes: that the parser does not panic, and that what it read, once
//! written, is read as the same. Used by the targets, and by a test of lonet-core that replays the corpus.
#![allow(dead_code)]

use super::lonet_core::address::Address;
use super::lonet_core::control::{self, MAX_MESSAGE};
use super::lonet_core::handshake::{DialRequest, LineBuf, MAX_LINE, Reply, WireAddr, answer};
use super::lonet_core::quote::{quote as quoted, scan_quoted};

/// A corpus, packed: an input a line, in hexadecimal digits.
pub fn unpack(packed: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    packed
        .lines()
        .map(move |line| line.as_bytes().chunks(2).map(|h| digit(h[0]) << 4 | digit(h[1])).collect())
}

pub fn quote(data: &[u8]) {
    let text = quoted(data);
    assert_eq!(scan_quoted(text.as_bytes()), Ok((data.to_vec(), &b""[..])));
    assert!(text.bytes().all(|b| b != b'\n'), "a quoted text has no line break");
    if let Ok((value, rest)) = scan_quoted(data) {
        assert!(data.ends_with(rest) && rest.len() < data.len());
        assert_eq!(scan_quoted(quoted(&value).as_bytes()), Ok((value, &b""[..])));
    }
}

pub fn address(data: &[u8]) {
    let wire = WireAddr::parse(data);
    if let Some(a) = &wire {
        assert_eq!(WireAddr::parse(&a.to_bytes()).as_ref(), Some(a));
    }
    if let Ok(a) = Address::parse_bytes(data) {
        assert_eq!(Address::parse(&a.to_string()).as_ref(), Ok(&a));
        // What the strict parser takes, the lax one takes as the same.
        assert_eq!(wire, Some(WireAddr { host: a.host.into_bytes(), port: u64::from(a.port) }));
    }
}

const NETWORK: &[u8] = b"lonetwiretest";

/// The line that a stream begins with, read in pieces of a size that the stream itself chooses.
fn line(data: &[u8]) -> Option<Vec<u8>> {
    let (step, mut rest) = data.split_first().map(|(b, rest)| (usize::from(*b) + 1, rest))?;
    let mut line = LineBuf::default();
    while !rest.is_empty() {
        let peeked = &rest[..rest.len().min(step).min(line.room())];
        let (taken, tail) = rest.split_at(line.wanted(peeked));
        rest = tail;
        if let Some(line) = line.push(taken) {
            assert!(line.len() <= MAX_LINE);
            assert!(!line[..line.len() - 1].contains(&b'\n'), "nothing behind the newline is taken");
            return Some(line.to_vec());
        }
    }
    None
}

pub fn request(data: &[u8]) {
    let Some(line) = line(data) else { return };
    if let Ok(request) = DialRequest::parse(&line, NETWORK) {
        assert_eq!(DialRequest::parse(&request.to_line(), NETWORK), Ok(request.clone()));
    }
    let reply = answer(&line, NETWORK, |request| Reply::no_such_host(&request.dst)).to_line(NETWORK);
    assert!(reply.ends_with(b"\n") && reply.starts_with(b"< lonet \"lonetwiretest\" E \""));
}

pub fn reply(data: &[u8]) {
    let Some(line) = line(data) else { return };
    let alpha = |port| WireAddr { host: "α".into(), port };
    let request = DialRequest { network: NETWORK.to_vec(), src: alpha(1), dst: alpha(10) };
    let reply = Reply::parse(&line, &request);
    let told = request.failure("127.0.0.1:1", &reply);
    assert_eq!(told.is_none(), matches!(reply, Ok(Reply::Connected(_))));
    if let Ok(reply) = reply {
        assert_eq!(Reply::parse(&reply.to_line(NETWORK), &request), Ok(reply));
    }
}

/// A message with the version of today, so that the corpus outlives it.
fn of_today(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    if let Some(version) = data.get_mut(4..6).filter(|v| *v != [0, 0]) {
        version.copy_from_slice(&control::VERSION.to_le_bytes());
    }
    data
}

pub fn control_request(data: &[u8]) {
    let data = &of_today(data)[..];
    let Ok((caller, received)) = control::read_request(data) else { return };
    let at = control::sent_at(data).unwrap_or_default();
    let mut buffer = [0; MAX_MESSAGE];
    let Some(n) = control::write_request(&mut buffer, at, &caller, received.as_request()) else {
        return assert!(data.len() > MAX_MESSAGE);
    };
    assert_eq!(control::read_request(&buffer[..n]), Ok((caller, received)));
    assert_eq!(control::sent_at(&buffer[..n]), control::sent_at(data));
}

pub fn control_reply(data: &[u8]) {
    let data = &of_today(data)[..];
    let Ok((opening, reply)) = control::read_reply(data) else { return };
    let mut buffer = [0; MAX_MESSAGE];
    let Some(n) = control::write_reply(&mut buffer, opening, &reply) else {
        return assert!(data.len() > MAX_MESSAGE);
    };
    assert_eq!(control::read_reply(&buffer[..n]), Ok((opening, reply)));
}
