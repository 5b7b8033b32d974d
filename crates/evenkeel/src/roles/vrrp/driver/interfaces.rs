//! What happens to the interfaces: they come, go, change, and lose addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use edge::clock;
use model::control::Event;
use model::status::VrrpState;
use model::vrrp::{Holding, Tracked, VrrpPlan};
use proto::vrrp::{Announced, LinkState};

use super::{Driver, STATIONS};
use crate::roles::vrrp::kernel::{KernelChange, addresses};

impl Driver {
    pub(super) fn follow_interfaces(&mut self) -> io::Result<()> {
        match self.events.receive() {
            Ok(events) => {
                let before = self.macs();
                let changes = self.kernel.apply_events(&events);
                self.warn_of(changes);
                self.announce_moved(&before);
            }
            // Events were lost: what they said is read anew.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.reread_interfaces();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.tell_links();
        self.repair();
        Ok(())
    }

    /// Reads the interfaces anew; where that fails, the old picture serves until the next try.
    pub(super) fn reread_interfaces(&mut self) {
        let before = self.macs();
        match self.kernel.reload() {
            Ok(changes) => {
                self.stale = false;
                self.warn_of(changes);
                self.announce_moved(&before);
                self.tell_links();
                self.repair();
            }
            Err(error) => {
                self.stale = true;
                self.supervisor.warn(format!("the interfaces could not be read anew: {error}"));
            }
        }
    }

    fn warn_of(&mut self, changes: Vec<KernelChange>) {
        for change in changes {
            if let KernelChange::Complaint(text) = change {
                self.supervisor.warn(text);
            }
        }
    }

    /// The Ethernet addresses of the interfaces that have addresses of a master.
    fn macs(&self) -> BTreeMap<String, [u8; 6]> {
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        let names: BTreeSet<&str> = masters
            .flat_map(|i| addresses(i.plan()).map(|address| i.plan().interface_of(address)))
            .collect();
        let mac = |name: &str| Some((name.to_owned(), self.kernel.interfaces.link(name)?.mac?));
        names.into_iter().filter_map(mac).collect()
    }

    /// Tells the link where the addresses are of an interface that got another Ethernet address.
    fn announce_moved(&mut self, before: &BTreeMap<String, [u8; 6]>) {
        let now = self.macs();
        let moved = |name: &str| {
            before.get(name).is_some_and(|old| now.get(name).is_some_and(|new| new != old))
        };
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        let plans: Vec<_> = masters.map(|instance| instance.plan().clone()).collect();
        for plan in plans {
            let of_moved = |a: &&_| moved(plan.interface_of(a));
            let list: Vec<_> = addresses(&plan).filter(of_moved).cloned().collect();
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
        self.collect();
    }

    /// Opens the sockets of interfaces that appeared, also as other ones of the same name, and
    /// closes those of the vanished.
    pub(super) fn renew_stations(&mut self) {
        let Driver { stations, plan, kernel, poll, .. } = self;
        let warnings = stations.arrange(plan, &kernel.interfaces, poll, STATIONS);
        warnings.into_iter().for_each(|warning| self.supervisor.warn(warning));
        self.routers =
            self.kernel.interfaces.links().filter(|l| routes(&l.name)).map(|l| l.index).collect();
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

    /// Puts back what somebody else took from us: a master whose address is gone.
    fn repair(&mut self) {
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        let plans: Vec<_> = masters.map(|instance| instance.plan().clone()).collect();
        for plan in plans {
            let mut restored = Vec::new();
            for address in addresses(&plan).filter(|address| address.track) {
                if self.kernel.has(&plan, address) {
                    continue;
                }
                let holding = Holding::Address(address.clone());
                if !self.kernel.add(&plan, &[holding]).is_empty() {
                    continue;
                }
                let text = format!("{}: {} was removed; put back", plan.name, address.address);
                self.supervisor.tell(Event::Log { severity: 4, text });
                restored.push(address.clone());
            }
            self.announce(&plan, &Announced::These(restored), plan.garp.repeat);
        }
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
