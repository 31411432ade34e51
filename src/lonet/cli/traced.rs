//! `lonet run --trace`: runs the program as a child, and writes the events of the network until it ends to a file.

use super::trace::{flush, open_recorded, request};
use crate::exit::exit_like;
use crate::supervise::{signal_fd, wait_for_child};
use lonet_core::client::{Client, StartIf};
use lonet_core::control::Trace as Order;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs this command line without its `--trace` as a child.
pub fn run(client: &Client, file: &Path) -> Result<ExitCode, String> {
    let cannot = |e: io::Error| format!("cannot write the trace to {}: {e}", file.display());
    // First, so that nothing is run if the file cannot be written.
    let mut to = BufWriter::new(File::create(file).map_err(cannot)?);
    let _hold = request(client, Order::Hold, StartIf::Asked)?;
    flush(client)?;
    let mut recorded = open_recorded(client)?.ok_or("lonetd records nothing")?;
    recorded.skip(&mut |header| writeln!(to, "{header}")).map_err(cannot)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lonet").args(without_trace(std::env::args_os().skip(1)));
    let mut child = command.spawn().map_err(|e| format!("cannot start the program: {e}"))?;
    // After the spawn, as the child would inherit blocked signals.
    let signals = signal_fd().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let status = wait_for_child(&mut child, &signals);
    let written = flush(client).and_then(|()| {
        recorded.each(&mut |line| writeln!(to, "{line}")).and_then(|()| to.flush()).map_err(cannot)
    });
    if let Err(text) = written {
        error_line!("lonet: {text}");
    }
    Ok(exit_like(status))
}

/// The arguments without the first --trace and its file; a later one belongs to the program.
fn without_trace(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut left = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if argument == "--trace" {
            arguments.next();
            break;
        }
        if argument.as_bytes().starts_with(b"--trace=") {
            break;
        }
        left.push(argument);
    }
    left.extend(arguments);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trace_option_of_lonet_is_removed() {
        let left = |text: &str| {
            let left = without_trace(text.split(' ').map(OsString::from));
            left.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(left("run -H a --trace f -- p --trace g"), "run -H a -- p --trace g");
        assert_eq!(left("run --trace=f -H a p --trace=g"), "run -H a p --trace=g");
        assert_eq!(left("run p"), "run p");
    }
}
