use super::{Network, say};
use crate::check;
use clap::{Args, ValueEnum};
use lonet_core::client::{Client, Trouble};
use lonet_core::config::{Config, Membership, bare_host};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Run a program as a host of a network.
///
/// The program takes the place of lonet: its pid, terminal, signals and exit code are its own. All that it
/// starts is the same host. Without --host it is no host: .lonet names work, and it dials from a host of its own
/// named after it.
///
/// Exit codes: 125 lonet failed, 126 the program cannot be hooked or executed, 127 it was not found, else its own.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    host: HostOptions,
    /// Run it even if it cannot be hooked: it will use the machine's network
    #[arg(long)]
    unhooked: bool,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    program: Vec<OsString>,
}

/// What a host is and how it behaves.
#[derive(Args, Clone)]
pub struct HostOptions {
    /// The host's name, such as α [default: $LONET_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    host: Option<String>,
    /// What 127.0.0.1 and ::1 reach: the host alone, or the machine's services where the host has none
    #[arg(long, value_enum)]
    loopback: Option<Loopback>,
    /// The OS ports of listeners: the lonet port where it can be had, or others always
    #[arg(long, value_enum)]
    os_ports: Option<OsPorts>,
    /// Where the search for a free port begins [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    autobind_from: Option<u16>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Loopback {
    Host,
    Real,
}

#[derive(Clone, Copy, ValueEnum)]
enum OsPorts {
    Native,
    Private,
}

impl HostOptions {
    /// Puts the flags over what the variables said.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        if let Some(host) = &self.host {
            config.host = Some(bare_host(host).to_owned());
        }
        if let Some(loopback) = self.loopback {
            config.options.real_loopback = matches!(loopback, Loopback::Real);
        }
        if let Some(os_ports) = self.os_ports {
            config.options.private_ports = matches!(os_ports, OsPorts::Private);
        }
        if let Some(from) = self.autobind_from {
            config.options.autobind_from = from;
        }
        if let Some(host) = &config.host {
            crate::daemon::names::check(host)?;
        }
        Ok(())
    }
}

/// lonet's own failure.
pub const FAILED: u8 = 125;

impl Run {
    pub fn run(self) -> ExitCode {
        match self.execute() {
            Ok(never) => match never {},
            Err((code, text)) => {
                eprintln!("lonet: {text}");
                ExitCode::from(code)
            }
        }
    }

    fn execute(self) -> Result<std::convert::Infallible, (u8, String)> {
        let failed = |text: String| (FAILED, text);
        let (name, arguments) = self.program.split_first().ok_or_else(|| failed("no program".into()))?;
        let mut config = self.network.config().map_err(say).map_err(failed)?;
        self.host.apply(&mut config).map_err(failed)?;
        let library = library().map_err(failed)?;

        let refusal = |e: check::Refusal| (e.exit_code(), e.to_string());
        let program = check::resolve(name, std::env::var_os("PATH").as_deref()).map_err(refusal)?;
        match check::hookable(&program, &library) {
            Ok(()) => {}
            Err(e) if self.unhooked && e.exit_code() == 126 => {}
            Err(e) if e.exit_code() == 126 => {
                return Err((126, format!("{e} (--unhooked runs it all the same)")));
            }
            Err(e) => return Err(refusal(e)),
        }

        let client = super::client_of(config);
        join(&client).map_err(failed)?;
        let key = client.directory().and_then(|d| d.read(c"key").ok()).and_then(|k| k.try_into().ok());
        let membership = key.map(|key| Membership { owner: client.owner(), key });
        let mut command = Command::new(&program);
        command.arg0(name).args(arguments);
        for (name, value) in variables(&client.config, membership.or(client.config.membership)) {
            command.env(name, value);
        }
        command.env("LD_PRELOAD", preload(&library));
        let error = command.exec();
        let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        Err((code, format!("{}: {error}", program.display())))
    }
}

/// The host is up from here on; it is this process, which the program takes over.
fn join(client: &Client) -> Result<(), String> {
    let mut buffer = [0; MAX_MESSAGE];
    let text = match client.ask_or_start(&Op::Join, &mut buffer) {
        Ok((_, Reply::Done)) => return Ok(()),
        Ok((_, Reply::Error { text, .. })) => text.to_owned(),
        Ok((_, other)) => format!("lonetd answered with {other:?}"),
        Err(Trouble::Failed) => {
            let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
            format!("lonetd could not start: {}", String::from_utf8_lossy(&buffer[..end]))
        }
        Err(e) => e.to_string(),
    };
    Err(format!("network {:?}: {text}", client.config.network))
}

/// What a program has to be told, in a fixed order.
pub fn variables(config: &Config, membership: Option<Membership>) -> Vec<(&'static str, OsString)> {
    let mut all: Vec<(&'static str, OsString)> =
        vec![("LONET_NETWORK", config.network.clone().into()), ("LONET_DIR", config.dir.clone().into())];
    if let Some(host) = &config.host {
        all.push(("LONET_HOST", host.into()));
    }
    if let Some(membership) = membership {
        all.push(("LONET_KEY", membership.to_string().into()));
    }
    let o = config.options;
    all.push(("LONET_LOOPBACK", if o.real_loopback { "real" } else { "host" }.into()));
    all.push(("LONET_OS_PORTS", if o.private_ports { "private" } else { "native" }.into()));
    all.push(("LONET_AUTOBIND", o.autobind_from.to_string().into()));
    all
}

/// LD_PRELOAD with liblonet.so in front of what was there.
pub fn preload(library: &Path) -> OsString {
    let before = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let others = before.as_bytes().split(|b| matches!(b, b':' | b' ')).filter(|e| !e.is_empty());
    let mut all: Vec<&OsStr> = vec![library.as_os_str()];
    all.extend(others.map(OsStr::from_bytes).filter(|e| *e != library.as_os_str()));
    all.join(OsStr::new(":"))
}

/// liblonet.so: beside this command, or in the lib directory next to its own.
pub fn library() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|e| format!("where is this command? {e}"))?;
    let dir = exe.parent().unwrap_or(Path::new("/"));
    let places = ["liblonet.so", "../lib/liblonet.so", "../lib/lonet/liblonet.so"].map(|p| dir.join(p));
    let found = places.iter().find_map(|p| p.canonicalize().ok()).ok_or_else(|| {
        format!("liblonet.so is neither beside {} nor in ../lib: build or install it", exe.display())
    })?;
    let bad = |b: &u8| matches!(b, b' ' | b':' | b'$' | b'\n' | b'\t');
    match found.as_os_str().as_bytes().iter().find(|b| bad(b)) {
        None => Ok(found),
        Some(b) => Err(format!(
            "{}: LD_PRELOAD cannot carry a path with {:?} in it: install lonet elsewhere",
            found.display(),
            char::from(*b)
        )),
    }
}
