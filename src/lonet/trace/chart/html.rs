//! Writes a chart as a self-contained page with a script: choose hosts, zoom, and point at rows for their events.

use super::Chart;
use super::svg::{escape, svg};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--bar:#f3f5f7;--edge:#d5dae0}\
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#12161b;--bar:#1b2127;--edge:#323a43}}\
body{margin:0;height:100vh;display:flex;flex-direction:column;font:13px system-ui,'DejaVu Sans',sans-serif;color:var(--ink);background:var(--paper)}\
header,footer{background:var(--bar);border:0 solid var(--edge);padding:6px 12px}header{border-bottom-width:1px;display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center}\
footer{border-top-width:1px;height:5.6em;overflow:auto;white-space:pre-wrap;font:12px ui-monospace,'DejaVu Sans Mono',monospace}\
main{flex:1;overflow:auto}#hosts{display:flex;flex-wrap:wrap;gap:2px 10px;max-height:5.6em;overflow:auto}label{white-space:nowrap}\
button{min-width:2.2em}@media print{header,footer{display:none}body{height:auto;display:block}main{overflow:visible}}";

/// The page.
pub fn html(chart: &Chart) -> String {
    let mut hosts = String::new();
    for (column, host) in chart.hosts.iter().enumerate() {
        let name = escape(&host.name);
        _ = write!(
            hosts,
            r#"<label><input type="checkbox" value="{column}" data-name="{name}">{name}</label>"#
        );
    }
    let title = escape(&format!("lonet: network {}", chart.network));
    format!(
        r##"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head><body>
<header><span id="hosts" title="Show what these hosts did, with whom">{hosts}</span>
<input id="find" type="search" placeholder="find in events"><button id="none">all</button>
<span><button id="out">−</button> <span id="scale">100 %</span> <button id="in">+</button> <button id="fit">fit</button></span></header>
<main>{}</main>
<footer id="told">Point at a row: its events are told here. Ctrl and the wheel zoom.</footer>
<script>
{}</script></body></html>
"##,
        svg(chart),
        include_str!("page.js")
    )
}
