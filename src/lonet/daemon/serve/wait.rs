//! `lonet wait`: answering when something listens on each of many addresses.
//!
//! The addresses come in a memory file, as there may be more of them than a message holds.

use super::messages::{has_hung_up, send_file};
use super::{CONNECTION, Daemon, event};
use crate::memory_file;
use lonet_core::address::Address;
use lonet_core::control::Reply;
use std::os::fd::OwnedFd;

/// The most bytes of addresses: of 60,000 of the longest.
const MOST: u64 = 16 << 20;

/// Somebody waits until all these are listened on.
pub(super) struct Waiter {
    fd: OwnedFd,
    addresses: Vec<Address>,
    /// The host that it is, or empty.
    host: String,
    /// The one that was missing when they were last looked at. It is looked at first: until something listens there,
    /// the others need not be looked at.
    missing: usize,
}

impl Daemon {
    /// `now`: the answer is wanted at once, and names those that are missing.
    pub(super) fn wait(&mut self, fd: OwnedFd, file: Option<OwnedFd>, host: &str, now: bool) {
        let addresses = match file.ok_or("without the file of addresses".into()).and_then(addresses) {
            Ok(addresses) => addresses,
            Err(text) => {
                self.reply(&fd, &Reply::Error { errno: libc::EINVAL, text: &text });
                return;
            }
        };
        if now {
            return self.tell_missing(&fd, &addresses, host);
        }
        let _ = self.epoll.add(&fd, event(CONNECTION));
        self.waiters.push(Waiter { fd, addresses, host: host.to_owned(), missing: 0 });
        self.answer_waiters();
    }

    fn tell_missing(&mut self, fd: &OwnedFd, addresses: &[Address], host: &str) {
        let (state, kernel) = (&mut self.state, &mut self.kernel);
        let is_missing = |a: &&Address| !state.listens(kernel, a, host);
        let lines: Vec<String> = addresses.iter().filter(is_missing).map(Address::to_string).collect();
        if lines.is_empty() {
            self.reply(fd, &Reply::Done);
        } else if let Err(e) = send_file(fd, lines.join("\n").as_bytes()) {
            tracing::warn!("wait: {e}");
        }
    }

    pub(super) fn answer_waiters(&mut self) {
        let waiters = std::mem::take(&mut self.waiters);
        for mut waiter in waiters {
            let (state, kernel) = (&mut self.state, &mut self.kernel);
            let (addresses, host) = (&waiter.addresses, &waiter.host);
            let from_missing = (0..addresses.len()).map(|n| (waiter.missing + n) % addresses.len());
            let missing = { from_missing }.find(|n| !state.listens(kernel, &addresses[*n], host));
            match missing {
                None => _ = self.reply(&waiter.fd, &Reply::Done),
                Some(_) if has_hung_up(&waiter.fd) => {}
                Some(missing) => {
                    waiter.missing = missing;
                    self.waiters.push(waiter);
                }
            }
        }
    }

    pub(super) fn forget_waiters_that_left(&mut self) {
        self.waiters.retain(|w| !has_hung_up(&w.fd));
    }
}

/// What such a file says: a lonet address a line.
fn addresses(file: OwnedFd) -> Result<Vec<Address>, String> {
    let text = memory_file::text(&file.into(), MOST).map_err(|e| format!("the file of addresses: {e}"))?;
    text.lines().map(|line| Address::parse(line).map_err(|e| e.to_string())).collect()
}
