//! The commands that inject faults between hosts, undo and list them.

mod amount;
mod request;

pub use request::{fault_on_dial, outcome, request};

use super::number::number;
use super::{Network, write_json, write_out};
use crate::daemon::faults::commands::commands;
use crate::daemon::faults::parse::between;
use crate::daemon::faults::{Between, FaultRequest, NAMES, Report};
use crate::duration::time;
use clap::Args;
use lonet_core::table::rules::AT_MOST;
use std::process::ExitCode;
use std::time::Duration;

// When a rule takes effect, and for how long. Not a doc comment: clap would take it for the help of the command.
#[derive(Args)]
struct Timing {
    /// Heal automatically after this time: 5s, 200ms, 2m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Take effect at the Nth dial, from now on, of the second hosts by the first ones
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = number::<1, AT_MOST>)]
    at: Option<u16>,
}

impl Timing {
    fn of(&self, between: Between) -> Between {
        let lasts = self.duration.map(|duration| duration.as_millis() as u64);
        Between { lasts, at: self.at, ..between }
    }
}

// When a rule about name lookups takes effect, and for how long.
#[derive(Args)]
struct LookupTiming {
    /// Heal automatically after this time: 5s, 200ms, 2m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Take effect at the Nth lookup, from now on
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = number::<1, AT_MOST>)]
    at: Option<u16>,
}

/// Cut hosts off from each other: nothing that they send arrives, until `lonet heal`.
///
/// It is as if a cable were pulled: TCP retransmits, gives up when its timeouts say so, and continues after `lonet
/// heal`. The cut is in force when the command returns, for established connections, for those that nobody has
/// accepted yet, and for new ones.
#[derive(Args)]
pub struct Cut {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    timing: Timing,
    /// A host, or several separated by commas; `a>b` is only what a sends to b
    #[arg(value_name = "HOSTS")]
    from: String,
    /// The hosts to cut them off from [default: all others]
    #[arg(value_name = "HOSTS")]
    to: Option<String>,
}

/// Refuse dials of a port by some hosts, as if nothing listened there, until `lonet heal`.
///
/// Established connections continue.
#[derive(Args)]
pub struct Refuse {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    timing: Timing,
    /// The host that dials, or several separated by commas
    #[arg(value_name = "HOSTS")]
    from: String,
    /// The lonet address to refuse to them, such as web:80
    #[arg(value_name = "ADDR")]
    to: String,
}

// The arguments that `rate`, `delay` and `loss` have in common.
#[derive(Args)]
struct LinkOptions {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    timing: Timing,
    /// A host, or several separated by commas; `a>b` is only what a sends to b
    #[arg(value_name = "HOSTS")]
    from: String,
}

/// Limit how fast hosts send to each other, on each connection, until `lonet heal`.
///
/// The first ten segments of a connection, of up to 64 KiB each, are sent at full speed.
#[derive(Args)]
pub struct Rate {
    #[command(flatten)]
    link: LinkOptions,
    /// The hosts at the other end [default: all others], and bytes a second: 100kB, 1MB, 8Mbit
    #[arg(value_name = "HOSTS] [RATE", num_args = 1..=2, required = true)]
    to_rate: Vec<String>,
}

/// Delay what hosts send to each other, in each direction, until `lonet heal`.
///
/// The loopback needs the fq queueing discipline; without it the command fails, and says how to get it.
#[derive(Args)]
pub struct Delay {
    #[command(flatten)]
    link: LinkOptions,
    /// The hosts at the other end [default: all others], and the time: 50ms, 1.5s
    #[arg(value_name = "HOSTS] [TIME", num_args = 1..=2, required = true)]
    to_time: Vec<String>,
}

/// Lose some of what hosts send to each other, until `lonet heal`.
///
/// Where lonetd has CAP_NET_ADMIN, or the kernel is from before June 2026, each segment is lost with this probability.
/// Elsewhere everything that is sent within random moments of up to a millisecond is lost: the given share of occasional
/// messages, and many segments in a row of a continuous stream. Dials are not affected.
#[derive(Args)]
pub struct Loss {
    #[command(flatten)]
    link: LinkOptions,
    /// The hosts at the other end [default: all others], and how much is lost: 5%
    #[arg(value_name = "HOSTS] [LOSS", num_args = 1..=2, required = true)]
    to_loss: Vec<String>,
}

/// Make a host's name lookups fail, wait, or find nothing, until `lonet heal`.
///
/// The host can still look up its own name. Names without `.lonet` that are not hosts' are looked up as usual.
#[derive(Args)]
pub struct Names {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    timing: LookupTiming,
    /// The host that looks names up, or several separated by commas
    #[arg(value_name = "HOSTS")]
    from: String,
    /// How its lookups end: with a temporary failure, after two seconds, or with no such name
    #[arg(value_name = "HOW", value_parser = NAMES.map(|(name, _)| name))]
    how: String,
    /// The hosts whose names it looks up [default: all others]
    #[arg(value_name = "HOSTS")]
    to: Option<String>,
}

/// Reset the connections between hosts, at both ends.
///
/// This includes connections that nobody has accepted yet, but not dials in progress. New connections can be made at
/// once.
#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    network: Network,
    /// Reset once, just before the Nth dial, from now on, of the second hosts by the first ones
    #[arg(long, value_name = "N", value_parser = number::<1, AT_MOST>)]
    at: Option<u16>,
    /// A host, or several separated by commas
    #[arg(value_name = "HOSTS")]
    from: String,
    /// The hosts at the other end [default: all others]
    #[arg(value_name = "HOSTS")]
    to: Option<String>,
}

/// Undo `lonet cut`, `lonet refuse`, `lonet rate`, `lonet delay`, `lonet loss`, `lonet names` and `lonet reset --at`.
///
/// Without hosts it undoes everything; with one argument, all rules that name these hosts; with two, the rules between
/// them. What waits to be sent goes out with TCP's next retransmission, which can take as long again as the cut
/// lasted.
#[derive(Args)]
pub struct Heal {
    #[command(flatten)]
    network: Network,
    /// Fail if what is undone has affected nothing: no segment dropped, dial refused, connection reset or name looked
    /// up. What a rate or a delay affects is not counted: with these alone it fails
    #[arg(long)]
    expect_hit: bool,
    /// A host, or several separated by commas; `a>b` is only what a sends to b
    #[arg(value_name = "HOSTS")]
    from: Option<String>,
    /// The hosts at the other end [default: all]
    #[arg(value_name = "HOSTS")]
    to: Option<String>,
}

/// List the faults in force, as the commands that would make them, with what each has affected.
#[derive(Args)]
pub struct Faults {
    #[command(flatten)]
    network: Network,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Cut {
    fn request(&self) -> Result<FaultRequest, String> {
        Ok(FaultRequest::Cut(self.timing.of(between(Some(&self.from), self.to.as_deref())?)))
    }

    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.network.client()?, self.request()?)?;
        print_outcome(&report, "cut", "may still pass")
    }
}

impl Refuse {
    fn request(&self) -> Result<FaultRequest, String> {
        let to = super::address(&self.to)?;
        let mut between = self.timing.of(between(Some(&self.from), Some(&to.host))?);
        between.one_way = true;
        Ok(FaultRequest::Refuse(between, to.port))
    }

    pub fn run(self) -> Result<ExitCode, String> {
        request(&self.network.client()?, self.request()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Rate {
    fn request(&self) -> Result<FaultRequest, String> {
        self.link.request(&self.to_rate, ("rate", amount::rate), FaultRequest::Rate)
    }

    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.link.network.client()?, self.request()?)?;
        print_outcome(&report, "limited", "may be sent on as fast as before")
    }
}

impl Delay {
    fn request(&self) -> Result<FaultRequest, String> {
        self.link.request(&self.to_time, ("delay", amount::delay), FaultRequest::Delay)
    }

    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.link.network.client()?, self.request()?)?;
        print_outcome(&report, "delayed", "may be sent on as ever")
    }
}

impl Loss {
    fn request(&self) -> Result<FaultRequest, String> {
        self.link.request(&self.to_loss, ("loss", amount::parts_per_million), FaultRequest::Loss)
    }

    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.link.network.client()?, self.request()?)?;
        print_outcome(&report, "loses on", "may lose nothing")
    }
}

impl LinkOptions {
    /// Reads `rest`, which is an amount or the second hosts and an amount: the request that `fault` makes of it. `what` names
    /// the amount in errors, `read` parses it.
    fn request(
        &self,
        rest: &[String],
        (what, read): (&str, impl Fn(&str) -> Result<u64, String>),
        fault: impl Fn(Between, u64) -> FaultRequest,
    ) -> Result<FaultRequest, String> {
        let (to, text) = match rest {
            [to, text] => (Some(to.as_str()), text),
            [text] => (None, text),
            _ => return Err(format!("name hosts, and a {what}")),
        };
        let amount = read(text).map_err(|why| format!("{what} {text:?}: {why}"))?;
        Ok(fault(self.timing.of(between(Some(&self.from), to)?), amount))
    }
}

impl Names {
    fn request(&self) -> Result<FaultRequest, String> {
        let mut between = between(Some(&self.from), self.to.as_deref())?;
        if between.one_way {
            return Err("a>b cannot be used here: name the host that looks names up, then fail, slow or unknown, then the hosts it looks up".into());
        }
        between.lasts = self.timing.duration.map(|duration| duration.as_millis() as u64);
        between.at = self.timing.at;
        Ok(FaultRequest::Names(between, self.how.clone()))
    }

    pub fn run(self) -> Result<ExitCode, String> {
        request(&self.network.client()?, self.request()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Reset {
    fn request(&self) -> Result<FaultRequest, String> {
        let between = between(Some(&self.from), self.to.as_deref())?;
        if between.one_way {
            return Err("a reset is seen at both ends: name both hosts".into());
        }
        Ok(FaultRequest::Reset(Between { at: self.at, ..between }))
    }

    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.network.client()?, self.request()?)?;
        match self.at {
            Some(_) => Ok(ExitCode::SUCCESS),
            None => print_outcome(&report, "reset", "may go on"),
        }
    }
}

impl Heal {
    pub fn run(self) -> Result<ExitCode, String> {
        let between = between(self.from.as_deref(), self.to.as_deref())?;
        let report = request(&self.network.client()?, FaultRequest::Heal(between))?;
        print_outcome(&report, "healed", "may stay cut")?;
        // What a rate or a delay has slowed down is not counted.
        let (is_none, mut healed) = (report.healed.is_empty(), report.healed);
        healed.retain(|rule| !matches!(&*rule.fault, "rate" | "delay"));
        if self.expect_hit && healed.iter().all(|rule| rule.hits == 0) {
            return Err(match healed.is_empty() {
                true if is_none => "--expect-hit: there was no fault to heal".into(),
                true => "--expect-hit cannot tell: what a rate or a delay affects is not counted".into(),
                false => format!("nothing was affected by: {}", commands(&healed).join("; ")),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Faults {
    pub fn run(self) -> Result<ExitCode, String> {
        let report = request(&self.network.client()?, FaultRequest::Show)?;
        if self.json {
            return write_json(&report);
        }
        write_out(|out| {
            commands(&report.rules).iter().try_for_each(|line| writeln!(out, "{line}"))?;
            match report.unreached.is_empty() {
                true => Ok(()),
                false => writeln!(out, "cannot be reached: {}", report.unreached_text()),
            }
        })
    }
}

/// Prints the outcome of a request (see [`outcome`]).
fn print_outcome(report: &Report, verb: &str, unreached: &str) -> Result<ExitCode, String> {
    let text = outcome(report, verb, unreached)?;
    write_out(|out| writeln!(out, "{text}"))
}

#[cfg(test)]
mod tests;
