//! Sync groups: their members become master, backup and faulty together.

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::control::NoticeKind;
use model::status::{SyncGroupStatus, VrrpState};
use model::units::Time;
use model::vrrp::SyncGroup;

use super::instance::{Instance, StepBack};
use super::transition::{Event, Reason};

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) plan: Arc<SyncGroup>,
    /// Places of its members among the router's instances.
    pub(super) members: Vec<usize>,
    /// What scripts were told last; Init before they were told anything.
    pub(super) state: VrrpState,
}

/// What a group has its members do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Everybody goes to Fault.
    Fault,
    /// Nobody has a fault, and not everything is known: who has not started prepares.
    Wait,
    /// Who has not started or was faulty becomes backup.
    Start,
    /// Who is master becomes backup: another member was beaten or robbed.
    StepBack(StepBack),
    /// Everybody becomes master.
    Master,
}

impl Group {
    /// What is to be done now; several orders may follow one another.
    pub(super) fn order(&self, instances: &[Instance]) -> Option<Order> {
        let members = || self.members.iter().map(|place| &instances[*place]);
        let idle = |i: &&Instance| match i.state {
            VrrpState::Init | VrrpState::Fault => true,
            VrrpState::Backup | VrrpState::Master => false,
        };
        let step = members().map(|i| i.stepped_back).find(|step| *step != StepBack::No);
        if members().any(|i| !i.conditions.faults.is_empty()) {
            members().any(|i| i.state != VrrpState::Fault).then_some(Order::Fault)
        } else if members().filter(idle).any(|i| !i.conditions.waiting.is_empty() && !i.resumes) {
            Some(Order::Wait)
        } else if members().any(|i| idle(&i)) {
            Some(Order::Start)
        } else if let Some(step) = step {
            Some(Order::StepBack(step))
        } else if members().all(|i| i.state == VrrpState::Master) {
            None
        } else if members().any(|i| i.state == VrrpState::Master) || members().all(|i| i.ready) {
            Some(Order::Master)
        } else {
            None
        }
    }

    /// Members in the order in which they obey: who has a fault of its own first, then the one
    /// that something happened to.
    pub(super) fn in_order(&self, instances: &[Instance], cause: Option<usize>) -> Vec<usize> {
        let mut places = self.members.clone();
        let well = |place: usize| instances[place].conditions.faults.is_empty();
        places.sort_by_key(|place| (well(*place), cause != Some(*place)));
        places
    }

    /// What its members are together.
    pub(super) fn state_of(&self, instances: &[Instance]) -> VrrpState {
        let mut states = self.members.iter().map(|place| instances[*place].state);
        let is = |state| move |other: VrrpState| other == state;
        if states.clone().any(is(VrrpState::Fault)) {
            VrrpState::Fault
        } else if states.clone().any(is(VrrpState::Init)) {
            VrrpState::Init
        } else if states.all(is(VrrpState::Master)) {
            VrrpState::Master
        } else {
            VrrpState::Backup
        }
    }

    /// Notices the state of its members; what scripts are to be told, if it is another one.
    pub(super) fn follow(&mut self, instances: &[Instance]) -> Option<NoticeKind> {
        let state = self.state_of(instances);
        let kind = match state {
            VrrpState::Init => return None,
            VrrpState::Backup => NoticeKind::Backup,
            VrrpState::Master => NoticeKind::Master,
            VrrpState::Fault => NoticeKind::Fault,
        };
        (core::mem::replace(&mut self.state, state) != state).then_some(kind)
    }

    pub(super) fn status(&self, instances: &[Instance]) -> SyncGroupStatus {
        SyncGroupStatus {
            name: self.plan.name.clone(),
            state: self.state_of(instances),
            members: self.plan.members.clone(),
        }
    }
}

impl Instance {
    /// Obeys its group.
    pub(super) fn obey(&mut self, now: Time, order: Order) {
        match (order, self.state) {
            (Order::Fault, _) if !self.conditions.faults.is_empty() => self.fail(now),
            (Order::Fault, VrrpState::Init) => self.change(now, Event::StartFaulty, Reason::Group),
            (Order::Fault, _) => self.change(now, Event::GroupFault, Reason::Group),
            (Order::Wait, VrrpState::Init) => self.clean_up(),
            (Order::Start, VrrpState::Init) => self.begin(now),
            (Order::Start, VrrpState::Fault) => {
                self.change(now, Event::GroupBackup, Reason::Recovered);
            }
            (Order::StepBack(step), VrrpState::Master) => {
                self.change(now, Event::GroupBackup, Reason::Group);
                if step == StepBack::Robbed {
                    self.return_soon(now);
                }
            }
            (Order::Master, VrrpState::Backup) => {
                let reason = if self.ready { self.expiry.clone() } else { Reason::Group };
                self.change(now, Event::GroupMaster, reason);
            }
            (Order::Wait | Order::Start, VrrpState::Backup | VrrpState::Master)
            | (Order::Wait, VrrpState::Fault)
            | (Order::StepBack(_), VrrpState::Init | VrrpState::Backup | VrrpState::Fault)
            | (Order::Master, VrrpState::Init | VrrpState::Master | VrrpState::Fault) => {}
        }
        match order {
            Order::Fault | Order::StepBack(_) => self.stepped_back = StepBack::No,
            Order::Wait | Order::Start | Order::Master => {}
        }
    }
}
