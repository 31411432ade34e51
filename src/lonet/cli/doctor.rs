//! `lonet doctor`: checks whether this machine has what lonet needs.

use super::{Network, query, run, text_of, write_out};
use crate::daemon;
use clap::Args;
use lonet_core::client::{Client, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Reply, VERSION};
use lonet_core::diag::{Diag, NOBODY, State};
use lonet_core::limit::Limit;
use lonet_core::sys;
use lonet_core::trouble::OTHER_NETWORK_NAMESPACE;
use lonet_core::valve;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

/// Check whether this machine has what lonet needs: one line for each item, good, limited or bad.
///
/// A limited line says what works differently, a bad one what to do about it. Nothing is started.
///
/// Exit codes: 0 nothing is bad, 1 something is.
#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    network: Network,
}

enum Finding {
    Good(String),
    /// What works differently.
    Limited(String),
    /// What does not work, and what to do about it.
    Bad(String),
}

use Finding::{Bad, Good, Limited};

impl Doctor {
    pub fn run(self) -> Result<ExitCode, String> {
        let (config, fallback) = self.network.chosen().map_err(text_of)?;
        let client = super::client_of(config);
        let findings = [
            ("lonet", installation()),
            ("lonetd", lonetd(&client)),
            ("directory", directory(&client, fallback)),
            ("loopback", loopback()),
            ("kernel", kernel()),
            ("sock_diag", sock_diag()),
            ("pidfd_getfd", pidfd_getfd()),
            ("source ports", source_ports()),
            ("low ports", low_ports()),
            ("Go programs", supervision()),
            ("partitions", valve()),
        ];
        let is_bad = findings.iter().any(|(_, finding)| matches!(finding, Bad(_)));
        write_out(|out| {
            for (what, finding) in &findings {
                let (word, text) = match finding {
                    Good(text) => ("good", text),
                    Limited(text) => ("limited", text),
                    Bad(text) => ("bad", text),
                };
                writeln!(out, "{word:<7}  {what}: {text}")?;
            }
            Ok(())
        })?;
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn installation() -> Finding {
    match run::library() {
        Ok(library) => {
            Good(format!("{}, library {}, protocol {VERSION}", env!("CARGO_PKG_VERSION"), library.display()))
        }
        Err(why) => Bad(why),
    }
}

/// Whether `lonet run` would be served, or could start who serves it.
fn lonetd(client: &Client) -> Finding {
    let network = &client.config.network;
    let limit = Limit::within(Duration::from_secs(1));
    match client.ask(limit, &Op::Locate { address: "" }, &mut [0; MAX_MESSAGE]) {
        // Who is not let in.
        Ok((_, Reply::Error { errno: libc::EACCES, text })) => Bad(text.into()),
        Ok(_) => Good(format!("serves network {network}")),
        Err(Trouble::NotRunning) if daemon::lives_elsewhere(&client.config) => {
            Bad(OTHER_NETWORK_NAMESPACE.into())
        }
        Err(Trouble::NotRunning) if client.would_make_directory().is_err() => {
            Bad(format!("{}, and no program can start one", query::not_running(client)))
        }
        Err(Trouble::NotRunning) => {
            Good(format!("{}; the first program starts one", query::not_running(client)))
        }
        Err(trouble) => Bad(trouble.of(client).to_string()),
    }
}

/// Whether the network's directory can be used, or made. `fallback`: why it is not the usual one.
fn directory(client: &Client, fallback: Option<String>) -> Finding {
    match (client.would_make_directory(), fallback) {
        (Err(trouble), _) => Bad(trouble.of(client).to_string()),
        (Ok(_), Some(why)) => Limited(why),
        (Ok(Some(_)), None) => Good(format!("{} of uid {}", client.config.dir.display(), client.owner())),
        (Ok(None), None) => Good(format!("{} will be made", client.config.dir.display())),
    }
}

/// Whether any address in 127.0.0.0/8 can be used.
fn loopback() -> Finding {
    let address = Ipv4Addr::new(127, 1, 2, 3);
    let reached =
        TcpListener::bind((address, 0)).and_then(|listener| TcpStream::connect(listener.local_addr()?));
    match reached {
        Ok(_) => Good("127.0.0.0/8 can be used".into()),
        Err(e) => Bad(format!(
            "{address} cannot be reached ({e}): `ip link set lo up`, as root of this network namespace"
        )),
    }
}

fn kernel() -> Finding {
    match nix::sys::utsname::uname() {
        Ok(name) => Good(format!("{} {}", name.sysname().display(), name.release().display())),
        Err(e) => Bad(format!("uname: {e}")),
    }
}

/// Whether NETLINK_SOCK_DIAG finds a socket by its address, and lists bound ones.
fn sock_diag() -> Finding {
    let found = || -> std::io::Result<(bool, bool)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let SocketAddr::V4(at) = listener.local_addr()? else { return Ok((false, false)) };
        let diag = Diag::open()?;
        Ok((diag.lookup(at, NOBODY)?.is_some(), lists_bound(&diag)?))
    };
    let limited = |e: &dyn Display| {
        Limited(format!(
            "the kernel does not list sockets ({e}): ports of programs that have ended become free late or never, \
            and accept resets peers that it cannot identify; `modprobe tcp_diag`, as root, may help"
        ))
    };
    match found() {
        Ok((true, true)) => Good("the kernel lists sockets".into()),
        Ok((true, false)) => {
            Limited("the kernel does not list bound sockets (Linux 6.8 does): a port may become free late while connections of it are left".into())
        }
        Ok((false, _)) => limited(&"it does not find a listener"),
        Err(e) => limited(&e),
    }
}

/// Whether the kernel lists sockets that are bound but do not listen.
fn lists_bound(diag: &Diag) -> std::io::Result<bool> {
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
    let at: SockaddrIn = socket::getsockname(fd.as_raw_fd())?;
    let mut is_listed = false;
    let net = Some((Ipv4Addr::LOCALHOST, 32));
    diag.dump(State::BOUND_INACTIVE.bit(), net, &mut |found| {
        is_listed |= found.local == SocketAddrV4::from(at)
    })?;
    Ok(is_listed)
}

/// Whether lonetd may duplicate the sockets of this user's programs.
fn pidfd_getfd() -> Finding {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let late = "ports of sockets that are closed without a hooked call become free late";
    // SAFETY: numbers only.
    let open = |call, a: i32, b: i32| unsafe { libc::syscall(call, a, b, 0) };
    let process = open(libc::SYS_pidfd_open, std::process::id() as i32, 0) as i32;
    let duplicate = open(libc::SYS_pidfd_getfd, process, 0) as i32;
    let is_there = duplicate >= 0;
    for fd in [process, duplicate].into_iter().filter(|fd| *fd >= 0) {
        // SAFETY: descriptors that were opened above.
        unsafe { libc::close(fd) };
    }
    match (is_there, scope.trim()) {
        (false, _) => Limited(format!("the kernel lacks it, or a sandbox forbids it: {late}")),
        (true, "" | "0") => Good("lonetd can look at the sockets of programs".into()),
        (true, scope) => {
            Limited(format!("kernel.yama.ptrace_scope is {scope}: {late}, if lonetd is not root"))
        }
    }
}

fn source_ports() -> Finding {
    const IP_LOCAL_PORT_RANGE: i32 = 51;
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let range = socket.map(|s| sys::setsockopt(s.as_raw_fd(), libc::SOL_IP, IP_LOCAL_PORT_RANGE, &0u32));
    match range {
        Ok(Ok(())) => Good("lonet can choose the OS ports of dials (IP_LOCAL_PORT_RANGE)".into()),
        _ => Limited("the kernel chooses the OS ports of dials (since Linux 6.3 lonet can): a dial is listed only once it is connected".into()),
    }
}

/// Whether programs that cannot be hooked can be supervised.
fn supervision() -> Finding {
    match crate::supervise::probe() {
        Ok(()) => Good("programs that cannot be hooked (Go, static, musl) are supervised".into()),
        Err(why) => {
            Limited(format!("`lonet run` refuses programs that cannot be hooked (Go, static, musl): {why}"))
        }
    }
}

/// Whether faults can make the kernel drop a socket's segments.
fn valve() -> Finding {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    match socket.map_err(|e| e.to_string()).and_then(|s| valve::fit(s.as_raw_fd()).map_err(|e| e.to_string()))
    {
        Ok(()) => Good("connections can be cut (IP_MINTTL)".into()),
        Err(why) => Limited(format!("`lonet cut` has no effect: IP_MINTTL cannot be set ({why})")),
    }
}

fn low_ports() -> Finding {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let first: u16 = text.trim().parse().unwrap_or(1024);
    if first <= 1 || TcpListener::bind((Ipv4Addr::new(127, 1, 2, 3), first - 1)).is_ok() {
        return Good("listeners have their lonet port as OS port".into());
    }
    Good(format!(
        "below {first} the OS port of a listener differs from its lonet port: `lonet addr` prints it"
    ))
}
