//! Parses IPv4 packets and rewrites their ports.

use std::net::{Ipv4Addr, SocketAddrV4};

const TCP: u8 = 6;
const UDP: u8 = 17;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The header of a TCP segment, as far as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub sequence: u32,
    /// The sequence number of the next segment from this end.
    pub next: u32,
    /// The acknowledgement number.
    pub acknowledged: Option<u32>,
    flags: u8,
}

impl Segment {
    /// Whether it is the SYN of a dial.
    pub fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    pub fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }

    /// Whether it ends this end's data.
    pub fn is_fin(&self) -> bool {
        self.flags & FIN != 0
    }

    /// A segment without data, with these sequence and acknowledgement numbers.
    #[cfg(test)]
    pub fn new([from, to]: [SocketAddrV4; 2], flags: u8, [sequence, other]: [u32; 2]) -> Segment {
        let next = sequence.wrapping_add(u32::from(flags & (SYN | FIN) != 0));
        let acknowledged = (flags & ACK != 0).then_some(other);
        Segment { from, to, sequence, next, acknowledged, flags }
    }
}

/// The headers of an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    protocol: u8,
    /// Where the transport header begins and its payload ends. `None`: the packet is truncated or a fragment.
    transport: Option<(usize, usize)>,
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Headers {
    /// Parses a packet. `None`: not IPv4.
    pub fn read(packet: &[u8]) -> Option<Headers> {
        let first = *packet.first()?;
        let header = usize::from(first & 15) * 4;
        if first >> 4 != 4 || header < 20 || packet.len() < header {
            return None;
        }
        let length = usize::from(read_u16(packet, 2)?);
        // Fragments have the flag MF or an offset.
        let is_whole = read_u16(packet, 6)? & 0x3fff == 0 && (header..=packet.len()).contains(&length);
        Some(Headers {
            from: read_u32(packet, 12)?.into(),
            to: read_u32(packet, 16)?.into(),
            protocol: *packet.get(9)?,
            transport: is_whole.then_some((header, length)),
        })
    }

    /// The packet as a TCP segment, if it is a complete one.
    pub fn segment(&self, packet: &[u8]) -> Option<Segment> {
        let (at, end) = self.transport.filter(|(at, end)| self.protocol == TCP && end - at >= 20)?;
        let (sequence, flags) = (read_u32(packet, at + 4)?, *packet.get(at + 13)?);
        let data = (end - at).saturating_sub(usize::from(packet.get(at + 12)? >> 4) * 4);
        // SYN and FIN take a sequence number each.
        let counted = (flags & (SYN | FIN)).count_ones() + data as u32;
        Some(Segment {
            from: SocketAddrV4::new(self.from, read_u16(packet, at)?),
            to: SocketAddrV4::new(self.to, read_u16(packet, at + 2)?),
            sequence,
            next: sequence.wrapping_add(counted),
            acknowledged: if flags & ACK != 0 { Some(read_u32(packet, at + 8)?) } else { None },
            flags,
        })
    }

    pub fn is_udp(&self) -> bool {
        self.protocol == UDP && self.transport.is_some()
    }

    /// Replaces the ports (source, destination) of a TCP or UDP packet, and computes its checksum, which the
    /// kernel leaves out on the loopback.
    pub fn rewrite_ports(&self, packet: &mut [u8], ports: [Option<u16>; 2]) {
        let Some((at, end)) = self.transport else { return };
        let checksum = match self.protocol {
            TCP if end - at >= 20 => 16,
            UDP if end - at >= 8 => 6,
            _ => return,
        };
        for (n, port) in ports.iter().enumerate() {
            let place = at + 2 * n;
            if let (Some(port), Some(place)) = (port, packet.get_mut(place..place + 2)) {
                place.copy_from_slice(&port.to_be_bytes());
            }
        }
        let place = at + checksum..at + checksum + 2;
        let Some(field) = packet.get_mut(place.clone()) else { return };
        field.fill(0);
        let Some(body) = packet.get(at..end) else { return };
        let pseudo = u64::from(u32::from(self.from)) + u64::from(u32::from(self.to));
        let mut sum = fold(pseudo + u64::from(self.protocol) + (end - at) as u64 + sum(body));
        // In UDP, 0 means no checksum; its other representation is sent.
        if self.protocol == UDP && sum == u16::MAX {
            sum = 0;
        }
        if let Some(field) = packet.get_mut(place) {
            field.copy_from_slice(&(!sum).to_be_bytes());
        }
    }
}

/// The sum of the 16-bit words; an odd last byte is padded with 0.
fn sum(bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<4>();
    let last: u64 = match *rest {
        [] => 0,
        [a] => u64::from(a) << 8,
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a, b, c, ..] => u64::from(u16::from_be_bytes([a, b])) + (u64::from(c) << 8),
    };
    // Four bytes at a time: the sum of two words comes out when the result is folded.
    pairs.iter().map(|pair| u64::from(u32::from_be_bytes(*pair))).sum::<u64>() + last
}

/// The ones' complement sum of 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, (20 + payload.len()) as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        packet.extend([127, 7, 0, 2, 127, 7, 0, 1]);
        packet.extend(payload);
        packet
    }

    fn syn(data: &[u8]) -> Vec<u8> {
        let header = [0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0xaa, 0xbb, 0, 0];
        packet(TCP, &[&header[..], data].concat())
    }

    /// Verifies the checksum by RFC 1071: the sum over pseudo header and segment is all ones.
    fn is_right(packet: &[u8]) -> bool {
        let pseudo = [&packet[12..20], &[0, packet[9]], &(packet.len() as u16 - 20).to_be_bytes()].concat();
        let mut bytes = [&pseudo, &packet[20..]].concat();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let words = bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum = words.sum::<u32>();
        (sum >> 16) + (sum & 0xffff) == 0xffff
    }

    #[test]
    fn ports_and_checksum_of_a_segment_are_rewritten() {
        for data in [&b""[..], b"a", b"ab", b"abc", b"abcd", &[0xff; 99]] {
            let mut packet = syn(data);
            let headers = Headers::read(&packet).expect("a packet");
            let segment = headers.segment(&packet).expect("a segment");
            assert_eq!((segment.from.to_string(), segment.to.port()), ("127.7.0.2:40000".into(), 80));
            assert_eq!((segment.next, segment.acknowledged), (10 + data.len() as u32, None));
            assert_eq!((segment.sequence, segment.is_syn(), segment.is_reset()), (9, true, false));
            headers.rewrite_ports(&mut packet, [Some(1), None]);
            let segment = headers.segment(&packet).expect("a segment");
            assert_eq!((segment.from.port(), segment.to.port()), (1, 80));
            assert!(is_right(&packet), "{} bytes", data.len());
        }
    }

    #[test]
    fn datagram_gets_its_checksum() {
        let mut query = packet(UDP, &[0x9c, 0x40, 0x80, 0, 0, 11, 0, 0, 1, 2, 3]);
        Headers::read(&query).expect("a packet").rewrite_ports(&mut query, [None, Some(53)]);
        assert!(is_right(&query) && query[22..24] == [0, 53]);
    }

    #[test]
    fn truncated_packet_is_left_alone() {
        let whole = syn(b"abcd");
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            if let Some(headers) = Headers::read(&cut) {
                assert_eq!(headers.segment(&cut), None);
                headers.rewrite_ports(&mut cut, [Some(1), Some(2)]);
            }
            assert_eq!(cut, whole[..length]);
        }
        let mut fragment = whole.clone();
        fragment[6] = 0x20;
        assert_eq!(Headers::read(&fragment).expect("a packet").segment(&fragment), None);
        for bytes in [&[0x60; 40][..], &[0x44; 40], &[0x4f; 40], &[]] {
            assert_eq!(Headers::read(bytes), None);
        }
    }
}
