//! Makes the blocks of a pcapng file: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.
//!
//! Blocks are made in memory and written whole, so a file is readable at any moment up to its last whole block. Numbers are
//! little-endian, times are nanoseconds since 1970.

use std::net::Ipv4Addr;

/// The format of the packets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum LinkType {
    /// Packets begin with an IP header: LINKTYPE_RAW.
    Ip = 101,
    /// Packets begin with tags: LINKTYPE_WIRESHARK_UPPER_PDU.
    UpperPdu = 252,
}

/// The counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub received: u64,
    /// How many of them were dropped for want of room.
    pub dropped: u64,
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The length of a section when it is not known in advance.
const UNKNOWN: u64 = u64::MAX;

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;
/// The type of a record in a name resolution block.
const NAME_OF_IPV4: u16 = 1;

/// The resolution of times: 10^-9 s.
const NANOSECONDS: u8 = 9;

/// A sequence of blocks.
#[derive(Default)]
pub struct Blocks(pub Vec<u8>);

impl Blocks {
    /// Adds the section header, with which a file begins.
    pub fn section(&mut self, application: &str) {
        self.block(SECTION, |b| {
            b.extend(BYTE_ORDER.to_le_bytes());
            // Version 1.0.
            b.extend([1, 0, 0, 0]);
            b.extend(UNKNOWN.to_le_bytes());
            option(b, SECTION_APPLICATION, application.as_bytes());
            end_of_options(b);
        });
    }

    /// Adds an interface. Interfaces are numbered from 0.
    pub fn interface(&mut self, link: LinkType, name: &str, description: &str) {
        self.block(INTERFACE, |b| {
            b.extend((link as u16).to_le_bytes());
            // Two reserved bytes; a snapshot length of 0: no limit.
            b.extend([0; 6]);
            option(b, INTERFACE_NAME, name.as_bytes());
            option(b, INTERFACE_DESCRIPTION, description.as_bytes());
            option(b, INTERFACE_RESOLUTION, &[NANOSECONDS]);
            end_of_options(b);
        });
    }

    /// Adds names of addresses, for the packets that follow.
    pub fn names<'n>(&mut self, names: impl Iterator<Item = (Ipv4Addr, &'n str)>) {
        self.block(NAMES, |b| {
            for (ip, name) in names {
                let record = [&ip.octets(), name.as_bytes(), b"\0"].concat();
                option(b, NAME_OF_IPV4, &record);
            }
            // Records end as options do.
            end_of_options(b);
        });
    }

    /// Adds a packet of `length` bytes, of which `kept` were captured.
    pub fn packet(&mut self, interface: u32, time: u64, kept: &[u8], length: usize, comment: Option<&str>) {
        self.block(PACKET, |b| {
            b.extend(interface.to_le_bytes());
            put_time(b, time);
            b.extend((kept.len() as u32).to_le_bytes());
            b.extend((length as u32).to_le_bytes());
            b.extend(kept);
            pad(b);
            if let Some(comment) = comment {
                option(b, COMMENT, comment.as_bytes());
                end_of_options(b);
            }
        });
    }

    /// Adds the counters of an interface up to now.
    pub fn statistics(&mut self, interface: u32, time: u64, seen: Statistics) {
        self.block(STATISTICS, |b| {
            b.extend(interface.to_le_bytes());
            put_time(b, time);
            option(b, STATISTICS_RECEIVED, &seen.received.to_le_bytes());
            option(b, STATISTICS_DROPPED, &seen.dropped.to_le_bytes());
            end_of_options(b);
        });
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.0;
        let begin = out.len();
        out.extend(kind.to_le_bytes());
        out.extend([0; 4]);
        body(out);
        let length = (out.len() - begin + 4) as u32;
        out.extend(length.to_le_bytes());
        if let Some(place) = out.get_mut(begin + 4..begin + 8) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

fn put_time(out: &mut Vec<u8>, time: u64) {
    out.extend(((time >> 32) as u32).to_le_bytes());
    out.extend((time as u32).to_le_bytes());
}

/// Pads to a whole 32-bit word. All parts of blocks are whole words, so `out` always begins at one.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Adds an option, or a record of a name; one that exceeds 64 KiB is truncated.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out);
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of the blocks, and how many bytes follow the last whole one.
    fn kinds(mut bytes: &[u8]) -> (Vec<u32>, usize) {
        let word = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?));
        let mut kinds = Vec::new();
        loop {
            let length = bytes.get(4..).and_then(word).unwrap_or(0) as usize;
            let Some(end) = bytes.get(..length).filter(|b| b.len() >= 12).map(|b| &b[length - 4..]) else {
                return (kinds, bytes.len());
            };
            assert_eq!((word(end), length % 4), (Some(length as u32), 0));
            kinds.extend(word(bytes));
            bytes = &bytes[length..];
        }
    }

    #[test]
    fn block_has_whole_words_and_its_length_at_both_ends() {
        let mut blocks = Blocks::default();
        blocks.section("lonet");
        blocks.interface(LinkType::Ip, "net", "of five");
        blocks.names([(Ipv4Addr::new(127, 7, 0, 1), "α.lonet")].into_iter());
        for n in 0..5 {
            blocks.packet(0, u64::MAX, &[7; 5][..n], 9, (n % 2 == 0).then_some("comment"));
        }
        blocks.statistics(0, 1, Statistics { received: 5, dropped: 0 });
        let wanted = [&[SECTION, INTERFACE, NAMES][..], &[PACKET; 5], &[STATISTICS]].concat();
        assert_eq!(kinds(&blocks.0), (wanted.clone(), 0));
        for cut in 0..blocks.0.len() {
            let (whole, _) = kinds(&blocks.0[..cut]);
            assert_eq!(whole, wanted[..whole.len()], "cut at {cut}");
        }
    }
}
