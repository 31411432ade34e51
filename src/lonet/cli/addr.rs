use super::{Network, query, say};
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
}

impl Addr {
    pub fn run(self) -> Result<ExitCode, String> {
        let address = super::address(&self.address)?.to_string();
        let client = self.network.client().map_err(say)?;
        let mut buffer = [0; MAX_MESSAGE];
        match query::ask(&client, &Op::Locate { address: &address }, &mut buffer) {
            Ok(Reply::Located { os }) => {
                println!("{os}");
                Ok(ExitCode::SUCCESS)
            }
            Ok(Reply::Error { text, .. }) => Err(text.into()),
            Ok(other) => Err(format!("lonetd answered with {other:?}")),
            Err(Trouble::NotRunning) => {
                Err(format!("network {:?} is not running: nothing listens there", client.config.network))
            }
            Err(e) => Err(e.to_string()),
        }
    }
}
