//! `lonet`: runs programs as hosts of a network, shows and ends networks, and is lonetd itself.

mod check;
mod cli;
mod daemon;
mod memory_file;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
