//! Starts the network's lonetd if none runs.
//!
//! Whoever finds no lonetd takes the start lock, looks once more, and starts one if there is still none; lonetd says on a pipe
//! that it serves, or why it does not.

use super::{Client, StartIf};
use crate::control::MAX_MESSAGE;
use crate::directory::{Directory, Unfit};
use crate::launch::launch;
use crate::limit::{Limit, TIME_LIMIT};
use crate::lock::{Lock, take_lock, would_make};
use crate::trouble::Trouble;
use nix::errno::Errno;

impl Client {
    /// Makes sure that a lonetd serves the network, if it is one that wants one. On [`Trouble::Failed`] its message is in
    /// `buffer`.
    pub(super) fn start(
        &self,
        which: StartIf,
        limit: Limit,
        buffer: &mut [u8; MAX_MESSAGE],
    ) -> Result<(), Trouble> {
        let (way, _) = self.way();
        let serves = || self.connect(limit.forgiven(TIME_LIMIT)).is_ok();
        let Some((lock, root, directory)) = take_lock(&way.place, self.owner(), limit, serves)? else {
            return Ok(());
        };
        // Another program's start has taken its time.
        let limit = limit.forgiven(TIME_LIMIT);
        if which == StartIf::Killed && !has_left(&directory) {
            // It has ended while we came, and we have made its lock file, and the directory perhaps, anew.
            let _ = directory.remove(c"lock");
            root.remove(way.place.name(), &directory);
            return Err(Trouble::NotRunning);
        }
        // What follows needs descriptors, too.
        drop((root, directory));
        match self.connect(limit) {
            Err(Trouble::NotRunning) => launch(&way.launch, limit, buffer)?,
            Ok(_) => {}
            Err(other) => return Err(other),
        }
        drop(lock);
        Ok(())
    }

    /// The network's directory, or what a start of lonetd would fail with there; nothing is made. `None`: it would be made.
    pub fn would_make_directory(&self) -> Result<Option<Directory>, Trouble> {
        would_make(&self.way().0.place, self.owner())
    }

    /// Keeps others from starting a lonetd, for one that is started by hand. `None`: one runs already.
    pub fn lock_start(&self) -> Result<Option<Lock>, Trouble> {
        let serves = || self.connect(Limit::NONE).is_ok();
        let taken = take_lock(&self.way().0.place, self.owner(), Limit::NONE, serves)?;
        let Some((lock, ..)) = taken else { return Ok(None) };
        match self.connect(Limit::NONE) {
            Err(Trouble::NotRunning) => Ok(Some(lock)),
            Ok(_) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Whether the network's last lonetd has left what one removes when the network ends.
    pub(super) fn was_killed(&self) -> bool {
        match self.way().1 {
            Ok(directory) => has_left(&directory),
            // What cannot be looked at may be there.
            Err(trouble) => !matches!(trouble.unfit(), Unfit::Errno(Errno::ENOENT | Errno::ENOTDIR)),
        }
    }
}

/// Whether there is what a lonetd takes away when the network ends: left, it was killed.
fn has_left(directory: &Directory) -> bool {
    [c"state", c"control"].iter().any(|file| directory.has(file))
}
