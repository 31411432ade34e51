//! Taking up what an earlier lonetd has left, as far as the kernel bears it out.

use super::{Changes, Cookie, Idle, Index, Kernel, Pid, Process, Role, Socket, State};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

/// What an earlier lonetd knew. Processes are those that still live.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    pub hosts: BTreeMap<Index, (String, bool)>,
    pub sockets: BTreeMap<Cookie, Socket>,
    pub processes: Vec<(Pid, BTreeSet<Index>, Option<Index>)>,
}

/// A socket as the kernel has it.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    pub local: SocketAddrV4,
    /// Who it is connected to; `None`: it is listening or idle.
    pub remote: Option<SocketAddrV4>,
    pub idle: Idle,
    pub held: bool,
}

/// How long a program may take between the permission and the deed, if lonetd dies in between. Nobody would tell of
/// its socket's end in that time.
const DOUBT: Duration = Duration::from_secs(2);

/// Since when sockets that were restored are there, by this lonetd's clock: shortly before anything that it sees begin.
const RESTORED: Duration = Duration::from_nanos(1);

impl Changes {
    /// Nothing that the next lonetd has to know.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty() && self.hosts.is_empty() && self.processes.is_empty()
    }
}

impl State {
    /// All names, as for a change of everything.
    pub fn everything(&self) -> Changes {
        Changes {
            sockets: self.sockets.keys().copied().collect(),
            hosts: self.hosts.all().map(|h| h.index).collect(),
            processes: self.processes.keys().copied().collect(),
            listeners: BTreeSet::new(),
            names: false,
        }
    }

    /// Takes up what was saved. What was said one way while nobody listened (a socket is bound by now, or closed)
    /// is to be seen in the kernel: `sightings`, if the kernel can be asked, are all sockets of the block, taken
    /// after programs could reach this lonetd.
    pub fn restore(
        &mut self,
        kernel: &mut dyn Kernel,
        saved: Saved,
        sightings: Option<&BTreeMap<Cookie, Sighting>>,
    ) {
        for (index, (name, fresh)) in saved.hosts {
            self.hosts.restore(index, &name, fresh);
        }
        for (pid, hosts, own) in saved.processes {
            for index in &hosts {
                if let Some(host) = self.hosts.get_mut(*index) {
                    host.members.insert(pid);
                }
            }
            let program = kernel.program(pid);
            self.processes.insert(pid, Process { program, hosts, own, sockets: BTreeSet::new() });
            self.changes.processes.insert(pid);
        }
        let cookies: Vec<Cookie> = saved.sockets.keys().copied().collect();
        let mut held: BTreeMap<Pid, Option<BTreeSet<Cookie>>> = BTreeMap::new();
        let mut doubtful = Vec::new();
        for (cookie, mut socket) in saved.sockets {
            if let Some(sightings) = sightings {
                // Between the permission and the deed no table shows the socket, but its process has it.
                let is_expected = socket.is_allowed() && self.processes.contains_key(&socket.pid) && {
                    let held = held.entry(socket.pid).or_insert_with_key(|pid| kernel.sockets_of(*pid));
                    held.as_ref().is_none_or(|held| held.contains(&cookie))
                };
                settle(&mut socket, sightings.get(&cookie), is_expected);
            }
            // A dial that lives was made to the listener that is there; of one that is over that is not known any more.
            socket.since = if socket.role == Role::Gone { Duration::ZERO } else { RESTORED };
            if socket.is_allowed() {
                doubtful.push(cookie);
            }
            if let Some(call) = socket.call
                && let Some(local) = call.os_local
                && socket.role != Role::Accepted
            {
                self.by_tuple.insert((local, call.os_remote), cookie);
            }
            if socket.role == Role::Gone {
                self.graves.push_back((kernel.now(), cookie));
            }
            self.put(cookie, socket);
        }
        self.doubtful = (!doubtful.is_empty()).then_some((kernel.now() + DOUBT, doubtful));
        if sightings.is_none() {
            cookies.into_iter().for_each(|cookie| self.closed(kernel, cookie));
        }
    }
}

impl State {
    /// When [`State::settle_doubts`] has something to do.
    pub fn doubts_until(&self) -> Option<Duration> {
        self.doubtful.as_ref().map(|(until, _)| *until)
    }

    /// What was allowed long ago and has not been done is not to be expected any more.
    pub fn settle_doubts(&mut self, kernel: &mut dyn Kernel) {
        if self.doubts_until().is_some_and(|until| kernel.now() >= until)
            && let Some((_, all)) = self.doubtful.take()
        {
            all.into_iter().for_each(|cookie| self.closed(kernel, cookie));
        }
    }

    /// Whether a socket may be dead without anybody knowing.
    #[cfg(test)]
    pub fn is_doubtful(&self, cookie: Cookie) -> bool {
        self.doubtful.as_ref().is_some_and(|(_, all)| all.contains(&cookie))
    }
}

/// What a socket is by now, given what the kernel shows of it. `is_expected`: its program may be about to do what it
/// was allowed.
fn settle(socket: &mut Socket, seen: Option<&Sighting>, is_expected: bool) {
    let role = socket.role;
    if role == Role::Gone {
        return;
    }
    match seen {
        Some(Sighting { remote: None, idle, local, .. }) => {
            // It is bound, and its program may be about to listen or to connect.
            if *idle == Idle::Bound && is_expected && role != Role::Claimed {
                return;
            }
            socket.role = if *idle == Idle::Listening { Role::Listening } else { Role::Bound };
            if socket.os.is_none() {
                // An address without a port: a dial that has failed.
                socket.role = Role::Gone;
            } else {
                socket.os = Some(*local);
                socket.call = None;
            }
        }
        Some(Sighting { remote: Some(remote), local, held: true, .. }) => match socket.call.as_mut() {
            Some(call) => {
                call.os_local = Some(*local);
                call.os_remote = *remote;
                if role != Role::Accepted {
                    socket.role = Role::Connected;
                }
            }
            None => socket.role = Role::Gone,
        },
        // The kernel does not know what has not been done yet.
        None if is_expected => {}
        Some(Sighting { held: false, .. }) | None => socket.role = Role::Gone,
    }
}
