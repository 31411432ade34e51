//! The listing of a network, which `lonet ls` prints.

use super::{Cookie, Index, Pid, Process, Role, Socket, State};
use lonet_core::block::{Face, Place};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Borrows from the state that is listed, or from the JSON text that is parsed: a network may have a hundred
/// thousand sockets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkShown<'a> {
    #[serde(borrow)]
    pub network: Cow<'a, str>,
    #[serde(borrow)]
    pub hosts: Vec<HostShown<'a>>,
    /// The processes that joined.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessShown<'a>>,
}

impl<'a> NetworkShown<'a> {
    /// The listing of a network that does not run.
    pub fn empty(network: &'a str) -> NetworkShown<'a> {
        NetworkShown { network: network.into(), hosts: Vec::new(), processes: Vec::new() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessShown<'a> {
    pub pid: i32,
    #[serde(borrow)]
    pub program: Cow<'a, str>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostShown<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    pub index: u16,
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// A host of another subnetwork, of a Go or Python process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The processes that keep it up.
    #[serde(borrow, default)]
    pub processes: Vec<ProcessShown<'a>>,
    #[serde(borrow)]
    pub sockets: Vec<SocketShown<'a>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SocketShown<'a> {
    pub port: u16,
    /// Where the kernel has it, "ip:port".
    #[serde(borrow)]
    pub os: Cow<'a, str>,
    /// "bound", "listening", "connecting" or "connected".
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// The scope of a listener: "host", reachable from all hosts; "loopback", from its own host alone.
    #[serde(borrow)]
    pub scope: Option<Cow<'a, str>>,
    /// The family of a listener: "v4", "v6" or "both".
    #[serde(borrow)]
    pub family: Option<Cow<'a, str>>,
    /// The address that a listener is bound to, as its program sees it: "0.0.0.0" or "::" is all of its host.
    #[serde(borrow, default)]
    pub ip: Option<Cow<'a, str>>,
    /// The lonet address at the other end.
    pub peer: Option<String>,
    /// Where the kernel has the other end, also while it is dialed, "ip:port".
    pub os_peer: Option<String>,
    pub pid: i32,
    #[serde(borrow)]
    pub program: Cow<'a, str>,
}

impl Process {
    /// The pid that listings give for this process, whose own pid is `own`.
    fn shown_pid(&self, own: Pid) -> Pid {
        if self.stands_for == 0 { own } else { self.stands_for }
    }
}

impl State {
    /// Every host that is up, with the sockets that hold its ports, by port.
    pub fn show<'a>(&'a mut self, kernel: &mut dyn super::Kernel, network: &'a str) -> NetworkShown<'a> {
        // A member may run another program by now: exec keeps the pid.
        for (pid, process) in &mut self.processes {
            process.stands_for = kernel.stands_for(*pid);
            if process.is_lonets || process.stands_for == *pid {
                process.set_program(kernel.program(process.stands_for));
            }
        }
        let mut entered: BTreeMap<Index, Vec<(Cookie, Socket)>> = BTreeMap::new();
        for (cookie, socket) in self.all_entered(kernel) {
            entered.entry(socket.host).or_default().push((cookie, socket));
        }
        let holders = self.holders_of_left(kernel, entered.values().flatten());
        // What a dial that does not wait has met is in no record until its program asks.
        let mut all = self.sockets.values().chain(entered.values().flatten().map(|(_, s)| s));
        let unanswered = match all.any(|s| s.role == Role::Connected) {
            true => kernel.dialing(),
            false => BTreeSet::new(),
        };
        let this = &*self;
        let hosts = this.hosts.all().filter(|h| h.is_up() || h.foreign.is_some()).map(|host| {
            let mut sockets: Vec<_> = (host.ports.all_holders())
                .filter_map(|cookie| Some((*cookie, this.sockets.get(cookie)?)))
                .chain(entered.get(&host.index).into_iter().flatten().map(|(cookie, s)| (*cookie, s)))
                .filter(|(_, s)| s.host == host.index)
                .collect();
            sockets.sort_by_key(|(cookie, s)| (s.port, s.role, *cookie));
            HostShown {
                name: host.name.as_str().into(),
                index: host.index,
                address: this.block.address(host.index).to_string().into(),
                foreign: !host.is_up(),
                processes: this.show_processes(host.members.iter()),
                sockets: (sockets.into_iter())
                    .map(|(cookie, s)| {
                        this.show_socket(s, unanswered.contains(&cookie), holders.get(&cookie))
                    })
                    .collect(),
            }
        });
        let hosts = hosts.collect();
        let processes = this.show_processes(this.processes.keys());
        NetworkShown { network: network.into(), hosts, processes }
    }

    /// Each of these processes once; one that stands for another is shown as that.
    fn show_processes<'a>(&'a self, pids: impl Iterator<Item = &'a Pid>) -> Vec<ProcessShown<'a>> {
        let of = |pid: &Pid| {
            let process = self.processes.get(pid)?;
            let shown = process.shown_pid(*pid);
            (shown != *pid || !process.is_lonets).then_some((shown, process.program.as_str()))
        };
        let programs: BTreeMap<Pid, &str> = pids.filter_map(of).collect();
        programs.into_iter().map(|(pid, program)| ProcessShown { pid, program: program.into() }).collect()
    }

    /// A holder, with its program's name, of each socket whose maker has ended.
    fn holders_of_left<'a>(
        &self,
        kernel: &mut dyn super::Kernel,
        entered: impl Iterator<Item = &'a (Cookie, Socket)>,
    ) -> BTreeMap<Cookie, (Pid, String)> {
        let is_left = |s: &Socket| s.role != Role::Gone && self.is_left(s.pid);
        let kept = self.sockets.iter().filter(|(_, s)| is_left(s)).map(|(cookie, _)| *cookie);
        let entered = entered.filter(|(_, s)| is_left(s)).map(|(cookie, _)| *cookie);
        let left: BTreeSet<Cookie> = kept.chain(entered).collect();
        if left.is_empty() {
            return BTreeMap::new();
        }
        let members: Vec<Pid> = self.processes.keys().copied().collect();
        let found = kernel.holders(&left, &members).into_iter();
        found.map(|(cookie, pid)| (cookie, (pid, kernel.program(pid)))).collect()
    }

    fn show_socket(
        &self,
        s: &Socket,
        is_unanswered: bool,
        holder: Option<&(Pid, String)>,
    ) -> SocketShown<'_> {
        let state = match s.role {
            Role::Listening => "listening",
            Role::Dialing => "connecting",
            Role::Connected if is_unanswered => "connecting",
            Role::Connected | Role::Accepted => "connected",
            Role::Claimed | Role::Bound | Role::Starting | Role::Gone => "bound",
        };
        let os = s
            .call
            .and_then(|c| c.os_local)
            .or(s.os)
            .map_or_else(|| format!("{}:0", self.block.address(s.host)), |os| os.to_string());
        let has_peer = matches!(state, "connecting" | "connected");
        let peer = s.call.filter(|_| has_peer).map(|call| self.show_address(s, call.peer));
        let os_peer = s.call.map(|call| call.os_remote.to_string());
        let maker = || match self.processes.get(&s.pid) {
            Some(process) => (process.shown_pid(s.pid), process.program.as_str().into()),
            None => (s.pid, s.made_by.as_deref().unwrap_or_default().to_owned().into()),
        };
        let (pid, program) = holder.map_or_else(maker, |(pid, program)| (*pid, program.clone().into()));
        let scope = match s.at.map(|at| self.block.place(at.ip)) {
            _ if s.role != Role::Listening => None,
            Some(Place::Loopback(_)) => Some("loopback".into()),
            _ => Some("host".into()),
        };
        let family = scope.as_ref().map(|_| family_of(s).into());
        let ip = scope.as_ref().map(|_| ip_of(s).to_canonical().to_string().into());
        let (os, state) = (os.into(), state.into());
        SocketShown { port: s.port, os, state, scope, family, ip, peer, os_peer, pid, program }
    }

    /// `α:80`; an address on the loopback is shown with the name of its host, too.
    fn show_address(&self, s: &Socket, at: lonet_core::block::Endpoint) -> String {
        let index = match self.block.place(at.ip) {
            Place::Host(index, _) => index,
            Place::Loopback(_) => s.host,
            _ => 0,
        };
        match self.hosts.get(index) {
            Some(host) => format!("{}:{}", host.name, at.port),
            None => at.to_string(),
        }
    }
}

/// The address that a listener is bound to.
fn ip_of(s: &Socket) -> Ipv6Addr {
    match (s.at, s.asked.family) {
        (Some(at), _) => at.ip,
        // listen has bound it, to all addresses.
        (None, Face::V4) => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
        (None, Face::V6) => Ipv6Addr::UNSPECIFIED,
    }
}

/// The family of a listener.
fn family_of(s: &Socket) -> &'static str {
    match s.at {
        Some(at) if at.ip.to_ipv4_mapped().is_some() => "v4",
        Some(at) if !at.ip.is_unspecified() || s.asked.v6only => "v6",
        Some(_) => "both",
        // listen has bound it, to all addresses.
        None if s.asked.family == Face::V4 => "v4",
        None if s.asked.v6only => "v6",
        None => "both",
    }
}
