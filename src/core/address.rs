//! Parses lonet addresses, as the API and the command line accept them.
//!
//! An address is `host:port`, `:port` (the context determines the host) or `[host]:port`, which a host with
//! colons needs. A port consists of decimal digits. For addresses from foreign peers the laxer rules of the
//! reference implementation apply: see [`handshake::WireAddr`](crate::handshake::WireAddr).

use crate::quote::quote;
use std::fmt;

/// The longest host of an address, in bytes. Names of foreign hosts may be anything up to this length.
pub const MAX_HOST: usize = 255;

/// A lonet address, e.g. `α:80`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name of the host; empty in `:port`.
    pub host: String,
    /// Port of the host; 0 asks for autobind.
    pub port: u16,
}

impl Address {
    /// Parses `host:port`, `:port` or `[host]:port`.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        match host_and_port(text.as_bytes()) {
            Ok((host, port)) => Ok(Address { host: host.to_owned(), port }),
            Err(problem) => Err(AddressError { input: quote(text.as_bytes()), problem }),
        }
    }

    /// [`Address::parse`] of bytes, such as those from C.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Address, AddressError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Address::parse(text),
            Err(_) => Err(AddressError { input: quote(bytes), problem: AddressProblem::NotUtf8 }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        Address::parse(text)
    }
}

/// [`Address::parse_bytes`] without allocation.
pub fn host_and_port(text: &[u8]) -> Result<(&str, u16), AddressProblem> {
    let text = std::str::from_utf8(text).map_err(|_| AddressProblem::NotUtf8)?;
    let (host, port) = split(text)?;
    if host.len() > MAX_HOST {
        return Err(AddressProblem::HostTooLong(host.len()));
    }
    Ok((host, parse_port(port).ok_or(AddressProblem::BadPort)?))
}

/// Splits an address into host and port, brackets removed.
fn split(text: &str) -> Result<(&str, &str), AddressProblem> {
    let (host, port) = text.rsplit_once(':').ok_or(AddressProblem::NoPort)?;
    let (host, bracketed) = match host.strip_prefix('[') {
        Some(rest) => (rest.strip_suffix(']').ok_or(AddressProblem::Brackets)?, true),
        None => (host, false),
    };
    if host.contains(['[', ']']) || port.contains(['[', ']']) {
        return Err(AddressProblem::Brackets);
    }
    if host.contains(':') && !bracketed {
        return Err(AddressProblem::Colons);
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Option<u16> {
    // u16's own parser accepts a leading '+' too.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The error for a text that is not a lonet address. Its message has the text, what is wrong, and what is
/// expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// The text, quoted.
    input: String,
    problem: AddressProblem,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressProblem {
    NotUtf8,
    NoPort,
    Colons,
    Brackets,
    BadPort,
    HostTooLong(usize),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {}: {}", self.input, self.problem)
    }
}

impl fmt::Display for AddressProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressProblem::NotUtf8 => write!(f, "not UTF-8, expected host:port in UTF-8"),
            AddressProblem::NoPort => write!(f, "no port, expected host:port"),
            AddressProblem::Colons => {
                write!(f, "too many colons, expected host:port, or [host]:port for a host with colons")
            }
            AddressProblem::Brackets => write!(f, "misplaced brackets, expected host:port or [host]:port"),
            AddressProblem::BadPort => write!(f, "port is not a number from 0 to 65535"),
            AddressProblem::HostTooLong(len) => {
                write!(f, "host has {len} bytes, expected at most {MAX_HOST}")
            }
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    fn refusal(text: &str) -> String {
        Address::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn takes_host_port_and_brackets() {
        for (text, host, port) in [
            ("α:80", "α", 80),
            (":10", "", 10),
            (":0", "", 0),
            ("α:65535", "α", 65535),
            ("α:0080", "α", 80),
            ("[α]:80", "α", 80),
            ("[a:b]:1", "a:b", 1),
            ("[::1]:1", "::1", 1),
            ("[]:1", "", 1),
            ("a b:1", "a b", 1),
        ] {
            assert_eq!(Address::parse(text), Ok(address(host, port)), "{text}");
            assert_eq!(Address::parse_bytes(text.as_bytes()), Ok(address(host, port)), "{text}");
        }
    }

    #[test]
    fn prints_what_it_parses() {
        for text in ["α:80", ":10", "[a:b]:1"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(address("α", 1).to_string(), "α:1");
    }

    #[test]
    fn refusals_name_the_input_and_the_reason() {
        for port in ["65536", "-1", "+80", "", "xx", "8 0", "80 ", "0x50", "٣", "99999999999999999999999"] {
            assert_eq!(
                refusal(&format!("α:{port}")),
                format!("address \"α:{port}\": port is not a number from 0 to 65535")
            );
        }
        assert_eq!(refusal(""), "address \"\": no port, expected host:port");
        assert_eq!(refusal("α"), "address \"α\": no port, expected host:port");
        assert_eq!(
            refusal("a:b:1"),
            "address \"a:b:1\": too many colons, expected host:port, or [host]:port for a host with colons"
        );
        for text in ["[a:1", "a]:1", "[a]b:1", "a[b:1", "[a]]:1", "[[a]:1", "a:[1]", "[a:b]"] {
            assert_eq!(
                refusal(text),
                format!("address \"{text}\": misplaced brackets, expected host:port or [host]:port")
            );
        }
    }

    #[test]
    fn host_has_at_most_255_bytes() {
        let longest = "h".repeat(255);
        assert_eq!(Address::parse(&format!("{longest}:1")), Ok(address(&longest, 1)));
        assert!(refusal(&format!("{longest}h:1")).ends_with("host has 256 bytes, expected at most 255"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_by_name() {
        let err = Address::parse_bytes(b"\xff\xce:1").unwrap_err();
        assert_eq!(err.to_string(), r#"address "\xff\xce:1": not UTF-8, expected host:port in UTF-8"#);
    }
}
