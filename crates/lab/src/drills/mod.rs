//! What is rehearsed, one file per drill, and what they have in common.

mod failover;
mod server_death;
mod spread;
mod start;

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use model::Time;

use crate::error::{Doing, LabError};
use crate::report::Drill;
use crate::rig::Rig;
use crate::topology::Service;
use crate::traffic::{Sample, Traffic, describe_failures};

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(60);
/// How long traffic is watched after a recovery.
const AFTERWARDS: Duration = Duration::from_millis(2500);
/// Added to every bound for machines that are busy.
const SLACK: Duration = Duration::from_secs(6);

/// A rig in use.
pub(crate) struct Session<'a> {
    pub(crate) rig: Rig,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) progress: &'a mut dyn Write,
    pub(crate) began: Time,
}

impl Session<'_> {
    /// Holds every drill that this topology allows.
    pub(crate) fn run(&mut self) -> Result<Vec<Drill>, LabError> {
        let mut drills = vec![start::hold(self)?];
        if !drills[0].passed() {
            return Ok(drills);
        }
        drills.push(spread::hold(self)?);
        drills.extend(server_death::hold(self)?);
        drills.extend(failover::hold(self)?);
        Ok(drills)
    }

    /// Says what is being done.
    pub(crate) fn say(&mut self, what: &str) {
        let at = edge::clock::now().since(self.began).as_secs_f64();
        // Progress that nobody can read is no reason to stop.
        let _ = writeln!(self.progress, "{at:6.1} s  {what}");
        let _ = self.progress.flush();
    }

    /// Looks until `look` finds something, for at most this long.
    pub(crate) fn wait<T>(
        &mut self,
        at_most: Duration,
        mut look: impl FnMut(&mut Rig) -> Option<T>,
    ) -> Result<Option<T>, LabError> {
        let deadline = edge::clock::now() + at_most;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(LabError::Interrupted);
            }
            if let Some(found) = look(&mut self.rig) {
                return Ok(Some(found));
            }
            if edge::clock::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    /// Lets time pass.
    pub(crate) fn pause(&mut self, length: Duration) -> Result<(), LabError> {
        self.wait(length, |_| None::<()>).map(|_| ())
    }

    /// Starts requests in the background.
    pub(crate) fn traffic(&self) -> Traffic {
        let topology = &self.rig.topology;
        Traffic::start(&self.rig.client, &topology.services, topology.clients, &self.rig.sequence)
    }

    /// The addresses each director holds, of those that move.
    pub(crate) fn holders(&self) -> Result<Vec<Vec<Ipv4Addr>>, LabError> {
        let held = &self.rig.topology.held;
        let directors = self.rig.directors.iter();
        directors
            .map(|director| director.holds(held).doing("asking who holds the addresses"))
            .collect()
    }
}

/// Failed requests of two kinds: those that began before a recovery, and those that began later.
struct Failures {
    during: usize,
    after: usize,
    answered_after: usize,
    what_during: String,
    what_after: String,
}

/// Sorts the requests that ended after `event`. `recovered` is when each service answered again;
/// nothing when it never did.
fn count_failures(samples: &[Sample], event: Time, recovered: &[Option<Time>]) -> Failures {
    let relevant = || samples.iter().filter(|sample| sample.ended >= event);
    let later =
        |sample: &&Sample| recovered[sample.service].is_some_and(|time| sample.began > time);
    let failed = |sample: &&Sample| sample.outcome.is_err();
    let earlier = |sample: &&Sample| !later(sample);
    Failures {
        during: relevant().filter(earlier).filter(failed).count(),
        after: relevant().filter(later).filter(failed).count(),
        answered_after: relevant().filter(later).filter(|sample| !failed(sample)).count(),
        what_during: describe_failures(relevant().filter(earlier)),
        what_after: describe_failures(relevant().filter(later)),
    }
}

/// A list of failures in brackets, or nothing.
fn in_brackets(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" ({what})") }
}

/// The names of services, for one line.
fn names(services: &[Service]) -> String {
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    names.join(", ")
}
