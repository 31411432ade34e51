//! The columns and cells of the table in each pane.

use super::columns::{Column, Content, amount, number, text};
use super::rows::{By, Order, Rows};
use super::snapshot::{Connection, Fault, Host, Listener};
use super::style::Style;
use super::view::Pane;
use ratatui::style::Style as Look;

/// The heading of the column by which a pane is sorted.
pub fn marked(pane: Pane, order: Order) -> Option<&'static str> {
    Some(match (pane, order.by) {
        (Pane::Hosts, By::Name) => "HOST",
        (Pane::Hosts, By::Connections) | (Pane::Listeners, By::Connections) => "CONNS",
        (Pane::Hosts, By::Dials) => "DIALS/s",
        (Pane::Hosts, _) => "SENT/s",
        (Pane::Listeners, _) => "LISTENS AT",
        (Pane::Connections, By::Name) => "FROM",
        (Pane::Connections, By::To) => "TO",
        (Pane::Connections, By::Total) => "SENT",
        (Pane::Connections, _) => "SENT/s",
        (Pane::Faults | Pane::Events, _) => return None,
    })
}

/// An amount, or `-` if it is not known.
fn amount_or_dash(bytes: Option<f64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), amount)
}

pub fn contents(pane: Pane, rows: &Rows<'_>, style: Style) -> (Vec<Column>, Vec<Content>) {
    let fault = |faults: &str| if faults.is_empty() { Look::default() } else { style.fault() };
    let flow = |rate: Option<f64>| if rate.is_some_and(|r| r > 0.0) { style.busy() } else { style.dim() };
    match pane {
        Pane::Hosts => {
            let columns = vec![
                text("HOST", 8, 0),
                text("ADDRESS", 15, 4),
                text("PROGRAMS", 10, 3),
                text("LISTENS ON", 10, 2),
                number("CONNS", 8, 0),
                number("DIALS/s", 8, 1),
                number("SENT/s", 8, 0),
                number("RECV/s", 8, 0),
                text("FAULTS", 6, 0),
            ];
            let row = |host: &&Host| {
                let (sent, received) = host.rate.unzip();
                Content {
                    cells: vec![
                        host.name.clone(),
                        host.address.clone(),
                        host.programs.clone(),
                        host.ports.clone(),
                        host.connections.to_string(),
                        amount_or_dash(host.dials),
                        amount_or_dash(sent),
                        amount_or_dash(received),
                        host.faults.clone(),
                    ],
                    look: fault(&host.faults),
                    looks: vec![
                        (0, fault(&host.faults).patch(style.bold())),
                        (1, style.dim()),
                        (5, flow(host.dials)),
                        (6, flow(sent)),
                        (7, flow(received)),
                    ],
                }
            };
            (columns, rows.hosts.iter().map(row).collect())
        }
        Pane::Listeners => {
            let columns = vec![
                text("LISTENS AT", 8, 0),
                text("PROGRAM", 8, 0),
                number("CONNS", 8, 0),
                text("REACHED BY", 8, 1),
            ];
            let row = |l: &&Listener| Content {
                cells: vec![l.at.clone(), l.program.clone(), l.connections.to_string(), l.reached.to_owned()],
                look: style.plain(),
                looks: vec![(0, style.bold()), (3, style.dim())],
            };
            (columns, rows.listeners.iter().map(row).collect())
        }
        Pane::Connections => {
            let columns = vec![
                text("FROM", 10, 0),
                text("TO", 10, 0),
                text("DIALED BY", 16, 2),
                text("ACCEPTED BY", 16, 3),
                number("SENT/s", 8, 0),
                number("RECV/s", 8, 0),
                number("SENT", 8, 4),
                number("RECV", 8, 4),
                text("FAULTS", 6, 0),
            ];
            let row = |c: &&Connection| {
                let (sent, received) = c.rate.unzip();
                let (all_sent, all_received) = c.total.map(|(s, r)| (s as f64, r as f64)).unzip();
                Content {
                    cells: vec![
                        c.from.at.clone(),
                        c.to.at.clone(),
                        c.from.program.clone(),
                        c.to.program.clone(),
                        amount_or_dash(sent),
                        amount_or_dash(received),
                        amount_or_dash(all_sent),
                        amount_or_dash(all_received),
                        c.faults.clone(),
                    ],
                    look: fault(&c.faults),
                    looks: vec![(4, flow(sent)), (5, flow(received))],
                }
            };
            (columns, rows.connections.iter().map(row).collect())
        }
        Pane::Faults => {
            let row = |fault: &&Fault| Content {
                cells: vec![fault.command.clone()],
                look: style.fault(),
                looks: Vec::new(),
            };
            (Vec::new(), rows.faults.iter().map(row).collect())
        }
        Pane::Events => (Vec::new(), Vec::new()),
    }
}
