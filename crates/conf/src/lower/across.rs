//! What only both halves, or both files, together can tell.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use model::layer4::{Layer4Plan, Protocol, ServiceKey, VirtualServer};
use model::proxy::ProxyPlan;

use super::notices::Few;
use super::vrrp;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::Configuration;
use crate::source::Span;

/// Who holds an address.
pub(super) struct Held<'c> {
    instance: &'c str,
    interface: Option<&'c str>,
    pub(super) span: Span,
}

/// Every address that moves with a VRRP instance. Packets for an address on a virtual MAC
/// interface arrive on the interface under it, which is the one the file names.
pub(super) fn held_addresses(from: &Configuration) -> BTreeMap<IpAddr, Held<'_>> {
    let mut held = BTreeMap::new();
    for instance in &from.instances {
        let own = instance.interface.as_ref().map(|interface| interface.value.as_str());
        // A unicast instance without interface: its addresses go to the default interface.
        let routed = own.is_none() && instance.unicast.wanted.is_some();
        let own = own.or(routed.then(|| vrrp::default_interface(from)));
        for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            let interface = address.value.interface.as_deref().or(own);
            held.entry(address.value.address).or_insert(Held {
                instance: &instance.name.value,
                interface,
                span: address.span,
            });
        }
    }
    held
}

/// Finds the interfaces where clients' packets arrive, and the virtual servers whose address
/// nobody holds.
pub(super) fn interfaces(
    from: &Configuration,
    held: &BTreeMap<IpAddr, Held<'_>>,
    plan: &mut Layer4Plan,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut interfaces: BTreeMap<&str, ()> = BTreeMap::new();
    let mut unheld: BTreeMap<IpAddr, ()> = BTreeMap::new();
    let mut findings = Vec::new();
    for (source, server) in from.virtual_servers.iter().zip(&plan.virtual_servers) {
        let mut first_unheld = None;
        for address in server.services.iter().filter_map(ServiceKey::address) {
            match held.get(&address) {
                Some(held) => interfaces.extend(held.interface.map(|name| (name, ()))),
                None if held.is_empty() || unheld.insert(address, ()).is_some() => {}
                // One finding for a group is enough.
                None => first_unheld = first_unheld.or(Some(address)),
            }
        }
        findings.extend(first_unheld.map(|address| (address, source.span())));
    }
    let findings = findings.into_iter();
    Few::new(findings.map(|(address, span)| unheld_address(address, span, held))).tell(diagnostics);
    let has_marks = |server: &VirtualServer| server.services.iter().any(|it| it.mark().is_some());
    if !unheld.is_empty() || plan.virtual_servers.iter().any(has_marks) {
        // Somebody else brings these addresses up; their packets may arrive on any interface.
        interfaces.extend(held.values().filter_map(|held| held.interface).map(|name| (name, ())));
    }
    plan.interfaces = interfaces.into_keys().map(String::from).collect();
}

fn unheld_address(address: IpAddr, span: Span, held: &BTreeMap<IpAddr, Held<'_>>) -> Diagnostic {
    let message = format!("no vrrp_instance holds {address}, so this service does not fail over");
    let diagnostic = Diagnostic::warning(span, message);
    let nearest = held.iter().max_by_key(|(candidate, _)| common_bits(address, **candidate));
    match nearest {
        Some((near, holder)) => diagnostic
            .related(
                holder.span,
                format!("the nearest address, {near}, is held by {}", holder.instance),
            )
            .help(format!(
                "add {address} to virtual_ipaddress of {}, or serve {near}",
                holder.instance
            )),
        None => diagnostic,
    }
}

/// Leading bits that two addresses share; none across families.
fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// Lets the proxy bind addresses that come and go with VRRP, and refuses what layer 4 would take
/// away from it.
pub(super) fn binds(
    from: &Configuration,
    held: &BTreeMap<IpAddr, Held<'_>>,
    virtual_servers: &[VirtualServer],
    binds: &[(usize, usize, SocketAddr, Span)],
    plan: &mut ProxyPlan,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let sources = from.virtual_servers.iter().zip(virtual_servers);
    let services: BTreeMap<ServiceKey, Span> = sources
        .flat_map(|(source, server)| server.services.iter().map(|key| (*key, source.span())))
        .collect();
    for &(frontend, bind, address, span) in binds {
        if held.contains_key(&address.ip()) {
            let bind = plan.frontends.get_mut(frontend).and_then(|f| f.binds.get_mut(bind));
            if let Some(bind) = bind {
                bind.freebind = true;
            }
        }
        let taken_by = [address.port(), 0].into_iter().find_map(|port| {
            let key = ServiceKey::Address { address: address.ip(), port, protocol: Protocol::Tcp };
            services.get(&key)
        });
        if let Some(&service) = taken_by {
            diagnostics.push(
                Diagnostic::error(
                    span,
                    format!("layer 4 takes {address} before the proxy sees it"),
                )
                .related(service, "this virtual_server serves the same address and port")
                .help("bind another port or address, or remove the virtual_server"),
            );
        }
    }
}
