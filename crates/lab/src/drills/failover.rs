//! The active director loses its power and comes back.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::Time;
use model::status::VrrpState;

use crate::drills::{AFTERWARDS, SLACK, Session, count_failures, in_brackets};
use crate::error::{Doing, LabError};
use crate::report::{Drill, time};
use crate::traffic::{Gap, Sample, longest_gap};

const FAILOVER: &str = "failover";
const RETURN: &str = "director return";
/// A shorter time without an answer is the rhythm of the requests.
const NOTICEABLE: Duration = Duration::from_millis(500);
/// Bound on a director's start until it takes over or settles as backup.
const SETTLE_WITHIN: Duration = Duration::from_secs(25);

pub(super) fn hold(session: &mut Session<'_>) -> Result<Vec<Drill>, LabError> {
    if session.rig.topology.directors < 2 {
        let reason = "there is no vrrp_instance, so nothing can take over";
        return Ok(vec![Drill::skipped(FAILOVER, reason), Drill::skipped(RETURN, reason)]);
    }
    let failover = power_off(session)?;
    let back = power_on(session)?;
    Ok(vec![failover, back])
}

fn power_off(session: &mut Session<'_>) -> Result<Drill, LabError> {
    let mut drill = Drill::new(FAILOVER);
    session.say("cutting director 1's power under traffic");
    let traffic = session.traffic();
    session.pause(Duration::from_secs(1))?;
    let cut = edge::clock::now();
    session.rig.plug(0, false).doing("unplugging director 1")?;
    session.rig.directors[0].kill().doing("killing director 1")?;
    let bound = session.rig.takeover_bound + SLACK;
    let taken = session.wait(bound, |rig| {
        let held = &rig.topology.held;
        let own = rig.directors[1].holds(held).ok()?;
        (own.len() == held.len()).then(edge::clock::now)
    })?;
    // Gratuitous ARP and the first answers come after the address.
    session.wait(SLACK, |rig| {
        let samples = traffic.since(cut);
        let services = 0..rig.topology.services.len();
        let answered = |service| {
            let mut later = samples.iter().filter(|sample: &&Sample| sample.service == service);
            later.any(|sample| sample.outcome.is_ok() && taken.is_some_and(|at| sample.began > at))
        };
        services.into_iter().all(answered).then_some(())
    })?;
    session.pause(AFTERWARDS)?;
    let samples = traffic.finish();
    describe_gaps(session, &mut drill, &samples, (cut, taken));
    if let Some(at) = taken {
        drill.say(format!(
            "director 2 holds {} {} after the power was cut",
            list(&session.rig.directors[1].holds(&session.rig.topology.held).unwrap_or_default()),
            time(at.since(cut))
        ));
        drill.figure("takeover_seconds", at.since(cut).as_secs_f64());
    }
    drill.expect(taken.is_some(), "director 2 holds every address");
    Ok(drill)
}

/// Gap, failed requests and what is expected of them. A service has recovered when it answers
/// again and the addresses have moved: connections that were open meanwhile may break.
fn describe_gaps(
    session: &Session<'_>,
    drill: &mut Drill,
    samples: &[Sample],
    (event, moved): (Time, Option<Time>),
) {
    let services = &session.rig.topology.services;
    let gaps: Vec<Option<Gap>> =
        (0..services.len()).map(|service| longest_gap(samples, service, event)).collect();
    let recovered: Vec<Option<Time>> = gaps
        .iter()
        .map(|gap| {
            let gap = (*gap)?;
            let noticeable = gap.to.since(gap.from) > NOTICEABLE;
            Some(match moved {
                Some(moved) if noticeable => gap.to.max(moved),
                Some(moved) => moved,
                None => gap.to,
            })
        })
        .collect();
    let failures = count_failures(samples, event, &recovered);
    let mut worst = Duration::ZERO;
    for (service, gap) in services.iter().zip(&gaps) {
        match gap {
            Some(gap) => {
                let length = gap.to.since(gap.from);
                worst = worst.max(length);
                drill.say(format!(
                    "{}: longest time without an answer {}",
                    service.name,
                    time(length)
                ));
            }
            None => drill.say(format!("{}: no answer any more", service.name)),
        }
    }
    drill.say(format!(
        "{} requests failed until the recovery{}, {} of {} after it{}",
        failures.during,
        in_brackets(&failures.what_during),
        failures.after,
        failures.after + failures.answered_after,
        in_brackets(&failures.what_after)
    ));
    drill.figure("gap_seconds", worst.as_secs_f64());
    drill.figure("failed_during", failures.during as f64);
    drill.figure("failed_after", failures.after as f64);
    drill.expect(gaps.iter().all(Option::is_some), "every service answers again");
    drill.expect(failures.after == 0, "no request fails after the recovery");
}

fn power_on(session: &mut Session<'_>) -> Result<Drill, LabError> {
    let mut drill = Drill::new(RETURN);
    session.say("giving director 1 its power back under traffic");
    let traffic = session.traffic();
    let interfaces: Vec<String> =
        session.rig.topology.segments.iter().map(|segment| segment.interface.clone()).collect();
    session.rig.directors[0].forget(&session.rig.topology.held, &interfaces);
    session.rig.plug(0, true).doing("plugging director 1 in")?;
    let on = edge::clock::now();
    session.rig.directors[0].start().doing("starting director 1")?;
    let preempts = session.rig.preempts;
    let wanted = if preempts { VrrpState::Master } else { VrrpState::Backup };
    let mut both: Option<Time> = None;
    let mut both_longest = Duration::ZERO;
    let settled = session.wait(SETTLE_WITHIN, |rig| {
        let held = &rig.topology.held;
        let first = rig.directors[0].holds(held).ok()?;
        let second = rig.directors[1].holds(held).ok()?;
        let now = edge::clock::now();
        if first.iter().any(|address| second.contains(address)) {
            both_longest = both_longest.max(now.since(*both.get_or_insert(now)));
        } else {
            both = None;
        }
        let (holder, other) = if preempts { (&first, &second) } else { (&second, &first) };
        let one = holder.len() == held.len() && other.is_empty();
        (one && rig.directors[0].status().is_ok_and(|status| status.all_in(wanted))).then_some(now)
    })?;
    session.pause(AFTERWARDS)?;
    let samples = traffic.finish();
    if let Some(at) = settled {
        drill.say(format!("director 1 is {wanted} {} after its start", time(at.since(on))));
        drill.figure("settled_seconds", at.since(on).as_secs_f64());
    }
    if !both_longest.is_zero() {
        drill.say(format!("both directors had an address for {}", time(both_longest)));
    }
    drill.figure("both_held_seconds", both_longest.as_secs_f64());
    describe_gaps(session, &mut drill, &samples, (on, settled));
    let holders = session.holders()?;
    for (director, addresses) in session.rig.directors.iter().zip(&holders) {
        drill.say(format!("director {} holds {}", director.number, list(addresses)));
    }
    let expected = if preempts {
        "director 1 alone holds the addresses again"
    } else {
        "director 2 keeps the addresses (nopreempt)"
    };
    drill.expect(settled.is_some(), expected);
    drill.expect(
        both_longest <= Duration::from_secs(1),
        "no address is held twice for more than a second",
    );
    Ok(drill)
}

fn list(addresses: &[Ipv4Addr]) -> String {
    if addresses.is_empty() {
        return "nothing".into();
    }
    let texts: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
    texts.join(" ")
}
