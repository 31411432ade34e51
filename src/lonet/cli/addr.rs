use super::{Network, query, say, write_out};
use clap::Args;
use lonet_core::client::Trouble;
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use std::process::ExitCode;

/// Print the OS address of who listens on a lonet address, for clients outside lonet.
///
/// For example: `curl http://$(lonet addr α:8080)/`
#[derive(Args)]
pub struct Addr {
    #[command(flatten)]
    network: Network,
    /// A lonet address, such as α:8080
    #[arg(value_name = "ADDR")]
    address: String,
    /// The IP address alone
    #[arg(long, group = "form")]
    host: bool,
    /// The port alone
    #[arg(long, group = "form")]
    port: bool,
    /// As a URL: http://ip:port/
    #[arg(long, group = "form")]
    url: bool,
}

impl Addr {
    pub fn run(self) -> Result<ExitCode, String> {
        let address = super::address(&self.address)?;
        let client = self.network.client().map_err(say)?;
        let mut buffer = [0; MAX_MESSAGE];
        match query::ask(&client, &Op::Locate { address: &address.to_string() }, &mut buffer) {
            Ok(Reply::Located { os }) => write_out(|out| match (self.host, self.port, self.url) {
                (true, ..) => writeln!(out, "{}", os.ip()),
                (_, true, _) => writeln!(out, "{}", os.port()),
                (.., true) => writeln!(out, "http://{os}/"),
                _ => writeln!(out, "{os}"),
            }),
            Ok(Reply::Error { errno: libc::ECONNREFUSED, .. }) => {
                Err(query::why_nothing_listens(&client, &[address]))
            }
            Ok(Reply::Error { text, .. }) => Err(text.into()),
            Ok(other) => Err(format!("lonetd answered with {other:?}")),
            Err(Trouble::NotRunning) => {
                Err(format!("{}: nothing listens there", query::not_running(&client)))
            }
            Err(e) => Err(e.to_string()),
        }
    }
}
