//! One instance.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::units::Priority;
use model::vrrp::{InitialState, OldChecksum, V3Checksum, VirtualAddress, VrrpInstance};

use super::{
    Report, authentication, default_interface, destination, election, family, garp, links,
};
use crate::keepalived::ast::{Configuration, Instance, Notify, SyncGroup, VrrpDefaults};
use crate::source::Spanned;

/// What an instance stands in.
pub(super) struct Context<'c> {
    pub(super) from: &'c Configuration,
    /// The sync group that lists it.
    pub(super) group: Option<&'c SyncGroup>,
}

impl<'c> Context<'c> {
    pub(super) fn defaults(&self) -> &'c VrrpDefaults {
        &self.from.global.vrrp
    }
}

/// Lowers an instance; nothing when it lacks what it cannot do without.
pub(super) fn lower(
    from: &Instance,
    context: &Context<'_>,
    names: &mut links::Names,
    report: &mut Report<'_>,
) -> Option<VrrpInstance> {
    let defaults = context.defaults();
    let (interface, routed) = interface(from, context, report);
    let id = required(from, "virtual_router_id", from.virtual_router_id.as_ref(), report);
    let family = family::family(from, report);
    let version = family::version(from, family, defaults, report);
    let strict = from.strict.as_ref().map_or(defaults.strict.is_some(), |strict| strict.value);
    let mut instance = VrrpInstance {
        routed,
        family,
        version,
        strict,
        ..VrrpInstance::new(&from.name.value, &interface.unwrap_or_default(), *id?)
    };
    election::state_and_priority(from, &mut instance, report);
    authentication::lower(from, &mut instance, report);
    destination::lower(from, defaults, &mut instance, report);
    election::lower(from, defaults, &mut instance, report);
    instance.addresses = values(&from.addresses);
    instance.excluded_addresses = values(&from.excluded_addresses);
    family::check_addresses(from, &instance, report);
    family::bound_addresses(from, &mut instance, report);
    links::lower(from, defaults, &mut instance, names, report);
    instance.routes = from.routes.iter().map(|route| route.value.clone()).collect();
    instance.rules = from.rules.iter().map(|rule| rule.value.clone()).collect();
    instance.garp = garp::lower(from, defaults, &instance, report);
    instance.v3_checksum = match from.v3_checksum_as_v2 {
        Some(true) => V3Checksum::AsVersion2,
        Some(false) => V3Checksum::WithPseudoHeader,
        None => defaults.v3_checksum.unwrap_or_default(),
    };
    instance.old_unicast_checksum = from.old_checksum.unwrap_or(OldChecksum::Detected);
    instance.track_primary = !from.dont_track_primary;
    let inherited = context.group.and_then(|group| group.notify.priority_changes);
    instance.notify = notify(&from.notify, inherited, defaults);
    Some(instance)
}

fn values(from: &[Spanned<VirtualAddress>]) -> Vec<VirtualAddress> {
    from.iter().map(|address| address.value.clone()).collect()
}

/// The interface, and whether adverts go by route instead.
fn interface(
    from: &Instance,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> (Option<String>, bool) {
    if let Some(interface) = &from.interface {
        if let Some(vrf) = &from.vrf {
            let message = "vrf has no effect beside interface";
            report.warning(vrf.span, message, "remove it: the interface is in its routing domain");
        }
        return (Some(interface.value.clone()), false);
    }
    let unicast = !from.unicast.peers.is_empty() || from.unicast.fault_without_peers;
    if !unicast || from.written.has("interface") {
        return (required(from, "interface", None::<&Spanned<String>>, report).cloned(), false);
    }
    check_routed_source(from, report);
    (Some(String::from(default_interface(context.from))), true)
}

/// Without an interface, only the file can say where adverts come from.
fn check_routed_source(from: &Instance, report: &mut Report<'_>) {
    let name = &from.name;
    let Some(source) = &from.source else {
        if !from.written.has("unicast_src_ip") && !from.written.has("mcast_src_ip") {
            let message =
                format!("vrrp_instance {} has neither interface nor unicast_src_ip", name.value);
            report.error(name.span, message, "write one of the two");
        }
        return;
    };
    let link_local = match source.value {
        core::net::IpAddr::V4(_) => false,
        core::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if link_local {
        let message = "a link-local address says nothing without an interface";
        report.error(source.span, message, "write interface, or another address");
    }
}

/// What an instance cannot do without. A value that did not parse was reported already.
fn required<'i, T>(
    from: &Instance,
    keyword: &str,
    value: Option<&'i Spanned<T>>,
    report: &mut Report<'_>,
) -> Option<&'i T> {
    if value.is_none() && !from.written.has(keyword) {
        let name = &from.name;
        let message = format!("vrrp_instance {} has no {keyword}", name.value);
        report.error(name.span, message, format!("write {keyword} in it"));
    }
    value.map(|value| &value.value)
}

/// Scripts, and what `global_defs` says for those who say nothing.
pub(super) fn notify(
    from: &Notify,
    inherited: Option<bool>,
    defaults: &VrrpDefaults,
) -> model::vrrp::Notify {
    let smtp_alert = from.smtp_alert.or(defaults.smtp_alert_vrrp).or(defaults.smtp_alert);
    let changes = from.priority_changes.or(inherited).or(defaults.notify_priority_changes);
    model::vrrp::Notify {
        smtp_alert: smtp_alert.unwrap_or(false),
        priority_changes: changes.unwrap_or(false),
        ..from.scripts.clone()
    }
}

/// Owner of its addresses.
pub(super) fn is_owner(instance: &VrrpInstance) -> bool {
    instance.priority == Priority::OWNER
}

/// The same before lowering: `priority 255`, or `state MASTER` alone.
pub(super) fn will_be_owner(from: &Instance) -> bool {
    match &from.priority {
        Some(priority) => priority.value == Priority::OWNER,
        None => {
            matches!(&from.state, Some(state) if state.value == InitialState::Master)
                && !from.written.has("priority")
        }
    }
}
