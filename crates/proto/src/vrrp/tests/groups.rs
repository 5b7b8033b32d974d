//! Sync groups.

use super::*;

fn grouped() -> VrrpPlan {
    VrrpPlan {
        instances: vec![named("outside", "eth0", 51, 100), named("inside", "eth1", 52, 150)],
        sync_groups: vec![SyncGroup {
            name: "G".into(),
            members: vec!["outside".into(), "inside".into()],
            ..SyncGroup::default()
        }],
        ..VrrpPlan::default()
    }
}

fn master() -> Bench {
    let mut bench = Bench::started(&grouped());
    bench.pass(4_000);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
    bench.tasks();
    bench
}

#[test]
fn scripts_hear_of_the_group_first_at_start_and_last_afterwards() {
    let mut bench = Bench::started(&grouped());
    assert_eq!(bench.notices(), ["G BACKUP 0", "outside BACKUP 100", "inside BACKUP 150"]);
    bench.pass(4_000);
    assert_eq!(bench.notices(), ["outside MASTER 100", "inside MASTER 150", "G MASTER 0"]);
    bench.link(5_000, "eth1", DOWN);
    assert_eq!(bench.notices(), ["inside FAULT 150", "outside FAULT 100", "G FAULT 0"]);
    bench.link(6_000, "eth1", UP);
    assert_eq!(bench.notices(), ["inside BACKUP 150", "outside BACKUP 100", "G BACKUP 0"]);
    bench.router.handle_stop(at(7_000));
    assert_eq!(bench.notices(), ["outside STOP 100", "inside STOP 150", "G STOP 0"]);
}

#[test]
fn a_group_becomes_master_when_the_timers_of_all_members_have_expired() {
    let mut bench = Bench::started(&grouped());
    bench.pass(3_500); // inside: 3.41 s, outside: 3.61 s
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    bench.pass(3_610);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_member_that_hears_its_master_holds_the_group_back() {
    let mut bench = Bench::started(&grouped());
    for second in 1..20 {
        bench.hear_at(0, second * 1_000, HIGHER, 200);
        bench.pass(second * 1_000 + 999);
        assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    }
}

#[test]
fn a_member_that_is_thrown_back_takes_its_group_along_with_a_goodbye() {
    let mut bench = master();
    bench.hear_at(0, 4_500, HIGHER, 200);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    let goodbyes = bench
        .tasks()
        .into_iter()
        .filter(|task| letter(&task.output) == 'g' && task.subject.name() == "inside");
    assert_eq!(goodbyes.count(), 1);
}

#[test]
fn one_interface_down_makes_the_whole_group_faulty_until_it_is_up_again() {
    let mut bench = master();
    bench.link(5_000, "eth1", DOWN);
    assert_eq!(bench.states(), [VrrpState::Fault; 2]);
    assert_eq!(bench.status(5_000).faults, ["sync group G has a faulty member"]);
    bench.link(6_000, "eth1", UP);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    bench.pass(10_000);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_robbed_member_takes_its_group_along_and_both_are_back_after_their_skews() {
    let mut bench = master();
    bench.router.handle_lost(at(5_000), &Holding::Address(address(51)));
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    bench.pass(5_610);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_group_waits_for_what_one_of_its_members_does_not_know_yet() {
    let mut config = grouped();
    config.instances[1].tracks = vec![track(script("s"), 0)];
    let mut bench = Bench::started(&config);
    bench.pass(60_000);
    assert_eq!(bench.states(), [VrrpState::Init; 2]);
    assert_eq!(bench.notices(), [""; 0]);
    bench.tracker(60_000, script("s"), TrackerState::Up);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
}

#[test]
fn what_a_group_tracks_all_its_members_track() {
    let mut config = grouped();
    config.sync_groups[0].tracks = vec![track(script("s"), 0), track(script("w"), -40)];
    let mut bench = Bench::started(&config);
    bench.tracker(100, script("s"), TrackerState::Up);
    bench.tracker(100, script("w"), TrackerState::Down);
    let priorities: Vec<u8> = bench.router.instances().iter().map(|i| i.priority()).collect();
    assert_eq!(priorities, [60, 110]);
    bench.tracker(200, script("s"), TrackerState::Down);
    assert_eq!(bench.states(), [VrrpState::Fault; 2]);
}

#[test]
fn a_weaker_master_heard_by_one_member_is_drowned_by_all() {
    let mut bench = master();
    bench.hear_at(0, 5_500, LOWER, 1);
    let who: Vec<String> = bench
        .tasks()
        .into_iter()
        .filter(|task| letter(&task.output) == 'G')
        .map(|task| task.subject.name().into())
        .collect();
    assert_eq!(who, ["outside", "inside"]);
}

#[test]
fn a_group_of_owners_is_master_from_the_start() {
    let mut config = grouped();
    config.instances[0].priority = Priority::OWNER;
    config.instances[1].priority = Priority::OWNER;
    let mut bench = Bench::started(&config);
    bench.pass(0);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
}

#[test]
fn a_member_added_to_a_master_group_becomes_master_with_it_and_nobody_leaves_master() {
    let mut config = grouped();
    let mut bench = master();
    config.instances.push(named("third", "eth2", 53, 100));
    config.sync_groups[0].members.push("third".into());
    bench.configure(4_100, &config);
    assert_eq!(bench.states(), [VrrpState::Master; 3]);
    assert_eq!(bench.notices(), ["third BACKUP 100", "third MASTER 100"]);
}

#[test]
fn a_waiting_member_whose_group_is_dissolved_goes_on_alone() {
    let mut config = grouped();
    let mut bench = Bench::started(&config);
    bench.hear_at(0, 1_000, HIGHER, 200);
    bench.pass(3_500);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    config.sync_groups.clear();
    bench.configure(3_600, &config);
    bench.pass(3_600);
    assert_eq!(bench.states(), [VrrpState::Backup, VrrpState::Master]);
}

#[test]
fn a_killed_predecessors_group_resumes_as_one() {
    let machine = Machine { resumes: true, ..Machine::default() };
    let mut bench = Bench::over(machine, &grouped());
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
    assert!(!bench.letters().contains('r'));
    assert_eq!(bench.router.group_status()[0].state, VrrpState::Master);
}

#[test]
fn a_reload_without_changes_tells_a_group_nothing() {
    let mut bench = master();
    bench.configure(4_100, &grouped());
    assert_eq!(bench.tasks(), []);
    assert_eq!(bench.states(), [VrrpState::Master; 2]);
}
