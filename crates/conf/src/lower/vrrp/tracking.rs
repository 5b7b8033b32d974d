//! Trackers: names become what they name, weights those that can count.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::vrrp::{
    Command, SyncGroup, Track, TrackFile, TrackProcess, TrackScript, Tracked, Trackers,
    VrrpInstance,
};

use super::Report;
use super::instance::is_owner;
use crate::keepalived::ast::{Configuration, Process, Script, TrackLine, Weight};
use crate::suggest;

const SECOND: Duration = Duration::from_secs(1);

/// Every name that a list of trackers may use, with the weight it brings.
struct Known<'c>(BTreeMap<(&'static str, &'c str), Weight>);

/// A kind of tracker: the block that defines it.
fn kind(what: &Tracked) -> (&'static str, &str) {
    match what {
        Tracked::Interface(name) => ("interface", name),
        Tracked::Script(name) => ("vrrp_script", name),
        Tracked::File(name) => ("track_file", name),
        Tracked::Process(name) => ("vrrp_track_process", name),
        Tracked::Bfd(name) => ("bfd_instance", name),
    }
}

impl<'c> Known<'c> {
    fn of(from: &'c Configuration) -> Known<'c> {
        let mut known = BTreeMap::new();
        for script in &from.scripts {
            let weight = script.weight.unwrap_or_default();
            known.insert(("vrrp_script", script.name.value.as_str()), weight);
        }
        for file in &from.files {
            known.insert(("track_file", file.name.value.as_str()), file.own_weight());
        }
        for process in &from.processes {
            let weight = process.weight.unwrap_or_default();
            known.insert(("vrrp_track_process", process.name.value.as_str()), weight);
        }
        // A session that only checkers follow says nothing to VRRP.
        for bfd in from.bfd.iter().filter(|bfd| bfd.vrrp || !bfd.checker) {
            let weight = bfd.weight.unwrap_or_default();
            known.insert(("bfd_instance", bfd.name.value.as_str()), weight);
        }
        Known(known)
    }

    /// A line with its defaults.
    fn track(&self, line: &TrackLine, report: &mut Report<'_>) -> Option<Track> {
        let (kind, name) = kind(&line.what.value);
        let default = match &line.what.value {
            Tracked::Interface(_) => Some(Weight::default()),
            _ => self.0.get(&(kind, name)).copied(),
        };
        let Some(default) = default else {
            let names = self.0.keys().filter(|(k, _)| *k == kind).map(|(_, name)| *name);
            let help = suggest::did_you_mean(name, names)
                .unwrap_or_else(|| format!("define it: {kind} {name} {{ ... }}"));
            report.error(line.what.span, format!("no {kind} is named {name}"), help);
            return None;
        };
        Some(Track {
            what: line.what.value.clone(),
            weight: line.weight.unwrap_or(default.weight),
            reverse: line.reverse.unwrap_or(default.reverse),
        })
    }
}

/// Gives instances and groups their trackers.
pub(super) fn settle(
    from: &Configuration,
    groups: &mut [SyncGroup],
    instances: &mut [VrrpInstance],
    report: &mut Report<'_>,
) {
    let known = Known::of(from);
    for (group, source) in groups.iter_mut().zip(&from.groups) {
        let tracks = source.tracks.iter().filter_map(|line| known.track(line, report));
        group.tracks = tracks.collect();
    }
    let sources: BTreeMap<&str, _> =
        from.instances.iter().map(|one| (one.name.value.as_str(), one)).collect();
    for instance in &mut *instances {
        let Some(source) = sources.get(instance.name.as_str()) else { continue };
        let group = groups.iter().find(|group| group.members.contains(&instance.name));
        for line in &source.tracks {
            let Some(track) = known.track(line, report) else { continue };
            let track = own_interface(instance, line, track, report);
            let track = track.and_then(|track| weigh(instance, group, line, track, report));
            instance.tracks.extend(track);
        }
        let others = held_interfaces(instance);
        instance.tracks.extend(others);
    }
    for (group, source) in groups.iter_mut().zip(&from.groups) {
        let is_owned =
            |instance: &VrrpInstance| is_owner(instance) && group.members.contains(&instance.name);
        if !instances.iter().any(is_owned) {
            continue;
        }
        for (track, line) in group.tracks.iter_mut().zip(&source.tracks) {
            if track.weight != 0 {
                let message = "a member owns its addresses: this weight is 0";
                report.warning(line.what.span, message, "write weight 0");
                track.weight = 0;
            }
        }
    }
}

/// The own interface is tracked anyway.
fn own_interface(
    instance: &VrrpInstance,
    line: &TrackLine,
    track: Track,
    report: &mut Report<'_>,
) -> Option<Track> {
    let own = matches!(&track.what, Tracked::Interface(name) if *name == instance.interface);
    if !own || instance.routed {
        return Some(track);
    }
    let message =
        format!("{} is the instance's own interface: the line is left out", instance.interface);
    report.warning(line.what.span, message, "remove it; dont_track_primary decides about it");
    None
}

/// Members of a sync group, and owners of their addresses, have no floating priority: what
/// Keepalived makes of a weight there.
fn weigh(
    instance: &VrrpInstance,
    group: Option<&SyncGroup>,
    line: &TrackLine,
    mut track: Track,
    report: &mut Report<'_>,
) -> Option<Track> {
    if track.weight == 0 {
        return Some(track);
    }
    let synced = group.is_some_and(|group| !group.members_keep_weights);
    if !synced && !is_owner(instance) {
        return Some(track);
    }
    let why =
        if synced { "the instance is in a sync group" } else { "the instance owns its addresses" };
    let kept = match (&track.what, track.weight) {
        (Tracked::Interface(_), _) => synced,
        // The default weight of a file.
        (Tracked::File(_), 1) => true,
        (Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_), _) => false,
    };
    let help = if synced {
        "move it to the group, or write weight 0, or sync_group_tracking_weight in the group"
    } else {
        "write weight 0, or remove it"
    };
    if kept {
        report.warning(line.what.span, format!("{why}: this weight is 0"), help);
        track.weight = 0;
        return Some(track);
    }
    report.warning(line.what.span, format!("{why}: this weighted tracker is left out"), help);
    None
}

/// Interfaces of tracked addresses, routes and rules: where they are down, what the master holds
/// is lost.
fn held_interfaces(instance: &VrrpInstance) -> Vec<Track> {
    let addresses = instance.held_addresses().filter(|address| address.track);
    let addresses = addresses.filter_map(|address| address.interface.as_deref());
    let routes = instance.routes.iter().filter(|route| route.track);
    let routes = routes.filter_map(|route| match &route.next_hops[..] {
        [only] => only.interface.as_deref(),
        _ => None,
    });
    let rules = instance.rules.iter().filter(|rule| rule.track);
    let rules = rules.flat_map(|rule| [rule.input.as_deref(), rule.output.as_deref()]).flatten();
    let names: BTreeSet<&str> = addresses.chain(routes).chain(rules).collect();
    let link = match &instance.link {
        model::vrrp::VirtualLink::None => None,
        model::vrrp::VirtualLink::Macvlan { name, .. }
        | model::vrrp::VirtualLink::Ipvlan { name, .. } => Some(name.as_str()),
    };
    let tracked = |name: &str| {
        instance.tracks.iter().any(|t| matches!(&t.what, Tracked::Interface(n) if n == name))
    };
    let own = |name: &str| !instance.routed && name == instance.interface || Some(name) == link;
    let names = names.into_iter().filter(|name| !own(name) && !tracked(name));
    names
        .map(|name| Track { what: Tracked::Interface(name.into()), weight: 0, reverse: false })
        .collect()
}

/// What somebody tracks; scripts that nobody tracks are not run.
pub(super) fn trackers(
    from: &Configuration,
    groups: &[SyncGroup],
    instances: &[VrrpInstance],
    report: &mut Report<'_>,
) -> Trackers {
    let tracked: BTreeSet<&Tracked> = instances
        .iter()
        .flat_map(|instance| &instance.tracks)
        .chain(groups.iter().flat_map(|group| &group.tracks))
        .map(|track| &track.what)
        .collect();
    let mut trackers = Trackers::default();
    for script in &from.scripts {
        let name = &script.name;
        if tracked.contains(&Tracked::Script(name.value.clone())) {
            trackers.scripts.push(self::script(script));
        } else if from.groups.is_empty() && from.instances.is_empty() || !is_named(from, name) {
            let message = format!("nobody tracks {}: it is not run", name.value);
            report.warning(name.span, message, "write it into track_script, or remove it");
        }
    }
    for file in &from.files {
        if tracked.contains(&Tracked::File(file.name.value.clone())) {
            trackers.files.push(TrackFile {
                name: file.name.value.clone(),
                path: file.path.clone(),
                init: file.init,
            });
        }
    }
    for process in &from.processes {
        let lowered = self::process(process, report);
        if tracked.contains(&Tracked::Process(process.name.value.clone())) {
            trackers.processes.push(lowered);
        }
    }
    trackers
}

/// Some list names the script, although it was left out there.
fn is_named(from: &Configuration, name: &crate::Spanned<String>) -> bool {
    let lines = from.instances.iter().flat_map(|instance| &instance.tracks);
    let mut lines = lines.chain(from.groups.iter().flat_map(|group| &group.tracks));
    lines.any(|line| matches!(&line.what.value, Tracked::Script(n) if *n == name.value))
}

fn script(from: &Script) -> TrackScript {
    let interval = from.interval.unwrap_or(SECOND);
    TrackScript {
        name: from.name.value.clone(),
        command: Command { words: from.words.clone(), user: from.user.clone() },
        interval,
        timeout: from.timeout.unwrap_or(interval),
        rise: from.rise.unwrap_or(1),
        fall: from.fall.unwrap_or(1),
        init_fail: from.init_fail,
    }
}

fn process(from: &Process, report: &mut Report<'_>) -> TrackProcess {
    let most = from.quorum_max.as_ref().map(|most| most.value);
    let least = from.quorum.as_ref().map(|least| least.value);
    if let (Some(least), Some(max)) = (&from.quorum, &from.quorum_max)
        && least.value > max.value
    {
        let message = format!("quorum {} is above quorum_max {}", least.value, max.value);
        report.error(least.span, message, "write a quorum that is not above quorum_max");
    }
    let mut words = from.words.iter().cloned();
    TrackProcess {
        name: from.name.value.clone(),
        process: words.next().unwrap_or_default(),
        parameters: words.collect(),
        parameter_match: from.parameter_match,
        full_command: from.full_command,
        // With quorum_max 0 its absence is the success.
        quorum: least.unwrap_or(if most == Some(0) { 0 } else { 1 }),
        quorum_max: most,
        fork_delay: from.fork_delay.unwrap_or_default(),
        terminate_delay: from.terminate_delay.unwrap_or_default(),
    }
}
