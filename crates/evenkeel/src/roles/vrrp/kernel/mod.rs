//! What the role changes in the kernel, and what it notices there.
//!
//! - [`changes`]: addresses, routes and rules, put in place and taken away in batches;
//! - [`events`]: interfaces that come, go and change, and what somebody took from us;
//! - [`ours`]: what we hold, so that the end of it by our own hand is no loss;
//! - [`virtual_link`]: interfaces with a virtual MAC address;
//! - [`sysctls`]: kernel parameters, and what they were before;
//! - [`firewall`]: what is dropped for `no_accept`;
//! - [`gates`]: which addresses layer 4 answers for.

mod changes;
mod events;
mod firewall;
mod gates;
mod ours;
mod sysctls;
#[cfg(test)]
mod tests;
mod virtual_link;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use edge::gate::Gate;
use edge::netlink::Socket;
use edge::netlink::address::Assigned;
use edge::netlink::batch::Batch;
use edge::netlink::link::Interfaces;
use model::vrrp::{Holding, VirtualAddress, VrrpInstance, VrrpPlan};

use changes::Thing;
use firewall::Firewall;
use ours::Ours;
use sysctls::Sysctls;

pub(super) use changes::{Direction, Item};
pub(super) use events::{GROUPS, KernelChange};

/// Everything of the kernel that this role works on. Methods that change it do as much as they
/// can, and return one line for each thing that failed.
pub(super) struct Kernel {
    requests: Socket,
    batch: Batch,
    /// The interfaces, as last told by events.
    pub(super) interfaces: Interfaces,
    /// Absent where BPF is not available.
    pub(super) gate: Option<Gate>,
    plan: VrrpPlan,
    /// Names of the instances whose addresses, routes and rules are in place.
    holding: BTreeSet<String>,
    ours: Ours,
    sysctls: Sysctls,
    firewall: Firewall,
    /// Not everything that an interface lost could be put back yet.
    incomplete: bool,
    /// Indices of the virtual interfaces that lack nothing.
    ready: BTreeSet<u32>,
    /// Addresses that have a gate.
    gated: HashSet<IpAddr>,
}

impl Kernel {
    /// Reads the interfaces. To miss nothing, subscribe to [`GROUPS`] on another socket before.
    pub(super) fn open() -> io::Result<Kernel> {
        let mut kernel = Kernel::vacant()?;
        kernel.interfaces = Interfaces::load(&mut kernel.requests)?;
        Ok(kernel)
    }

    /// One that knows nothing, to stand in where the real one is at work elsewhere.
    pub(super) fn vacant() -> io::Result<Kernel> {
        Ok(Kernel {
            requests: Socket::open()?,
            batch: Batch::new(),
            interfaces: Interfaces::default(),
            gate: None,
            plan: VrrpPlan::default(),
            holding: BTreeSet::new(),
            ours: Ours::default(),
            sysctls: Sysctls::default(),
            firewall: Firewall::default(),
            incomplete: false,
            ready: BTreeSet::new(),
            gated: HashSet::new(),
        })
    }

    /// Keeps in the supervisor's memory what kernel parameters were before we changed them, and
    /// takes over what a killed predecessor kept there.
    pub(super) fn remember_in(&mut self, memory: OwnedFd) {
        self.sysctls.remember_in(memory);
    }

    /// Makes the machine ready for a configuration, changing only what differs from the one
    /// before: virtual interfaces, kernel parameters, firewall rules, static addresses, routes and rules. What a killed predecessor left is adopted.
    /// Before the router takes the configuration over; [`tidy`](Self::tidy) after that.
    pub(super) fn prepare(&mut self, plan: &VrrpPlan) -> Vec<String> {
        let former = std::mem::replace(&mut self.plan, plan.clone());
        self.renew_gates();
        let gone = former.statics.iter().filter(|holding| !plan.statics.contains(holding));
        let gone: Vec<Item<'_>> = gone.map(Item::fixed).collect();
        let mut complaints = self.change(Direction::Take, &gone);
        complaints.extend(self.renew_virtual_links(&former));
        complaints.extend(self.sysctls.settle(&sysctls::wanted(plan)));
        complaints.extend(self.firewall.settle(plan));
        let wanted: Vec<Item<'_>> = plan.statics.iter().map(Item::fixed).collect();
        complaints.extend(self.change(Direction::Place, &wanted));
        complaints
    }

    /// Removes the virtual interfaces of a former configuration that nobody wants any more, once
    /// their instances have said goodbye by them.
    pub(super) fn tidy(&mut self, former: &VrrpPlan) -> Vec<String> {
        self.delete_unwanted_links(former)
    }

    /// Takes everything of these instances away: their virtual interfaces go down, then rules,
    /// routes and addresses go. What is not there is no complaint. Their gates close first.
    pub(super) fn release(&mut self, instances: &[&VrrpInstance]) -> Vec<String> {
        instances.iter().for_each(|plan| self.begin_release(plan));
        let mut complaints: Vec<String> =
            instances.iter().flat_map(|plan| self.take_down(plan)).collect();
        complaints.extend(self.change(Direction::Take, &everything_to_take(instances)));
        complaints
    }

    /// Takes the virtual interfaces of an instance down. Before its addresses go: one that is up
    /// tells the link by its MAC address that it leaves the groups of each address, when another
    /// master may have that MAC address already.
    pub(super) fn take_down(&mut self, plan: &VrrpInstance) -> Vec<String> {
        let link = |name| Item { whom: &plan.name, thing: Thing::Link(name) };
        let links: Vec<Item<'_>> = changes::virtual_links(plan).map(link).collect();
        self.change(Direction::Take, &links)
    }

    /// An instance is to hold: its gates open. Then [`everything`] of it is to be put in place by
    /// [`change`](Self::change), perhaps piece by piece.
    pub(super) fn begin_hold(&mut self, plan: &VrrpInstance) {
        plan.held_addresses().for_each(|address| self.set_gate(address.address, true));
        if !self.holding.contains(&plan.name) {
            self.holding.insert(plan.name.clone());
        }
    }

    /// An instance holds no longer: its gates close. Then its virtual interfaces go
    /// [down](Self::take_down), and [`everything_to_take`] of it is to be taken away.
    pub(super) fn begin_release(&mut self, plan: &VrrpInstance) {
        plan.held_addresses().for_each(|address| self.close_gate(address.address));
        self.holding.remove(&plan.name);
    }

    /// Who holds, by name: after a configuration that gave some a new one.
    pub(super) fn know_holders(&mut self, names: BTreeSet<String>) {
        self.holding = names;
    }

    /// Opens the gates for more that an instance is to hold, and returns what is to be put in
    /// place.
    pub(super) fn begin_add<'a>(
        &mut self,
        plan: &'a VrrpInstance,
        holdings: &'a [Holding],
    ) -> Vec<Item<'a>> {
        let mut items: Vec<Item<'a>> = holdings.iter().map(|one| Item::of(plan, one)).collect();
        // Routes from an address went with it, and nobody is told.
        for address in holdings.iter().filter_map(as_address) {
            self.set_gate(address.address, true);
            let from_it = plan.routes.iter().filter(|r| r.source == Some(address.address));
            items
                .extend(from_it.map(|route| Item { whom: &plan.name, thing: Thing::Route(route) }));
        }
        items
    }

    /// Closes the gates of what an instance is not to hold any more, and returns what is to be
    /// taken away.
    pub(super) fn begin_remove<'a>(
        &mut self,
        plan: &'a VrrpInstance,
        holdings: &'a [Holding],
    ) -> Vec<Item<'a>> {
        for address in holdings.iter().filter_map(as_address) {
            self.close_gate(address.address);
        }
        holdings.iter().rev().map(|holding| Item::of(plan, holding)).collect()
    }

    /// Whether an address is on its interface.
    pub(super) fn has(&self, plan: &VrrpInstance, address: &VirtualAddress) -> bool {
        let link = self.interfaces.link(plan.interface_of(address));
        link.is_some_and(|link| self.interfaces.has(Assigned::of(link.index, address)))
    }

    /// Whether all addresses of an instance are in place.
    pub(super) fn holds(&self, plan: &VrrpInstance) -> bool {
        plan.held_addresses().all(|address| self.has(plan, address))
    }

    /// Takes over what a role that died may have left of this configuration, so that
    /// [`finish`](Self::finish) removes all of it.
    pub(super) fn adopt(&mut self, plan: &VrrpPlan) {
        self.plan = plan.clone();
        self.holding = plan.instances.iter().map(|instance| instance.name.clone()).collect();
    }

    /// Takes away everything of a configuration that is not of another one as well.
    pub(super) fn sweep(&mut self, former: &VrrpPlan, next: &VrrpPlan) -> Vec<String> {
        fn all(plan: &VrrpPlan) -> Vec<Item<'_>> {
            let instances: Vec<&VrrpInstance> = plan.instances.iter().collect();
            let statics = plan.statics.iter().map(Item::fixed);
            statics.chain(everything(&instances)).collect()
        }
        let kept = all(next);
        let mut gone = all(former);
        gone.retain(|one| kept.iter().all(|kept| kept.thing != one.thing));
        gone.reverse();
        self.change(Direction::Take, &gone)
    }

    /// Puts the machine back as it was: nothing of ours stays. At the end of the role.
    pub(super) fn finish(&mut self) -> Vec<String> {
        let plan = std::mem::take(&mut self.plan);
        let holding = std::mem::take(&mut self.holding);
        let held: Vec<&VrrpInstance> =
            plan.instances.iter().filter(|plan| holding.contains(&plan.name)).collect();
        let mut complaints = self.release(&held);
        let statics: Vec<Item<'_>> = plan.statics.iter().rev().map(Item::fixed).collect();
        complaints.extend(self.change(Direction::Take, &statics));
        complaints.extend(self.delete_virtual_links(&plan));
        complaints.extend(self.sysctls.settle(&BTreeMap::new()));
        complaints.extend(self.firewall.finish(&plan));
        complaints
    }

    /// The address that adverts over IPv4 on an interface come from: its first one that is no
    /// virtual address. It stays while the interface is down.
    pub(super) fn source(&self, name: &str, plan: &VrrpPlan) -> Option<Ipv4Addr> {
        let link = self.interfaces.link(name)?;
        let moving: BTreeSet<(IpAddr, u8)> = plan
            .instances
            .iter()
            // The addresses of their owner are its own.
            .filter(|instance| instance.priority.number() < 255)
            .flat_map(VrrpInstance::held_addresses)
            .map(|address| (address.address, address.prefix_len))
            .collect();
        let own = |(ip, prefix): &(Ipv4Addr, u8)| !moving.contains(&(IpAddr::V4(*ip), *prefix));
        self.interfaces.ipv4(link.index).find(own).map(|(address, _)| address)
    }

    /// The address that adverts over IPv6 on an interface come from: its first link-local one
    /// that is no virtual address and that duplicate address detection let pass. The kernel
    /// takes it away from an interface that is set down.
    pub(super) fn source6(&self, name: &str, plan: &VrrpPlan) -> Option<Ipv6Addr> {
        let link = self.interfaces.link(name)?;
        let moving: BTreeSet<IpAddr> = plan
            .instances
            .iter()
            .filter(|instance| instance.priority.number() < 255)
            .flat_map(VrrpInstance::held_addresses)
            .map(|address| address.address)
            .collect();
        let mut own = self.interfaces.ipv6(link.index).map(|(address, _)| address);
        own.find(|ip| ip.is_unicast_link_local() && !moving.contains(&IpAddr::V6(*ip)))
    }
}

fn as_address(holding: &Holding) -> Option<&VirtualAddress> {
    match holding {
        Holding::Address(address) => Some(address),
        Holding::Route(_) | Holding::Rule(_) => None,
    }
}

/// Everything of some instances, in the order in which it is put in place.
pub(super) fn everything<'a>(instances: &[&'a VrrpInstance]) -> Vec<Item<'a>> {
    let mut things = Vec::new();
    let mut each = |things_of: fn(&'a VrrpInstance, &mut Vec<Thing<'a>>)| {
        let mut list = Vec::new();
        for plan in instances {
            things_of(plan, &mut list);
            things.extend(list.drain(..).map(|thing| Item { whom: &plan.name, thing }));
        }
    };
    each(|plan, list| list.extend(changes::virtual_links(plan).map(Thing::Link)));
    each(|plan, list| {
        list.extend(plan.held_addresses().map(|a| Thing::Address(plan.interface_of(a), a)));
    });
    each(|plan, list| list.extend(plan.routes.iter().map(Thing::Route)));
    each(|plan, list| list.extend(plan.rules.iter().map(Thing::Rule)));
    things
}

/// The same in the order in which it is taken away, but for the virtual interfaces, which went
/// [down](Kernel::take_down) before.
pub(super) fn everything_to_take<'a>(instances: &[&'a VrrpInstance]) -> Vec<Item<'a>> {
    let mut items = everything(instances);
    items.retain(|item| !matches!(item.thing, Thing::Link(_)));
    items.reverse();
    items
}

/// Whether an instance has interfaces that are up only while it holds.
pub(super) fn has_virtual_links(plan: &VrrpInstance) -> bool {
    changes::virtual_links(plan).next().is_some()
}

/// All addresses that an instance holds as master.
pub(super) fn addresses(plan: &VrrpInstance) -> impl Iterator<Item = &VirtualAddress> {
    plan.held_addresses()
}
