//! `lonet env`: prints the variables that make a program a host.

use super::{Network, run, text_of, write_out};
use clap::{Args, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Print the variables that `lonet run` would set, for shells, debuggers and IDEs.
///
/// For example: `eval "$(lonet env -H web)"` makes a host of what a shell starts from then on, and `eval "$(lonet env
/// --unset)"` undoes that.
///
/// While the network runs, the output contains its key, LONET_KEY, by which a program that drops its privileges stays in
/// the network. Any user who reads the key can join: keep it out of files and command lines that others can read. A
/// network that does not run yet has no key, and each time it begins it has another one.
///
/// gdb can start a host without being one, here without the key: `gdb -ex "set exec-wrapper env $(lonet env -H web | sed
/// '/LONET_KEY/d; s/^export //' | tr '\n' ' ')"`.
#[derive(Args)]
#[command(after_help = LOG)]
pub struct Env {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    host: run::HostOptions,
    /// The format: for a POSIX shell, for fish, as JSON, or as a .env file
    #[arg(long, value_enum, default_value_t = Format::Sh)]
    format: Format,
    /// Print what removes the variables again
    #[arg(long)]
    unset: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Sh,
    Fish,
    Json,
    Dotenv,
}

/// Variables with their values; `None`: to be unset.
type Settings = Vec<(&'static str, Option<OsString>)>;

impl Env {
    pub fn run(self) -> Result<ExitCode, String> {
        let settings = if self.unset { unset(self.format)? } else { self.set()? };
        if self.format == Format::Json {
            return write_json(&settings);
        }
        write_out(|out| {
            settings.iter().try_for_each(|(name, value)| self.format.write(out, name, value.as_deref()))
        })
    }

    fn set(&self) -> Result<Settings, String> {
        let mut config = self.network.config().map_err(text_of)?;
        self.host.apply(&mut config)?;
        let library = run::library()?;
        let client = super::client_of(config);
        let mut all = run::variables(&client.config, run::membership(&client));
        all.push(("LD_PRELOAD", run::preload(&library)));
        Ok(all.into_iter().map(|(name, value)| (name, Some(value))).collect())
    }
}

/// Settings that remove lonet's variables. LD_PRELOAD keeps the other libraries in it.
fn unset(format: Format) -> Result<Settings, String> {
    if format == Format::Dotenv {
        return Err("a .env file cannot take variables away: --unset is for sh, fish and json".into());
    }
    let others = run::other_preloads(&run::library()?);
    let mut all: Settings = run::VARIABLES.iter().map(|name| (*name, None)).collect();
    all.push(("LD_PRELOAD", (!others.is_empty()).then(|| others.join(OsStr::new(":")))));
    Ok(all)
}

impl Format {
    fn write(self, out: &mut dyn Write, name: &str, value: Option<&OsStr>) -> io::Result<()> {
        match (self, value) {
            (Format::Fish, Some(value)) => writeln!(out, "set -gx {name} {}", quoted_for_fish(value)),
            // fish fails to erase a variable that is not set.
            (Format::Fish, None) => writeln!(out, "set -e {name}; true"),
            (Format::Dotenv, Some(value)) => writeln!(out, "{name}={}", quoted_for_dotenv(value)),
            (_, Some(value)) => writeln!(out, "export {name}={}", quoted(value)),
            (_, None) => writeln!(out, "unset {name}"),
        }
    }
}

/// Prints one object; a variable to be unset is null.
fn write_json(settings: &Settings) -> Result<ExitCode, String> {
    let text = |(name, value): &(&'static str, Option<OsString>)| {
        let value = value.as_deref().map(|value| {
            value
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("{name}={value:?} is not UTF-8: JSON cannot have it"))
        });
        Ok(((*name).to_owned(), value.transpose()?.into()))
    };
    let object = settings.iter().map(text).collect::<Result<serde_json::Map<_, _>, String>>()?;
    write_out(|mut out| {
        serde_json::to_writer(&mut out, &object).map_err(io::Error::from).and_then(|()| writeln!(out))
    })
}

const LOG: &str = "\
LONET_LOG=FILE, if it is set, is among them. FILE then has a line for each call, with its result and the reason (man 7 lonet):
  12:00:01.123456 γ curl(4711) connect → α:5000: refused: α:5000 listens on α's loopback only";

fn is_plain(value: &OsStr) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(b);
    !value.is_empty() && value.as_bytes().iter().all(plain)
}

/// A value, quoted for a POSIX shell where necessary.
fn quoted(value: &OsStr) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if is_plain(value) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A value, quoted for fish, where backslashes escape quotes and themselves within quotes, too.
fn quoted_for_fish(value: &OsStr) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if is_plain(value) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// A value, quoted for a .env file as far as its readers agree: between single quotes everything stands for itself. Some readers
/// do not remove quotes, so there are none unless necessary.
fn quoted_for_dotenv(value: &OsStr) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let needs = |c: char| c.is_whitespace() || "'\"`$#\\".contains(c);
    match (text.contains(needs), text.contains(['\'', '\n'])) {
        (false, _) => text.into_owned(),
        (true, false) => format!("'{text}'"),
        (true, true) => {
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            format!("\"{escaped}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn special_characters_are_quoted_for_a_shell() {
        assert_eq!(super::quoted("a/b:1".as_ref()), "a/b:1");
        assert_eq!(super::quoted("it's α".as_ref()), r"'it'\''s α'");
    }

    #[test]
    fn special_characters_are_quoted_for_fish() {
        assert_eq!(super::quoted_for_fish("a/b:1".as_ref()), "a/b:1");
        assert_eq!(super::quoted_for_fish(r"it's \α".as_ref()), r"'it\'s \\α'");
    }

    #[test]
    fn special_characters_are_quoted_in_dotenv() {
        assert_eq!(super::quoted_for_dotenv("α:1".as_ref()), "α:1");
        assert_eq!(super::quoted_for_dotenv("a b$".as_ref()), "'a b$'");
        assert_eq!(super::quoted_for_dotenv("it's \"a\" b".as_ref()), r#""it's \"a\" b""#);
    }
}
