//! Permissions: calls that a process was allowed to make and has not made yet.
//!
//! bind, listen and connect take two steps: lonetd allows the call, then the process makes it. In between, no
//! table of the kernel's shows the socket's new state, and the record alone speaks for it. A permission
//! belongs to its process: it lapses when the process ends or no longer holds the socket. For others that
//! hold the socket, by fork or SCM_RIGHTS, the kernel's state counts: it is bound, listens, or neither.

use super::{Cookie, Kernel, Pid, Role, Socket, State, UnconnectedState};

impl Socket {
    /// Whether its process was allowed a call and has not reported the result.
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
    /// Drops an earlier permission of a socket for which a process now requests a call. `requested_role`: the
    /// role that the socket has until that call is made. `bound`: whether the kernel has bound the socket to
    /// a port, if the process has looked.
    pub(super) fn supersede(
        &mut self,
        kernel: &mut dyn Kernel,
        asks: Pid,
        cookie: Cookie,
        requested_role: Role,
        bound: Option<bool>,
    ) {
        let asks_again = |s: &&Socket| (s.pid, s.role) == (asks, requested_role);
        let Some(s) = self.sockets.get(&cookie).filter(|s| s.is_allowed() && !asks_again(s)) else { return };
        let bound = bound.or_else(|| match s.os {
            Some(os) => self.unconnected(kernel, cookie, os).map(|idle| idle != UnconnectedState::Gone),
            None => kernel.is_held_anywhere(cookie),
        });
        if bound == Some(false) {
            self.forget(cookie);
        } else if s.pid != asks {
            self.review_permission(kernel, cookie);
        }
    }

    /// Checks whether a permission has lapsed. Returns whether the socket is alive.
    pub(super) fn review_permission(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let is_expected = self.processes.contains_key(&s.pid)
            && kernel.sockets_of(s.pid).is_none_or(|held| held.contains(&cookie));
        is_expected || self.lapse(kernel, cookie)
    }

    /// Ends a permission: the socket is what the kernel has. Returns whether it is alive.
    pub(super) fn lapse(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let (role, os) = (s.role, s.os);
        // A supervisor makes the call by a duplicate that it then closes: the socket may have been bound since the kernel was
        // asked, and before the process was.
        kernel.renew_batch();
        match os.map(|os| self.unconnected(kernel, cookie, os)) {
            Some(Some(UnconnectedState::Bound)) => self.end_call(cookie),
            Some(Some(UnconnectedState::Listening)) => {
                self.end_call(cookie);
                self.begins_to_listen(cookie);
            }
            Some(None) => {}
            // It may have connected, and only its process could report from which address.
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
