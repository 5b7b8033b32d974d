//! A director role as a process, with what its tests ask of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::net::Namespace;
use model::control::{Event, FromRole, RolePlan, RoleReport, ToRole};
use model::layer4::Layer4Plan;
use model::status::{ConnectionStatus, DirectorReport};

use crate::role::RoleProcess;

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where one test's director pins; with its gate, as the supervisor makes it. Removed when
/// dropped, which takes everything pinned out of the kernel.
pub(crate) struct Pins(PathBuf);

impl Pins {
    pub(crate) fn new(namespace: &Namespace) -> Pins {
        let directory = PathBuf::from("/sys/fs/bpf").join(namespace.name());
        edge::gate::ensure_gate(&directory).unwrap();
        Pins(directory)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running director role; killed when dropped.
pub(crate) struct DirectorRole {
    process: RoleProcess,
    /// Events that a test has asked for, and those before them.
    seen: usize,
}

impl DirectorRole {
    pub(crate) fn start(namespace: &Namespace, pins: &Pins, plan: Layer4Plan) -> DirectorRole {
        let mut process = RoleProcess::start(namespace, "director").unwrap();
        process.hello(&pins.0.display().to_string(), Vec::new());
        let mut role = DirectorRole { process, seen: 0 };
        role.configure(plan);
        role
    }

    pub(crate) fn configure(&mut self, plan: Layer4Plan) {
        self.process.configure(RolePlan::Director(plan));
    }

    pub(crate) fn report(&mut self) -> DirectorReport {
        match self.process.report() {
            RoleReport::Director(report) => report,
            other => panic!("not a director's report: {other:?}"),
        }
    }

    /// Everything that `ipvsadm -Lnc` would show.
    pub(crate) fn connections(&mut self) -> Vec<ConnectionStatus> {
        self.process.send(&ToRole::Connections { id: 9 }, Vec::new());
        let mut all = Vec::new();
        loop {
            match self.process.receive(PATIENCE) {
                Some(FromRole::Connections { id: 9, connections, last }) => {
                    all.extend(connections);
                    if last {
                        return all;
                    }
                }
                other => panic!("no connections but {other:?}"),
            }
        }
    }

    /// Waits for the next change of a server's health: up or not, and the reason.
    pub(crate) fn health(&mut self) -> (bool, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.process.events.get(self.seen) {
                self.seen += 1;
                if let Event::Health { up, reason, .. } = event {
                    return (*up, reason.clone());
                }
            }
            assert!(Instant::now() < deadline, "only {:?}", self.process.events);
            let _ = self.process.receive(Duration::from_millis(50));
        }
    }

    /// Warnings so far.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        // Whatever was said before the report has come with it.
        self.report();
        let warning = |event: &Event| match event {
            Event::Log { severity: 4, text } => Some(text.clone()),
            _ => None,
        };
        self.process.events.iter().filter_map(warning).collect()
    }

    /// Changes of health that nobody has waited for.
    pub(crate) fn further_health(&self) -> usize {
        let rest = &self.process.events[self.seen..];
        rest.iter().filter(|event| matches!(event, Event::Health { .. })).count()
    }

    pub(crate) fn stop(self) {
        assert!(self.process.stop().success());
    }

    /// Ends it as the death of its supervisor does.
    pub(crate) fn abandon(self) {
        assert!(self.process.abandon().success());
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }
}
