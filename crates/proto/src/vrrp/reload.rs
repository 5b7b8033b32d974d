//! A changed configuration of a running instance: nothing happens that the change does not ask
//! for.

use alloc::sync::Arc;

use model::status::VrrpState;
use model::units::Time;
use model::vrrp::VrrpInstance;

use super::difference::Missing;
use super::instance::{Instance, after};
use super::output::{Announced, Output, Subject, Task};

impl Instance {
    /// Whether `plan` is this virtual router in another configuration, or another one: as in
    /// Keepalived the network decides, and a new name is no new router.
    pub(super) fn is_same_router(&self, plan: &VrrpInstance) -> bool {
        self.plan.virtual_router_id == plan.virtual_router_id
            && self.plan.family == plan.family
            && self.plan.routed == plan.routed
            && self.plan.interface == plan.interface
    }

    /// Takes over another configuration of the same virtual router. The state stays; addresses,
    /// routes and rules are added and removed by difference; timers change where their intervals
    /// did. The priority follows by [`assess`](Self::assess).
    pub(super) fn reconfigure(&mut self, now: Time, plan: &Arc<VrrpInstance>) {
        if self.plan == *plan {
            return;
        }
        let old = core::mem::replace(&mut self.plan, plan.clone());
        let retimed = timing(&old) != timing(plan);
        if retimed {
            self.master_interval = self.interval();
        }
        match self.state {
            VrrpState::Init | VrrpState::Fault => {}
            VrrpState::Backup if retimed && self.timer != Time::NEVER => self.await_master(now),
            VrrpState::Backup => {}
            VrrpState::Master => self.reconfigure_master(now, &old),
        }
    }

    fn reconfigure_master(&mut self, now: Time, old: &Arc<VrrpInstance>) {
        let plan = self.plan.clone();
        if old.link == plan.link {
            self.move_difference(old);
        } else {
            // Everything goes to other interfaces.
            self.say_for(old, Output::Release);
            self.say(Output::Hold);
            self.announce(Announced::All, plan.garp.repeat);
        }
        if (old.accept, old.promote_secondaries) != (plan.accept, plan.promote_secondaries) {
            self.say(Output::Hold);
        }
        if old.garp.refresh != plan.garp.refresh {
            self.bursts.refresh = after(now, plan.garp.refresh);
        }
        if old.garp.extra != plan.garp.extra {
            let extra = plan.garp.extra;
            self.bursts.extra = extra.map_or(Time::NEVER, |extra| after(now, extra.interval));
        }
        // The backups hear of it at once, before they disagree for an interval.
        self.untold |= is_told_otherwise(old, &plan);
    }

    fn move_difference(&mut self, old: &Arc<VrrpInstance>) {
        let plan = self.plan.clone();
        let removed = Missing::of(old, &plan).holdings();
        if !removed.is_empty() {
            self.say_for(old, Output::Remove(removed));
        }
        let added = Missing::of(&plan, old);
        let addresses = added.addresses.clone();
        let holdings = added.holdings();
        if !holdings.is_empty() {
            self.say(Output::Add(holdings));
        }
        if !addresses.is_empty() {
            self.announce(Announced::These(addresses), plan.garp.repeat);
        }
    }

    fn say_for(&mut self, plan: &Arc<VrrpInstance>, output: Output) {
        self.outputs.push_back(Task { subject: Subject::Instance(plan.clone()), output });
    }
}

fn timing(plan: &VrrpInstance) -> impl PartialEq {
    (plan.advert_interval, plan.version, plan.down_timer_adverts)
}

/// Whether adverts look otherwise, or go elsewhere.
fn is_told_otherwise(old: &VrrpInstance, new: &VrrpInstance) -> bool {
    let addresses = |plan: &VrrpInstance| plan.addresses.len();
    let listed = |plan: &VrrpInstance, n: usize| plan.addresses[n].address;
    old.advert_interval != new.advert_interval
        || old.version != new.version
        || old.authentication != new.authentication
        || old.destination != new.destination
        || old.source != new.source
        || old.v3_checksum != new.v3_checksum
        || old.old_unicast_checksum != new.old_unicast_checksum
        || addresses(old) != addresses(new)
        || (0..addresses(old)).any(|n| listed(old, n) != listed(new, n))
}
