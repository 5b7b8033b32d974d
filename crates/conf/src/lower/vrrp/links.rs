//! Virtual MAC interfaces: their names and addresses, and which virtual address goes where.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use model::vrrp::{AddressLink, Family, VirtualAddress, VirtualLink, VrrpInstance};

use super::Report;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Instance, Mac, VrrpDefaults};
use crate::source::Span;

/// Longest name of an interface.
const NAME_MAX: usize = 15;
/// Prefix of names (keepalived.conf(5) `vmac_prefix`).
const PREFIX: &str = "vrrp";

/// Names of interfaces that instances make; each must be unique.
pub(super) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// The names that the file gives.
    pub(super) fn of(instances: &[Instance]) -> Names {
        let vmacs = instances.iter().flat_map(|i| &i.vmac).flat_map(|vmac| &vmac.name);
        let ipvlans = instances.iter().flat_map(|i| &i.ipvlan).flat_map(|ipvlan| &ipvlan.name);
        Names { taken: vmacs.chain(ipvlans).map(|name| name.value.clone()).collect() }
    }

    /// `vrrp.51`; for IPv6 then `vrrp6.51`; then `vrrp1.51`, `vrrp2.51`...
    fn next(&mut self, prefix: &str, id: u8, family: Family) -> String {
        let second = if family == Family::Ipv6 { Some(6) } else { None };
        let numbers = second.into_iter().chain((1..).filter(|n| Some(*n) != second)).map(Some);
        for number in core::iter::once(None).chain(numbers) {
            let end = number.map_or(format!(".{id}"), |number: u32| format!("{number}.{id}"));
            let room = NAME_MAX.saturating_sub(end.len());
            let name: String = prefix.chars().take(room).chain(end.chars()).collect();
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
        String::new()
    }
}

/// Sets the virtual interfaces of an instance whose addresses are known.
pub(super) fn lower(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    names: &mut Names,
    report: &mut Report<'_>,
) {
    if let (Some(vmac), Some(ipvlan)) = (&from.vmac, &from.ipvlan) {
        let diagnostic =
            Diagnostic::error(ipvlan.span, "use_ipvlan and use_vmac exclude each other")
                .related(vmac.span, "use_vmac is here")
                .help("keep one of the two");
        report.push(diagnostic);
    }
    let mac = mac(from, instance, report);
    instance.link = link(from, defaults, instance, mac, names, report);
    check_xmit_base(from, instance, report);
    promote_secondaries(from, instance, report);
    place_addresses(from, defaults, instance, mac, names, report);
}

/// The MAC address that the file gives.
fn mac(from: &Instance, instance: &VrrpInstance, report: &mut Report<'_>) -> Option<[u8; 6]> {
    let given = from.vmac.as_ref()?.mac.as_ref()?;
    if instance.strict {
        let message = "strict mode needs the virtual MAC address of the RFC, which is used";
        report.warning(given.span, message, "remove the MAC address");
        return None;
    }
    Some(match given.value {
        Mac::Whole(mac) => mac,
        Mac::Prefix([a, b, c, d, e]) => [a, b, c, d, e, instance.virtual_router_id.number()],
    })
}

/// 00-00-5e-00-01-ID for IPv4, 00-00-5e-00-02-ID for IPv6 (RFC 9568 7.3).
fn rfc_mac(family: Family, instance: &VrrpInstance) -> [u8; 6] {
    let kind = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    [0, 0, 0x5e, 0, kind, instance.virtual_router_id.number()]
}

fn prefix(defaults: &VrrpDefaults) -> &str {
    defaults.vmac_prefix.as_ref().map_or(PREFIX, |prefix| &prefix.value)
}

fn link(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &VrrpInstance,
    mac: Option<[u8; 6]>,
    names: &mut Names,
    report: &mut Report<'_>,
) -> VirtualLink {
    let (span, given) = match (&from.vmac, &from.ipvlan) {
        (Some(vmac), _) => (vmac.span, &vmac.name),
        (None, Some(ipvlan)) => (ipvlan.span, &ipvlan.name),
        (None, None) => return VirtualLink::None,
    };
    if instance.routed {
        let message = "a virtual interface needs interface: it is left out";
        report.warning(span, message, "write interface, or remove it");
        return VirtualLink::None;
    }
    let id = instance.virtual_router_id.number();
    let name = match given {
        Some(name) => name.value.clone(),
        None => names.next(prefix(defaults), id, instance.family),
    };
    if from.vmac.is_some() {
        return VirtualLink::Macvlan {
            name,
            mac: mac.unwrap_or_else(|| rfc_mac(instance.family, instance)),
            transmit_on_base: transmit_on_base(from, instance, span, report),
            other_interfaces: from.use_vmac_addr.is_some(),
        };
    }
    let Some(ipvlan) = &from.ipvlan else { return VirtualLink::None };
    if ipvlan.address.is_none() && instance.family == Family::Ipv4 {
        let message = "an ipvlan of IPv4 needs an address to send adverts from";
        report.error(ipvlan.span, message, "write it after use_ipvlan");
    }
    let address = ipvlan.address.as_ref().map(|address| address.value);
    VirtualLink::Ipvlan { name, address, flags: ipvlan.flags }
}

fn transmit_on_base(
    from: &Instance,
    instance: &VrrpInstance,
    vmac: Span,
    report: &mut Report<'_>,
) -> bool {
    let unicast = matches!(instance.destination, model::vrrp::Destination::Unicast(_));
    match from.vmac_xmit_base {
        Some(span) if instance.strict => {
            let message = "strict mode sends adverts from the virtual MAC address";
            report.warning(span, message, "remove vmac_xmit_base");
            false
        }
        Some(_) => true,
        None if unicast => {
            let message = "unicast with use_vmac needs vmac_xmit_base, which is set";
            report.warning(vmac, message, "write vmac_xmit_base");
            true
        }
        None => false,
    }
}

fn check_xmit_base(from: &Instance, instance: &VrrpInstance, report: &mut Report<'_>) {
    let macvlan = matches!(instance.link, VirtualLink::Macvlan { .. });
    if let Some(span) = from.vmac_xmit_base.filter(|_| !macvlan) {
        let message = "vmac_xmit_base has no effect without use_vmac";
        report.warning(span, message, "remove it, or write use_vmac");
    }
}

/// Virtual interfaces have the flag anyway.
fn promote_secondaries(from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    instance.promote_secondaries = from.promote_secondaries.is_some();
    let Some(span) = from.promote_secondaries else { return };
    if instance.link != VirtualLink::None {
        let message = "promote_secondaries has no effect: virtual interfaces have it anyway";
        report.warning(span, message, "remove it");
        instance.promote_secondaries = false;
    }
}

/// Decides for every address which interface holds it: the instance's virtual one (no interface
/// named), a plain one, or a virtual one of its own.
fn place_addresses(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    mac: Option<[u8; 6]>,
    names: &mut Names,
    report: &mut Report<'_>,
) {
    let macvlan = matches!(instance.link, VirtualLink::Macvlan { .. });
    let all = from.use_vmac_addr.is_some();
    let spans = from.addresses.iter().chain(&from.excluded_addresses).map(|a| a.span);
    let spans: alloc::vec::Vec<Span> = spans.collect();
    let mut addresses = core::mem::take(&mut instance.addresses);
    let mut excluded = core::mem::take(&mut instance.excluded_addresses);
    for (address, span) in addresses.iter_mut().chain(&mut excluded).zip(spans) {
        let family = Family::of(address.address);
        let own = address.interface.as_ref().is_none_or(|name| *name == instance.interface);
        if own && macvlan && family == instance.family {
            if address.virtual_mac {
                let message = "use_vmac of the instance counts for this address already";
                report.note(span, message, "remove it from the address");
            }
            (address.interface, address.virtual_mac) = (None, false);
            continue;
        }
        // use_vmac_addr is about other interfaces and the other family.
        address.virtual_mac |= all && !(own && family == instance.family);
        if own {
            // Neither the virtual interface nor the family's MAC address is for it.
            let named = macvlan || address.virtual_mac;
            address.interface = named.then(|| instance.interface.clone());
        }
        if address.virtual_mac {
            add_link(address, defaults, instance, mac, names);
        }
    }
    instance.addresses = addresses;
    instance.excluded_addresses = excluded;
}

/// The virtual interface of an address, unless one like it is there already.
fn add_link(
    address: &VirtualAddress,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    mac: Option<[u8; 6]>,
    names: &mut Names,
) {
    let base = address.interface.as_deref().unwrap_or(&instance.interface);
    let family = Family::of(address.address);
    let known = instance.address_links.iter().any(|l| l.base == base && l.family == family);
    if known {
        return;
    }
    let own_prefix = defaults.vmac_addr_prefix.as_ref().map(|prefix| prefix.value.as_str());
    let id = instance.virtual_router_id.number();
    let link = AddressLink {
        base: base.into(),
        family,
        name: names.next(own_prefix.unwrap_or_else(|| prefix(defaults)), id, family),
        mac: mac.unwrap_or_else(|| rfc_mac(family, instance)),
    };
    instance.address_links.push(link);
}
