//! What happens to the interfaces: they come, go, change, and lose addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use edge::clock;
use edge::poll::Interest;
use model::control::Event;
use model::status::VrrpState;
use model::vrrp::VrrpPlan;
use proto::vrrp::LinkState;

use super::super::kernel::addresses;
use super::{Driver, interfaces, token};

impl Driver {
    pub(super) fn follow_interfaces(&mut self) -> io::Result<()> {
        match self.events.receive() {
            Ok(events) => {
                let before = self.macs();
                events.iter().for_each(|event| self.kernel.interfaces.apply(event));
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
            Ok(()) => {
                self.stale = false;
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

    /// The Ethernet addresses of the interfaces that have addresses of a master.
    fn macs(&self) -> BTreeMap<String, [u8; 6]> {
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        let names: BTreeSet<&String> = masters
            .flat_map(|i| {
                addresses(i.plan()).map(|a| a.interface.as_ref().unwrap_or(&i.plan().interface))
            })
            .collect();
        let mac = |name: &String| Some((name.clone(), self.kernel.interfaces.link(name)?.mac?));
        names.into_iter().filter_map(mac).collect()
    }

    /// Tells the link where the addresses are of an interface that got another Ethernet address.
    fn announce_moved(&self, before: &BTreeMap<String, [u8; 6]>) {
        let now = self.macs();
        let moved = |name: &String| {
            before.get(name).is_some_and(|old| now.get(name).is_some_and(|new| new != old))
        };
        for instance in self.router.instances().iter().filter(|i| i.state() == VrrpState::Master) {
            let plan = instance.plan();
            for address in addresses(plan) {
                if !moved(address.interface.as_ref().unwrap_or(&plan.interface)) {
                    continue;
                }
                for _ in 0..plan.garp.repeat {
                    // An interface that is down meanwhile is announced when it is master again.
                    let _ = self.stations.announce(&self.kernel.interfaces, plan, address);
                }
            }
        }
    }

    /// Tells the router which interfaces became usable or stopped being so.
    fn tell_links(&mut self) {
        let now = clock::now();
        for name in interfaces(&self.plan) {
            self.renew_station(&name);
            let link = self.link(&name, &self.plan);
            if self.links.insert(name.clone(), link) != Some(link) {
                self.router.handle_link(now, &name, link);
            }
        }
        self.apply();
    }

    /// Opens an interface's socket when the interface appeared, also as another one of the same
    /// name.
    pub(super) fn renew_station(&mut self, name: &str) {
        let index = self.kernel.interfaces.link(name).map(|link| link.index);
        if self.stations.open.get(name).map(|station| station.index) == index {
            return;
        }
        self.stations.open.remove(name);
        let Some(index) = index else { return };
        let opened = match self.stations.open(name, index) {
            Ok(station) => self.poll.add(&station.socket, token(index), Interest::Read),
            Err(error) => Err(error),
        };
        if let Err(error) = opened {
            self.stations.open.remove(name);
            self.supervisor.warn(format!("{name}: no socket for adverts: {error}"));
        }
    }

    pub(super) fn link(&self, name: &str, plan: &VrrpPlan) -> LinkState {
        let open = self.stations.open.contains_key(name);
        let ipv4 = open.then(|| self.kernel.source(name, plan)).flatten();
        LinkState { up: ipv4.is_some(), ipv4, ipv6: None }
    }

    /// Puts back what somebody else took from us: a master whose address is gone.
    fn repair(&mut self) {
        let masters = self.router.instances().iter().filter(|i| i.state() == VrrpState::Master);
        let plans: Vec<_> = masters.map(|instance| instance.plan().clone()).collect();
        for plan in plans {
            for address in addresses(&plan) {
                if self.kernel.holds(&plan, address) || self.kernel.add(&plan, address).is_err() {
                    continue;
                }
                let text = format!("{}: {} was removed; put back", plan.name, address.address);
                self.supervisor.tell(Event::Log { severity: 4, text });
                for _ in 0..plan.garp.repeat {
                    // It fails where the interface just went; then the address goes with it.
                    let _ = self.stations.announce(&self.kernel.interfaces, &plan, address);
                }
            }
        }
    }
}
