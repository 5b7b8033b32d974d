//! Interfaces of our own: a macvlan with a virtual MAC address, or an ipvlan.
//!
//! They exist from the configuration on and are up only while their instance is master: a
//! macvlan that is merely up sends frames with the virtual MAC address by itself, and a backup
//! that does so draws the traffic of the master to itself. An ipvlan has the MAC address of the
//! interface it is on; it is up from the start, with the address that adverts are sent from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use edge::netlink::link::{Link, LinkKind};
use edge::netlink::virtual_link::Kind;
use model::vrrp::{Family, VirtualAddress, VirtualLink, VrrpInstance, VrrpPlan};

use super::{Kernel, sysctls};

/// One interface that is to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    base: String,
    kind: Kind,
    has_ipv6: bool,
    /// The address of an ipvlan.
    address: Option<VirtualAddress>,
}

impl Kernel {
    /// Makes the interfaces that a configuration wants, and removes those before that have the
    /// same name and are something else. One that is there already, as a killed predecessor left it, is adopted.
    pub(super) fn renew_virtual_links(&mut self, former: &VrrpPlan) -> Vec<String> {
        let wanted = wanted(&self.plan);
        let mut complaints = Vec::new();
        for old in self::wanted(former) {
            if wanted.iter().any(|new| new.name == old.name && !is_same(new, &old)) {
                complaints.extend(self.delete_virtual_link(&old));
            }
        }
        wanted.iter().for_each(|link| complaints.extend(self.make_virtual_link(link)));
        complaints
    }

    /// Removes those of a former configuration that this one has no use for.
    pub(super) fn delete_unwanted_links(&mut self, former: &VrrpPlan) -> Vec<String> {
        let wanted: BTreeSet<String> = wanted(&self.plan).into_iter().map(|new| new.name).collect();
        let unwanted = self::wanted(former).into_iter().filter(|old| !wanted.contains(&old.name));
        unwanted.filter_map(|old| self.delete_virtual_link(&old)).collect()
    }

    /// Makes those that are missing, now that an interface came.
    pub(super) fn make_missing_links(&mut self) -> Vec<String> {
        let wanted = wanted(&self.plan);
        let complaints: Vec<Vec<String>> =
            wanted.iter().map(|link| self.make_virtual_link(link)).collect();
        complaints.concat()
    }

    /// Whether an interface of this name is to exist.
    pub(super) fn wants_virtual_link(&self, name: &str) -> bool {
        self.plan.instances.iter().flat_map(wanted_of).any(|link| link.name == name)
    }

    /// Whether an interface of ours is up for an instance that holds its addresses.
    pub(super) fn is_in_use(&self, name: &str) -> bool {
        let holding = self.plan.instances.iter().filter(|one| self.holding.contains(&one.name));
        holding.flat_map(wanted_of).any(|link| link.name == name)
    }

    /// Removes all of a configuration.
    pub(super) fn delete_virtual_links(&mut self, plan: &VrrpPlan) -> Vec<String> {
        wanted(plan).iter().filter_map(|link| self.delete_virtual_link(link)).collect()
    }

    /// Without its base it waits for that.
    fn make_virtual_link(&mut self, wanted: &Wanted) -> Vec<String> {
        let Some(base) = self.interfaces.link(&wanted.base).cloned() else { return Vec::new() };
        match self.interfaces.link(&wanted.name) {
            Some(link) if is_ours(link, wanted, base.index) => {}
            Some(link) if has_kind(link, wanted.kind) && link.base == Some(base.index) => {
                // Ours with another address: it is made anew.
                let mut complaints: Vec<String> =
                    self.delete_virtual_link(wanted).into_iter().collect();
                complaints.extend(self.create_virtual_link(wanted, &base));
                return complaints;
            }
            Some(_) => {
                let text = format!("{}: another interface has this name", wanted.name);
                return vec![text];
            }
            None => return self.create_virtual_link(wanted, &base),
        }
        self.ready_virtual_link(wanted)
    }

    /// What an interface needs once it is there.
    fn ready_virtual_link(&mut self, wanted: &Wanted) -> Vec<String> {
        let Some(link) = self.interfaces.link(&wanted.name) else { return Vec::new() };
        let index = link.index;
        if !self.ready.insert(index) {
            return Vec::new();
        }
        let mut complaints = sysctls::quieten(&wanted.name, wanted.has_ipv6);
        match wanted.kind {
            Kind::Macvlan(_) => {}
            Kind::Ipvlan(_) => {
                self.batch.clear();
                if let Some(address) = &wanted.address {
                    self.batch.add_address(index, address);
                }
                self.batch.set_link(index, true);
                let result = self.requests.run(&mut self.batch);
                let errors = result.err().into_iter().chain(self.batch.outcomes().flatten());
                let failed = errors.filter(|error| error.raw_os_error() != Some(libc::EEXIST));
                let text = |error| format!("interface {}: {error}", wanted.name);
                complaints.extend(failed.map(text));
            }
        }
        complaints
    }

    fn create_virtual_link(&mut self, wanted: &Wanted, base: &Link) -> Vec<String> {
        self.batch.clear();
        self.batch.create_link(&wanted.name, base.index, wanted.kind, base.place);
        if let Some(error) = self.run_batch() {
            if error.raw_os_error() == Some(libc::ENODEV) {
                // Its base has just gone, which the next event says.
                return Vec::new();
            }
            let missing = match (wanted.kind, error.raw_os_error()) {
                (Kind::Ipvlan(_), Some(libc::EOPNOTSUPP)) => " (this kernel has no ipvlan)",
                (Kind::Macvlan(_), Some(libc::EOPNOTSUPP)) => " (this kernel has no macvlan)",
                _ => "",
            };
            return vec![format!("interface {} not made: {error}{missing}", wanted.name)];
        }
        // The event comes later, and addresses may be put there before.
        match self.interfaces.learn(&mut self.requests, &wanted.name) {
            Ok(_) => self.ready_virtual_link(wanted),
            Err(error) => vec![format!("interface {}: {error}", wanted.name)],
        }
    }

    /// Only what is of the kind that we make: never anybody else's interface.
    fn delete_virtual_link(&mut self, wanted: &Wanted) -> Option<String> {
        let link = self.interfaces.link(&wanted.name)?;
        if !has_kind(link, wanted.kind) {
            return None;
        }
        let index = link.index;
        self.ready.remove(&index);
        self.batch.clear();
        self.batch.delete_link(index);
        match self.run_batch() {
            Some(error) if error.raw_os_error() != Some(libc::ENODEV) => {
                Some(format!("interface {} not removed: {error}", wanted.name))
            }
            Some(_) | None => {
                self.ours.addresses.forget(|address| address.interface == index);
                self.interfaces.forget(index);
                None
            }
        }
    }

    /// The error of the one message in the batch.
    fn run_batch(&mut self) -> Option<std::io::Error> {
        match self.requests.run(&mut self.batch) {
            Err(error) => Some(error),
            Ok(()) => self.batch.outcomes().next().flatten(),
        }
    }
}

fn is_same(new: &Wanted, old: &Wanted) -> bool {
    new.name == old.name
        && new.base == old.base
        && new.kind == old.kind
        && new.address == old.address
}

fn is_ours(link: &Link, wanted: &Wanted, base: u32) -> bool {
    let same_mac = match wanted.kind {
        Kind::Macvlan(mac) => link.mac == Some(mac),
        Kind::Ipvlan(_) => true,
    };
    has_kind(link, wanted.kind) && link.base == Some(base) && same_mac
}

fn has_kind(link: &Link, kind: Kind) -> bool {
    match kind {
        Kind::Macvlan(_) => link.kind == Some(LinkKind::Macvlan),
        Kind::Ipvlan(_) => link.kind == Some(LinkKind::Ipvlan),
    }
}

fn wanted(plan: &VrrpPlan) -> Vec<Wanted> {
    plan.instances.iter().flat_map(wanted_of).collect()
}

fn wanted_of(plan: &VrrpInstance) -> impl Iterator<Item = Wanted> {
    let own = match &plan.link {
        VirtualLink::Macvlan { name, mac, .. } => Some((name, Kind::Macvlan(*mac), None)),
        VirtualLink::Ipvlan { name, address, flags } => {
            let address = address.map(|(address, length)| VirtualAddress::new(address, length));
            Some((name, Kind::Ipvlan(*flags), address))
        }
        VirtualLink::None => None,
    };
    let own = own.map(|(name, kind, address)| (name, &plan.interface, kind, address));
    let more = plan.address_links.iter();
    let more = more.map(|link| (&link.name, &link.base, Kind::Macvlan(link.mac), None));
    own.into_iter().chain(more).map(|(name, base, kind, address)| Wanted {
        name: name.clone(),
        base: base.clone(),
        kind,
        has_ipv6: has_ipv6(plan, name),
        address,
    })
}

/// IPv6 goes there only where an address or the adverts do.
fn has_ipv6(plan: &VrrpInstance, name: &str) -> bool {
    if plan.family == Family::Ipv6 && plan.address_links.iter().all(|link| link.name != name) {
        return true;
    }
    let mut there = plan.held_addresses().filter(|address| plan.interface_of(address) == name);
    there.any(|address| matches!(address.address, IpAddr::V6(_)))
}
