//! The packet filter: rules that keep adverts out, and connection tracking.

use edge::nft_rules::{Chain, Hook, Rule, Verdict};
use model::vrrp::Family;

use super::{Case, Finding, Report};
use crate::commands::doctor::remedy::Remedy;
use crate::firewall::findings;

/// IP protocol number of VRRP.
const VRRP: u8 = 112;
const TRACKED_MAX: &str = "net/netfilter/nf_conntrack_max";
const TRACKED: &str = "net/netfilter/nf_conntrack_count";
/// Entries that connection tracking should have room for on a director at least.
const TRACKED_LEAST: i64 = 65_536;

/// Looks at rules and at connection tracking.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    adverts(case, report);
    forwarded(case, report);
    tracking(case, report);
    marks(case, report);
}

/// What marks and the rules that set them have to do with each other, as `evenkeel marks` says it.
fn marks(case: Case<'_>, report: &mut Report) {
    if case.plan.layer4.marks().next().is_none() {
        return;
    }
    for text in findings(&case.plan.layer4, &case.facts.marks) {
        report.find(
            Finding::warning("firewall-marks", "firewall marks", text)
                .by_hand("evenkeel marks shows the rules and who follows them"),
        );
    }
}

/// What a chain does with a packet of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Dropped,
    /// It hangs on conditions that are not understood here.
    Unclear,
}

fn fate(chain: &Chain, protocol: u8, interface: &str) -> Fate {
    let mut unclear = false;
    for rule in chain.rules.iter().filter(|rule| concerns(rule, protocol, interface)) {
        let about = rule.protocol == Some(protocol);
        match (rule.verdict, rule.others) {
            (Verdict::Accept, false) => return Fate::Passes,
            (Verdict::Drop, false) => return Fate::Dropped,
            (Verdict::Jump, _) => unclear = true,
            // One that names the protocol is about adverts, whatever it asks besides; another is
            // about something else.
            (Verdict::Accept | Verdict::Drop, true) => unclear |= about,
            (Verdict::None, _) => {}
        }
    }
    match (chain.drops, unclear) {
        (_, true) => Fate::Unclear,
        (true, false) => Fate::Dropped,
        (false, false) => Fate::Passes,
    }
}

fn concerns(rule: &Rule, protocol: u8, interface: &str) -> bool {
    rule.protocol.is_none_or(|one| one == protocol)
        && rule.interface.as_deref().is_none_or(|one| one == interface)
}

fn adverts(case: Case<'_>, report: &mut Report) {
    let Some(chains) = &case.facts.firewall else { return };
    let mut all_pass = true;
    let instances = case.plan.vrrp.instances.iter().filter(|one| one.family == Family::Ipv4);
    for instance in instances.clone() {
        let inputs =
            chains.iter().filter(|one| one.hook == Some(Hook::Input) && one.family != "ip6");
        for chain in inputs {
            let place = format!("nftables {} {} {}", chain.family, chain.table, chain.name);
            let needed_by = format!("vrrp_instance {}", instance.name);
            let rule = format!(
                "nft insert rule {} {} {} ip protocol 112 accept",
                chain.family, chain.table, chain.name
            );
            match fate(chain, VRRP, &instance.interface) {
                Fate::Passes => {}
                Fate::Dropped => {
                    all_pass = false;
                    let what =
                        format!("adverts (IP protocol 112) on {} are dropped", instance.interface);
                    report.find(
                        Finding::error("firewall-vrrp", &place, what)
                            .needed_by(needed_by)
                            .otherwise("this director hears no other: there are two masters")
                            .by_hand(rule),
                    );
                }
                Fate::Unclear => {
                    all_pass = false;
                    report.find(
                        Finding::note(
                            "firewall-unclear",
                            &place,
                            "whether adverts pass is unclear",
                        )
                        .needed_by(needed_by)
                        .otherwise("if they do not, there are two masters")
                        .by_hand(rule),
                    );
                }
            }
        }
    }
    if all_pass && instances.clone().next().is_some() {
        report.fine("packet filter: adverts pass");
    }
}

/// What the program leaves to the kernel goes through the forward hook.
fn forwarded(case: Case<'_>, report: &mut Report) {
    let Some(chains) = &case.facts.firewall else { return };
    let nat = case.parts.all().find(|(_, uses)| !uses.nat_of.is_empty());
    let Some((_, uses)) = nat else { return };
    let drops = |one: &&Chain| one.hook == Some(Hook::Forward) && one.family != "ip6" && one.drops;
    for chain in chains.iter().filter(drops) {
        let place = format!("nftables {} {} {}", chain.family, chain.table, chain.name);
        report.find(
            Finding::warning("firewall-forward", &place, "what no rule accepts is not forwarded")
                .needed_by(uses.words())
                .otherwise(
                    "packets whose next hop is not known yet are left to the kernel and lost there: \
                     connections stall for a moment after a failover",
                )
                .by_hand(format!(
                    "nft insert rule {} {} {} accept, for the networks of the real servers",
                    chain.family, chain.table, chain.name
                )),
        );
    }
}

fn tracking(case: Case<'_>, report: &mut Report) {
    let (Some(room), Some(used)) = (case.facts.number(TRACKED_MAX), case.facts.number(TRACKED))
    else {
        return;
    };
    let proxied: i64 = case
        .plan
        .proxy
        .process
        .max_connections
        // A proxied connection is two.
        .map_or(0, |most| i64::from(most) * 2);
    let wanted = if case.plan.proxy.frontends.is_empty() { 0 } else { proxied.max(TRACKED_LEAST) };
    if used * 10 < room * 8 && wanted <= room {
        return;
    }
    let value = wanted.max(used * 2).max(TRACKED_LEAST).to_string();
    let what = format!("connection tracking has room for {room} and holds {used}");
    report.find(
        Finding::warning("conntrack", TRACKED_MAX, what)
            .needed_by("connections that the kernel carries: proxied ones, checks")
            .otherwise("new connections are dropped when it is full (`table full` in the log)")
            .remedy(Remedy::Sysctl { key: TRACKED_MAX.to_owned(), value })
            .by_hand("or leave these packets untracked: `notrack` in a prerouting chain"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, nat_plan, proxy_plan};
    use crate::commands::doctor::facts::Facts;
    use model::layer4::{ServiceKey, VirtualServer};

    fn rule(protocol: Option<u8>, others: bool, verdict: Verdict) -> Rule {
        Rule { protocol, interface: None, others, verdict }
    }

    fn chain(hook: Hook, drops: bool, rules: Vec<Rule>) -> Chain {
        let (table, name) = ("filter".to_owned(), "input".to_owned());
        Chain { family: "inet", table, name, hook: Some(hook), drops, rules }
    }

    #[test]
    fn the_fate_of_adverts_is_told_where_it_is_clear() {
        let ssh = rule(Some(6), true, Verdict::Accept);
        let established = rule(None, true, Verdict::Accept);
        let vrrp = rule(Some(VRRP), false, Verdict::Accept);
        let from_peer = rule(Some(VRRP), true, Verdict::Accept);
        let refused = rule(Some(VRRP), false, Verdict::Drop);
        let jump = rule(None, false, Verdict::Jump);
        let elsewhere = Rule { interface: Some("lo".into()), ..rule(None, false, Verdict::Accept) };
        let here = Rule { interface: Some("eth0".into()), ..rule(None, false, Verdict::Accept) };
        let table = [
            (vec![], false, Fate::Passes),
            (vec![], true, Fate::Dropped),
            (vec![established.clone(), ssh.clone(), elsewhere], true, Fate::Dropped),
            (vec![ssh, vrrp.clone()], true, Fate::Passes),
            (vec![here], true, Fate::Passes),
            (vec![refused, vrrp], false, Fate::Dropped),
            (vec![from_peer], true, Fate::Unclear),
            (vec![established, jump], true, Fate::Unclear),
        ];
        for (rules, drops, expected) in table {
            let chain = chain(Hook::Input, drops, rules);
            assert_eq!(fate(&chain, VRRP, "eth0"), expected, "{chain:?}");
        }
    }

    #[test]
    fn closed_chains_are_named() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.firewall = Some(vec![chain(Hook::Input, true, Vec::new())]);
        });
        assert_eq!(bed.bad(), ["firewall-vrrp"]);
        assert_eq!(bed.first().mend, ["nft insert rule inet filter input ip protocol 112 accept"]);
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.firewall = Some(vec![chain(Hook::Forward, true, Vec::new())]);
        });
        assert_eq!(bed.bad(), ["firewall-forward"]);
    }

    #[test]
    fn a_mark_that_no_rule_sets_is_named() {
        let mut plan = nat_plan();
        let mark = ServiceKey::Mark { mark: 5, family: Family::Ipv4 };
        plan.layer4.virtual_servers.push(VirtualServer::new(mark));
        let bed = Bed::broken(plan, &|_: &mut Facts| {});
        assert_eq!(bed.bad(), ["firewall-marks"]);
        let what = &bed.first().what;
        assert!(what.starts_with("FWM 5: no rule of the firewall gives mark 5"), "{what}");
    }

    #[test]
    fn a_table_of_connections_that_fills_up_is_named() {
        let tracked = |room: &'static str, used: &'static str| {
            move |facts: &mut Facts| {
                facts.sysctls.insert(TRACKED_MAX.into(), room.into());
                facts.sysctls.insert(TRACKED.into(), used.into());
            }
        };
        assert_eq!(Bed::broken(nat_plan(), &tracked("1000", "900")).bad(), ["conntrack"]);
        assert_eq!(Bed::broken(nat_plan(), &tracked("1000", "9")).bad(), [""; 0]);
        let proxy = proxy_plan("0.0.0.0:80");
        assert_eq!(Bed::broken(proxy.clone(), &tracked("1000", "9")).bad(), ["conntrack"]);
        assert_eq!(Bed::broken(proxy, &tracked("262144", "9")).bad(), [""; 0]);
    }
}
