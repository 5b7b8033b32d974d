//! Interfaces that take part: there, up, connected, and the right one of a stack.

use std::collections::BTreeSet;

use model::vrrp::{Destination, Family};

use super::{Case, Finding, Report};
use crate::commands::doctor::facts::Interface;
use crate::commands::doctor::parts::{Uses, listed};

/// Looks at each interface that takes part.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    for (name, uses) in case.parts.all() {
        let Some(interface) = case.facts.interface(name) else {
            report.find(missing(case, name, uses));
            continue;
        };
        let before = report.findings.len();
        state(interface, uses, report);
        part_of(case, interface, uses, report);
        source(case, interface, uses, report);
        if report.findings.len() == before {
            report.fine(format!("{name}: there, up, connected; MTU {}", interface.device.mtu));
        }
    }
    peers(case, report);
}

/// Unicast adverts go by route.
fn peers(case: Case<'_>, report: &mut Report) {
    for instance in &case.plan.vrrp.instances {
        let Destination::Unicast(unicast) = &instance.destination else { continue };
        let is_lost = |address| matches!(case.facts.routes.get(&address), Some(None));
        let lost = unicast.peers.iter().find(|peer| is_lost(peer.address));
        let Some(peer) = lost.map(|peer| peer.address) else { continue };
        report.find(
            Finding::error("no-peer", &peer.to_string(), format!("there is no way to peer {peer}"))
                .needed_by(format!("vrrp_instance {}", instance.name))
                .otherwise("it hears nothing of this director: there are two masters")
                .by_hand(format!("ip route add {peer} via GATEWAY, or its network's route")),
        );
    }
}

fn missing(case: Case<'_>, name: &str, uses: &Uses) -> Finding {
    let real = case.facts.interfaces.iter().filter(|one| !one.device.loopback);
    let names: BTreeSet<String> = real.map(|one| one.device.name.clone()).collect();
    let there = if names.is_empty() { "none".to_owned() } else { listed(&names) };
    Finding::error("no-interface", name, format!("there is no interface {name}"))
        .needed_by(uses.words())
        .otherwise(match uses.instances.is_empty() {
            true => "no packet of these services is forwarded",
            false => "the instance stays in FAULT, and nobody here holds its addresses",
        })
        .by_hand(format!("name one of those that are there ({there}), or create {name}"))
}

fn state(interface: &Interface, uses: &Uses, report: &mut Report) {
    let device = &interface.device;
    let consequence = match uses.instances.is_empty() {
        true => "packets of these services are lost here",
        false => "the instance stays in FAULT, and nobody here holds its addresses",
    };
    if !device.up {
        report.find(
            Finding::error("down", &device.name, format!("{} is down", device.name))
                .needed_by(uses.words())
                .otherwise(consequence)
                .by_hand(format!("ip link set dev {} up", device.name)),
        );
    } else if !device.carrier {
        let what = format!("{} is up, but has no carrier", device.name);
        report.find(
            Finding::error("no-carrier", &device.name, what)
                .needed_by(uses.words())
                .otherwise(consequence)
                .by_hand("look at the cable, the switch's port, or the other end"),
        );
    }
}

/// Packets and addresses belong to the bridge or bond, not to its parts.
fn part_of(case: Case<'_>, interface: &Interface, uses: &Uses, report: &mut Report) {
    let device = &interface.device;
    let master = device.master.and_then(|index| case.facts.by_index(index));
    let Some(master) = master.filter(|one| one.device.kind != "vrf") else { return };
    let above = &master.device.name;
    let what = format!("{} is a part of {above}", device.name);
    report.find(
        Finding::error("part", &device.name, what)
            .needed_by(uses.words())
            .otherwise(format!(
                "packets arrive on {above}; addresses and adverts on {} reach nobody",
                device.name
            ))
            .by_hand(format!("write `interface {above}` in the configuration")),
    );
}

/// An IPv4 instance sends its adverts from an address of its interface.
fn source(case: Case<'_>, interface: &Interface, uses: &Uses, report: &mut Report) {
    let name = &interface.device.name;
    let held = |address| {
        let all = case.plan.vrrp.instances.iter();
        all.flat_map(|one| one.held_addresses()).any(|one| one.address == address)
    };
    let has_own = interface.addresses.iter().any(|(one, _)| one.is_ipv4() && !held(*one));
    if has_own {
        return;
    }
    let instances = case.plan.vrrp.instances.iter().filter(|one| {
        one.family == Family::Ipv4
            && one.source.is_none()
            && !one.routed
            && one.interface == *name
            && uses.instances.contains(&one.name)
    });
    for instance in instances {
        let what = format!("{name} has no IPv4 address of its own");
        report.find(
            Finding::error("no-address", name, what)
                .needed_by(format!("vrrp_instance {}", instance.name))
                .otherwise("its adverts have no source address: it cannot take part in elections")
                .by_hand(format!("ip addr add ADDRESS/LENGTH dev {name}"))
                .by_hand("or write `mcast_src_ip ADDRESS` in the instance"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::doctor::bed::{Bed, machine, nat_plan};
    use crate::commands::doctor::facts::Facts;
    use model::vrrp::{Destination, Peer, Unicast};

    #[test]
    fn each_state_of_an_interface_is_named() {
        type Breach = fn(&mut Facts);
        let table: &[(Breach, &str)] = &[
            (|facts| facts.interfaces.retain(|one| one.device.name != "eth0"), "no-interface"),
            (|facts| facts.named("eth0").device.up = false, "down"),
            (|facts| facts.named("eth0").device.carrier = false, "no-carrier"),
            (|facts| facts.named("eth0").addresses.clear(), "no-address"),
        ];
        for (breach, code) in table {
            let bed = Bed::broken(nat_plan(), breach);
            assert_eq!(bed.bad(), [*code]);
            assert_eq!(bed.first().place, "eth0");
        }
    }

    #[test]
    fn a_peer_without_a_way_is_named() {
        let mut plan = nat_plan();
        let peer = Peer { address: [203, 0, 113, 9].into(), min_ttl: None, max_ttl: None };
        let unicast = Unicast { peers: vec![peer], ..Unicast::default() };
        plan.vrrp.instances[0].destination = Destination::Unicast(unicast);
        let bed = Bed::broken(plan.clone(), &|facts: &mut Facts| {
            facts.routes.insert([203, 0, 113, 9].into(), None);
        });
        assert_eq!(bed.bad(), ["no-peer"]);
        assert_eq!(Bed::broken(plan, &|_: &mut Facts| {}).bad(), [""; 0]);
    }

    #[test]
    fn a_port_of_a_bridge_is_not_the_place_for_addresses() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            let mut bridge = machine().named("eth0").clone();
            (bridge.device.index, bridge.device.name) = (9, "br0".into());
            bridge.device.kind = "bridge".into();
            facts.interfaces.push(bridge);
            facts.named("eth0").device.master = Some(9);
        });
        assert_eq!(bed.bad(), ["part"]);
        assert!(bed.first().mend[0].contains("interface br0"));
    }
}
