//! Both directors start; the first becomes master and every service answers.

use std::time::Duration;

use model::status::VrrpState;

use crate::client::{ask, client_address};
use crate::director::Director;
use crate::drills::{Session, names};
use crate::error::{Doing, LabError};
use crate::report::{Drill, time};

/// Bound on everything that has to happen before the first answer.
const START_WITHIN: Duration = Duration::from_secs(40);
/// Lines of a director's log in the report of a start that failed.
const LOG_LINES: usize = 15;

pub(super) fn hold(session: &mut Session<'_>) -> Result<Drill, LabError> {
    let mut drill = Drill::new("start");
    for number in 0..session.rig.directors.len() {
        session.say(&format!("starting director {}", number + 1));
        session.rig.directors[number].start().doing("starting a director")?;
    }
    session.say("waiting until director 1 is master and every service answers");
    let begin = edge::clock::now();
    // A director that ends instead of starting is not waited for.
    let states = session.wait(START_WITHIN, |rig| {
        if !rig.directors.iter_mut().all(Director::is_running) {
            return Some(false);
        }
        let wanted = [VrrpState::Master, VrrpState::Backup];
        let settled =
            rig.directors.iter().zip(wanted).all(|(director, state)| {
                director.status().is_ok_and(|status| status.all_in(state))
            });
        settled.then_some(true)
    })?;
    let states = states.unwrap_or(false);
    let answering = session.wait(if states { START_WITHIN } else { Duration::ZERO }, |rig| {
        let services = rig.topology.services.clone();
        let source = client_address(rig.topology.clients, crate::client::CLIENTS - 1);
        let all = rig.client.enter(|| services.iter().all(|service| ask(service, source).is_ok()));
        all.is_ok_and(|all| all).then_some(())
    })?;
    let took = edge::clock::now().since(begin);
    drill.figure("start_seconds", took.as_secs_f64());
    drill.say(format!("ready after {}", time(took)));
    drill.expect(
        states,
        match session.rig.topology.directors {
            1 => "the director runs",
            _ => "director 1 is master of every instance, director 2 is backup",
        },
    );
    drill.expect(
        answering.is_some(),
        format!("a client gets answers from {}", names(&session.rig.topology.services)),
    );
    if !drill.passed() {
        for director in &session.rig.directors {
            drill.say(format!("the end of director {}'s log:", director.number));
            for line in director.log_tail(LOG_LINES) {
                drill.say(format!("  | {line}"));
            }
        }
    }
    Ok(drill)
}
