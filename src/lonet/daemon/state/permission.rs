//! What a process was allowed and has not done.
//!
//! bind, listen and connect take two steps: lonetd allows, the kernel does. In between no table of the kernel's shows
//! the deed, and the record alone speaks for it. The permission is its process': it lapses when that has ended or
//! holds the socket no more. Whoever else holds the socket, by fork or SCM_RIGHTS, has what the kernel has: a socket
//! that is bound, listens, or is nothing so far.

use super::{Cookie, Kernel, Pid, Role, Socket, State, UnconnectedState};

impl Socket {
    /// Its process was told that it may, and nobody has said so far that it did.
    pub(super) fn is_allowed(&self) -> bool {
        match self.role {
            Role::Claimed | Role::Starting => true,
            // accept has seen the connection from the other end.
            Role::Dialing => self.call.is_none_or(|call| call.os_local.is_none()),
            Role::Bound | Role::Listening | Role::Connected | Role::Accepted | Role::Gone => false,
        }
    }
}

impl State {
    /// A process asks to do something with a socket (`deed`: the role that it has until that is done). What was allowed
    /// before and has not been done is not in its way. `bound`: whether the kernel has the socket at a port, where the
    /// process has looked.
    pub(super) fn supersede(
        &mut self,
        kernel: &mut dyn Kernel,
        asks: Pid,
        cookie: Cookie,
        deed: Role,
        bound: Option<bool>,
    ) {
        let asks_again = |s: &&Socket| (s.pid, s.role) == (asks, deed);
        let Some(s) = self.sockets.get(&cookie).filter(|s| s.is_allowed() && !asks_again(s)) else { return };
        let bound = bound.or_else(|| match s.os {
            Some(os) => kernel.unconnected(cookie, os).map(|idle| idle != UnconnectedState::Gone),
            None => kernel.is_held_anywhere(cookie),
        });
        if bound == Some(false) {
            self.forget(cookie);
        } else if s.pid != asks {
            self.review_permission(kernel, cookie);
        }
    }

    /// Looks whether a permission has lapsed. Whether the socket lives.
    pub(super) fn review_permission(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let is_expected = self.processes.contains_key(&s.pid)
            && kernel.sockets_of(s.pid).is_none_or(|held| held.contains(&cookie));
        is_expected || self.lapse(kernel, cookie)
    }

    /// Nobody will do what was allowed: the socket is what the kernel has. Whether it lives.
    pub(super) fn lapse(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let (role, os) = (s.role, s.os);
        match os.map(|os| kernel.unconnected(cookie, os)) {
            Some(Some(UnconnectedState::Bound)) => self.end_call(cookie),
            Some(Some(UnconnectedState::Listening)) => {
                self.end_call(cookie);
                self.begins_to_listen(cookie);
            }
            Some(None) => {}
            // It may have connected, from where only its process could have told.
            Some(Some(UnconnectedState::Gone)) | None
                if role == Role::Dialing && kernel.is_held_anywhere(cookie) != Some(false) => {}
            Some(Some(UnconnectedState::Gone)) | None => {
                self.retire(kernel, cookie);
                return false;
            }
        }
        true
    }
}
