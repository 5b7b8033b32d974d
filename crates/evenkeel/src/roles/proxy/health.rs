//! Health checks of the backends' servers, and how their verdicts become known.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use model::Time;
use model::proxy::ProxyPlan;
use worker::{Shape, send_line};

use crate::probes::{News, ProbeSet};

/// A server's identity: backend and name.
type ServerId = (String, String);

/// A server that went up or down.
pub(super) struct Change {
    pub(super) backend: String,
    pub(super) server: String,
    pub(super) up: bool,
    pub(super) reason: String,
}

/// The checks of all servers that have one.
pub(super) struct Health {
    probes: ProbeSet<ServerId>,
    seeds: RandomState,
}

impl Health {
    pub(super) fn new() -> io::Result<Health> {
        Ok(Health { probes: ProbeSet::new()?, seeds: RandomState::new() })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.probes.as_fd()
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.probes.next_deadline()
    }

    /// Checks what this plan says; servers that stay keep their verdict.
    pub(super) fn follow(&mut self, now: Time, plan: &ProxyPlan, shape: &Shape) {
        let checked = || {
            plan.backends.iter().flat_map(|backend| {
                backend.servers.iter().filter_map(|server| {
                    let id = (backend.name.clone(), server.name.clone());
                    server.check.as_ref().map(|check| (id, check))
                })
            })
        };
        let wanted: std::collections::HashSet<ServerId> = checked().map(|(id, _)| id).collect();
        self.probes.retain(|id| wanted.contains(id));
        for (id, check) in checked() {
            let seed = self.seeds.hash_one(&id);
            self.probes.add(id.clone(), check.clone(), now, seed);
            let up = self.probes.is_up(&id).unwrap_or(true);
            let last = self.probes.last_result(&id).map(str::to_string);
            if let Some(server) = shape.server(&id.0, &id.1) {
                server.set_up(up, last);
            }
        }
    }

    /// A line for the log when checks are late for want of something here.
    pub(super) fn poll_shortage(&mut self) -> Option<String> {
        self.probes.poll_shortage()
    }

    /// Runs what is due; the servers whose state changed.
    pub(super) fn run(&mut self, now: Time, shape: &Shape) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        for ((backend, server), news) in self.probes.run(now)? {
            let News::Verdict(verdict) = news else { continue };
            let Some(shared) = shape.server(&backend, &server) else { continue };
            let reason = verdict.reason;
            if shared.set_up(verdict.up, Some(reason.clone())) {
                changes.push(Change { backend, server, up: verdict.up, reason });
            }
        }
        Ok(changes)
    }
}

/// Severities of these lines in HAProxy: alert, notice, emergency.
const DOWN: u8 = 1;
const UP: u8 = 5;
const NONE_LEFT: u8 = 0;

/// Writes the lines HAProxy writes to the backend's log.
pub(super) fn log(shape: &Shape, change: &Change) {
    let Some((settings, sinks)) = shape.backend_log(&change.backend) else { return };
    let Change { backend, server, up, reason } = change;
    let (active, backup) = shape.active(backend);
    let mut line = Vec::new();
    let mut send = |severity: u8, text: String| {
        send_line(&settings.targets, sinks, severity, &settings.tag, text.as_bytes(), &mut line);
    };
    if *up {
        send(
            UP,
            format!(
                "Server {backend}/{server} is UP, reason: {reason}. {active} active and {backup} backup servers online. 0 sessions requeued, 0 total in queue."
            ),
        );
        return;
    }
    send(
        DOWN,
        format!(
            "Server {backend}/{server} is DOWN, reason: {reason}. {active} active and {backup} backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        ),
    );
    if active + backup == 0 {
        send(NONE_LEFT, format!("backend {backend} has no server available!"));
    }
}
