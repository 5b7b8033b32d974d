//! Each rule by itself.

use std::collections::BTreeSet;

use model::layer4::VirtualServerId;

use super::*;

#[test]
fn a_server_takes_part_while_all_of_its_checkers_agree() {
    let servers = vec![server(1, 1, &[80, 81]), server(2, 1, &[80]), server(3, 1, &[])];
    let mut health = started(virtual_server(1, servers));
    assert_eq!(shown(&health), [(1, 1), (2, 1), (3, 1)]);
    let [first, second] = ids(&health, 1)[..] else { panic!("two checkers") };
    health.handle_verdict(at(1), first, false, "refused");
    assert_eq!(changes(&drain(&mut health)), ["-1"]);
    health.handle_verdict(at(1), second, false, "refused");
    health.handle_verdict(at(2), first, true, "fine");
    let told = drain(&mut health);
    assert_eq!((changes(&told), lines(&told)), (Vec::new(), Vec::new()));
    health.handle_verdict(at(2), second, true, "fine");
    assert_eq!(changes(&drain(&mut health)), ["+1=1"]);
    health.handle_verdict(at(3), 99, false, "nobody knows this checker");
    assert_eq!(drain(&mut health), []);
}

#[test]
fn alpha_servers_are_out_until_a_check_succeeds() {
    let mut alpha = server(1, 1, &[80]);
    alpha.checkers = vec![pessimistic(checker(1, 80))];
    let mut health = started(virtual_server(1, vec![alpha]));
    assert_eq!(shown(&health), []);
    let outcomes = set(&mut health, 1, true);
    assert_eq!(changes(&outcomes), ["+1=1"]);
    assert_eq!(scripts(&outcomes), ["up"]);
}

#[test]
fn weights_of_checkers_add_up_within_bounds() {
    let mut health = started(virtual_server(1, vec![server(1, 10, &[80, 81]), server(2, 1, &[])]));
    let [first, second] = ids(&health, 1)[..] else { panic!("two checkers") };
    health.handle_weight(at(1), first, 5);
    health.handle_weight(at(1), second, -3);
    let outcomes = drain(&mut health);
    assert_eq!(changes(&outcomes), ["~1=15", "~1=12"]);
    assert_eq!(
        logged(&outcomes)[0],
        "Changing weight from 10 to 15 for active service [10.0.0.1]:tcp:80 of VS [192.0.2.1]:tcp:80"
    );
    health.handle_weight(at(1), first, 1_000_000);
    assert_eq!(changes(&drain(&mut health)), ["~1=65535"]);
    health.handle_weight(at(1), first, -1_000_000);
    assert_eq!(changes(&drain(&mut health)), ["~1=0"]);
}

#[test]
fn a_failed_server_with_inhibit_stays_with_weight_zero() {
    let mut health = started(virtual_server(1, vec![inhibited(1), inhibited(2)]));
    let outcomes = set(&mut health, 1, false);
    assert_eq!(changes(&outcomes), ["~1=0"]);
    assert_eq!(logged(&outcomes), ["Disabling service [10.0.0.1]:tcp:80 of VS [192.0.2.1]:tcp:80"]);
    assert_eq!(changes(&set(&mut health, 1, true)), ["~1=1"]);
}

#[test]
fn the_quorum_is_gained_and_lost_with_hysteresis() {
    let servers = (1..=6).map(|last| server(last, 1, &[80])).collect();
    let mut health = started(with_quorum(virtual_server(1, servers), 3, 2));
    assert!(health.services[0].held);
    // 3 - 2: at one it holds, at none it is lost.
    for last in 1..=5 {
        assert_eq!(scripts(&set(&mut health, last, false)), [""; 0], "{last} down");
    }
    let outcomes = set(&mut health, 6, false);
    assert_eq!(scripts(&outcomes), ["down"]);
    assert!(logged(&outcomes).contains(&"Lost quorum 3-2=1 > 0 for VS [192.0.2.1]:tcp:80"));
    // 3 + 2: five are needed.
    for last in 1..=4 {
        assert_eq!(scripts(&set(&mut health, last, true)), [""; 0], "{last} up");
    }
    let outcomes = set(&mut health, 5, true);
    assert_eq!(scripts(&outcomes), ["up"]);
    assert!(logged(&outcomes).contains(&"Gained quorum 3+2=5 <= 5 for VS [192.0.2.1]:tcp:80"));
}

#[test]
fn living_servers_of_weight_zero_are_no_quorum() {
    let one = with_sorry(virtual_server(1, vec![server(1, 0, &[80])]), 9, false);
    let health = started(one);
    assert!(!health.services[0].held);
    assert_eq!(shown(&health), [(9, 1)]);
}

#[test]
fn the_sorry_server_enters_before_the_others_leave_and_leaves_after_they_are_back() {
    let servers = vec![server(1, 1, &[80]), server(2, 1, &[80]), server(3, 1, &[80])];
    let one = with_quorum(with_sorry(virtual_server(1, servers), 9, false), 2, 0);
    let mut health = started(one);
    assert_eq!(changes(&set(&mut health, 1, false)), ["-1"]);
    let outcomes = set(&mut health, 2, false);
    assert_eq!(changes(&outcomes), ["+9=1", "-2", "-3"]);
    assert_eq!(
        logged(&outcomes),
        [
            "Removing service [10.0.0.2]:tcp:80 from VS [192.0.2.1]:tcp:80",
            "Lost quorum 2-0=2 > 1 for VS [192.0.2.1]:tcp:80",
            "Adding sorry server [10.0.0.9]:tcp:80 to VS [192.0.2.1]:tcp:80",
            "Removing alive servers from the pool for VS [192.0.2.1]:tcp:80",
        ]
    );
    assert_eq!(
        lines(&outcomes),
        ["RS [10.0.0.2]:tcp:80 [192.0.2.1]:tcp:80 DOWN", "VS [192.0.2.1]:tcp:80 DOWN"]
    );
    // Who lives on is not lost for it: one more is enough.
    assert_eq!(changes(&set(&mut health, 1, true)), ["+1=1", "+3=1", "-9"]);
}

#[test]
fn without_a_sorry_server_the_living_stay() {
    let servers = vec![server(1, 1, &[80]), server(2, 1, &[80])];
    let mut health = started(with_quorum(virtual_server(1, servers), 2, 0));
    let outcomes = set(&mut health, 1, false);
    assert_eq!(changes(&outcomes), ["-1"]);
    assert_eq!(scripts(&outcomes), ["down"]);
    assert_eq!(shown(&health), [(2, 1)]);
}

#[test]
fn inhibit_keeps_servers_and_the_sorry_server_at_weight_zero() {
    let one = with_sorry(virtual_server(1, vec![inhibited(1), server(2, 1, &[80])]), 9, true);
    let mut health = started(with_quorum(one, 2, 0));
    assert_eq!(shown(&health), [(1, 1), (2, 1), (9, 0)]);
    assert_eq!(changes(&set(&mut health, 2, false)), ["~9=1", "~1=0", "-2"]);
    assert_eq!(changes(&set(&mut health, 2, true)), ["~1=1", "+2=1", "~9=0"]);
}

#[test]
fn a_sorry_server_that_is_a_real_server_has_one_place() {
    let servers = vec![server(1, 3, &[80]), server(2, 1, &[80])];
    let mut health = started(with_sorry(virtual_server(1, servers), 1, false));
    assert_eq!(changes(&set(&mut health, 1, false)), ["-1"]);
    assert_eq!(changes(&set(&mut health, 2, false)), ["+1=1", "-2"]);
    assert_eq!(changes(&set(&mut health, 1, true)), ["~1=3"]);
}

#[test]
fn a_start_tells_of_the_quorum_and_a_reload_does_not() {
    let one = || plan(vec![virtual_server(1, vec![server(1, 1, &[80])])]);
    let mut health = Health::default().successor(at(0), one(), None);
    let outcomes = drain(&mut health);
    assert_eq!(scripts(&outcomes), ["up"]);
    assert_eq!(lines(&outcomes), ["VS [192.0.2.1]:tcp:80 UP"]);
    assert_eq!(drain(&mut health.successor(at(1), one(), None)), []);
    // A quorum that is not there at the start is told of if a sorry server serves.
    let down = |sorry: bool| {
        let one = with_quorum(virtual_server(1, vec![server(1, 1, &[80])]), 2, 0);
        plan(vec![if sorry { with_sorry(one, 9, false) } else { one }])
    };
    let outcomes = drain(&mut Health::default().successor(at(0), down(true), None));
    assert_eq!(scripts(&outcomes), ["down"]);
    let outcomes = drain(&mut Health::default().successor(at(0), down(false), None));
    assert_eq!(scripts(&outcomes), [""; 0]);
}

#[test]
fn a_reload_keeps_the_checkers_that_did_not_change_and_moves_no_server() {
    let before = vec![server(1, 1, &[80, 81]), server(2, 1, &[80])];
    let mut health = started(virtual_server(1, before));
    let of_first = ids(&health, 1);
    set(&mut health, 2, false);
    // Another weight, a checker fewer, a changed checker for the dead server, a new server.
    let after = vec![server(3, 1, &[80]), server(2, 1, &[8080]), server(1, 7, &[81])];
    let mut next = health.successor(at(2), plan(vec![virtual_server(1, after)]), None);
    assert_eq!(ids(&next, 1), [of_first[1]]);
    assert!(next.take_ended().contains(&of_first[0]));
    assert_eq!(next.take_begun().len(), 2);
    assert_eq!(shown(&next), [(3, 1), (1, 7)]);
    assert_eq!(changes(&drain(&mut next)), ["+3=1", "~1=7"]);
}

#[test]
fn a_checker_whose_timing_changed_takes_over_verdict_and_weight() {
    let mut health = started(virtual_server(1, vec![server(1, 5, &[80, 81])]));
    let [first, second] = ids(&health, 1)[..] else { panic!("two checkers") };
    health.handle_verdict(at(1), first, false, "refused");
    health.handle_weight(at(1), second, 2);
    let mut slower = server(1, 5, &[80, 81]);
    slower.checkers.iter_mut().for_each(|it| it.pace.interval = Duration::from_secs(60));
    let mut next = health.successor(at(2), plan(vec![virtual_server(1, vec![slower])]), None);
    let after: Vec<_> = next.take_begun().iter().map(|it| it.after).collect();
    assert_eq!(after, [Some(first), Some(second)]);
    let state: Vec<_> = next.services[0].checkers().map(|it| (it.up, it.weight)).collect();
    assert_eq!(state, [(false, 0), (true, 2)]);
}

#[test]
fn a_server_that_a_reload_removes_is_told_of_as_down() {
    let mut one = server(1, 1, &[80]);
    one.notify_down = script("one-down");
    let health = started(virtual_server(1, vec![one, server(2, 1, &[])]));
    let after = plan(vec![virtual_server(1, vec![server(2, 1, &[])])]);
    let mut next = health.successor(at(1), after, None);
    let outcomes = drain(&mut next);
    assert_eq!(changes(&outcomes), ["-1"]);
    assert_eq!(scripts(&outcomes), ["one-down"]);
    assert_eq!(lines(&outcomes), ["RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN"]);
    let outcomes = drain(&mut next.successor(at(2), plan(Vec::new()), None));
    assert_eq!(scripts(&outcomes), ["down"]);
    let service = "VS [192.0.2.1]:tcp:80 DOWN";
    assert_eq!(lines(&outcomes), ["RS [10.0.0.2]:tcp:80 [192.0.2.1]:tcp:80 DOWN", service]);
}

#[test]
fn a_restarted_director_begins_with_what_the_tables_say() {
    let servers = || vec![server(1, 1, &[80]), server(2, 1, &[80]), server(3, 1, &[])];
    let file = || plan(vec![virtual_server(1, servers())]);
    let mut former = Health::default().successor(at(0), file(), None);
    set(&mut former, 1, false);
    let mut adopted = former.wanted();
    let mut health = Health::default().successor(at(1), file(), Some(&adopted));
    assert_eq!(shown(&health), [(2, 1), (3, 1)]);
    assert_eq!(scripts(&drain(&mut health)), [""; 0], "the quorum was there before");
    // A service that the earlier director did not have is not affected.
    adopted.clear();
    let health = Health::default().successor(at(1), file(), Some(&adopted));
    assert_eq!(shown(&health), [(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_restarted_director_keeps_the_sorry_server_until_a_check_succeeds() {
    let servers = || vec![server(1, 1, &[80]), server(2, 1, &[80])];
    let file = || plan(vec![with_sorry(virtual_server(1, servers()), 9, false)]);
    let mut former = Health::default().successor(at(0), file(), None);
    set(&mut former, 1, false);
    set(&mut former, 2, false);
    let mut health = Health::default().successor(at(1), file(), Some(&former.wanted()));
    assert_eq!(shown(&health), [(9, 1)]);
    assert_eq!(scripts(&drain(&mut health)), [""; 0]);
    set(&mut health, 2, true);
    assert_eq!(shown(&health), [(2, 1)]);
}

#[test]
fn every_service_of_a_group_shows_the_same_servers() {
    let mut group = virtual_server(1, vec![server(1, 1, &[80]), server(2, 1, &[80])]);
    group.id = VirtualServerId::Group { name: "web".to_string(), protocol: Protocol::Tcp };
    group.services = vec![key(1), key(2)];
    let mut health = started(group.clone());
    let outcomes = set(&mut health, 1, false);
    let removed = |last| Outcome::Table(TableChange::RemoveDestination(key(last), endpoint(1)));
    assert_eq!(outcomes[..2], [removed(1), removed(2)]);
    assert_eq!(lines(&outcomes), ["RS [10.0.0.1]:tcp:80 [web]:0 DOWN"]);
    // A service that moves to another virtual server keeps what is the same.
    group.services = vec![key(2)];
    let single = virtual_server(1, vec![server(2, 1, &[80]), server(3, 1, &[])]);
    let mut next = health.successor(at(2), plan(vec![group, single]), None);
    assert_eq!(changes(&drain(&mut next)), ["+3=1"]);
}

#[test]
fn at_the_end_only_omega_tells() {
    let mut one = server(1, 1, &[80]);
    one.notify_down = script("one-down");
    let service = virtual_server(1, vec![one, server(2, 1, &[80])]);
    let mut health = started(service.clone());
    health.handle_stop();
    assert_eq!(drain(&mut health), []);
    let mut health = started(VirtualServer { omega: true, ..service });
    set(&mut health, 2, false);
    health.handle_stop();
    let outcomes = drain(&mut health);
    assert_eq!(scripts(&outcomes), ["one-down", "down"]);
    let service = "VS [192.0.2.1]:tcp:80 DOWN";
    assert_eq!(lines(&outcomes), ["RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN", service]);
}

#[test]
fn checks_pause_while_no_address_of_the_virtual_server_is_here() {
    let here = |addresses: &[u8]| -> BTreeSet<IpAddr> {
        addresses.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect()
    };
    let service = VirtualServer {
        ha_suspend: true,
        ..virtual_server(1, vec![server(1, 1, &[80]), server(2, 1, &[80])])
    };
    let mut health = started(service.clone());
    set(&mut health, 1, false);
    health.handle_addresses(here(&[7]));
    let all = [ids(&health, 1), ids(&health, 2)].concat();
    assert_eq!(drain(&mut health)[1..], [Outcome::Suspend(all.clone(), true)]);
    assert_eq!(shown(&health), [(2, 1)], "servers stay as they are");
    health.handle_addresses(here(&[7, 8]));
    assert_eq!(drain(&mut health), []);
    // A reload suspends what it brings.
    let mut more = service;
    more.real_servers.push(server(3, 1, &[80]));
    let mut health = health.successor(at(2), plan(vec![more]), None);
    let third = ids(&health, 3);
    assert!(drain(&mut health).contains(&Outcome::Suspend(third.clone(), true)));
    health.handle_addresses(here(&[1]));
    assert_eq!(drain(&mut health)[1..], [Outcome::Suspend([all, third].concat(), false)]);
}

#[test]
fn alerts_follow_the_switches_of_server_and_virtual_server() {
    let mut quiet = server(1, 1, &[80]);
    quiet.smtp_alert = false;
    let service = VirtualServer { smtp_alert: true, ..virtual_server(1, vec![quiet]) };
    let mut health = started(service);
    let alerts: Vec<bool> = set(&mut health, 1, false)
        .into_iter()
        .filter_map(|outcome| match outcome {
            Outcome::Event(Event::Health { alert, .. } | Event::Quorum { alert, .. }) => {
                Some(alert)
            }
            _ => None,
        })
        .collect();
    assert_eq!(alerts, [false, true]);
}

#[test]
fn the_last_eight_changes_of_a_server_are_remembered() {
    let mut health = started(virtual_server(1, vec![server(1, 1, &[80]), server(2, 1, &[])]));
    let id = ids(&health, 1)[0];
    for change in 0..20 {
        health.handle_verdict(at(change), id, change % 2 == 1, &format!("result {change}"));
    }
    let file = plan(vec![virtual_server(1, vec![server(2, 1, &[]), server(1, 1, &[80])])]);
    let health = health.successor(at(30), file, None);
    let server = &health.services[0].servers[1];
    assert_eq!(server.flaps, 20);
    assert_eq!(server.history.len(), 8);
    let latest = &server.history[0];
    assert_eq!((latest.at, latest.up, latest.reason.as_str()), (at(19), true, "result 19"));
}

#[test]
fn thresholds_reach_the_tables() {
    let bounded = |upper| RealServer { upper_threshold: upper, ..server(1, 1, &[80]) };
    let health = started(virtual_server(1, vec![bounded(100)]));
    assert_eq!(health.wanted()[&key(1)].destinations[0].upper_threshold, 100);
    let file = plan(vec![virtual_server(1, vec![bounded(50)])]);
    let mut next = health.successor(at(1), file, None);
    assert_eq!(changes(&drain(&mut next)), ["~1=1"]);
}

#[test]
fn the_first_failure_under_alpha_is_told_once_without_a_mail_and_changes_no_table() {
    let mut alpha = server(1, 1, &[80, 81]);
    alpha.checkers = alpha.checkers.into_iter().map(pessimistic).collect();
    alpha.notify_down = script("dead");
    let plans = || plan(vec![virtual_server(1, vec![alpha.clone(), server(2, 1, &[])])]);
    let mut health = Health::default().successor(at(0), plans(), None);
    drain(&mut health);
    let id = ids(&health, 1);
    health.handle_failure(id[0], "connection refused");
    let told = drain(&mut health);
    assert_eq!(lines(&told), ["RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN"]);
    assert_eq!(scripts(&told), ["dead"]);
    assert_eq!(changes(&told), Vec::<String>::new());
    let mailed = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::Event(Event::Health { alert: true, .. } | Event::Check { alert: true, .. })
        )
    };
    assert!(!told.iter().any(mailed));
    health.handle_failure(id[1], "connection refused");
    assert_eq!(drain(&mut health), []);
    // One that a reload brings is not told of.
    let empty = Health::default().successor(at(0), plan(Vec::new()), None);
    let mut health = empty.successor(at(1), plans(), None);
    drain(&mut health);
    health.handle_failure(ids(&health, 1)[0], "connection refused");
    assert_eq!(drain(&mut health), []);
}

#[test]
fn each_checker_that_changes_is_told_and_a_file_is_never_mailed() {
    let mut both = server(1, 1, &[80, 81]);
    let file =
        model::check::FileCheck { name: "f".into(), weight: 0, reverse: false, dynamic: false };
    both.checkers[1].kind = CheckKind::File(file);
    let mut health = started(virtual_server(1, vec![both, server(2, 1, &[])]));
    let id = ids(&health, 1);
    let mut tell = |checker: usize, up: bool| {
        health.handle_verdict(at(1), id[checker], up, "so");
        let told = drain(&mut health).into_iter().filter_map(|outcome| match outcome {
            Outcome::Event(Event::Health { up, cause, alert, .. }) => {
                Some((true, up, cause, alert))
            }
            Outcome::Event(Event::Check { up, check, alert, .. }) => {
                Some((false, up, Cause::Check(check), alert))
            }
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(tell(0, false), [(true, false, Cause::Check(0), true)]);
    assert_eq!(tell(1, false), [(false, false, Cause::Check(1), false)]);
    assert_eq!(tell(0, true), [(false, false, Cause::Check(0), true)]);
    assert_eq!(tell(1, true), [(true, true, Cause::Check(1), false)]);
}

#[test]
fn a_sorry_server_that_a_reload_brings_while_it_is_needed_is_a_quorum_lost_anew() {
    let servers = || vec![server(1, 1, &[80])];
    let mut health = started(virtual_server(1, servers()));
    set(&mut health, 1, false);
    let of = |last| plan(vec![with_sorry(virtual_server(1, servers()), last, false)]);
    let mut next = health.successor(at(2), of(5), None);
    let told = drain(&mut next);
    assert_eq!(
        (changes(&told), lines(&told)),
        (vec!["+5=1".into()], vec!["VS [192.0.2.1]:tcp:80 DOWN"])
    );
    assert_eq!(scripts(&told), ["down"]);
    assert!(told.iter().any(|it| matches!(
        it,
        Outcome::Event(Event::Quorum { moment: Moment::Reload, gained: false, .. })
    )));
    let told = drain(&mut next.successor(at(3), of(6), None));
    assert_eq!(lines(&told), ["VS [192.0.2.1]:tcp:80 DOWN"]);
    // None any more: nothing to tell of the quorum.
    let told = drain(&mut next.successor(at(3), plan(vec![virtual_server(1, servers())]), None));
    assert_eq!((changes(&told), lines(&told)), (vec!["-5".into()], Vec::new()));
}

#[test]
fn rs_init_notifies_tells_of_those_who_are_up_from_the_start_once_and_mails_nobody() {
    let mut one = server(1, 1, &[80]);
    one.notify_up = script("one");
    let mut alpha = server(2, 1, &[80]);
    alpha.checkers = alpha.checkers.into_iter().map(pessimistic).collect();
    let file = |servers: &[&RealServer]| {
        let servers = servers.iter().map(|&server| server.clone()).collect();
        let mut plan = plan(vec![virtual_server(1, servers)]);
        plan.outside.init_notifies = true;
        plan
    };
    let mut health = Health::default().successor(at(0), file(&[&one, &alpha]), None);
    let told = drain(&mut health);
    let first = "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 UP";
    assert_eq!(lines(&told), [first, "VS [192.0.2.1]:tcp:80 UP"]);
    assert_eq!(scripts(&told), ["one", "up"]);
    assert!(!told.iter().any(|it| matches!(it, Outcome::Event(Event::Health { .. }))));
    // A reload knows them; whom it brings it tells of.
    let third = server(3, 1, &[]);
    let mut next = health.successor(at(1), file(&[&one, &alpha, &third]), None);
    assert_eq!(lines(&drain(&mut next)), [first.replace("0.1]", "0.3]")]);
    // So do the tables of an earlier director.
    let adopted = next.wanted();
    let mut again = Health::default().successor(at(2), file(&[&one, &third]), Some(&adopted));
    assert_eq!(lines(&drain(&mut again)), [""; 0]);
}

#[test]
fn a_virtual_server_that_goes_has_lost_all_of_its_weight() {
    let service = VirtualServer { omega: true, ..virtual_server(1, vec![server(1, 3, &[])]) };
    let quorum = |told: Vec<Outcome>| {
        told.into_iter().find_map(|outcome| match outcome {
            Outcome::Event(Event::Quorum { gained, living, moment, .. }) => {
                Some((gained, living, moment))
            }
            _ => None,
        })
    };
    let causes = |told: &[Outcome]| {
        let cause = |outcome: &Outcome| match outcome {
            Outcome::Event(Event::Health { cause, .. }) => Some(*cause),
            _ => None,
        };
        told.iter().filter_map(cause).collect::<Vec<Cause>>()
    };
    let mut health = started(service);
    let gone = drain(&mut health.successor(at(1), plan(Vec::new()), None));
    assert_eq!(causes(&gone), [Cause::Removal]);
    assert_eq!(quorum(gone), Some((false, 0, Moment::Removal)));
    health.handle_stop();
    let ended = drain(&mut health);
    assert_eq!(causes(&ended), [Cause::End]);
    assert_eq!(quorum(ended), Some((false, 0, Moment::End)));
}

#[test]
fn a_reload_shares_what_it_leaves_alone() {
    let servers = || vec![server(1, 1, &[80]), server(2, 1, &[80])];
    let before = plan(vec![virtual_server(2, servers()), virtual_server(1, servers())]);
    let mut health = Health::default().successor(at(0), before.clone(), None);
    drain(&mut health);
    // The first virtual server goes, the second one moves up.
    let after = plan(vec![before.virtual_servers[1].clone()]);
    let mut next = health.successor(at(1), after.clone(), None);
    assert!(next.services[0].is(&health.services[1]));
    drain(&mut next);
    assert_eq!(changes(&set(&mut next, 2, false)), ["-2"], "its checkers are found");
    assert_eq!((shown(&next).len(), shown(&health).len()), (1, 2), "each has its own by now");
    // Somebody changed it at run time: the file is looked at anew.
    next.handle_request(at(2), &request(1, ServerAction::Weight(7))).expect("it is there");
    let again = next.successor(at(3), after, None);
    assert!(!again.services[0].is(&next.services[0]));
    assert_eq!(shown(&again), [(1, 7)]);
}

#[test]
fn who_listens_is_known_after_reloads_too() {
    let listener = |last: u8, name: &str| {
        let mut one = server(last, 1, &[80]);
        one.checkers[0].kind = CheckKind::Bfd(name.to_string());
        one
    };
    let first = plan(vec![virtual_server(1, vec![listener(1, "a"), listener(2, "b")])]);
    let mut health = Health::default().successor(at(0), first.clone(), None);
    assert_eq!(health.listeners("a"), ids(&health, 1));
    let second = plan(vec![
        virtual_server(1, vec![listener(1, "a"), listener(3, "a")]),
        virtual_server(2, vec![listener(4, "c")]),
    ]);
    health = health.successor(at(1), second, None);
    assert_eq!(health.listeners("a"), [ids(&health, 1), ids(&health, 3)].concat());
    assert_eq!((health.listeners("b").len(), health.listeners("c").len()), (0, 1));
    health = health.successor(at(2), first, None);
    assert_eq!((health.listeners("a").len(), health.listeners("b").len()), (1, 1));
    assert!(health.listeners("c").is_empty());
}

#[test]
fn a_virtual_server_with_another_name_for_the_same_service_goes_on_as_it_was() {
    let one = virtual_server(1, vec![server(1, 5, &[80]), server(2, 1, &[80])]);
    let mut health = started(one.clone());
    assert_eq!(changes(&set(&mut health, 2, false)), ["-2"]);
    let weight = request(1, ServerAction::Weight(9));
    health.handle_request(at(1), &weight).unwrap();
    drain(&mut health);
    let mut group = one;
    group.id = VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp };
    group.services.push(key(2));
    let mut next = health.successor(at(2), plan(vec![group]), None);
    assert_eq!(shown(&next), [(1, 9)]);
    assert_eq!(next.take_begun(), []);
    let outcomes = drain(&mut next);
    let removed = |it: &Outcome| matches!(it, Outcome::Table(TableChange::RemoveService(_)));
    assert!(!outcomes.iter().any(removed), "{outcomes:?}");
}
