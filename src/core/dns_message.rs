//! DNS messages (RFC 1035), as far as needed to answer for hosts of a network: one question, and answers with
//! A, AAAA and PTR records. All other names are left to the machine's name servers.
//!
//! The TTL of answers is 0, as a cache would not see that a network has ended. Nothing here allocates.

use crate::config::LONET_SUFFIX;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of name servers.
pub const PORT: u16 = 53;

/// Room for any of lonet's answers: a header, the question, two addresses or one name.
pub const MAX_ANSWER: usize = 640;

const HEADER: usize = 12;

/// The longest name, as text.
const MAX_NAME: usize = 254;

/// Record types.
pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
pub const ANY: u16 = 255;

/// The class of the internet.
const IN: u16 = 1;

/// The response code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// The name exists.
    NoError = 0,
    /// The look-up failed temporarily.
    ServFail = 2,
    /// The name does not exist.
    NxDomain = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record<'n> {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// A host's name in ASCII, without `.lonet`.
    Name(&'n str),
}

/// The subject of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'q> {
    /// A host: the part before `.lonet`, as it was spelled; empty: `lonet` itself.
    Host(&'q [u8]),
    /// The name of an address (reverse look-up); IPv4 ones v4-mapped. It need not be one of lonet's.
    Address(Ipv6Addr),
    /// Not lonet's.
    Other,
}

/// The question of a query.
#[derive(Clone)]
pub struct Question {
    name: [u8; MAX_NAME],
    len: usize,
    pub kind: u16,
    class: u16,
    /// Its end in the query.
    end: usize,
}

impl Question {
    /// Parses a query. `None`: it is no query with one question, or its name cannot be written as text.
    pub fn read(query: &[u8]) -> Option<Question> {
        let flags = u16_at(query, 2)?;
        // A response, or an operation other than a query.
        if flags & 0xf800 != 0 || u16_at(query, 4)? != 1 {
            return None;
        }
        let mut question = Question { name: [0; MAX_NAME], len: 0, kind: 0, class: 0, end: HEADER };
        loop {
            let length = usize::from(*query.get(question.end)?);
            let label = query.get(question.end + 1..)?.get(..length)?;
            question.end += 1 + length;
            if length == 0 {
                break;
            }
            // A question has no compressed name, and text cannot have a dot within a label.
            if length > 63 || label.contains(&b'.') {
                return None;
            }
            if question.len > 0 {
                question.push(b".")?;
            }
            question.push(label)?;
        }
        question.kind = u16_at(query, question.end)?;
        question.class = u16_at(query, question.end + 2)?;
        question.end += 4;
        Some(question)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.name.get_mut(self.len..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn name(&self) -> &[u8] {
        self.name.get(..self.len).unwrap_or_default()
    }

    pub fn subject(&self) -> Subject<'_> {
        let name = self.name();
        if let Some(host) = strip_suffix(name, LONET_SUFFIX) {
            return Subject::Host(host);
        }
        if name.eq_ignore_ascii_case(LONET_SUFFIX.trim_start_matches('.').as_bytes()) {
            return Subject::Host(b"");
        }
        let address = match strip_suffix(name, ".in-addr.arpa") {
            Some(reversed) => ipv4(reversed),
            None => strip_suffix(name, ".ip6.arpa").and_then(ipv6),
        };
        address.map_or(Subject::Other, Subject::Address)
    }

    /// Whether it asks for records of this type.
    pub fn wants(&self, kind: u16) -> bool {
        matches!(self.class, IN | ANY) && (self.kind == kind || self.kind == ANY)
    }
}

fn strip_suffix<'n>(name: &'n [u8], suffix: &str) -> Option<&'n [u8]> {
    let (head, tail) = name.split_at(name.len().checked_sub(suffix.len())?);
    tail.eq_ignore_ascii_case(suffix.as_bytes()).then_some(head)
}

/// Parses the reversed form of an IPv4 address: `4.3.2.1` is 1.2.3.4.
fn ipv4(reversed: &[u8]) -> Option<Ipv6Addr> {
    let reversed: Ipv4Addr = std::str::from_utf8(reversed).ok()?.parse().ok()?;
    let mut octets = reversed.octets();
    octets.reverse();
    Some(Ipv4Addr::from(octets).to_ipv6_mapped())
}

/// Parses the reversed form of an IPv6 address: 32 hexadecimal digits, the last one first.
fn ipv6(reversed: &[u8]) -> Option<Ipv6Addr> {
    let mut bits: u128 = 0;
    let mut count = 0;
    for digit in reversed.split(|b| *b == b'.') {
        let [digit] = digit else { return None };
        let value = char::from(*digit).to_digit(16)?;
        bits = bits >> 4 | u128::from(value) << 124;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(bits))
}

/// Writes a query and returns its length. `None`: `name` is invalid, or there is no room.
pub fn write_query(buffer: &mut [u8], id: u16, name: &[u8], kind: u16, class: u16) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.u16(id)?;
    const RECURSION_DESIRED: u16 = 0x0100;
    for field in [RECURSION_DESIRED, 1, 0, 0, 0] {
        w.u16(field)?;
    }
    w.name(name)?;
    w.u16(kind)?;
    w.u16(class)?;
    Some(w.at)
}

/// The result of looking up the subject of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'n> {
    Host {
        v4: Ipv4Addr,
        v6: Ipv6Addr,
    },
    /// For an address: its host's name in ASCII, without `.lonet`.
    Name(&'n str),
    /// A name without records: `lonet` itself.
    Domain,
    /// The subject does not exist, or the look-up failed.
    Failed(Rcode),
}

/// An answer that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub len: usize,
    pub code: Rcode,
    /// Number of its records.
    pub records: usize,
}

/// Answers `query`, whose question is `question`. `None`: there is no room.
pub fn answer(
    buffer: &mut [u8; MAX_ANSWER],
    query: &[u8],
    question: &Question,
    found: Lookup<'_>,
) -> Option<Answer> {
    let mut records = [Record::Name(""); 2];
    let mut count = 0;
    let mut add = |kind, record| {
        if question.wants(kind)
            && let Some(free) = records.get_mut(count)
        {
            *free = record;
            count += 1;
        }
    };
    let mut code = Rcode::NoError;
    match found {
        Lookup::Host { v4, v6 } => {
            add(A, Record::V4(v4));
            add(AAAA, Record::V6(v6));
        }
        Lookup::Name(name) => add(PTR, Record::Name(name)),
        Lookup::Domain => {}
        Lookup::Failed(why) => code = why,
    }
    let records = records.get(..count)?;
    Some(Answer { len: write_answer(buffer, query, question, code, records)?, code, records: count })
}

/// Writes the answer to `query`, whose question is `question`, and returns its length. `None`: there is no
/// room.
fn write_answer(
    buffer: &mut [u8],
    query: &[u8],
    question: &Question,
    code: Rcode,
    records: &[Record<'_>],
) -> Option<usize> {
    let mut w = Writer { buffer, at: 0 };
    w.bytes(query.get(..2)?)?;
    const RESPONSE: u16 = 0x8000;
    const AUTHORITATIVE: u16 = 0x0400;
    const RECURSION_AVAILABLE: u16 = 0x0080;
    let desired = u16_at(query, 2)? & 0x0100;
    w.u16(RESPONSE | AUTHORITATIVE | desired | RECURSION_AVAILABLE | code as u16)?;
    for field in [1, records.len() as u16, 0, 0] {
        w.u16(field)?;
    }
    w.bytes(query.get(HEADER..question.end)?)?;
    for record in records {
        // A compressed name: that of the question.
        w.u16(0xc000 | HEADER as u16)?;
        w.u16(match record {
            Record::V4(_) => A,
            Record::V6(_) => AAAA,
            Record::Name(_) => PTR,
        })?;
        w.u16(IN)?;
        w.bytes(&[0; 4])?;
        let length = w.at;
        w.u16(0)?;
        match record {
            Record::V4(ip) => w.bytes(&ip.octets())?,
            Record::V6(ip) => w.bytes(&ip.octets())?,
            Record::Name(name) => {
                w.label(name.as_bytes())?;
                w.name(LONET_SUFFIX.trim_start_matches('.').as_bytes())?;
            }
        }
        let data = (w.at - length - 2) as u16;
        w.buffer.get_mut(length..length + 2)?.copy_from_slice(&data.to_be_bytes());
    }
    Some(w.at)
}

struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.buffer.get_mut(self.at..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    fn u16(&mut self, v: u16) -> Option<()> {
        self.bytes(&v.to_be_bytes())
    }

    fn label(&mut self, label: &[u8]) -> Option<()> {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        self.bytes(&[length])?;
        self.bytes(label)
    }

    /// Writes a name, given with or without a final dot.
    fn name(&mut self, name: &[u8]) -> Option<()> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let start = self.at;
        for label in name.split(|b| *b == b'.') {
            self.label(label)?;
        }
        self.bytes(&[0])?;
        (self.at - start <= 255).then_some(())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> (Vec<u8>, Question) {
        let mut buffer = [0; 300];
        let n = write_query(&mut buffer, 0x1234, name.as_bytes(), kind, IN).unwrap();
        (buffer[..n].to_vec(), Question::read(&buffer[..n]).unwrap())
    }

    #[test]
    fn subjects_are_hosts_addresses_or_others() {
        let v4 = |text: &str| Subject::Address(text.parse::<Ipv4Addr>().unwrap().to_ipv6_mapped());
        let nibbles = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.0.0.0.4.7.5.6.e.6.f.6.C.6.d.f.ip6.arpa";
        for (name, subject) in [
            ("β.lonet", Subject::Host("β".as_bytes())),
            ("XN--NXA.Lonet.", Subject::Host(b"XN--NXA")),
            ("a.b.lonet", Subject::Host(b"a.b")),
            ("lonet", Subject::Host(b"")),
            ("lonet.example", Subject::Other),
            ("plonet", Subject::Other),
            ("2.0.7.127.in-addr.arpa", v4("127.7.0.2")),
            ("0.7.127.in-addr.arpa", Subject::Other),
            (nibbles, Subject::Address("fd6c:6f6e:6574:7::2".parse().unwrap())),
            ("1.0.ip6.arpa", Subject::Other),
        ] {
            assert_eq!(query(name, A).1.subject(), subject, "{name}");
        }
    }

    #[test]
    fn answer_repeats_the_question_and_has_the_records() {
        let (bytes, question) = query("b.lonet", A);
        let mut buffer = [0; MAX_ANSWER];
        let ip = Ipv4Addr::new(127, 7, 0, 2);
        let n = write_answer(&mut buffer, &bytes, &question, Rcode::NoError, &[Record::V4(ip)]).unwrap();
        let answer = &buffer[..n];
        assert_eq!(&answer[..HEADER], &[0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(&answer[HEADER..bytes.len()], &bytes[HEADER..]);
        assert_eq!(&answer[bytes.len()..], &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 7, 0, 2]);

        let (bytes, question) = query("2.0.7.127.in-addr.arpa", PTR);
        let name = [Record::Name("xn--nxa")];
        let n = write_answer(&mut buffer, &bytes, &question, Rcode::NoError, &name).unwrap();
        assert_eq!(&buffer[bytes.len()..n][10..], b"\0\x0f\x07xn--nxa\x05lonet\0");
        let n = write_answer(&mut buffer, &bytes, &question, Rcode::NxDomain, &[]).unwrap();
        assert_eq!((n, buffer[3] & 15), (bytes.len(), 3));
    }

    #[test]
    fn largest_answer_has_room() {
        let label = "h".repeat(63);
        let (bytes, question) = query(&format!("{label}.{label}.{label}.{}.lonet", "h".repeat(55)), ANY);
        let records =
            [Record::V4(Ipv4Addr::LOCALHOST), Record::V6(Ipv6Addr::LOCALHOST), Record::Name(&label)];
        assert!(write_answer(&mut [0; MAX_ANSWER], &bytes, &question, Rcode::NoError, &records).is_some());
    }

    #[test]
    fn message_that_is_no_query_is_not_parsed() {
        let (mut bytes, _) = query("b.lonet", A);
        for n in 0..bytes.len() {
            assert!(Question::read(&bytes[..n]).is_none(), "{n}");
        }
        bytes[2] |= 0x80;
        assert!(Question::read(&bytes).is_none(), "a response");
        bytes[2] = 0;
        bytes[HEADER] = 0xc0;
        assert!(Question::read(&bytes).is_none(), "a compressed name");
        assert!(write_query(&mut [0; 300], 0, b"a..b", A, IN).is_none());
        assert!(write_query(&mut [0; 300], 0, "h".repeat(64).as_bytes(), A, IN).is_none());
    }
}
