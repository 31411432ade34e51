//! Requests about faults to lonetd, and how their outcome is worded.

use crate::cli::query;
use crate::daemon::faults::commands::commands;
use crate::daemon::faults::{FaultRequest, Report, RuleShown};
use crate::memory_file;
use lonet_core::client::{Client, StartIf, Trouble};
use lonet_core::control::{MAX_MESSAGE, NetworkOp};
use lonet_core::limit::Limit;
use std::os::fd::AsRawFd;

/// Has lonetd carry out a request. Fails if one of its hosts is not up.
pub fn request(client: &Client, request: FaultRequest) -> Result<Report, String> {
    let request = request.with_id();
    let text = serde_json::to_vec(&request).map_err(|e| e.to_string())?;
    let reply = send(client, &text)?.or_else(|_| {
        // lonetd's error names one host; this one names all that are not up, and those that are.
        query::ensure_all_up(client, &hosts(&request))?;
        // The list has had lonetd look for foreign hosts, too.
        send(client, &text)?
    })?;
    serde_json::from_str(&reply).map_err(|e| format!("cannot parse the report that lonetd sent: {e}"))
}

/// The hosts that a request names.
fn hosts(request: &FaultRequest) -> Vec<String> {
    let between = match request {
        FaultRequest::Cut(between)
        | FaultRequest::Refuse(between, _)
        | FaultRequest::Rate(between, _)
        | FaultRequest::Delay(between, _)
        | FaultRequest::Loss(between, _)
        | FaultRequest::Names(between, _)
        | FaultRequest::Reset(between)
        | FaultRequest::Heal(between) => between,
        FaultRequest::Show => return Vec::new(),
    };
    [&between.from[..], &between.to[..]].concat()
}

/// Sends a request. The inner error is lonetd's.
fn send(client: &Client, request: &[u8]) -> Result<Result<String, String>, String> {
    let file =
        memory_file::of(request).map_err(|e| format!("cannot make a memory file for the request: {e}"))?;
    let reply = client.retry(StartIf::Killed, Limit::NONE, &mut [0; MAX_MESSAGE], |limit, buffer| {
        let fd = client.send_with(&NetworkOp::Faults, file.as_raw_fd(), limit, buffer)?;
        query::receive_text(&fd, buffer)
    });
    match reply {
        Ok(reply) => Ok(reply),
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(query::trouble(client, e)),
    }
}

/// The fault that keeps one host from connecting to a port of another: the command that makes it, and whether it refuses the
/// dial (otherwise the dial hangs).
pub fn fault_on_dial(
    client: &Client,
    (from, to, port): (&str, &str, u16),
) -> Result<Option<(String, bool)>, String> {
    let report = request(client, FaultRequest::Show)?;
    let is = |rule: &Option<String>, host: &str| rule.as_deref().is_none_or(|name| name == host);
    let concerns = |rule: &RuleShown| {
        let there = is(&rule.from, from) && is(&rule.to, to);
        // A dial also fails if its answer cannot arrive.
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

/// One line: on how many connections the request took effect. Fails, and names the processes, if there are connections of which
/// neither end can be reached. `verb`: what happened to the first ones; `unreached`: what may happen on the others.
pub fn outcome(report: &Report, verb: &str, unreached: &str) -> Result<String, String> {
    let n = report.connections.both + report.connections.one;
    let connections = |n| if n == 1 { "1 connection".to_owned() } else { format!("{n} connections") };
    if report.unreached.is_empty() {
        return Ok(format!("{verb} {}", connections(n)));
    }
    let missed = connections(report.connections.none);
    Err(format!(
        "{verb} {}; {missed} {unreached}, as neither end can be reached: {}",
        connections(n),
        report.unreached_text()
    ))
}
