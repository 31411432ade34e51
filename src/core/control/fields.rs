//! The fields of messages: written one after the other, little-endian, and read in the same order.

use super::{Asked, EVERY_VERSION, Fault, MAGIC, Malformed, Name, Options, Runs, Trace, VERSION};
use crate::block::{Endpoint, Face};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// What a field of a message can be.
pub trait Field<'b>: Sized {
    fn write(self, w: &mut Writer<'_>);
    fn read(r: &mut Reader<'b>) -> Read<Self>;
}

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

    pub fn put<'f>(&mut self, field: impl Field<'f>) {
        field.write(self);
    }

    /// How long the message is; `None`: too long.
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
    fn bytes(&mut self, n: usize) -> Read<&'b [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Bytes)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn take<T: Field<'b>>(&mut self) -> Read<T> {
        T::read(self)
    }

    /// [`VERSION`] or [`EVERY_VERSION`].
    pub fn opening(&mut self) -> Read<u16> {
        if self.take::<[u8; 4]>()? != MAGIC {
            return Err(Malformed::Bytes);
        }
        match self.take()? {
            version @ (VERSION | EVERY_VERSION) => Ok(version),
            other => Err(Malformed::Version(other)),
        }
    }

    pub fn end<T>(self, value: T) -> Read<T> {
        if self.rest.is_empty() { Ok(value) } else { Err(Malformed::Bytes) }
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(
            impl Field<'_> for $type {
                fn write(self, w: &mut Writer<'_>) {
                    w.bytes(&self.to_le_bytes());
                }
                fn read(r: &mut Reader<'_>) -> Read<Self> {
                    r.take().map(<$type>::from_le_bytes)
                }
            }
        )*
    };
}
numbers!(u8 u16 u32 u64 i32);

/// Fields one after the other.
macro_rules! structs {
    ($($type:ty { $($field:ident),* })*) => {
        $(
            impl<'b> Field<'b> for $type {
                fn write(self, w: &mut Writer<'_>) {
                    $( w.put(self.$field); )*
                }
                fn read(r: &mut Reader<'b>) -> Read<Self> {
                    Ok(Self { $( $field: r.take()? ),* })
                }
            }
        )*
    };
}
structs! {
    Endpoint { ip, port }
    Name<'b> { host, port }
    Asked { family, v6only, reuse_address, reuse_port }
    Options {
        real_loopback, private_ports, strict_names, fresh_accept_ports, closes_unseen, is_first, autobind_from
    }
}

/// One of a list of values, by its place in it.
macro_rules! choices {
    ($($type:ty: $all:expr;)*) => {
        $(
            impl Field<'_> for $type {
                fn write(self, w: &mut Writer<'_>) {
                    w.put(self as u8);
                }
                fn read(r: &mut Reader<'_>) -> Read<Self> {
                    $all.get(usize::from(r.take::<u8>()?)).copied().ok_or(Malformed::Bytes)
                }
            }
        )*
    };
}
choices! {
    bool: [false, true];
    Face: [Face::V4, Face::V6];
    Fault: Fault::ALL;
    Trace: Trace::ALL;
}

impl<const N: usize> Field<'_> for [u8; N] {
    fn write(self, w: &mut Writer<'_>) {
        w.bytes(&self);
    }
    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.bytes(N)?.try_into().map_err(|_| Malformed::Bytes)
    }
}

impl<'b, T: Field<'b>> Field<'b> for Option<T> {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.is_some());
        if let Some(value) = self {
            w.put(value);
        }
    }
    fn read(r: &mut Reader<'b>) -> Read<Self> {
        Ok(if r.take()? { Some(r.take()?) } else { None })
    }
}

impl Field<'_> for Ipv4Addr {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.octets());
    }
    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.take::<[u8; 4]>().map(Ipv4Addr::from)
    }
}

impl Field<'_> for Ipv6Addr {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.octets());
    }
    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.take::<[u8; 16]>().map(Ipv6Addr::from)
    }
}

impl Field<'_> for SocketAddrV4 {
    fn write(self, w: &mut Writer<'_>) {
        w.put(*self.ip());
        w.put(self.port());
    }
    fn read(r: &mut Reader<'_>) -> Read<Self> {
        Ok(SocketAddrV4::new(r.take()?, r.take()?))
    }
}

/// At most 65,535 bytes.
impl<'b> Field<'b> for &'b [u8] {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.len() as u16);
        w.bytes(self);
    }
    fn read(r: &mut Reader<'b>) -> Read<Self> {
        let n: u16 = r.take()?;
        r.bytes(usize::from(n))
    }
}

impl<'b> Field<'b> for &'b str {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.as_bytes());
    }
    fn read(r: &mut Reader<'b>) -> Read<Self> {
        std::str::from_utf8(r.take()?).map_err(|_| Malformed::Bytes)
    }
}

impl<'b> Field<'b> for Runs<'b> {
    fn write(self, w: &mut Writer<'_>) {
        w.put(self.bytes());
    }
    fn read(r: &mut Reader<'b>) -> Read<Self> {
        Runs::from_bytes(r.take()?).ok_or(Malformed::Bytes)
    }
}
