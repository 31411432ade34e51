//! `lonet run --ready`: starts a program in the background and waits until it listens.

mod interrupt;

use super::logs::Log;
use super::wait::Waiting;
use super::{query, run, write_out};
use crate::exit::{FAILED, RunError};
use lonet_core::address::Address;
use lonet_core::client::Client;
use lonet_core::control::{MAX_MESSAGE, Op};
use lonet_core::limit::Limit;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A program to start, and the ports on which it listens when it is ready.
pub struct Background {
    pub client: Client,
    pub host: String,
    pub ports: Vec<u16>,
    pub log: Option<PathBuf>,
    /// The options of `lonet run` to pass on, which say what to supervise, and how.
    pub options: Vec<&'static str>,
    pub program: Vec<OsString>,
    /// Whether a process supervises the program, and passes signals on to it.
    pub supervised: bool,
}

/// The events that end the wait for a program.
enum StartupEvent {
    WaitEnded(Result<(), String>),
    ProgramEnded(ExitStatus),
}

impl Background {
    pub fn run(self) -> Result<ExitCode, RunError> {
        let failed = |text: String| (FAILED, text);
        // The log's directory needs the network to exist.
        let started = self.client.ask_or_start(&Op::Locate { address: "" }, &mut [0; MAX_MESSAGE]).map(drop);
        started.map_err(|e| failed(query::trouble(&self.client, e)))?;
        let log = Log::open(&self.client, &self.host, self.log.as_deref()).map_err(failed)?;
        let command = self.command(&log).map_err(failed)?;
        let Background { client, host, ports, supervised, .. } = self;
        let address = |port: &u16| Address { host: host.clone(), port: *port };
        let wanted: Vec<Address> = ports.iter().map(address).collect();
        let mut waiting = Waiting::new(Arc::new(client), wanted).map_err(failed)?;
        if waiting.missing().map_err(failed)?.is_empty() {
            let all: Vec<String> = waiting.wanted.iter().map(Address::to_string).collect();
            return Err(failed(format!("something already listens on {}", all.join(", "))));
        }
        let (asked_sender, asked_receiver) = channel();
        waiting.on_asked = Some(asked_sender);
        let (sender, events) = channel();
        let end_sender = sender.clone();
        thread::spawn(move || {
            sender.send(StartupEvent::WaitEnded(waiting.wait(Limit::NONE).map(drop).map_err(|e| e.text)))
        });
        // lonetd reports the death of a program only to requests from before its start.
        if asked_receiver.recv().is_err() {
            // The request has failed: the thread has sent why.
            wait_until_ready(&events, &log)?;
        }
        interrupt::before_start();
        let mut child = spawn_in_session(command).map_err(failed)?;
        let pid = child.id();
        interrupt::started(pid, supervised);
        thread::spawn(move || {
            let status = interrupt::wait(&mut child);
            status.map(|status| end_sender.send(StartupEvent::ProgramEnded(status)))
        });
        wait_until_ready(&events, &log)?;
        let path = log.path.display();
        write_out(|out| writeln!(out, "{host} is ready (pid {pid}); it writes to {path}")).map_err(failed)
    }

    /// The command that starts the program: `lonet run` without --ready.
    fn command(&self, log: &Log) -> Result<Command, String> {
        let exe = std::env::current_exe()
            .map_err(|e| format!("cannot determine the path of the lonet command: {e}"))?;
        let writer =
            || log.file.try_clone().map_err(|e| format!("cannot write to {}: {e}", log.path.display()));
        let config = &self.client.config;
        let mut command = Command::new(exe);
        command.arg("run").args(&self.options).arg("--").args(&self.program);
        command.envs(run::variables(config, config.membership));
        if config.log.is_none() {
            command.env_remove("LONET_LOG");
        }
        command.stdin(Stdio::null()).stdout(writer()?).stderr(writer()?);
        Ok(command)
    }
}

/// Starts a command in a session of its own, so that a closed terminal or Ctrl-C does not end it.
fn spawn_in_session(mut command: Command) -> Result<Child, String> {
    // SAFETY: a system call, without arguments.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        })
    };
    command.spawn().map_err(|e| format!("cannot start a program: {e}"))
}

/// Waits until the program listens on all ports, or has ended. A program that exits successfully may have left a daemon behind,
/// which is waited for.
fn wait_until_ready(events: &Receiver<StartupEvent>, log: &Log) -> Result<(), RunError> {
    for event in events {
        match event {
            StartupEvent::WaitEnded(Ok(())) => return Ok(()),
            StartupEvent::WaitEnded(Err(why)) => {
                interrupt::end_if_interrupted();
                return Err((1, why));
            }
            StartupEvent::ProgramEnded(status) => {
                interrupt::end_if_interrupted();
                if status.success() {
                    continue;
                }
                let signal = status.signal().map(|signal| 128 + signal);
                let code = status.code().or(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                return Err((
                    code,
                    format!("the program ended before it was ready, with {status}{}", log.tail()),
                ));
            }
        }
    }
    Err((FAILED, "nobody waits for it".into()))
}
