//! Carries what happens around the role to [`Health`](super::health), and out what it decides.

use std::hash::BuildHasher;
use std::io;

use director::TableChange;
use edge::poll::Interest;
use model::Time;
use model::check::Former;
use model::control::{Event, FromRole};
use model::layer4::Layer4Plan;
use proto::check::{Checker, Told};

use super::addresses::{self, AddressWatch};
use super::health::{Begun, CheckerId, Outcome};
use super::{ADDRESSES, Director};
use crate::probes::News;

impl Director {
    pub(super) fn handle_news(&mut self, now: Time, id: CheckerId, news: News) {
        match news {
            News::Verdict(verdict) => {
                self.health.handle_verdict(now, id, verdict.up, &verdict.reason);
            }
            News::Weight(weight) => self.health.handle_weight(now, id, weight),
            News::Failure(cause) => self.health.handle_failure(id, &cause),
        }
    }

    /// Does what health has decided, in order.
    pub(super) fn follow(&mut self, now: Time) -> io::Result<()> {
        let mut changes: Vec<TableChange> = Vec::new();
        while let Some(outcome) = self.health.poll_outcome() {
            match outcome {
                Outcome::Table(change) => {
                    changes.push(change);
                    changes.append(&mut self.health.take_table_changes());
                    self.tables.follow(now, &changes, || self.health.wanted());
                    changes.clear();
                }
                Outcome::Event(event) => self.say(&FromRole::Event(event))?,
                Outcome::Run { command, arguments, subject } => {
                    self.outside.run(now, &subject, command, arguments);
                }
                Outcome::Line(line) => self.outside.line(&line),
                Outcome::Suspend(checkers, suspended) => {
                    checkers.iter().for_each(|id| self.suspend(now, *id, suspended));
                }
            }
        }
        Ok(())
    }

    fn suspend(&mut self, now: Time, id: CheckerId, suspended: bool) {
        match suspended {
            true => self.probes.suspend(now, &id),
            false => self.probes.unsuspend(now, &id, self.seeds.hash_one(id)),
        }
    }

    /// A checker that a reload brought begins, with what the one knows that it takes the place of.
    pub(super) fn begin(&mut self, now: Time, begun: &Begun) {
        let Some((plan, state)) = self.health.checker(begun.id) else {
            return;
        };
        let known = begun.after.and_then(|id| self.probes.checker(&id)).map(Checker::state);
        // When it begins is for its own pace to say.
        let state = known.map_or(state, |known| Former { next: None, ..known });
        let plan = plan.clone();
        // Outside tells the number of every file after each reload.
        let told = plan.kind.session().and_then(|name| self.bfd.get(name).copied()).map(Told::Up);
        self.probes.resume(begun.id, plan, state, now, self.seeds.hash_one(begun.id));
        if let Some(told) = told {
            self.probes.handle_told(now, &begun.id, told);
        }
    }

    /// A BFD session changed, or this is how it is.
    pub(super) fn handle_bfd(&mut self, now: Time, name: String, up: bool) {
        for id in self.health.listeners(&name) {
            self.probes.handle_told(now, id, Told::Up(up));
        }
        self.bfd.insert(name, up);
    }

    /// Programs, pipes and files.
    pub(super) fn handle_outside(&mut self, now: Time) -> io::Result<()> {
        self.outside.handle_ready(now)?;
        if self.outside.next_deadline() <= now {
            self.outside.handle_timeout(now);
        }
        while let Some((name, number)) = self.outside.poll_file_change() {
            for id in self.health.listeners(&name) {
                self.probes.handle_told(now, id, Told::Value(Some(number)));
            }
        }
        for (severity, text) in self.outside.take_log() {
            self.say(&FromRole::Event(Event::Log { severity, text }))?;
        }
        Ok(())
    }

    /// Follows the addresses of this machine while the plan has somebody who asks.
    pub(super) fn watch_addresses(&mut self, plan: &Layer4Plan) -> Result<(), String> {
        match (addresses::are_asked_for(plan), &self.addresses) {
            (true, None) => {
                let watch = AddressWatch::new()
                    .and_then(|watch| {
                        self.poll.add(&watch, ADDRESSES, Interest::Read)?;
                        Ok(watch)
                    })
                    .map_err(|error| format!("addresses cannot be followed: {error}"))?;
                self.health.handle_addresses(watch.addresses());
                self.addresses = Some(watch);
            }
            // Closing it takes it out of the poll set.
            (false, Some(_)) => self.addresses = None,
            (true, Some(_)) | (false, None) => {}
        }
        Ok(())
    }

    /// An address came or went, perhaps.
    pub(super) fn handle_addresses(&mut self) {
        let Some(watch) = &mut self.addresses else {
            return;
        };
        match watch.handle_ready() {
            Ok(true) => {
                self.health.handle_addresses(watch.addresses());
                self.tables.set_interfaces(&addresses::arrivals(self.health.plan(), Some(watch)));
            }
            Ok(false) => {}
            Err(error) => {
                self.tables.note(4, format!("addresses are not followed any more: {error}"));
                self.addresses = None;
            }
        }
    }
}
