//! What `lonet ls` shows.

use super::{Role, Socket, State};
use lonet_core::block::Place;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkShown {
    pub network: String,
    pub hosts: Vec<HostShown>,
    /// The processes that joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessShown>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessShown {
    pub pid: i32,
    pub program: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostShown {
    pub name: String,
    pub index: u16,
    pub address: String,
    /// Another subnetwork's, of a Go or Python process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    pub sockets: Vec<SocketShown>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SocketShown {
    pub port: u16,
    /// Where the kernel has it, "ip:port".
    pub os: String,
    /// "bound", "listening" or "connected".
    pub state: String,
    /// The lonet address at the other end.
    pub peer: Option<String>,
    pub pid: i32,
    pub program: String,
}

impl State {
    /// Every host that is up, with the sockets that hold its ports, by port.
    pub fn show(&mut self, kernel: &mut dyn super::Kernel, network: &str) -> NetworkShown {
        // A process that joined may be another program by now: exec keeps the pid.
        for (pid, process) in &mut self.processes {
            process.program = kernel.program(*pid);
        }
        let entered = self.all_entered();
        let hosts = self.hosts.all().filter(|h| h.is_up() || h.foreign.is_some()).map(|host| {
            let mut sockets: Vec<_> = (host.ports.held_from(0))
                .flat_map(|port| host.ports.holders(port))
                .filter_map(|cookie| Some((*cookie, self.sockets.get(cookie)?)))
                .chain(entered.iter().map(|(cookie, s)| (*cookie, s)))
                .filter(|(_, s)| s.host == host.index)
                .collect();
            sockets.sort_by_key(|(cookie, s)| (s.port, s.role, *cookie));
            HostShown {
                name: host.name.clone(),
                index: host.index,
                address: self.block.address(host.index).to_string(),
                foreign: !host.is_up(),
                sockets: sockets.into_iter().map(|(_, s)| self.show_socket(s)).collect(),
            }
        });
        let hosts = hosts.collect();
        let shown =
            |(pid, p): (&i32, &super::Process)| ProcessShown { pid: *pid, program: p.program.clone() };
        NetworkShown {
            network: network.to_owned(),
            hosts,
            processes: self.processes.iter().map(shown).collect(),
        }
    }

    fn show_socket(&self, s: &Socket) -> SocketShown {
        let state = match s.role {
            Role::Listening => "listening",
            Role::Connected | Role::Accepted => "connected",
            Role::Claimed | Role::Bound | Role::Starting | Role::Dialing | Role::Gone => "bound",
        };
        let os = s
            .call
            .and_then(|c| c.os_local)
            .or(s.os)
            .map_or_else(|| format!("{}:0", self.block.address(s.host)), |os| os.to_string());
        let peer = s.call.filter(|_| state == "connected").map(|call| self.show_address(s, call.peer));
        let program = self.processes.get(&s.pid).map(|p| p.program.as_str());
        let program = program.or(s.made_by.as_deref()).unwrap_or_default();
        SocketShown { port: s.port, os, state: state.into(), peer, pid: s.pid, program: program.to_owned() }
    }

    /// `α:80`; on the host's own loopback, too, it is the host's name that says who it is.
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
