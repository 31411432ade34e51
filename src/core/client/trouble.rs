//! What goes wrong on the way to lonetd, with the paths that it is about.

use super::Client;
use crate::directory;
use crate::limit::TIME_LIMIT_SECONDS;
use crate::trouble::Trouble;
use std::fmt;
use std::path::PathBuf;

/// As a command says it, with the paths of the network's.
pub struct TroubleOf {
    trouble: Trouble,
    /// The network's directory.
    dir: PathBuf,
}

impl Trouble {
    /// What went wrong for this client. For commands: it allocates.
    pub fn of(self, client: &Client) -> TroubleOf {
        TroubleOf { trouble: self, dir: client.way().0.place.path() }
    }
}

impl fmt::Display for TroubleOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        let root = self.dir.parent().unwrap_or(&self.dir).display();
        match self.trouble {
            Trouble::NotOurs { uid } => {
                write!(f, "another user, uid {uid}, serves the network in {dir}: use another network (-n)")
            }
            Trouble::Directory(directory::Trouble::Root(why)) if why.is_remedied_elsewhere() => {
                write!(
                    f,
                    "{root}, the directory of all networks, {why}: set TMPDIR to a directory of your own"
                )
            }
            Trouble::Directory(directory::Trouble::Network(why)) if why.is_remedied_elsewhere() => {
                write!(f, "{dir}, the network's directory, {why}: use another network (-n), or remove it")
            }
            Trouble::Silent(e) => {
                write!(f, "lonetd did not answer within {TIME_LIMIT_SECONDS} s ({e}); its log is {dir}/log")
            }
            Trouble::Failed => write!(f, "lonetd could not start; its log is {dir}/log"),
            Trouble::Setup { step, why } => write!(f, "cannot {step}: {why} (the directory is {dir})"),
            other => other.fmt(f),
        }
    }
}
