//! Changes at run time.

use super::*;

fn ask(health: &mut Health, now: Time, last: u8, action: ServerAction) -> Result<String, String> {
    health.handle_request(now, &request(last, action))
}

fn changed(health: &Health, last: u8, now: Time) -> Option<String> {
    let (plan, service) = (&health.plan.virtual_servers[0], &health.services[0]);
    service.changed(plan, service.find(endpoint(last)).unwrap(), now)
}

#[test]
fn a_drain_takes_the_weight_and_at_its_deadline_the_place() {
    let mut health = started(virtual_server(1, vec![server(1, 5, &[80]), server(2, 1, &[])]));
    let within = Some(Duration::from_secs(30));
    let answer = ask(&mut health, at(10), 1, ServerAction::Drain { within }).unwrap();
    assert_eq!(
        answer,
        "10.0.0.1:80 of TCP 192.0.2.1:80 takes no new connections; those it has are cut off in 30 s"
    );
    assert_eq!(changes(&drain(&mut health)), ["~1=0"]);
    assert_eq!(changed(&health, 1, at(18)).as_deref(), Some("drain, 22 s left"));
    assert_eq!(health.next_deadline(), at(40));
    health.handle_timeout(at(39));
    assert_eq!(drain(&mut health), []);
    health.handle_timeout(at(40));
    assert_eq!(changes(&drain(&mut health)), ["-1"]);
    assert_eq!(changed(&health, 1, at(40)).as_deref(), Some("drained"));
    assert_eq!(health.next_deadline(), Time::NEVER);
    ask(&mut health, at(50), 1, ServerAction::Ready).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["+1=5"]);
    assert_eq!(changed(&health, 1, at(50)), None);
}

#[test]
fn changes_outlive_reloads_until_their_virtual_server_goes() {
    let file = || plan(vec![virtual_server(1, vec![server(1, 5, &[80]), server(2, 1, &[])])]);
    let mut health = Health::default().successor(at(0), file(), None);
    ask(&mut health, at(1), 1, ServerAction::Weight(9)).unwrap();
    let add = ServerAction::Add { weight: 3, forwarding: None };
    ask(&mut health, at(1), 7, add).unwrap();
    ask(&mut health, at(1), 2, ServerAction::Delete).unwrap();
    assert_eq!(shown(&health), [(1, 9), (7, 3)]);
    health = health.successor(at(2), file(), None);
    assert_eq!(changes(&drain(&mut health)), [""; 0]);
    assert_eq!(shown(&health), [(1, 9), (7, 3)]);
    assert_eq!(changed(&health, 7, at(2)).as_deref(), Some("added"));
    assert_eq!(changed(&health, 2, at(2)).as_deref(), Some("deleted"));
    health = health.successor(at(3), plan(Vec::new()), None);
    health = health.successor(at(4), file(), None);
    assert_eq!(shown(&health), [(1, 5), (2, 1)]);
}

#[test]
fn a_new_director_begins_with_the_changes_and_never_with_the_file_alone() {
    let file = || plan(vec![virtual_server(1, vec![server(1, 5, &[80]), server(2, 1, &[])])]);
    let mut former = Health::default().successor(at(0), file(), None);
    let add = ServerAction::Add { weight: 3, forwarding: None };
    let requests = [request(1, ServerAction::Weight(9)), request(7, add)];
    requests.iter().for_each(|it| assert!(former.handle_request(at(1), it).is_ok()));
    let adopted = former.wanted();
    let mut health = Health::default().successor(at(2), file(), Some(&adopted));
    assert_eq!(health.lay_over(at(2), &requests), [""; 0]);
    assert_eq!(health.wanted(), adopted);
    assert_eq!(changes(&drain(&mut health)), [""; 0]);
    let lost = health.lay_over(at(3), &[request(1, ServerAction::Weight(70_000))]);
    assert_eq!(lost, ["a weight is at most 65535"]);
}

#[test]
fn what_was_changed_of_a_server_that_the_file_lost_counts_when_it_comes_back() {
    let file = |servers: &[u8]| {
        let servers = servers.iter().map(|&last| server(last, 5, &[80])).collect();
        plan(vec![virtual_server(1, servers)])
    };
    let mut health = Health::default().successor(at(0), file(&[1, 2]), None);
    let drained = ServerAction::Drain { within: None };
    ask(&mut health, at(1), 2, drained.clone()).unwrap();
    health = health.successor(at(2), file(&[1]), None);
    let answer = ask(&mut health, at(3), 2, ServerAction::Weight(9)).unwrap();
    assert_eq!(
        answer,
        "10.0.0.2:80 of TCP 192.0.2.1:80 is in no file now; once it is again: drain, weight 9"
    );
    assert_eq!(shown(&health.successor(at(4), file(&[1, 2]), None)), [(1, 5), (2, 0)]);
    // A director that was started meanwhile knows it as well.
    let mut second = Health::default().successor(at(5), file(&[1]), None);
    assert_eq!(second.lay_over(at(5), &[request(2, drained)]), [""; 0]);
    assert_eq!(shown(&second.successor(at(6), file(&[1, 2]), None)), [(1, 5), (2, 0)]);
    ask(&mut health, at(7), 2, ServerAction::Ready).unwrap();
    assert_eq!(shown(&health.successor(at(8), file(&[1, 2]), None)), [(1, 5), (2, 5)]);
    let error = ask(&mut health, at(9), 2, ServerAction::Ready).unwrap_err();
    assert_eq!(error, "TCP 192.0.2.1:80 has no real server 10.0.0.2:80");
}

#[test]
fn an_added_server_that_is_deleted_leaves_nothing() {
    let mut health = started(virtual_server(1, vec![server(1, 5, &[80])]));
    let add = ServerAction::Add { weight: 3, forwarding: None };
    ask(&mut health, at(1), 7, add.clone()).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["+7=3"]);
    assert_eq!(ask(&mut health, at(1), 7, add).unwrap_err(), "10.0.0.7:80 is there already");
    ask(&mut health, at(1), 7, ServerAction::Delete).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["-7"]);
    assert_eq!(health.services[0].servers.len(), 1);
    assert!(health.services[0].changes.is_empty());
}

#[test]
fn a_deleted_server_of_the_file_comes_back_when_it_is_ready() {
    let mut health = started(virtual_server(1, vec![server(1, 5, &[80]), server(2, 1, &[])]));
    ask(&mut health, at(1), 1, ServerAction::Delete).unwrap();
    let outcomes = drain(&mut health);
    assert_eq!(changes(&outcomes), ["-1"]);
    assert_eq!(lines(&outcomes), ["RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN"]);
    let error = ask(&mut health, at(1), 1, ServerAction::Weight(2)).unwrap_err();
    assert_eq!(error, "10.0.0.1:80 of TCP 192.0.2.1:80 is deleted");
    ask(&mut health, at(1), 1, ServerAction::Ready).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["+1=5"]);
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut health = started(virtual_server(1, vec![server(1, 5, &[80])]));
    let error = ask(&mut health, at(1), 9, ServerAction::Ready).unwrap_err();
    assert_eq!(error, "TCP 192.0.2.1:80 has no real server 10.0.0.9:80");
    let error = ask(&mut health, at(1), 1, ServerAction::Weight(70_000)).unwrap_err();
    assert_eq!(error, "a weight is at most 65535");
    let elsewhere = ServerRequest {
        virtual_server: VirtualServer::new(key(9)).id,
        ..request(1, ServerAction::Ready)
    };
    let error = health.handle_request(at(1), &elsewhere).unwrap_err();
    assert_eq!(error, "there is no virtual server TCP 192.0.2.9:80");
    assert_eq!(drain(&mut health), []);
}

#[test]
fn a_draining_server_stays_while_the_sorry_server_takes_over() {
    let one = with_sorry(virtual_server(1, vec![server(1, 5, &[80])]), 9, false);
    let mut health = started(one);
    ask(&mut health, at(1), 1, ServerAction::Drain { within: None }).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["+9=1", "~1=0"]);
}

#[test]
fn an_added_server_may_have_the_sorry_servers_endpoint() {
    let one = with_sorry(virtual_server(1, vec![server(1, 5, &[80])]), 9, true);
    let mut health = started(one);
    assert_eq!(shown(&health), [(1, 5), (9, 0)]);
    ask(&mut health, at(1), 9, ServerAction::Add { weight: 4, forwarding: None }).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["~9=4"]);
    ask(&mut health, at(1), 9, ServerAction::Delete).unwrap();
    assert_eq!(changes(&drain(&mut health)), ["~9=0"]);
    assert_eq!(shown(&health), [(1, 5), (9, 0)]);
}
