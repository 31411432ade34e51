//! The reasons for which hooks leave a call to libc: the complete list of what they do not handle. LONET_LOG
//! prints them.

use std::fmt;

/// Why a call is not lonet's. Its text ends a line of the log: `connect → 192.0.2.1:80: not lonet's: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// The library is linked rather than preloaded, and no default host is set.
    Inactive,
    /// The process has no host: its own addresses and names are the machine's.
    NoHost,
    /// Not an IPv4 or IPv6 address, or one that is unreadable or truncated: the kernel reports the error.
    NoAddress,
    /// Neither an address of a host of this network nor the process's own loopback.
    OtherAddress,
    /// UDP, Unix and any other socket that is not TCP of the address's family.
    OtherSocket,
    /// The socket listens already: the kernel takes the new backlog.
    Listens,
    /// An option that the kernel keeps as the program has set it.
    OtherOption,
    /// An interface of the machine's, or a question about one that the kernel answers as well.
    OtherInterface,
    /// An invalid or too small buffer: libc reports the error.
    Arguments,
    /// lonetd does not know the socket or address, or no network runs; or the host uses the machine's
    /// loopback (LONET_LOOPBACK=real).
    LeftByLonetd,
    /// The connection comes from outside the network.
    Outsider,
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bypass::Inactive => "the library is not preloaded and has no default host",
            Bypass::NoHost => "the process is no host",
            Bypass::NoAddress => "no IP address that can be read",
            Bypass::OtherAddress => "no host has this address",
            Bypass::OtherSocket => "no TCP socket of this family",
            Bypass::Listens => "it listens already",
            Bypass::OtherOption => "an option that lonet leaves as it is",
            Bypass::OtherInterface => "no interface of the host's",
            Bypass::Arguments => "libc judges the arguments",
            Bypass::LeftByLonetd => "lonetd leaves it to the machine",
            Bypass::Outsider => "from outside the network",
        })
    }
}
