//! Interfaces that come, go and change, and what somebody took from us.

use std::io;

use edge::netlink::address::Assigned;
use edge::netlink::link::{Change, Link};
use edge::netlink::rule::RuleIdentity;
use edge::netlink::virtual_route::RouteIdentity;
use edge::netlink::{Message, RouteProtocol, link};
use model::vrrp::{Holding, VirtualRoute, VrrpInstance};

use super::changes::{Direction, Item, Thing};
use super::ours::Gone;
use super::{Kernel, sysctls};

/// The event groups whose messages [`Kernel::apply_events`] wants.
pub(in crate::roles::vrrp) const GROUPS: [u32; 7] = [
    link::GROUPS[0],
    link::GROUPS[1],
    link::GROUPS[2],
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_RULE,
];

/// What happened to the kernel without our doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::roles::vrrp) enum KernelChange {
    /// There is an interface of this name that was not there before, perhaps under the index of a
    /// former one: sockets bound to that one are dead.
    LinkAppeared(String),
    /// There is no interface of this name any more.
    LinkVanished(String),
    /// An interface became usable or stopped being so.
    LinkChanged(String),
    /// An interface has another Ethernet address.
    MacChanged(String),
    /// Somebody removed a virtual interface of ours that is in use, or set it down; it is back,
    /// with all that it had.
    LinkRestored(String),
    /// An interface got or lost an address that is not ours: adverts may come from another one.
    AddressesChanged(String),
    /// Somebody removed this, which is ours, and it is not back.
    Lost(Holding),
    /// Somebody removed this static address, route or rule; it is back.
    Restored(Holding),
    /// Putting something back failed, or making a virtual interface: for the administrator.
    Complaint(String),
}

impl Kernel {
    /// Takes over events, all that have arrived, and says what they mean: first what happened to
    /// interfaces, in order, then what was lost. Routes and addresses that an interface lost by
    /// being down or gone are put back when it is usable again.
    pub(in crate::roles::vrrp) fn apply_events(&mut self, events: &[Message]) -> Vec<KernelChange> {
        let mut told = Vec::new();
        let mut suspects = Vec::new();
        for event in events {
            self.apply_event(event, &mut told, &mut suspects);
        }
        let is_ready = |event: &Message| match event {
            Message::NewRoute(route) => route.header.protocol == RouteProtocol::Kernel,
            _ => false,
        };
        // A gateway may be within reach only now.
        if self.incomplete && events.iter().any(is_ready) {
            told.extend(self.put_back(|_| true).into_iter().map(KernelChange::Complaint));
        }
        self.follow_up(&mut told, suspects);
        told
    }

    /// Reads the interfaces anew, after events were lost, and says what changed.
    pub(in crate::roles::vrrp) fn reload(&mut self) -> io::Result<Vec<KernelChange>> {
        let changes = self.interfaces.reload(&mut self.requests)?;
        self.ours.addresses.expect_nothing();
        self.ours.routes.expect_nothing();
        self.ours.rules.expect_nothing();
        let mut told = Vec::new();
        let mut suspects = Vec::new();
        for change in changes {
            self.tell(change, &mut told, &mut suspects);
        }
        self.follow_up(&mut told, suspects);
        // Nobody tells of routes and rules that went meanwhile.
        told.extend(self.put_back(|_| true).into_iter().map(KernelChange::Complaint));
        Ok(told)
    }

    fn apply_event(
        &mut self,
        event: &Message,
        told: &mut Vec<KernelChange>,
        suspects: &mut Vec<Suspect>,
    ) {
        match event {
            Message::DelAddress(message) => {
                let Some(address) = Assigned::read(message) else { return };
                match self.ours.addresses.gone(&address) {
                    // It may be back since.
                    Gone::ByUs => {
                        let held = self.ours.addresses.holds(&address);
                        self.interfaces.note(address, held);
                    }
                    Gone::Lost | Gone::NotOurs => {
                        if let Some(change) = self.interfaces.apply(event) {
                            self.tell(change, told, suspects);
                        }
                    }
                }
            }
            Message::DelRoute(message) => {
                let Some(route) = RouteIdentity::read(message) else { return };
                if self.ours.routes.gone(&route) == Gone::Lost {
                    suspects.push(Suspect::Route(route));
                }
            }
            Message::NewRoute(message) => {
                let Some(route) = RouteIdentity::read(message) else { return };
                suspects.retain(|suspect| *suspect != Suspect::Route(route.clone()));
            }
            Message::DelRule(message) => {
                let Some(rule) = RuleIdentity::read(message) else { return };
                if self.ours.rules.gone(&rule) == Gone::Lost {
                    suspects.push(Suspect::Rule(rule));
                }
            }
            Message::NewRule(message) => {
                let Some(rule) = RuleIdentity::read(message) else { return };
                suspects.retain(|suspect| *suspect != Suspect::Rule(rule.clone()));
            }
            _ => {
                if let Some(change) = self.interfaces.apply(event) {
                    self.tell(change, told, suspects);
                }
            }
        }
    }

    fn tell(&mut self, change: Change, told: &mut Vec<KernelChange>, suspects: &mut Vec<Suspect>) {
        match change {
            Change::LinkAppeared(link) => told.push(KernelChange::LinkAppeared(link.name)),
            Change::LinkVanished(link) => {
                self.ours.addresses.forget(|address| address.interface == link.index);
                self.ready.remove(&link.index);
                told.push(KernelChange::LinkVanished(link.name));
            }
            Change::LinkChanged { before, now } => tell_changed(&before, now, told),
            Change::AddressGone(address) if self.ours.addresses.holds(&address) => {
                suspects.push(Suspect::Address(address));
            }
            Change::AddressAdded(address) if self.ours.addresses.holds(&address) => {}
            Change::AddressAdded(address) | Change::AddressGone(address) => {
                let Some(link) = self.interfaces.by_index(address.interface) else { return };
                let change = KernelChange::AddressesChanged(link.name.clone());
                if !told.contains(&change) {
                    told.push(change);
                }
            }
        }
    }

    /// What follows from what was told: things are put back on interfaces that are usable again,
    /// and what is gone for good is told.
    fn follow_up(&mut self, told: &mut Vec<KernelChange>, suspects: Vec<Suspect>) {
        if told.iter().any(|change| matches!(change, KernelChange::LinkAppeared(_))) {
            let mut complaints = self.make_missing_links();
            complaints.extend(self.sysctls.settle(&sysctls::wanted(&self.plan)));
            told.extend(complaints.into_iter().map(KernelChange::Complaint));
        }
        self.restore_virtual_links(told);
        let usable: Vec<String> = told
            .iter()
            .filter_map(|change| match change {
                KernelChange::LinkAppeared(name)
                | KernelChange::LinkChanged(name)
                | KernelChange::AddressesChanged(name) => Some(name),
                _ => None,
            })
            .filter(|name| self.interfaces.link(name).is_some_and(|link| link.usable))
            .cloned()
            .collect();
        if !usable.is_empty() {
            let complaints = self.put_back(|name| usable.iter().any(|one| one == name));
            told.extend(complaints.into_iter().map(KernelChange::Complaint));
        }
        for suspect in suspects {
            self.tell_lost(&suspect, told);
        }
    }

    /// Makes the virtual interfaces anew that somebody removed, and sets up those that are in use
    /// and that somebody set down.
    fn restore_virtual_links(&mut self, told: &mut Vec<KernelChange>) {
        let mut lost = Vec::new();
        for change in told.iter() {
            let (KernelChange::LinkVanished(name) | KernelChange::LinkChanged(name)) = change
            else {
                continue;
            };
            let is_down = self.interfaces.link(name).is_none_or(|link| !link.up);
            if is_down && self.wants_virtual_link(name) && !lost.contains(name) {
                lost.push(name.clone());
            }
        }
        if lost.is_empty() {
            return;
        }
        let mut complaints = self.make_missing_links();
        lost.retain(|name| self.interfaces.link(name).is_some() && self.is_in_use(name));
        if !lost.is_empty() {
            complaints.extend(self.put_back(|name| lost.iter().any(|one| one == name)));
        }
        told.extend(lost.into_iter().map(KernelChange::LinkRestored));
        told.extend(complaints.into_iter().map(KernelChange::Complaint));
    }

    /// Puts back what should be on the interfaces that `is_meant` names, static and held.
    fn put_back(&mut self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let plan = std::mem::take(&mut self.plan);
        let statics = plan.statics.iter().map(Item::fixed);
        let held: Vec<&VrrpInstance> =
            plan.instances.iter().filter(|plan| self.holding.contains(&plan.name)).collect();
        let items: Vec<Item<'_>> = statics
            .chain(super::everything(&held))
            .filter(|item| match item.thing {
                Thing::Link(name) | Thing::Address(name, _) => is_meant(name),
                Thing::Route(route) => uses(route, &is_meant),
                Thing::Rule(_) => true,
            })
            .collect();
        let complaints = self.change(Direction::Place, &items);
        self.incomplete = !complaints.is_empty();
        self.plan = plan;
        complaints
    }

    fn tell_lost(&mut self, suspect: &Suspect, told: &mut Vec<KernelChange>) {
        if let Suspect::Address(address) = suspect {
            // It is back, or went with its interface and comes back with it.
            let is_up = self.interfaces.by_index(address.interface).is_some_and(|link| link.up);
            if self.interfaces.has(*address) || !is_up {
                return;
            }
        }
        let plan = std::mem::take(&mut self.plan);
        let fixed = plan.statics.iter().find(|one| self.is(suspect, Item::fixed(one)));
        match fixed {
            None => {}
            Some(fixed) if !fixed.is_tracked() => {}
            // It comes back with its interface.
            Some(Holding::Route(route)) if !self.can_be(route) => {}
            Some(fixed) => {
                let complaints = self.change(Direction::Place, &[Item::fixed(fixed)]);
                told.push(match complaints.is_empty() {
                    true => KernelChange::Restored(fixed.clone()),
                    false => KernelChange::Lost(fixed.clone()),
                });
                told.extend(complaints.into_iter().map(KernelChange::Complaint));
            }
        }
        for instance in plan.instances.iter().filter(|one| self.holding.contains(&one.name)) {
            told.extend(self.lost_of(suspect, instance).map(KernelChange::Lost));
        }
        self.plan = plan;
    }

    fn lost_of(&self, suspect: &Suspect, plan: &VrrpInstance) -> Option<Holding> {
        let is_it = |thing| self.is(suspect, Item { whom: &plan.name, thing });
        match suspect {
            Suspect::Address(_) => plan
                .held_addresses()
                .find(|one| is_it(Thing::Address(plan.interface_of(one), one)))
                .map(|one| Holding::Address(one.clone())),
            Suspect::Route(_) => plan
                .routes
                .iter()
                // What went with its interface comes back with it.
                .find(|one| is_it(Thing::Route(one)) && self.can_be(one))
                .map(|one| Holding::Route(one.clone())),
            Suspect::Rule(_) => plan
                .rules
                .iter()
                .find(|one| is_it(Thing::Rule(one)))
                .map(|one| Holding::Rule(one.clone())),
        }
    }

    /// The interfaces of a route are up.
    fn can_be(&self, route: &VirtualRoute) -> bool {
        let mut names = route.next_hops.iter().filter_map(|way| way.interface.as_deref());
        names.all(|name| self.interfaces.link(name).is_some_and(|link| link.up))
    }

    fn is(&self, suspect: &Suspect, item: Item<'_>) -> bool {
        match (suspect, item.thing) {
            (Suspect::Address(gone), Thing::Address(name, address)) => self
                .interfaces
                .link(name)
                .is_some_and(|link| Assigned::of(link.index, address) == *gone),
            (Suspect::Route(gone), Thing::Route(route)) => RouteIdentity::of(route) == *gone,
            (Suspect::Rule(gone), Thing::Rule(rule)) => RuleIdentity::of(rule) == *gone,
            (Suspect::Address(_) | Suspect::Route(_) | Suspect::Rule(_), _) => false,
        }
    }
}

/// Something of ours that an event says is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Suspect {
    Address(Assigned),
    Route(RouteIdentity),
    Rule(RuleIdentity),
}

fn tell_changed(before: &Link, now: Link, told: &mut Vec<KernelChange>) {
    if before.name != now.name {
        told.push(KernelChange::LinkVanished(before.name.clone()));
        told.push(KernelChange::LinkAppeared(now.name));
        return;
    }
    if before.mac != now.mac {
        told.push(KernelChange::MacChanged(now.name.clone()));
    }
    if before.usable != now.usable {
        told.push(KernelChange::LinkChanged(now.name));
    }
}

/// Whether a route may have gone with one of these interfaces: it names one, or does not say
/// which it takes.
fn uses(route: &VirtualRoute, is_meant: &impl Fn(&str) -> bool) -> bool {
    let named = route.next_hops.iter().filter_map(|way| way.interface.as_deref());
    let all_named = route.next_hops.iter().all(|way| way.interface.is_some());
    !all_named || named.into_iter().any(is_meant)
}
