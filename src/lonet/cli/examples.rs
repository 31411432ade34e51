//! The examples in `lonet help COMMAND`: lines to paste. Those of `run` start the hosts that the others use.

use clap::Command;

const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "run",
        &[
            "lonet run --host web -- python3 -m http.server 8080 &",
            "lonet wait web:8080",
            "lonet run --host client -- curl -s http://web.lonet:8080/",
            "lonet run --host api --ready 8081 -- python3 -m http.server 8081",
        ],
    ),
    ("ls", &["lonet ls", "lonet ls web"]),
    ("logs", &["lonet logs api"]),
    ("wait", &["lonet wait --timeout 10s web:8080 api:8081"]),
    ("addr", &["curl -s \"http://$(lonet addr web:8080)/\""]),
    ("explain", &["lonet explain api web:8080"]),
    ("networks", &["lonet networks"]),
    ("env", &["(eval \"$(lonet env --host client)\"; curl -s http://web.lonet:8080/)"]),
    ("check", &["lonet check python3"]),
    ("completions", &["source <(lonet completions bash)"]),
    ("doctor", &["lonet doctor"]),
    ("daemon", &["lonet daemon -n mine --foreground &"]),
    (
        "expect",
        &[
            "lonet trace --start",
            "lonet run --host client -- curl -s http://web.lonet:8080/",
            "lonet expect -e 'client dial client:* -> web:8080'",
        ],
    ),
    ("trace", &["lonet trace --start", "lonet trace"]),
    ("pcap", &["lonet pcap --for 2s web.pcapng web"]),
    ("top", &["lonet top"]),
    ("forward", &["lonet forward web:8080 &"]),
    ("pause", &["lonet pause web", "lonet resume web"]),
    ("resume", &["lonet resume web"]),
    ("cut", &["lonet cut web api", "lonet heal"]),
    ("refuse", &["lonet refuse api web:8080", "lonet heal"]),
    ("rate", &["lonet rate web api 100kB", "lonet heal"]),
    ("delay", &["lonet delay web api 50ms", "lonet heal"]),
    ("loss", &["lonet loss web api 5%", "lonet heal"]),
    ("names", &["lonet names api fail web", "lonet heal"]),
    ("reset", &["lonet reset web api"]),
    ("faults", &["lonet faults"]),
    ("heal", &["lonet heal"]),
    ("kill", &["lonet kill web", "lonet kill -s KILL api"]),
    ("down", &["lonet down --kill"]),
];

/// Adds its examples to the help of each command.
pub fn add(lonet: Command) -> Command {
    EXAMPLES.iter().fold(lonet, |lonet, (name, lines)| {
        lonet.mut_subcommand(name, |command| {
            let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
            let title = if lines.len() == 1 { "Example" } else { "Examples" };
            command.after_help(format!("{before}{title}:\n  {}", lines.join("\n  ")))
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_command_has_an_example_that_is_understood() {
        let lonet = super::add(super::super::Cli::command());
        for command in lonet.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains(&format!("lonet {name}")), "{name}: {help:?}");
        }
    }
}
