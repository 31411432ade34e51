//! Tests of the handshake, with recordings of the reference implementation (tests/wire).

use super::*;
use serde_json::Value;

const ACCEPTOR: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/reference-acceptor.jsonl"));
const DIALER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/reference-dialer.jsonl"));

const NETWORK: &[u8] = b"lonetwiretest";

fn cases(recording: &str) -> Vec<Value> {
    let cases: Vec<Value> = recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!cases.is_empty());
    cases
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|h| u8::from_str_radix(str::from_utf8(h).unwrap(), 16).unwrap()).collect()
}

fn addr(host: &str, port: u64) -> WireAddr {
    WireAddr { host: host.into(), port }
}

/// The first line of a stream, and the rest of the stream. `None`: there is no complete line.
fn first_line(stream: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut line = LineBuf::default();
    let (taken, rest) = stream.split_at(line.wanted(stream));
    line.push(taken).map(|line| (line.to_vec(), rest))
}

/// `> lonet "lonetwiretest" dial "β:1" "α:10"\n`
fn dial() -> DialRequest {
    DialRequest { network: NETWORK.to_vec(), src: addr("β", 1), dst: addr("α", 10) }
}

#[test]
fn answers_as_the_reference_acceptor_does() {
    for case in cases(ACCEPTOR) {
        let name = case["case"].as_str().unwrap();
        let sent = bytes(case["send_hex"].as_str().unwrap());
        // "" is a connection closed without a reply, null one that waits for more.
        let recorded = case["reply"].as_str().unwrap_or_default();
        let Some((line, rest)) = first_line(&sent) else {
            assert_eq!(recorded, "", "{name}");
            continue;
        };
        // Host α listens on 10 and takes a fresh port for what it accepts: 1, or 2 where the connection
        // of the case before still had 1.
        let fresh = if recorded.contains("α:2") { 2 } else { 1 };
        let reply = answer(&line, NETWORK, |request| {
            if request.dst.host != "α".as_bytes() {
                Reply::no_such_host(&request.dst)
            } else if request.dst.port != 10 {
                Reply::Refused
            } else {
                Reply::Connected(addr("α", fresh))
            }
        });
        let stays = matches!(reply, Reply::Connected(_));
        // What follows the line of an established connection is data, which α echoes.
        let echo = if stays { rest } else { b"" };
        let received = [&reply.to_line(NETWORK)[..], echo].concat();
        assert_eq!(
            received.escape_ascii().to_string(),
            recorded.as_bytes().escape_ascii().to_string(),
            "{name}"
        );
        assert_eq!(stays, case["then"] == "stays open", "{name}");
    }
}

#[test]
fn dials_as_the_reference_dialer_does() {
    for case in cases(DIALER) {
        let name = case["case"].as_str().unwrap();
        assert_eq!(dial().to_line(), case["request"].as_str().unwrap().as_bytes(), "{name}");
        let stream = case["reply"].as_str().unwrap().as_bytes();
        let (outcome, rest) = match first_line(stream) {
            Some((line, rest)) => (Reply::parse(&line, &dial()), rest),
            None => (Err(ReplyError::UnexpectedEof), &b""[..]),
        };
        let got = match (&outcome, dial().failure("OSADDR", &outcome)) {
            (Ok(Reply::Connected(peer)), None) => {
                let data = str::from_utf8(rest).unwrap();
                format!("CONN {} {peer}\nGOT {data} <nil>", dial().src)
            }
            (_, Some(failure)) => format!("ERR {failure}"),
            (_, None) => panic!("{name}: a failure without a text: {outcome:?}"),
        };
        assert_eq!(got, case["dialer"].as_str().unwrap(), "{name}");
    }
}

#[test]
fn each_side_reads_what_the_other_writes() {
    let odd = WireAddr { host: b"a:\xff\"\n".to_vec(), port: 7 };
    for dst in [addr("α", 80), addr("", 0), odd] {
        let request = DialRequest { dst: dst.clone(), ..dial() };
        assert_eq!(DialRequest::parse(&request.to_line(), NETWORK), Ok(request.clone()));
        for reply in [
            Reply::Connected(WireAddr { port: 1, ..dst.clone() }),
            Reply::Refused,
            Reply::no_such_host(&dst),
            RequestError::Invalid.into(),
        ] {
            assert_eq!(Reply::parse(&reply.to_line(NETWORK), &request), Ok(reply));
        }
    }
}

#[test]
fn spaces_between_fields_are_many_and_of_any_kind() {
    let ok = Ok(dial());
    for line in [
        "> lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"\n",
        ">  lonet\t\"lonetwiretest\"\u{a0}dial \u{3000}\"β:1\"\r\"α:10\"\n",
        "> lonet \"lonetwiretest\" dial \"β:1\" \"α:10\" \r\n",
        // Cut at the limit.
        "> lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"",
        "> lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"   ",
    ] {
        assert_eq!(DialRequest::parse(line.as_bytes(), NETWORK), ok, "{line:?}");
    }
    for line in [
        " > lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"\n",
        ">lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"\n",
        "> lonet\"lonetwiretest\" dial \"β:1\" \"α:10\"\n",
        "> lonet \"lonetwiretest\"dial \"β:1\" \"α:10\"\n",
        "> lonet \"lonetwiretest\" dial \"β:1\"\"α:10\"\n",
        "> lonet \"lonetwiretest\" dial 'β:1' \"α:10\"\n",
        "> lonet \"lonetwiretest\" dial \"β:1\"\n",
        "> lonet \"lonetwiretest\" dial \"β:1\n",
        "> lonet \"lonetwiretest\" dial \"β:1\" \"α:10\"\n\n",
        "",
    ] {
        assert_eq!(DialRequest::parse(line.as_bytes(), NETWORK), Err(RequestError::Invalid), "{line:?}");
    }
}

#[test]
fn wire_addresses_are_those_of_the_reference() {
    for (text, host, port) in [
        ("α:10", "α", 10),
        ("α:+10", "α", 10),
        ("α:-0", "α", 0),
        ("α:0010", "α", 10),
        (":1", "", 1),
        ("[a:b]:1", "a:b", 1),
        ("[α]:1", "α", 1),
        ("α:9223372036854775807", "α", i64::MAX as u64),
    ] {
        assert_eq!(WireAddr::parse(text.as_bytes()), Some(addr(host, port)), "{text}");
    }
    for text in [
        "",
        "α",
        "α:",
        "α:xx",
        "α:-1",
        "α:+",
        "α: 1",
        "α:1_0",
        "α:9223372036854775808",
        "a:b:1",
        "[a:1",
        "[a]1",
        "[a]b:1",
        "a[b:1",
        "a]b:1",
        "[[a]:1",
        "[a]:[1",
        "a:1]",
    ] {
        assert_eq!(WireAddr::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(WireAddr::parse(b"\xff:1"), Some(WireAddr { host: b"\xff".to_vec(), port: 1 }));
    assert_eq!(addr("a:b", 1).to_bytes(), b"[a:b]:1");
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    let line = b"> lonet \"lonetwiretest\" dial \"\xff:1\" \"\\xff:10\"\n";
    let request = DialRequest::parse(line, NETWORK).unwrap();
    assert_eq!(request.src, addr("\u{fffd}", 1));
    assert_eq!(request.dst, WireAddr { host: b"\xff".to_vec(), port: 10 });
}

#[test]
fn network_is_checked_before_addresses_and_src_before_dst() {
    let parse = |line: &str| DialRequest::parse(line.as_bytes(), NETWORK);
    assert_eq!(parse("> lonet \"x\" dial \"\" \"\"\n"), Err(RequestError::NetworkMismatch));
    assert_eq!(parse("> lonet \"lonetwiretest\" dial \"\" \"\"\n"), Err(RequestError::SrcInvalid));
    assert_eq!(parse("> lonet \"lonetwiretest\" dial \"β:1\" \"\"\n"), Err(RequestError::DstInvalid));
}
