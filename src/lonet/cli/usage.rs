//! Usage errors in one line each. clap's own messages take four, and speak of "values" and "literals".

use super::standard_output;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};
use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code of a usage error.
const USAGE_ERROR: u8 = 2;

/// Prints an error of clap, and returns the exit code. `--help` and `--version` are such errors, too.
pub fn exit(e: &Error, arguments: &[OsString]) -> ExitCode {
    if !e.use_stderr() || e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        super::restore_sigpipe();
        return match print(e) {
            // There is nobody to tell that stderr cannot be written.
            Err(why) if !e.use_stderr() => {
                error_line!("lonet: {}", super::unwritable(&why));
                ExitCode::FAILURE
            }
            _ => ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(USAGE_ERROR)),
        };
    }
    error_line!("lonet: {}", explain(e, &super::Cli::command(), arguments));
    ExitCode::from(USAGE_ERROR)
}

fn print(e: &Error) -> io::Result<()> {
    if !e.use_stderr() {
        standard_output::check()?;
    }
    e.print()?;
    io::stdout().flush()
}

fn explain(e: &Error, lonet: &Command, arguments: &[OsString]) -> String {
    let command = arguments.get(1).and_then(|name| lonet.find_subcommand(name)).map(Command::get_name);
    let see = command
        .map_or("`lonet help` lists the commands".to_owned(), |name| format!("see `lonet help {name}`"));
    let argument = context(e, ContextKind::InvalidArg).first().map(|text| name_of(text)).unwrap_or_default();
    let value = context(e, ContextKind::InvalidValue).concat();
    match e.kind() {
        ErrorKind::InvalidSubcommand => {
            let wanted = context(e, ContextKind::InvalidSubcommand).concat();
            let suggestions = one_of(&context(e, ContextKind::SuggestedSubcommand));
            format!("{wanted:?} is no command{}; `lonet help` lists them", did_you_mean(&suggestions))
        }
        ErrorKind::UnknownArgument => match command {
            None => match behind_the_command(lonet, arguments) {
                Some(right) => format!("options come after the command: `{right}`"),
                None => format!("{argument:?} is no command; {see}"),
            },
            Some(name) if argument.starts_with('-') => {
                let suggestions = context(e, ContextKind::SuggestedArg)
                    .iter()
                    .map(|text| name_of(text))
                    .collect::<Vec<_>>();
                format!(
                    "`lonet {name}` has no option {argument:?}{}; {see}",
                    did_you_mean(&one_of(&suggestions))
                )
            }
            Some(name) => format!("`lonet {name}` does not expect the argument {argument:?}; {see}"),
        },
        ErrorKind::InvalidValue | ErrorKind::NoEquals if value.is_empty() => {
            format!("{argument} needs a value{}; {see}", possible(e))
        }
        ErrorKind::InvalidValue => format!("{argument} {value:?} is unknown{}", possible(e)),
        ErrorKind::ValueValidation => {
            let why = e.source().map_or_else(|| format!("it cannot be used; {see}"), ToString::to_string);
            format!("{argument} {value:?}: {why}")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> =
                context(e, ContextKind::InvalidArg).iter().map(|text| name_with_value(text)).collect();
            format!("`lonet {}` needs {}; {see}", command.unwrap_or("COMMAND"), missing.join(" and "))
        }
        ErrorKind::ArgumentConflict => {
            let other =
                context(e, ContextKind::PriorArg).first().map(|text| name_of(text)).unwrap_or_default();
            match other == argument {
                true => format!("{argument} is given twice; {see}"),
                false => format!("{argument} cannot be used with {other}; {see}"),
            }
        }
        ErrorKind::InvalidUtf8 => format!("an argument is not UTF-8; {see}"),
        _ => {
            let text = e.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; {see}", first.trim_start_matches("error: "))
        }
    }
}

/// A part of an error's context.
fn context(e: &Error, kind: ContextKind) -> Vec<String> {
    match e.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// `--timeout <SECONDS>` is --timeout, `<ADDR>...` is ADDR.
fn name_of(text: &str) -> String {
    let first = if text.starts_with('-') { text.split([' ', '=']).next().unwrap_or(text) } else { text };
    first.trim_end_matches("...").trim_matches(|c| "<>[]".contains(c)).to_owned()
}

/// As [`name_of`], with the name of the option's value: `--timeout SECONDS`.
fn name_with_value(text: &str) -> String {
    text.trim_end_matches("...").replace(['<', '>', '[', ']'], "")
}

fn possible(e: &Error) -> String {
    let values = context(e, ContextKind::ValidValue);
    if values.is_empty() { String::new() } else { format!(": it is {}", one_of(&values)) }
}

fn did_you_mean(suggestions: &str) -> String {
    if suggestions.is_empty() { String::new() } else { format!(": did you mean {suggestions}?") }
}

/// A list in words: `a, b or c`.
fn one_of(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// The command line with leading options moved behind the command. `None`: there is no command.
fn behind_the_command(lonet: &Command, arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = arguments.iter().skip(1).map(|word| word.to_str()).collect::<Option<_>>()?;
    let at = words.iter().position(|word| lonet.find_subcommand(word).is_some())?;
    let (before, from) = words.split_at(at);
    let (name, after) = from.split_first()?;
    let in_order: Vec<&str> = ["lonet", name].iter().chain(before).chain(after).copied().collect();
    Some(in_order.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn explained(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = super::super::Cli::try_parse_from(&arguments).err();
        error.map_or_else(|| "nothing".into(), |e| explain(&e, &super::super::Cli::command(), &arguments))
    }

    #[test]
    fn usage_error_is_one_line() {
        for (line, explanation) in [
            ("lonet lss", "\"lss\" is no command: did you mean logs, ls or loss?; `lonet help` lists them"),
            ("lonet -n x ls web", "options come after the command: `lonet ls -n x web`"),
            ("lonet --what", "\"--what\" is no command; `lonet help` lists the commands"),
            (
                "lonet ls --jsn",
                "`lonet ls` has no option \"--jsn\": did you mean --json?; see `lonet help ls`",
            ),
            ("lonet addr a:1 b", "`lonet addr` does not expect the argument \"b\"; see `lonet help addr`"),
            ("lonet ls -n", "--network needs a value; see `lonet help ls`"),
            ("lonet env --format x", "--format \"x\" is unknown: it is sh, fish, json or dotenv"),
            ("lonet run --host a --ready http -- x", "--ready \"http\": it is not a number from 1 to 65535"),
            ("lonet forward a:80 99999", "LOCALPORT \"99999\": it is not a number from 0 to 65535"),
            ("lonet wait", "`lonet wait` needs ADDR; see `lonet help wait`"),
            ("lonet run --log f -- x", "`lonet run` needs --ready PORT; see `lonet help run`"),
            ("lonet addr a:1 --host --port", "--host cannot be used with --port; see `lonet help addr`"),
            ("lonet run -q -q -- x", "--quiet is given twice; see `lonet help run`"),
        ] {
            assert_eq!(explained(line), explanation, "{line}");
        }
    }
}
