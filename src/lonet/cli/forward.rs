//! `lonet forward`: relays connections to a port of 127.0.0.1 to a host.

use super::number::number;
use super::wait::Waiting;
use super::{Network, addr, completions, text_of, write_out};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::address::Address;
use lonet_core::client::Client;
use lonet_core::diag::Diag;
use lonet_core::limit::Limit;
use lonet_core::uids;
use lonet_sockets::{address, kernel};
use nix::sys::socket::{SetSockOpt, sockopt};
use nix::unistd::geteuid;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Forward a port of 127.0.0.1 to a host, for browsers and other programs that insist on localhost.
///
/// Runs until it is interrupted, and passes bytes on unchanged in both directions. The host is looked up anew for each
/// connection, so its server may be restarted. Connections of other users' programs are reset, as the host's own
/// listeners do. If nothing listens there yet, the command fails, or with --wait begins when something does. Other programs
/// outside lonet can use the address that `lonet addr` prints.
#[derive(Args)]
pub struct Forward {
    #[command(flatten)]
    network: Network,
    /// Wait until something listens there, as `lonet wait` does
    #[arg(long)]
    wait: bool,
    /// A lonet address, such as web:8080
    #[arg(value_name = "ADDR", add = ArgValueCompleter::new(completions::addresses))]
    address: String,
    /// The port of 127.0.0.1, or 0 for any free one [default: the port of ADDR if it is free, else any]
    #[arg(value_name = "LOCALPORT", value_parser = number::<0, { u16::MAX }>)]
    local: Option<u16>,
    /// Serve the programs of all users of this machine
    #[arg(long)]
    all_users: bool,
}

/// The pause after accept has failed, for want of descriptors or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The least time between two messages about other users' connections.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl Forward {
    pub fn run(self) -> Result<ExitCode, String> {
        let address = super::address(&self.address)?;
        let client = Arc::new(self.network.client()?);
        if self.wait {
            let wanted = vec![address.clone()];
            Waiting::new(client.clone(), wanted)?.run(Limit::NONE).map_err(|e| e.text)?;
        } else {
            // A mistyped name fails here, where the user sees why; later, connections would just be reset.
            addr::os_of(&client, address.clone())?;
        }
        let listener = self.listener(address.port)?;
        let port = listener.local_addr().map_err(text_of)?.port();
        // Printed only now, so that a script that waits for this line can connect.
        write_out(|out| {
            let browser = format!("http://{}.localhost:{port}/", address.host);
            writeln!(out, "127.0.0.1:{port} leads to {address}; in a browser: {browser}")
        })?;
        let mut resets = ResetCounter::default();
        loop {
            match listener.accept() {
                // Not in a thread: other users cannot exhaust threads.
                Ok((accepted, _)) if !self.all_users && !is_same_user(&accepted) => {
                    reset(&accepted);
                    resets.add();
                }
                Ok((accepted, _)) => {
                    let (client, address) = (client.clone(), address.clone());
                    let relay = move || {
                        if let Err(why) = relay(&client, address, &accepted) {
                            reset(&accepted);
                            error_line!("lonet: {why}");
                        }
                    };
                    if let Err(e) = thread::Builder::new().spawn(relay) {
                        error_line!("lonet: a connection cannot be carried: {e}");
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    error_line!("lonet: cannot accept: {e}");
                    thread::sleep(ACCEPT_RETRY_DELAY);
                }
            }
        }
    }

    fn listener(&self, port: u16) -> Result<TcpListener, String> {
        let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        match self.local {
            Some(port) => bind(port).map_err(|e| format!("cannot listen on 127.0.0.1:{port}: {e}")),
            None => bind(port).or_else(|_| bind(0)).map_err(|e| format!("cannot listen on 127.0.0.1: {e}")),
        }
    }
}

/// Whether the other end is a socket of this user. Hosts cannot check that, as all connections come to them from this process.
/// If it cannot be determined, it counts as another user's.
fn is_same_user(accepted: &TcpStream) -> bool {
    let os = |address: Option<address::Address>| address.and_then(|address| address.os());
    // The kernel's addresses: this process may run as a host, for which libc has lonet's.
    let ends = os(kernel::local(accepted.as_raw_fd())).zip(os(kernel::remote(accepted.as_raw_fd())));
    let found = ends.and_then(|(here, there)| Diag::open().ok()?.lookup(there, here).ok()?);
    let uid = geteuid().as_raw();
    // In a user namespace all uids that are not mapped look like the same one.
    let has_number = uid != uids::OVERFLOW || uids::all_have_numbers() == Some(true);
    found.is_some_and(|found| found.inode != 0 && found.uid == uid && has_number)
}

/// Counts connections that were reset, and reports them.
#[derive(Default)]
struct ResetCounter {
    unreported: u64,
    reported_at: Option<Instant>,
}

impl ResetCounter {
    /// Counts one; prints a message unless there was one in the last [`REPORT_INTERVAL`].
    fn add(&mut self) {
        self.unreported += 1;
        if self.reported_at.is_none_or(|reported_at| reported_at.elapsed() >= REPORT_INTERVAL) {
            let connections = if self.unreported == 1 {
                "1 connection"
            } else {
                &format!("{} connections", self.unreported)
            };
            error_line!("lonet: {connections} of other users' programs reset; --all-users serves them, too");
            (self.unreported, self.reported_at) = (0, Some(Instant::now()));
        }
    }
}

/// Relays a connection until both directions have ended.
fn relay(client: &Client, address: Address, accepted: &TcpStream) -> Result<(), String> {
    let os = addr::os_of(client, address.clone())?;
    let host = TcpStream::connect(os).map_err(|e| format!("cannot connect to {address} at {os}: {e}"))?;
    // If the listener has ended meanwhile, another program, perhaps of another user, may have got this connection.
    if addr::os_of(client, address.clone())? != os {
        return Err(format!("{address} has ended while it was connected to"));
    }
    let relayed = thread::scope(|scope| {
        let back = thread::Builder::new().spawn_scoped(scope, || relay_one_way(&host, accepted));
        if back.is_ok() {
            relay_one_way(accepted, &host);
        }
        back.map(drop)
    });
    relayed.map_err(|e| format!("a connection to {address} cannot be carried: {e}"))
}

/// Relays one direction to its end. If either connection is reset or broken, resets both.
fn relay_one_way(mut from: &TcpStream, mut to: &TcpStream) {
    if io::copy(&mut from, &mut to).is_ok() {
        let _ = to.shutdown(Shutdown::Write);
        return;
    }
    for end in [from, to] {
        reset(end);
        // Wakes up the thread that reads from it.
        let _ = end.shutdown(Shutdown::Read);
    }
}

/// Makes close send a reset and drop data that is not sent yet.
fn reset(end: &TcpStream) {
    let _ = sockopt::Linger.set(end, &libc::linger { l_onoff: 1, l_linger: 0 });
}
