//! Carries what happens around the role to [`Health`](super::health), and out what it decides.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::io;

use director::TableChange;
use edge::poll::Interest;
use model::Time;
use model::check::Former;
use model::control::{Event, FromRole};
use model::layer4::Layer4Plan;
use model::marks::MarkRules;
use proto::check::{Checker, Told};

use super::addresses::{self, AddressWatch};
use super::health::{Begun, CheckerId, Outcome};
use super::marks::{self, MarkWatch};
use super::{ADDRESSES, Director, FIREWALL, MARKS};
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
                let rules = self.marks.as_ref().map(|marks| &marks.status().rules);
                let plan = self.health.plan();
                self.tables.set_interfaces(&addresses::arrivals(plan, rules, Some(watch)));
                self.put_marks_in_force();
            }
            Ok(false) => {}
            Err(error) => {
                self.tables.note(4, format!("addresses are not followed any more: {error}"));
                self.addresses = None;
            }
        }
    }

    /// Follows the firewall while the plan has services of marks, and reads it now.
    pub(super) fn watch_marks(&mut self, plan: &Layer4Plan) -> Result<(), String> {
        if !marks::are_asked_for(plan) {
            // Closing it takes it out of the poll set.
            self.marks = None;
            return Ok(());
        }
        if self.marks.is_none() {
            let watch = MarkWatch::new().and_then(|watch| {
                self.poll.add(watch.bell(), MARKS, Interest::Read)?;
                if let Some(changes) = watch.changes() {
                    self.poll.add(changes, FIREWALL, Interest::Read)?;
                }
                Ok(watch)
            });
            self.marks =
                Some(watch.map_err(|error| format!("the firewall cannot be followed: {error}"))?);
        }
        if let Some(marks) = &mut self.marks {
            marks.read();
        }
        Ok(())
    }

    /// Gives the engine the rules that were read, and tells what does not fit.
    pub(super) fn put_marks_in_force(&mut self) {
        let here = self.addresses.as_ref().map(AddressWatch::addresses).unwrap_or_default();
        let none = MarkRules::default();
        let (rules, addresses) = match &self.marks {
            Some(marks) => (&marks.status().rules, marks.addresses(&here)),
            None => (&none, BTreeSet::new()),
        };
        let refused = self.tables.set_marks(rules, &addresses).err();
        if let Some(marks) = &mut self.marks {
            marks.handle_refusal(refused);
            for (severity, text) in marks.news(self.health.plan()) {
                self.tables.note(severity, text);
            }
        }
    }

    /// The firewall was read anew.
    pub(super) fn handle_marks(&mut self) {
        if !self.marks.as_mut().is_some_and(MarkWatch::handle_answer) {
            return;
        }
        self.tables.note(5, "the firewall changed: its rules for marks were read".to_owned());
        self.put_marks_in_force();
        let rules = self.marks.as_ref().map(|marks| &marks.status().rules);
        let plan = self.health.plan();
        let names = addresses::arrivals(plan, rules, self.addresses.as_mut());
        self.tables.set_interfaces(&names);
    }
}
