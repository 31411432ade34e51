mod amount;

use super::number::number;
use super::{Network, query, write_json, write_out};
use crate::daemon::faults::shown::commands;
use crate::daemon::faults::words::between;
use crate::daemon::faults::{Between, NAMES, Order, Report, RuleShown};
use crate::duration::time;
use crate::memory_file;
use clap::Args;
use lonet_core::client::{Client, StartIf, Trouble};
use lonet_core::control::{MAX_MESSAGE, NetworkOp};
use lonet_core::limit::Limit;
use lonet_core::table::rules::AT_MOST;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Duration;

// When a rule takes effect, and for how long. A doc comment would become the help of the commands that have it.
#[derive(Args)]
struct When {
    /// Heal automatically after this time: 5s, 200ms, 2m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
    /// Take effect at the Nth dial, from now on, of the second hosts by the first ones
    #[arg(long, value_name = "N", conflicts_with = "lasts", value_parser = number::<1, AT_MOST>)]
    at: Option<u16>,
}

impl When {
    fn of(&self, between: Between) -> Between {
        let lasts = self.lasts.map(|lasts| lasts.as_millis() as u64);
        Between { lasts, at: self.at, ..between }
    }
}

// The same, of questions.
#[derive(Args)]
struct WhenAsked {
    /// Heal automatically after this time: 5s, 200ms, 2m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
    /// Take effect at the Nth lookup, from now on
    #[arg(long, value_name = "N", conflicts_with = "lasts", value_parser = number::<1, AT_MOST>)]
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
    when: When,
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
    when: When,
    /// The host that dials, or several separated by commas
    #[arg(value_name = "HOSTS")]
    from: String,
    /// The lonet address to refuse to them, such as web:80
    #[arg(value_name = "ADDR")]
    to: String,
}

// Whose sending is slowed down or lost, and when. As above no doc comment.
#[derive(Args)]
struct Sending {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    when: When,
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
    sending: Sending,
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
    sending: Sending,
    /// The hosts at the other end [default: all others], and the time: 50ms, 1.5s
    #[arg(value_name = "HOSTS] [TIME", num_args = 1..=2, required = true)]
    to_time: Vec<String>,
}

/// Lose some of what hosts send to each other, until `lonet heal`.
///
/// With CAP_NET_ADMIN each segment is lost with this probability. Without, everything that is sent within random moments
/// of up to a millisecond is lost: the given share of occasional messages, and many segments in a row of a continuous
/// stream. Dials are not affected.
#[derive(Args)]
pub struct Loss {
    #[command(flatten)]
    sending: Sending,
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
    when: WhenAsked,
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
    /// up
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
    pub fn run(self) -> Result<ExitCode, String> {
        let between = self.when.of(between(Some(&self.from), self.to.as_deref())?);
        let report = order(&self.network, &between.clone(), Order::Cut(between))?;
        done(&report, "cut", "may still pass")
    }
}

impl Refuse {
    pub fn run(self) -> Result<ExitCode, String> {
        let to = super::address(&self.to)?;
        let mut between = self.when.of(between(Some(&self.from), Some(&to.host))?);
        between.one_way = true;
        order(&self.network, &between.clone(), Order::Refuse(between, to.port))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Rate {
    pub fn run(self) -> Result<ExitCode, String> {
        let told = ("limited", "may be sent on as fast as before");
        self.sending.order(&self.to_rate, ("rate", amount::rate), Order::Rate, told)
    }
}

impl Delay {
    pub fn run(self) -> Result<ExitCode, String> {
        let told = ("delayed", "may be sent on as ever");
        self.sending.order(&self.to_time, ("delay", amount::delay), Order::Delay, told)
    }
}

impl Loss {
    pub fn run(self) -> Result<ExitCode, String> {
        let told = ("loses on", "may lose nothing");
        self.sending.order(&self.to_loss, ("loss", amount::part), Order::Loss, told)
    }
}

impl Sending {
    /// Gives the order that `fault` makes of hosts, of which the second ones may be left out, and the amount behind them. `told`:
    /// what [`done`] says.
    fn order(
        &self,
        rest: &[String],
        (what, read): (&str, impl Fn(&str) -> Result<u64, String>),
        fault: impl Fn(Between, u64) -> Order,
        told: (&str, &str),
    ) -> Result<ExitCode, String> {
        let (to, text) = match rest {
            [to, text] => (Some(to.as_str()), text),
            [text] => (None, text),
            _ => return Err(format!("name hosts, and a {what}")),
        };
        let amount = read(text).map_err(|why| format!("{what} {text:?}: {why}"))?;
        let between = self.when.of(between(Some(&self.from), to)?);
        let report = order(&self.network, &between.clone(), fault(between, amount))?;
        done(&report, told.0, told.1)
    }
}

impl Names {
    pub fn run(self) -> Result<ExitCode, String> {
        let mut between = between(Some(&self.from), self.to.as_deref())?;
        if between.one_way {
            return Err("a>b cannot be used here: name the host that looks names up, then fail, slow or unknown, then the hosts it looks up".into());
        }
        between.lasts = self.when.lasts.map(|lasts| lasts.as_millis() as u64);
        between.at = self.when.at;
        order(&self.network, &between.clone(), Order::Names(between, self.how))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Reset {
    pub fn run(self) -> Result<ExitCode, String> {
        let between = between(Some(&self.from), self.to.as_deref())?;
        if between.one_way {
            return Err("a reset is seen at both ends: name both hosts".into());
        }
        let between = Between { at: self.at, ..between };
        let report = order(&self.network, &between.clone(), Order::Reset(between))?;
        match self.at {
            Some(_) => Ok(ExitCode::SUCCESS),
            None => done(&report, "reset", "may go on"),
        }
    }
}

impl Heal {
    pub fn run(self) -> Result<ExitCode, String> {
        let between = between(self.from.as_deref(), self.to.as_deref())?;
        let report = order(&self.network, &between.clone(), Order::Heal(between))?;
        done(&report, "healed", "may stay cut")?;
        // How much a rate or a delay has slowed down nobody counts.
        let mut healed = report.healed;
        healed.retain(|rule| !matches!(&*rule.fault, "rate" | "delay"));
        if self.expect_hit && healed.iter().all(|rule| rule.hits == 0) {
            return Err(match healed.is_empty() {
                true => "--expect-hit cannot tell: what a rate or a delay affects is not counted".into(),
                false => format!("nothing was affected by: {}", commands(&healed).join("; ")),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Faults {
    pub fn run(self) -> Result<ExitCode, String> {
        let report = order(&self.network, &Between::default(), Order::Show)?;
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

/// What keeps a host from connecting to another now: the command that made it so, and whether that has dials refused
/// instead of hanging.
pub fn met_by_dial(
    network: &Network,
    (from, to, port): (&str, &str, u16),
) -> Result<Option<(String, bool)>, String> {
    let report = order(network, &Between::default(), Order::Show)?;
    let is = |rule: &Option<String>, host: &str| rule.as_deref().is_none_or(|name| name == host);
    let concerns = |rule: &RuleShown| {
        let there = is(&rule.from, from) && is(&rule.to, to);
        // Of a dial that arrives the answer has to arrive, too.
        let back = rule.fault == "cut" && is(&rule.from, to) && is(&rule.to, from);
        rule.at.is_none() && rule.port.is_none_or(|refused| refused == port) && (there || back)
    };
    for (fault, is_refused) in [("cut", false), ("refuse", true)] {
        let mut rules = report.rules.clone();
        rules.retain(|rule| from != to && rule.fault == fault && concerns(rule));
        rules.iter_mut().for_each(|rule| rule.hits = 0);
        if let Some(command) = commands(&rules).into_iter().next() {
            return Ok(Some((command, is_refused)));
        }
    }
    Ok(None)
}

/// Has lonetd do it. `between`: its hosts, which have to be up.
fn order(network: &Network, between: &Between, order: Order) -> Result<Report, String> {
    order_of(&network.client()?, between, order)
}

/// The same, of a network that has been found.
pub fn order_of(client: &Client, between: &Between, order: Order) -> Result<Report, String> {
    let text = serde_json::to_vec(&order.numbered()).map_err(|e| e.to_string())?;
    let answer = ask(client, &text).or_else(|_| {
        // Of names that no host has all are named, beside those that are up.
        query::are_up(client, &[&between.from[..], &between.to[..]].concat())?;
        // Now lonetd has looked for foreign hosts, too.
        ask(client, &text)
    })?;
    serde_json::from_str(&answer).map_err(|e| format!("what lonetd answered is no report: {e}"))
}

fn ask(client: &Client, text: &[u8]) -> Result<String, String> {
    let file = memory_file::of(text).map_err(|e| format!("cannot make a memory file for the order: {e}"))?;
    let limit = Limit::NONE;
    let answer = client.insist(StartIf::Killed, limit, &mut [0; MAX_MESSAGE], |buffer| {
        let fd = client.send_with(&NetworkOp::Faults, file.as_raw_fd(), limit, buffer)?;
        query::text(&fd, buffer)
    });
    match answer {
        Ok(text) => text,
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(e.of(client).to_string()),
    }
}

/// Prints how many connections were `done`, or fails with those that cannot be reached, of which `left` says what they do.
fn done(report: &Report, done: &str, left: &str) -> Result<ExitCode, String> {
    let text = outcome(report, done, left)?;
    write_out(|out| writeln!(out, "{text}"))
}

/// What has been done, or an error that also says what could not be.
pub fn outcome(report: &Report, done: &str, left: &str) -> Result<String, String> {
    let n = report.connections.both + report.connections.one;
    let connections = |n| if n == 1 { "1 connection".to_owned() } else { format!("{n} connections") };
    if report.unreached.is_empty() {
        return Ok(format!("{done} {}", connections(n)));
    }
    let missed = connections(report.connections.none);
    Err(format!(
        "{done} {}; {missed} {left}, as neither end can be reached: {}",
        connections(n),
        report.unreached_text()
    ))
}
