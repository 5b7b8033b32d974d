//! Kernel parameters.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::layer4::{Forwarding, ServiceKey};
use model::vrrp::{Family, VirtualLink};

use super::{Case, Finding, Report};
use crate::commands::doctor::parts::{Uses, client_side, listed};
use crate::commands::doctor::remedy::{Remedy, dotted};

const FORWARD: &str = "net/ipv4/ip_forward";
const NONLOCAL: &str = "net/ipv4/ip_nonlocal_bind";
/// rp_filter: 1 is strict, 2 loose (Documentation/networking/ip-sysctl.rst).
const STRICT: i64 = 1;

/// Looks at each parameter that the configuration depends on.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    forwarding(case, report);
    reverse_path(case, report);
    redirects(case, report);
    loopback_addresses(case, report);
    ours(case, report);
    binds(case, report);
    secondaries(case, report);
}

/// Virtual servers of this family with real servers by network address translation.
pub(super) fn nat_services(case: Case<'_>, family: Family) -> BTreeSet<String> {
    let servers = case.plan.layer4.virtual_servers.iter();
    let of_family = servers.filter(|one| one.services.iter().any(|key| key.family() == family));
    let names: BTreeSet<String> = of_family.map(|one| one.id.to_string()).collect();
    let nat = case.parts.all().flat_map(|(_, uses)| uses.nat_of.iter());
    nat.filter(|name| names.contains(*name)).cloned().collect()
}

/// It has to do with packets of these NAT services.
pub(super) fn carries(uses: &Uses, services: &BTreeSet<String>) -> bool {
    let sides = [&uses.nat_of, &uses.clients_of];
    uses.attached && sides.iter().any(|names| !names.is_disjoint(services))
}

/// The kernel answers route lookups of the data plane only where it forwards itself.
fn forwarding(case: Case<'_>, report: &mut Report) {
    let services = nat_services(case, Family::Ipv4);
    if services.is_empty() {
        return;
    }
    let whom = format!("{} (NAT)", listed(&services));
    match case.facts.sysctl(FORWARD) {
        Some("0") => {
            let key = FORWARD.to_owned();
            report.find(
                Finding::error("ip-forward", FORWARD, format!("{} is 0", dotted(FORWARD)))
                    .needed_by(whom)
                    .otherwise("answers of real servers are dropped: every connection times out")
                    .remedy(Remedy::Sysctl { key, value: "1".into() }),
            );
            return;
        }
        Some(_) => report.fine(format!("{} is 1", dotted(FORWARD))),
        None => {}
    }
    for (name, uses) in case.parts.all().filter(|(_, uses)| carries(uses, &services)) {
        if case.facts.conf(name, "forwarding") == Some(0) {
            let key = format!("net/ipv4/conf/{name}/forwarding");
            report.find(
                Finding::error("forwarding", &key, format!("{} is 0", dotted(&key)))
                    .needed_by(uses.words())
                    .otherwise(format!("packets that come in by {name} are not routed further"))
                    .remedy(Remedy::conf(name, "forwarding", "1")),
            );
        }
    }
}

/// A strict reverse path drops what comes in by another interface than the way back.
fn reverse_path(case: Case<'_>, report: &mut Report) {
    let mut loose = true;
    for (name, uses) in case.parts.all() {
        if case.facts.greater_conf(name, "rp_filter") != Some(STRICT) {
            continue;
        }
        loose = false;
        let key = format!("net/ipv4/conf/{name}/rp_filter");
        let what = format!("the reverse path filter of {name} is strict");
        let finding = match asymmetry(case, name, uses) {
            Some(why) => Finding::error("rp-filter", &key, what).otherwise(why),
            None => Finding::warning("rp-filter", &key, what).otherwise(
                "as soon as the way back leads by another interface (a failover, a second route), \
                 packets are dropped without a word",
            ),
        };
        // The greater of `all` and the interface's own counts, and 2 is greater.
        report.find(finding.needed_by(uses.words()).remedy(Remedy::conf(name, "rp_filter", "2")));
    }
    if loose && case.parts.all().next().is_some() {
        report.fine("rp_filter: no strict reverse path filter");
    }
}

/// What is dropped by it now.
fn asymmetry(case: Case<'_>, name: &str, uses: &Uses) -> Option<String> {
    let index = case.facts.interface(name)?.device.index;
    let elsewhere = case.facts.elsewhere.filter(|out| *out != index);
    let other = elsewhere.and_then(|out| case.facts.by_index(out));
    let other = other.filter(|_| !uses.clients_of.is_empty())?;
    Some(format!(
        "clients of other networks come in by {name}, the way back to them leads by {}: what the \
         kernel handles of them is dropped without a word",
        other.device.name
    ))
}

/// On one network with its servers a director must not tell them of shorter ways.
fn redirects(case: Case<'_>, report: &mut Report) {
    for (name, uses) in case.parts.all() {
        let one_arm = uses.clients_of.intersection(&uses.nat_of).next().is_some();
        let sends = |of: &str| case.facts.conf(of, "send_redirects") == Some(1);
        if !one_arm || !(sends("all") || sends(name)) {
            continue;
        }
        let key = format!("net/ipv4/conf/{name}/send_redirects");
        let mut finding = Finding::warning(
            "send-redirects",
            &key,
            format!("{name} sends ICMP redirects, and has clients and real servers (NAT)"),
        )
        .needed_by(uses.words())
        .otherwise("real servers learn to answer clients past the director: connections break");
        for of in ["all", name].into_iter().filter(|of| sends(of)) {
            finding = finding.remedy(Remedy::conf(of, "send_redirects", "0"));
        }
        report.find(finding);
    }
}

/// Virtual addresses on the loopback: this machine is a real server of direct routing.
fn loopback_addresses(case: Case<'_>, report: &mut Report) {
    let on_loopback: BTreeSet<IpAddr> = case
        .facts
        .interfaces
        .iter()
        .filter(|one| one.device.loopback)
        .flat_map(|one| one.addresses.iter().map(|(address, _)| *address))
        .collect();
    let mut silent = true;
    let virtual_addresses = virtual_addresses(case);
    // Nobody is told by IPv6 of addresses of another interface: ARP alone has the trap.
    let virtual_addresses: BTreeSet<IpAddr> =
        virtual_addresses.into_iter().filter(IpAddr::is_ipv4).collect();
    // One that an instance itself puts there is meant to be answered for.
    let is_meant = |address: &IpAddr| {
        let name = client_side(case.plan, case.facts, *address);
        name.is_some_and(|name| case.facts.interface(&name).is_some_and(|it| it.device.loopback))
    };
    let shared: Vec<IpAddr> =
        on_loopback.intersection(&virtual_addresses).copied().filter(|it| !is_meant(it)).collect();
    for (name, uses) in case.parts.all() {
        let Some(address) = shared.first() else { break };
        for (parameter, least, code, otherwise) in [
            (
                "arp_ignore",
                1,
                "arp-ignore",
                "this machine answers ARP for the address while it is not master: it takes the \
                 traffic away from the master",
            ),
            (
                "arp_announce",
                2,
                "arp-announce",
                "this machine's ARP requests carry the virtual address: neighbours take it for \
                 the master",
            ),
        ] {
            if case.facts.greater_conf(name, parameter).is_none_or(|value| value >= least) {
                continue;
            }
            silent = false;
            let key = format!("net/ipv4/conf/{name}/{parameter}");
            let what = format!("{address} is on lo, and {parameter} of {name} is below {least}");
            report.find(
                Finding::error(code, &key, what)
                    .needed_by(uses.words())
                    .otherwise(otherwise)
                    .remedy(Remedy::conf(name, parameter, &least.to_string())),
            );
        }
    }
    if silent && !shared.is_empty() {
        report.fine("ARP: virtual addresses on lo are not told of");
    }
    missing_on_loopback(case, report);
}

fn virtual_addresses(case: Case<'_>) -> BTreeSet<IpAddr> {
    let held = case.plan.vrrp.instances.iter().flat_map(|one| one.held_addresses());
    let served = case.plan.layer4.virtual_servers.iter().flat_map(|one| &one.services);
    held.map(|one| one.address).chain(served.filter_map(ServiceKey::address)).collect()
}

/// Each of two directors may be a real server of the other one.
fn missing_on_loopback(case: Case<'_>, report: &mut Report) {
    for server in &case.plan.layer4.virtual_servers {
        let is_here = server.real_servers.iter().any(|one| {
            one.forwarding == Forwarding::DirectRouting
                && !one.endpoint.address.is_loopback()
                && case.facts.holder(one.endpoint.address).is_some()
        });
        let missing = server.services.iter().filter_map(ServiceKey::address);
        let mut missing = missing.filter(|address| case.facts.holder(*address).is_none());
        let Some(address) = missing.next().filter(|_| is_here) else { continue };
        let what = format!("this machine is a real server (DR) of {address} and does not have it");
        let finding = Finding::warning("self-real-server", "lo", what)
            .needed_by(server.id.to_string())
            .otherwise("while another director is master, connections that it sends here fail");
        report.find(match address {
            IpAddr::V4(_) => finding
                .by_hand(format!("ip addr add {address}/32 dev lo"))
                .by_hand("with arp_ignore=1 and arp_announce=2 on the other interfaces"),
            IpAddr::V6(_) => finding.by_hand(format!("ip addr add {address}/128 dev lo")),
        });
    }
}

/// What we set ourselves: `route_localnet` for real servers at 127.0.0.0/8, ARP for virtual MAC
/// addresses, `promote_secondaries` where it is written.
fn ours(case: Case<'_>, report: &mut Report) {
    let mut users: BTreeSet<String> = BTreeSet::new();
    for server in &case.plan.layer4.virtual_servers {
        let sorry = server.quorum.sorry.iter().map(|sorry| sorry.endpoint.address);
        let mut real = server.real_servers.iter().map(|one| one.endpoint.address).chain(sorry);
        if real.any(|address| address.is_ipv4() && address.is_loopback()) {
            users.insert(format!("the real server at 127.0.0.0/8 of {}", server.id));
        }
    }
    for instance in &case.plan.vrrp.instances {
        let virtual_mac = matches!(instance.link, VirtualLink::Macvlan { .. })
            || !instance.address_links.is_empty();
        if virtual_mac || instance.promote_secondaries {
            users.insert(format!("vrrp_instance {}", instance.name));
        }
    }
    if users.is_empty() {
        return;
    }
    if case.facts.kernel.sysctls_writable {
        return report.fine("kernel parameters that Evenkeel sets itself can be set");
    }
    report.find(
        Finding::error("sysctl-read-only", "/proc/sys", "kernel parameters cannot be changed here")
            .needed_by(listed(&users))
            .otherwise("what needs them (route_localnet, arp_ignore, promote_secondaries) fails")
            .by_hand("run as root, and give a container a writable /proc/sys/net"),
    );
}

/// Frontends on addresses that are not here.
fn binds(case: Case<'_>, report: &mut Report) {
    let anyhow = case.facts.number(NONLOCAL).is_none_or(|value| value != 0);
    for frontend in &case.plan.proxy.frontends {
        let missing = frontend.binds.iter().find(|bind| {
            let address = bind.address.ip();
            !bind.freebind && !address.is_unspecified() && case.facts.holder(address).is_none()
        });
        let Some(bind) = missing.filter(|bind| !anyhow && bind.address.is_ipv4()) else { continue };
        let what = format!("no interface has {}, and {} is 0", bind.address.ip(), dotted(NONLOCAL));
        report.find(
            Finding::error("nonlocal-bind", NONLOCAL, what)
                .needed_by(format!("frontend {}", frontend.name))
                .otherwise(format!("{} cannot be bound: the proxy does not start", bind.address))
                .remedy(Remedy::Sysctl { key: NONLOCAL.to_owned(), value: "1".into() })
                .by_hand("or put the address into a vrrp_instance, which needs no parameter"),
        );
    }
}

/// Without an address of its own in the network, an interface loses all of an instance's when the
/// first one goes.
fn secondaries(case: Case<'_>, report: &mut Report) {
    for (name, uses) in case.parts.all().filter(|(_, uses)| uses.instances.len() > 1) {
        let promotes = case.facts.greater_conf(name, "promote_secondaries");
        if promotes != Some(0) {
            continue;
        }
        let instances = case.plan.vrrp.instances.iter();
        let here = instances.filter(|one| one.interface == name && !one.promote_secondaries);
        let mut networks: Vec<((IpAddr, u8), &str)> = Vec::new();
        for instance in here {
            for address in instance.held_addresses().filter(|one| one.interface.is_none()) {
                if let Some(network) = network_of(address.address, address.prefix_len) {
                    networks.push((network, &instance.name));
                }
            }
        }
        let shared = networks.iter().find(|(network, instance)| {
            let own = |(address, length): &(IpAddr, u8)| {
                network_of(*address, *length) == Some(*network)
                    && !virtual_addresses(case).contains(address)
            };
            networks.iter().any(|(other, whose)| other == network && whose != instance)
                && !case.facts.interface(name).is_some_and(|one| one.addresses.iter().any(own))
        });
        let Some(((network, length), _)) = shared else { continue };
        let key = format!("net/ipv4/conf/{name}/promote_secondaries");
        let what = format!(
            "several instances have addresses of {network}/{length} on {name}, and {} is 0",
            dotted(&key)
        );
        report.find(
            Finding::warning("promote-secondaries", &key, what)
                .needed_by(uses.words())
                .otherwise(
                    "when one instance leaves, the kernel may remove the others' addresses too, \
                     until they are put back",
                )
                .remedy(Remedy::conf(name, "promote_secondaries", "1"))
                .by_hand("or write `promote_secondaries` in the instances"),
        );
    }
}

/// The network of an IPv4 address, hosts of their own excepted.
fn network_of(address: IpAddr, length: u8) -> Option<(IpAddr, u8)> {
    match address {
        IpAddr::V4(address) if length < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some((IpAddr::V4((address.to_bits() & mask).into()), length))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, direct_plan, machine, nat_plan, proxy_plan};
    use crate::commands::doctor::facts::Facts;
    use edge::netlink::route::Route;
    use model::layer4::{Endpoint, SorryServer};

    fn set(facts: &mut Facts, key: &str, value: &str) {
        facts.sysctls.insert(key.to_owned(), value.to_owned());
    }

    #[test]
    fn each_parameter_is_named_with_its_command() {
        let table: &[(&str, &str, &str, &str)] = &[
            ("ip_forward", "0", "ip-forward", "sysctl -w net.ipv4.ip_forward=1"),
            (
                "conf/eth1/forwarding",
                "0",
                "forwarding",
                "sysctl -w net.ipv4.conf.eth1.forwarding=1",
            ),
            ("conf/eth1/rp_filter", "1", "rp-filter", "sysctl -w net.ipv4.conf.eth1.rp_filter=2"),
        ];
        for (key, value, code, command) in table {
            let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
                set(facts, &format!("net/ipv4/{key}"), value);
            });
            assert_eq!(bed.bad(), [*code]);
            assert_eq!(bed.first().mend, [*command]);
        }
    }

    #[test]
    fn direct_routing_needs_no_forwarding() {
        let bed = Bed::broken(direct_plan(), &|facts: &mut Facts| {
            set(facts, "net/ipv4/ip_forward", "0");
        });
        assert_eq!(bed.bad(), [""; 0]);
    }

    #[test]
    fn a_strict_filter_is_an_error_where_the_way_back_is_another() {
        let strict = |facts: &mut Facts| set(facts, "net/ipv4/conf/all/rp_filter", "1");
        let bed = Bed::broken(nat_plan(), &strict);
        assert_eq!(bed.bad(), ["rp-filter", "rp-filter"]);
        assert!(!bed.report.has_errors());
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            strict(facts);
            facts.elsewhere = Some(machine().named("eth1").device.index);
        });
        assert!(bed.report.has_errors());
        assert!(bed.first().otherwise.contains("leads by eth1"));
        // A loose filter of the interface itself wins over a strict one of all.
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            strict(facts);
            set(facts, "net/ipv4/conf/eth0/rp_filter", "2");
            set(facts, "net/ipv4/conf/eth1/rp_filter", "2");
        });
        assert_eq!(bed.bad(), [""; 0]);
    }

    #[test]
    fn one_arm_with_redirects_is_named() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            let index = facts.named("eth0").device.index;
            facts.routes.values_mut().flatten().for_each(|way| way.interface = index);
            set(facts, "net/ipv4/conf/all/send_redirects", "1");
        });
        assert_eq!(bed.bad(), ["send-redirects"]);
        assert_eq!(bed.first().mend, ["sysctl -w net.ipv4.conf.all.send_redirects=0"]);
    }

    #[test]
    fn a_virtual_address_on_the_loopback_must_be_kept_secret() {
        let address = IpAddr::from([192, 0, 2, 10]);
        let shared = |facts: &mut Facts| facts.named("lo").addresses.push((address, 32));
        let bed = Bed::broken(direct_plan(), &shared);
        assert_eq!(bed.bad(), ["arp-ignore", "arp-announce"]);
        let mut meant = direct_plan();
        meant.vrrp.instances[0].addresses[0].interface = Some("lo".into());
        let found = Bed::broken(meant, &shared).bad();
        assert!(!found.iter().any(|code| code.starts_with("arp")), "{found:?}");
        let bed = Bed::broken(direct_plan(), &|facts: &mut Facts| {
            shared(facts);
            set(facts, "net/ipv4/conf/all/arp_ignore", "1");
            set(facts, "net/ipv4/conf/eth0/arp_announce", "2");
        });
        assert_eq!(bed.bad(), [""; 0]);
    }

    #[test]
    fn a_director_that_is_a_real_server_needs_the_address() {
        let bed = Bed::broken(direct_plan(), &|facts: &mut Facts| {
            facts.named("eth0").addresses.push(([192, 0, 2, 21].into(), 24));
        });
        assert_eq!(bed.bad(), ["self-real-server"]);
    }

    #[test]
    fn parameters_that_we_set_must_be_ours_to_set() {
        let read_only = |facts: &mut Facts| facts.kernel.sysctls_writable = false;
        assert_eq!(Bed::broken(nat_plan(), &read_only).bad(), [""; 0]);
        let mut plan = nat_plan();
        let endpoint = Endpoint { address: [127, 0, 0, 1].into(), port: 8080 };
        let forwarding = Forwarding::Nat;
        plan.layer4.virtual_servers[0].quorum.sorry =
            Some(SorryServer { endpoint, forwarding, inhibit: false });
        let next_hop = [127, 0, 0, 1].into();
        let local = Route { interface: 1, next_hop, source: None, local: true, mtu: None };
        let bed = Bed::broken(plan, &|facts: &mut Facts| {
            facts.routes.insert(next_hop, Some(local));
            read_only(facts);
        });
        assert_eq!(bed.bad(), ["sysctl-read-only"]);
    }

    #[test]
    fn a_frontend_on_an_address_of_nobody_is_named() {
        let bed = Bed::broken(proxy_plan("192.0.2.99:80"), &|_: &mut Facts| {});
        assert_eq!(bed.bad(), ["nonlocal-bind"]);
        let bed = Bed::broken(proxy_plan("192.0.2.99:80"), &|facts: &mut Facts| {
            set(facts, NONLOCAL, "1");
        });
        assert_eq!(bed.bad(), [""; 0]);
        for fine in ["0.0.0.0:80", "192.0.2.2:80"] {
            assert_eq!(Bed::broken(proxy_plan(fine), &|_: &mut Facts| {}).bad(), [""; 0]);
        }
    }

    #[test]
    fn addresses_of_two_instances_in_one_network_hang_together() {
        let mut plan = nat_plan();
        let mut second = plan.vrrp.instances[0].clone();
        second.name = "OTHER".into();
        second.addresses[0].address = [192, 0, 2, 11].into();
        plan.vrrp.instances.push(second);
        assert_eq!(Bed::broken(plan.clone(), &|_: &mut Facts| {}).bad(), [""; 0]);
        for one in &mut plan.vrrp.instances {
            one.addresses.iter_mut().for_each(|address| address.prefix_len = 28);
        }
        let bed = Bed::broken(plan, &|facts: &mut Facts| {
            set(facts, "net/ipv4/conf/eth0/promote_secondaries", "0");
        });
        assert_eq!(bed.bad(), ["promote-secondaries"]);
    }
}
