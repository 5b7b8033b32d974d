//! Scripts, files, processes, BFD sessions and interfaces.

use super::*;
use model::vrrp::{Command, TrackScript};

fn tracking(tracks: Vec<Track>) -> VrrpInstance {
    let mut config = plan(100);
    config.tracks = tracks;
    config.notify.priority_changes = true;
    config
}

#[test]
fn a_script_that_has_not_run_yet_holds_the_instance_back_without_a_word_to_scripts() {
    let mut bench = Bench::started(&alone(tracking(vec![track(script("s"), 0)])));
    assert_eq!(bench.letters(), "r");
    let status = bench.status(1_000);
    assert_eq!(
        (status.state, &status.faults[..]),
        (VrrpState::Init, &["script s is not known yet".into()][..])
    );
    bench.tracker(2_000, script("s"), TrackerState::Up);
    assert_eq!(bench.notices(), ["VI_1 BACKUP 100"]);
    assert_eq!(bench.due(), Time::from_nanos(5_609_375_000));
}

#[test]
fn a_script_whose_first_run_fails_is_a_fault() {
    let mut bench = Bench::started(&alone(tracking(vec![track(script("s"), 0)])));
    bench.tracker(2_000, script("s"), TrackerState::Down);
    assert_eq!(bench.notices(), ["VI_1 FAULT 100"]);
}

#[test]
fn init_fail_begins_in_fault() {
    let mut config = alone(tracking(vec![track(script("s"), 0)]));
    config.trackers.scripts = vec![TrackScript {
        name: "s".into(),
        command: Command { words: vec!["true".into()], user: None },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 1,
        init_fail: true,
    }];
    let mut bench = Bench::started(&config);
    assert_eq!(bench.notices(), ["VI_1 FAULT 100"]);
}

#[test]
fn a_weighted_script_that_has_not_run_yet_holds_nothing_back() {
    let bench = Bench::started(&alone(tracking(vec![track(script("s"), -20)])));
    assert_eq!((bench.state(), bench.status(0).priority), (VrrpState::Backup, 100));
}

#[test]
fn a_bfd_session_is_down_until_it_came_up() {
    let bfd = Tracked::Bfd("b".into());
    let mut bench = Bench::started(&alone(tracking(vec![track(bfd.clone(), 0)])));
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.tracker(100, bfd.clone(), TrackerState::Up);
    assert_eq!(bench.state(), VrrpState::Backup);
    bench.pass(5_000);
    bench.letters();
    bench.tracker(5_000, bfd, TrackerState::Down);
    assert_eq!(bench.letters(), "grTN");
}

#[test]
fn a_changed_priority_of_a_master_is_told_to_backups_and_pipes_at_once() {
    let mut bench = Bench::master(tracking(vec![track(script("s"), -20)]));
    bench.tracker(5_000, script("s"), TrackerState::Down);
    let outputs = bench.outputs();
    assert_eq!(outputs[0], Output::Notice(NoticeKind::MasterPriority, 80));
    assert!(matches!(&outputs[1], Output::SendAdvert(packet) if packet.payload[2] == 80));
    assert_eq!(bench.due(), at(6_000));
    let status = bench.status(5_000);
    assert_eq!((status.priority, status.base_priority), (80, 100));
}

#[test]
fn a_changed_priority_of_a_backup_moves_the_rest_of_its_wait_by_the_difference() {
    let mut bench = Bench::started(&alone(tracking(vec![track(script("s"), 64)])));
    bench.hear(1_000, HIGHER, 200);
    let before = bench.due();
    bench.tracker(2_000, script("s"), TrackerState::Up);
    assert_eq!(bench.notices(), ["VI_1 BACKUP_PRIORITY 164"]);
    assert_eq!(bench.due(), before - Duration::from_millis(250));
    bench.tracker(2_500, script("s"), TrackerState::Down);
    assert_eq!(bench.due(), before);
}

#[test]
fn a_master_whose_priority_falls_gives_way_by_the_next_advert_of_a_better_one() {
    let mut bench = Bench::master(tracking(vec![track(script("s"), -20)]));
    bench.tracker(5_000, script("s"), TrackerState::Down);
    bench.hear(5_100, LOWER, 90);
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn weights_add_up_between_1_and_254() {
    let tracks = vec![
        track(script("s"), 100),
        track(Tracked::Process("p".into()), 100),
        track(Tracked::Interface("eth7".into()), -200),
    ];
    let mut bench = Bench::started(&alone(tracking(tracks)));
    bench.tracker(1, script("s"), TrackerState::Up);
    assert_eq!(bench.status(1).priority, 200);
    bench.tracker(2, Tracked::Process("p".into()), TrackerState::Up);
    assert_eq!(bench.status(2).priority, 254);
    bench.link(3, "eth7", DOWN);
    assert_eq!(bench.status(3).priority, 100);
    bench.tracker(4, script("s"), TrackerState::Down);
    bench.tracker(4, Tracked::Process("p".into()), TrackerState::Down);
    assert_eq!(bench.status(4).priority, 1);
}

#[test]
fn a_reversed_interface_is_a_fault_while_it_is_up() {
    let what = Tracked::Interface("eth7".into());
    let reversed = Track { what, weight: 0, reverse: true };
    let mut bench = Bench::started(&alone(tracking(vec![reversed])));
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.link(1, "eth7", DOWN);
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn a_files_number_changes_the_priority_and_is_a_fault_from_minus_254_on() {
    let file = Tracked::File("f".into());
    let mut bench = Bench::started(&alone(tracking(vec![track(file.clone(), 2)])));
    bench.tracker(1, file.clone(), TrackerState::Value(-30));
    assert_eq!((bench.state(), bench.status(1).priority), (VrrpState::Backup, 40));
    bench.tracker(2, file.clone(), TrackerState::Value(-127));
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.tracker(3, file, TrackerState::Value(10));
    assert_eq!((bench.state(), bench.status(3).priority), (VrrpState::Backup, 120));
}

#[test]
fn the_same_state_again_is_nothing_and_neither_is_what_nobody_tracks() {
    let mut bench = Bench::master(tracking(vec![track(script("s"), -20)]));
    bench.tracker(5_000, script("s"), TrackerState::Up);
    bench.tracker(5_000, script("s"), TrackerState::Up);
    bench.tracker(5_000, script("other"), TrackerState::Down);
    assert_eq!(bench.letters(), "");
}

#[test]
fn a_script_that_a_reload_brings_leaves_a_master_master_until_it_fails() {
    let mut bench = Bench::master(tracking(vec![]));
    bench.configure(5_000, &alone(tracking(vec![track(script("s"), 0)])));
    assert_eq!((bench.state(), bench.letters()), (VrrpState::Master, String::new()));
    bench.tracker(5_100, script("s"), TrackerState::Up);
    assert_eq!(bench.letters(), "");
    bench.tracker(5_200, script("s"), TrackerState::Down);
    assert_eq!(bench.letters(), "grTN");
    // A reload without it ends the fault.
    bench.configure(5_300, &alone(tracking(vec![])));
    assert_eq!(bench.letters(), "TN");
}

#[test]
fn a_reload_keeps_what_is_known_of_a_tracker() {
    let mut bench = Bench::master(tracking(vec![track(script("s"), -20)]));
    bench.tracker(5_000, script("s"), TrackerState::Down);
    bench.machine.trackers.clear();
    bench.tasks();
    let mut other = tracking(vec![track(script("s"), -30)]);
    other.addresses.push(address(101));
    bench.configure(5_100, &alone(other));
    assert_eq!(bench.status(5_100).priority, 70);
    assert_eq!(bench.router.tracker_status()[0].state, TrackerState::Down);
}
