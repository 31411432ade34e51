//! The sockets that no rule has ever set, so that a heal which does not reach them leaves nothing undone.

use super::{KernelConnections, Setting, Target, Targets};
use crate::daemon::state::Cookie;
use lonet_core::diag::State as Tcp;
use lonet_core::pace::Pace;
use lonet_core::valve::Shut;
use std::collections::HashSet;

/// Sockets that were there before the rules that concern them, and that lonetd has not reached since: nobody has set them. A
/// process sets its sockets itself, but only as it dials or accepts. The next lonetd does not know these sockets, and takes any
/// that it does not reach for one that may have been set.
#[derive(Default)]
pub struct Untouched {
    /// The sockets that were there before the rules were changed; none if that is not known.
    pub older: HashSet<Cookie>,
    all: HashSet<Cookie>,
}

impl Untouched {
    /// Learns from what was reached, and removes the targets of which there is nothing to report although they were not.
    pub(super) fn sort_out(&mut self, listed: &KernelConnections<'_>, targets: &mut Targets) {
        self.all.retain(|cookie| listed.by_cookie.contains_key(cookie));
        for (cookie, target) in &*targets {
            if target.is_set {
                self.all.remove(cookie);
            } else if !target.was_concerned && self.older.contains(cookie) {
                self.all.insert(*cookie);
            }
        }
        targets.retain(|cookie, target| {
            let is_open = target.is_to_be_open() && self.all.contains(cookie);
            target.is_set || !is_open && !listed.is_over(target)
        });
    }
}

impl Target {
    /// Whether no rule concerns it any more.
    fn is_to_be_open(&self) -> bool {
        let is_open = matches!(self.setting, Setting::Shut(Shut::NEITHER) | Setting::Wide);
        is_open && self.paces[1] == Pace::default() && self.loss.is_none_or(|part| part == 0)
    }
}

impl KernelConnections<'_> {
    /// Whether the other end has sent all, and nobody holds it any more: neither data nor the end can be dropped.
    fn is_over(&self, target: &Target) -> bool {
        let is_half = |cookie| self.by_cookie.get(cookie).is_some_and(|f| f.state == Tcp::CLOSE_WAIT);
        is_half(&target.end.cookie) && (self.peer(&target.end).is_none() || self.is_peer_orphan(&target.end))
    }
}
