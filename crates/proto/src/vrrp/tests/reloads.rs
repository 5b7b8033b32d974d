//! Another configuration of a running router.

use super::*;
use crate::vrrp::Subject;
use model::vrrp::{Authentication, Garp, VirtualLink, VirtualRoute, VirtualRule};

#[test]
fn a_reload_without_a_change_asks_for_nothing_a_hundred_times() {
    let mut bench = Bench::master(plan(100));
    let deadline = bench.due();
    let before = bench.router.instances()[0].plan().clone();
    for n in 0..100 {
        bench.configure(4_100 + n, &alone(plan(100)));
        assert_eq!(bench.tasks(), []);
        assert_eq!(bench.due(), deadline);
    }
    // The very same plan: nothing is computed anew for the next advert.
    assert!(Arc::ptr_eq(&before, bench.router.instances()[0].plan()));
}

#[test]
fn a_reload_of_a_backup_without_a_change_keeps_its_wait() {
    let mut bench = Bench::started(&alone(plan(100)));
    bench.hear(1_000, HIGHER, 200);
    let deadline = bench.due();
    let other = VrrpInstance { garp: Garp { repeat: 1, ..Garp::default() }, ..plan(100) };
    bench.configure(2_000, &alone(other));
    assert_eq!((bench.letters().as_str(), bench.due()), ("", deadline));
}

#[test]
fn only_addresses_routes_and_rules_that_differ_are_moved() {
    let mut old = plan(100);
    old.addresses = vec![address(100), address(101)];
    old.excluded_addresses = vec![address(110)];
    old.routes = vec![VirtualRoute::new(Family::Ipv4, None)];
    let mut new = old.clone();
    new.addresses = vec![address(101), address(102)];
    new.routes.clear();
    new.rules = vec![VirtualRule::new(Family::Ipv4, 1_000, 7)];
    let mut bench = Bench::master(old.clone());
    bench.configure(4_100, &alone(new.clone()));
    let tasks = bench.tasks();
    let told: String = tasks.iter().map(|task| letter(&task.output)).collect();
    assert_eq!(told, "daGs");
    let gone =
        vec![Holding::Address(address(100)), Holding::Route(VirtualRoute::new(Family::Ipv4, None))];
    assert_eq!(tasks[0].output, Output::Remove(gone));
    assert_eq!(tasks[0].subject, Subject::Instance(Arc::new(old)));
    let come = vec![Holding::Address(address(102)), Holding::Rule(new.rules[0].clone())];
    assert_eq!(tasks[1].output, Output::Add(come));
    let these = Output::Announce { addresses: Announced::These(vec![address(102)]), repeat: 5 };
    assert_eq!(tasks[2].output, these);
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn another_virtual_interface_moves_everything_and_leaves_the_master_master() {
    let mut bench = Bench::master(plan(100));
    let link = VirtualLink::Macvlan {
        name: "vrrp.51".into(),
        mac: [0, 0, 0x5e, 0, 1, 51],
        transmit_on_base: false,
        other_interfaces: false,
    };
    bench.configure(4_100, &alone(VrrpInstance { link, ..plan(100) }));
    let tasks = bench.tasks();
    let told: String = tasks.iter().map(|task| letter(&task.output)).collect();
    assert_eq!(told, "rhG");
    assert_eq!(tasks[0].subject, Subject::Instance(Arc::new(plan(100))));
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn a_changed_priority_of_a_master_is_told_at_once_and_of_a_backup_moves_its_timer() {
    let mut bench = Bench::master(plan(100));
    bench.configure(4_100, &alone(plan(90)));
    assert_eq!(bench.letters(), "s");
    assert_eq!(bench.due(), at(5_100));
    let mut bench = Bench::started(&alone(plan(100)));
    bench.letters();
    bench.configure(1_000, &alone(plan(228)));
    assert_eq!(bench.letters(), "");
    assert_eq!(bench.due(), Time::from_nanos(3_109_375_000));
}

#[test]
fn a_changed_interval_or_password_is_told_at_once() {
    for new in [
        VrrpInstance { advert_interval: Centiseconds(200), ..plan(100) },
        VrrpInstance { authentication: Authentication::Pass(*b"secret\0\0"), ..plan(100) },
    ] {
        let mut bench = Bench::master(plan(100));
        bench.configure(4_100, &alone(new));
        assert_eq!(bench.letters(), "s");
    }
    let mut bench = Bench::started(&alone(plan(100)));
    let new = VrrpInstance { advert_interval: Centiseconds(200), ..plan(100) };
    bench.configure(1_000, &alone(new));
    assert_eq!(bench.due(), Time::from_nanos(7_609_375_000));
}

#[test]
fn a_new_name_is_no_new_router() {
    let mut bench = Bench::master(plan(100));
    bench.configure(4_100, &alone(VrrpInstance { name: "other".into(), ..plan(100) }));
    assert_eq!((bench.state(), bench.letters()), (VrrpState::Master, String::new()));
}

#[test]
fn two_instances_that_swap_their_places_in_the_file_stay_what_they_are() {
    let mut config = VrrpPlan {
        instances: vec![named("a", "eth0", 51, 100), named("b", "eth0", 52, 100)],
        ..VrrpPlan::default()
    };
    let mut bench = Bench::started(&config);
    bench.hear_at(1, 3_000, HIGHER, 200);
    bench.pass(4_000);
    bench.tasks();
    config.instances.reverse();
    bench.configure(4_100, &config);
    assert_eq!(bench.tasks(), []);
    assert_eq!(bench.states(), [VrrpState::Backup, VrrpState::Master]);
}

#[test]
fn another_interface_or_number_is_another_router() {
    for new in [named("VI_1", "eth1", 51, 100), named("VI_1", "eth0", 52, 100)] {
        let mut bench = Bench::master(plan(100));
        bench.configure(4_100, &alone(new));
        assert_eq!(bench.letters(), "grTNrTN");
        assert_eq!(bench.state(), VrrpState::Backup);
    }
}

#[test]
fn an_instance_that_left_the_file_says_goodbye_and_the_others_notice_nothing() {
    let config = VrrpPlan {
        instances: vec![named("a", "eth0", 51, 100), named("b", "eth0", 52, 100)],
        ..VrrpPlan::default()
    };
    for (says_deleted, notice) in [(false, "a FAULT 100"), (true, "a DELETED 100")] {
        let mut config = config.clone();
        config.instances[0].notify.says_deleted = says_deleted;
        let mut bench = Bench::started(&config);
        bench.pass(4_000);
        bench.tasks();
        config.instances.remove(0);
        bench.configure(4_100, &config);
        let tasks = bench.tasks();
        assert!(tasks.iter().all(|task| task.subject.name() == "a"));
        assert_eq!(tasks.iter().map(|task| letter(&task.output)).collect::<String>(), "grTN");
        let Output::Notice(kind, priority) = tasks[3].output else { panic!("{:?}", tasks[3]) };
        assert_eq!(format!("a {kind} {priority}"), notice);
        assert_eq!(bench.states(), [VrrpState::Master]);
    }
}

#[test]
fn a_deleted_instance_that_was_in_fault_says_nothing_unless_asked_to() {
    for (says_deleted, told) in [(false, "T"), (true, "TN")] {
        let mut config = plan(100);
        config.notify.says_deleted = says_deleted;
        let mut bench = Bench::started(&alone(config));
        bench.link(100, "eth0", DOWN);
        bench.tasks();
        bench.configure(200, &VrrpPlan::default());
        assert_eq!(bench.letters(), told);
    }
}

#[test]
fn an_address_that_moves_between_masters_is_removed_before_it_is_added() {
    let mut config = VrrpPlan {
        instances: vec![named("a", "eth0", 51, 100), named("b", "eth0", 52, 100)],
        ..VrrpPlan::default()
    };
    let mut bench = Bench::started(&config);
    bench.pass(4_000);
    bench.tasks();
    let moved = config.instances[1].addresses.pop().unwrap();
    config.instances[0].addresses.push(moved);
    bench.configure(4_100, &config);
    assert_eq!(bench.letters(), "daGss");
}

#[test]
fn a_killed_master_is_resumed_without_waiting_for_anything_it_knew() {
    let machine = Machine { resumes: true, ..Machine::default() };
    let tracks = vec![track(script("s"), 0)];
    let mut bench = Bench::over(machine, &alone(VrrpInstance { tracks, ..plan(100) }));
    assert_eq!(bench.letters(), "shGTN");
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn a_killed_master_whose_interface_is_down_is_not_resumed() {
    let mut machine = Machine { resumes: true, ..Machine::default() };
    machine.links.insert("eth0".into(), DOWN);
    let mut bench = Bench::over(machine, &alone(plan(100)));
    assert_eq!(bench.letters(), "rTN");
    assert_eq!(bench.state(), VrrpState::Fault);
}

#[test]
fn stop_says_all_goodbyes_before_it_takes_anything_away() {
    let config = VrrpPlan {
        instances: vec![named("a", "eth0", 51, 100), named("b", "eth0", 52, 100)],
        ..VrrpPlan::default()
    };
    let mut bench = Bench::started(&config);
    bench.pass(4_000);
    bench.tasks();
    bench.router.handle_stop(at(5_000));
    assert_eq!(bench.letters(), "ggrrTTNN");
    bench.link(6_000, "eth0", DOWN);
    bench.router.handle_timeout(at(60_000));
    assert_eq!(bench.tasks(), []);
}

#[test]
fn a_reload_that_makes_another_address_the_source_is_told_with_it() {
    let mut bench = Bench::master(plan(100));
    let ipv4 = Some(Ipv4Addr::new(10, 9, 0, 7));
    bench.machine.links.insert("eth0".into(), LinkState { ipv4, ..UP });
    bench.configure(4_700, &alone(plan(100)));
    let outputs = bench.outputs();
    assert!(
        matches!(&outputs[..], [Output::SendAdvert(p)] if Some(p.source) == ipv4.map(Into::into))
    );
}

#[test]
fn a_master_that_a_reload_removes_or_moves_says_goodbye_once_and_where_it_was() {
    let gone = VrrpPlan::default();
    let moved = alone(VrrpInstance { interface: "eth1".into(), ..plan(100) });
    for next in [gone, moved] {
        let mut bench = Bench::master(plan(100));
        bench.router.take_leave(at(4_100), &next);
        let tasks = bench.tasks();
        assert_eq!(tasks.iter().map(|task| letter(&task.output)).collect::<String>(), "g");
        let Subject::Instance(of) = &tasks[0].subject else { panic!("{tasks:?}") };
        assert_eq!(of.interface, "eth0");
        bench.configure(4_100, &next);
        let letters = bench.letters();
        assert!(letters.starts_with("rTN") && !letters.contains('g'), "{letters}");
    }
}

#[test]
fn who_stays_takes_no_leave() {
    let mut bench = Bench::master(plan(100));
    let renamed = alone(VrrpInstance { name: "other".into(), ..plan(90) });
    bench.router.take_leave(at(4_100), &renamed);
    assert_eq!(bench.letters(), "");
}
