//! What must be there once: names, virtual routers, addresses.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

use model::vrrp::{Destination, Family, VrrpInstance};

use super::Report;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Configuration, Instance};
use crate::source::{Span, Spanned};

/// Every block's name.
pub(super) fn names(from: &Configuration, report: &mut Report<'_>) {
    let blocks = from.instances.iter().map(|one| ("vrrp_instance", &one.name));
    let blocks = blocks.chain(from.groups.iter().map(|one| ("vrrp_sync_group", &one.name)));
    let blocks = blocks.chain(from.scripts.iter().map(|one| ("vrrp_script", &one.name)));
    let blocks = blocks.chain(from.files.iter().map(|one| ("track_file", &one.name)));
    let blocks = blocks.chain(from.processes.iter().map(|one| ("vrrp_track_process", &one.name)));
    let blocks = blocks.chain(from.bfd.iter().map(|one| ("bfd_instance", &one.name)));
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for (keyword, name) in blocks {
        taken(&mut seen, (keyword, &name.value), name, format!("{keyword} {}", name.value), report);
    }
    let links = from.instances.iter().flat_map(|one| {
        let vmac = one.vmac.iter().flat_map(|vmac| &vmac.name);
        vmac.chain(one.ipvlan.iter().flat_map(|ipvlan| &ipvlan.name))
    });
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in links {
        taken(&mut seen, &name.value, name, format!("the interface {}", name.value), report);
    }
}

fn taken<K: Ord>(
    seen: &mut BTreeMap<K, Span>,
    key: K,
    name: &Spanned<String>,
    what: String,
    report: &mut Report<'_>,
) {
    if let Some(&first) = seen.get(&key) {
        report.push(
            Diagnostic::error(name.span, format!("{what} exists already"))
                .related(first, "defined here first")
                .help("give it another name"),
        );
    } else {
        seen.insert(key, name.span);
    }
}

/// A number is used once per family on an interface, but for different multicast groups, and for
/// unicast instances that share no peer.
pub(super) fn routers(from: &[Instance], instances: &[VrrpInstance], report: &mut Report<'_>) {
    let sources: BTreeMap<&str, &Instance> =
        from.iter().map(|one| (one.name.value.as_str(), one)).collect();
    let mut seen: BTreeMap<(bool, u8), alloc::vec::Vec<&VrrpInstance>> = BTreeMap::new();
    for instance in instances {
        let id = instance.virtual_router_id;
        let others = seen.entry((instance.family == Family::Ipv6, id.number())).or_default();
        if let Some(other) = others.iter().find(|other| conflict(instance, other)) {
            let span = |one: &VrrpInstance| {
                let source = sources.get(one.name.as_str())?;
                source.virtual_router_id.as_ref().map(|id| id.span)
            };
            let (Some(here), Some(first)) = (span(instance), span(other)) else { continue };
            let message = format!("virtual_router_id {id} is taken on {}", instance.interface);
            let help = match instance.destination {
                Destination::Multicast(_) => "give every instance of an interface an id of its own",
                Destination::Unicast(_) => "give instances that share a peer ids of their own",
            };
            let diagnostic = Diagnostic::error(here, message);
            report.push(diagnostic.related(first, "used here first").help(help));
        }
        others.push(instance);
    }
}

/// Two instances of one family and number cannot be told apart.
fn conflict(one: &VrrpInstance, other: &VrrpInstance) -> bool {
    match (&one.destination, &other.destination) {
        (Destination::Multicast(group), Destination::Multicast(others)) => {
            one.interface == other.interface && group == others
        }
        (Destination::Unicast(unicast), Destination::Unicast(others)) => {
            let apart = !one.routed && !other.routed && one.interface != other.interface;
            let sources = match (one.source, other.source) {
                (Some(one), Some(other)) => one == other,
                // Both have the interface's address.
                (None, None) => true,
                _ => false,
            };
            let shared = |peer: &model::vrrp::Peer| {
                others.peers.iter().any(|other| other.address == peer.address)
            };
            !apart && sources && unicast.peers.iter().any(shared)
        }
        _ => false,
    }
}

/// An address is held once, a link-local one once on an interface; Keepalived lets it pass.
pub(super) fn addresses(instances: &[Instance], report: &mut Report<'_>) {
    type Holder<'i> = (&'i str, Option<&'i str>, Span);
    let mut seen: BTreeMap<IpAddr, alloc::vec::Vec<Holder<'_>>> = BTreeMap::new();
    for instance in instances {
        let own = instance.interface.as_ref().map(|interface| interface.value.as_str());
        for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            let ip = address.value.address;
            let interface = address.value.interface.as_deref().or(own);
            let holders = seen.entry(ip).or_default();
            let local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            let same = holders.iter().find(|(_, held_on, _)| !local || *held_on == interface);
            if let Some((name, _, first)) = same {
                let diagnostic =
                    Diagnostic::warning(address.span, format!("{name} holds {ip} already"));
                let diagnostic = diagnostic.related(*first, "held here first");
                report.push(diagnostic.help("an address belongs to one instance, once"));
            }
            holders.push((&instance.name.value, interface, address.span));
        }
    }
}
