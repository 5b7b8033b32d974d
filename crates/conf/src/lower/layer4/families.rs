//! IPv4 and IPv6: addresses that servers may have, and what fits together.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use model::layer4::{Endpoint, Forwarding, ServiceKey};
use model::vrrp::Family;

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, Granularity};
use crate::source::Span;

/// Leading bits of a client's address that persistence compares when nothing was said.
const WHOLE_V4: u8 = 32;
const WHOLE_V6: u8 = 128;

/// An address that a virtual, real or sorry server may have.
pub(super) fn check_address(
    address: IpAddr,
    span: Span,
    what: fmt::Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if !Endpoint::is_of_a_host(address) {
        diagnostics.push(
            Diagnostic::error(span, format!("{address} cannot be the address of {what}"))
                .help("use the address of a host"),
        );
    } else if is_of_one_link(address) {
        let message = format!("{address} is of one link only and cannot be the address of {what}");
        diagnostics.push(Diagnostic::error(span, message).help("use a global address of it"));
    }
}

fn is_of_one_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// `ip_family` says what the services say.
pub(super) fn check_written(
    from: &ast::VirtualServer,
    services: &[ServiceKey],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(written) = &from.family else { return };
    if let Some(key) = services.iter().find(|key| key.family() != written.value) {
        let message = format!("ip_family {} is not that of {key}", word(written.value));
        diagnostics.push(
            Diagnostic::error(written.span, message)
                .related(from.span(), "the virtual server")
                .help(format!("write ip_family {}, or remove it", word(key.family()))),
        );
    }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "inet",
        Family::Ipv6 => "inet6",
    }
}

/// How many leading bits of clients' addresses persistence compares. With services of both
/// families those of IPv6, which are all of IPv4 too.
pub(super) fn prefix_len(
    from: &ast::VirtualServer,
    services: &[ServiceKey],
    diagnostics: &mut Vec<Diagnostic>,
) -> u8 {
    let of = |family| services.iter().find(|key| key.family() == family);
    let (v4, v6) = (of(Family::Ipv4), of(Family::Ipv6));
    let Some(written) = &from.granularity else {
        return if v6.is_some() { WHOLE_V6 } else { WHOLE_V4 };
    };
    let (length, other, help) = match written.value {
        Granularity::Netmask(ones) => (ones, v6, "write the prefix length of IPv6: 64"),
        Granularity::Prefix(length) => (length, v4, "write a netmask like 255.255.255.0"),
    };
    if let Some(key) = other {
        let message = format!("persistence_granularity does not fit {key}");
        let diagnostic = Diagnostic::error(written.span, message).related(from.span(), "served");
        diagnostics.push(diagnostic.help(match (v4, v6) {
            (Some(_), Some(_)) => "remove it, or serve each family by a virtual_server of its own",
            _ => help,
        }));
    }
    length
}

/// What reaches a server of the other family only in a tunnel, as in Keepalived and IPVS.
pub(super) fn check_server(
    endpoint: Endpoint,
    span: Span,
    what: &str,
    forwarding: Forwarding,
    services: &[ServiceKey],
    diagnostics: &mut Vec<Diagnostic>,
) {
    if matches!(forwarding, Forwarding::Tunnel(_)) {
        return;
    }
    let family = Family::of(endpoint.address);
    if let Some(key) = services.iter().find(|key| key.family() != family) {
        let message =
            format!("the {what} server {} is not of the family of {key}", endpoint.address);
        diagnostics.push(
            Diagnostic::error(span, message)
                .help("use a server of the same family, or lb_kind TUN"),
        );
    }
}
