//! Restores the network's directory, which may be deleted or moved while the network runs.
//!
//! Programs that have talked to lonetd still reach it by its abstract name; new ones would find no lonetd,
//! and start another for a network of the same name. So lonetd makes the directory again with the files that
//! programs need: the control socket and the key. The table cannot be restored: new programs have to ask
//! lonetd for everything.

use super::end::remove_files;
use super::{DIRECTORY, Daemon, event};
use crate::daemon::{control_sockets, in_place, setup};
use lonet_core::directory::Place;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::AsRawFd;

/// Watches for the removal of the directory.
pub(super) struct DirectoryWatch {
    inotify: Option<Inotify>,
    /// Whether another lonetd has taken the path: it is not this network's any more.
    lost: bool,
}

impl DirectoryWatch {
    /// Watches the directory. If this fails, it is checked now and then.
    pub fn watch(place: &Place, owner: u32) -> DirectoryWatch {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).and_then(|inotify| {
            // A directory does not report its own removal while a file in it is open.
            let above = place.root(owner).map_err(|_| Errno::ENOENT)?;
            let path = format!("/proc/self/fd/{}", above.raw());
            inotify.add_watch(path.as_str(), AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM)?;
            Ok(inotify)
        });
        let inotify = inotify.inspect_err(|e| {
            tracing::info!("the network's directory cannot be watched, only looked at: {e}")
        });
        DirectoryWatch { inotify: inotify.ok(), lost: false }
    }
}

impl Daemon {
    pub(super) fn watch_directory(&mut self) -> Result<(), Errno> {
        self.directory_watch
            .inotify
            .as_ref()
            .map_or(Ok(()), |inotify| self.epoll.add(inotify, event(DIRECTORY)))
    }

    /// Restores the directory if it has gone.
    pub(super) fn check_directory(&mut self) {
        if let Some(inotify) = &self.directory_watch.inotify {
            while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        if self.directory_watch.lost || self.has_its_directory() {
            return;
        }
        if let Err(why) = self.restore_directory() {
            tracing::error!("the network's directory has gone and cannot be made again: {why}");
            self.directory_watch.lost = true;
        }
    }

    /// Whether the path leads to this lonetd's directory, with its key in it.
    fn has_its_directory(&self) -> bool {
        let directory = self.directory.get();
        let root = self.place.root(self.membership.owner);
        root.is_ok_and(|root| root.leads_to(self.place.name(), &directory))
            && directory.leads_to(c"key", self.service.as_raw_fd())
    }

    fn restore_directory(&mut self) -> Result<(), String> {
        let (root, directory) = self.place.make(self.membership.owner).map_err(|e| e.to_string())?;
        let mut service = control_sockets::take_service_at_once(&directory).map_err(|e| e.to_string())?;
        in_place::write_in_place(&directory);
        setup::write_key(&mut service, &self.membership.key);
        let by_path = control_sockets::listen_at_path(&directory).map_err(|e| e.to_string())?;
        if self.control_sockets.by_path.paused_until().is_none() {
            self.epoll.add(&by_path, event(super::CONTROL)).map_err(|e| e.to_string())?;
        }
        let before = self.directory.get();
        if !root.leads_to(self.place.name(), &before) {
            self.directory.replace(directory);
            // If it was moved, no program is to find a network in it.
            remove_files(&before);
        }
        self.control_sockets.by_path.fd = by_path;
        self.service = service;
        tracing::warn!("the network's directory had gone and was made again");
        self.directory_watch = DirectoryWatch::watch(&self.place, self.membership.owner);
        let _ = self.watch_directory();
        Ok(())
    }
}
