//! The messages for users about errors of reaching lonetd, with the paths that they are about.

use super::Client;
use crate::control;
use crate::directory;
use crate::limit::{Limit, TIME_LIMIT_SECONDS};
use crate::lock::{MAKE_NETWORK, MAKE_ROOT};
use crate::sys::{self, Fd};
use crate::trouble::Trouble;
use nix::errno::Errno;
use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As a command says it, with the paths of the network's.
pub struct TroubleOf {
    trouble: Trouble,
    /// The network's directory.
    dir: PathBuf,
    /// The variable that says where the directory is.
    variable: &'static str,
    /// Who serves it, where that is another version: the process and its program, as the kernel shows them.
    lonetd: String,
}

impl Trouble {
    /// What went wrong for this client. For commands: it allocates.
    pub fn of(self, client: &Client) -> TroubleOf {
        let lonetd = match self {
            Trouble::Version { .. } => lonetd_of(client),
            _ => String::new(),
        };
        let dir = client.way().0.place.path();
        let is_in_tmp = dir.parent().and_then(Path::parent) == Some(&client.config.tmp);
        TroubleOf { trouble: self, dir, variable: if is_in_tmp { "TMPDIR" } else { "LONET_DIR" }, lonetd }
    }
}

/// Who answers for the network, if it can be told.
fn lonetd_of(client: &Client) -> String {
    let fd = client.connect(Limit::within(Duration::from_secs(1)));
    let peer = |fd: &Fd| sys::getsockopt::<libc::ucred>(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED).ok();
    let Some(pid) = fd.ok().as_ref().and_then(peer).map(|peer| peer.pid) else { return String::new() };
    let mut buffer = [0; libc::PATH_MAX as usize];
    let link = CString::new(format!("/proc/{pid}/exe"));
    match link.map(|link| sys::real_path(&link, &mut buffer)) {
        Ok(Ok(program)) => format!(" (pid {pid}, {})", String::from_utf8_lossy(program)),
        _ => format!(" (pid {pid})"),
    }
}

impl TroubleOf {
    /// The first directory of the path of the directory of all networks that does not exist.
    fn missing(&self) -> Option<&Path> {
        self.dir.ancestors().skip(2).take_while(|dir| !dir.exists()).last()
    }
}

impl fmt::Display for TroubleOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        let root = self.dir.parent().unwrap_or(&self.dir).display();
        let variable = self.variable;
        match self.trouble {
            Trouble::NotOurs { uid } => {
                write!(f, "another user, uid {uid}, serves the network in {dir}: use another network (-n)")
            }
            Trouble::Directory(directory::Trouble::Root(why)) if why.is_remedied_elsewhere() => {
                write!(
                    f,
                    "{root}, the directory of all networks, {why}: set {variable} to a directory of your own"
                )
            }
            Trouble::Directory(directory::Trouble::Network(why)) if why.is_remedied_elsewhere() => {
                write!(f, "{dir}, the network's directory, {why}: use another network (-n), or remove it")
            }
            Trouble::Silent(e) => {
                write!(f, "lonetd did not answer within {TIME_LIMIT_SECONDS} s ({e}); its log is {dir}/log")
            }
            Trouble::Failed => write!(f, "lonetd could not start; its log is {dir}/log"),
            Trouble::Version { theirs } => {
                let lonetd = &self.lonetd;
                let this = std::env::current_exe().unwrap_or_default();
                write!(
                    f,
                    "lonetd{lonetd} speaks version {theirs} of lonet's protocol, and this command ({}, lonet {}) version {}: \
                     `lonet down --kill` ends the network, whatever its version; or use the lonet that started it",
                    this.display(),
                    env!("CARGO_PKG_VERSION"),
                    control::VERSION
                )
            }
            Trouble::Setup { step: MAKE_ROOT, why: Errno::ENOENT } if self.missing().is_some() => {
                let missing = self.missing().unwrap_or(&self.dir).display();
                write!(
                    f,
                    "cannot make {root}, the directory of all networks: {missing} does not exist: make it, or set {variable} \
                     to another directory"
                )
            }
            Trouble::Setup {
                step: step @ (MAKE_ROOT | MAKE_NETWORK),
                why: why @ (Errno::EACCES | Errno::EROFS),
            } => {
                write!(
                    f,
                    "cannot {step}: {why} (the directory is {dir}): set {variable} to a directory of your own"
                )
            }
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why} (the directory is {dir})"),
            other => other.fmt(f),
        }
    }
}
