//! IPv4 or IPv6, version 2 or 3.

use alloc::format;

use model::vrrp::{Family, Version, VrrpInstance};

use super::Report;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Instance, VrrpDefaults};
use crate::source::Span;

/// The family of an instance: of its addresses, or else of its adverts. Reports what does not
/// fit.
pub(super) fn family(instance: &Instance, report: &mut Report<'_>) -> Family {
    let said = said(instance);
    let Some(&(family, first)) = said.first() else { return Family::Ipv4 };
    for (other, span) in &said {
        if *other != family {
            let message = "an instance's addresses and adverts are of one family";
            let name = match family {
                Family::Ipv4 => "IPv4",
                Family::Ipv6 => "IPv6",
            };
            let diagnostic = Diagnostic::error(*span, message)
                .related(first, format!("this is {name}"))
                .help("move it to virtual_ipaddress_excluded, or to an instance of its own");
            report.push(diagnostic);
        }
    }
    family
}

/// What says a family, the most telling first.
fn said(instance: &Instance) -> alloc::vec::Vec<(Family, Span)> {
    let native = instance.native_ipv6.map(|span| (Family::Ipv6, span));
    let addresses = instance.addresses.iter().map(|a| (Family::of(a.value.address), a.span));
    let source = instance.source.iter().map(|source| (Family::of(source.value), source.span));
    let group = instance.group.iter().map(|group| (Family::of(group.value), group.span));
    let peers = instance.unicast.peers.iter();
    let peers = peers.map(|peer| (Family::of(peer.value.address), peer.span));
    let ipvlan = instance.ipvlan.iter().flat_map(|ipvlan| &ipvlan.address);
    let ipvlan = ipvlan.map(|address| (Family::of(address.value.0), address.span));
    native
        .into_iter()
        .chain(addresses)
        .chain(source)
        .chain(group)
        .chain(peers)
        .chain(ipvlan)
        .collect()
}

/// The version of an instance.
pub(super) fn version(
    instance: &Instance,
    family: Family,
    defaults: &VrrpDefaults,
    report: &mut Report<'_>,
) -> Version {
    let own = instance.version.as_ref();
    if family == Family::Ipv4 {
        let inherited = defaults.version.as_ref().map(|version| version.value);
        return own.map(|version| version.value).or(inherited).unwrap_or_default();
    }
    if let Some(version) = own.filter(|version| version.value == Version::V2) {
        let message = "IPv6 needs version 3, which is used";
        report.warning(version.span, message, "write version 3, or leave it out");
    }
    Version::V3
}

/// An advert of version 2 or 3 that fills an Ethernet frame has room for so many addresses, and
/// counts them in one byte (RFC 3768 5.3.5, RFC 9568 5.2.6).
fn room(family: Family) -> usize {
    match family {
        Family::Ipv4 => 255,
        // 1500 bytes less the headers of Keepalived's count: Ethernet 14, IPv6 40, VRRP 8.
        Family::Ipv6 => (1_500 - 14 - 40 - 8) / 16,
    }
}

/// Addresses that an advert has no room for are held but not listed, as Keepalived does.
pub(super) fn bound_addresses(
    from: &Instance,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    let room = room(instance.family);
    let Some(first) = from.addresses.get(room) else { return };
    let message = format!("an advert lists at most {room} addresses: the others are excluded");
    let help = "move them to virtual_ipaddress_excluded or to another instance";
    report.warning(first.span, message, help);
    let mut rest = instance.addresses.split_off(room.min(instance.addresses.len()));
    instance.excluded_addresses.append(&mut rest);
}

/// What adverts cannot do without.
pub(super) fn check_addresses(from: &Instance, instance: &VrrpInstance, report: &mut Report<'_>) {
    let name = &from.name;
    if let Some(first) = from.addresses.first() {
        let unicast = matches!(instance.destination, model::vrrp::Destination::Unicast(_));
        let link_local = match first.value.address {
            core::net::IpAddr::V4(_) => true,
            core::net::IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        if !link_local && !unicast {
            let message = "the first IPv6 address of an instance should be link-local";
            let help = "write an address of fe80::/10 before it (RFC 9568 5.2.9)";
            match instance.strict {
                true => report.warning(first.span, message, help),
                false => report.note(first.span, message, help),
            }
        }
        return;
    }
    if from.no_addresses || from.written.has("virtual_ipaddress") && has_errors(report) {
        return;
    }
    let message = format!("vrrp_instance {} has no virtual_ipaddress", name.value);
    if instance.version == Version::V3 || instance.strict {
        let help = "write one, or no_virtual_ipaddress if that is meant";
        report.error(name.span, message, help);
    } else {
        report.warning(name.span, message, "an instance without an address protects nothing");
    }
}

/// What failed to parse is not missing.
fn has_errors(report: &Report<'_>) -> bool {
    report.diagnostics.iter().any(|d| d.severity == crate::Severity::Error)
}
