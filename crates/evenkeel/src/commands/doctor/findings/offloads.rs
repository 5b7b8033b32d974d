//! What drivers and cards do to packets before or after a packet program sees them.

use edge::netlink::device::Mode;

use super::attach::{Attachment, attachment};
use super::{Case, Finding, Report};
use crate::commands::doctor::facts::{Interface, Peer};
use crate::commands::doctor::parts::Uses;
use crate::commands::doctor::remedy::{Remedy, Switch};

const TRANSMIT_CHECKSUMS: [&str; 3] =
    ["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"];

/// Looks at each interface that the program attaches to.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let release = case.facts.kernel.release.as_str();
    let some_native = case
        .parts
        .attached(case.facts)
        .any(|(one, _)| attachment(one, release) == Attachment::Native);
    for (interface, uses) in case.parts.attached(case.facts) {
        let before = report.findings.len();
        let attached = interface.programs.iter().any(|it| it.is_ours() && it.mode == Mode::Native);
        // A driver that has taken the program has seen to that.
        if !attached {
            merging(interface, uses, report);
        }
        tags(case, interface, uses, report);
        if interface.device.kind == "veth" {
            checksums(interface, uses, report);
            if some_native {
                taking_in(interface, uses, report);
            }
        }
        if report.findings.len() == before {
            report
                .fine(format!("{}: offloads as packet programs need them", interface.device.name));
        }
    }
}

/// Packets merged on the way in are larger than any frame.
fn merging(interface: &Interface, uses: &Uses, report: &mut Report) {
    let name = &interface.device.name;
    for (feature, code, switch, long) in [
        ("rx-lro", "lro", Switch::LargeReceiveOff, "LRO"),
        ("rx-gro-hw", "hw-gro", Switch::HardwareReceiveOff, "hardware GRO"),
    ] {
        if interface.is_on(feature) {
            report.find(
                Finding::warning(code, name, format!("{long} is on"))
                    .needed_by(uses.words())
                    .otherwise(
                        "several drivers refuse native XDP beside it, and packets it merged are too \
                         large to be forwarded by generic XDP",
                    )
                    .remedy(Remedy::switch(name, switch)),
            );
        }
    }
}

/// A tag that the card has taken off is not seen: packets of all VLANs look like untagged ones.
fn tags(case: Case<'_>, interface: &Interface, uses: &Uses, report: &mut Report) {
    let device = &interface.device;
    let mut above = case.facts.interfaces.iter().filter(|one| {
        one.device.kind == "vlan"
            && one.device.base == Some(device.index)
            && one.device.base_namespace.is_none()
    });
    let Some(vlan) = above.next().filter(|_| interface.is_on("rx-vlan-hw-parse")) else { return };
    let what = format!("{} takes VLAN tags off, and {} needs them", device.name, vlan.device.name);
    report.find(
        Finding::warning("vlan-tags", &device.name, what)
            .needed_by(uses.words())
            .otherwise("a native program takes packets of every VLAN for untagged ones")
            .remedy(Remedy::switch(&device.name, Switch::VlanTagsKept)),
    );
}

fn at_peer(peer: &Peer, switch: Switch) -> Remedy {
    Remedy::Switch { interface: peer.name.clone(), namespace: peer.namespace.clone(), switch }
}

/// `port0 in /run/netns/switch`
fn whereabouts(peer: &Peer) -> String {
    match &peer.namespace {
        None => peer.name.clone(),
        Some(path) => format!("{} in {}", peer.name, path.display()),
    }
}

/// A veth hands over packets whose checksum a card would have completed, and there is no card.
fn checksums(interface: &Interface, uses: &Uses, report: &mut Report) {
    let name = &interface.device.name;
    let Some(peer) = &interface.peer else {
        let what = format!("the other end of {name} cannot be seen from here");
        report.find(
            Finding::note("peer-unseen", name, what)
                .needed_by(uses.words())
                .otherwise(
                    "if it leaves checksums to a card that a veth does not have, connections hang \
                     or crawl",
                )
                .by_hand("ethtool -K PEER tx off gro on, where the other end is"),
        );
        return;
    };
    let is_on = |feature: &&str| peer.features.get(*feature).is_some_and(|one| one.on);
    if TRANSMIT_CHECKSUMS.iter().any(is_on) {
        let what = format!(
            "the other end of {name} ({}) leaves checksums to a card that a veth does not have",
            whereabouts(peer)
        );
        report.find(
            Finding::error("peer-checksum", name, what)
                .needed_by(uses.words())
                .otherwise("forwarded packets have wrong checksums: connections hang or crawl")
                .remedy(at_peer(peer, Switch::TransmitChecksumsOff)),
        );
    }
}

/// A veth takes what a native program sends out by it only if the other end takes in frames by
/// NAPI: with GRO, or with a program of its own. drivers/net/veth.c, veth_xdp_xmit.
fn taking_in(interface: &Interface, uses: &Uses, report: &mut Report) {
    let name = &interface.device.name;
    let takes = match (&interface.peer, interface.xdp) {
        (Some(peer), _) => peer.has_program || peer.features.get("rx-gro").is_none_or(|one| one.on),
        (None, Some(features)) => features.transmit,
        (None, None) => true,
    };
    if takes {
        return;
    }
    let other = interface.peer.as_ref().map(|peer| format!(" ({})", whereabouts(peer)));
    let what = format!("GRO is off at the other end of {name}{}", other.unwrap_or_default());
    let finding = Finding::error("peer-gro", name, what)
        .needed_by(uses.words())
        .otherwise(format!("every packet that a native program sends out by {name} is lost"));
    report.find(match &interface.peer {
        Some(peer) => finding.remedy(at_peer(peer, Switch::ReceiveOffloadOn)),
        None => finding.by_hand("ethtool -K PEER gro on, where the other end is"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, nat_plan, on, program};
    use crate::commands::doctor::facts::Facts;
    use edge::netlink::device::Device;

    #[test]
    fn each_offload_in_the_way_is_named_with_its_command() {
        type Breach = fn(&mut Facts);
        let table: &[(Breach, &str, &str)] = &[
            (
                |facts| facts.named("eth0").features.extend([("rx-lro".into(), on())]),
                "lro",
                "ethtool -K eth0 lro off",
            ),
            (
                |facts| facts.named("eth0").features.extend([("rx-gro-hw".into(), on())]),
                "hw-gro",
                "ethtool -K eth0 rx-gro-hw off",
            ),
            (
                |facts| {
                    let peer = facts.named("eth0").peer.as_mut().unwrap();
                    peer.features.insert("tx-checksum-ip-generic".into(), on());
                },
                "peer-checksum",
                "nsenter --net=/run/netns/switch ethtool -K port0 tx off",
            ),
            (
                |facts| {
                    let peer = facts.named("eth0").peer.as_mut().unwrap();
                    peer.features.insert("rx-gro".into(), Default::default());
                },
                "peer-gro",
                "nsenter --net=/run/netns/switch ethtool -K port0 gro on",
            ),
        ];
        for (breach, code, command) in table {
            let bed = Bed::broken(nat_plan(), breach);
            assert_eq!(bed.bad(), [*code]);
            assert_eq!(bed.first().mend, [*command]);
        }
    }

    #[test]
    fn a_driver_that_has_taken_the_program_is_believed() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            let eth0 = facts.named("eth0");
            eth0.features.insert("rx-gro-hw".into(), on());
            eth0.programs = vec![program("evenkeel_xdp", Mode::Native)];
        });
        assert_eq!(bed.bad(), [""; 0]);
    }

    #[test]
    fn tags_matter_only_where_there_are_vlans() {
        let strip = |facts: &mut Facts| {
            facts.named("eth0").features.insert("rx-vlan-hw-parse".into(), on());
        };
        assert_eq!(Bed::broken(nat_plan(), &strip).bad(), [""; 0]);
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            strip(facts);
            let base = Some(facts.named("eth0").device.index);
            let device = Device {
                index: 30,
                name: "eth0.5".into(),
                kind: "vlan".into(),
                base,
                ..Device::default()
            };
            facts.interfaces.push(Interface { device, ..Interface::default() });
        });
        assert_eq!(bed.bad(), ["vlan-tags"]);
    }

    #[test]
    fn an_end_in_a_place_that_cannot_be_seen_is_told_of() {
        let unseen = |facts: &mut Facts| facts.named("eth0").peer = None;
        let bed = Bed::broken(nat_plan(), &unseen);
        assert_eq!(bed.bad(), [""; 0]);
        assert!(bed.codes().contains(&"peer-unseen"));
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            unseen(facts);
            facts.named("eth0").xdp.as_mut().unwrap().transmit = false;
        });
        assert_eq!(bed.bad(), ["peer-gro"]);
    }
}
