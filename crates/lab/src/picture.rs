//! The topology as a picture of boxes and cables.

use std::io::{self, Write};

use crate::topology::Topology;

/// Boxes drawn beside each other; more are counted.
const BOXES_MAX: usize = 5;
/// Columns of the page.
const MARGIN: usize = 8;

/// A box: lines of text.
type Text = Vec<String>;

/// Draws client, segments, directors and servers.
pub(crate) fn draw(topology: &Topology, out: &mut dyn Write) -> io::Result<()> {
    let client = vec![
        "client".to_owned(),
        topology.client.to_string(),
        format!("and {}/{}", topology.clients.base, topology.clients.prefix_len),
    ];
    let directors = directors(topology);
    let servers = servers(topology);
    let width = [&directors, &servers]
        .map(|row| row.iter().map(|text| columns(text) + 3).sum::<usize>())
        .into_iter()
        .max()
        .unwrap_or(0)
        .max(60);

    row(out, &[client], false, true)?;
    bus(out, &label(topology, topology.client_segment), width)?;
    if topology.client_segment == topology.server_segment {
        let all: Vec<Text> = directors.into_iter().collect();
        row(out, &all, true, false)?;
        row_on_bus_below(out, &servers)?;
        return Ok(());
    }
    row(out, &directors, true, true)?;
    for (number, _) in topology.segments.iter().enumerate() {
        if number != topology.client_segment && number != topology.server_segment {
            bus(out, &label(topology, number), width)?;
        }
    }
    bus(out, &label(topology, topology.server_segment), width)?;
    if topology.client_on_server_segment {
        writeln!(
            out,
            "{:MARGIN$}  (the client is on this segment too: servers answer it directly)",
            ""
        )?;
    }
    row(out, &servers, true, false)
}

/// On one segment, servers are drawn beneath the directors, on the same line repeated.
fn row_on_bus_below(out: &mut dyn Write, servers: &[Text]) -> io::Result<()> {
    let width = servers.iter().map(|text| columns(text) + 3).sum::<usize>().max(60);
    bus(out, "the same segment", width)?;
    row(out, servers, true, false)
}

fn label(topology: &Topology, segment: usize) -> String {
    let interface = &topology.segments[segment].interface;
    let held: Vec<String> = topology
        .held
        .iter()
        .filter(|held| held.interface == *interface)
        .map(|held| held.address.to_string())
        .collect();
    let own: Vec<String> = topology
        .routed
        .iter()
        .filter(|routed| routed.via.is_none() && segment == topology.client_segment)
        .map(|routed| routed.address.to_string())
        .collect();
    match (held.is_empty(), own.is_empty()) {
        (false, _) => format!("{interface}, the master holds {}", held.join(" ")),
        (true, false) => format!("{interface}, director 1 has {}", own.join(" ")),
        (true, true) => interface.clone(),
    }
}

fn directors(topology: &Topology) -> Vec<Text> {
    (0..topology.directors)
        .map(|number| {
            let mut text = vec![match &topology.title {
                Some(title) => format!("director {} ({title})", number + 1),
                None => format!("director {}", number + 1),
            }];
            for segment in &topology.segments {
                for (address, prefix_len) in &segment.directors[number] {
                    text.push(format!("{} {address}/{prefix_len}", segment.interface));
                }
            }
            text
        })
        .collect()
}

fn servers(topology: &Topology) -> Vec<Text> {
    let mut boxes: Vec<Text> = topology
        .servers
        .iter()
        .take(BOXES_MAX)
        .map(|server| {
            let ports: Vec<String> =
                server.ports.iter().map(|(protocol, port)| format!("{protocol} {port}")).collect();
            let mut text = vec![server.name.clone(), server.address.to_string(), ports.join(", ")];
            text.extend(server.gateway.map(|gateway| format!("via {gateway}")));
            text.extend(server.loopback.iter().map(|address| format!("lo {address}")));
            text
        })
        .collect();
    if topology.servers.len() > BOXES_MAX {
        boxes.push(vec![format!("{} more", topology.servers.len() - BOXES_MAX)]);
    }
    boxes
}

fn columns(text: &Text) -> usize {
    text.iter().map(|line| line.chars().count()).max().unwrap_or(0) + 2
}

/// A cable that everything hangs on.
fn bus(out: &mut dyn Write, label: &str, width: usize) -> io::Result<()> {
    let rest = width.saturating_sub(label.chars().count() + 5);
    writeln!(out, "{:MARGIN$}═══ {label} {}", "", "═".repeat(rest))
}

/// Boxes beside each other, with cables upwards and downwards.
fn row(out: &mut dyn Write, boxes: &[Text], above: bool, below: bool) -> io::Result<()> {
    let height = boxes.iter().map(Vec::len).max().unwrap_or(0);
    let line = |left: &str, middle: &dyn Fn(&Text, usize) -> String, right: &str| {
        let cells: Vec<String> = boxes
            .iter()
            .map(|text| format!("{left}{}{right}", middle(text, columns(text))))
            .collect();
        format!("{:MARGIN$}{}", "", cells.join(" "))
    };
    let edge = |tap: &'static str, plain: bool| {
        move |_: &Text, width: usize| {
            let before = width / 2;
            let tap = if plain { "─" } else { tap };
            format!("{}{tap}{}", "─".repeat(before), "─".repeat(width - before - 1))
        }
    };
    writeln!(out, "{}", line("┌", &edge("┴", !above), "┐"))?;
    for number in 0..height {
        let inner = |text: &Text, width: usize| {
            let content = text.get(number).map_or("", String::as_str);
            format!(" {content:<rest$}", rest = width - 1)
        };
        writeln!(out, "{}", line("│", &inner, "│"))?;
    }
    writeln!(out, "{}", line("└", &edge("┬", !below), "┘"))
}
