//! Completion of command lines in shells.
//!
//! `lonet completions` prints a script for the shell ([`Completions`]), which runs lonet for each completion
//! ([`complete_if_requested`]), so that names of running networks and hosts are completed.

use super::{Cli, network, query, write_out};
use crate::daemon::state::SocketShown;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// Print a script that makes a shell complete lonet's commands, and the names of running networks and hosts.
///
/// The packages install it. Otherwise put into `~/.bashrc`: `source <(lonet completions bash)`; into `~/.zshrc`, after
/// compinit: `source <(lonet completions zsh)`; into `~/.config/fish/config.fish`: `lonet completions fish | source`.
#[derive(Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// For zsh, which autoloads the file `_lonet` at the first completion and runs it to complete.
const ZSH_AUTOLOAD: &str = r#"if [[ $funcstack[1] == _lonet ]]; then _clap_dynamic_completer_lonet "$@"; fi
"#;

/// The function of clap's script for bash, which is called by that of [`BASH_JOINED`].
const BASH_FUNCTION: &str = "-F _clap_complete_lonet ";

/// For bash, which takes `web:80` and `--network=x` for three words each (COMP_WORDBREAKS), and replaces only the last of
/// them: lonet is given one word, and what precedes the last of the three is removed from its answers.
const BASH_JOINED: &str = r#"_lonet() {
    local i word trimmed rest=$COMP_LINE was= before= index=0 words=() breaks='^[:=]+$'
    for i in "${!COMP_WORDS[@]}"; do
        word=${COMP_WORDS[i]}
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        if ((i == 0)) || [[ $trimmed != "$rest" || ! ($word =~ $breaks || $was =~ $breaks) ]]; then
            words+=("")
        elif ((i > COMP_CWORD && ${#words[@]} == index + 1)); then
            # Behind the cursor.
            word=
        fi
        if ((i != COMP_CWORD)); then
            words[-1]+=$word
        else
            index=$((${#words[@]} - 1)) before=${words[-1]}
            if [[ $word =~ $breaks ]]; then before+=$word words[-1]=$before; else words[-1]+=$2; fi
        fi
        was=${COMP_WORDS[i]} rest=${trimmed#*"$was"}
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$index
    _clap_complete_lonet "$1" "${words[index]}" "$3"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
"#;

/// The variable that asks for a completion; its value is the shell.
const VARIABLE: &str = "_LONET_COMPLETE";

impl Completions {
    pub fn run(self) -> Result<ExitCode, String> {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let mut script = Vec::new();
        let written = shell.write_registration(VARIABLE, "lonet", "lonet", "lonet", &mut script);
        written.map_err(|e| format!("cannot write the script: {e}"))?;
        let mut script = String::from_utf8_lossy(&script).into_owned();
        match self.shell {
            Shell::Bash => script = script.replace(BASH_FUNCTION, "-F _lonet ") + BASH_JOINED,
            Shell::Zsh => script += ZSH_AUTOLOAD,
            Shell::Fish => {}
        }
        write_out(|out| out.write_all(script.as_bytes()))
    }
}

/// If the environment asks for a completion, prints that and exits.
pub fn complete_if_requested() {
    clap_complete::CompleteEnv::with_factory(Cli::command).var(VARIABLE).bin("lonet").complete();
}

/// The names of running networks.
pub fn networks(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = network::list(|_| ()).unwrap_or_default();
    with_prefix(typed, all.into_iter().filter(|(_, client)| query::is_running(client)).map(|(name, _)| name))
}

/// The hosts of the network that the command line names.
pub fn hosts(typed: &OsStr) -> Vec<CompletionCandidate> {
    with_prefix(typed, names_in_network(|_| Vec::new()))
}

/// The lonet addresses of listeners.
pub fn addresses(typed: &OsStr) -> Vec<CompletionCandidate> {
    let listens = |s: &&SocketShown<'_>| s.scope.is_some();
    with_prefix(typed, names_in_network(|sockets| sockets.iter().filter(listens).map(|s| s.port).collect()))
}

/// The hosts of the network that the command line names, each with those of its ports that `ports` selects, or alone.
fn names_in_network(ports: impl Fn(&[SocketShown<'_>]) -> Vec<u16>) -> Vec<String> {
    let network = network::Network::new(network_option(std::env::args_os()));
    let listing = network
        .read_config()
        .ok()
        .and_then(|config| query::network(&network::client_of(config)).ok().flatten());
    let Some(shown) = listing.as_ref().and_then(|listing| listing.parse().ok()) else { return Vec::new() };
    let mut all = Vec::new();
    for host in &shown.hosts {
        match ports(&host.sockets) {
            ports if ports.is_empty() => all.push(host.name.to_string()),
            ports => all.extend(ports.iter().map(|port| format!("{}:{port}", host.name))),
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The value of --network on a command line.
fn network_option(line: impl Iterator<Item = OsString>) -> Option<String> {
    let mut words = line.filter_map(|word| word.into_string().ok());
    let mut named = None;
    while let Some(word) = words.next() {
        if word == "-n" || word == "--network" {
            named = words.next();
        } else if let Some(name) = word.strip_prefix("--network=") {
            named = Some(name.to_owned());
        }
    }
    named
}

fn with_prefix(typed: &OsStr, all: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    all.into_iter().filter(|name| name.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::network_option;

    #[test]
    fn last_network_option_counts() {
        let named = |line: &str| network_option(line.split(' ').map(Into::into));
        assert_eq!(named("lonet -- lonet ls"), None);
        for line in ["lonet ls -n a x", "lonet ls --network a", "lonet ls --network=a", "lonet -n b -n a"] {
            assert_eq!(named(line).as_deref(), Some("a"), "{line}");
        }
    }
}
