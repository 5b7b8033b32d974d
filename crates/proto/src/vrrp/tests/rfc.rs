//! Every row of the state tables: RFC 3768 6.4.1 to 6.4.3, RFC 5798 and RFC 9568 6.4.1 to 6.4.3
//! (the section numbers are the same).

use super::*;

#[test]
fn rfc_6_4_1_startup_of_the_owner_sends_an_advert_announces_sets_the_advert_timer_and_is_master() {
    let mut owner = Bench::started(&alone(plan(255)));
    assert_eq!(owner.state(), VrrpState::Master);
    assert_eq!(owner.letters(), "shGTN");
    owner.pass(1_000);
    assert_eq!(owner.letters(), "s");
}

#[test]
fn rfc_6_4_1_startup_of_any_other_sets_the_master_down_timer_and_is_backup() {
    let mut backup = Bench::started(&alone(plan(100)));
    assert_eq!(backup.state(), VrrpState::Backup);
    assert_eq!(backup.letters(), "rTN");
    // 3 s and 156/256 s.
    assert_eq!(backup.due(), Time::from_nanos(3_609_375_000));
}

#[test]
fn rfc_6_4_2_shutdown_of_a_backup_cancels_its_timer_and_sends_nothing() {
    let mut backup = Bench::started(&alone(plan(100)));
    backup.letters();
    backup.router.handle_stop(at(1_000));
    assert_eq!(backup.letters(), "TN");
    assert_eq!(backup.due(), Time::NEVER);
}

#[test]
fn rfc_6_4_2_master_down_timer_fires_sends_an_advert_announces_and_is_master() {
    let mut backup = Bench::started(&alone(plan(100)));
    backup.letters();
    backup.pass(3_609);
    assert_eq!(backup.state(), VrrpState::Backup);
    backup.pass(3_610);
    assert_eq!(backup.state(), VrrpState::Master);
    assert_eq!(backup.letters(), "shGTN");
    assert_eq!(backup.due(), Time::from_nanos(4_609_375_000));
}

#[test]
fn rfc_6_4_2_advert_of_priority_zero_sets_the_master_down_timer_to_the_skew() {
    let mut backup = Bench::started(&alone(plan(240)));
    backup.hear(500, HIGHER, 250);
    backup.hear(1_000, HIGHER, 0);
    assert_eq!(backup.due(), Time::from_nanos(1_062_500_000));
    backup.letters();
    backup.pass(1_063);
    let reason = Reason::MasterStopped;
    let (from, to) = (VrrpState::Backup, VrrpState::Master);
    let expected = Output::Transition { from, to, reason, priority: 240 };
    assert!(backup.outputs().contains(&expected));
    assert_eq!(backup.status(2_000).zero_received, 1);
}

#[test]
fn rfc_6_4_2_advert_of_an_equal_or_higher_priority_resets_the_master_down_timer() {
    let mut backup = Bench::started(&alone(plan(100)));
    backup.letters();
    for second in 1..60 {
        let priority = if second % 2 == 0 { 100 } else { 150 };
        assert_eq!(backup.hear(second * 1_000, HIGHER, priority), "");
        backup.pass(second * 1_000 + 999);
        assert_eq!(backup.state(), VrrpState::Backup);
    }
}

#[test]
fn rfc_6_4_2_without_preemption_any_priority_resets_the_master_down_timer() {
    let mut backup = Bench::started(&alone(VrrpInstance { preempt: false, ..plan(100) }));
    for second in 1..60 {
        backup.hear(second * 1_000, HIGHER, 1);
        backup.pass(second * 1_000 + 999);
    }
    assert_eq!(backup.state(), VrrpState::Backup);
}

#[test]
fn rfc_6_4_2_with_preemption_a_lower_priority_is_discarded() {
    let mut backup = Bench::started(&alone(plan(100)));
    let deadline = backup.due();
    backup.hear(1_000, HIGHER, 99);
    assert_eq!(backup.due(), deadline);
    backup.letters();
    backup.pass(3_610);
    let reason = Reason::Preempted { source: HIGHER, priority: 99 };
    let (from, to) = (VrrpState::Backup, VrrpState::Master);
    let expected = Output::Transition { from, to, reason, priority: 100 };
    assert!(backup.outputs().contains(&expected));
}

#[test]
fn rfc_6_4_3_shutdown_of_a_master_sends_priority_zero_and_is_initialize() {
    let mut master = Bench::master(plan(100));
    master.router.handle_stop(at(5_000));
    assert_eq!(master.letters(), "grTN");
    assert_eq!(master.due(), Time::NEVER);
}

#[test]
fn rfc_6_4_3_advert_timer_fires_sends_an_advert_and_resets_the_timer() {
    let mut master = Bench::master(plan(100));
    master.pass(4_610);
    assert_eq!(master.letters(), "s");
    assert_eq!(master.due(), Time::from_nanos(5_609_375_000));
}

#[test]
fn rfc_6_4_3_advert_of_priority_zero_is_answered_with_an_advert() {
    let mut master = Bench::master(plan(100));
    assert_eq!(master.hear(4_500, HIGHER, 0), "s");
    assert_eq!(master.due(), at(5_500));
    assert_eq!(master.state(), VrrpState::Master);
}

#[test]
fn rfc_6_4_3_advert_of_a_higher_priority_or_an_equal_one_and_higher_address_makes_a_backup() {
    for (source, priority, yields) in
        [(LOWER, 101, true), (HIGHER, 100, true), (LOWER, 100, false), (HIGHER, 99, false)]
    {
        let mut master = Bench::master(plan(100));
        let told = master.hear(4_100, source, priority);
        assert_eq!(master.state() == VrrpState::Backup, yields, "{source} {priority}");
        assert_eq!(told, if yields { "rTN" } else { "sGN" });
        if yields {
            let timer = Time::from_nanos(4_100_000_000 + 3_609_375_000);
            assert_eq!(master.due(), timer);
        }
    }
}

#[test]
fn rfc_9568_6_4_3_a_lower_priority_is_answered_at_once_and_rfc_3768_discards_it() {
    let mut master = Bench::master(plan(100));
    assert_eq!(master.hear(4_100, HIGHER, 50), "sGN");
    assert_eq!(master.due(), at(5_100));
    let quiet = VrrpInstance { lower_prio_no_advert: true, ..plan(100) };
    let mut master = Bench::master(quiet);
    assert_eq!(master.hear(4_100, HIGHER, 50), "GN");
    assert_eq!(master.due(), Time::from_nanos(4_609_375_000));
}

fn version_3(priority: u8, interval: u32) -> VrrpInstance {
    let version = Version::V3;
    VrrpInstance { version, advert_interval: Centiseconds(interval), ..plan(priority) }
}

#[test]
fn rfc_5798_6_1_the_master_down_interval_of_version_3_is_made_of_the_masters_interval() {
    for (priority, nanoseconds) in
        [(254, 30_078_125), (240, 30_625_000), (100, 36_093_750), (1, 39_960_937)]
    {
        let backup = Bench::started(&alone(version_3(priority, 1)));
        assert_eq!(backup.due(), Time::from_nanos(nanoseconds), "{priority}");
    }
}

#[test]
fn rfc_5798_6_4_2_a_backup_of_version_3_takes_over_the_interval_of_its_master() {
    let mut backup = Bench::started(&alone(version_3(240, 100)));
    let theirs = Arc::new(version_3(250, 1));
    backup.hear_from(&theirs, 1_000, HIGHER, 250).unwrap();
    let deadline = Time::from_nanos(1_000_000_000 + 30_625_000);
    assert_eq!(backup.due(), deadline);
    backup.hear_from(&theirs, 1_010, HIGHER, 0).unwrap();
    assert_eq!(backup.due(), Time::from_nanos(1_010_000_000 + 625_000));
    backup.letters();
    backup.pass(1_011);
    // As master it keeps its own pace again.
    assert_eq!(backup.state(), VrrpState::Master);
    assert_eq!(backup.due(), Time::from_nanos(2_010_625_000));
}

#[test]
fn rfc_5798_6_4_3_a_beaten_master_of_version_3_waits_by_the_winners_interval() {
    let mut master = Bench::master(version_3(240, 100));
    let theirs = Arc::new(version_3(250, 10));
    master.hear_from(&theirs, 4_100, HIGHER, 250).unwrap();
    assert_eq!(master.state(), VrrpState::Backup);
    assert_eq!(master.due(), Time::from_nanos(4_100_000_000 + 306_250_000));
}

#[test]
fn rfc_5798_5_1_2_routers_of_ipv6_are_elected_by_their_link_local_addresses() {
    let v6 = |priority| VrrpInstance {
        family: Family::Ipv6,
        destination: Destination::Multicast(Family::Ipv6.group()),
        addresses: vec![VirtualAddress::new("fe80::100".parse().unwrap(), 64)],
        ..version_3(priority, 100)
    };
    for (theirs, yields) in [("fe80::2", true), ("fe80::", false)] {
        let mut master = Bench::master(v6(100));
        master.hear(5_100, theirs.parse().unwrap(), 100);
        assert_eq!(master.state() == VrrpState::Backup, yields, "{theirs}");
    }
}

#[test]
fn a_backup_counts_its_masters_silence_while_it_is_awake() {
    let mut bench = Bench::started(&alone(plan(100)));
    bench.letters();
    // Due at 3.609 s; the process comes back much later, and nothing waits in its socket.
    let mut now = 20_000;
    bench.router.handle_timeout(at(now));
    assert_eq!(bench.state(), VrrpState::Backup);
    // It looked at 1.5 s for the first time: 2.109 s of silence are left to hear.
    let mut looks = 0;
    while bench.state() == VrrpState::Backup {
        now = bench.router.next_deadline().as_nanos().div_ceil(1_000_000);
        bench.router.handle_timeout(at(now));
        looks += 1;
    }
    assert_eq!((now, looks), (22_110, 5));
}

#[test]
fn a_backup_held_up_again_and_again_still_becomes_master() {
    let mut bench = Bench::started(&alone(plan(100)));
    let mut times = 0;
    while bench.state() == VrrpState::Backup {
        times += 1;
        bench.router.handle_timeout(at(times * 20_000));
    }
    // Five looks and the timer, which waits once; two looks and the timer.
    assert_eq!(times, 9);
}

#[test]
fn a_backup_that_slept_across_the_end_of_the_interval_waits_for_one_more_advert() {
    let mut bench = Bench::started(&alone(plan(100)));
    bench.pass(3_600);
    bench.router.handle_timeout(at(3_900));
    assert_eq!(bench.state(), VrrpState::Backup);
    assert_eq!(bench.due(), at(3_900 + 1_609) + core::time::Duration::from_micros(375));
    bench.pass(5_510);
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn a_backup_whose_master_slept_with_it_stays_backup() {
    let mut bench = Bench::started(&alone(plan(100)));
    bench.hear(1_000, HIGHER, 200);
    bench.pass(2_600);
    // Both are stopped until the master-down interval is over but for nine milliseconds.
    bench.router.handle_timeout(at(4_600));
    bench.pass(4_620);
    assert_eq!(bench.state(), VrrpState::Backup);
    bench.hear(4_621, HIGHER, 200);
    assert_eq!(bench.due(), at(8_230) + core::time::Duration::from_micros(375));
}
