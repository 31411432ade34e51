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

/// How long nothing is accepted where there is no descriptor or memory for it.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The least time between two lines about other users' connections.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl Forward {
    pub fn run(self) -> Result<ExitCode, String> {
        let address = super::address(&self.address)?;
        let client = Arc::new(self.network.client()?);
        if self.wait {
            let wanted = vec![address.clone()];
            Waiting::new(client.clone(), wanted)?.run(Limit::NONE).map_err(|e| e.text)?;
        } else {
            // Whose name is mistyped would see connections reset, and no reason where they are made.
            addr::os_of(&client, address.clone())?;
        }
        let listener = self.listener(address.port)?;
        let port = listener.local_addr().map_err(text_of)?.port();
        // Whoever waits for this line knows that it listens.
        write_out(|out| {
            let browser = format!("http://{}.localhost:{port}/", address.host);
            writeln!(out, "127.0.0.1:{port} leads to {address}; in a browser: {browser}")
        })?;
        let mut resets = ResetCounter::default();
        loop {
            match listener.accept() {
                // Here and not in a thread: however many they are, they take none.
                Ok((accepted, _)) if !self.all_users && !is_same_user(&accepted) => {
                    reset(&accepted);
                    resets.add();
                }
                Ok((accepted, _)) => {
                    let (client, address) = (client.clone(), address.clone());
                    let relay = move || {
                        if let Err(why) = relay(&client, address, &accepted) {
                            reset(&accepted);
                            eprintln!("lonet: {why}");
                        }
                    };
                    if let Err(e) = thread::Builder::new().spawn(relay) {
                        eprintln!("lonet: a connection cannot be carried: {e}");
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    eprintln!("lonet: cannot accept: {e}");
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

/// Whether a program of this user's has the other end. The forwarder is the owner's to hosts, so that they cannot tell who
/// is behind it. What cannot be told is not so.
fn is_same_user(accepted: &TcpStream) -> bool {
    let os = |address: Option<address::Address>| address.and_then(|address| address.os());
    // As the kernel has them: the forwarder may be a host's program.
    let ends = os(kernel::local(accepted.as_raw_fd())).zip(os(kernel::remote(accepted.as_raw_fd())));
    let found = ends.and_then(|(here, there)| Diag::open().ok()?.lookup(there, here).ok()?);
    let uid = geteuid().as_raw();
    // In a user namespace all users without a number look like this one.
    let has_number = uid != uids::OVERFLOW || uids::all_have_numbers() == Some(true);
    found.is_some_and(|found| found.inode != 0 && found.uid == uid && has_number)
}

/// Connections that were reset, and when that was last said.
#[derive(Default)]
struct ResetCounter {
    unreported: u64,
    reported_at: Option<Instant>,
}

impl ResetCounter {
    /// As often as others like, and seldom a line.
    fn add(&mut self) {
        self.unreported += 1;
        if self.reported_at.is_none_or(|reported_at| reported_at.elapsed() >= REPORT_INTERVAL) {
            let connections = if self.unreported == 1 {
                "1 connection"
            } else {
                &format!("{} connections", self.unreported)
            };
            eprintln!("lonet: {connections} of other users' programs reset; --all-users serves them, too");
            (self.unreported, self.reported_at) = (0, Some(Instant::now()));
        }
    }
}

/// Carries a connection until both directions have ended.
fn relay(client: &Client, address: Address, accepted: &TcpStream) -> Result<(), String> {
    let os = addr::os_of(client, address.clone())?;
    let host = TcpStream::connect(os).map_err(|e| format!("cannot connect to {address} at {os}: {e}"))?;
    // Where the listener has ended, whoever came to its address before this connection, another user perhaps, has taken it.
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

/// Carries what `from` sends, and that it sends no more. Where either end is reset, or has gone, both are reset.
fn relay_one_way(mut from: &TcpStream, mut to: &TcpStream) {
    if io::copy(&mut from, &mut to).is_ok() {
        let _ = to.shutdown(Shutdown::Write);
        return;
    }
    for end in [from, to] {
        reset(end);
        // Who waits for it to send something waits no more.
        let _ = end.shutdown(Shutdown::Read);
    }
}

/// When it is closed its peer sees a reset instead of an orderly end; what is not sent yet is dropped.
fn reset(end: &TcpStream) {
    let _ = sockopt::Linger.set(end, &libc::linger { l_onoff: 1, l_linger: 0 });
}
