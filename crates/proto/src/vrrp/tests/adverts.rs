//! Keywords about adverts and elections.

use super::*;
use crate::vrrp::Alarm;

#[test]
fn adverts_keep_their_rhythm_when_timers_fire_late() {
    let mut master = Bench::master(plan(255));
    let first = master.due();
    for second in 0..20 {
        assert_eq!(master.due(), first + Duration::from_secs(second));
        master.router.handle_timeout(first + Duration::from_millis(second * 1_000 + 300));
        // Announcements are due in between.
        master.pass(0);
        while master.router.next_deadline() < first + Duration::from_secs(second + 1) {
            master.router.handle_timeout(master.router.next_deadline());
        }
    }
}

#[test]
fn down_timer_adverts_are_how_many_a_backup_misses() {
    let backup = Bench::started(&alone(VrrpInstance { down_timer_adverts: 5, ..plan(100) }));
    assert_eq!(backup.due(), Time::from_nanos(5_609_375_000));
}

#[test]
fn preempt_delay_runs_from_the_first_advert_of_the_weaker_master() {
    let preempt_delay = Duration::from_secs(30);
    let mut backup = Bench::started(&alone(VrrpInstance { preempt_delay, ..plan(100) }));
    let mut second = 1;
    while backup.state() == VrrpState::Backup && second < 100 {
        backup.hear(second * 1_000, HIGHER, 50);
        second += 1;
        backup.pass(second * 1_000 - 1);
    }
    assert!((33..=36).contains(&second), "preempted after {second} s");
}

#[test]
fn a_stronger_master_in_between_starts_the_preempt_delay_anew() {
    let preempt_delay = Duration::from_secs(10);
    let mut backup = Bench::started(&alone(VrrpInstance { preempt_delay, ..plan(100) }));
    for second in 1..60 {
        backup.hear(second * 1_000, HIGHER, if second % 9 == 0 { 200 } else { 50 });
        backup.pass(second * 1_000 + 999);
        assert_eq!(backup.state(), VrrpState::Backup);
    }
}

#[test]
fn startup_delay_holds_masters_back_but_not_their_ears() {
    let mut config = alone(plan(100));
    config.settings.startup_delay = Duration::from_secs(10);
    let mut backup = Bench::started(&config);
    assert_eq!(backup.due(), Time::from_nanos(13_609_375_000));
    backup.hear(5_000, HIGHER, 150);
    assert_eq!(backup.status(5_000).master, Some((HIGHER, 150)));
    assert_eq!(backup.due(), Time::from_nanos(13_609_375_000));
    backup.hear(12_000, HIGHER, 150);
    assert_eq!(backup.due(), Time::from_nanos(15_609_375_000));
}

#[test]
fn higher_prio_send_advert_answers_once_before_giving_way() {
    let config = VrrpInstance { higher_prio_send_advert: true, ..plan(100) };
    let mut master = Bench::master(config);
    assert_eq!(master.hear(4_500, LOWER, 101), "srTN");
}

#[test]
fn a_flood_of_weaker_adverts_is_answered_once_per_interval() {
    let mut master = Bench::master(plan(100));
    let answers = (0..900).filter(|n| master.hear(4_001 + n, LOWER, 1).contains('s'));
    assert_eq!(answers.count(), 1);
}

#[test]
fn a_master_that_ran_too_late_steps_back_where_timer_expired_backup_says_so() {
    let late = Priority::try_from(254).unwrap();
    let config = VrrpInstance { preempt: false, timer_expired_backup: Some(late), ..plan(100) };
    let mut master = Bench::master(config.clone());
    master.router.handle_timeout(at(6_600));
    assert_eq!(master.state(), VrrpState::Master);
    master.letters();
    // The last advert went at 6.6 s: a backup of priority 254 would be master 3.008 s later.
    master.router.handle_timeout(at(9_609));
    assert_eq!(master.letters(), "rTN");
    assert_eq!(master.state(), VrrpState::Backup);
    let mut other = Bench::master(VrrpInstance { timer_expired_backup: None, ..config });
    other.router.handle_timeout(at(60_000));
    assert_eq!(other.state(), VrrpState::Master);
}

#[test]
fn a_discarded_advert_is_counted_and_changes_nothing() {
    let mut backup = Bench::started(&alone(plan(100)));
    let deadline = backup.due();
    let foreign = VrrpInstance { advert_interval: Centiseconds(200), ..plan(200) };
    let refused = backup.hear_from(&Arc::new(foreign), 1_000, HIGHER, 200);
    assert!(matches!(refused, Err((_, Discard::Interval(2, 1)))));
    assert_eq!(backup.due(), deadline);
    let status = backup.status(1_000);
    assert_eq!((status.adverts_discarded, status.errors.advert_interval), (1, 1));
}

#[test]
fn an_advert_of_a_stranger_is_nothing() {
    let mut backup = Bench::started(&alone(plan(100)));
    let stranger = Arc::new(named("stranger", "eth0", 99, 100));
    assert_eq!(backup.hear_from(&stranger, 1, HIGHER, 200), Ok(()));
    let elsewhere = Arc::new(VrrpInstance { interface: "eth1".into(), ..plan(100) });
    assert_eq!(backup.hear_from(&elsewhere, 1, HIGHER, 200), Ok(()));
    assert_eq!(backup.status(1).adverts_received, 0);
}

fn last_notices(bench: &mut Bench) -> Vec<NoticeKind> {
    let kind = |output: Output| match output {
        Output::Notice(kind, _) => Some(kind),
        _ => None,
    };
    bench.outputs().into_iter().filter_map(kind).collect()
}

#[test]
fn two_masters_are_one_alarm_until_the_rival_is_silent_and_then_the_winner_says_so_again() {
    let mut master = Bench::master(plan(100));
    master.pass(10_000);
    master.letters();
    let told = [10_000, 11_000, 12_000].map(|now| master.hear(now, LOWER, 90));
    assert_eq!(told, ["!sGN", "sGN", "sGN"]);
    let status = master.status(13_000);
    assert_eq!((status.rivals, status.last_rival), (3, Some((LOWER, 90, 1))));
    master.pass(15_600);
    assert!(!master.letters().contains('!'));
    master.pass(15_610);
    let outputs = master.outputs();
    let gone = Output::Alarm(Alarm::RivalGone { source: LOWER, priority: 90 });
    let told: String = outputs.iter().map(letter).collect();
    assert_eq!((told.as_str(), &outputs[0]), ("!GN", &gone));
    assert_eq!(outputs[2], Output::Notice(NoticeKind::Master, 100));
    // Another episode is another alarm.
    assert!(master.hear(30_000, LOWER, 90).contains('!'));
}

#[test]
fn a_rival_that_says_goodbye_ends_the_episode_at_once() {
    let mut master = Bench::master(plan(100));
    master.hear(10_000, LOWER, 90);
    assert_eq!(master.hear(10_100, HIGHER, 0), "s");
    assert_eq!(master.hear(10_200, LOWER, 0), "s!GN");
}

#[test]
fn a_master_that_gives_way_ends_its_episode_without_claiming_the_addresses() {
    let mut master = Bench::master(plan(100));
    master.hear(10_000, LOWER, 90);
    assert_eq!(master.hear(10_100, HIGHER, 200), "r!TN");
    assert_eq!(master.status(10_100).rivals, 2);
}

#[test]
fn an_advert_that_was_on_its_way_when_we_took_over_is_no_alarm() {
    let mut master = Bench::master(plan(100));
    assert!(!master.hear(4_000, LOWER, 90).contains('!'));
    assert!(master.hear(5_000, LOWER, 90).contains('!'));
}

#[test]
fn somebody_with_our_own_address_and_priority_is_an_alarm_and_not_answered() {
    let mut master = Bench::master(plan(100));
    assert_eq!(master.hear(10_000, OURS, 100), "!");
    assert_eq!(master.hear(11_000, OURS, 100), "");
    assert_eq!(master.state(), VrrpState::Master);
}

#[test]
fn a_weaker_master_is_told_to_scripts_each_time_it_is_answered() {
    let mut master = Bench::master(plan(100));
    master.hear_at(0, 4_100, LOWER, 50);
    assert_eq!(last_notices(&mut master), [NoticeKind::MasterRxLowerPri]);
}

#[test]
fn both_families_and_unicast_neighbours_of_one_number_hear_their_own_adverts() {
    let unicast = |name: &str, peer: IpAddr, source: &str| VrrpInstance {
        name: name.into(),
        source: Some(source.parse().unwrap()),
        destination: Destination::Unicast(model::vrrp::Unicast {
            peers: vec![model::vrrp::Peer { address: peer, min_ttl: None, max_ttl: None }],
            ..Default::default()
        }),
        ..plan(100)
    };
    let other: IpAddr = "10.9.0.77".parse().unwrap();
    let a = unicast("a", HIGHER, "10.9.0.1");
    let b = unicast("b", other, "10.9.0.1");
    let config = VrrpPlan { instances: vec![a, b], ..VrrpPlan::default() };
    let mut bench = Bench::started(&config);
    // As the peer of b sends it: to our address.
    let theirs = Arc::new(unicast("theirs", OURS, "10.9.0.77"));
    bench.hear_from(&theirs, 1_000, other, 200).unwrap();
    let received: Vec<u64> =
        bench.router.status(at(1)).iter().map(|s| s.adverts_received).collect();
    assert_eq!(received, [0, 1]);
}
