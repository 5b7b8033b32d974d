//! Routes that move with a master.

use std::io;
use std::net::IpAddr;

use model::vrrp::{Family, IpPrefix, NextHop, RouteKind, VirtualRoute};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::address::write_address;
use super::batch::{Batch, Writer};

// linux/rtnetlink.h
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;
const RTNH_F_ONLINK: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_NOWHERE: u8 = 255;
const RT_TABLE_MAIN: u32 = 254;
/// RTPROT_KEEPALIVED, by which `ip route` prints `proto keepalived`.
pub const PROTOCOL: u8 = 18;

impl Batch {
    /// Adds a route. EEXIST: it is there already. `index_of` finds interfaces by name; one that
    /// it does not find is the error, and then the batch is as before.
    pub fn add_route(
        &mut self,
        route: &VirtualRoute,
        index_of: &dyn Fn(&str) -> Option<u32>,
    ) -> io::Result<()> {
        let indices = indices(route, index_of)?;
        let order = match (route.exclusive, route.append) {
            (true, _) => NLM_F_EXCL,
            (false, true) => NLM_F_APPEND,
            (false, false) => 0,
        };
        let fixed = fixed(route, route.scope.unwrap_or(RT_SCOPE_UNIVERSE));
        let mut message = self.message(libc::RTM_NEWROUTE, NLM_F_CREATE | order, &fixed);
        write_selectors(&mut message, route);
        write_ways(&mut message, route, &indices);
        write_metrics(&mut message, route);
        if let Some(preference) = route.preference {
            message.u8(RTA_PREF, preference);
        }
        if let Some(seconds) = route.expires {
            message.u32(RTA_EXPIRES, seconds);
        }
        if let Some(propagate) = route.ttl_propagate {
            message.u8(RTA_TTL_PROPAGATE, propagate.into());
        }
        Ok(())
    }

    /// Removes a route. ESRCH: it was not there. Errors as for [`add_route`](Self::add_route).
    pub fn remove_route(
        &mut self,
        route: &VirtualRoute,
        index_of: &dyn Fn(&str) -> Option<u32>,
    ) -> io::Result<()> {
        let indices = indices(route, index_of)?;
        let fixed = fixed(route, route.scope.unwrap_or(RT_SCOPE_NOWHERE));
        let mut message = self.message(libc::RTM_DELROUTE, 0, &fixed);
        write_selectors(&mut message, route);
        write_ways(&mut message, route, &indices);
        Ok(())
    }
}

/// What tells a route from others in events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteIdentity {
    family: Family,
    table: u32,
    destination: Option<IpPrefix>,
    from: Option<IpPrefix>,
    tos: u8,
    kind: u8,
    protocol: u8,
    metric: u32,
}

impl RouteIdentity {
    /// That of a route of ours.
    pub fn of(route: &VirtualRoute) -> RouteIdentity {
        // Where none is given the kernel chooses: IP6_RT_PRIO_USER.
        let usual = match route.family {
            Family::Ipv4 => 0,
            Family::Ipv6 => 1024,
        };
        RouteIdentity {
            family: route.family,
            table: table(route),
            destination: network(route.destination),
            from: network(route.from),
            tos: route.tos,
            kind: kind(route),
            protocol: route.protocol.unwrap_or(PROTOCOL),
            metric: route.metric.filter(|metric| *metric != 0).unwrap_or(usual),
        }
    }

    /// That of a route that an event tells of; nothing for other families.
    pub fn read(message: &RouteMessage) -> Option<RouteIdentity> {
        let header = &message.header;
        let family = match header.address_family {
            AddressFamily::Inet => Family::Ipv4,
            AddressFamily::Inet6 => Family::Ipv6,
            _ => return None,
        };
        let mut identity = RouteIdentity {
            family,
            table: header.table.into(),
            destination: None,
            from: None,
            tos: header.tos,
            kind: header.kind.into(),
            protocol: header.protocol.into(),
            metric: 0,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(table) => identity.table = *table,
                RouteAttribute::Priority(metric) => identity.metric = *metric,
                RouteAttribute::Destination(address) => {
                    identity.destination = prefix(address, header.destination_prefix_length);
                }
                RouteAttribute::Source(address) => {
                    identity.from = prefix(address, header.source_prefix_length);
                }
                _ => {}
            }
        }
        Some(identity)
    }
}

fn prefix(address: &RouteAddress, length: u8) -> Option<IpPrefix> {
    let address = match address {
        RouteAddress::Inet(address) => IpAddr::V4(*address),
        RouteAddress::Inet6(address) => IpAddr::V6(*address),
        _ => return None,
    };
    network(Some(IpPrefix { address, length }))
}

/// A prefix as the kernel keeps it: without host bits, and the whole internet is none.
pub(super) fn network(prefix: Option<IpPrefix>) -> Option<IpPrefix> {
    let IpPrefix { address, length } = prefix.filter(|prefix| prefix.length > 0)?;
    let address = match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::V4((address.to_bits() & !host).into())
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::V6((address.to_bits() & !host).into())
        }
    };
    Some(IpPrefix { address, length })
}

/// Number of the table of a route.
fn table(route: &VirtualRoute) -> u32 {
    route.table.unwrap_or(RT_TABLE_MAIN)
}

/// Type of a route (RTN_UNICAST...).
fn kind(route: &VirtualRoute) -> u8 {
    match route.kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Broadcast => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
    }
}

fn indices(
    route: &VirtualRoute,
    index_of: &dyn Fn(&str) -> Option<u32>,
) -> io::Result<Vec<Option<u32>>> {
    let index = |way: &NextHop| match &way.interface {
        Some(name) => index_of(name).map(Some).ok_or_else(|| no_interface(name)),
        None => Ok(None),
    };
    route.next_hops.iter().map(index).collect()
}

fn no_interface(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name}"))
}

/// struct rtmsg
fn fixed(route: &VirtualRoute, scope: u8) -> [u8; 12] {
    let family = match route.family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    let flags = match &route.next_hops[..] {
        [only] if only.onlink => RTNH_F_ONLINK,
        _ => 0,
    };
    let length = |prefix: Option<IpPrefix>| prefix.map_or(0, |prefix| prefix.length);
    let mut fixed = [0; 12];
    fixed[0] = family as u8;
    fixed[1] = length(route.destination);
    fixed[2] = length(route.from);
    fixed[3] = route.tos;
    // Tables beyond 255 are in their attribute only.
    fixed[4] = u8::try_from(table(route)).unwrap_or(0);
    fixed[5] = route.protocol.unwrap_or(PROTOCOL);
    fixed[6] = scope;
    fixed[7] = kind(route);
    fixed[8..].copy_from_slice(&u32::from(flags).to_ne_bytes());
    fixed
}

/// What tells this route from others to the same destination.
fn write_selectors(message: &mut Writer<'_>, route: &VirtualRoute) {
    message.u32(RTA_TABLE, table(route));
    if let Some(destination) = route.destination {
        write_address(message, RTA_DST, destination.address);
    }
    if let Some(from) = route.from {
        write_address(message, RTA_SRC, from.address);
    }
    if let Some(source) = route.source {
        write_address(message, RTA_PREFSRC, source);
    }
    if let Some(metric) = route.metric {
        message.u32(RTA_PRIORITY, metric);
    }
    if let Some(realms) = route.realms {
        message.u32(RTA_FLOW, flow(realms));
    }
}

fn write_ways(message: &mut Writer<'_>, route: &VirtualRoute, indices: &[Option<u32>]) {
    match (&route.next_hops[..], indices) {
        ([only], [index]) => {
            write_gateway(message, route.family, only);
            if let Some(index) = index {
                message.u32(RTA_OIF, *index);
            }
            if let (None, Some(realms)) = (route.realms, only.realms) {
                message.u32(RTA_FLOW, flow(realms));
            }
        }
        ([], _) => {}
        (ways, indices) => {
            message.group(RTA_MULTIPATH, |list| {
                for (way, index) in ways.iter().zip(indices) {
                    write_way(list, route.family, way, index.unwrap_or(0));
                }
            });
        }
    }
}

/// struct rtnexthop and its attributes.
fn write_way(list: &mut Writer<'_>, family: Family, way: &NextHop, index: u32) {
    let mut header = [0; 8];
    header[2] = if way.onlink { RTNH_F_ONLINK } else { 0 };
    // "Hops" are the weight less one.
    header[3] = u8::try_from(way.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    header[4..].copy_from_slice(&index.to_ne_bytes());
    list.structure(&header, |attributes| {
        write_gateway(attributes, family, way);
        if let Some(realms) = way.realms {
            attributes.u32(RTA_FLOW, flow(realms));
        }
    });
}

/// A gateway of the other family has an attribute of its own.
fn write_gateway(message: &mut Writer<'_>, family: Family, way: &NextHop) {
    match (family, way.gateway) {
        (_, None) => {}
        (Family::Ipv4, Some(IpAddr::V6(gateway))) => {
            let mut via = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
            via.extend_from_slice(&gateway.octets());
            message.bytes(RTA_VIA, &via);
        }
        (Family::Ipv4 | Family::Ipv6, Some(gateway)) => {
            write_address(message, RTA_GATEWAY, gateway);
        }
    }
}

fn write_metrics(message: &mut Writer<'_>, route: &VirtualRoute) {
    if route.metrics.is_empty() && route.congestion_control.is_none() {
        return;
    }
    let locked = route.metrics.iter().filter(|metric| metric.locked).map(|metric| metric.kind);
    let algorithm_locked = route.congestion_control.as_ref().is_some_and(|(_, locked)| *locked);
    let lock = locked
        .chain(algorithm_locked.then_some(RTAX_CC_ALGO as u8))
        .fold(0, |lock, kind| lock | 1_u32.checked_shl(u32::from(kind)).unwrap_or(0));
    message.group(RTA_METRICS, |metrics| {
        for metric in &route.metrics {
            metrics.u32(metric.kind.into(), metric.value);
        }
        if let Some((algorithm, _)) = &route.congestion_control {
            metrics.text(RTAX_CC_ALGO, algorithm);
        }
        if lock != 0 {
            metrics.u32(RTAX_LOCK, lock);
        }
    });
}

/// Realms as the kernel has them: the source's in the upper half.
pub(super) fn flow((source, destination): (u16, u16)) -> u32 {
    u32::from(source) << 16 | u32::from(destination)
}
