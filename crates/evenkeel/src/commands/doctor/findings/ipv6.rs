//! What IPv6 needs of the kernel.

use std::collections::BTreeSet;

use model::vrrp::Family;

use super::sysctls::{carries, nat_services};
use super::{Case, Finding, Report};
use crate::commands::doctor::parts::{Uses, listed};
use crate::commands::doctor::remedy::{Remedy, dotted};

const FORWARD: &str = "net/ipv6/conf/all/forwarding";
/// accept_ra: 1 is "unless it forwards", 2 is always (Documentation/networking/ip-sysctl.rst).
const UNLESS_FORWARDING: i64 = 1;

/// Looks at each parameter that the configuration depends on.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    switched_off(case, report);
    forwarding(case, report);
    advertisements(case, report);
    duplicates(case, report);
}

/// It carries IPv6: adverts, virtual addresses, clients or real servers.
fn is_for_ipv6(case: Case<'_>, uses: &Uses) -> bool {
    let instance = case.plan.vrrp.instances.iter().any(|one| {
        let mut held = one.held_addresses();
        uses.instances.contains(&one.name)
            && (one.family == Family::Ipv6 || held.any(|held| held.address.is_ipv6()))
    });
    let names = [&uses.clients_of, &uses.nat_of, &uses.direct_of, &uses.tunnel_of];
    let service = case.plan.layer4.virtual_servers.iter().any(|one| {
        let is_of_ipv6 = one.services.iter().any(|key| key.family() == Family::Ipv6)
            || one.real_servers.iter().any(|real| real.endpoint.address.is_ipv6());
        is_of_ipv6 && names.iter().any(|all| all.contains(&one.id.to_string()))
    });
    instance || service
}

fn switched_off(case: Case<'_>, report: &mut Report) {
    for (name, uses) in case.parts.all().filter(|(_, uses)| is_for_ipv6(case, uses)) {
        if case.facts.conf_v6(name, "disable_ipv6") != Some(1) {
            continue;
        }
        let key = format!("net/ipv6/conf/{name}/disable_ipv6");
        report.find(
            Finding::error("ipv6-off", &key, format!("IPv6 is switched off on {name}"))
                .needed_by(uses.words())
                .otherwise("it can have no address of IPv6: adverts, clients and checks fail")
                .remedy(Remedy::conf_v6(name, "disable_ipv6", "0")),
        );
    }
}

/// The kernel answers route lookups of the data plane only where it forwards itself.
fn forwarding(case: Case<'_>, report: &mut Report) {
    let services = nat_services(case, Family::Ipv6);
    if services.is_empty() {
        return;
    }
    let own = |name: &str| case.facts.conf_v6(name, "forwarding");
    let carrying: Vec<(&str, &Uses)> =
        case.parts.all().filter(|(_, uses)| carries(uses, &services)).collect();
    let off: Vec<&(&str, &Uses)> =
        carrying.iter().filter(|(name, _)| own(name) == Some(0)).collect();
    if off.is_empty() {
        return report.fine("IPv6: forwarding is on where NAT needs it");
    }
    let otherwise = "answers of real servers are dropped: every connection times out";
    if own("all") == Some(0) && off.len() == carrying.len() {
        let finding =
            Finding::error("ipv6-forwarding", FORWARD, format!("{} is 0", dotted(FORWARD)))
                .needed_by(format!("{} (NAT)", listed(&services)))
                .otherwise(otherwise);
        let key = FORWARD.to_owned();
        let finding = keep_advertised(case, None, finding);
        return report.find(finding.remedy(Remedy::Sysctl { key, value: "1".into() }));
    }
    for (name, uses) in off {
        let key = format!("net/ipv6/conf/{name}/forwarding");
        let finding = Finding::error("ipv6-forwarding", &key, format!("{} is 0", dotted(&key)))
            .needed_by(uses.words())
            .otherwise(otherwise);
        let finding = keep_advertised(case, Some(name), finding);
        report.find(finding.remedy(Remedy::conf_v6(name, "forwarding", "1")));
    }
}

/// Before this interface forwards, or all do: the routes that they have from advertisements would
/// go at that moment.
fn keep_advertised(case: Case<'_>, only: Option<&str>, finding: Finding) -> Finding {
    advertised(case)
        .filter(|name| only.is_none_or(|only| only == *name))
        .filter(|name| case.facts.conf_v6(name, "accept_ra") == Some(UNLESS_FORWARDING))
        .fold(finding, |finding, name| finding.remedy(Remedy::conf_v6(name, "accept_ra", "2")))
}

/// Interfaces with a default route that a router's advertisement made.
fn advertised<'a>(case: Case<'a>) -> impl Iterator<Item = &'a str> {
    let routes = case.facts.defaults_v6.iter().filter(|(_, from_router)| *from_router);
    let names: BTreeSet<&str> = routes.map(|(name, _)| name.as_str()).collect();
    names.into_iter()
}

/// An interface that forwards takes no advertisements any more, unless it is told to.
fn advertisements(case: Case<'_>, report: &mut Report) {
    let ignores = |name: &str| {
        case.facts.conf_v6(name, "forwarding") == Some(1)
            && case.facts.conf_v6(name, "accept_ra") == Some(UNLESS_FORWARDING)
    };
    let advertised: BTreeSet<&str> = advertised(case).collect();
    for (name, uses) in case.parts.all().filter(|(name, _)| ignores(name)) {
        let for_clients = !uses.clients_of.is_empty() && is_for_ipv6(case, uses);
        let (what, otherwise) = if advertised.contains(name) {
            (
                format!(
                    "the IPv6 default route by {name} came from a router's advertisement, and \
                     {name} takes none since it forwards"
                ),
                "the route goes when its time is over: clients of other networks get no answers",
            )
        } else if for_clients && case.facts.defaults_v6.is_empty() {
            (
                format!(
                    "there is no IPv6 default route, and {name} takes no router's advertisements \
                     since it forwards"
                ),
                "clients of other networks get no answers",
            )
        } else {
            continue;
        };
        report.find(
            Finding::warning("accept-ra", &format!("net/ipv6/conf/{name}/accept_ra"), what)
                .needed_by(uses.words())
                .otherwise(otherwise)
                .remedy(Remedy::conf_v6(name, "accept_ra", "2"))
                .by_hand(
                    "or give it a default route of its own: ip -6 route add default via ROUTER",
                ),
        );
    }
}

/// A virtual address that is asked about on the wire before it is used.
fn duplicates(case: Case<'_>, report: &mut Report) {
    for instance in &case.plan.vrrp.instances {
        let waits = |name: &str| {
            ["all", name].iter().any(|of| case.facts.conf_v6(of, "accept_dad").unwrap_or(0) >= 1)
        };
        let mut held = instance.held_addresses().filter(|one| one.address.is_ipv6());
        let place = |one: &model::vrrp::VirtualAddress| {
            one.interface.clone().unwrap_or_else(|| instance.interface.clone())
        };
        let Some(one) = held.find(|one| one.flags.no_dad && waits(&place(one))) else {
            continue;
        };
        let what = format!("{} is looked for on the wire before it is used (-nodad)", one.address);
        report.find(
            Finding::warning("duplicate-detection", &place(one), what)
                .needed_by(format!("vrrp_instance {}", instance.name))
                .otherwise(
                    "after a failover nobody is served by it for a second, and never while the \
                     other director still has it",
                )
                .by_hand(format!("remove -nodad from {} in the instance", one.address)),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::doctor::bed::{Bed, nat_plan, nat_plan_v6};
    use crate::commands::doctor::facts::Facts;
    use model::Plan;

    fn set(facts: &mut Facts, key: &str, value: &str) {
        facts.sysctls.insert(format!("net/ipv6/conf/{key}"), value.to_owned());
    }

    fn off(facts: &mut Facts) {
        for name in ["all", "eth0", "eth1"] {
            set(facts, &format!("{name}/forwarding"), "0");
        }
    }

    const ALL_ON: &str = "sysctl -w net.ipv6.conf.all.forwarding=1";

    #[test]
    fn a_good_machine_has_nothing_to_say_about_ipv6() {
        assert_eq!(Bed::broken(nat_plan_v6(), &|_: &mut Facts| {}).bad(), [""; 0]);
    }

    #[test]
    fn nat_of_ipv6_needs_forwarding_of_ipv6_alone() {
        assert_eq!(Bed::broken(nat_plan(), &off).bad(), [""; 0]);
        let bed = Bed::broken(nat_plan_v6(), &off);
        assert_eq!(bed.bad(), ["ipv6-forwarding"]);
        assert_eq!(bed.first().mend, [ALL_ON]);
        let bed = Bed::broken(nat_plan_v6(), &|facts: &mut Facts| {
            facts.sysctls.insert("net/ipv4/ip_forward".into(), "0".into());
        });
        assert_eq!(bed.bad(), [""; 0]);
        let bed = Bed::broken(nat_plan_v6(), &|facts: &mut Facts| {
            set(facts, "eth1/forwarding", "0");
        });
        assert_eq!(bed.bad(), ["ipv6-forwarding"]);
        assert_eq!(bed.first().mend, ["sysctl -w net.ipv6.conf.eth1.forwarding=1"]);
    }

    #[test]
    fn advertised_routes_are_kept_before_forwarding_begins() {
        let bed = Bed::broken(nat_plan_v6(), &|facts: &mut Facts| {
            off(facts);
            set(facts, "eth0/accept_ra", "1");
            facts.defaults_v6 = vec![("eth0".into(), true)];
        });
        assert_eq!(bed.bad(), ["ipv6-forwarding"]);
        assert_eq!(bed.first().mend, ["sysctl -w net.ipv6.conf.eth0.accept_ra=2", ALL_ON]);
    }

    #[test]
    fn an_interface_that_forwards_and_lives_by_advertisements_is_named() {
        for defaults in [vec![("eth0".to_owned(), true)], vec![]] {
            let bed = Bed::broken(nat_plan_v6(), &|facts: &mut Facts| {
                set(facts, "eth0/accept_ra", "1");
                facts.defaults_v6 = defaults.clone();
            });
            assert_eq!(bed.bad(), ["accept-ra"], "{defaults:?}");
            assert_eq!(bed.first().mend[0], "sysctl -w net.ipv6.conf.eth0.accept_ra=2");
            assert!(!bed.report.has_errors());
        }
        let bed = Bed::broken(nat_plan_v6(), &|facts: &mut Facts| {
            set(facts, "eth0/accept_ra", "1");
            facts.defaults_v6 = vec![("eth1".into(), false)];
        });
        assert_eq!(bed.bad(), [""; 0], "a route of one's own is enough");
    }

    #[test]
    fn an_interface_without_ipv6_is_named() {
        let off = |facts: &mut Facts| set(facts, "eth0/disable_ipv6", "1");
        assert_eq!(Bed::broken(nat_plan_v6(), &off).bad(), ["ipv6-off"]);
        assert_eq!(Bed::broken(nat_plan(), &off).bad(), [""; 0]);
    }

    #[test]
    fn a_virtual_address_that_waits_for_its_duplicates_is_named() {
        let mut plan: Plan = nat_plan_v6();
        plan.vrrp.instances[0].addresses[0].flags.no_dad = true;
        let waits = |facts: &mut Facts| set(facts, "eth0/accept_dad", "1");
        assert_eq!(Bed::broken(plan.clone(), &waits).bad(), ["duplicate-detection"]);
        assert_eq!(Bed::broken(plan, &|_: &mut Facts| {}).bad(), [""; 0], "detection is off");
        assert_eq!(Bed::broken(nat_plan_v6(), &waits).bad(), [""; 0]);
    }
}
