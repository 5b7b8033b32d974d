//! `vrrp_track_process`: enough processes, and not too many.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use edge::netns::NetworkNamespace;
use edge::poll::Interest;
use edge::process_events::{ProcessEvent, ProcessEvents};
use model::Time;
use model::control::TrackerState;
use model::vrrp::{TrackProcess, Tracked};

use super::proc_table::{Table, look};
use super::{PROCESSES, Shared};

/// From one look at all processes to the next, where the kernel does not tell of changes.
const SCAN: Duration = Duration::from_secs(1);
/// The network namespace of process 1.
const INIT_NETWORK: &str = "/proc/1/ns/net";
/// How long the kernel may take to say that it tells of changes.
const ANSWER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Processes {
    trackers: Vec<Tracker>,
    table: Table,
    source: Source,
}

/// How changes are learnt of.
#[derive(Default)]
enum Source {
    /// Nothing is followed.
    #[default]
    None,
    /// The kernel tells, or may do so: until the time it has to answer.
    Kernel(ProcessEvents, Option<Time>),
    /// By looking, next at this time.
    Scan(Time),
}

struct Tracker {
    plan: TrackProcess,
    up: bool,
    /// It changes then unless the count changes back before.
    pending: Option<Time>,
}

/// Why a count changed: only forks and ends have delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Fork,
    End,
    /// Another program or name.
    Other,
    /// Nobody knows.
    Scan,
}

impl Processes {
    /// Follows these from now on.
    pub(super) fn configure(
        &mut self,
        now: Time,
        plans: &[TrackProcess],
        shared: &mut Shared,
    ) -> io::Result<()> {
        let mut former: BTreeMap<String, Tracker> =
            self.trackers.drain(..).map(|one| (one.plan.name.clone(), one)).collect();
        let mut new = Vec::new();
        for plan in plans {
            let known = former.remove(&plan.name).filter(|known| known.plan == *plan);
            new.push(known.is_none());
            let fresh = Tracker { plan: plan.clone(), up: false, pending: None };
            self.trackers.push(known.unwrap_or(fresh));
        }
        match &self.source {
            _ if plans.is_empty() => self.source = Source::None,
            Source::None => self.subscribe(now, shared),
            Source::Kernel(..) | Source::Scan(_) => {}
        }
        self.table = self.scan();
        let counts = self.table.counts(self.trackers.len());
        for ((tracker, &count), new) in self.trackers.iter_mut().zip(&counts).zip(new) {
            if new {
                tracker.up = tracker.wants(count);
            }
            tracker.tell(shared);
        }
        self.recount(now, Cause::Scan, shared);
        Ok(())
    }

    fn subscribe(&mut self, now: Time, shared: &mut Shared) {
        let subscribed = events(shared.first_network.as_ref()).and_then(|events| {
            shared.poll.add(&events, PROCESSES, Interest::Read)?;
            Ok(events)
        });
        self.source = match subscribed {
            Ok(events) => Source::Kernel(events, Some(now + ANSWER)),
            Err(error) => look_instead(now, &error.to_string(), shared),
        };
    }

    pub(super) fn next_deadline(&self) -> Time {
        let source = match &self.source {
            Source::None => Time::NEVER,
            Source::Kernel(_, answer) => answer.unwrap_or(Time::NEVER),
            Source::Scan(at) => *at,
        };
        self.trackers.iter().filter_map(|tracker| tracker.pending).fold(source, Time::min)
    }

    pub(super) fn handle_timeout(&mut self, now: Time, shared: &mut Shared) -> io::Result<()> {
        match &mut self.source {
            Source::Kernel(_, Some(by)) if *by <= now => {
                self.source = look_instead(now, "the kernel does not tell of them here", shared);
            }
            Source::Scan(at) if *at <= now => {
                *at = now + SCAN;
                self.table = self.scan();
                self.recount(now, Cause::Scan, shared);
            }
            Source::None | Source::Kernel(..) | Source::Scan(_) => {}
        }
        for tracker in &mut self.trackers {
            if tracker.pending.is_some_and(|at| at <= now) {
                tracker.turn(shared);
            }
        }
        Ok(())
    }

    /// The kernel tells of processes.
    pub(super) fn handle_ready(&mut self, now: Time, shared: &mut Shared) -> io::Result<()> {
        while let Source::Kernel(events, answer) = &mut self.source {
            let Some(event) = events.next_event()? else { return Ok(()) };
            let (changed, cause) = match event {
                ProcessEvent::Listening => {
                    *answer = None;
                    (false, Cause::Other)
                }
                ProcessEvent::Forked { parent, child } => {
                    (self.table.fork(parent, child), Cause::Fork)
                }
                ProcessEvent::Executed(pid) | ProcessEvent::Renamed(pid) => {
                    let trackers = look(pid, &self.plans());
                    (self.table.put(pid, trackers), Cause::Other)
                }
                ProcessEvent::Ended(pid) => (self.table.put(pid, Vec::new()), Cause::End),
                ProcessEvent::Lost => {
                    self.table = self.scan();
                    (true, Cause::Scan)
                }
            };
            if changed {
                self.recount(now, cause, shared);
            }
        }
        Ok(())
    }

    fn plans(&self) -> Vec<&TrackProcess> {
        self.trackers.iter().map(|tracker| &tracker.plan).collect()
    }

    fn scan(&self) -> Table {
        Table::scan(&self.plans())
    }

    fn recount(&mut self, now: Time, cause: Cause, shared: &mut Shared) {
        let counts = self.table.counts(self.trackers.len());
        for (tracker, count) in self.trackers.iter_mut().zip(counts) {
            tracker.handle_count(now, count, cause, shared);
        }
    }
}

impl Tracker {
    /// So many processes are enough and not too many.
    fn wants(&self, count: u32) -> bool {
        count >= self.plan.quorum && self.plan.quorum_max.is_none_or(|max| count <= max)
    }

    fn handle_count(&mut self, now: Time, count: u32, cause: Cause, shared: &mut Shared) {
        let up = self.wants(count);
        if up == self.up {
            self.pending = None;
            return;
        }
        let delay = match (cause, up) {
            (Cause::Fork, _) | (Cause::Scan, true) => self.plan.fork_delay,
            (Cause::End, _) | (Cause::Scan, false) => self.plan.terminate_delay,
            (Cause::Other, _) => Duration::ZERO,
        };
        if delay.is_zero() {
            self.turn(shared);
        } else {
            self.pending.get_or_insert(now + delay);
        }
    }

    fn turn(&mut self, shared: &mut Shared) {
        self.pending = None;
        self.up = !self.up;
        let verb = if self.up { "gained" } else { "lost" };
        shared.note(5, format!("track_process {}: quorum {verb}", self.plan.name));
        self.tell(shared);
    }

    fn tell(&self, shared: &mut Shared) {
        let state = if self.up { TrackerState::Up } else { TrackerState::Down };
        shared.changes.push((Tracked::Process(self.plan.name.clone()), state));
    }
}

/// The kernel tells of processes in the first network namespace only: the one that the program
/// came from or that of process 1, if we are in another one.
fn events(first: Option<&NetworkNamespace>) -> io::Result<ProcessEvents> {
    if let Some(first) = first {
        return first.enter(ProcessEvents::subscribe)?;
    }
    ProcessEvents::subscribe().or_else(|refused| match NetworkNamespace::open(INIT_NETWORK) {
        Ok(init) => init.enter(ProcessEvents::subscribe)?,
        Err(_) => Err(refused),
    })
}

fn look_instead(now: Time, why: &str, shared: &mut Shared) -> Source {
    shared.note(
        4,
        format!("track_process: no process events ({why}): /proc is read every second instead"),
    );
    Source::Scan(now + SCAN)
}
