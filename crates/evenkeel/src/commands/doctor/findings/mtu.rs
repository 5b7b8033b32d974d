//! Packets that fit on one side and not on the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Finding, Report};
use crate::commands::doctor::facts::Interface;
use crate::commands::doctor::parts::{Uses, listed};

/// Compares the interfaces where clients come in with those that lead to real servers.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let before = report.findings.len();
    let sides = || case.parts.attached(case.facts);
    for (clients, uses) in sides().filter(|(_, uses)| !uses.clients_of.is_empty()) {
        for (servers, behind) in sides().filter(|(_, behind)| shares(uses, behind)) {
            if clients.device.mtu != servers.device.mtu {
                report.find(differing(clients, servers, behind));
            }
        }
    }
    narrow_routes(case, report);
    if report.findings.len() == before && sides().any(|(_, uses)| uses.has_servers()) {
        report.fine("MTU: the same towards clients and real servers");
    }
}

/// Routes to real servers that carry less than their interface: one finding for each bound.
fn narrow_routes(case: Case<'_>, report: &mut Report) {
    let mut narrow: BTreeMap<(u32, u32), BTreeSet<String>> = BTreeMap::new();
    for (address, way) in &case.facts.routes {
        let Some(way) = way.filter(|way| !way.local) else { continue };
        let own = case.facts.by_index(way.interface).map(|one| one.device.mtu);
        if let (Some(mtu), Some(own)) = (way.mtu, own)
            && mtu < own
        {
            narrow.entry((way.interface, mtu)).or_default().insert(address.to_string());
        }
    }
    for ((index, mtu), servers) in narrow {
        let Some(interface) = case.facts.by_index(index) else { continue };
        let name = &interface.device.name;
        let what = format!(
            "the route to {} carries {mtu} bytes, {name} has MTU {}",
            listed(&servers),
            interface.device.mtu
        );
        report.find(
            Finding::note("mtu-route", name, what)
                .needed_by("real servers behind it")
                .otherwise(
                    "clients are told by ICMP to send less: downloads hang where it is filtered",
                )
                .by_hand("nothing needs to be done if the way is as narrow; `ip route` shows it"),
        );
    }
}

/// A virtual server has its clients here and real servers there.
fn shares(clients: &Uses, servers: &Uses) -> bool {
    let behind = |name| {
        [&servers.nat_of, &servers.direct_of, &servers.tunnel_of].iter().any(|it| it.contains(name))
    };
    clients.clients_of.iter().any(behind)
}

fn differing(clients: &Interface, servers: &Interface, uses: &Uses) -> Finding {
    let (c, s) = (&clients.device, &servers.device);
    let (small, large) = if c.mtu < s.mtu { (c, s) } else { (s, c) };
    let what = format!(
        "clients come in by {} with MTU {}, real servers are behind {} with MTU {}",
        c.name, c.mtu, s.name, s.mtu
    );
    Finding::warning("mtu", &small.name, what)
        .needed_by(uses.words())
        .otherwise(format!(
            "packets larger than {} do not fit: downloads or uploads hang where ICMP is filtered",
            small.mtu
        ))
        .by_hand(format!("ip link set dev {} mtu {}", small.name, large.mtu))
        .by_hand(format!(
            "or, where the network behind it carries no more: ip link set dev {} mtu {}",
            large.name, small.mtu
        ))
}

#[cfg(test)]
mod tests {
    use crate::commands::doctor::bed::{Bed, nat_plan};
    use crate::commands::doctor::facts::Facts;

    #[test]
    fn a_narrow_route_is_noted() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.routes.values_mut().flatten().for_each(|way| way.mtu = Some(1500));
        });
        assert!(!bed.codes().contains(&"mtu-route"));
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.routes.values_mut().flatten().next().unwrap().mtu = Some(1400);
        });
        assert_eq!(bed.bad(), [""; 0]);
        assert!(bed.codes().contains(&"mtu-route"));
    }

    #[test]
    fn the_smaller_side_is_named() {
        for (name, other) in [("eth0", "eth1"), ("eth1", "eth0")] {
            let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
                facts.named(name).device.mtu = 1400;
            });
            assert_eq!(bed.bad(), ["mtu"]);
            assert_eq!(bed.first().place, name);
            assert_eq!(bed.first().mend[0], format!("ip link set dev {name} mtu 1500"));
            assert!(bed.first().mend[1].ends_with(&format!("dev {other} mtu 1400")));
        }
    }
}
