//! A changed configuration of a running instance: nothing happens that the change does not ask
//! for.

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::status::VrrpState;
use model::units::Time;
use model::vrrp::{Holding, VirtualAddress, VrrpInstance};

use super::instance::{Instance, after};
use super::output::{Announced, Output};

impl Instance {
    /// Whether `plan` is this virtual router in another configuration, or another one.
    pub fn is_same_router(&self, plan: &VrrpInstance) -> bool {
        self.plan.name == plan.name
            && self.plan.interface == plan.interface
            && self.plan.virtual_router_id == plan.virtual_router_id
    }

    /// Takes over another configuration of the same virtual router. The state stays; addresses
    /// are added and removed by difference; timers change where their intervals did.
    pub fn reconfigure(&mut self, now: Time, plan: &Arc<VrrpInstance>) {
        if self.plan == *plan {
            return;
        }
        let old = core::mem::replace(&mut self.plan, plan.clone());
        match self.state {
            VrrpState::Init | VrrpState::Fault => {}
            VrrpState::Backup => {
                let timing = |plan: &VrrpInstance| (plan.advert_interval, plan.priority);
                if timing(&old) != timing(plan) {
                    self.await_master(now);
                }
                if self.owner() && old.priority != plan.priority {
                    self.timer = now;
                }
            }
            VrrpState::Master => self.reconfigure_master(now, &old),
        }
    }

    fn reconfigure_master(&mut self, now: Time, old: &VrrpInstance) {
        let plan = self.plan.clone();
        let removed = missing(old, &plan);
        if !removed.is_empty() {
            self.outputs
                .push_back(Output::Remove(removed.into_iter().map(Holding::Address).collect()));
        }
        let added = missing(&plan, old);
        if !added.is_empty() {
            let holdings = added.iter().cloned().map(Holding::Address).collect();
            self.outputs.push_back(Output::Add(holdings));
            self.announce(Announced::These(added), plan.garp.repeat);
        }
        if old.garp != plan.garp {
            self.refresh = after(now, plan.garp.refresh);
        }
        // The backups hear of it at once, before they disagree for an interval.
        let told = |plan: &VrrpInstance| {
            (plan.priority, plan.advert_interval, plan.authentication.clone(), plan.source)
        };
        if told(old) != told(&plan) || old.addresses != plan.addresses {
            self.send(now);
        }
    }
}

/// The addresses of `a` that `b` does not have.
fn missing(a: &VrrpInstance, b: &VrrpInstance) -> Vec<VirtualAddress> {
    fn all(plan: &VrrpInstance) -> impl Iterator<Item = &VirtualAddress> {
        plan.addresses.iter().chain(&plan.excluded_addresses)
    }
    all(a).filter(|address| !all(b).any(|other| other == *address)).cloned().collect()
}
