//! How the forwarding program attaches to each interface, and why so.

use edge::netlink::device::Mode;

use super::kernel::LEAST;
use super::{Case, Finding, Report};
use crate::commands::doctor::facts::Interface;
use crate::commands::doctor::parts::Uses;

/// Drivers that run XDP programs natively and carry out their redirects, with the first Linux that
/// has it, at least the one that we need anyway: for kernels before 6.3, which do not tell
/// themselves. Kernel: `xdp_features` in drivers/net, and the changes that brought them.
const DRIVERS: &[(&str, (u32, u32))] = &[
    ("veth", LEAST),
    ("tun", LEAST),
    ("bond", LEAST),
    ("virtio_net", LEAST),
    ("vif", LEAST),
    ("hv_netvsc", (5, 19)),
    ("mlx5_core", LEAST),
    ("mlx4_en", LEAST),
    ("ixgbe", LEAST),
    ("i40e", LEAST),
    ("ice", LEAST),
    ("igb", LEAST),
    ("igc", LEAST),
    ("bnxt_en", LEAST),
    ("ena", LEAST),
    ("qede", LEAST),
    ("sfc", LEAST),
    ("mvneta", LEAST),
    ("mvpp2", LEAST),
    ("atlantic", (5, 19)),
];
/// Kinds without a driver of their own: frames reach them through the kernel only.
const STACKED: &[&str] = &["bridge", "vlan", "macvlan", "ipvlan", "team", "vrf"];

/// How a program attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// In the driver.
    Native,
    /// In the kernel's generic layer, and why.
    Generic(String),
    /// At tc, and why.
    Tc(String),
    /// Not at all: the finding says why.
    Refused,
    /// It is not known before it is tried.
    Unknown,
}

/// Bytes of the largest packet of a native program on this interface: a frame and the kernel's own
/// data must fit into a page. drivers/net/veth.c, veth_xdp_set: 4096 - 256 - 320 - 14; other drivers
/// are within a few bytes of it.
pub(super) const NATIVE_MTU: u32 = 3506;

/// What the director gets here, or has got.
pub(super) fn attachment(interface: &Interface, release: &str) -> Attachment {
    if let Some(ours) = interface.programs.iter().find(|one| one.is_ours()) {
        return match ours.mode {
            Mode::Native | Mode::Offloaded => Attachment::Native,
            Mode::Generic => match possible(interface, release) {
                Attachment::Tc(why) | Attachment::Generic(why) => Attachment::Generic(why),
                Attachment::Native | Attachment::Unknown | Attachment::Refused => {
                    Attachment::Generic(CHOSEN.into())
                }
            },
        };
    }
    if interface.at_tc {
        return match possible(interface, release) {
            Attachment::Tc(why) | Attachment::Generic(why) => Attachment::Tc(why),
            Attachment::Native | Attachment::Unknown | Attachment::Refused => {
                Attachment::Tc(CHOSEN.into())
            }
        };
    }
    if !interface.programs.is_empty() || interface.device.mac.is_none() {
        return Attachment::Refused;
    }
    possible(interface, release)
}

/// Why an interface whose driver has XDP has another program than a native one.
const CHOSEN: &str = "the running director attached so, by `--xdp` or because of another interface";

/// What an interface without a program allows.
fn possible(interface: &Interface, release: &str) -> Attachment {
    let mtu = interface.incoming_mtu();
    if mtu > NATIVE_MTU {
        return Attachment::Tc(format!("frames of MTU {mtu} do not fit into a page"));
    }
    by_driver(interface, release)
}

fn by_driver(interface: &Interface, release: &str) -> Attachment {
    let (device, driver) = (&interface.device, interface.driver.as_str());
    if let Some(features) = interface.xdp {
        return match (features.basic && features.redirect, device.kind.as_str()) {
            (true, _) => Attachment::Native,
            (false, "veth") => Attachment::Tc("its other end has more queues".into()),
            (false, _) => Attachment::Tc(format!("{} has no XDP of its own", named(interface))),
        };
    }
    if STACKED.contains(&device.kind.as_str()) {
        return Attachment::Tc(format!("{} has no XDP of its own", named(interface)));
    }
    match DRIVERS.iter().find(|(name, _)| *name == driver || *name == device.kind) {
        Some((_, since)) if version(release) >= *since => Attachment::Native,
        Some((_, (major, minor))) => {
            Attachment::Tc(format!("{driver} has XDP from Linux {major}.{minor} on"))
        }
        None => Attachment::Unknown,
    }
}

/// `a bridge`, `the driver e1000e`
fn named(interface: &Interface) -> String {
    match (interface.device.kind.as_str(), interface.driver.as_str()) {
        ("", "") => "its driver".to_owned(),
        ("", driver) => format!("the driver {driver}"),
        (kind, _) if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {kind}"),
        (kind, _) => format!("a {kind}"),
    }
}

/// `(6, 1)` of `6.1.0-18-amd64`; zeros where there are no numbers.
pub(super) fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Looks at each interface that the program attaches to.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let release = case.facts.kernel.release.as_str();
    for (interface, uses) in case.parts.attached(case.facts) {
        foreign(interface, uses, report);
        let name = &interface.device.name;
        if case.facts.others.director && interface.programs.is_empty() && !interface.at_tc {
            report.find(not_attached(interface, uses));
        }
        match attachment(interface, release) {
            Attachment::Native => report.fine(format!("{name}: native XDP ({})", named(interface))),
            Attachment::Generic(why) => {
                report.find(wrapped(case, interface, uses, ("generic", "generic XDP"), &why));
            }
            Attachment::Tc(why) => {
                report.find(wrapped(case, interface, uses, ("tc", "tc"), &why));
            }
            Attachment::Unknown => report.find(unknown(interface, uses)),
            Attachment::Refused => {}
        }
    }
    unattached(case, report);
    targets(case, report);
}

fn foreign(interface: &Interface, uses: &Uses, report: &mut Report) {
    let name = &interface.device.name;
    if interface.device.mac.is_none() {
        let what = format!("{name} has no Ethernet address");
        report.find(
            Finding::error("no-ethernet", name, what)
                .needed_by(uses.words())
                .otherwise("the forwarding program does not attach there: nothing is forwarded")
                .by_hand("reach clients and real servers by an Ethernet interface"),
        );
    }
    for program in interface.programs.iter().filter(|one| !one.is_ours()) {
        let title = if program.name.is_empty() { "without a name" } else { &program.name };
        let mode = match program.mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
            Mode::Offloaded => "offloaded",
        };
        let what = format!(
            "another XDP program is attached to {name}: {title}, number {}, {mode}",
            program.number
        );
        report.find(
            Finding::error("foreign-xdp", name, what)
                .needed_by(uses.words())
                .otherwise("the director cannot attach there: nothing is forwarded")
                .by_hand(format!("ip link set dev {name} xdp off"))
                .by_hand("or stop the program that attached it, if it comes back or holds a link"),
        );
    }
}

/// A director runs here, and this interface has no program.
fn not_attached(interface: &Interface, uses: &Uses) -> Finding {
    let name = &interface.device.name;
    let what = format!("the running director has not attached its program to {name}");
    Finding::warning("not-attached", name, what)
        .needed_by(uses.words())
        .otherwise("packets that come in there are not forwarded")
        .by_hand("evenkeel reload, if it runs with an older configuration")
        .by_hand("or look into its log for `attach to`, and start it again")
}

/// The program meets packets that the kernel has wrapped already.
fn wrapped(
    case: Case<'_>,
    interface: &Interface,
    uses: &Uses,
    (code, how): (&'static str, &str),
    why: &str,
) -> Finding {
    let name = &interface.device.name;
    let what = format!("{name} gets {how}: {why}");
    let otherwise = "it works, at several times the cost per packet";
    if interface.incoming_mtu() > NATIVE_MTU {
        return Finding::warning("mtu-native", name, what)
            .needed_by(uses.words())
            .otherwise(otherwise)
            .by_hand(format!(
                "ip link set dev {name} mtu {NATIVE_MTU}, with its neighbours alike"
            ));
    }
    let below = interface.device.base.and_then(|index| case.facts.by_index(index));
    let advice = match (interface.device.kind.as_str(), below) {
        _ if why == CHOSEN => {
            format!(
                "start Evenkeel with `--xdp native`, and its log says what is against it on {name}"
            )
        }
        ("vlan" | "macvlan" | "ipvlan", Some(below)) => {
            format!(
                "nothing needs to be done; the driver of {} may have native XDP",
                below.device.name
            )
        }
        _ => "nothing needs to be done; a card whose driver has XDP is faster".to_owned(),
    };
    Finding::note(code, name, what).needed_by(uses.words()).otherwise(otherwise).by_hand(advice)
}

fn unknown(interface: &Interface, uses: &Uses) -> Finding {
    let name = &interface.device.name;
    let what = format!("whether {} has native XDP is not known", named(interface));
    Finding::note("mode-unknown", name, what)
        .needed_by(uses.words())
        .otherwise("the director tries native XDP and takes tc, which is slower, otherwise")
        .by_hand("`evenkeel status` says which it is once it runs")
}

/// Clients come in where the program is not.
fn unattached(case: Case<'_>, report: &mut Report) {
    for (name, uses) in case.parts.all() {
        if uses.attached || uses.clients_of.is_empty() {
            continue;
        }
        let what = format!("virtual addresses are on {name}, and no vrrp_instance holds them");
        report.find(
            Finding::error("unattached", name, what)
                .needed_by(uses.words())
                .otherwise(
                    "the director does not know that clients come in there, and does not attach",
                )
                .by_hand(format!("put the addresses into a vrrp_instance with `interface {name}`")),
        );
    }
}

/// A native program sends frames only to drivers that take them.
fn targets(case: Case<'_>, report: &mut Report) {
    let release = case.facts.kernel.release.as_str();
    let native = case
        .parts
        .attached(case.facts)
        .find(|(interface, _)| attachment(interface, release) == Attachment::Native);
    let Some((from, _)) = native else { return };
    let runs = |one: &Interface| {
        one.programs.iter().any(|program| program.is_ours() && program.mode == Mode::Native)
    };
    let is_running = case.parts.attached(case.facts).any(|(interface, _)| runs(interface));
    for (interface, uses) in case.parts.attached(case.facts) {
        let takes = match interface.xdp {
            Some(features) => features.transmit,
            None => !STACKED.contains(&interface.device.kind.as_str()),
        };
        // Many drivers take frames only once they have a program of their own, as this one will.
        let will =
            interface.programs.is_empty() && attachment(interface, release) == Attachment::Native;
        // That of a veth hangs on its other end: see the offloads.
        if takes || will || interface.device.kind == "veth" {
            continue;
        }
        let name = &interface.device.name;
        if !is_running {
            // The director sees to it.
            let what = format!("every interface gets tc: {name} takes no frames from native XDP");
            report.find(
                Finding::note("tc", name, what)
                    .needed_by(uses.words())
                    .otherwise("it works, at several times the cost per packet")
                    .by_hand("nothing needs to be done"),
            );
            continue;
        }
        let what = format!(
            "{name} takes no frames from native XDP programs, and {} has one",
            from.device.name
        );
        report.find(
            Finding::error("redirect", name, what)
                .needed_by(uses.words())
                .otherwise(format!("every packet from {} to {name} is lost", from.device.name))
                .by_hand("run with `--xdp auto` or `tc`: then every interface takes every packet"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, machine, nat_plan, program};
    use crate::commands::doctor::facts::Facts;
    use edge::netlink::generic::XdpFeatures;

    #[test]
    fn versions_are_read_from_any_release() {
        assert_eq!(version("6.1.0-18-amd64"), (6, 1));
        assert_eq!(version("6.18"), (6, 18));
        assert_eq!(version("nonsense"), (0, 0));
    }

    #[test]
    fn drivers_say_so_themselves_and_are_known_by_name_before() {
        let mut facts = machine();
        let eth0 = facts.named("eth0");
        assert_eq!(attachment(eth0, "6.18.0"), Attachment::Native);
        eth0.xdp = Some(XdpFeatures::default());
        eth0.device.kind.clear();
        eth0.driver = "e1000e".into();
        assert!(matches!(attachment(eth0, "6.18.0"), Attachment::Tc(_)));
        eth0.xdp = None;
        assert_eq!(attachment(eth0, "6.1.0"), Attachment::Unknown);
        eth0.driver = "igb".into();
        assert_eq!(attachment(eth0, "6.1.0"), Attachment::Native);
        assert!(matches!(attachment(eth0, "5.4.0"), Attachment::Tc(_)));
        eth0.device.kind = "bridge".into();
        assert!(matches!(attachment(eth0, "6.1.0"), Attachment::Tc(_)));
    }

    #[test]
    fn what_is_attached_already_counts() {
        let mut facts = machine();
        let eth0 = facts.named("eth0");
        eth0.programs = vec![program("evenkeel_xdp", Mode::Generic)];
        assert!(matches!(attachment(eth0, "6.18.0"), Attachment::Generic(_)));
        eth0.programs = vec![program("evenkeel_xdp", Mode::Native)];
        assert_eq!(attachment(eth0, "6.18.0"), Attachment::Native);
        eth0.programs.clear();
        eth0.at_tc = true;
        assert!(matches!(attachment(eth0, "6.18.0"), Attachment::Tc(_)));
        eth0.at_tc = false;
        eth0.programs = vec![program("katran", Mode::Native)];
        assert_eq!(attachment(eth0, "6.18.0"), Attachment::Refused);
    }

    #[test]
    fn each_reason_that_keeps_the_program_off_is_named() {
        type Breach = fn(&mut Facts);
        let table: &[(Breach, &str)] = &[
            (|it| it.named("eth1").programs = vec![program("katran", Mode::Native)], "foreign-xdp"),
            (|it| it.named("eth1").device.mac = None, "no-ethernet"),
        ];
        for (breach, code) in table {
            let bed = Bed::broken(nat_plan(), breach);
            assert_eq!(bed.bad(), [*code]);
            assert_eq!(bed.first().place, "eth1");
        }
    }

    #[test]
    fn a_running_director_is_expected_to_have_attached() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            facts.others.director = true;
            facts.named("eth0").programs = vec![program("evenkeel_xdp", Mode::Native)];
        });
        assert_eq!(bed.bad(), ["not-attached"]);
        assert_eq!(bed.first().place, "eth1");
    }

    #[test]
    fn a_bridge_on_the_way_brings_every_interface_to_tc() {
        for (told, features) in [(true, Some(XdpFeatures::default())), (false, None)] {
            let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
                let eth1 = facts.named("eth1");
                (eth1.device.kind, eth1.driver) = ("bridge".into(), "bridge".into());
                (eth1.xdp, eth1.peer) = (features, None);
            });
            assert_eq!(bed.bad(), [""; 0], "the kernel tells: {told}");
            assert!(bed.codes().contains(&"tc"));
        }
    }

    #[test]
    fn a_driver_that_takes_frames_once_it_has_a_program_is_given_the_chance() {
        let card = |programs: &'static [Mode]| {
            Bed::broken(nat_plan(), &move |facts: &mut Facts| {
                let eth1 = facts.named("eth1");
                (eth1.device.kind, eth1.driver) = (String::new(), "virtio_net".into());
                eth1.peer = None;
                eth1.xdp.as_mut().unwrap().transmit = false;
                eth1.programs = programs.iter().map(|at| program("evenkeel_xdp", *at)).collect();
            })
        };
        assert_eq!(card(&[]).bad(), [""; 0]);
        assert_eq!(card(&[Mode::Native]).bad(), ["redirect"]);
    }

    #[test]
    fn frames_beyond_a_page_cost_native_xdp() {
        let bed = Bed::broken(nat_plan(), &|facts: &mut Facts| {
            for name in ["eth0", "eth1"] {
                facts.named(name).device.mtu = 9000;
                facts.named(name).peer.as_mut().unwrap().mtu = 9000;
            }
        });
        assert_eq!(bed.bad(), ["mtu-native", "mtu-native"]);
    }

    #[test]
    fn addresses_that_nobody_holds_get_no_program() {
        let mut plan = nat_plan();
        plan.vrrp.instances.clear();
        plan.layer4.interfaces.clear();
        let bed = Bed::broken(plan, &|facts: &mut Facts| {
            facts.named("eth0").addresses.push(([192, 0, 2, 10].into(), 24));
        });
        assert_eq!(bed.bad(), ["unattached"]);
    }
}
