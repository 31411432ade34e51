//! Prints rules as the commands that make them.

use super::RuleShown;

/// The commands that make these rules: one for both directions where the rules are equal.
pub fn commands(rules: &[RuleShown]) -> Vec<String> {
    let is_back = |a: &RuleShown, b: &RuleShown| {
        (&a.fault, &a.from, &a.to, a.port, a.at, a.rate, a.loss, a.delay)
            == (&b.fault, &b.to, &b.from, None, b.at, b.rate, b.loss, b.delay)
            && a.lasts.is_some() == b.lasts.is_some()
            && a.how.is_none()
    };
    let mut lines = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        let (from, to) = (rule.from.as_deref(), rule.to.as_deref());
        let both = rules.iter().position(|other| is_back(other, rule));
        if both.is_some_and(|other| other < n) {
            continue;
        }
        let hosts = match (both, from, to) {
            (None, Some(a), Some(b)) if rule.port.is_some() => {
                format!("{a} {b}:{}", rule.port.unwrap_or_default())
            }
            (None, Some(a), b) if matches!(&*rule.fault, "reset" | "names") => {
                [Some(a), rule.how.as_deref(), b].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            (Some(_), Some(a), Some(b)) => format!("{a} {b}"),
            (Some(_), a, b) => a.or(b).unwrap_or_default().to_owned(),
            (None, a, b) => format!("'{}>{}'", a.unwrap_or("*"), b.unwrap_or("*")),
        };
        let lasts = rule.lasts.map(|s| format!(" --for {}", time_text(s))).unwrap_or_default();
        let at = rule.at.map(|at| format!(" --at {at}")).unwrap_or_default();
        let rate = rule.rate.map(|rate| format!(" {}", rate_text(rate))).unwrap_or_default();
        let loss = rule.loss.map(|loss| format!(" {}%", loss as f64 / 1e4)).unwrap_or_default();
        let delay = rule.delay.map(|delay| format!(" {}ms", delay as f64 / 1e3)).unwrap_or_default();
        let hits = rule.hits + both.map_or(0, |other| rules[other].hits);
        lines.push(format!(
            "lonet {} {}{rate}{delay}{loss}{at}{lasts}{}",
            rule.fault,
            hosts.trim_end(),
            hits_text(&rule.fault, hits)
        ));
    }
    lines
}

/// A rate in the syntax of `lonet rate`.
pub fn rate_text(rate: u64) -> String {
    match rate as f64 {
        rate if rate < 1e6 => format!("{}kB", rate / 1e3),
        rate if rate < 1e9 => format!("{}MB", rate / 1e6),
        rate => format!("{}GB", rate / 1e9),
    }
}

/// The seconds until a rule ends, in the syntax of `--for`, which has no 0.
fn time_text(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{}ms", (s * 1e3).ceil().max(1.0)),
        s => format!("{s:.1}s"),
    }
}

/// The hits of a rule, as a comment.
fn hits_text(fault: &str, hits: u64) -> String {
    let (one, several) = match fault {
        "refuse" => ("dial refused", "dials refused"),
        "reset" => ("connection reset", "connections reset"),
        "names" => ("lookup affected", "lookups affected"),
        _ => ("segment dropped", "segments dropped"),
    };
    match hits {
        0 => String::new(),
        1 => format!("  # 1 {one}"),
        _ => format!("  # {hits} {several}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_shown_as_the_commands_that_make_them() {
        let rule = |from: &str, to: &str| RuleShown {
            fault: "cut".into(),
            from: (!from.is_empty()).then(|| from.into()),
            to: (!to.is_empty()).then(|| to.into()),
            port: None,
            rate: None,
            delay: None,
            loss: None,
            how: None,
            at: None,
            lasts: None,
            hits: 0,
        };
        let all = [rule("a", "b"), rule("b", "a"), rule("a", "c"), rule("d", ""), rule("", "d")];
        assert_eq!(commands(&all), ["lonet cut a b", "lonet cut 'a>c'", "lonet cut d"]);
        let refused = [RuleShown { fault: "refuse".into(), port: Some(80), ..rule("a", "b") }];
        assert_eq!(commands(&refused), ["lonet refuse a b:80"]);
        let slow = [("a", "b"), ("b", "a")].map(|(from, to)| RuleShown {
            fault: "rate".into(),
            rate: Some(1_500_000),
            ..rule(from, to)
        });
        assert_eq!(commands(&slow), ["lonet rate a b 1.5MB"]);
        let names = [RuleShown { fault: "names".into(), how: Some("fail".into()), ..rule("a", "b") }];
        assert_eq!(commands(&names), ["lonet names a fail b"]);
        let third = [("a", "b"), ("b", "a")].map(|(a, b)| RuleShown { at: Some(3), ..rule(a, b) });
        assert_eq!(commands(&third), ["lonet cut a b --at 3"]);
        let hit = [("a", "b", 2), ("b", "a", 3)].map(|(a, b, hits)| RuleShown { hits, ..rule(a, b) });
        assert_eq!(commands(&hit), ["lonet cut a b  # 5 segments dropped"]);
        let once_reset = [RuleShown { fault: "reset".into(), hits: 1, ..rule("a", "b") }];
        assert_eq!(commands(&once_reset), ["lonet reset a b  # 1 connection reset"]);
        let once = [RuleShown { lasts: Some(4.25), ..rule("a", "b") }];
        assert_eq!(commands(&once), ["lonet cut 'a>b' --for 4.2s"]);
    }
}
