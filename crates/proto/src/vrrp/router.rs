//! All virtual routers of this machine, and the groups that change state together.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::control::TrackerState;
use model::status::{InstanceStatus, VrrpState};
use model::units::Time;
use model::vrrp::{Holding, SyncGroup, Tracked, VrrpInstance, VrrpPlan};

use super::instance::Instance;
use super::output::{LinkState, Output, Subject, Surroundings, Task};
use super::packet::{self, Discard, Received};
use super::transition::Event;

/// Every virtual router of this machine.
#[derive(Debug, Default)]
pub struct Router {
    instances: Vec<Instance>,
    groups: Vec<SyncGroup>,
    tasks: VecDeque<Task>,
}

impl Router {
    /// Takes over a configuration: new instances start, missing ones stop, others change.
    pub fn configure(&mut self, now: Time, plan: &VrrpPlan, surroundings: &dyn Surroundings) {
        let mut former = core::mem::take(&mut self.instances);
        for new in &plan.instances {
            let grouped = plan.sync_groups.iter().any(|group| group.members.contains(&new.name));
            let place = former.iter().position(|instance| instance.is_same_router(new));
            let mut instance = match place {
                Some(place) => former.swap_remove(place),
                None => Instance::new(Arc::new(new.clone()), grouped),
            };
            instance.regroup(now, grouped);
            if place.is_some() {
                instance.reconfigure(now, &Arc::new(new.clone()));
            }
            self.instances.push(instance);
        }
        for mut gone in former {
            gone.handle_stop(now);
            self.drain(&mut gone);
        }
        for place in 0..self.instances.len() {
            let instance = &mut self.instances[place];
            if instance.state() == VrrpState::Init {
                let plan = instance.plan().clone();
                let link = surroundings.link(&plan.interface);
                instance.handle_start(now, link, surroundings.resumes(&plan));
            }
        }
        self.groups = plan.sync_groups.clone();
        self.settle(now);
        self.remove_before_adding();
    }

    /// An interface changed.
    pub fn handle_link(&mut self, now: Time, interface: &str, link: LinkState) {
        for instance in self.instances.iter_mut().filter(|i| i.plan.interface == interface) {
            instance.handle_link(now, link);
        }
        self.settle(now);
    }

    /// An advert arrived on an interface. Of a virtual router that is not ours it is nothing;
    /// the error comes with the instance that would have been meant.
    pub fn handle_advert(
        &mut self,
        now: Time,
        interface: &str,
        received: &Received<'_>,
    ) -> Result<(), (Arc<VrrpInstance>, Discard)> {
        let Some(id) = packet::addressee(received) else { return Ok(()) };
        let ours = |i: &&mut Instance| {
            i.plan.interface == interface && i.plan.virtual_router_id.number() == id
        };
        let Some(instance) = self.instances.iter_mut().find(ours) else { return Ok(()) };
        let result = instance.handle_advert(now, received);
        let result = result.map_err(|discard| (instance.plan.clone(), discard));
        self.settle(now);
        result
    }

    /// A script, file, process or BFD session changed. Interfaces are told by
    /// [`handle_link`](Self::handle_link).
    pub fn handle_tracker(&mut self, now: Time, what: &Tracked, state: TrackerState) {
        let _ = (now, what, state);
    }

    /// An address came to this machine or left it (`track_src_ip`).
    pub fn handle_source(&mut self, now: Time, address: IpAddr, present: bool) {
        let _ = (now, address, present);
    }

    /// Somebody removed what a master holds, or something static, and it cannot be put back.
    pub fn handle_lost(&mut self, now: Time, holding: &Holding) {
        let _ = (now, holding);
    }

    /// What was lost is in place again.
    pub fn handle_restored(&mut self, now: Time, holding: &Holding) {
        let _ = (now, holding);
    }

    /// Time passed: does all that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        for instance in self.instances.iter_mut().filter(|i| i.next_deadline() <= now) {
            instance.handle_timeout(now);
        }
        self.settle(now);
    }

    /// Stops every instance.
    pub fn handle_stop(&mut self, now: Time) {
        for instance in &mut self.instances {
            instance.handle_stop(now);
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn next_deadline(&self) -> Time {
        self.instances.iter().map(Instance::next_deadline).min().unwrap_or(Time::NEVER)
    }

    /// The instances, in file order.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// All of them, for people.
    pub fn status(&self, now: Time) -> Vec<InstanceStatus> {
        self.instances.iter().map(|instance| instance.status(now)).collect()
    }

    /// Lets groups follow their members, then collects what is to be done.
    fn settle(&mut self, now: Time) {
        for group in &self.groups {
            settle_group(now, &mut self.instances, group);
        }
        for place in 0..self.instances.len() {
            let Router { instances, tasks, .. } = self;
            let instance = &mut instances[place];
            while let Some(output) = instance.poll_output() {
                let subject = Subject::Instance(instance.plan.clone());
                tasks.push_back(Task { subject, output });
            }
        }
    }

    fn drain(&mut self, instance: &mut Instance) {
        while let Some(output) = instance.poll_output() {
            let subject = Subject::Instance(instance.plan.clone());
            self.tasks.push_back(Task { subject, output });
        }
    }

    /// An address that a reload moves from one master to another must not be removed last.
    fn remove_before_adding(&mut self) {
        let adds = |task: &Task| !matches!(task.output, Output::Remove(_) | Output::Release);
        self.tasks.make_contiguous().sort_by_key(adds);
    }
}

/// The rules of a group, in this order: with one member's interface down all are faulty; when it
/// is up again all are backup; when one stepped back all do; where one is master all are; and
/// when the master-down timer of every member has expired they become master together. (One that
/// still hears a better master would only be thrown back, and its group with it.)
fn settle_group(now: Time, instances: &mut [Instance], group: &SyncGroup) {
    let is_member = |i: &&mut Instance| group.members.contains(&i.plan.name);
    let mut members: Vec<&mut Instance> =
        instances.iter_mut().filter(is_member).filter(|i| i.state != VrrpState::Init).collect();
    let in_state = |members: &[&mut Instance], state| members.iter().any(|i| i.state == state);
    let event = if members.iter().any(|i| i.link.is_none()) {
        Event::GroupFault
    } else if in_state(&members, VrrpState::Fault) || members.iter().any(|i| i.stepped_back) {
        Event::GroupBackup
    } else if in_state(&members, VrrpState::Master) || members.iter().all(|i| i.ready) {
        Event::GroupMaster
    } else {
        return;
    };
    for member in &mut members {
        member.handle_group(now, event);
        member.stepped_back = false;
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
