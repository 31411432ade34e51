//! `lonet ls --graph`: draws the connections between hosts, as SVG or DOT.

use crate::daemon::state::{HostShown, NetworkShown};
use crate::trace::chart::svg::escape;
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::fmt::{self, Write};
use unicode_width::UnicodeWidthStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Svg,
    Dot,
}

/// Hosts, and the connections between them.
#[derive(Debug, PartialEq, Eq)]
struct Graph<'a> {
    network: &'a str,
    nodes: Vec<Node<'a>>,
    /// How many connections there are from a dialer's host to a port of a listener's host.
    edges: BTreeMap<(usize, usize, String), usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct Node<'a> {
    name: &'a str,
    /// The ports that it listens on, in order; those of its loopback alone in brackets.
    listens: String,
}

/// The picture of a network.
pub fn draw(shown: &NetworkShown<'_>, form: Form) -> String {
    let graph = Graph::of(shown);
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = match form {
        Form::Svg => graph.svg(&mut out),
        Form::Dot => graph.dot(&mut out),
    };
    out
}

impl<'a> Graph<'a> {
    fn of(shown: &'a NetworkShown<'_>) -> Graph<'a> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut nodes: Vec<Node<'_>> = Vec::new();
        for host in &shown.hosts {
            names.insert(&host.name, nodes.len());
            nodes.push(Node { name: &host.name, listens: listening_ports(host) });
        }
        // A connection is listed at both ends, or only at one if the other end's host is not shown.
        let mut ends: BTreeSet<(usize, String, usize, String, bool)> = BTreeSet::new();
        for host in &shown.hosts {
            for socket in host.sockets.iter().filter(|socket| socket.state == "connected") {
                let Some((name, peer_port)) = socket.peer.as_deref().and_then(|peer| peer.rsplit_once(':'))
                else {
                    continue;
                };
                let own = names.get(&*host.name).copied().unwrap_or_default();
                let peer = *names.entry(name).or_insert_with(|| {
                    nodes.push(Node { name, listens: String::new() });
                    nodes.len() - 1
                });
                let is_listeners =
                    host.sockets.iter().any(|s| s.state == "listening" && s.port == socket.port);
                ends.insert((own, socket.port.to_string(), peer, peer_port.to_owned(), is_listeners));
            }
        }
        let mut edges = BTreeMap::new();
        for (own, port, peer, peer_port, is_listeners) in &ends {
            let other = |is_listeners| (*peer, peer_port.clone(), *own, port.clone(), is_listeners);
            // Where both or neither of the ends have a listener at their ports, the lower one counts as the dialer's.
            let (has_true, has_false) = (ends.contains(&other(true)), ends.contains(&other(false)));
            let is_dialers = match (is_listeners, has_true, has_false) {
                (false, true, _) => true,
                (false, false, false) => true,
                (true, _, true) | (true, false, false) => false,
                _ => (own, port) <= (peer, peer_port),
            };
            if is_dialers {
                *edges.entry((*own, *peer, peer_port.clone())).or_insert(0) += 1;
            } else if *is_listeners && !has_true && !has_false {
                *edges.entry((*peer, *own, port.clone())).or_insert(0) += 1;
            }
        }
        Graph { network: &shown.network, nodes, edges }
    }

    fn dot(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "digraph {} {{", quoted(self.network))?;
        writeln!(
            out,
            "    node [shape=box, style=rounded, fontname=\"DejaVu Sans\"]; edge [fontname=\"DejaVu Sans\", fontsize=10];"
        )?;
        for (number, node) in self.nodes.iter().enumerate() {
            let ports = if node.listens.is_empty() { String::new() } else { format!("\n{}", node.listens) };
            writeln!(out, "    h{number} [label={}];", quoted(&format!("{}{ports}", node.name)))?;
        }
        for ((from, to, port), count) in &self.edges {
            writeln!(out, "    h{from} -> h{to} [label={}];", quoted(&label(port, *count)))?;
        }
        writeln!(out, "}}")
    }

    fn svg(&self, out: &mut String) -> fmt::Result {
        let widths = |node: &Node<'_>| (node.name.width() * 8).max(node.listens.width() * 7) + 24;
        let widest = self.nodes.iter().map(widths).max().unwrap_or(60).clamp(60, 220) as f64;
        let count = self.nodes.len().max(1) as f64;
        // Nodes lie on an ellipse, far enough from each other.
        let radius = if count < 2.0 { 0.0 } else { ((widest + 24.0) * count / TAU).max(190.0) };
        let (rx, ry) = (radius, (radius * 0.7).max(64.0 * count / TAU));
        let (width, height) = (2.0 * rx + widest + 120.0, 2.0 * ry + 150.0);
        let (cx, cy) = (width / 2.0, height / 2.0 + 12.0);
        let center = |n: usize| {
            let angle = TAU * n as f64 / count - TAU / 4.0;
            (cx + rx * angle.cos(), cy + ry * angle.sin())
        };
        let title = escape(&format!("network {}", self.network));
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}"><title>{title}</title><style>{STYLE}</style>"#
        )?;
        writeln!(
            out,
            r#"<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0.5 L10,5 L0,9.5 z"/></marker></defs>"#
        )?;
        writeln!(
            out,
            r#"<rect width="100%" height="100%" class="paper"/><text class="title" x="12" y="20">{title}</text>"#
        )?;
        let mut labels = String::new();
        for ((from, to, port), count) in &self.edges {
            let text = label(port, *count);
            let what = format!("{} → {}{text}", escape(self.name(*from)), escape(self.name(*to)));
            // A label is left out if the node's box already says it.
            let has_label =
                *count > 1 || self.nodes.get(*to).is_none_or(|node| node.listens != format!(":{port}"));
            let at = center(*to);
            if from == to {
                let (x, y) = at;
                writeln!(
                    out,
                    r#"<path class="edge" d="M{:.1},{:.1} c10,-46 70,-46 46,4" marker-end="url(#tip)"><title>{what}</title></path>"#,
                    x - 6.0,
                    y - 20.0
                )?;
                if has_label {
                    let (x, y) = (x + 52.0, y - 44.0);
                    writeln!(labels, r#"<text class="port" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(&text))?;
                }
                continue;
            }
            let begin = center(*from);
            // The curve bends towards the middle of the picture, and to its right, so that both directions differ.
            let (dx, dy) = (at.0 - begin.0, at.1 - begin.1);
            // Not hypot, which needs a newer glibc than the package supports.
            let length = (dx * dx + dy * dy).sqrt().max(1.0);
            let offset = (length * 0.06).min(16.0);
            let between = ((begin.0 + at.0) / 2.0, (begin.1 + at.1) / 2.0);
            let middle = (
                between.0 + (cx - between.0) * BEND - dy / length * offset,
                between.1 + (cy - between.1) * BEND + dx / length * offset,
            );
            let (first, last) = (box_edge(begin, middle, widest), box_edge(at, middle, widest));
            writeln!(
                out,
                r#"<path class="edge" d="M{:.1},{:.1} Q{:.1},{:.1} {:.1},{:.1}" marker-end="url(#tip)"><title>{what}</title></path>"#,
                first.0, first.1, middle.0, middle.1, last.0, last.1
            )?;
            let at_bezier = |a: f64, b: f64, c: f64| a * 0.0625 + b * 0.375 + c * 0.5625;
            let (x, y) = (at_bezier(first.0, middle.0, last.0), at_bezier(first.1, middle.1, last.1));
            if has_label {
                let y = y + 4.0;
                writeln!(labels, r#"<text class="port" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(&text))?;
            }
        }
        out.push_str(&labels);
        for (number, node) in self.nodes.iter().enumerate() {
            let ((x, y), name) = (center(number), escape(node.name));
            writeln!(
                out,
                r#"<g><rect class="box" x="{:.1}" y="{:.1}" width="{widest}" height="40" rx="6"/>"#,
                x - widest / 2.0,
                y - 20.0
            )?;
            let name_offset = if node.listens.is_empty() { 5.0 } else { -2.0 };
            writeln!(out, r#"<text class="name" x="{x:.1}" y="{:.1}">{name}</text>"#, y + name_offset)?;
            writeln!(
                out,
                r#"<text class="listens" x="{x:.1}" y="{:.1}">{}</text></g>"#,
                y + 13.0,
                escape(&node.listens)
            )?;
        }
        writeln!(out, "</svg>")
    }

    fn name(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", |node| node.name)
    }
}

const STYLE: &str = "\
svg{--ink:#1b1f24;--paper:#fff;--soft:#6a737d;--line:#0b57a4;--good:#1a7f45;font:12px system-ui,'DejaVu Sans',sans-serif}\
@media (prefers-color-scheme:dark){svg{--ink:#e6edf3;--paper:#12161b;--soft:#93a0ad;--line:#6cb2ff;--good:#57c785}}\
@media print{svg{--ink:#000;--paper:#fff;--soft:#555;--line:#0b57a4;--good:#1a7f45}}\
.paper{fill:var(--paper)}text{fill:var(--ink)}.title{font-size:13px}.box{fill:var(--paper);stroke:var(--ink);stroke-width:1.3}\
.name{font-weight:600;text-anchor:middle}.listens{fill:var(--good);font-size:11px;text-anchor:middle}\
.edge{fill:none;stroke:var(--line);stroke-width:1.5}.edge:hover{stroke-width:3}marker path{fill:var(--line)}\
.port{fill:var(--line);font-size:11px;text-anchor:middle;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}";

/// How far curves bend towards the middle, as a fraction of the distance.
const BEND: f64 = 0.4;

/// The point where a line from a box's centre to another point leaves the box.
fn box_edge((x, y): (f64, f64), (to_x, to_y): (f64, f64), width: f64) -> (f64, f64) {
    let (dx, dy) = (to_x - x, to_y - y);
    let scale = (width / 2.0 + 2.0) / dx.abs().max(0.001);
    let scale = scale.min(22.0 / dy.abs().max(0.001)).min(1.0);
    (x + dx * scale, y + dy * scale)
}

fn label(port: &str, count: usize) -> String {
    if count > 1 { format!(":{port} × {count}") } else { format!(":{port}") }
}

fn listening_ports(host: &HostShown<'_>) -> String {
    let listening = host.sockets.iter().filter(|socket| socket.state == "listening");
    let mut ports: BTreeMap<u16, bool> = BTreeMap::new();
    for socket in listening {
        let is_loopback = socket.scope.as_deref() == Some("loopback");
        ports.entry(socket.port).and_modify(|only| *only &= is_loopback).or_insert(is_loopback);
    }
    let labels: Vec<String> = ports
        .iter()
        .map(|(port, only)| if *only { format!("(:{port})") } else { format!(":{port}") })
        .collect();
    match labels.as_slice() {
        [first @ .., _, _] if labels.len() > 4 => {
            format!("{} … {} ports", first[..3].join(" "), labels.len())
        }
        all => all.join(" "),
    }
}

/// A text as DOT quotes it.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        c if c.is_control() => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = r#"{"network":"n","hosts":[
        {"name":"web","index":1,"address":"127.1.0.1","sockets":[
            {"port":80,"os":"","state":"listening","scope":"host","family":"v4","peer":null,"pid":1,"program":"w"},
            {"port":90,"os":"","state":"listening","scope":"loopback","family":"v4","peer":null,"pid":1,"program":"w"},
            {"port":80,"os":"","state":"connected","scope":null,"family":null,"peer":"cli\"<:1","pid":1,"program":"w"},
            {"port":80,"os":"","state":"connected","scope":null,"family":null,"peer":"cli\"<:2","pid":1,"program":"w"},
            {"port":80,"os":"","state":"connected","scope":null,"family":null,"peer":"web:3","pid":1,"program":"w"},
            {"port":3,"os":"","state":"connected","scope":null,"family":null,"peer":"web:80","pid":1,"program":"w"},
            {"port":1,"os":"","state":"connected","scope":null,"family":null,"peer":"gone:7","pid":1,"program":"w"}]},
        {"name":"cli\"<","index":2,"address":"127.1.0.2","sockets":[
            {"port":1,"os":"","state":"connected","scope":null,"family":null,"peer":"web:80","pid":2,"program":"c"},
            {"port":2,"os":"","state":"connected","scope":null,"family":null,"peer":"web:80","pid":2,"program":"c"}]}]}"#;

    #[test]
    fn connection_is_one_edge_from_its_dialer() {
        let shown: NetworkShown<'_> = serde_json::from_str(NETWORK).expect("a list");
        let graph = Graph::of(&shown);
        let nodes: Vec<(&str, &str)> = graph.nodes.iter().map(|n| (n.name, n.listens.as_str())).collect();
        assert_eq!(nodes, [("web", ":80 (:90)"), ("cli\"<", ""), ("gone", "")]);
        let edges: Vec<(usize, usize, &str, usize)> =
            graph.edges.iter().map(|((a, b, port), n)| (*a, *b, port.as_str(), *n)).collect();
        assert_eq!(edges, [(0, 0, "80", 1), (0, 2, "7", 1), (1, 0, "80", 2)]);
    }

    #[test]
    fn names_are_quoted_in_pictures() {
        let shown: NetworkShown<'_> = serde_json::from_str(NETWORK).expect("a list");
        assert!(draw(&shown, Form::Dot).contains(r#"h1 [label="cli\"<"];"#));
        assert!(draw(&shown, Form::Svg).contains("cli&quot;&lt;"));
        assert!(draw(&NetworkShown::empty("n"), Form::Svg).ends_with("</svg>\n"));
        assert_eq!(draw(&NetworkShown::empty("n"), Form::Dot).lines().count(), 3);
    }
}
