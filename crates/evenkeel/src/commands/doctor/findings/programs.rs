//! Other programs that want the same addresses, ports or packets.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Case, Finding, Report};
use crate::commands::doctor::parts::listed;

/// Looks for them.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let before = report.findings.len();
    keepalived(case, report);
    listeners(case, report);
    ipvs(case, report);
    if report.findings.len() == before {
        report.fine("no other program has these addresses, ports or services");
    }
}

/// Two that elect a master on one machine, for the same addresses.
fn keepalived(case: Case<'_>, report: &mut Report) {
    let rival = case.facts.others.rivals.iter().find(|(name, _)| name == "keepalived");
    let Some((name, number)) = rival.filter(|_| case.plan.has_keepalived) else { return };
    report.find(
        Finding::error("rival", name, format!("{name} runs here (process {number})"))
            .needed_by("virtual addresses and virtual servers")
            .otherwise("both add and remove the same addresses, and neither knows of the other")
            .by_hand("systemctl disable --now keepalived"),
    );
}

fn covers(listener: SocketAddr, bind: SocketAddr) -> bool {
    let any = listener.ip().is_unspecified() || bind.ip().is_unspecified();
    let same_family = listener.is_ipv4() == bind.is_ipv4() || listener.is_ipv6();
    listener.port() == bind.port() && (listener.ip() == bind.ip() || (any && same_family))
}

fn listeners(case: Case<'_>, report: &mut Report) {
    for frontend in &case.plan.proxy.frontends {
        for bind in &frontend.binds {
            let mut taken = case.facts.others.listeners.iter();
            let Some((_, name)) = taken.find(|(one, _)| covers(*one, bind.address)) else {
                continue;
            };
            let whom = name.as_deref().unwrap_or("another program");
            let place = bind.address.to_string();
            let finding =
                Finding::error("port-taken", &place, format!("{whom} listens on {place}"))
                    .needed_by(format!("frontend {}", frontend.name))
                    .otherwise("the frontend cannot be bound: Evenkeel does not start");
            report.find(match whom {
                "haproxy" => finding.by_hand("systemctl disable --now haproxy"),
                _ => finding.by_hand(format!("ss -ltnp 'sport = :{}'", bind.address.port())),
            });
        }
    }
}

/// The same services in the kernel: ours come first, and theirs would take over without a word.
fn ipvs(case: Case<'_>, report: &mut Report) {
    let Some(theirs) = &case.facts.others.ipvs else { return };
    let ours = case.plan.layer4.virtual_servers.iter().flat_map(|one| &one.services);
    let both: BTreeSet<String> =
        ours.filter(|key| theirs.contains(key)).map(ToString::to_string).collect();
    if both.is_empty() {
        return;
    }
    let what = format!("the kernel's IPVS has services of this configuration: {}", listed(&both));
    report.find(
        Finding::error("ipvs", "IPVS", what)
            .needed_by(listed(&both))
            .otherwise("whatever the XDP program passes is balanced a second time, by other rules")
            .by_hand("ipvsadm -D for each of them, or `ipvsadm -C` for all"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, nat_plan, proxy_plan};
    use crate::commands::doctor::facts::Facts;

    #[test]
    fn who_is_in_the_way_is_named() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.others.rivals = vec![("haproxy".into(), 6), ("keepalived".into(), 7)];
        });
        assert_eq!(bed.bad(), ["rival"]);
        assert!(bed.first().what.contains("process 7"));
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            let key = nat_plan().layer4.virtual_servers[0].key();
            facts.others.ipvs = Some(vec![key]);
        });
        assert_eq!(bed.bad(), ["ipvs"]);
        let bed = Bed::broken(proxy_plan("0.0.0.0:80"), &|facts: &mut Facts| {
            let address = "192.0.2.2:80".parse().unwrap();
            facts.others.listeners = vec![(address, Some("nginx".into()))];
        });
        assert_eq!(bed.bad(), ["port-taken"]);
        assert!(bed.first().what.starts_with("nginx"));
    }

    #[test]
    fn a_listener_is_in_the_way_of_its_own_address_and_port_only() {
        let covers = |a: &str, b: &str| covers(a.parse().unwrap(), b.parse().unwrap());
        assert!(covers("192.0.2.1:80", "192.0.2.1:80"));
        assert!(covers("0.0.0.0:80", "192.0.2.1:80"));
        assert!(covers("192.0.2.1:80", "0.0.0.0:80"));
        assert!(covers("[::]:80", "192.0.2.1:80"));
        assert!(!covers("192.0.2.2:80", "192.0.2.1:80"));
        assert!(!covers("0.0.0.0:81", "192.0.2.1:80"));
        assert!(!covers("0.0.0.0:80", "[2001:db8::1]:80"));
    }
}
