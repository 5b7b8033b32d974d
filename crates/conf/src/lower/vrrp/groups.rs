//! Sync groups: members that exist, once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::vrrp::SyncGroup;

use super::Report;
use super::instance::{notify, will_be_owner};
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, Configuration, Instance};
use crate::source::Span;
use crate::suggest;

/// The group that lists an instance; the first one counts.
pub(super) fn group_of<'c>(
    from: &'c Configuration,
    instance: &Instance,
) -> Option<&'c ast::SyncGroup> {
    let name = &instance.name.value;
    from.groups.iter().find(|group| group.members.iter().any(|member| member.value == *name))
}

/// Lowers every group; trackers follow in `tracking`.
pub(super) fn lower(from: &Configuration, report: &mut Report<'_>) -> Vec<SyncGroup> {
    let instances: BTreeMap<&str, &Instance> =
        from.instances.iter().map(|instance| (instance.name.value.as_str(), instance)).collect();
    let mut taken: BTreeMap<&str, Span> = BTreeMap::new();
    let mut groups = Vec::new();
    for group in &from.groups {
        let mut members = Vec::new();
        for member in &group.members {
            let name = member.value.as_str();
            if !instances.contains_key(name) {
                let message = format!("no vrrp_instance is named {name}");
                let help = suggest::did_you_mean(name, instances.keys().copied())
                    .unwrap_or_else(|| String::from("define it, or remove it from the group"));
                report.error(member.span, message, help);
            } else if let Some(&first) = taken.get(name) {
                report.push(
                    Diagnostic::error(member.span, format!("{name} is in a sync group already"))
                        .related(first, "listed here first")
                        .help("an instance belongs to one group, once"),
                );
            } else {
                taken.insert(name, member.span);
                members.push(member.value.clone());
            }
        }
        check_members(group, &members, &instances, report);
        groups.push(SyncGroup {
            name: group.name.value.clone(),
            members,
            tracks: Vec::new(),
            members_keep_weights: group.members_keep_weights,
            notify: notify(&group.notify, None, &from.global.vrrp),
        });
    }
    groups
}

fn check_members(
    group: &ast::SyncGroup,
    members: &[String],
    instances: &BTreeMap<&str, &Instance>,
    report: &mut Report<'_>,
) {
    let name = &group.name;
    if members.len() == 1 && group.members.len() == 1 {
        let message = format!("sync group {} has only one member", name.value);
        report.warning(name.span, message, "list the instances that change state together");
    }
    let owners = members.iter().filter_map(|member| instances.get(member.as_str()));
    let owners = owners.filter(|instance| will_be_owner(instance)).count();
    if owners > 0 && owners < members.len() {
        let message = format!("some members of {} own their addresses and some do not", name.value);
        report.warning(name.span, message, "give all of them, or none, the priority 255");
    }
}
