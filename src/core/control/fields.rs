//! The fields of messages: written one after the other, little-endian, and read in the same order.

use super::{Asked, EVERY_VERSION, MAGIC, Malformed, Name, VERSION};
use crate::block::{Endpoint, Face};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub struct Writer<'b> {
    pub buffer: &'b mut [u8],
    pub at: usize,
}

impl Writer<'_> {
    pub fn bytes(&mut self, bytes: &[u8]) {
        // A message that does not fit is cut here and refused by the length check in `finish`.
        if let Some(to) = self.buffer.get_mut(self.at..self.at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }
    pub fn u8(&mut self, v: u8) {
        self.bytes(&[v]);
    }
    pub fn u16(&mut self, v: u16) {
        self.bytes(&v.to_le_bytes());
    }
    pub fn u64(&mut self, v: u64) {
        self.bytes(&v.to_le_bytes());
    }
    pub fn i32(&mut self, v: i32) {
        self.bytes(&v.to_le_bytes());
    }
    pub fn flags(&mut self, flags: &[bool]) {
        self.u8(flags.iter().enumerate().fold(0, |all, (i, f)| all | u8::from(*f) << i));
    }
    pub fn ip4(&mut self, a: Ipv4Addr) {
        self.bytes(&a.octets());
    }
    pub fn os(&mut self, a: SocketAddrV4) {
        self.ip4(*a.ip());
        self.u16(a.port());
    }
    pub fn os_or_none(&mut self, a: Option<SocketAddrV4>) {
        self.u8(u8::from(a.is_some()));
        self.os(a.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
    }
    pub fn endpoint(&mut self, e: Endpoint) {
        self.bytes(&e.ip.octets());
        self.u16(e.port);
    }
    pub fn endpoint_or_none(&mut self, e: Option<Endpoint>) {
        self.u8(u8::from(e.is_some()));
        self.endpoint(e.unwrap_or(Endpoint::new(Ipv6Addr::UNSPECIFIED, 0)));
    }
    pub fn asked(&mut self, a: Asked) {
        self.flags(&[a.family == Face::V6, a.v6only, a.reuse_address, a.reuse_port]);
    }
    pub fn text(&mut self, t: &[u8]) {
        self.u16(t.len() as u16);
        self.bytes(t);
    }
    pub fn name(&mut self, n: Name<'_>) {
        self.text(n.host.as_bytes());
        self.u16(n.port);
    }
    pub fn finish(self) -> Option<usize> {
        (self.at <= self.buffer.len()).then_some(self.at)
    }
}

/// Reads fields in order; each call advances only when the field is there in full.
pub struct Reader<'b> {
    pub rest: &'b [u8],
}

pub type Read<T> = Result<T, Malformed>;

impl<'b> Reader<'b> {
    pub fn bytes(&mut self, n: usize) -> Read<&'b [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Bytes)?;
        self.rest = rest;
        Ok(head)
    }
    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| Malformed::Bytes)
    }
    pub fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }
    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_le_bytes)
    }
    pub fn flags<const N: usize>(&mut self) -> Read<[bool; N]> {
        let all = self.u8()?;
        Ok(std::array::from_fn(|i| all >> i & 1 == 1))
    }
    pub fn ip4(&mut self) -> Read<Ipv4Addr> {
        self.array::<4>().map(Ipv4Addr::from)
    }
    pub fn os(&mut self) -> Read<SocketAddrV4> {
        Ok(SocketAddrV4::new(self.ip4()?, self.u16()?))
    }
    pub fn os_or_none(&mut self) -> Read<Option<SocketAddrV4>> {
        let there = self.u8()? != 0;
        let a = self.os()?;
        Ok(there.then_some(a))
    }
    pub fn endpoint(&mut self) -> Read<Endpoint> {
        Ok(Endpoint::new(Ipv6Addr::from(self.array::<16>()?), self.u16()?))
    }
    pub fn endpoint_or_none(&mut self) -> Read<Option<Endpoint>> {
        let there = self.u8()? != 0;
        let e = self.endpoint()?;
        Ok(there.then_some(e))
    }
    pub fn asked(&mut self) -> Read<Asked> {
        let [v6, v6only, reuse_address, reuse_port] = self.flags()?;
        Ok(Asked { family: if v6 { Face::V6 } else { Face::V4 }, v6only, reuse_address, reuse_port })
    }
    pub fn text(&mut self) -> Read<&'b [u8]> {
        let n = self.u16()?;
        self.bytes(usize::from(n))
    }
    pub fn str(&mut self) -> Read<&'b str> {
        std::str::from_utf8(self.text()?).map_err(|_| Malformed::Bytes)
    }
    pub fn name(&mut self) -> Read<Name<'b>> {
        Ok(Name { host: self.str()?, port: self.u16()? })
    }
    /// [`VERSION`] or [`EVERY_VERSION`].
    pub fn opening(&mut self) -> Read<u16> {
        if self.array::<4>()? != MAGIC {
            return Err(Malformed::Bytes);
        }
        match self.u16()? {
            version @ (VERSION | EVERY_VERSION) => Ok(version),
            other => Err(Malformed::Version(other)),
        }
    }
    pub fn end<T>(self, value: T) -> Read<T> {
        if self.rest.is_empty() { Ok(value) } else { Err(Malformed::Bytes) }
    }
}
