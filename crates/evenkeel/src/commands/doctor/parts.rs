//! Which interfaces take part, and for whom: a Plan laid over the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Plan;
use model::layer4::{Forwarding, ServiceKey, VirtualServer};
use model::vrrp::VrrpInstance;

use super::facts::{Facts, Interface};

/// Names listed in one finding.
const NAMED_MAX: usize = 3;

/// What one interface is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// VRRP instances whose adverts or addresses it carries.
    pub(super) instances: BTreeSet<String>,
    /// Virtual servers whose clients come in by it.
    pub(super) clients_of: BTreeSet<String>,
    /// Virtual servers with real servers by network address translation behind it.
    pub(super) nat_of: BTreeSet<String>,
    /// Virtual servers with real servers by direct routing behind it.
    pub(super) direct_of: BTreeSet<String>,
    /// Virtual servers with real servers at the end of a tunnel through it.
    pub(super) tunnel_of: BTreeSet<String>,
    /// The director attaches its program to it.
    pub(super) attached: bool,
}

impl Uses {
    /// Real servers are behind it.
    pub(super) fn has_servers(&self) -> bool {
        !(self.nat_of.is_empty() && self.direct_of.is_empty() && self.tunnel_of.is_empty())
    }

    /// `vrrp_instance WEB; clients of TCP 192.0.2.1:80; real servers of TCP 192.0.2.1:80 (NAT)`
    pub(super) fn words(&self) -> String {
        let parts = [
            ("vrrp_instance ", &self.instances, ""),
            ("clients of ", &self.clients_of, ""),
            ("real servers of ", &self.nat_of, " (NAT)"),
            ("real servers of ", &self.direct_of, " (DR)"),
            ("real servers of ", &self.tunnel_of, " (TUN)"),
        ];
        let parts = parts.into_iter().filter(|(_, names, _)| !names.is_empty());
        let words = parts.map(|(before, names, after)| format!("{before}{}{after}", listed(names)));
        words.collect::<Vec<_>>().join("; ")
    }
}

/// The first names of some, and how many more there are.
pub(super) fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The interfaces that take part, by name, whether they exist or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    uses: BTreeMap<String, Uses>,
}

impl Parts {
    /// Lays a Plan over the interfaces and routes of a machine.
    pub(super) fn of(plan: &Plan, facts: &Facts) -> Parts {
        let mut parts = Parts::default();
        for instance in &plan.vrrp.instances {
            parts.add_instance(instance);
        }
        for name in &plan.layer4.interfaces {
            parts.at(name).attached = true;
        }
        for server in &plan.layer4.virtual_servers {
            parts.add_server(server, plan, facts);
        }
        parts
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.uses.keys().map(String::as_str)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Uses)> {
        self.uses.iter().map(|(name, uses)| (name.as_str(), uses))
    }

    /// Those that exist and that the director attaches its program to.
    pub(super) fn attached<'a>(
        &'a self,
        facts: &'a Facts,
    ) -> impl Iterator<Item = (&'a Interface, &'a Uses)> {
        let attached = self.all().filter(|(_, uses)| uses.attached);
        attached.filter_map(|(name, uses)| Some((facts.interface(name)?, uses)))
    }

    fn at(&mut self, name: &str) -> &mut Uses {
        self.uses.entry(name.to_owned()).or_default()
    }

    fn add_instance(&mut self, instance: &VrrpInstance) {
        if !instance.routed {
            self.at(&instance.interface).instances.insert(instance.name.clone());
        }
        for address in instance.held_addresses() {
            self.at(base_of(instance, address)).instances.insert(instance.name.clone());
        }
    }

    fn add_server(&mut self, server: &VirtualServer, plan: &Plan, facts: &Facts) {
        let name = server.id.to_string();
        for address in server.services.iter().filter_map(ServiceKey::address) {
            if let Some(interface) = client_side(plan, facts, address) {
                self.at(&interface).clients_of.insert(name.clone());
            }
        }
        let sorry = server.quorum.sorry.iter().map(|one| (one.endpoint.address, one.forwarding));
        let servers = server.real_servers.iter().map(|one| (one.endpoint.address, one.forwarding));
        for (address, forwarding) in servers.chain(sorry) {
            let Some(Some(way)) = facts.routes.get(&address) else { continue };
            let Some(interface) = facts.by_index(way.interface).filter(|_| !way.local) else {
                continue;
            };
            let uses = self.at(&interface.device.name.clone());
            uses.attached = true;
            match forwarding {
                Forwarding::Nat => uses.nat_of.insert(name.clone()),
                Forwarding::DirectRouting => uses.direct_of.insert(name.clone()),
                Forwarding::Tunnel(_) => uses.tunnel_of.insert(name.clone()),
            };
        }
    }
}

/// The interface that an address goes to, or stands on when it has a virtual MAC address.
fn base_of<'a>(instance: &'a VrrpInstance, address: &'a model::vrrp::VirtualAddress) -> &'a str {
    address.interface.as_deref().unwrap_or(&instance.interface)
}

/// Where packets to a virtual address come in: the interface of the instance that holds it, or
/// the one that has it.
pub(super) fn client_side(plan: &Plan, facts: &Facts, address: IpAddr) -> Option<String> {
    let held = plan.vrrp.instances.iter().find_map(|instance| {
        let holding = instance.held_addresses().find(|one| one.address == address)?;
        Some(base_of(instance, holding).to_owned())
    });
    held.or_else(|| {
        let all = facts.interfaces.iter().filter(|one| !one.device.loopback);
        all.filter(|one| one.has(address)).map(|one| one.device.name.clone()).next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{machine, nat_plan};

    #[test]
    fn a_nat_service_has_a_side_of_clients_and_a_side_of_servers() {
        let parts = Parts::of(&nat_plan(), &machine());
        assert_eq!(parts.names().collect::<Vec<_>>(), ["eth0", "eth1"]);
        let (eth0, eth1) = (&parts.uses["eth0"], &parts.uses["eth1"]);
        assert!(eth0.attached && eth1.attached && !eth0.has_servers() && eth1.has_servers());
        assert_eq!(eth0.words(), "vrrp_instance WEB; clients of TCP 192.0.2.10:80");
        assert_eq!(eth1.words(), "real servers of TCP 192.0.2.10:80 (NAT)");
    }

    #[test]
    fn an_interface_that_does_not_exist_takes_part_all_the_same() {
        let mut facts = machine();
        facts.interfaces.retain(|one| one.device.name != "eth0");
        let parts = Parts::of(&nat_plan(), &facts);
        assert!(parts.names().any(|name| name == "eth0"));
        assert_eq!(parts.attached(&facts).count(), 1);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: BTreeSet<String> = (1..=5).map(|number| format!("V{number}")).collect();
        assert_eq!(listed(&names), "V1, V2, V3 and 2 more");
    }
}
