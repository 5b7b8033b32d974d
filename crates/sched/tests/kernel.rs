//! What the kernel's IPVS chose for the same connections: recorded under Linux 6.1 with five servers,
//! `linux-6.1.txt` beside this file. Each recording begins with `@@ SCHEDULER PROTOCOL CONNECTIONS
//! ADDRESS`, flags and changes, and has a line `= CLIENT SERVER` for each connection, in order. No line means that there was none.

use std::net::{IpAddr, Ipv4Addr};

use model::Time;
use sched::{
    Candidate, Localities, Located, MaglevServer, Replication, RoundRobin, WeightedRoundRobin,
};

static RECORDED: &str = include_str!("linux-6.1.txt");

/// Weights of the servers 10.0.2.11 to 10.0.2.15, added in this order.
const WEIGHTS: [u32; 5] = [3, 1, 5, 2, 4];

/// One recording.
struct Recording<'r> {
    scheduler: &'r str,
    tcp: bool,
    fallback: bool,
    port: bool,
    /// 10.0.2.13 got weight 0 at the end.
    drained: bool,
    /// 10.0.2.15 got an upper threshold of 12 at the end.
    limited: bool,
    connections: u32,
    /// The virtual address.
    to: IpAddr,
    /// Client's port and server's last octet less ten, in order.
    chosen: Vec<(u16, u8)>,
}

fn recordings() -> Vec<Recording<'static>> {
    let mut all = Vec::new();
    for part in RECORDED.split("@@ ").skip(1) {
        let (head, rest) = part.split_once('\n').expect("a head");
        let words: Vec<&str> = head.split_whitespace().collect();
        let port = |address: &str| address.rsplit(':').next().unwrap().parse().unwrap();
        let chosen = rest.lines().filter_map(|line| {
            let mut words = line.strip_prefix("= ")?.split_whitespace();
            let (client, server) = (words.next()?, words.next()?);
            let host = server.split(':').next()?.rsplit('.').next()?;
            Some((port(client), host.parse::<u8>().ok()? - 10))
        });
        all.push(Recording {
            scheduler: words[0],
            tcp: words[1] == "t",
            fallback: head.contains("-fallback"),
            port: head.contains("-port"),
            drained: words.contains(&"drained"),
            limited: words.contains(&"limited"),
            connections: words[2].parse().expect("a number"),
            to: words[3].parse().expect("an address"),
            chosen: chosen.collect(),
        });
    }
    all
}

/// The five servers, the newest first.
struct Servers {
    candidates: Vec<Candidate>,
    upper: Vec<u32>,
}

impl Servers {
    fn id(position: usize) -> u8 {
        (WEIGHTS.len() - position) as u8
    }

    /// The kernel counts a TCP connection as active from its SYN on (tcp_state_active_table), one
    /// of UDP never.
    fn count(&mut self, position: usize, tcp: bool) {
        let one = &mut self.candidates[position];
        if tcp {
            one.active += 1;
        } else {
            one.inactive += 1;
        }
        let upper = self.upper[position];
        one.overloaded |= upper > 0 && one.active + one.inactive >= upper;
    }
}

type Choose = Box<dyn FnMut(&[Candidate], Ipv4Addr, u16) -> Option<usize>>;

fn reference(recording: &Recording<'_>, servers: &Servers) -> Choose {
    let to = recording.to;
    let (fallback, with_port) = (recording.fallback, recording.port);
    let port_of = move |port: u16| if with_port { port } else { 0 };
    let mut turns = RoundRobin::default();
    let mut weighted = WeightedRoundRobin::default();
    let all = [3, 1, 5, 2, 4].map(|weight| Candidate { weight, ..Candidate::default() });
    for added in 1..=all.len() {
        weighted.handle_change(&all[..added].iter().rev().copied().collect::<Vec<_>>());
    }
    if recording.limited || recording.drained {
        weighted.handle_change(&servers.candidates);
    }
    let maglev: Vec<MaglevServer> = (0..5u8)
        .rev()
        .map(|at| MaglevServer {
            address: Ipv4Addr::new(10, 0, 2, 11 + at).into(),
            port: 53,
            weight: WEIGHTS[usize::from(at)],
        })
        .collect();
    let maglev = sched::maglev_table(&maglev);
    let replication =
        if recording.scheduler == "lblc" { Replication::One } else { Replication::Set };
    let mut localities = Localities::new(replication, Time::ZERO);
    match recording.scheduler {
        "rr" => Box::new(move |all, _, _| turns.choose(all)),
        "wrr" => Box::new(move |all, _, _| weighted.choose(all)),
        "lc" => Box::new(|all, _, _| sched::least_connection(all)),
        "wlc" => Box::new(|all, _, _| sched::weighted_least_connection(all)),
        "sed" => Box::new(|all, _, _| sched::shortest_delay(all)),
        "nq" => Box::new(|all, _, _| sched::never_queue(all)),
        "fo" => Box::new(|all, _, _| sched::failover(all)),
        "ovf" => Box::new(|all, _, _| sched::overflow(all)),
        "dh" => Box::new(move |all, _, _| sched::destination_table(5).by_destination(all, to)),
        "sh" => Box::new(move |all, from, port| {
            sched::source_table(all).by_source(all, from.into(), port_of(port), fallback)
        }),
        "mh" => Box::new(move |all, from, port| {
            maglev.choose(all, from.into(), port_of(port), fallback)
        }),
        "lblc" | "lblcr" => Box::new(move |all, _, _| {
            let located = |(id, candidate): (usize, &Candidate)| Located {
                id,
                candidate: *candidate,
                present: true,
            };
            let servers: Vec<_> = all.iter().enumerate().map(located).collect();
            localities.choose(&servers, to, Time::ZERO)
        }),
        other => panic!("no scheduler of the recordings: {other}"),
    }
}

#[test]
fn every_scheduler_chooses_as_the_kernel_did() {
    let recordings = recordings();
    assert!(recordings.len() >= 15, "{}", recordings.len());
    for recording in &recordings {
        let weights = WEIGHTS.iter().rev();
        let mut servers = Servers {
            candidates: weights.map(|w| Candidate { weight: *w, ..Candidate::default() }).collect(),
            upper: vec![0; 5],
        };
        if recording.drained {
            servers.candidates[2].weight = 0;
        }
        if recording.limited {
            servers.upper[0] = 12;
        }
        let mut choose = reference(recording, &servers);
        let mut expected = Vec::new();
        for number in 0..recording.connections {
            let from = Ipv4Addr::from_bits(0xc612_0000 + number * 7919 % 60_000);
            let port = 1024 + number as u16;
            if let Some(position) = choose(&servers.candidates, from, port) {
                servers.count(position, recording.tcp);
                expected.push((port, Servers::id(position)));
            }
        }
        let Recording { scheduler, fallback, port, drained, limited, .. } = recording;
        assert_eq!(
            recording.chosen, expected,
            "{scheduler} fallback {fallback} port {port} drained {drained} limited {limited}"
        );
    }
}
