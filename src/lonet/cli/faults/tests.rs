use super::*;
use crate::daemon::faults::{FaultRequest, RuleShown};
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Cut(Cut),
    Refuse(Refuse),
    Rate(Rate),
    Delay(Delay),
    Loss(Loss),
    Names(Names),
    Reset(Reset),
}

/// What a command line requests.
fn requested(line: &str) -> Result<FaultRequest, String> {
    let words = line.split("  #").next().unwrap_or_default().split(' ').map(|word| word.trim_matches('\''));
    match Line::try_parse_from(words).map_err(|e| e.to_string())?.command {
        Command::Cut(c) => c.request(),
        Command::Refuse(c) => c.request(),
        Command::Rate(c) => c.request(),
        Command::Delay(c) => c.request(),
        Command::Loss(c) => c.request(),
        Command::Names(c) => c.request(),
        Command::Reset(c) => c.request(),
    }
}

/// A rule of this kind and value from a to b.
fn rule(fault: &str, value: u64) -> RuleShown {
    let is = |kind: &str| fault == kind;
    RuleShown {
        fault: fault.into(),
        from: Some("a".into()),
        to: Some("b".into()),
        port: is("refuse").then_some(65_535),
        rate: is("rate").then_some(value),
        delay: is("delay").then_some(value),
        loss: is("loss").then_some(value),
        how: is("names").then(|| NAMES[value as usize % NAMES.len()].0.into()),
        at: None,
        lasts: None,
        hits: value % 3,
    }
}

/// The value that a request is about; 0 if it has none.
fn value_of(request: &FaultRequest) -> u64 {
    match request {
        FaultRequest::Rate(_, value) | FaultRequest::Delay(_, value) | FaultRequest::Loss(_, value) => *value,
        _ => 0,
    }
}

#[test]
fn each_line_of_faults_is_a_command_that_makes_it() {
    let values = |fault: &str| match fault {
        "rate" => vec![1000, 1536, 999_999, 1_234_567, 8_388_608, 999_999_999, 100_000_000_000],
        "delay" => vec![1000, 1001, 33_333, 60_000_000],
        "loss" => vec![100, 333, 50_001, 900_000],
        _ => vec![0, 1, 2],
    };
    let timings = [(None, None), (Some(1), None), (Some(AT_MOST), None)].into_iter();
    let timings: Vec<(Option<u16>, Option<f64>)> =
        timings.chain([0.0, 0.04, 0.96, 4.25, 59.99, 31_536_000.0].map(|s| (None, Some(s)))).collect();
    for fault in ["cut", "refuse", "rate", "delay", "loss", "names", "reset"] {
        for (value, (at, lasts)) in
            values(fault).into_iter().flat_map(|value| timings.iter().map(move |t| (value, *t)))
        {
            if fault == "reset" && lasts.is_some() {
                continue;
            }
            let one = RuleShown { at, lasts, ..rule(fault, value) };
            let back = RuleShown { from: one.to.clone(), to: one.from.clone(), ..one.clone() };
            let all = RuleShown { to: None, ..one.clone() };
            let from_all = RuleShown { from: None, to: one.from.clone(), ..one.clone() };
            let made = match fault {
                "refuse" => vec![vec![one]],
                "names" | "reset" => vec![vec![one], vec![all]],
                _ => vec![vec![one.clone()], vec![one, back], vec![all, from_all]],
            };
            for rules in made {
                let lines = commands(&rules);
                assert_eq!(lines.len(), 1, "{lines:?}");
                let made = requested(&lines[0]).map(|request| value_of(&request));
                let has_value = matches!(fault, "rate" | "delay" | "loss");
                assert_eq!(made, Ok(if has_value { value } else { 0 }), "{}", lines[0]);
            }
        }
    }
}

#[test]
fn port_0_cannot_be_refused() {
    let error = requested("lonet refuse a b:0").expect_err("an error");
    assert_eq!(error, "address \"b:0\": nothing can listen on port 0; name a port from 1 to 65535");
}
