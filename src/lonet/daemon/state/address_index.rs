//! Finds, by the kernel's addresses, the sockets that lonetd decides about.

use super::{Cookie, Map, Socket};
use std::net::SocketAddrV4;

#[derive(Default)]
pub(super) struct AddressIndex {
    /// Dialing sockets, by the local and remote address of their connection.
    dialers: Map<(SocketAddrV4, SocketAddrV4), Cookie>,
    /// Listening and bound sockets, by their local address.
    bound: Map<SocketAddrV4, Vec<Cookie>>,
}

impl AddressIndex {
    /// The socket that has dialed last between these addresses.
    pub fn dialer(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Cookie> {
        self.dialers.get(&(local, remote)).copied()
    }

    pub fn add_dialer(&mut self, local: SocketAddrV4, remote: SocketAddrV4, cookie: Cookie) {
        self.dialers.insert((local, remote), cookie);
    }

    /// Removes a socket as a dialer, unless another one has dialed between the same addresses since.
    pub fn remove_dialer(&mut self, cookie: Cookie, socket: &Socket) {
        let Some(call) = socket.call else { return };
        let Some(local) = call.os_local else { return };
        if self.dialer(local, call.os_remote) == Some(cookie) {
            self.dialers.remove(&(local, call.os_remote));
        }
    }

    /// The sockets that are bound to an address.
    pub fn bound(&self, os: SocketAddrV4) -> &[Cookie] {
        self.bound.get(&os).map_or(&[], Vec::as_slice)
    }

    pub fn add_bound(&mut self, os: SocketAddrV4, cookie: Cookie) {
        let all = self.bound.entry(os).or_default();
        if !all.contains(&cookie) {
            all.push(cookie);
        }
    }

    pub fn remove_bound(&mut self, os: SocketAddrV4, cookie: Cookie) {
        if let Some(all) = self.bound.get_mut(&os) {
            all.retain(|c| *c != cookie);
            if all.is_empty() {
                self.bound.remove(&os);
            }
        }
    }
}
