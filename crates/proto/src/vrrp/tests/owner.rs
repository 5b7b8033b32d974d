//! The owner of the addresses: priority 255.

use super::*;

#[test]
fn of_two_owners_the_one_with_the_lower_address_waits_as_a_backup() {
    let mut owner = Bench::started(&alone(plan(255)));
    owner.letters();
    assert_eq!(owner.hear(100, HIGHER, 255), "rTN");
    assert_eq!(owner.due(), Time::from_nanos(100_000_000 + 3_003_906_250));
}

#[test]
fn owner_ignore_adverts_leaves_the_owner_master_whatever_it_hears() {
    let mut owner =
        Bench::started(&alone(VrrpInstance { owner_ignore_adverts: true, ..plan(255) }));
    owner.letters();
    assert_eq!(owner.hear(100, HIGHER, 255), "");
    assert_eq!(owner.state(), VrrpState::Master);
}

#[test]
fn an_owner_waits_for_the_end_of_the_startup_delay_and_not_longer() {
    let mut config = alone(plan(255));
    config.settings.startup_delay = Duration::from_secs(10);
    let mut owner = Bench::started(&config);
    assert_eq!(owner.state(), VrrpState::Backup);
    assert_eq!(owner.due(), at(10_000));
    // Its addresses are on the interface anyway: nothing is cleaned up.
    assert!(!owner.letters().contains('r'));
}

#[test]
fn trackers_never_change_the_priority_of_the_owner() {
    let mut config = plan(255);
    config.tracks = vec![track(script("s"), -50), track(Tracked::File("f".into()), 2)];
    let mut owner = Bench::started(&alone(config));
    owner.tracker(100, script("s"), TrackerState::Down);
    owner.tracker(100, Tracked::File("f".into()), TrackerState::Value(-200));
    assert_eq!((owner.state(), owner.status(100).priority), (VrrpState::Master, 255));
}

#[test]
fn an_owner_that_recovers_is_master_at_once() {
    let mut owner = Bench::started(&alone(plan(255)));
    owner.link(100, "eth0", DOWN);
    assert_eq!(owner.state(), VrrpState::Fault);
    owner.link(200, "eth0", UP);
    assert_eq!(owner.state(), VrrpState::Master);
}

#[test]
fn a_backup_that_a_reload_makes_the_owner_is_master_at_once() {
    let mut backup = Bench::started(&alone(plan(100)));
    backup.configure(1_000, &alone(plan(255)));
    backup.pass(1_000);
    assert_eq!(backup.state(), VrrpState::Master);
}
