//! What happens to the interfaces: they come, go, change, and lose addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use edge::clock;
use model::control::Event;
use model::status::VrrpState;
use model::vrrp::{Holding, Tracked, VirtualRoute, VrrpInstance, VrrpPlan};
use proto::vrrp::{Announced, LinkState, way_out};

use super::{Driver, STATIONS};
use crate::roles::vrrp::kernel::{Direction, KernelChange, addresses};

impl Driver {
    pub(super) fn follow_interfaces(&mut self) -> io::Result<()> {
        match self.events.receive() {
            Ok(events) => {
                let changes = self.kernel.apply_events(&events);
                self.follow(changes);
            }
            // Events were lost: what they said is read anew.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.reread_interfaces(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads the interfaces anew; where that fails, the old picture serves until the next try.
    pub(super) fn reread_interfaces(&mut self) {
        match self.kernel.reload() {
            Ok(changes) => {
                self.stale = false;
                self.follow(changes);
            }
            Err(error) => {
                self.stale = true;
                self.supervisor.warn(format!("the interfaces could not be read anew: {error}"));
            }
        }
    }

    fn follow(&mut self, changes: Vec<KernelChange>) {
        let mut links = false;
        for change in changes {
            match change {
                KernelChange::LinkAppeared(_)
                | KernelChange::LinkVanished(_)
                | KernelChange::LinkChanged(_)
                | KernelChange::AddressesChanged(_) => links = true,
                KernelChange::MacChanged(name) => self.announce_moved(&name),
                KernelChange::LinkRestored(name) => {
                    links = true;
                    let text = format!("interface {name} was taken away or set down; put back");
                    self.supervisor.tell(Event::Log { severity: 4, text });
                    self.announce_moved(&name);
                }
                KernelChange::Lost(holding) => self.put_back(&holding),
                KernelChange::Restored(holding) => {
                    let text = format!("static: {} was removed; put back", named(&holding));
                    self.supervisor.tell(Event::Log { severity: 4, text });
                    self.router.handle_restored(clock::now(), &holding);
                }
                KernelChange::Complaint(text) => self.supervisor.warn(text),
            }
            self.be_punctual();
        }
        if links {
            self.tell_links();
        }
        self.collect();
    }

    /// What the masters hold, by their plans.
    pub(super) fn masters(&self) -> Vec<Arc<VrrpInstance>> {
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        masters.map(|instance| instance.plan().clone()).collect()
    }

    /// Tells the link where the addresses are of an interface that got another Ethernet address.
    fn announce_moved(&mut self, name: &str) {
        for plan in self.masters() {
            let of_it = |address: &&_| plan.interface_of(address) == name;
            let list: Vec<_> = addresses(&plan).filter(of_it).cloned().collect();
            self.announce(&plan, &Announced::These(list), plan.garp.repeat);
        }
    }

    /// Puts back what somebody else took from a master. What cannot be put back is lost, and so
    /// is what somebody takes again and again: then another one shall be master, if there is one.
    fn put_back(&mut self, holding: &Holding) {
        let now = clock::now();
        let owner = self.masters().into_iter().find(|plan| holds(plan, holding));
        let Some(plan) = owner else {
            self.router.handle_lost(now, holding);
            return;
        };
        if !holding.is_tracked() {
            return;
        }
        if !self.repairs.may_repair(now, holding) {
            let text = format!("{}: {} was removed again", plan.name, named(holding));
            self.supervisor.tell(Event::Log { severity: 4, text });
            self.router.handle_lost(now, holding);
            return;
        }
        let items = self.kernel.begin_add(&plan, std::slice::from_ref(holding));
        let complaints = self.kernel.change(Direction::Place, &items);
        if !complaints.is_empty() {
            complaints.into_iter().for_each(|text| self.supervisor.warn(text));
            self.router.handle_lost(now, holding);
            return;
        }
        let text = format!("{}: {} was removed; put back", plan.name, named(holding));
        self.supervisor.tell(Event::Log { severity: 4, text });
        if let Holding::Address(address) = holding {
            let list = vec![address.clone()];
            self.announce(&plan, &Announced::These(list), plan.garp.repeat);
        }
    }

    /// Tells the router which interfaces became usable or stopped being so.
    fn tell_links(&mut self) {
        self.renew_stations();
        let now = clock::now();
        for (name, link) in self.current_links() {
            if self.links.get(&name) != Some(&link) {
                self.router.handle_link(now, &name, link);
                self.links.insert(name, link);
            }
        }
        for address in
            self.plan.instances.iter().filter(|i| i.track_source).filter_map(|i| i.source)
        {
            self.router.handle_source(now, address, self.kernel.interfaces.has_anywhere(address));
        }
        for name in self.plan.instances.iter().filter_map(way_out) {
            let present = self.kernel.interfaces.link(name).is_some();
            self.router.handle_virtual_link(now, name, present);
        }
        self.collect();
    }

    /// Opens the sockets of interfaces that appeared, also as other ones of the same name, and
    /// closes those of the vanished.
    pub(super) fn renew_stations(&mut self) {
        let Driver { stations, plan, kernel, poll, .. } = self;
        let warnings = stations.arrange(plan, &kernel.interfaces, poll, STATIONS);
        warnings.into_iter().for_each(|warning| self.supervisor.warn(warning));
        self.learn_routers();
    }

    /// On which of the interfaces of virtual IPv6 addresses this machine routes. There may be
    /// thousands of others.
    fn learn_routers(&mut self) {
        let ours = self.plan.instances.iter().flat_map(|plan| {
            let ipv6 = addresses(plan).filter(|address| address.address.is_ipv6());
            ipv6.map(|address| plan.interface_of(address))
        });
        let ours: BTreeSet<&str> = ours.collect();
        let links = ours.into_iter().filter_map(|name| self.kernel.interfaces.link(name));
        self.routers = links.filter(|link| routes(&link.name)).map(|link| link.index).collect();
    }

    /// Every interface that the plan follows, as it is now.
    pub(super) fn current_links(&self) -> BTreeMap<String, LinkState> {
        let link = |name: String| {
            let state = self.link(&name);
            (name, state)
        };
        interfaces(&self.plan).into_iter().map(link).collect()
    }

    fn link(&self, name: &str) -> LinkState {
        let Some(link) = self.kernel.interfaces.link(name) else { return LinkState::default() };
        LinkState {
            up: link.usable,
            ipv4: self.kernel.source(name, &self.plan),
            ipv6: self.kernel.source6(name, &self.plan),
        }
    }
}

/// Whether something is among what an instance holds as master.
fn holds(plan: &VrrpInstance, holding: &Holding) -> bool {
    match holding {
        Holding::Address(address) => plan.held_addresses().any(|held| held == address),
        Holding::Route(route) => plan.routes.contains(route),
        Holding::Rule(rule) => plan.rules.contains(rule),
    }
}

/// What was lost or put back, in words.
fn named(holding: &Holding) -> String {
    match holding {
        Holding::Address(address) => address.address.to_string(),
        Holding::Route(VirtualRoute { destination: Some(prefix), .. }) => {
            format!("the route to {}/{}", prefix.address, prefix.length)
        }
        Holding::Route(_) => "the default route".to_owned(),
        Holding::Rule(rule) => format!("routing rule {}", rule.preference),
    }
}

/// The interfaces that instances use or track.
fn interfaces(plan: &VrrpPlan) -> BTreeSet<String> {
    let tracks = |what: &Tracked| match what {
        Tracked::Interface(name) => Some(name.clone()),
        Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) => None,
    };
    let of_instances = plan.instances.iter().flat_map(|instance| {
        let tracked = instance.tracks.iter().filter_map(|track| tracks(&track.what));
        tracked.chain([instance.interface.clone()])
    });
    let of_groups = plan.sync_groups.iter().flat_map(|group| &group.tracks);
    of_instances.chain(of_groups.filter_map(|track| tracks(&track.what))).collect()
}

/// Whether this machine routes IPv6 on an interface. The kernel keeps that in memory.
fn routes(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read(path).is_ok_and(|value| value.starts_with(b"1"))
}
