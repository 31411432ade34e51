//! The options of `lonet trace` for charts, and reading and writing of whole traces.

use super::{query, write_out};
use crate::trace::chart::{Chart, hosts_of, html::html, mermaid::mermaid, svg::svg};
use crate::trace::read::Trace;
use clap::Args;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

// Not a doc comment: clap would take it for the help of the command.
#[derive(Args)]
pub struct Picture {
    /// A recorded trace, instead of the network's: a file of JSON lines; `-` is standard input
    #[arg(long, value_name = "TRACE", conflicts_with_all = ["network", "follow", "since", "start", "stop"])]
    pub from: Option<PathBuf>,
    /// Draw a sequence chart: hosts are columns, time runs down; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "start", "stop"])]
    svg: Option<PathBuf>,
    /// Write the chart as text for Mermaid
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "start", "stop"])]
    mermaid: Option<PathBuf>,
    /// Write the chart as a self-contained page: choose hosts, zoom, hover for details
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "start", "stop"])]
    html: Option<PathBuf>,
    /// With a chart: only the events of these hosts, and their peers
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
}

impl Picture {
    /// Whether a chart is requested.
    pub fn is_wanted(&self) -> bool {
        [&self.svg, &self.mermaid, &self.html].into_iter().any(Option::is_some)
    }

    /// Fails if hosts are named but no chart is requested.
    pub fn check(&self) -> Result<(), String> {
        match self.hosts.as_slice() {
            [host, ..] if !self.is_wanted() => {
                Err(format!("{host:?}: hosts are chosen for a chart: --svg, --mermaid or --html FILE"))
            }
            _ => Ok(()),
        }
    }

    pub fn draw(&self, trace: &Trace) -> Result<ExitCode, String> {
        let there: BTreeSet<&str> = trace.events.iter().flat_map(hosts_of).collect();
        if let Some(absent) = self.hosts.iter().find(|host| !there.contains(host.as_str())) {
            let there = match there.is_empty() {
                true => "any host".to_owned(),
                false => {
                    format!("{absent:?}; it has those of: {}", query::join_first(&Vec::from_iter(there)))
                }
            };
            return Err(format!("the trace has no events of {there}"));
        }
        let chart = Chart::new(&trace.header, &trace.events, &self.hosts);
        let forms = [(&self.svg, svg as fn(&Chart) -> String), (&self.mermaid, mermaid), (&self.html, html)];
        for (path, form) in forms {
            if let Some(path) = path {
                write(path, &form(&chart))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a trace from a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Trace, String> {
    let cannot = |why: &dyn Display| format!("cannot read {}: {why}", path.display());
    let from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(|e| cannot(&e))?),
    };
    Trace::read(BufReader::new(from)).map_err(|e| cannot(&e))
}

/// Writes a file; `-` is standard output.
pub fn write(path: &Path, text: &str) -> Result<ExitCode, String> {
    if path == Path::new("-") {
        return write_out(|out| out.write_all(text.as_bytes()));
    }
    fs::write(path, text).map_err(|e| format!("cannot write to {}: {e}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
