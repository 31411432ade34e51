//! `lonet`: runs programs as hosts of a network, shows and ends networks, and is lonetd itself.

/// Prints a line on stderr. Unlike `eprintln!` it does not panic where stderr cannot be written: then there is nobody to
/// tell, and the exit code says the same.
macro_rules! error_line {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

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
