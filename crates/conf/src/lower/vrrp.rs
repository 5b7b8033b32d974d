//! Instances and sync groups: defaults, and what must be unique.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{
    Authentication, Garp, InitialState, SyncGroup, VirtualAddress, VrrpInstance, VrrpPlan,
};

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, Configuration, Instance};
use crate::source::{Span, Spanned};
use crate::suggest;

/// Keepalived's default priority.
const PRIORITY_DEFAULT: u8 = 100;
/// Bytes of a password on the wire (RFC 2338 5.3.10).
const PASSWORD_MAX: usize = 8;
/// An advert counts its addresses in one byte (RFC 3768 5.3.5).
const ADDRESSES_MAX: usize = 255;

/// Lowers every instance and group.
pub(super) fn lower(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) -> VrrpPlan {
    unique_names(from, diagnostics);
    unique_routers(&from.instances, diagnostics);
    unique_addresses(&from.instances, diagnostics);
    let mut instances = Vec::new();
    for instance in &from.instances {
        instances.extend(lower_instance(instance, from.global.vrrp.garp, diagnostics));
    }
    VrrpPlan {
        settings: from.global.vrrp.settings.clone(),
        instances,
        sync_groups: sync_groups(from, diagnostics),
        ..VrrpPlan::default()
    }
}

fn unique_names(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) {
    let instances = from.instances.iter().map(|instance| ("vrrp_instance", &instance.name));
    let groups = from.groups.iter().map(|group| ("vrrp_sync_group", &group.name));
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for (keyword, name) in instances.chain(groups) {
        if let Some(&first) = seen.get(&(keyword, name.value.as_str())) {
            diagnostics.push(
                Diagnostic::error(name.span, format!("{keyword} {} exists already", name.value))
                    .related(first, "defined here first")
                    .help("give it another name"),
            );
        } else {
            seen.insert((keyword, &name.value), name.span);
        }
    }
}

fn unique_routers(instances: &[Instance], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<(&str, VirtualRouterId), &Spanned<VirtualRouterId>> = BTreeMap::new();
    for instance in instances {
        let (Some(interface), Some(id)) = (&instance.interface, &instance.virtual_router_id) else {
            continue;
        };
        if let Some(first) = seen.get(&(interface.value.as_str(), id.value)) {
            let message = format!("virtual_router_id {} is taken on {}", id.value, interface.value);
            diagnostics.push(
                Diagnostic::error(id.span, message)
                    .related(first.span, "used here first")
                    .help("give every instance of an interface an id of its own"),
            );
        } else {
            seen.insert((&interface.value, id.value), id);
        }
    }
}

fn unique_addresses(instances: &[Instance], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<IpAddr, (&str, Span)> = BTreeMap::new();
    for instance in instances {
        for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            let ip = address.value.address;
            if let Some((name, first)) = seen.get(&ip) {
                diagnostics.push(
                    Diagnostic::error(address.span, format!("{name} holds {ip} already"))
                        .related(*first, "held here first")
                        .help("an address belongs to one instance, once"),
                );
            } else {
                seen.insert(ip, (&instance.name.value, address.span));
            }
        }
    }
}

fn lower_instance(
    instance: &Instance,
    global_garp: ast::Garp,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<VrrpInstance> {
    let name = &instance.name;
    let interface = required(instance, "interface", instance.interface.as_ref(), diagnostics);
    let id =
        required(instance, "virtual_router_id", instance.virtual_router_id.as_ref(), diagnostics);
    let initial_state = instance.state.as_ref().map_or(InitialState::Backup, |state| state.value);
    let (preempt, preempt_delay) = preemption(instance, initial_state, diagnostics);
    warn_of_lowest_priority(instance, initial_state, diagnostics);
    let authentication = authentication(instance, diagnostics);
    let advert_interval = advert_interval(instance, diagnostics);
    check_addresses(instance, diagnostics);
    let default_priority = Priority::try_from(PRIORITY_DEFAULT).ok()?;
    Some(VrrpInstance {
        priority: instance.priority.as_ref().map_or(default_priority, |priority| priority.value),
        advert_interval,
        initial_state,
        authentication,
        preempt,
        preempt_delay,
        addresses: addresses(&instance.addresses),
        excluded_addresses: addresses(&instance.excluded_addresses),
        garp: garp(instance.garp, global_garp),
        source: instance.source.map(IpAddr::V4),
        ..VrrpInstance::new(&name.value, interface?, *id?)
    })
}

/// What an instance cannot do without. A value that did not parse was reported already.
fn required<'i, T>(
    instance: &Instance,
    keyword: &str,
    value: Option<&'i Spanned<T>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'i T> {
    if value.is_none() && !instance.written.has(keyword) {
        let name = &instance.name;
        diagnostics.push(
            Diagnostic::error(name.span, format!("vrrp_instance {} has no {keyword}", name.value))
                .help(format!("write {keyword} in it")),
        );
    }
    value.map(|value| &value.value)
}

fn preemption(
    instance: &Instance,
    initial_state: InitialState,
    diagnostics: &mut Vec<Diagnostic>,
) -> (bool, Duration) {
    let delay = instance.preempt_delay.as_ref();
    if initial_state != InitialState::Master {
        let delay = delay.map_or(Duration::ZERO, |delay| delay.value);
        return (instance.nopreempt.is_none(), delay);
    }
    let useless = [
        ("nopreempt", instance.nopreempt),
        ("preempt_delay", delay.filter(|d| !d.value.is_zero()).map(|delay| delay.span)),
    ];
    for (keyword, span) in useless {
        let Some(span) = span else { continue };
        diagnostics.push(
            Diagnostic::warning(span, format!("{keyword} has no effect with state MASTER"))
                .help("write state BACKUP on all directors; the priority decides"),
        );
    }
    (true, Duration::ZERO)
}

fn warn_of_lowest_priority(
    instance: &Instance,
    initial_state: InitialState,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(priority) = &instance.priority else { return };
    if initial_state == InitialState::Master && priority.value.number() == 1 {
        let message = "state MASTER with priority 1, the lowest: any other director takes over";
        let mut diagnostic = Diagnostic::warning(priority.span, message)
            .help("give the director that should be master the highest priority");
        if let Some(state) = &instance.state {
            diagnostic = diagnostic.related(state.span, "MASTER is asked for here");
        }
        diagnostics.push(diagnostic);
    }
}

fn authentication(instance: &Instance, diagnostics: &mut Vec<Diagnostic>) -> Authentication {
    let Some(from) = &instance.authentication else { return Authentication::None };
    for keyword in ["auth_type", "auth_pass"] {
        if !from.written.has(keyword) {
            let message = format!("authentication has no {keyword}");
            let help = "write auth_type PASS and auth_pass PASSWORD in it";
            diagnostics.push(Diagnostic::error(from.span, message).help(help));
        }
    }
    let Some(password) = from.password.as_ref().filter(|_| from.pass) else {
        return Authentication::None;
    };
    let bytes = password.value.as_bytes();
    if bytes.len() > PASSWORD_MAX {
        let kept = String::from_utf8_lossy(&bytes[..PASSWORD_MAX]).into_owned();
        let message =
            format!("auth_pass is longer than {PASSWORD_MAX} characters: it is cut to \"{kept}\"");
        let help = "VRRP carries 8 characters; write a password of at most 8";
        diagnostics.push(Diagnostic::warning(password.span, message).help(help));
    }
    let mut padded = [0; PASSWORD_MAX];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    Authentication::Pass(padded)
}

/// VRRP version 2 carries whole seconds: a fraction is rounded as Keepalived does.
fn advert_interval(instance: &Instance, diagnostics: &mut Vec<Diagnostic>) -> Centiseconds {
    let Some(interval) = &instance.advert_interval else { return Centiseconds(100) };
    let rounded = interval.value.as_millis().saturating_add(500) / 1_000;
    let seconds = u32::try_from(rounded).unwrap_or(255).clamp(1, 255);
    if interval.value != Duration::from_secs(seconds.into()) {
        let message = format!("VRRP version 2 counts whole seconds: advert_int is {seconds}");
        diagnostics.push(
            Diagnostic::warning(interval.span, message)
                .help(format!("write advert_int {seconds}; fractions are planned with version 3")),
        );
    }
    Centiseconds(seconds * 100)
}

fn check_addresses(instance: &Instance, diagnostics: &mut Vec<Diagnostic>) {
    let name = &instance.name;
    if instance.addresses.is_empty() && !instance.written.has("virtual_ipaddress") {
        let message = format!("vrrp_instance {} has no virtual_ipaddress", name.value);
        let help = "an instance without an address protects nothing";
        diagnostics.push(Diagnostic::warning(name.span, message).help(help));
    }
    if instance.addresses.len() > ADDRESSES_MAX {
        let span = instance.addresses[ADDRESSES_MAX].span;
        let message = format!("an advert lists at most {ADDRESSES_MAX} addresses");
        let help = "move addresses to virtual_ipaddress_excluded or to another instance";
        diagnostics.push(Diagnostic::error(span, message).help(help));
    }
}

fn addresses(from: &[Spanned<VirtualAddress>]) -> Vec<VirtualAddress> {
    from.iter().map(|address| address.value.clone()).collect()
}

fn garp(own: ast::Garp, global: ast::Garp) -> Garp {
    let default = Garp::default();
    Garp {
        repeat: own.repeat.or(global.repeat).unwrap_or(default.repeat),
        delay: own.delay.or(global.delay).unwrap_or(default.delay),
        refresh: own.refresh.or(global.refresh).unwrap_or(default.refresh),
        refresh_repeat: own
            .refresh_repeat
            .or(global.refresh_repeat)
            .unwrap_or(default.refresh_repeat),
        ..default
    }
}

fn sync_groups(from: &Configuration, diagnostics: &mut Vec<Diagnostic>) -> Vec<SyncGroup> {
    let names: BTreeMap<&str, ()> =
        from.instances.iter().map(|instance| (instance.name.value.as_str(), ())).collect();
    let mut taken: BTreeMap<&str, Span> = BTreeMap::new();
    let mut groups = Vec::new();
    for group in &from.groups {
        let mut members = Vec::new();
        for member in &group.members {
            let name = member.value.as_str();
            if !names.contains_key(name) {
                let message = format!("no vrrp_instance is named {name}");
                let help = suggest::did_you_mean(name, names.keys().copied())
                    .unwrap_or_else(|| String::from("define it, or remove it from the group"));
                diagnostics.push(Diagnostic::error(member.span, message).help(help));
            } else if let Some(&first) = taken.get(name) {
                diagnostics.push(
                    Diagnostic::error(member.span, format!("{name} is in a sync group already"))
                        .related(first, "listed here first")
                        .help("an instance belongs to one group, once"),
                );
            } else {
                taken.insert(name, member.span);
                members.push(member.value.clone());
            }
        }
        groups.push(SyncGroup { name: group.name.value.clone(), members, ..SyncGroup::default() });
    }
    groups
}
