//! `lonet run`: runs a program as a host.

use super::number::port;
use super::{Network, completions, query, ready, text_of};
use crate::check;
use crate::exit::{FAILED, RunError};
use crate::supervise::{self, Order, ProgramFile};
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use lonet_core::client::{Client, Trouble};
use lonet_core::config::{Config, Membership, bare_host};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::sys;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Run a program as a host of a network.
///
/// lonet replaces itself with the program, which keeps its pid, terminal, signals and exit code. A program that cannot
/// be hooked is supervised: it runs as a child of a process that passes signals on to it and exits as it does. Child
/// processes belong to the same host.
///
/// Without --host the program is no host, and a warning on stderr says so: it can dial `.lonet` names, from an
/// implicit host named after it, but the ports that it binds are the machine's.
///
/// With --ready the program runs in the background. If it ends before it listens, the command fails and shows the end
/// of its output. Ctrl-C, or a signal that ends the command while it waits, ends the program, too.
///
/// Exit codes: the program's own, or 125 lonet failed, 126 the program cannot be hooked, supervised or executed, 127
/// it was not found. With --ready also 1: the host has ended and does not listen on all of the ports, or lonetd failed
/// during the wait.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    host: HostOptions,
    /// Run the program even if it cannot be hooked: it uses the machine's network
    #[arg(long)]
    unhooked: bool,
    /// Start the program in the background, and return when it listens on these ports of its host, as in 80,443, or
    /// has ended
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port)]
    ready: Vec<u16>,
    /// With --ready: write the program's output to this file; `lonet logs` shows it, too
    #[arg(long, value_name = "FILE", requires = "ready")]
    log: Option<PathBuf>,
    /// Write what happens in the network until the program ends to a file, as JSON lines; the program is a child then
    #[arg(long, value_name = "FILE", conflicts_with = "ready")]
    trace: Option<PathBuf>,
    /// What to supervise: programs that cannot be hooked (auto), all, with each call taking longer (always), or none
    /// (never)
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", conflicts_with = "unhooked")]
    supervise: Supervision,
    /// Let a supervised program and its child processes use io_uring: what they do with sockets through a ring is not
    /// lonet's, but on the machine's network, with OS addresses and ports
    #[arg(long, conflicts_with = "unhooked")]
    allow_io_uring: bool,
    /// Do not warn that the program is no host
    #[arg(short, long)]
    quiet: bool,
    /// The program's file, if PATH does not lead to it. Internal: the library uses it to execute supervised programs
    #[arg(long, hide = true)]
    path: Option<PathBuf>,
    /// As --path: /proc/self/fd/N, a descriptor that the program does not inherit
    #[arg(long, hide = true, conflicts_with = "path")]
    open: Option<PathBuf>,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    program: Vec<OsString>,
}

/// The options that describe a host.
#[derive(Args, Clone)]
pub struct HostOptions {
    /// Name of the host, such as web [default: $LONET_HOST]
    #[arg(short = 'H', long, value_name = "NAME", add = ArgValueCompleter::new(completions::hosts))]
    host: Option<String>,
    /// What 127.0.0.1 and ::1 reach: only the host's own listeners (host) or, where it has none, the machine's
    /// services (real)
    #[arg(long, value_enum)]
    loopback: Option<Loopback>,
    /// The OS port of a listener: the lonet port if possible (native), or always a different one (private)
    #[arg(long, value_enum)]
    os_ports: Option<OsPorts>,
    /// What a name resolves to before any program runs as that host: an address already, so that start order does not
    /// matter (lenient), or nothing (strict)
    #[arg(long, value_enum)]
    names: Option<Names>,
    /// The lowest port that a program gets when it asks for any free one [default: 1]
    #[arg(long, value_name = "N", value_parser = port)]
    autobind_from: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Supervision {
    Always,
    Never,
    Auto,
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

#[derive(Clone, Copy, ValueEnum)]
enum Names {
    Lenient,
    Strict,
}

impl HostOptions {
    /// Applies the options to a configuration from the variables.
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
        if let Some(names) = self.names {
            config.options.strict_names = matches!(names, Names::Strict);
        }
        if let Some(from) = self.autobind_from {
            config.options.autobind_from = from;
        }
        if let Some(host) = &config.host {
            crate::daemon::host_names::check(host)?;
        }
        Ok(())
    }
}

impl Run {
    pub fn run(self) -> ExitCode {
        match self.execute() {
            Ok(code) => code,
            Err((code, text)) => {
                error_line!("lonet: {text}");
                ExitCode::from(code)
            }
        }
    }

    fn execute(self) -> Result<ExitCode, RunError> {
        let failed = |text: String| (FAILED, text);
        let (name, arguments) = self.program.split_first().ok_or_else(|| failed("no program".into()))?;
        let mut config = self.network.config().map_err(text_of).map_err(failed)?;
        self.host.apply(&mut config).map_err(failed)?;
        if config.host.is_none() && !self.quiet && self.ready.is_empty() {
            error_line!(
                "lonet: without --host the program is no host, and the ports that it binds are the machine's \
                 (-q silences this)"
            );
        }
        let library = library().map_err(failed)?;
        let is_supervised = supervise::is_supervised();
        if is_supervised && !self.is_same_host(&config) {
            return Err(failed(
                "a program that is supervised as one host cannot start programs as another: start them from outside".into(),
            ));
        }

        let refusal = |e: check::Refusal| (e.exit_code(), e.to_string());
        let program = match self.path.as_ref().or(self.open.as_ref()) {
            Some(path) => path.clone(),
            None => check::resolve(name, std::env::var_os("PATH").as_deref()).map_err(refusal)?,
        };
        let mut supervised = self.supervise == Supervision::Always;
        match check::hookable(&program, &library) {
            Ok(()) => {}
            Err(e) if self.unhooked && e.exit_code() == 126 => {}
            Err(e) if (is_supervised || self.supervise != Supervision::Never) && e.is_supervisable() => {
                supervised = true
            }
            Err(e) if e.exit_code() == 126 && !matches!(e.reason, check::Reason::Fails(_)) => {
                return Err((126, format!("{e} (--unhooked runs it anyway)")));
            }
            Err(e) => return Err(refusal(e)),
        }

        if self.allow_io_uring && (is_supervised || !supervised) {
            return Err(failed(if is_supervised {
                "--allow-io-uring has to be given where supervision begins, not inside of a supervised program".into()
            } else {
                format!(
                    "--allow-io-uring is for supervised programs, and {name:?} is hooked: leave it out, or add --supervise always"
                )
            }));
        }

        if let Some(why) = config.log.as_deref().and_then(write_error) {
            error_line!(
                "lonet: cannot write to LONET_LOG={:?}: {why}",
                config.log.take().unwrap_or_default()
            );
        }
        if !self.ready.is_empty() {
            let host = config
                .host
                .clone()
                .ok_or_else(|| failed("--ready needs a host: name it with --host".into()))?;
            let client = super::client_of(config);
            let supervise_option = match self.supervise {
                _ if self.unhooked => Some("--unhooked"),
                Supervision::Always => Some("--supervise=always"),
                Supervision::Never => Some("--supervise=never"),
                Supervision::Auto => None,
            };
            let io_uring_option = self.allow_io_uring.then_some("--allow-io-uring");
            let options = supervise_option.into_iter().chain(io_uring_option).collect();
            let Run { ready: ports, log, program, .. } = self;
            let supervised = supervised && !is_supervised;
            return ready::Background { client, host, ports, log, options, program, supervised }.run();
        }
        let client = super::client_of(config);
        if let Some(file) = &self.trace {
            return super::traced::run(&client, file).map_err(failed);
        }
        supervised &= !is_supervised;
        // Events have the program's name from the beginning.
        match supervised {
            true => supervise::take_name(Path::new("lonet"), false),
            false => supervise::take_name(&program, self.open.is_some()),
        }
        join(&client, supervised).map_err(failed)?;
        let mut variables = variables(&client.config, membership(&client));
        if !is_supervised {
            variables.push(("LD_PRELOAD", preload(&library)));
        }
        // The warning above is enough: the program must not warn again.
        let without_log = client.config.log.is_none();
        if supervised {
            if self.path.is_some() || self.open.is_some() {
                supervise::warn_tracer(name);
            }
            let file = if self.open.is_some() {
                ProgramFile::Descriptor(&program)
            } else {
                ProgramFile::Path(&program)
            };
            let (variables, allow_io_uring) = (&variables, self.allow_io_uring);
            return supervise::run(&Order { file, name, arguments, variables, without_log, allow_io_uring });
        }
        let mut command = Command::new(&program);
        command.arg0(name).args(arguments);
        if without_log {
            command.env_remove("LONET_LOG");
        }
        command.envs(variables);
        let error = command.exec();
        let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        Err((code, format!("{}: {error}", program.display())))
    }
}

impl Run {
    /// Whether a configuration is for the host that this process belongs to.
    fn is_same_host(&self, config: &Config) -> bool {
        let is = |name: &str, value: Option<&str>| std::env::var_os(name).as_deref() == value.map(OsStr::new);
        is("LONET_HOST", config.host.as_deref()) && is("LONET_NETWORK", Some(&config.network))
    }
}

/// Joins the network: from here on the host is up, and this process is a member. `supervises`: it does not become the program.
fn join(client: &Client, supervises: bool) -> Result<(), String> {
    let mut buffer = [0; MAX_MESSAGE];
    let text = match client.ask_or_start(&Op::Join { supervises }, &mut buffer) {
        Ok((_, Reply::Done)) => return Ok(()),
        Ok((_, Reply::Error { text, .. })) => text.to_owned(),
        Ok((_, other)) => format!("lonetd answered with {other:?}"),
        Err(Trouble::Failed) => {
            let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
            format!("lonetd could not start: {}", String::from_utf8_lossy(&buffer[..end]))
        }
        Err(e) => e.of(client).to_string(),
    };
    Err(query::in_network(client, &text))
}

fn write_error(log: &Path) -> Option<std::io::Error> {
    std::fs::OpenOptions::new().append(true).create(true).open(log).err()
}

/// The network's key, which its owner can read while the network runs, or else the one that this process was given as a
/// member that is not the owner.
pub fn membership(client: &Client) -> Option<Membership> {
    let key = client.directory().and_then(|d| d.read(c"key").ok()).and_then(|k| k.try_into().ok());
    let given = client.config.membership.filter(|given| given.owner != sys::geteuid());
    key.map(|key| Membership { owner: client.owner(), key }).or(given)
}

/// The variables that make a program a host, in a fixed order.
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
    all.push(("LONET_NAMES", if o.strict_names { "strict" } else { "lenient" }.into()));
    if let Some(log) = &config.log {
        // Absolute, as the program may change its directory.
        all.push(("LONET_LOG", std::path::absolute(log).unwrap_or_else(|_| log.clone()).into()));
    }
    all.push(("LONET_AUTOBIND", o.autobind_from.to_string().into()));
    all
}

/// The variables that [`variables`] may name.
pub const VARIABLES: [&str; 9] = [
    "LONET_NETWORK",
    "LONET_DIR",
    "LONET_HOST",
    "LONET_KEY",
    "LONET_LOOPBACK",
    "LONET_OS_PORTS",
    "LONET_NAMES",
    "LONET_LOG",
    "LONET_AUTOBIND",
];

/// A value of LD_PRELOAD: liblonet.so, then what is in it now.
pub fn preload(library: &Path) -> OsString {
    let mut all = vec![library.as_os_str().to_owned()];
    all.extend(other_preloads(library));
    all.join(OsStr::new(":"))
}

/// The libraries in LD_PRELOAD other than liblonet.so.
pub fn other_preloads(library: &Path) -> Vec<OsString> {
    let before = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let all = before.as_bytes().split(|b| matches!(b, b':' | b' ')).filter(|e| !e.is_empty());
    all.map(OsStr::from_bytes).filter(|e| *e != library.as_os_str()).map(OsStr::to_owned).collect()
}

/// The path of liblonet.so: beside this command, or in the lib directory next to its own.
pub fn library() -> Result<PathBuf, String> {
    let exe = std::env::current_exe()
        .map_err(|e| format!("cannot determine the path of the lonet command: {e}"))?;
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
