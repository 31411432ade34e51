//! `lonet logs`, and the log files of programs in the background, which outlive their network.
//!
//! They are in `$XDG_STATE_HOME/lonet/<network>`, or `~/.local/state/lonet/<network>` if that is not set. There is a directory
//! for each run of the network, named after the time at which it began, with a file `<host>.log` for each host. With --log, that
//! is a symbolic link.
//!
//! HOME may belong to another user (`sudo -E`), who could place symbolic links. So the network's directory must be inaccessible to
//! other users, and files are opened through its descriptor.

use super::{Network, completions, write_out};
use crate::daemon::host_names;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::client::Client;
use lonet_core::config::bare_host;
use lonet_core::directory::{self, Directory, Trouble, Unfit};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::{User, geteuid};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How many runs of a network are kept.
const KEPT_RUNS: usize = 10;

/// Print the output of a host's programs that were started by `lonet run --ready`.
///
/// Output is kept for the last ten runs of a network, in $XDG_STATE_HOME/lonet or ~/.local/state/lonet. The last run
/// that has this host is shown.
#[derive(Args)]
pub struct Logs {
    #[command(flatten)]
    network: Network,
    /// Go on with new output, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// The host, such as web
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    host: String,
}

impl Logs {
    pub fn run(self) -> Result<ExitCode, String> {
        let host = bare_host(&self.host);
        let client = self.network.client()?;
        let path = path_of_network(&client)?;
        let logs = LogDirectory::open(&path)?;
        let found = logs.as_ref().and_then(|logs| Some((logs, latest(&logs.access_path(), host)?)));
        let (logs, path) = found.ok_or_else(|| {
            format!("there is no log of host {host:?} in {}: `lonet run --ready` makes one", path.display())
        })?;
        let cannot = |e: io::Error| format!("cannot read {}: {e}", logs.display_path(&path).display());
        let mut file = File::open(&path).map_err(cannot)?;
        if !self.follow {
            let mut text = Vec::new();
            file.read_to_end(&mut text).map_err(cannot)?;
            return write_out(|out| out.write_all(&text));
        }
        // Before the first read, so that no output is missed.
        let changes = Inotify::init(InitFlags::IN_CLOEXEC)
            .and_then(|changes| changes.add_watch(&path, AddWatchFlags::IN_MODIFY).map(|_| changes))
            .map_err(|e| format!("cannot watch {}: {e}", logs.display_path(&path).display()))?;
        loop {
            let mut text = Vec::new();
            file.read_to_end(&mut text).map_err(cannot)?;
            write_out(|out| out.write_all(&text))?;
            changes.read_events().map_err(|e| cannot(e.into()))?;
        }
    }
}

/// A log file, open for writing.
pub struct Log {
    pub path: PathBuf,
    pub file: File,
    /// Its size when it was opened.
    pub start: u64,
    /// The path by which it is read again; `path` may name another file by then.
    access_path: PathBuf,
    _logs: Option<LogDirectory>,
}

impl Log {
    /// Opens the log of a host in a running network. `chosen`: the file of --log.
    pub fn open(client: &Client, host: &str, chosen: Option<&Path>) -> Result<Log, String> {
        let chosen = match chosen {
            Some(path) => Some(std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?),
            None => None,
        };
        let (logs, path, access_path) = match chosen {
            // There is no place for a link to it.
            Some(path) if state_directory().is_err() => (None, path.clone(), path),
            chosen => {
                let (logs, run) = create_run(client)?;
                let own = run.join(log_file_name(host));
                let (path, access_path) = match chosen {
                    None => (logs.display_path(&own), own),
                    Some(path) => {
                        let _ = fs::remove_file(&own);
                        let made = std::os::unix::fs::symlink(&path, &own);
                        made.map_err(cannot_write(&logs.display_path(&own)))?;
                        (path.clone(), path)
                    }
                };
                (Some(logs), path, access_path)
            }
        };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&access_path);
        let file = file.map_err(cannot_write(&path))?;
        let start = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Log { path, file, start, access_path, _logs: logs })
    }

    /// The last lines written since it was opened, as the end of an error message.
    pub fn tail(&self) -> String {
        tail(&self.access_path, &self.path, self.start)
    }
}

/// The last lines of a host's log in this run of the network, as the end of an error message; empty if there is no log.
pub fn recent_output(client: &Client, host: &str) -> String {
    let logs = path_of_network(client).and_then(|path| LogDirectory::open(&path)).ok().flatten();
    let output = logs.and_then(|logs| {
        let log = run_directory(client, &logs).ok()?.join(log_file_name(host));
        log.is_file().then(|| tail(&log, &logs.display_path(&log), 0))
    });
    output.unwrap_or_default()
}

/// The most of a log that an error message shows, in lines and bytes.
const TAIL_LINES: usize = 10;
const TAIL_BYTES: u64 = 4096;

/// The last lines of a file from `start` on. `path` is its name for the user.
fn tail(access_path: &Path, path: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(access_path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut text = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return format!("; it has written nothing to {}", path.display());
    }
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("; the end of its output, from {}:\n{}", path.display(), last.join("\n"))
}

/// The directory with the logs of a network.
fn path_of_network(client: &Client) -> Result<PathBuf, String> {
    Ok(state_directory()?.join("lonet").join(&client.config.network))
}

/// Where the user's programs have their state. It need not exist, but the home has to: who has no home gets none made.
///
/// Some services and containers do not set HOME. Then the home is that of the user database, as for `~` in a shell.
fn state_directory() -> Result<PathBuf, String> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let remedy = "use --log FILE, or set XDG_STATE_HOME to a directory for them";
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Ok(state);
    }
    let (home, whose) = match absolute("HOME") {
        Some(home) => (home, "HOME"),
        None => match User::from_uid(geteuid()) {
            Ok(Some(user)) => (user.dir, "the user's home directory"),
            _ => return Err(format!("neither XDG_STATE_HOME nor HOME says where logs are: {remedy}")),
        },
    };
    if !home.is_dir() {
        return Err(format!(
            "there is no place for logs, as {whose}, {}, does not exist: {remedy}",
            home.display()
        ));
    }
    Ok(home.join(".local/state"))
}

/// The directory with the logs of a network, opened, and checked to belong to this user alone.
struct LogDirectory {
    directory: Directory,
    path: PathBuf,
}

impl LogDirectory {
    /// `None`: it does not exist.
    fn open(path: &Path) -> Result<Option<LogDirectory>, String> {
        let place = directory::Place::new(path);
        match place.open(geteuid().as_raw()) {
            Ok(directory) => Ok(Some(LogDirectory { directory, path: path.to_owned() })),
            Err(
                Trouble::Root(Unfit::Errno(Errno::ENOENT)) | Trouble::Network(Unfit::Errno(Errno::ENOENT)),
            ) => Ok(None),
            Err(Trouble::Root(why)) => Err(unfit(path.parent().unwrap_or(path))(why)),
            Err(Trouble::Network(why)) => Err(unfit(path)(why)),
        }
    }

    /// As [`LogDirectory::open`]; creates it if it does not exist.
    fn make(path: &Path) -> Result<LogDirectory, String> {
        let all = path.parent().unwrap_or(path);
        DirBuilder::new().recursive(true).mode(0o700).create(all).map_err(cannot_write(all))?;
        let place = directory::Place::new(path);
        let root = place.root(geteuid().as_raw()).map_err(unfit(all))?;
        let directory = root.make(place.name()).map_err(unfit(path))?;
        Ok(LogDirectory { directory, path: path.to_owned() })
    }

    /// A path through its descriptor, which stays valid if it is renamed.
    fn access_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.directory.raw()).into()
    }

    /// The path to show to the user for an access path in it.
    fn display_path(&self, access_path: &Path) -> PathBuf {
        access_path
            .strip_prefix(self.access_path())
            .map_or_else(|_| access_path.to_owned(), |rest| self.path.join(rest))
    }
}

fn unfit(path: &Path) -> impl Fn(Unfit) -> String {
    move |why| {
        format!(
            "{} {why}, so that no logs can be there: set XDG_STATE_HOME to a directory of your own",
            path.display()
        )
    }
}

/// The path of the directory of this run of the network, which may not exist yet.
fn run_directory(client: &Client, logs: &LogDirectory) -> Result<PathBuf, String> {
    // The key file exists from the network's beginning to its end.
    let key = client.directory().and_then(|d| d.file(c"key", libc::O_RDONLY).ok());
    let began = key.and_then(|key| key.metadata().ok()).ok_or("the network has ended")?;
    Ok(logs.access_path().join(format!("{}.{:09}", began.mtime(), began.mtime_nsec())))
}

/// As [`run_directory`]; creates it if it does not exist, and then removes the oldest ones.
fn create_run(client: &Client) -> Result<(LogDirectory, PathBuf), String> {
    let logs = LogDirectory::make(&path_of_network(client)?)?;
    let run = run_directory(client, &logs)?;
    if !run.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&run)
            .map_err(cannot_write(&logs.display_path(&run)))?;
        let all = runs(&logs.access_path());
        for old in all.iter().take(all.len().saturating_sub(KEPT_RUNS)) {
            let _ = fs::remove_dir_all(old);
        }
    }
    Ok((logs, run))
}

/// The directories of all runs of a network, the oldest first.
fn runs(dir: &Path) -> Vec<PathBuf> {
    let moment = |path: &PathBuf| -> Option<(i64, u32)> {
        let (seconds, nanoseconds) = path.file_name()?.to_str()?.split_once('.')?;
        Some((seconds.parse().ok()?, nanoseconds.parse().ok()?))
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries.filter(|path| moment(path).is_some()).collect();
    all.sort_by_key(moment);
    all
}

/// The log of a host in the last run that has one.
fn latest(dir: &Path, host: &str) -> Option<PathBuf> {
    runs(dir).into_iter().rev().map(|run| run.join(log_file_name(host))).find(|log| log.is_file())
}

/// The name of a host's log file, the same for all spellings of the host's name.
fn log_file_name(host: &str) -> String {
    let key = host_names::fold(host.as_bytes()).unwrap_or_else(|| host.to_owned());
    format!("{}.log", key.replace('/', "_"))
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> String {
    move |e| format!("cannot write to {}: {e}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_log_is_of_the_last_run_that_has_one() {
        let dir = tempfile::tempdir().expect("a directory");
        for (run, host) in
            [("9.000000002", "a"), ("10.000000001", "a"), ("11.000000000", "b"), ("other", "a")]
        {
            let run = dir.path().join(run);
            fs::create_dir_all(&run).expect("a run");
            fs::write(run.join(format!("{host}.log")), run.to_string_lossy().as_bytes()).expect("a log");
        }
        assert_eq!(runs(dir.path()).len(), 3);
        assert_eq!(latest(dir.path(), "a"), Some(dir.path().join("10.000000001/a.log")));
        assert_eq!(latest(dir.path(), "c"), None);
    }

    #[test]
    fn tail_begins_at_the_given_offset() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let tail_of = |text: &str, start| {
            fs::write(&path, text).expect("a log");
            tail(&path, &path, start).split_once('\n').map(|(_, lines)| lines.to_owned())
        };
        assert_eq!(tail_of("before\nafter\n", 7).as_deref(), Some("after"));
        assert_eq!(tail_of("before\n", 7), None);
        let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(tail_of(&many.join("\n"), 0), Some(many[10..].join("\n")));
    }
}
