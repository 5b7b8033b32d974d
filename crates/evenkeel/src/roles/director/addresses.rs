//! The addresses of this machine: for virtual servers whose checks pause while theirs are elsewhere
//! (`ha_suspend`), and to find where clients' packets arrive when no vrrp_instance tells it.
//! Followed only while somebody asks.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use edge::netlink::link::{GROUPS, Interfaces};
use edge::netlink::{Socket, route};
use model::layer4::{Layer4Plan, ServiceKey};
use model::marks::MarkRules;
use model::vrrp::Family;

use super::marks;

/// Nobody's addresses (RFC 7600 section 4.8, RFC 6666): what leads there leads to the rest of the
/// world.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8)),
    IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)),
];

/// A plan asks for the addresses of this machine.
pub(super) fn are_asked_for(plan: &Layer4Plan) -> bool {
    let servers = &plan.virtual_servers;
    servers.iter().any(|server| server.ha_suspend)
        || marks::are_asked_for(plan)
        || (plan.interfaces.is_empty() && !servers.is_empty())
}

/// Interfaces where clients' packets are expected: those of the plan, which are the vrrp_instances'.
/// Without any, those that have a virtual address, and the one that leads to everybody else: there
/// they arrive whose address comes later. With an address on the loopback, all that have one. The
/// firewall's rules for marks name more of both.
pub(super) fn arrivals(
    plan: &Layer4Plan,
    rules: Option<&MarkRules>,
    watch: Option<&mut AddressWatch>,
) -> Vec<String> {
    let marked: BTreeSet<IpAddr> = rules.into_iter().flat_map(MarkRules::addresses).collect();
    let mut names: BTreeSet<String> = plan.interfaces.iter().cloned().collect();
    names.extend(rules.into_iter().flat_map(MarkRules::interfaces).map(str::to_owned));
    match watch {
        Some(watch) if plan.interfaces.is_empty() => {
            let addresses = virtual_addresses(plan).into_iter().chain(marked).collect();
            names.extend(watch.arrivals(&addresses));
        }
        Some(watch) => names.extend(watch.with_one(&marked)),
        None => {}
    }
    names.into_iter().collect()
}

fn virtual_addresses(plan: &Layer4Plan) -> BTreeSet<IpAddr> {
    let keys = plan.virtual_servers.iter().flat_map(|server| &server.services);
    keys.filter_map(ServiceKey::address).collect()
}

/// Follows them.
pub(super) struct AddressWatch {
    events: Socket,
    requests: Socket,
    interfaces: Interfaces,
    /// Virtual addresses that were missed aloud.
    missed: BTreeSet<IpAddr>,
}

impl AddressWatch {
    /// Begins to.
    pub(super) fn new() -> io::Result<AddressWatch> {
        let (events, mut requests) = (Socket::open()?, Socket::open()?);
        events.subscribe(&GROUPS)?;
        let interfaces = Interfaces::load(&mut requests)?;
        Ok(AddressWatch { events, requests, interfaces, missed: BTreeSet::new() })
    }

    /// Takes in what the kernel has to say; true when an address came or went.
    pub(super) fn handle_ready(&mut self) -> io::Result<bool> {
        let changes = match self.events.receive() {
            Ok(events) => events.iter().filter_map(|event| self.interfaces.apply(event)).collect(),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.interfaces.reload(&mut self.requests)?
            }
            Err(error) => return Err(error),
        };
        Ok(!changes.is_empty())
    }

    /// All of them, whichever interface has them.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.interfaces.links().flat_map(|link| self.of(link.index)).collect()
    }

    /// The addresses of an interface.
    fn of(&self, index: u32) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.interfaces.ipv4(index).map(|(address, _)| IpAddr::from(address));
        ipv4.chain(self.interfaces.ipv6(index).map(|(address, _)| IpAddr::from(address)))
    }

    /// Interfaces that have one of these addresses.
    fn with_one(&self, addresses: &BTreeSet<IpAddr>) -> impl Iterator<Item = String> {
        let has_one = |index: u32| self.of(index).any(|address| addresses.contains(&address));
        let links = self.interfaces.links().filter(move |it| it.mac.is_some() && has_one(it.index));
        links.map(|link| link.name.clone())
    }

    fn arrivals(&mut self, addresses: &BTreeSet<IpAddr>) -> Vec<String> {
        // Firewall marks alone have no addresses.
        let is_served = |family: Family| {
            addresses.iter().any(|one| Family::of(*one) == family)
                || (addresses.is_empty() && family == Family::Ipv4)
        };
        let mut away = Vec::new();
        for nobody in NOBODY.into_iter().filter(|one| is_served(Family::of(*one))) {
            let route = route::lookup(&mut self.requests, nobody).ok();
            away.extend(route.and_then(|route| self.interfaces.by_index(route.interface)));
        }
        let has_one = |index: u32| self.of(index).any(|address| addresses.contains(&address));
        // Routers lead clients to an address on the loopback by whichever way they like.
        let by_any = self.interfaces.links().any(|it| it.mac.is_none() && has_one(it.index));
        let with_one = self.interfaces.links().filter(|link| {
            let is_used = by_any && self.of(link.index).any(|one| is_served(Family::of(one)));
            link.mac.is_some() && (is_used || has_one(link.index))
        });
        let names: BTreeSet<&String> = with_one.chain(away).map(|link| &link.name).collect();
        names.into_iter().cloned().collect()
    }

    /// Virtual addresses that no vrrp_instance holds and no interface has: what is to be said of
    /// those that were not spoken of yet.
    pub(super) fn missing(&mut self, plan: &Layer4Plan) -> Option<String> {
        if !plan.interfaces.is_empty() {
            return None;
        }
        let here = self.addresses();
        let missed = virtual_addresses(plan).into_iter().filter(|one| !here.contains(one));
        let former = std::mem::replace(&mut self.missed, missed.collect());
        let mut news = self.missed.difference(&former);
        let (first, others) = (*news.next()?, news.count());
        let expected = match &self.arrivals(&virtual_addresses(plan))[..] {
            [] => String::new(),
            names => format!("on {} and ", names.join(", ")),
        };
        let others = match others {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!(
            "no vrrp_instance and no interface has {first}{others}: its clients' packets are \
             expected {expected}where its real servers are; what arrives elsewhere is not served \
             until an interface there has the address"
        ))
    }
}

impl AsFd for AddressWatch {
    /// Readable when [`handle_ready`](Self::handle_ready) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use model::layer4::{Protocol, ServiceKey, VirtualServer};

    use super::*;

    /// Virtual servers at addresses for documentation (RFC 5737), which nobody has.
    fn plan(last: &[u8], interfaces: &[&str]) -> Layer4Plan {
        let server = |&last: &u8| {
            let address = [203, 0, 113, last].into();
            VirtualServer::new(ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp })
        };
        Layer4Plan {
            virtual_servers: last.iter().map(server).collect(),
            interfaces: interfaces.iter().map(ToString::to_string).collect(),
            ..Layer4Plan::default()
        }
    }

    #[test]
    fn addresses_that_are_nowhere_are_told_of_once() {
        let mut watch = AddressWatch::new().unwrap();
        let text = watch.missing(&plan(&[1, 2], &[])).unwrap();
        assert!(text.contains("no interface has 203.0.113.1 (and 1 more)"), "{text}");
        assert_eq!(watch.missing(&plan(&[1, 2], &[])), None, "a reload does not repeat it");
        let text = watch.missing(&plan(&[1, 2, 3], &[])).unwrap();
        assert!(text.contains("no interface has 203.0.113.3:"), "{text}");
        assert_eq!(watch.missing(&plan(&[4], &["eth0"])), None, "a vrrp_instance holds it");
    }

    #[test]
    fn the_plans_interfaces_are_enough() {
        let mut watch = AddressWatch::new().unwrap();
        assert_eq!(arrivals(&plan(&[1], &["eth7"]), None, Some(&mut watch)), ["eth7"]);
        assert!(are_asked_for(&plan(&[1], &[])) && !are_asked_for(&plan(&[1], &["eth7"])));
        assert!(!are_asked_for(&plan(&[], &[])));
    }
}
