//! Writes a chart as a Mermaid sequence diagram: <https://mermaid.js.org/syntax/sequenceDiagram.html>.

use super::{Arrow, Chart, Line, Mark, Row};
use std::fmt::{self, Write};

/// The diagram's text.
pub fn mermaid(chart: &Chart) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = write(&mut out, chart);
    out
}

fn write(out: &mut String, chart: &Chart) -> fmt::Result {
    writeln!(out, "sequenceDiagram")?;
    for (column, host) in chart.hosts.iter().enumerate() {
        writeln!(out, "    participant h{column} as {}", text(&host.name))?;
    }
    if chart.hosts.is_empty() {
        return writeln!(out, "    participant none as no hosts");
    }
    let last = chart.hosts.len() - 1;
    let all = if last == 0 { "h0".to_owned() } else { format!("h0,h{last}") };
    // Mermaid's blocks must nest, so only one fault is shaded at a time.
    let mut shaded: Option<Option<Row>> = None;
    for (row, row_content) in chart.rows.iter().enumerate() {
        if shaded.is_some_and(|end| end == Some(row)) {
            writeln!(out, "    end")?;
            shaded = None;
        }
        if let (None, Some(band)) = (shaded, chart.bands.iter().find(|band| band.first == row)) {
            writeln!(out, "    rect rgba(227, 154, 26, 0.2)")?;
            shaded = Some(band.last);
        }
        match &row_content.mark {
            Mark::Arrow(arrow) => write_arrow(out, arrow)?,
            Mark::Point { host, text: said, .. } => writeln!(out, "    Note over h{host}: {}", text(said))?,
            Mark::Across { text: said } => writeln!(out, "    Note over {all}: {}", text(said))?,
            Mark::Pause(micros) => {
                writeln!(
                    out,
                    "    Note over {all}: {}.{} s pass",
                    micros / 1_000_000,
                    micros / 100_000 % 10
                )?;
            }
        }
    }
    if shaded.is_some() {
        writeln!(out, "    end")?;
    }
    Ok(())
}

fn write_arrow(out: &mut String, arrow: &Arrow) -> fmt::Result {
    let shaft = match arrow.line {
        Line::Connection => "->>",
        Line::Dial => "-)",
        Line::Failed => "-x",
        Line::Close => "-->>",
        Line::Reset => "--x",
    };
    let [from, to] = arrow.ports.each_ref().map(|port| if port.is_empty() { "?" } else { port.as_str() });
    let note = if arrow.note.is_empty() { String::new() } else { format!(" {}", arrow.note) };
    writeln!(out, "    h{}{shaft}h{}: {}", arrow.from, arrow.to, text(&format!("{from} → {to}{note}")))
}

/// Escapes characters that have a meaning in Mermaid.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '#' | ';' | ':' | '<' | '>' | '&' | '"' | '%' | '{' | '}' => {
                _ = write!(out, "#{};", u32::from(c))
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
