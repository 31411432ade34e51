//! What is left to libc, and why: the list of what the hooks do not intercept. LONET_LOG prints it.

use std::fmt;

/// Why a call is not lonet's. The text is the end of a line: `connect → 192.0.2.1:80: not lonet's: …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// The library is linked, and not preloaded, and no default host is set.
    Inactive,
    /// The process has no host, so that its own addresses and names are the machine's.
    NoHost,
    /// No IPv4 or IPv6 address, or one that cannot be read or is cut short: the kernel says what is wrong with it.
    NoAddress,
    /// No address of a host of this network, and not the own host's loopback.
    OtherAddress,
    /// UDP, Unix and all that is not TCP of the address' family.
    OtherSocket,
    /// The socket listens already: the kernel takes the new backlog.
    Listens,
    /// An option of which the kernel has what the program has set.
    OtherOption,
    /// A buffer that cannot be, or is too small: libc says what is wrong with it.
    Arguments,
    /// lonetd knows nothing of it, or no network runs; or the host has the machine's loopback (LONET_LOOPBACK=real).
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
            Bypass::Arguments => "libc judges the arguments",
            Bypass::LeftByLonetd => "lonetd leaves it to the machine",
            Bypass::Outsider => "from outside the network",
        })
    }
}
