//! Connects to lonetd's control socket, by its path or an abstract name, and refuses whoever else listens there.

use super::{Client, TIME_LIMIT, Trouble};
use crate::control::MAX_MESSAGE;
use crate::directory::{self, Directory, Unfit};
use crate::limit::Limit;
use crate::starved::readable_from_starved;
use crate::sys::{self, Fd};
use crate::table::Table;
use crate::uids;
use crate::unix::AbstractName;
use nix::errno::Errno;
use std::sync::atomic::Ordering;

impl Client {
    /// A connection to the lonetd of this network, and to no one else. When `limit` is over it waits for nothing.
    pub(crate) fn connect(&self, limit: Limit) -> Result<Fd, Trouble> {
        // With no descriptor left for the directory the abstract name takes one alone.
        let (_, directory) = self.way();
        let at_once = if limit.is_over() { libc::SOCK_NONBLOCK } else { 0 };
        let fd = match sys::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | at_once, 0) {
            Ok(fd) => fd,
            Err(e) => return Err(Trouble::NoRoom(e)),
        };
        set_time(&fd, libc::SO_SNDTIMEO, limit)?;
        loop {
            match self.reach(&fd, directory.as_ref().ok()) {
                // A signal does not prolong it.
                Err(Trouble::Silent(Errno::EINTR)) if !limit.is_over() => {
                    set_time(&fd, libc::SO_SNDTIMEO, limit)?;
                }
                Err(Trouble::NotRunning) => return Err(nobody_at(directory)),
                result => {
                    result?;
                    break;
                }
            }
        }
        set_time(&fd, libc::SO_RCVTIMEO, limit)?;
        Ok(fd)
    }

    fn reach(&self, fd: &Fd, directory: Option<&Directory>) -> Result<(), Trouble> {
        let by_path = directory.map_or(Err(Errno::ENOENT), |directory| {
            directory.socket_name(c"control").ok_or(Errno::ENAMETOOLONG)?.connect(fd.raw())
        });
        match by_path {
            Ok(()) => return self.check_owner(&peer_of(fd)?, directory, true),
            // The socket is there and nobody listens: neither will anybody elsewhere.
            Err(Errno::ECONNREFUSED) => return Err(Trouble::NotRunning),
            Err(e @ (Errno::EAGAIN | Errno::EINTR | Errno::EMFILE | Errno::ENFILE)) => {
                return Err(Trouble::Silent(e));
            }
            // The path leads nowhere from here.
            Err(_) => {}
        }
        for name in self.abstract_names() {
            match name.connect(fd.raw()) {
                Ok(()) => match self.check_owner(&peer_of(fd)?, directory, false) {
                    Ok(()) => return Ok(()),
                    // Where the directory is not to be seen, one made anew would be of another network. Of the own user's
                    // lonetd it tells enough.
                    Err(trouble @ Trouble::UserNamespace { uid })
                        if directory.is_none() && (uid != sys::geteuid() || uid == uids::OVERFLOW) =>
                    {
                        return Err(trouble);
                    }
                    // Another user has taken the name while no lonetd had it. The socket is used up, and is the only one.
                    Err(_) => break,
                },
                Err(Errno::ECONNREFUSED | Errno::ENOENT) => {}
                Err(e) => return Err(Trouble::Silent(e)),
            }
        }
        Err(Trouble::NotRunning)
    }

    /// How lonetd may be called where no path leads to it, the likelier name first.
    fn abstract_names(&self) -> impl Iterator<Item = AbstractName> {
        let seen = self.table().and_then(Table::abstract_name);
        let by_key = AbstractName::from_number(self.abstract_name.load(Ordering::Acquire));
        seen.into_iter().chain(by_key.filter(|name| seen != Some(*name)))
    }
}

fn peer_of(fd: &Fd) -> Result<libc::ucred, Trouble> {
    sys::getsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED).map_err(Trouble::Silent)
}

/// What it means that nobody serves a network whose directory was opened, or not.
fn nobody_at(directory: Result<Directory, directory::Trouble>) -> Trouble {
    match directory {
        Err(trouble) if trouble.unfit().is_there() => Trouble::Directory(trouble),
        Err(trouble) => match trouble.unfit() {
            Unfit::Errno(e @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => Trouble::NoRoom(e),
            _ => Trouble::NotRunning,
        },
        Ok(_) => Trouble::NotRunning,
    }
}

/// Waits for what lonetd has to say on the connection, for as long as anything may take.
pub fn await_reply(fd: &Fd, limit: Limit) -> Result<(), Trouble> {
    let in_time = sys::readable_within(fd.raw(), limit.of(TIME_LIMIT)).map_err(Trouble::Silent)?;
    if in_time || is_readable_past_the_limit(fd, limit)? {
        return Ok(());
    }
    Err(Trouble::Silent(Errno::ETIMEDOUT))
}

fn is_readable_past_the_limit(fd: &Fd, limit: Limit) -> Result<bool, Trouble> {
    readable_from_starved(fd.raw(), peer_of(fd)?.pid, limit).map_err(Trouble::Silent)
}

pub(super) fn receive_raw(fd: &Fd, limit: Limit, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, Trouble> {
    loop {
        match sys::recv_once(fd.raw(), buffer) {
            // lonetd ended with the question unread.
            Ok(0) | Err(Errno::ECONNRESET) => return Err(Trouble::NotRunning),
            Ok(n) => return Ok(n),
            // A signal does not prolong it.
            Err(Errno::EINTR) if !limit.is_over() => set_time(fd, libc::SO_RCVTIMEO, limit)?,
            Err(Errno::EAGAIN | Errno::EINTR) if is_readable_past_the_limit(fd, limit)? => {}
            Err(e) => return Err(Trouble::Silent(e)),
        }
    }
}

/// Gives a connection's steps what is left for lonetd.
fn set_time(fd: &Fd, option: i32, limit: Limit) -> Result<(), Trouble> {
    let milliseconds = limit.of(TIME_LIMIT);
    let time = libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
    sys::setsockopt(fd.raw(), libc::SOL_SOCKET, option, &time).map_err(Trouble::Silent)
}
