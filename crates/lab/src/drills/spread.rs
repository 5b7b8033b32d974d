//! Connections from many clients, counted by the server that answered.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use model::layer4::Scheduler;

use crate::client::{Failure, ask, client_address};
use crate::drills::Session;
use crate::error::{Doing, LabError};
use crate::report::Drill;
use crate::topology::{Layer, Service};

/// How many connections each service gets.
const CONNECTIONS: u32 = 120;
/// Clients that ask a persistent service twice.
const RETURNING: u32 = 10;

pub(super) fn hold(session: &mut Session<'_>) -> Result<Drill, LabError> {
    let mut drill = Drill::new("spread");
    for service in session.rig.topology.services.clone() {
        session.pause(std::time::Duration::ZERO)?;
        session.say(&format!("counting who answers for {}", service.name));
        measure(session, &service, &mut drill)?;
    }
    Ok(drill)
}

fn measure(
    session: &mut Session<'_>,
    service: &Service,
    drill: &mut Drill,
) -> Result<(), LabError> {
    let parts = service.expected();
    if parts.iter().all(|part| *part == 0.0) {
        drill.say(format!("{}: no server has a weight", service.name));
        return Ok(());
    }
    let total = CONNECTIONS;
    let first = session.rig.sequence.fetch_add(total, Ordering::Relaxed);
    let clients = session.rig.topology.clients;
    let stop = session.stop;
    let answers: Vec<Result<String, Failure>> = session
        .rig
        .client
        .enter(|| {
            (first..first + total)
                .take_while(|_| !stop.load(Ordering::Relaxed))
                .map(|number| ask(service, client_address(clients, number)))
                .collect()
        })
        .doing("sending requests")?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut failed = 0;
    for answer in &answers {
        match answer {
            Ok(name) => *counts.entry(name).or_default() += 1,
            Err(_) => failed += 1,
        }
    }
    drill.say(format!(
        "{}{}: {total} connections from as many clients",
        service.name,
        how(service)
    ));
    let mut fair = true;
    let mut known = 0;
    for (share, part) in service.shares.iter().zip(parts) {
        let name = &session.rig.topology.servers[share.server].name;
        let got = counts.get(name.as_str()).copied().unwrap_or(0);
        let expected = f64::from(total) * part;
        fair &= (f64::from(got) - expected).abs() <= tolerance(service, expected);
        known += got;
        let role = if share.backup { " backup" } else { "" };
        drill.say(format!(
            "  {name:<14} weight {:>3}{role:<7}  expected {expected:>5.1}  got {got:>4}  {}",
            share.weight,
            "▪".repeat((got * 40 / total.max(1)) as usize)
        ));
    }
    drill.expect(
        failed == 0,
        format!("{}: every connection is answered ({failed} failed)", service.name),
    );
    drill.expect(
        (fair || !service.is_predictable()) && known + failed == total,
        match service.layer {
            _ if !service.is_predictable() => {
                format!("{}: every answer comes from one of its servers", service.name)
            }
            Layer::Four { scheduler: Scheduler::RoundRobin, .. } => {
                format!("{}: the servers take equal turns", service.name)
            }
            _ => format!("{}: the spread follows the weights", service.name),
        },
    );
    if let Layer::Four { persistence: Some(_), .. } = service.layer {
        let same = (0..RETURNING.min(total))
            .map(|number| {
                let source = client_address(clients, first + number);
                let again = session.rig.client.enter(|| ask(service, source));
                Ok(again.doing("sending requests")? == answers[number as usize])
            })
            .collect::<Result<Vec<bool>, LabError>>()?;
        let stayed = same.iter().filter(|&&same| same).count();
        drill.expect(
            stayed == same.len(),
            format!(
                "{}: {stayed} of {} clients that come back find their server again",
                service.name,
                same.len()
            ),
        );
    }
    Ok(())
}

/// Round robin is exact but for what happened before; the others depend on timing.
fn tolerance(service: &Service, expected: f64) -> f64 {
    match service.layer {
        Layer::Four {
            scheduler: Scheduler::LeastConnection | Scheduler::WeightedLeastConnection,
            ..
        } => 4.0 + expected * 0.4,
        Layer::Four { .. } => 2.0 + expected * 0.1,
        Layer::Seven { .. } => 3.0 + expected * 0.2,
    }
}

fn how(service: &Service) -> String {
    match &service.layer {
        Layer::Four { scheduler, persistence, .. } => {
            let persistent = if persistence.is_some() { ", persistent" } else { "" };
            format!(" ({scheduler}{persistent})")
        }
        Layer::Seven { .. } => String::new(),
    }
}
