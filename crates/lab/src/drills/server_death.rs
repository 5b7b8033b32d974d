//! A real server dies and returns.

use std::time::Duration;

use model::Time;
use model::layer4::Endpoint;

use crate::director::Status;
use crate::drills::{AFTERWARDS, SLACK, Session, count_failures, in_brackets};
use crate::error::{Doing, LabError};
use crate::report::{Drill, time};
use crate::rig::Rig;
use crate::topology::{Layer, Service, Share, Topology};

/// Its name in reports.
const DEATH: &str = "server death";
const RETURN: &str = "server return";

pub(super) fn hold(session: &mut Session<'_>) -> Result<Vec<Drill>, LabError> {
    let Some(victim) = victim(&session.rig.topology) else {
        let reason = "no server is checked everywhere it serves and has another one beside it";
        return Ok(vec![Drill::skipped(DEATH, reason), Drill::skipped(RETURN, reason)]);
    };
    let death = death(session, victim)?;
    let back = comeback(session, victim)?;
    Ok(vec![death, back])
}

/// A server whose death can be noticed and survived in every service it has a share of.
fn victim(topology: &Topology) -> Option<usize> {
    (0..topology.servers.len()).find(|&server| {
        let mut shares = shares_of(topology, server).peekable();
        shares.peek().is_some()
            && shares.all(|(service, share)| {
                let regular = !share.backup && share.weight > 0;
                regular && share.notice_death.is_some() && service.shares.len() > 1
            })
    })
}

fn shares_of(topology: &Topology, server: usize) -> impl Iterator<Item = (&Service, &Share)> {
    topology.services.iter().flat_map(move |service| {
        service
            .shares
            .iter()
            .filter(move |share| share.server == server)
            .map(move |share| (service, share))
    })
}

/// Whether the active director sends connections to a server, in none, some or all of its
/// services.
fn in_service(rig: &Rig, server: usize) -> Option<Vec<bool>> {
    let status: Status = rig.directors[0].status().ok()?;
    let address = rig.topology.servers[server].address.into();
    shares_of(&rig.topology, server)
        .map(|(service, share)| match &service.layer {
            Layer::Four { key, .. } => {
                let endpoint = |port| Endpoint { address, port };
                let found = status.real_server(*key, endpoint(share.port));
                found.or_else(|| status.real_server(*key, endpoint(0)))
            }
            Layer::Seven { backend } => {
                status.backend_server(backend, share.label.as_deref().unwrap_or_default())
            }
        })
        .collect()
}

fn longest(
    topology: &Topology,
    server: usize,
    which: impl Fn(&Share) -> Option<Duration>,
) -> Duration {
    shares_of(topology, server).filter_map(|(_, share)| which(share)).max().unwrap_or_default()
}

fn death(session: &mut Session<'_>, victim: usize) -> Result<Drill, LabError> {
    let mut drill = Drill::new(DEATH);
    let name = session.rig.topology.servers[victim].name.clone();
    let bound = longest(&session.rig.topology, victim, |share| share.notice_death);
    session.say(&format!(
        "killing {name} under traffic; its checks should notice within {}",
        time(bound)
    ));
    let traffic = session.traffic();
    session.pause(Duration::from_secs(1))?;
    let killed = edge::clock::now();
    session.rig.machines[victim].kill();
    let removed = session.wait(bound + SLACK, |rig| {
        let none = in_service(rig, victim)?.iter().all(|one| !one);
        none.then(edge::clock::now)
    })?;
    session.pause(AFTERWARDS)?;
    let samples = traffic.finish();
    let recovered: Vec<Option<Time>> = vec![removed; session.rig.topology.services.len()];
    let failures = count_failures(&samples, killed, &recovered);
    match removed {
        Some(at) => {
            let took = at.since(killed);
            drill.figure("removal_seconds", took.as_secs_f64());
            drill.say(format!("{name} left the tables {} after its death", time(took)));
        }
        None => drill.say(format!("{name} was still in the tables {} later", time(bound + SLACK))),
    }
    drill.say(format!(
        "{} requests failed until then{}, {} of {} after it{}",
        failures.during,
        in_brackets(&failures.what_during),
        failures.after,
        failures.after + failures.answered_after,
        in_brackets(&failures.what_after)
    ));
    drill.figure("failed_during", failures.during as f64);
    drill.figure("failed_after", failures.after as f64);
    drill.expect(removed.is_some(), format!("the death is noticed within {}", time(bound + SLACK)));
    drill.expect(failures.after == 0, "no request fails once the server is out");
    drill.expect(failures.answered_after > 0, "the other servers answer");
    Ok(drill)
}

fn comeback(session: &mut Session<'_>, victim: usize) -> Result<Drill, LabError> {
    let mut drill = Drill::new(RETURN);
    let name = session.rig.topology.servers[victim].name.clone();
    let bound = longest(&session.rig.topology, victim, |share| share.notice_return);
    session.say(&format!("starting {name} again"));
    let traffic = session.traffic();
    session.rig.machines[victim].start().doing(format!("starting {name}"))?;
    let started = edge::clock::now();
    let listed = session.wait(bound + SLACK, |rig| {
        let all = in_service(rig, victim)?.iter().all(|&one| one);
        all.then(edge::clock::now)
    })?;
    let answered = session.wait(SLACK, |_| {
        traffic
            .since(started)
            .iter()
            .find(|sample| sample.outcome.as_ref() == Ok(&name))
            .map(|sample| sample.ended)
    })?;
    session.pause(AFTERWARDS / 2)?;
    let samples = traffic.finish();
    let failed = samples.iter().filter(|sample| sample.outcome.is_err()).count();
    let what = crate::traffic::describe_failures(&samples);
    if let (Some(listed), Some(answered)) = (listed, answered) {
        drill.figure("return_seconds", listed.since(started).as_secs_f64());
        drill.say(format!(
            "{name} is back in the tables after {}, its first answer came after {}",
            time(listed.since(started)),
            time(answered.since(started))
        ));
    }
    drill.figure("failed", failed as f64);
    drill.expect(listed.is_some(), format!("the return is noticed within {}", time(bound + SLACK)));
    drill.expect(answered.is_some(), format!("{name} answers clients again"));
    drill.expect(
        failed == 0,
        format!("no request fails meanwhile: {failed} of {}{}", samples.len(), in_brackets(&what)),
    );
    Ok(drill)
}
