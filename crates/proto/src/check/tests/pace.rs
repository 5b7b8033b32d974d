//! When probes begin and what their results change, shown with TCP_CHECK.

use super::*;

fn refused() -> Result<(), String> {
    Err("connection refused".to_string())
}

#[test]
fn a_refused_connection_takes_a_server_down_and_an_accepted_one_brings_it_back() {
    let mut checker = checker(CheckKind::Tcp);
    let now = begin(&mut checker);
    checker.handle_connected(now, refused());
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert!(checker.is_up() && checker.failures() == 1);
    let now = begin(&mut checker);
    assert_eq!(now, at(1000));
    checker.handle_connected(now, refused());
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(false, "connection refused")]);
    let now = begin(&mut checker);
    assert_eq!(now, at(7000));
    checker.handle_connected(now, Ok(()));
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(true, "connection accepted")]);
    assert_eq!(checker.last_result(), Some("connection accepted"));
    assert_eq!((checker.last_at(), checker.failures()), (Some(now), 0));
}

#[test]
fn a_new_checker_needs_no_retry_to_take_its_server_down() {
    let mut checker = Checker::new(plan(CheckKind::Tcp), at(0), 0);
    let now = begin(&mut checker);
    checker.handle_connected(now, refused());
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(false, "connection refused")]);
}

#[test]
fn in_alpha_mode_a_server_is_down_until_its_first_success() {
    let mut plan = plan(CheckKind::Tcp);
    plan.pace.initially_up = false;
    let mut checker = Checker::new(plan, at(0), 0);
    assert!(!checker.is_up());
    let now = begin(&mut checker);
    checker.handle_connected(now, refused());
    // That it began down is told with its first failure.
    let failure = Output::Failure("connection refused".to_string());
    assert_eq!(outputs(&mut checker), [Output::Close, failure]);
    let now = begin(&mut checker);
    assert_eq!(now, at(6000));
    checker.handle_connected(now, Ok(()));
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(true, "connection accepted")]);
}

#[test]
fn silence_fails_at_the_time_out_of_the_connect() {
    let mut checker = checker(CheckKind::Tcp);
    begin(&mut checker);
    checker.handle_timeout(at(2999));
    assert_eq!(outputs(&mut checker), []);
    checker.handle_timeout(at(3000));
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("no answer within 3 s"));
    assert_eq!(checker.next_deadline(), at(4000));
}

#[test]
fn a_postponed_probe_is_no_result() {
    let mut checker = checker(CheckKind::Tcp);
    for _ in 0..5 {
        let now = begin(&mut checker);
        checker.handle_postponed(now);
        assert_eq!(outputs(&mut checker), [Output::Close]);
        assert_eq!(checker.next_deadline(), now + Duration::from_secs(1));
    }
    assert!(checker.is_up());
    assert_eq!((checker.last_result(), checker.last_at()), (None, None));
}

#[test]
fn what_comes_late_from_a_closed_connection_changes_nothing() {
    let mut checker = checker(CheckKind::Tcp);
    let now = begin(&mut checker);
    checker.handle_connected(now, Ok(()));
    outputs(&mut checker);
    let due = checker.next_deadline();
    checker.handle_bytes(now, b"220 hello\r\n");
    checker.handle_end(now, Err("connection reset".to_string()));
    checker.handle_connected(now, refused());
    checker.handle_exited(now, Exit::Status(1));
    checker.handle_told(now, Told::Up(false));
    assert_eq!(outputs(&mut checker), []);
    assert_eq!(checker.next_deadline(), due);
}

#[test]
fn every_failure_of_a_server_that_is_up_is_told_when_wanted() {
    let mut plan = plan(CheckKind::Tcp);
    plan.log_all_failures = true;
    let mut checker = Checker::resume(plan, Former::new(true), at(0), 0);
    let mut fail = || {
        let now = begin(&mut checker);
        checker.handle_connected(now, refused());
        outputs(&mut checker)
    };
    assert_eq!(fail(), [Output::Close, Output::Failure("connection refused".to_string())]);
    assert_eq!(fail(), [Output::Close, verdict(false, "connection refused")]);
    assert_eq!(fail(), [Output::Close]);
}

#[test]
fn the_first_failure_of_a_server_that_began_down_is_told_and_no_other() {
    let mut plan = plan(CheckKind::Tcp);
    plan.pace.initially_up = false;
    let mut checker = Checker::new(plan, at(0), 0);
    let mut fail = || {
        let now = begin(&mut checker);
        checker.handle_connected(now, refused());
        outputs(&mut checker)
    };
    assert_eq!(fail(), [Output::Close, Output::Failure("connection refused".to_string())]);
    assert_eq!(fail(), [Output::Close]);
}

#[test]
fn a_suspended_checker_gives_up_its_probe_and_begins_none() {
    let mut checker = checker(CheckKind::Tcp);
    let now = begin(&mut checker);
    checker.handle_suspend(now);
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert!(!checker.is_probing());
    assert_eq!(checker.next_deadline(), Time::NEVER);
    checker.handle_connected(now, refused());
    checker.handle_timeout(at(1_000_000));
    checker.handle_suspend(at(1_000_000));
    assert_eq!(outputs(&mut checker), []);
    assert_eq!((checker.is_up(), checker.last_result()), (true, None));
    checker.handle_resume(at(2_000_000), 1);
    assert_eq!(begin(&mut checker), at(2_000_000));
    // One that waits goes on waiting.
    checker.handle_resume(at(2_000_000), 1);
    assert!(checker.is_probing());
}
