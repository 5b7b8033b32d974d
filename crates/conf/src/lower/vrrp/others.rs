//! BFD sessions, delays of interfaces, limits on announcements, groups of static things.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::vrrp::{BfdSession, GarpGroup, LinkDelay, TrackGroup, VrrpInstance};

use super::Report;
use super::election::link_delay_max;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Bfd, Configuration};
use crate::source::Span;
use crate::suggest;

/// Keepalived's intervals of BFD.
const ACTIVE: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(1);
const MULTIPLIER: u8 = 5;

/// Every BFD session.
pub(super) fn bfd(from: &Configuration, report: &mut Report<'_>) -> Vec<BfdSession> {
    let mut seen = BTreeMap::new();
    let mut sessions = Vec::new();
    for bfd in &from.bfd {
        let Some(neighbour) = &bfd.neighbour else { continue };
        let source = bfd.source.as_ref().map(|source| source.value);
        if let Some(&first) = seen.get(&(neighbour.value, source)) {
            let message = format!("a session with {} exists already", neighbour.value);
            let diagnostic = Diagnostic::error(neighbour.span, message);
            report.push(diagnostic.related(first, "here").help("remove one of the two"));
        }
        seen.insert((neighbour.value, source), neighbour.span);
        if let Some(source) =
            bfd.source.as_ref().filter(|s| s.value.is_ipv4() != neighbour.value.is_ipv4())
        {
            let message = "both ends of a session are of one family";
            let diagnostic = Diagnostic::error(source.span, message);
            let diagnostic = diagnostic.related(neighbour.span, "the other end");
            report.push(diagnostic.help("write two IPv4 or two IPv6 addresses"));
        }
        sessions.push(session(bfd, neighbour.value, source, report));
    }
    sessions
}

fn session(
    from: &Bfd,
    neighbour: core::net::IpAddr,
    source: Option<core::net::IpAddr>,
    report: &mut Report<'_>,
) -> BfdSession {
    // RFC 5881 5 wants 255 for both families; Keepalived sends 64 over IPv6.
    let default = if neighbour.is_ipv4() { 255 } else { 64 };
    let ttl = from.ttl.as_ref().map_or(default, |ttl| ttl.value);
    let mut max_hops = from.max_hops.as_ref().map_or(0, |hops| hops.value);
    if let Some(hops) = from.max_hops.as_ref().filter(|hops| hops.value > ttl) {
        // 255 or -1 is how the file says any number, whatever the TTL.
        if hops.value != u8::MAX {
            let message = format!("max_hops is above the TTL: it is {ttl}");
            report.warning(hops.span, message, format!("write max_hops {ttl}"));
            max_hops = ttl;
        }
    }
    let both = from.vrrp == from.checker;
    BfdSession {
        name: from.name.value.clone(),
        neighbour,
        source,
        min_rx: from.min_rx.unwrap_or(ACTIVE),
        min_tx: from.min_tx.unwrap_or(ACTIVE),
        idle_tx: from.idle_tx.unwrap_or(IDLE),
        multiplier: from.multiplier.unwrap_or(MULTIPLIER),
        passive: from.passive,
        ttl,
        max_hops,
        for_vrrp: both || from.vrrp,
        for_checkers: both || from.checker,
    }
}

/// Delays of link changes, none so long that the other directors take over in the meantime.
pub(super) fn link_delays(
    from: &Configuration,
    instances: &[VrrpInstance],
    report: &mut Report<'_>,
) -> Vec<LinkDelay> {
    let mut delays = Vec::new();
    for delay in &from.link_delays {
        let mut value = delay.value.clone();
        let users = instances.iter().filter(|one| !one.routed && one.interface == value.interface);
        let shortest = users.min_by_key(|instance| link_delay_max(instance));
        if let Some(instance) = shortest {
            let most = link_delay_max(instance);
            if value.down > most || value.up > most {
                let message = format!(
                    "the delays of {} are more than {} allows: they are at most {most:?}",
                    value.interface, instance.name
                );
                let help = "write less than down_timer_adverts - 1 (normally 2) advert intervals";
                report.warning(delay.span, message, help);
                value.down = value.down.min(most);
                value.up = value.up.min(most);
            }
        }
        delays.push(value);
    }
    delays
}

/// Limits on announcements, the general one last.
pub(super) fn garp_groups(from: &Configuration, report: &mut Report<'_>) -> Vec<GarpGroup> {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let mut groups = Vec::new();
    for group in &from.garp_groups {
        if group.garp_interval.is_none() && group.na_interval.is_none() {
            let message = "a garp_group without an interval limits nothing: it is left out";
            report.warning(group.span, message, "write garp_interval or gna_interval");
            continue;
        }
        let mut interfaces = Vec::new();
        for interface in &group.interfaces {
            if let Some(&first) = seen.get(interface.value.as_str()) {
                let message = format!("{} is in a garp_group already", interface.value);
                let diagnostic = Diagnostic::warning(interface.span, message);
                let diagnostic = diagnostic.related(first, "the first one counts");
                report.push(diagnostic.help("remove it from one of them"));
                continue;
            }
            seen.insert(&interface.value, interface.span);
            interfaces.push(interface.value.clone());
        }
        if interfaces.is_empty() {
            let message = "a garp_group without interfaces limits nothing: it is left out";
            report.warning(group.span, message, "write interface NAME or interfaces { NAME ... }");
            continue;
        }
        groups.push(GarpGroup {
            interfaces,
            garp_interval: group.garp_interval.unwrap_or_default(),
            na_interval: group.na_interval.unwrap_or_default(),
        });
    }
    let general = &from.global.vrrp;
    if general.garp_interval.is_some() || general.gna_interval.is_some() {
        groups.push(GarpGroup {
            interfaces: Vec::new(),
            garp_interval: general.garp_interval.unwrap_or_default(),
            na_interval: general.gna_interval.unwrap_or_default(),
        });
    }
    groups
}

/// Groups of instances that follow static things: both must exist.
pub(super) fn track_groups(from: &Configuration, report: &mut Report<'_>) -> Vec<TrackGroup> {
    let instances: BTreeSet<&str> = from.instances.iter().map(|i| i.name.value.as_str()).collect();
    let statics = &from.statics;
    for group in &statics.track_groups {
        for member in group.value.members.iter().filter(|m| !instances.contains(m.as_str())) {
            let message = format!("no vrrp_instance is named {member}");
            let help = suggest::did_you_mean(member, instances.iter().copied())
                .unwrap_or_else(|| String::from("define it, or remove it from the group"));
            report.error(group.span, message, help);
        }
    }
    let names: BTreeSet<&str> =
        statics.track_groups.iter().map(|group| group.value.name.as_str()).collect();
    let addresses = statics.addresses.iter().map(|one| (&one.value.track_group, one.span));
    let routes = statics.routes.iter().map(|one| (&one.value.track_group, one.span));
    let rules = statics.rules.iter().map(|one| (&one.value.track_group, one.span));
    for (group, span) in addresses.chain(routes).chain(rules) {
        let Some(group) = group.as_deref().filter(|group| !names.contains(group)) else { continue };
        let help = suggest::did_you_mean(group, names.iter().copied())
            .unwrap_or_else(|| format!("define it: track_group {group} {{ group {{ ... }} }}"));
        report.error(span, format!("no track_group is named {group}"), help);
    }
    statics.track_groups.iter().map(|group| group.value.clone()).collect()
}
