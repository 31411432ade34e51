//! `lonet`: runs programs as hosts of a network, shows and ends networks, and is lonetd itself.

mod check;
mod cli;
mod daemon;
mod duration;
mod exit;
mod memory_file;
mod pcap;
mod supervise;
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
