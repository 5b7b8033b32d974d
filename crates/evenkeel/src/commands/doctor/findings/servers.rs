//! Real servers: whether there is a way to them, and one that fits how packets are forwarded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::layer4::Forwarding;

use super::{Case, Finding, Report};
use crate::commands::doctor::parts::listed;
use crate::commands::doctor::remedy::Remedy;

const NEIGHBOURS: &str = "net/ipv4/neigh/default/gc_thresh3";
const NEIGHBOURS_V6: &str = "net/ipv6/neigh/default/gc_thresh3";

/// Who uses a real server, and how.
#[derive(Default)]
struct Users {
    nat: BTreeSet<String>,
    direct: BTreeSet<String>,
    tunnel: BTreeSet<String>,
}

impl Users {
    fn all(&self) -> impl Iterator<Item = String> {
        self.nat.iter().chain(&self.direct).chain(&self.tunnel).cloned()
    }
}

/// Looks at each real server.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let servers = users(case);
    if servers.is_empty() {
        return;
    }
    let before = report.findings.len();
    without_way(case, &servers, report);
    behind_gateways(case, &servers, report);
    silence(case, &servers, report);
    neighbours(case, report);
    if report.findings.len() == before {
        report.fine(format!(
            "real servers: {} with a way to each, all next hops answer",
            servers.len()
        ));
    }
    advice(&servers, report);
}

fn users(case: Case<'_>) -> BTreeMap<IpAddr, Users> {
    let mut found: BTreeMap<IpAddr, Users> = BTreeMap::new();
    for server in &case.plan.layer4.virtual_servers {
        let sorry = server.quorum.sorry.iter().map(|one| (one.endpoint.address, one.forwarding));
        let real = server.real_servers.iter().map(|one| (one.endpoint.address, one.forwarding));
        for (address, forwarding) in real.chain(sorry) {
            let users = found.entry(address).or_default();
            match forwarding {
                Forwarding::Nat => users.nat.insert(server.id.to_string()),
                Forwarding::DirectRouting => users.direct.insert(server.id.to_string()),
                Forwarding::Tunnel(_) => users.tunnel.insert(server.id.to_string()),
            };
        }
    }
    found
}

/// Real servers that something is found out about together, and who uses them.
#[derive(Default)]
struct Group {
    addresses: BTreeSet<String>,
    users: BTreeSet<String>,
}

impl Group {
    fn add(&mut self, address: IpAddr, users: impl Iterator<Item = String>) {
        self.addresses.insert(address.to_string());
        self.users.extend(users);
    }
}

/// Those that no route leads to: one finding for each interface that is down, one for the others.
fn without_way(case: Case<'_>, servers: &BTreeMap<IpAddr, Users>, report: &mut Report) {
    let mut down: BTreeMap<&str, Group> = BTreeMap::new();
    let mut others = Group::default();
    for (address, users) in servers {
        if matches!(case.facts.routes.get(address), Some(Some(_))) {
            continue;
        }
        let all = users.all();
        let mut beside = case.facts.interfaces.iter().filter(|one| one.is_beside(*address));
        match beside.find(|one| !one.device.up) {
            Some(interface) => {
                down.entry(&interface.device.name).or_default().add(*address, all);
            }
            None => others.add(*address, all),
        }
    }
    for (name, some) in down {
        // As an interface that takes part it was named already.
        if case.parts.names().any(|one| one == name) {
            continue;
        }
        let servers = listed(&some.addresses);
        report.find(
            Finding::error("down", name, format!("{name} is down, the way to {servers}"))
                .needed_by(listed(&some.users))
                .otherwise("these real servers are never checked as up and get no connection")
                .by_hand(format!("ip link set dev {name} up")),
        );
    }
    if let Some(first) = others.addresses.first() {
        let what = format!("there is no way to real servers: {}", listed(&others.addresses));
        report.find(
            Finding::error("no-route", first, what)
                .needed_by(listed(&others.users))
                .otherwise("they are never checked as up and get no connection")
                .by_hand(format!("ip route add {first} via GATEWAY, or its network's route")),
        );
    }
}

/// Those of direct routing that are not in a network of ours: one finding for each gateway.
fn behind_gateways(case: Case<'_>, servers: &BTreeMap<IpAddr, Users>, report: &mut Report) {
    let mut gateways: BTreeMap<IpAddr, Group> = BTreeMap::new();
    for (address, users) in servers.iter().filter(|(_, users)| !users.direct.is_empty()) {
        let way = case.facts.routes.get(address).copied().flatten();
        if let Some(way) = way.filter(|way| !way.local && way.next_hop != *address) {
            gateways.entry(way.next_hop).or_default().add(*address, users.direct.iter().cloned());
        }
    }
    for (gateway, some) in gateways {
        let servers = listed(&some.addresses);
        let what = format!("real servers are behind the gateway {gateway}: {servers}");
        report.find(
            Finding::error("not-on-link", &gateway.to_string(), what)
                .needed_by(format!("{} (DR)", listed(&some.users)))
                .otherwise(
                    "direct routing only changes the MAC address: the gateway sends the packets \
                     back to the virtual address",
                )
                .by_hand("put them into a network that this machine is in, or use `lb_kind NAT`"),
        );
    }
}

/// Those that were asked and said nothing; one finding for each interface.
fn silence(case: Case<'_>, servers: &BTreeMap<IpAddr, Users>, report: &mut Report) {
    let mut by_interface: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (index, hop) in &case.facts.silent {
        let used = case.facts.routes.iter().any(|(address, way)| {
            servers.contains_key(address)
                && way.is_some_and(|way| (way.interface, way.next_hop) == (*index, *hop))
        });
        if used {
            by_interface.entry(*index).or_default().insert(hop.to_string());
        }
    }
    for (index, hops) in by_interface {
        let Some(interface) = case.facts.by_index(index) else { continue };
        let name = &interface.device.name;
        let what = format!("no answer on {name} from {}", listed(&hops));
        report.find(
            Finding::warning("no-neighbour", name, what)
                .needed_by("real servers or the gateway to them")
                .otherwise("as long as they are not there, checks fail and they get no connection")
                .by_hand(format!(
                    "arping -I {name} ADDRESS (IPv6: ndisc6 ADDRESS {name}), and look at cable, VLAN \
                     and address"
                )),
        );
    }
}

/// The kernel keeps a neighbour for each next hop, in a table for each family.
fn neighbours(case: Case<'_>, report: &mut Report) {
    let ways = case.facts.routes.values().flatten().filter(|way| !way.local);
    let hops: BTreeSet<(u32, IpAddr)> = ways.map(|way| (way.interface, way.next_hop)).collect();
    let (v4, v6): (Vec<_>, Vec<_>) = hops.into_iter().partition(|(_, hop)| hop.is_ipv4());
    for (key, hops) in [(NEIGHBOURS, v4.len()), (NEIGHBOURS_V6, v6.len())] {
        let Some(room) = case.facts.number(key) else { continue };
        // Clients and others need some too.
        let wanted = (hops + hops / 2) as i64;
        if wanted <= room {
            continue;
        }
        let value = (wanted as u64).next_power_of_two().to_string();
        let what =
            format!("the neighbour table has room for {room}, and there are {hops} next hops");
        report.find(
            Finding::warning("neighbour-table", key, what)
                .needed_by("real servers")
                .otherwise(
                    "next hops are forgotten and asked for again: packets are lost meanwhile",
                )
                .remedy(Remedy::Sysctl { key: key.to_owned(), value }),
        );
    }
}

/// What this machine cannot see: how the real servers are set up.
fn advice(servers: &BTreeMap<IpAddr, Users>, report: &mut Report) {
    let all = |of: fn(&Users) -> &BTreeSet<String>| -> BTreeSet<String> {
        servers.values().flat_map(|users| of(users).iter().cloned()).collect()
    };
    let (nat, direct) = (all(|users| &users.nat), all(|users| &users.direct));
    let tunnel = all(|users| &users.tunnel);
    if !tunnel.is_empty() {
        report.find(
            Finding::note("real-servers-tun", "real servers", "what tunnels need on them")
                .needed_by(format!("{} (TUN)", listed(&tunnel)))
                .otherwise("they refuse the packets, or do not know the virtual address")
                .by_hand("modprobe ipip; ip link set tunl0 up (type gre: gre0; type gue: ip fou)")
                .by_hand(
                    "over IPv6: modprobe ip6_tunnel; ip link set ip6tnl0 up (type gre: ip6gre0)",
                )
                .by_hand("ip addr add VIRTUAL-ADDRESS/32 dev tunl0")
                .by_hand("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0")
                .by_hand("sysctl -w net.ipv4.conf.all.arp_ignore=1")
                .by_hand("sysctl -w net.ipv4.conf.all.arp_announce=2")
                .by_hand("their way back to clients must not lead through this director"),
        );
    }
    if !direct.is_empty() {
        report.find(
            Finding::note("real-servers-dr", "real servers", "what direct routing needs on them")
                .needed_by(format!("{} (DR)", listed(&direct)))
                .otherwise("they refuse the packets, or answer ARP for the virtual address")
                .by_hand("ip addr add VIRTUAL-ADDRESS/32 dev lo (IPv6: /128, and nothing else)")
                .by_hand("sysctl -w net.ipv4.conf.all.arp_ignore=1")
                .by_hand("sysctl -w net.ipv4.conf.all.arp_announce=2"),
        );
    }
    if !nat.is_empty() {
        report.find(
            Finding::note("real-servers-nat", "real servers", "what NAT needs on them")
                .needed_by(format!("{} (NAT)", listed(&nat)))
                .otherwise("their answers pass the director by, and clients refuse them")
                .by_hand(
                    "the way back to clients leads through this director: a default route to an \
                     address that a vrrp_instance holds on their side",
                ),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::doctor::bed::{Bed, direct_plan, nat_plan, tunnel_plan};
    use crate::commands::doctor::facts::Facts;

    #[test]
    fn a_server_without_a_way_is_named() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.routes.insert([10, 0, 0, 22].into(), None);
        });
        assert_eq!(bed.bad(), ["no-route"]);
        assert_eq!(bed.first().place, "10.0.0.22");
    }

    #[test]
    fn an_interface_that_is_down_is_named_as_the_cause() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.named("eth1").device.up = false;
            facts.routes.insert([10, 0, 0, 21].into(), None);
            facts.routes.insert([10, 0, 0, 22].into(), None);
        });
        assert_eq!(bed.bad(), ["down"]);
        assert_eq!(bed.first().mend, ["ip link set dev eth1 up"]);
    }

    #[test]
    fn a_gateway_is_in_the_way_of_direct_routing_only() {
        let behind = |facts: &mut Facts| {
            facts.routes.values_mut().flatten().for_each(|way| {
                way.next_hop = [192, 0, 2, 254].into();
            });
        };
        assert_eq!(Bed::broken(nat_plan(), &behind).bad(), [""; 0]);
        assert_eq!(Bed::broken(direct_plan(), &behind).bad(), ["not-on-link"]);
        assert_eq!(Bed::broken(tunnel_plan(), &behind).bad(), [""; 0]);
    }

    #[test]
    fn silent_next_hops_are_one_warning_for_each_interface() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            let index = facts.named("eth1").device.index;
            facts.silent = vec![(index, [10, 0, 0, 21].into()), (index, [10, 0, 0, 22].into())];
        });
        assert_eq!(bed.bad(), ["no-neighbour"]);
        assert!(bed.first().what.contains("10.0.0.21, 10.0.0.22"));
    }

    #[test]
    fn a_small_neighbour_table_is_named() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.sysctls.insert(super::NEIGHBOURS.into(), "2".into());
        });
        assert_eq!(bed.bad(), ["neighbour-table"]);
        assert_eq!(bed.first().mend, ["sysctl -w net.ipv4.neigh.default.gc_thresh3=8"]);
    }

    #[test]
    fn each_way_of_forwarding_has_its_advice() {
        let advised = |bed: Bed| {
            let codes = bed.codes().into_iter().filter(|code| code.starts_with("real-servers"));
            codes.collect::<Vec<_>>().join(" ")
        };
        let none = |_: &mut Facts| {};
        assert_eq!(advised(Bed::broken(nat_plan(), &none)), "real-servers-nat");
        assert_eq!(advised(Bed::broken(direct_plan(), &none)), "real-servers-dr");
        assert_eq!(advised(Bed::broken(tunnel_plan(), &none)), "real-servers-tun");
    }
}
