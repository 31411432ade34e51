use super::{Network, run, say, write_out};
use clap::Args;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Print the variables that `lonet run` would set, for debuggers, IDEs and shells.
///
/// For example: `eval "$(lonet env -H α)"`, or `gdb -ex "set exec-wrapper env $(lonet env -H α | sed 's/^export //' | tr '\n' ' ')"`.
#[derive(Args)]
pub struct Env {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    host: run::HostOptions,
}

impl Env {
    pub fn run(self) -> Result<ExitCode, String> {
        let mut config = self.network.config().map_err(say)?;
        self.host.apply(&mut config)?;
        let library = run::library()?;
        write_out(|out| {
            for (name, value) in run::variables(&config, config.membership) {
                writeln!(out, "export {name}={}", quoted(&value))?;
            }
            writeln!(out, "export LD_PRELOAD={}", quoted(&run::preload(&library)))
        })
    }
}

/// As a shell reads it back.
fn quoted(value: &OsStr) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(b);
    let text = String::from_utf8_lossy(value.as_bytes());
    if !text.is_empty() && value.as_bytes().iter().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(super::quoted("a/b:1".as_ref()), "a/b:1");
        assert_eq!(super::quoted("it's α".as_ref()), r"'it'\''s α'");
    }
}
