//! What an instance makes of what it tracks (keepalived.conf(5), "track_interface" and following).

use alloc::vec::Vec;

use model::control::TrackerState;
use model::vrrp::{SyncGroup, Track, Tracked, VrrpInstance};

use super::faults::{Conditions, Fault};

/// A weight at or below which a tracked file is a fault.
const FAULTY: i64 = -254;
/// The most that one tracked file adds.
const FILE_MOST: i64 = 253;

/// What one tracker does to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The priority changes by this.
    Weight(i32),
    /// It cannot take part.
    Fault,
    /// It does not begin before this is known.
    Waiting,
}

/// The effect of a tracker in a state.
pub(super) fn effect(track: &Track, state: TrackerState) -> Effect {
    let sign = if track.reverse { -1 } else { 1 };
    let weight = i32::from(track.weight) * sign;
    let fault_if = |fault: bool| if fault { Effect::Fault } else { Effect::Weight(0) };
    match (state, track.weight) {
        (TrackerState::Unknown, 0) => Effect::Waiting,
        (TrackerState::Unknown, _) => Effect::Weight(0),
        (TrackerState::Up, 0) => fault_if(track.reverse),
        (TrackerState::Down, 0) => fault_if(!track.reverse),
        (TrackerState::Up, plain) => Effect::Weight(if plain > 0 { weight } else { 0 }),
        (TrackerState::Down, plain) => Effect::Weight(if plain < 0 { weight } else { 0 }),
        // Without a weight, any number but 0 is a failure.
        (TrackerState::Value(number), 0) => fault_if((number != 0) != track.reverse),
        (TrackerState::Value(number), _) => match i64::from(number) * i64::from(weight) {
            product if product <= FAULTY => Effect::Fault,
            product => Effect::Weight(product.min(FILE_MOST) as i32),
        },
    }
}

/// Adds the effects of all trackers to an instance's conditions.
pub(super) fn weigh(
    conditions: &mut Conditions,
    tracks: &[Track],
    state: impl Fn(&Tracked) -> TrackerState,
) {
    for track in tracks {
        match effect(track, state(&track.what)) {
            Effect::Weight(weight) => conditions.weight = conditions.weight.saturating_add(weight),
            Effect::Fault => conditions.faults.push(Fault::Tracked(track.what.clone())),
            Effect::Waiting => conditions.waiting.push(track.what.clone()),
        }
    }
}

/// What an instance tracks: its own, and what its group tracks. Weights that Keepalived ignores
/// are gone: an owner's, and a member's whose group does not let its members have any.
pub(super) fn resolve(
    plan: &VrrpInstance,
    group: Option<&SyncGroup>,
    group_has_owner: bool,
) -> Vec<Track> {
    let owner = plan.priority.number() == 255;
    let grouped = group.is_some_and(|group| !group.members_keep_weights);
    let own = |track: &Track| match (&track.what, track.weight) {
        (_, 0) => Some(track.clone()),
        (_, _) if !owner && !grouped => Some(track.clone()),
        (Tracked::Interface(_), _) if grouped => Some(unweighted(track)),
        // 1 is what a file has that says nothing.
        (Tracked::File(_), 1) => Some(unweighted(track)),
        (Tracked::Interface(_) | Tracked::File(_), _) => None,
        (Tracked::Script(_) | Tracked::Process(_) | Tracked::Bfd(_), _) => None,
    };
    let mut tracks: Vec<Track> = plan.tracks.iter().filter_map(own).collect();
    for of_group in group.map_or(&[][..], |group| &group.tracks) {
        let track = if group_has_owner { unweighted(of_group) } else { of_group.clone() };
        match tracks.iter_mut().find(|own| own.what == track.what) {
            // The group's weight counts, unless a failure is a fault anyway.
            Some(own) if own.weight != 0 => *own = track,
            Some(_) => {}
            None => tracks.push(track),
        }
    }
    tracks
}

fn unweighted(track: &Track) -> Track {
    Track { weight: 0, ..track.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use model::units::{Priority, VirtualRouterId};

    fn track(what: Tracked, weight: i16, reverse: bool) -> Track {
        Track { what, weight, reverse }
    }

    fn script(weight: i16, reverse: bool) -> Track {
        track(Tracked::Script("s".into()), weight, reverse)
    }

    #[test]
    fn up_adds_a_positive_weight_and_down_subtracts_a_negative_one() {
        use TrackerState::{Down, Up};
        let table = [
            (10, false, Up, Effect::Weight(10)),
            (10, false, Down, Effect::Weight(0)),
            (-10, false, Up, Effect::Weight(0)),
            (-10, false, Down, Effect::Weight(-10)),
            (10, true, Up, Effect::Weight(-10)),
            (10, true, Down, Effect::Weight(0)),
            (-10, true, Up, Effect::Weight(0)),
            (-10, true, Down, Effect::Weight(10)),
        ];
        for (weight, reverse, state, expected) in table {
            assert_eq!(effect(&script(weight, reverse), state), expected, "{weight} {reverse}");
        }
    }

    #[test]
    fn without_a_weight_down_is_a_fault_and_up_when_reversed() {
        use TrackerState::{Down, Up};
        assert_eq!(effect(&script(0, false), Down), Effect::Fault);
        assert_eq!(effect(&script(0, false), Up), Effect::Weight(0));
        assert_eq!(effect(&script(0, true), Down), Effect::Weight(0));
        assert_eq!(effect(&script(0, true), Up), Effect::Fault);
    }

    #[test]
    fn what_is_not_known_yet_is_waited_for_only_without_a_weight() {
        assert_eq!(effect(&script(0, false), TrackerState::Unknown), Effect::Waiting);
        assert_eq!(effect(&script(-5, false), TrackerState::Unknown), Effect::Weight(0));
    }

    #[test]
    fn a_files_number_is_multiplied_and_a_fault_from_minus_254_on() {
        let file = |weight, reverse| track(Tracked::File("f".into()), weight, reverse);
        let table = [
            (1, false, -5, Effect::Weight(-5)),
            (2, true, -5, Effect::Weight(10)),
            (3, false, 100, Effect::Weight(253)),
            (1, false, -253, Effect::Weight(-253)),
            (1, false, -254, Effect::Fault),
            (2, false, i32::MIN, Effect::Fault),
            (254, true, i32::MIN, Effect::Weight(253)),
            (0, false, 0, Effect::Weight(0)),
            (0, false, 7, Effect::Fault),
            (0, true, 0, Effect::Fault),
            (0, true, 7, Effect::Weight(0)),
        ];
        for (weight, reverse, number, expected) in table {
            let got = effect(&file(weight, reverse), TrackerState::Value(number));
            assert_eq!(got, expected, "{weight} {reverse} {number}");
        }
    }

    fn plan(priority: u8, tracks: Vec<Track>) -> VrrpInstance {
        let priority = Priority::try_from(priority).unwrap();
        let id = VirtualRouterId::try_from(1).unwrap();
        VrrpInstance { priority, tracks, ..VrrpInstance::new("A", "eth0", id) }
    }

    #[test]
    fn an_owner_and_a_member_of_a_plain_group_have_no_weighted_trackers() {
        let tracks = vec![
            script(0, false),
            track(Tracked::Script("w".into()), 5, false),
            track(Tracked::Interface("eth1".into()), 5, false),
            track(Tracked::File("f".into()), 1, false),
            track(Tracked::File("g".into()), 2, false),
        ];
        let owner = resolve(&plan(255, tracks.clone()), None, false);
        assert_eq!(owner, [script(0, false), track(Tracked::File("f".into()), 0, false)]);
        let group = SyncGroup::default();
        let member = resolve(&plan(100, tracks.clone()), Some(&group), false);
        assert_eq!(member.len(), 3);
        assert!(member.iter().all(|track| track.weight == 0));
        let group = SyncGroup { members_keep_weights: true, ..group };
        assert_eq!(resolve(&plan(100, tracks.clone()), Some(&group), false), tracks);
    }

    #[test]
    fn the_groups_weight_counts_unless_the_member_has_none() {
        let group = SyncGroup {
            tracks: vec![script(7, false), track(Tracked::Bfd("b".into()), 9, false)],
            members_keep_weights: true,
            ..SyncGroup::default()
        };
        let weighted = resolve(&plan(100, vec![script(5, false)]), Some(&group), false);
        assert_eq!(weighted, group.tracks);
        let plain = resolve(&plan(100, vec![script(0, false)]), Some(&group), true);
        assert_eq!(plain[0], script(0, false));
        assert_eq!(plain[1], track(Tracked::Bfd("b".into()), 0, false));
    }
}
