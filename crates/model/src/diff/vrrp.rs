//! What a reload changes for the vrrp role and its helper.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Area, Change, Fields, Kind, Verb};
use crate::vrrp::{
    BfdSession, Destination, GarpGroup, Holding, LinkDelay, SyncGroup, TrackFile, TrackGroup,
    TrackProcess, TrackScript, VirtualAddress, VrrpInstance, VrrpPlan,
};

/// Every difference, in the order of the file.
pub(super) fn compare(old: &VrrpPlan, new: &VrrpPlan, changes: &mut Vec<Change>) {
    settings(old, new, changes);
    Kind {
        area: Area::Vrrp,
        name: &|instance: &VrrpInstance| format!("vrrp_instance {}", instance.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| said(instance(a, b)),
        removal_drops: Some("its addresses are removed; the other director takes them"),
    }
    .compare(&old.instances, &new.instances, changes);
    Kind {
        area: Area::Vrrp,
        name: &|group: &SyncGroup| format!("vrrp_sync_group {}", group.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            let fields = Fields::new()
                .field("members", &a.members, &b.members)
                .field("trackers", &a.tracks, &b.tracks)
                .field("members keep weights", &a.members_keep_weights, &b.members_keep_weights)
                .field("notify", &a.notify, &b.notify);
            said(fields)
        },
        removal_drops: None,
    }
    .compare(&old.sync_groups, &new.sync_groups, changes);
    trackers(old, new, changes);
    statics(old, new, changes);
}

/// A part that differs is never passed over in silence.
fn said(fields: Fields) -> Vec<String> {
    if fields.0.is_empty() { alloc::vec!["other settings changed".into()] } else { fields.0 }
}

fn settings(old: &VrrpPlan, new: &VrrpPlan, changes: &mut Vec<Change>) {
    let (a, b) = (&old.settings, &new.settings);
    let details = Fields::new()
        .field("startup delay", &a.startup_delay, &b.startup_delay)
        .field("log unknown routers", &a.log_unknown_routers, &b.log_unknown_routers)
        .field("firewall", &a.firewall, &b.firewall)
        .field("disable local IGMP", &a.disable_local_igmp, &b.disable_local_igmp)
        .field("garp_group", &limits(&old.garp_groups), &limits(&new.garp_groups))
        .field("interface_up_down_delays", &delays(&old.link_delays), &delays(&new.link_delays))
        .0;
    if !details.is_empty() {
        changes.push(Change {
            area: Area::Vrrp,
            verb: Verb::Change,
            subject: "settings of VRRP".into(),
            details,
            drops: None,
        });
    }
}

fn limits(groups: &[GarpGroup]) -> Vec<String> {
    let one = |group: &GarpGroup| {
        let (garp, na) = (group.garp_interval, group.na_interval);
        format!("{}: ARP {garp:?}, NA {na:?}", group.interfaces.join(" "))
    };
    groups.iter().map(one).collect()
}

fn delays(delays: &[LinkDelay]) -> Vec<String> {
    let one = |delay: &LinkDelay| format!("{} {:?} {:?}", delay.interface, delay.down, delay.up);
    delays.iter().map(one).collect()
}

fn instance(a: &VrrpInstance, b: &VrrpInstance) -> Fields {
    let addresses =
        |list: &[VirtualAddress]| -> Vec<String> { list.iter().map(virtual_address).collect() };
    let fields = Fields::new()
        .text("interface", place(a), place(b))
        .text("virtual_router_id", a.virtual_router_id, b.virtual_router_id)
        .text("priority", a.priority, b.priority)
        .field("version", &a.version, &b.version)
        .field("family", &a.family, &b.family)
        .field("advert_int", &a.advert_interval, &b.advert_interval)
        .secret("authentication", &a.authentication, &b.authentication)
        .text("adverts go to", destination(a), destination(b))
        .field("preempt", &a.preempt, &b.preempt)
        .field("preempt_delay", &a.preempt_delay, &b.preempt_delay)
        .field("addresses", &addresses(&a.addresses), &addresses(&b.addresses))
        .field(
            "excluded addresses",
            &addresses(&a.excluded_addresses),
            &addresses(&b.excluded_addresses),
        )
        .field("routes", &a.routes, &b.routes)
        .field("rules", &a.rules, &b.rules)
        .field("gratuitous ARP", &a.garp, &b.garp)
        .field("source address", &a.source, &b.source)
        .field("track_src_ip", &a.track_source, &b.track_source)
        .field("initial state", &a.initial_state, &b.initial_state);
    behaviour(fields, a, b)
}

fn behaviour(fields: Fields, a: &VrrpInstance, b: &VrrpInstance) -> Fields {
    fields
        .field("down_timer_adverts", &a.down_timer_adverts, &b.down_timer_adverts)
        .field("lower_prio_no_advert", &a.lower_prio_no_advert, &b.lower_prio_no_advert)
        .field("higher_prio_send_advert", &a.higher_prio_send_advert, &b.higher_prio_send_advert)
        .field("owner_ignore_adverts", &a.owner_ignore_adverts, &b.owner_ignore_adverts)
        .field("timer_expired_backup", &a.timer_expired_backup, &b.timer_expired_backup)
        .field("skip_check_adv_addr", &a.skip_check_addresses, &b.skip_check_addresses)
        .field("strict_mode", &a.strict, &b.strict)
        .field("accept", &a.accept, &b.accept)
        .field("checksum of version 3", &a.v3_checksum, &b.v3_checksum)
        .field("old_unicast_checksum", &a.old_unicast_checksum, &b.old_unicast_checksum)
        .field("promote_secondaries", &a.promote_secondaries, &b.promote_secondaries)
        .field("virtual interface", &a.link, &b.link)
        .field("virtual interfaces of addresses", &a.address_links, &b.address_links)
        .field("tracks its interface", &a.track_primary, &b.track_primary)
        .field("trackers", &a.tracks, &b.tracks)
        .field("notify", &a.notify, &b.notify)
}

/// The interface, or the routing domain.
fn place(instance: &VrrpInstance) -> String {
    match (instance.routed, &instance.vrf) {
        (false, _) => instance.interface.clone(),
        (true, None) => "any".into(),
        (true, Some(vrf)) => format!("any of {vrf}"),
    }
}

fn destination(instance: &VrrpInstance) -> String {
    match &instance.destination {
        Destination::Multicast(group) => group.to_string(),
        Destination::Unicast(unicast) => format!("{unicast:?}"),
    }
}

fn trackers(old: &VrrpPlan, new: &VrrpPlan, changes: &mut Vec<Change>) {
    let (before, after) = (&old.trackers, &new.trackers);
    Kind {
        area: Area::Vrrp,
        name: &|one: &TrackScript| format!("vrrp_script {}", one.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            let fields = Fields::new()
                .field("command", &a.command, &b.command)
                .field("interval", &a.interval, &b.interval)
                .field("timeout", &a.timeout, &b.timeout)
                .text("rise", a.rise, b.rise)
                .text("fall", a.fall, b.fall);
            said(fields)
        },
        removal_drops: None,
    }
    .compare(&before.scripts, &after.scripts, changes);
    Kind {
        area: Area::Vrrp,
        name: &|one: &TrackFile| format!("track_file {}", one.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| said(Fields::new().text("file", &a.path, &b.path)),
        removal_drops: None,
    }
    .compare(&before.files, &after.files, changes);
    Kind {
        area: Area::Vrrp,
        name: &|one: &TrackProcess| format!("vrrp_track_process {}", one.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            let fields = Fields::new()
                .text("process", &a.process, &b.process)
                .field("parameters", &a.parameters, &b.parameters)
                .text("quorum", a.quorum, b.quorum)
                .field("quorum_max", &a.quorum_max, &b.quorum_max);
            said(fields)
        },
        removal_drops: None,
    }
    .compare(&before.processes, &after.processes, changes);
    Kind {
        area: Area::Vrrp,
        name: &|one: &BfdSession| format!("bfd_instance {}", one.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| {
            let fields = Fields::new()
                .text("neighbor_ip", a.neighbour, b.neighbour)
                .field("source_ip", &a.source, &b.source)
                .field("min_rx", &a.min_rx, &b.min_rx)
                .field("min_tx", &a.min_tx, &b.min_tx)
                .text("multiplier", a.multiplier, b.multiplier);
            said(fields)
        },
        removal_drops: Some("what tracks it no longer follows it"),
    }
    .compare(&old.bfd, &new.bfd, changes);
}

fn statics(old: &VrrpPlan, new: &VrrpPlan, changes: &mut Vec<Change>) {
    Kind {
        area: Area::Vrrp,
        name: &|one: &Holding| match one {
            Holding::Address(address) => format!("static address {}", virtual_address(address)),
            Holding::Route(route) => format!("static route {:?}", route.destination),
            Holding::Rule(rule) => format!("static rule {}", rule.preference),
        },
        identity: &|one| format!("{one:?}"),
        fields: &|_, _| Vec::new(),
        removal_drops: None,
    }
    .compare(&old.statics, &new.statics, changes);
    Kind {
        area: Area::Vrrp,
        name: &|one: &TrackGroup| format!("track_group {}", one.name),
        identity: &|one| one.name.clone(),
        fields: &|a, b| said(Fields::new().field("members", &a.members, &b.members)),
        removal_drops: None,
    }
    .compare(&old.track_groups, &new.track_groups, changes);
}

/// As one would write it: `192.0.2.1/24 dev eth0 label eth0:1`.
fn virtual_address(one: &VirtualAddress) -> String {
    let mut text = format!("{}/{}", one.address, one.prefix_len);
    if let Some(broadcast) = one.broadcast {
        text += &format!(" brd {broadcast}");
    }
    if let Some(interface) = &one.interface {
        text += &format!(" dev {interface}");
    }
    if let Some(label) = &one.label {
        text += &format!(" label {label}");
    }
    if one.scope != 0 {
        text += &format!(" scope {}", one.scope);
    }
    if let Some(peer) = one.peer {
        text += &format!(" peer {}", peer.address);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::VirtualRouterId;
    use crate::vrrp::{Track, Tracked, Version};

    fn plan(change: impl Fn(&mut VrrpInstance)) -> VrrpPlan {
        let id = VirtualRouterId::try_from(51).unwrap();
        let mut instance = VrrpInstance::new("A", "eth0", id);
        change(&mut instance);
        VrrpPlan { instances: vec![instance], ..VrrpPlan::default() }
    }

    fn details(new: &VrrpPlan) -> Vec<String> {
        let mut changes = Vec::new();
        compare(&plan(|_| {}), new, &mut changes);
        changes.into_iter().flat_map(|change| change.details).collect()
    }

    #[test]
    fn every_new_field_of_an_instance_is_told() {
        assert_eq!(details(&plan(|_| {})), Vec::<String>::new());
        assert_eq!(details(&plan(|one| one.version = Version::V3)), ["version V2 -> V3"]);
        assert_eq!(details(&plan(|one| one.accept = false)), ["accept true -> false"]);
        let what = Tracked::Interface("eth1".into());
        let track = Track { what, weight: 0, reverse: false };
        assert!(details(&plan(|one| one.tracks.push(track.clone())))[0].starts_with("trackers"));
        let routed = plan(|one| one.routed = true);
        assert_eq!(details(&routed), ["interface eth0 -> any"]);
    }

    #[test]
    fn settings_and_sessions_are_told() {
        let mut new = plan(|_| {});
        new.settings.log_unknown_routers = true;
        assert_eq!(details(&new), ["log unknown routers false -> true"]);
    }
}
