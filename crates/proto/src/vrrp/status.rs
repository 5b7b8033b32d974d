//! What routers report of themselves.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::status::{InstanceStatus, SyncGroupStatus, TrackerStatus, VrrpState};
use model::units::Time;
use model::vrrp::{Family, Tracked, Version, VirtualAddress};

use super::faults::{Fault, Named};
use super::group::Group;
use super::instance::Instance;
use super::router::Router;

impl Router {
    /// All instances, for people, in file order.
    pub fn status(&self, now: Time) -> Vec<InstanceStatus> {
        self.instances.iter().map(|i| i.status(now, self.group_of(i))).collect()
    }

    /// All groups, in file order.
    pub fn group_status(&self) -> Vec<SyncGroupStatus> {
        self.groups.iter().map(|group| group.status(&self.instances)).collect()
    }

    /// Everything that is tracked but interfaces.
    pub fn tracker_status(&self) -> Vec<TrackerStatus> {
        let status =
            |(what, state): (&Tracked, &_)| TrackerStatus { what: what.clone(), state: *state };
        self.trackers.iter().map(status).collect()
    }

    fn group_of(&self, instance: &Instance) -> Option<&Group> {
        instance.group.and_then(|group| self.groups.get(group))
    }
}

impl Instance {
    fn status(&self, now: Time, group: Option<&Group>) -> InstanceStatus {
        let master = match self.state {
            VrrpState::Backup => self.heard,
            VrrpState::Init | VrrpState::Master | VrrpState::Fault => None,
        };
        let counters = &self.counters;
        let shown = |address: &VirtualAddress| {
            let interface = self.plan.interface_of(address);
            alloc::format!("{}/{} dev {interface}", address.address, address.prefix_len)
        };
        let rival = |(source, priority, heard)| (source, priority, now.since(heard).as_secs());
        InstanceStatus {
            name: self.plan.name.clone(),
            interface: self.plan.interface.clone(),
            virtual_router_id: self.plan.virtual_router_id.number(),
            state: self.state,
            state_seconds: now.since(self.since).as_secs(),
            priority: self.priority,
            master,
            addresses: self.plan.held_addresses().map(shown).collect(),
            adverts_sent: counters.sent,
            adverts_received: counters.received,
            adverts_discarded: counters.discarded,
            became_master: counters.became_master,
            released_master: counters.released_master,
            version: match self.plan.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            ipv6: self.plan.family == Family::Ipv6,
            base_priority: self.plan.priority.number(),
            group: group.map(|group| group.plan.name.clone()),
            zero_sent: counters.zero_sent,
            zero_received: counters.zero_received,
            errors: counters.errors,
            rivals: self.rival.count,
            last_rival: self.rival.last.map(rival),
            faults: self.hindrances(group),
        }
    }

    /// What keeps it in Fault or Init, in words.
    fn hindrances(&self, group: Option<&Group>) -> Vec<String> {
        match self.state {
            VrrpState::Backup | VrrpState::Master => return Vec::new(),
            VrrpState::Init | VrrpState::Fault => {}
        }
        let faults = self.conditions.faults.iter().map(Fault::to_string);
        let waiting = self.conditions.waiting.iter();
        let waiting = waiting.map(|what| alloc::format!("{} is not known yet", Named(what)));
        let mut all: Vec<String> = faults.chain(waiting).collect();
        if let (true, Some(group)) = (all.is_empty(), group) {
            all.push(Fault::Group(group.plan.name.clone()).to_string());
        }
        all
    }
}
