//! Multicast or unicast, and the source address.

use core::net::IpAddr;

use model::vrrp::{Destination, Family, Unicast, VrrpInstance};

use super::Report;
use crate::keepalived::ast::{Instance, VrrpDefaults};

/// TTL of an advert over IPv4; IPv6 leaves it to the kernel, as Keepalived does.
const TTL: u8 = 255;

/// Sets where the adverts of an instance go and come from.
pub(super) fn lower(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    instance.source = from.source.as_ref().map(|source| source.value);
    if let Some(address) = from.ipvlan.as_ref().and_then(|ipvlan| ipvlan.address.as_ref()) {
        instance.source.get_or_insert(address.value.0);
    }
    instance.track_source = from.track_source.is_some() && from.source.is_some();
    if let Some(span) = from.track_source.filter(|_| from.source.is_none()) {
        let message = "track_src_ip has no effect without a source address";
        report.warning(span, message, "write mcast_src_ip or unicast_src_ip");
    }
    let unicast = &from.unicast;
    let peers = !unicast.peers.is_empty();
    if peers || unicast.fault_without_peers {
        instance.destination = Destination::Unicast(self::unicast(from, defaults, instance.family));
        check_unicast(from, instance, report);
        return;
    }
    if let Some(span) = unicast.wanted {
        let message = "unicast without unicast_peer: adverts go by multicast";
        let help = "write unicast_peer { ADDRESS }, or unicast_fault_no_peer";
        report.warning(span, message, help);
    }
    if let Some(ttl) = &unicast.ttl {
        let message = "unicast_ttl has no effect without unicast_peer";
        report.warning(ttl.span, message, "remove it: multicast adverts have the TTL 255");
    }
    if let Some(vrf) = from.vrf.as_ref().filter(|_| from.interface.is_none()) {
        report.warning(vrf.span, "vrf has no effect without unicast_peer", "write interface");
    }
    let group = match instance.family {
        Family::Ipv4 => defaults.group4.map(IpAddr::V4),
        Family::Ipv6 => defaults.group6.map(IpAddr::V6),
    };
    let own = from.group.as_ref().map(|group| group.value);
    instance.destination = Destination::Multicast(own.or(group).unwrap_or(instance.family.group()));
}

fn unicast(from: &Instance, defaults: &VrrpDefaults, family: Family) -> Unicast {
    let default = match family {
        Family::Ipv4 => Some(TTL),
        Family::Ipv6 => None,
    };
    Unicast {
        peers: from.unicast.peers.iter().map(|peer| peer.value).collect(),
        ttl: from.unicast.ttl.as_ref().map(|ttl| ttl.value).or(default),
        check_source: from.unicast.check_source || defaults.check_unicast_source.unwrap_or(false),
        fault_without_peers: from.unicast.fault_without_peers,
    }
}

fn check_unicast(from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    if let Some(group) = &from.group {
        let message = "mcast_dst_ip has no effect with unicast_peer";
        report.warning(group.span, message, "keep one of the two");
    }
    if let Some(span) = from.unicast.wanted.filter(|_| instance.strict && !instance.routed) {
        let message = "strict mode allows no unicast";
        report.error(span, message, "write strict_mode off, or use multicast");
    }
    if instance.routed {
        instance.vrf = from.vrf.as_ref().map(|vrf| vrf.value.clone());
    }
}
