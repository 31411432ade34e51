//! A network at one moment: hosts, listeners, connections and faults, as `lonet top` shows them.

use crate::daemon::faults::commands::commands;
use crate::daemon::faults::{Between, Report, RuleShown};
use crate::daemon::state::{HostShown, NetworkShown, SocketShown};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddrV4;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub hosts: Vec<Host>,
    pub listeners: Vec<Listener>,
    pub connections: Vec<Connection>,
    pub faults: Vec<Fault>,
}

/// Bytes, or bytes per second, sent and received. `None`: not known.
pub type Bytes<T> = Option<(T, T)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    pub name: String,
    pub address: String,
    pub programs: String,
    /// The ports that it listens on, in order; those of its loopback alone in brackets.
    pub ports: String,
    pub connections: usize,
    /// Dials per second. `None`: not known.
    pub dials: Option<f64>,
    pub rate: Bytes<f64>,
    /// The kinds of faults that concern it.
    pub faults: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listener {
    pub at: String,
    pub host: String,
    pub port: u16,
    /// Who can reach it.
    pub reached: &'static str,
    pub program: String,
    pub connections: usize,
}

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// The lonet address.
    pub at: String,
    pub host: String,
    /// The program and its pid; empty if it is outside the network.
    pub program: String,
    pub os: Option<SocketAddrV4>,
    /// Whether this end is a socket that lonetd lists.
    pub is_listed: bool,
}

/// A connection, with the dialer's end first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    pub from: End,
    /// Of a dial that nobody has answered, with a note to that effect in the place of the program.
    pub to: End,
    pub is_answered: bool,
    /// From the dialer's point of view.
    pub rate: Bytes<f64>,
    pub total: Bytes<u64>,
    pub faults: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// The command that makes it, with its hits.
    pub command: String,
    /// The hosts to heal to end it.
    pub from: Option<String>,
    pub to: Option<String>,
    pub one_way: bool,
    pub kind: String,
    pub port: Option<u16>,
}

impl Snapshot {
    pub fn of(shown: &NetworkShown<'_>, report: &Report) -> Snapshot {
        let faults = faults(&report.rules);
        let connections = connections(shown, &faults);
        let mut accepted: HashMap<&str, usize> = HashMap::new();
        let mut ends: HashMap<&str, usize> = HashMap::new();
        for connection in connections.iter().filter(|connection| connection.is_answered) {
            *accepted.entry(&connection.to.at).or_default() += 1;
            *ends.entry(&connection.from.host).or_default() += 1;
            if connection.to.host != connection.from.host {
                *ends.entry(&connection.to.host).or_default() += 1;
            }
        }
        let listeners = shown.hosts.iter().flat_map(|host| listeners(host, &accepted)).collect();
        let host = |host: &HostShown<'_>| Host {
            name: host.name.to_string(),
            address: host.address.to_string(),
            programs: programs(host),
            ports: ports(host),
            connections: ends.get(&*host.name).copied().unwrap_or(0),
            dials: None,
            rate: None,
            faults: kinds(faults.iter().filter(|fault| fault.names(&host.name))),
        };
        let hosts = shown.hosts.iter().map(host).collect();
        Snapshot { hosts, listeners, connections, faults }
    }
}

fn process(program: &str, pid: i32) -> String {
    format!("{program}({pid})")
}

fn programs(host: &HostShown<'_>) -> String {
    let of_processes = host.processes.iter().map(|process| &*process.program);
    let of_sockets = host.sockets.iter().map(|socket| &*socket.program);
    let mut count: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    let pids = host.processes.iter().map(|p| p.pid).chain(host.sockets.iter().map(|s| s.pid));
    for (program, pid) in of_processes.chain(of_sockets).zip(pids).filter(|(program, _)| !program.is_empty())
    {
        count.entry(program).or_default().insert(pid);
    }
    if count.is_empty() && host.foreign {
        return "(foreign)".to_owned();
    }
    let several = |(name, pids): (&&str, &BTreeSet<i32>)| match pids.len() {
        1 => (*name).to_owned(),
        n => format!("{name}×{n}"),
    };
    count.iter().map(several).collect::<Vec<_>>().join(" ")
}

fn ports(host: &HostShown<'_>) -> String {
    let mut ports: BTreeMap<u16, bool> = BTreeMap::new();
    for socket in host.sockets.iter().filter(|socket| socket.state == "listening") {
        let is_loopback = socket.scope.as_deref() == Some("loopback");
        ports.entry(socket.port).and_modify(|only| *only &= is_loopback).or_insert(is_loopback);
    }
    let port = |(port, only): (&u16, &bool)| if *only { format!("({port})") } else { port.to_string() };
    ports.iter().map(port).collect::<Vec<_>>().join(" ")
}

fn listeners(host: &HostShown<'_>, accepted: &HashMap<&str, usize>) -> Vec<Listener> {
    let listener = |socket: &SocketShown<'_>| {
        let at = format!("{}:{}", host.name, socket.port);
        let reached = match (socket.scope.as_deref(), socket.family.as_deref()) {
            (Some("loopback"), Some("v6")) => "its own host, over IPv6",
            (Some("loopback"), _) => "its own host",
            (_, Some("v6")) => "all hosts, over IPv6",
            _ => "all hosts",
        };
        let connections = accepted.get(&*at).copied().unwrap_or(0);
        let (host, port) = (host.name.to_string(), socket.port);
        Listener { at, host, port, reached, program: process(&socket.program, socket.pid), connections }
    };
    host.sockets.iter().filter(|socket| socket.state == "listening").map(listener).collect()
}

/// The host of a lonet address.
fn host_of(at: &str) -> &str {
    at.rsplit_once(':').map_or(at, |(host, _)| host)
}

/// The port of a lonet address.
fn port_of(at: &str) -> u16 {
    at.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
}

/// The connections, from a list that has each at both ends.
fn connections(shown: &NetworkShown<'_>, faults: &[Fault]) -> Vec<Connection> {
    let mut listens: BTreeSet<(&str, u16)> = BTreeSet::new();
    // Ends whose other end has not been found yet, by the addresses of both.
    let mut open: HashMap<(String, String), Vec<(End, u16)>> = HashMap::new();
    let mut pairs: Vec<[(End, u16); 2]> = Vec::new();
    let mut unanswered: Vec<(End, &str)> = Vec::new();
    for host in &shown.hosts {
        let ports = host.sockets.iter().filter(|socket| socket.state == "listening").map(|s| s.port);
        listens.extend(ports.map(|port| (&*host.name, port)));
        for socket in host.sockets.iter().filter(|s| matches!(&*s.state, "connected" | "connecting")) {
            let Some(peer) = socket.peer.as_deref() else { continue };
            let end = End {
                at: format!("{}:{}", host.name, socket.port),
                host: host.name.to_string(),
                program: process(&socket.program, socket.pid),
                os: socket.os.parse().ok(),
                is_listed: true,
            };
            if socket.state == "connecting" {
                unanswered.push((end, peer));
                continue;
            }
            let other = open.get_mut(&(peer.to_owned(), end.at.clone())).and_then(Vec::pop);
            match other {
                Some(other) => pairs.push([other, (end, socket.port)]),
                None => {
                    let key = (end.at.clone(), peer.to_owned());
                    open.entry(key).or_default().push((end, socket.port));
                }
            }
        }
    }
    for ((_, peer), ends) in open {
        let port = port_of(&peer);
        let other = End { host: host_of(&peer).to_owned(), at: peer, ..End::default() };
        pairs.extend(ends.into_iter().map(|end| [end, (other.clone(), port)]));
    }
    let faults_on =
        |hosts: (&str, &str), port: u16| kinds(faults.iter().filter(|fault| fault.concerns(hosts, port)));
    let is_listeners = |(end, port): &(End, u16)| listens.contains(&(&*end.host, *port));
    let connection = |[a, b]: [(End, u16); 2]| {
        // Where both or neither of the ends have a listener at their ports, the lower one counts as the dialer's.
        let is_dialers = match (is_listeners(&a), is_listeners(&b)) {
            (true, false) => false,
            (false, true) => true,
            _ => (&a.0.host, a.1) <= (&b.0.host, b.1),
        };
        let ((from, _), (to, port)) = if is_dialers { (a, b) } else { (b, a) };
        let faults = faults_on((&from.host, &to.host), port);
        Connection { from, to, is_answered: true, rate: None, total: None, faults }
    };
    let dial = |(from, peer): (End, &str)| {
        let host = host_of(peer).to_owned();
        let faults = faults_on((&from.host, &host), port_of(peer));
        let to = End { at: peer.to_owned(), host, program: "(connecting)".into(), ..End::default() };
        Connection { from, to, is_answered: false, rate: None, total: None, faults }
    };
    let dials = unanswered.into_iter().map(dial);
    let mut all: Vec<Connection> = pairs.into_iter().map(connection).chain(dials).collect();
    all.sort_by(|a, b| (&a.from.at, &a.to.at).cmp(&(&b.from.at, &b.to.at)));
    all
}

/// The faults of a list of rules. The two rules of a fault in both directions are one, as in [`commands`].
fn faults(rules: &[RuleShown]) -> Vec<Fault> {
    let is_back = |a: &RuleShown, b: &RuleShown| (&a.fault, &a.from, &a.to) == (&b.fault, &b.to, &b.from);
    let mut all: Vec<Fault> = Vec::new();
    let mut taken = vec![false; rules.len()];
    for (n, rule) in rules.iter().enumerate() {
        if taken.get(n).copied().unwrap_or(true) {
            continue;
        }
        let back = (n + 1..rules.len()).find(|m| {
            let both = rules.get(*m).is_some_and(|other| {
                is_back(other, rule) && commands(&[rule.clone(), other.clone()]).len() == 1
            });
            both && !taken.get(*m).copied().unwrap_or(true)
        });
        if let Some(taken) = back.and_then(|back| taken.get_mut(back)) {
            *taken = true;
        }
        let both: Vec<RuleShown> =
            [Some(n), back].into_iter().flatten().filter_map(|n| rules.get(n).cloned()).collect();
        // If only one host is named, it comes first.
        let (from, to) = match (&rule.from, &rule.to) {
            (None, to) => (to.clone(), None),
            (from, to) => (from.clone(), to.clone()),
        };
        all.push(Fault {
            command: commands(&both).join("; "),
            one_way: back.is_none() && rule.from.is_some() && rule.to.is_some(),
            from,
            to,
            kind: rule.fault.clone(),
            port: rule.port,
        });
    }
    all
}

impl Fault {
    /// Whether it names this host.
    fn names(&self, host: &str) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|name| name == host)
    }

    /// Whether it affects a connection between these hosts, to this port of the second one.
    fn concerns(&self, (a, b): (&str, &str), port: u16) -> bool {
        let is = |rule: &Option<String>, host: &str| rule.as_deref().is_none_or(|name| name == host);
        let to_b = is(&self.from, a) && is(&self.to, b);
        let to_a = is(&self.from, b) && is(&self.to, a);
        a != b && self.kind != "names" && (to_b || to_a) && self.port.is_none_or(|refused| refused == port)
    }

    /// The hosts to heal to end it, as an order to lonetd has them.
    pub fn between(&self) -> Between {
        Between {
            from: self.from.iter().cloned().collect(),
            to: self.to.iter().cloned().collect(),
            one_way: self.one_way,
            ..Between::default()
        }
    }
}

fn kinds<'f>(faults: impl Iterator<Item = &'f Fault>) -> String {
    let kinds: BTreeSet<&str> = faults.map(|fault| fault.kind.as_str()).collect();
    kinds.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = r#"{"network":"n","hosts":[
        {"name":"web","index":1,"address":"127.1.0.1","processes":[{"pid":1,"program":"w"}],"sockets":[
            {"port":80,"os":"127.1.0.1:80","state":"listening","scope":"host","family":"v4","peer":null,"pid":1,"program":"w"},
            {"port":90,"os":"127.1.0.1:9","state":"listening","scope":"loopback","family":"v4","peer":null,"pid":2,"program":"w"},
            {"port":80,"os":"127.1.0.1:80","state":"connected","scope":null,"family":null,"peer":"cli:1","pid":1,"program":"w"},
            {"port":1,"os":"127.1.0.1:1","state":"connected","scope":null,"family":null,"peer":"gone:7","pid":1,"program":"w"}]},
        {"name":"cli","index":2,"address":"127.1.0.2","processes":[{"pid":3,"program":"c"}],"sockets":[
            {"port":1,"os":"127.1.0.2:1","state":"connected","scope":null,"family":null,"peer":"web:80","pid":3,"program":"c"}]},
        {"name":"far","index":3,"address":"127.1.0.3","foreign":true,"sockets":[]}]}"#;

    fn rule(fault: &str, from: Option<&str>, to: Option<&str>) -> RuleShown {
        let text = serde_json::json!({"fault": fault, "from": from, "to": to, "hits": 0});
        serde_json::from_value(text).expect("a rule")
    }

    fn snapshot(rules: Vec<RuleShown>) -> Snapshot {
        let shown: NetworkShown<'_> = serde_json::from_str(NETWORK).expect("a list");
        Snapshot::of(&shown, &Report { rules, ..Report::default() })
    }

    #[test]
    fn connection_is_one_row_from_its_dialer() {
        let all = snapshot(Vec::new()).connections;
        let rows: Vec<_> =
            all.iter().map(|c| (c.from.at.as_str(), c.from.program.as_str(), c.to.at.as_str())).collect();
        assert_eq!(rows, [("cli:1", "c(3)", "web:80"), ("gone:7", "", "web:1")]);
        assert!(all.iter().all(|connection| connection.to.program == "w(1)"));
    }

    #[test]
    fn dial_that_nobody_has_answered_is_a_row_and_no_connection() {
        let end = r#""state":"connected","scope":null,"family":null,"peer":"web:80""#;
        let text = NETWORK.replace(end, &end.replace("connected", "connecting"));
        let text = text.replace(r#""peer":"cli:1""#, r#""peer":"gone:8""#);
        let shown: NetworkShown<'_> = serde_json::from_str(&text).expect("a list");
        let shown = Snapshot::of(&shown, &Report::default());
        let rows: Vec<_> = (shown.connections.iter().filter(|c| !c.is_answered))
            .map(|c| (c.from.at.as_str(), c.to.at.as_str(), c.to.program.as_str()))
            .collect();
        assert_eq!(rows, [("cli:1", "web:80", "(connecting)")]);
        assert_eq!(shown.hosts.iter().map(|host| host.connections).collect::<Vec<_>>(), [2, 0, 0]);
    }

    #[test]
    fn host_has_its_programs_ports_and_connections() {
        let shown = snapshot(Vec::new());
        let of = |h: &Host| format!("{} {} [{}] {}", h.name, h.programs, h.ports, h.connections);
        let rows: Vec<String> = shown.hosts.iter().map(of).collect();
        assert_eq!(rows, ["web w×2 [80 (90)] 2", "cli c [] 1", "far (foreign) [] 0"]);
        let of = |l: &Listener| format!("{} {} {} {}", l.at, l.reached, l.program, l.connections);
        let rows: Vec<String> = shown.listeners.iter().map(of).collect();
        assert_eq!(rows, ["web:80 all hosts w(1) 1", "web:90 its own host w(2) 0"]);
    }

    #[test]
    fn fault_is_shown_at_its_hosts_and_connections() {
        let cut = [rule("cut", Some("cli"), Some("web")), rule("cut", Some("web"), Some("cli"))];
        let others = [rule("loss", Some("far"), None), rule("loss", None, Some("far"))];
        let shown = snapshot([cut, others].concat());
        let commands: Vec<&str> = shown.faults.iter().map(|fault| fault.command.as_str()).collect();
        assert_eq!(commands, ["lonet cut cli web", "lonet loss far"]);
        let healed: Vec<Between> = shown.faults.iter().map(Fault::between).collect();
        assert_eq!(healed.iter().map(|b| b.from.join("")).collect::<Vec<_>>(), ["cli", "far"]);
        assert!(healed.iter().all(|between| !between.one_way));
        let faults: Vec<&str> = shown.hosts.iter().map(|host| host.faults.as_str()).collect();
        assert_eq!(faults, ["cut", "cut", "loss"]);
        let faults: Vec<&str> = shown.connections.iter().map(|c| c.faults.as_str()).collect();
        assert_eq!(faults, ["cut", ""]);
        let shown = snapshot(vec![rule("cut", Some("cli"), Some("web"))]);
        assert!(shown.faults.iter().all(|fault| fault.one_way));
    }
}
