//! Encodes an event of the trace for a capture, as what Wireshark calls an exported PDU.
//!
//! This is not a packet, and does not look like one: it has tags for its addresses and for the dissector to use, and then its
//! payload, the event's line of JSON.
//! <https://github.com/wireshark/wireshark/blob/master/wsutil/exported_pdu_tlvs.h>

use crate::trace::event::Event;
use std::net::SocketAddrV4;

const END: u16 = 0;
const DISSECTOR: u16 = 12;
const IPV4_SOURCE: u16 = 20;
const IPV4_DESTINATION: u16 = 21;
const PORT_TYPE: u16 = 24;
const SOURCE_PORT: u16 = 25;
const DESTINATION_PORT: u16 = 26;
const PROTOCOL_COLUMN: u16 = 33;
const INFO_COLUMN: u16 = 36;

const TCP: u32 = 2;

/// The text form of an event, without its time.
pub fn text(event: &Event) -> String {
    let text = event.to_string();
    text.split_once(' ').map_or(text.clone(), |(_, words)| words.to_owned())
}

/// The exported PDU for an event between these addresses, as far as they are known.
pub fn pdu(event: &Event, ends: [Option<SocketAddrV4>; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    tag(&mut out, DISSECTOR, b"json");
    let places = [(IPV4_SOURCE, SOURCE_PORT), (IPV4_DESTINATION, DESTINATION_PORT)];
    for (end, (ip, _)) in ends.iter().zip(places) {
        if let Some(end) = end {
            tag(&mut out, ip, &end.ip().octets());
        }
    }
    tag(&mut out, PORT_TYPE, &TCP.to_be_bytes());
    for (end, (_, port)) in ends.iter().zip(places) {
        if let Some(end) = end {
            tag(&mut out, port, &u32::from(end.port()).to_be_bytes());
        }
    }
    tag(&mut out, PROTOCOL_COLUMN, b"lonet");
    tag(&mut out, INFO_COLUMN, text(event).as_bytes());
    tag(&mut out, END, b"");
    let _ = serde_json::to_writer(&mut out, event);
    out
}

/// Adds a tag. Its value is padded with zeroes to whole 32-bit words, which count for its length.
fn tag(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX) & !3).unwrap_or(value);
    let length = value.len().next_multiple_of(4);
    out.extend(tag.to_be_bytes());
    out.extend((length as u16).to_be_bytes());
    let end = out.len() + length;
    out.extend(value);
    out.resize(end, 0);
}
