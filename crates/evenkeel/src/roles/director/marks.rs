//! Firewall marks: which packets get one is read from the machine's firewall, at every
//! configuration with such services and whenever nf_tables change.
//!
//! The tools run on a thread. A configuration waits for it; a change of the firewall is put in
//! force when the thread has done, a moment after the last change.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use edge::nft::Changes;
use edge::wake::Bell;
use model::Time;
use model::layer4::Layer4Plan;
use model::status::MarksStatus;

use crate::firewall::{self, Reading, findings};

/// How long a configuration waits for the firewall's tools.
const PATIENCE: Duration = Duration::from_secs(6);
/// Changes of a firewall come in bursts.
const SETTLED_AFTER: Duration = Duration::from_millis(200);

/// Follows the firewall while a plan has services of marks.
pub(super) struct MarkWatch {
    /// None where the kernel has no nf_tables.
    changes: Option<Changes>,
    bell: Arc<Bell>,
    /// A reading on its way.
    answer: Option<Receiver<Reading>>,
    /// Something changed: read again then.
    read_at: Option<Time>,
    status: MarksStatus,
    /// What was said about it.
    told: BTreeSet<String>,
}

/// A plan has services of marks.
pub(super) fn are_asked_for(plan: &Layer4Plan) -> bool {
    plan.marks().next().is_some()
}

impl MarkWatch {
    /// Begins to.
    pub(super) fn new() -> io::Result<MarkWatch> {
        Ok(MarkWatch {
            changes: Changes::open().ok(),
            bell: Arc::new(Bell::new()?),
            answer: None,
            read_at: None,
            status: MarksStatus::default(),
            told: BTreeSet::new(),
        })
    }

    /// What the firewall says.
    pub(super) fn status(&self) -> &MarksStatus {
        &self.status
    }

    /// Readable when a reading is done.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Readable when the firewall changed.
    pub(super) fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.changes.as_ref().map(AsFd::as_fd)
    }

    /// Reads the firewall anew and waits for it.
    pub(super) fn read(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.clear();
        }
        self.begin();
        let reading = self.answer.take().and_then(|answer| answer.recv_timeout(PATIENCE).ok());
        let _ = self.bell.clear();
        match reading {
            Some(reading) => self.take(reading),
            None => {
                let text = "its tools take too long: the rules are those of before".to_owned();
                self.status.failures = vec![text];
            }
        }
    }

    fn begin(&mut self) {
        self.read_at = None;
        let (told, answer) = mpsc::channel();
        let bell = Arc::clone(&self.bell);
        let reader = thread::Builder::new().name("firewall".to_string());
        let spawned = reader.spawn(move || {
            let _ = told.send(firewall::read());
            bell.ring();
        });
        match spawned {
            Ok(_) => self.answer = Some(answer),
            // There is no thread to be had.
            Err(_) => self.take(firewall::read()),
        }
    }

    fn take(&mut self, reading: Reading) {
        self.status.rules = reading.rules;
        self.status.failures = reading.failures;
        self.status.refused = None;
    }

    /// The firewall changed, perhaps.
    pub(super) fn handle_changes(&mut self, now: Time) {
        if let Some(changes) = &mut self.changes {
            changes.clear();
            self.read_at = Some(now + SETTLED_AFTER);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(super) fn next_deadline(&self) -> Time {
        self.read_at.unwrap_or(Time::NEVER)
    }

    /// Begins a reading that is due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.read_at.is_some_and(|due| due <= now) && self.answer.is_none() {
            self.begin();
        }
    }

    /// A reading is done, perhaps: whether the rules are others now.
    pub(super) fn handle_answer(&mut self) -> bool {
        let _ = self.bell.clear();
        let Some(reading) = self.answer.as_ref().and_then(|answer| answer.try_recv().ok()) else {
            return false;
        };
        self.answer = None;
        let changed = reading.rules != self.status.rules || self.status.refused.is_some();
        self.take(reading);
        changed
    }

    /// The data plane did not take the rules.
    pub(super) fn handle_refusal(&mut self, error: Option<String>) {
        self.status.refused = error;
    }

    /// Addresses to which packets may have a mark: this machine's, and those that rules name.
    pub(super) fn addresses(&self, here: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        here.iter().copied().chain(self.status.rules.addresses()).collect()
    }

    /// What is to be said of services and rules that was not said yet, with syslog's severity.
    pub(super) fn news(&mut self, plan: &Layer4Plan) -> Vec<(u8, String)> {
        let found = findings(plan, &self.status);
        let former = std::mem::replace(&mut self.told, found.iter().cloned().collect());
        found.into_iter().filter(|text| !former.contains(text)).map(|text| (4, text)).collect()
    }
}
