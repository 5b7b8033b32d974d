//! What an instance makes of the conditions around it: it starts, fails, recovers, and its
//! priority follows its trackers.

use model::control::NoticeKind;
use model::status::VrrpState;
use model::units::Time;

use super::faults::Conditions;
use super::instance::{Instance, OWNER};
use super::output::Output;
use super::transition::{Event, Reason};

impl Instance {
    /// Takes in how everything that it depends on is now.
    pub(super) fn assess(&mut self, now: Time, conditions: Conditions) {
        self.conditions = conditions;
        self.weigh_priority(now);
        if !self.grouped {
            self.follow_conditions(now);
        }
        if core::mem::take(&mut self.untold) && self.state == VrrpState::Master {
            self.send(now);
        }
    }

    /// Keepalived's effective priority: 1 to 254 after all weights, and always 255 for the owner.
    fn weigh_priority(&mut self, now: Time) {
        let weighed = match self.plan.priority.number() {
            OWNER => OWNER,
            base => (i32::from(base).saturating_add(self.conditions.weight)).clamp(1, 254) as u8,
        };
        let former = core::mem::replace(&mut self.priority, weighed);
        if former == weighed {
            return;
        }
        match self.state {
            VrrpState::Init | VrrpState::Fault => {}
            VrrpState::Backup if self.owner() && !self.grouped => self.timer = now.max(self.begin),
            VrrpState::Backup => {
                // What has been waited already counts.
                if self.timer != Time::NEVER {
                    self.timer = self.timer + self.skew(weighed) - self.skew(former);
                }
            }
            VrrpState::Master => self.untold = true,
        }
        if self.plan.notify.priority_changes && self.state != VrrpState::Init {
            let kind = match self.state {
                VrrpState::Master => NoticeKind::MasterPriority,
                VrrpState::Init | VrrpState::Backup | VrrpState::Fault => {
                    NoticeKind::BackupPriority
                }
            };
            self.say(Output::Notice(kind, weighed));
        }
    }

    /// Starts, fails or recovers by itself.
    fn follow_conditions(&mut self, now: Time) {
        let faulty = !self.conditions.faults.is_empty();
        let waiting = !self.conditions.waiting.is_empty();
        match (self.state, faulty, waiting) {
            (VrrpState::Init, true, _) => self.fail(now),
            (VrrpState::Init, false, true) => self.clean_up(),
            (VrrpState::Init, false, false) => self.begin(now),
            (VrrpState::Backup | VrrpState::Master, true, _) => self.fail(now),
            (VrrpState::Fault, false, false) if self.owner() => {
                self.change(now, Event::RecoverOwner, Reason::Recovered);
            }
            (VrrpState::Fault, false, false) => {
                self.change(now, Event::Recover, Reason::Recovered);
            }
            (VrrpState::Fault, true, _) | (VrrpState::Fault, false, true) => {}
            (VrrpState::Backup | VrrpState::Master, false, _) => {}
        }
    }

    /// Starts, with everything in order.
    pub(super) fn begin(&mut self, now: Time) {
        let at_once = self.owner() && !self.grouped && self.begin <= now;
        match (self.resumes, at_once) {
            (true, _) => self.change(now, Event::Resume, Reason::Resumed),
            (false, true) => self.change(now, Event::StartOwner, Reason::Owner),
            (false, false) => self.change(now, Event::Start, Reason::Started),
        }
    }

    /// Goes to Fault for a fault of its own.
    pub(super) fn fail(&mut self, now: Time) {
        let Some(fault) = self.conditions.faults.first().cloned() else { return };
        let event = match self.state {
            VrrpState::Init => Event::StartFaulty,
            VrrpState::Backup | VrrpState::Master | VrrpState::Fault => Event::Fail,
        };
        self.change(now, event, Reason::Fault(fault));
    }

    /// Takes away what a predecessor that crashed may have left behind; once. The addresses of
    /// their owner are there anyway.
    pub(super) fn clean_up(&mut self) {
        if !core::mem::replace(&mut self.clean, true) && !self.resumes && !self.owner() {
            self.say(Output::Release);
        }
    }
}
