//! MISC_CHECK.

use model::check::MiscCheck;
use model::vrrp::Command;

use super::*;

fn misc(dynamic: bool, configured_weight: u32) -> CheckKind {
    let command = Command { words: vec!["/bin/check".to_string()], user: None };
    CheckKind::Misc(MiscCheck { command, dynamic, configured_weight })
}

/// One run that ends like this.
fn run(checker: &mut Checker, exit: Exit) -> Vec<Output> {
    let now = begin(checker);
    assert!(checker.is_probing());
    checker.handle_exited(now, exit);
    let mut outputs = outputs(checker);
    assert_eq!(outputs.remove(0), Output::Close);
    outputs
}

#[test]
fn only_status_zero_passes_unless_the_weight_is_dynamic() {
    let cases = [
        (Exit::Status(0), true, true, "exit status 0"),
        (Exit::Status(1), false, false, "exit status 1"),
        (Exit::Status(2), false, true, "exit status 2"),
        (Exit::Status(255), false, true, "exit status 255"),
        (Exit::Status(256), false, false, "exit status 256"),
        (Exit::Status(-1), false, false, "exit status -1"),
        (Exit::Signal(9), false, false, "ended by signal 9"),
        (Exit::NotStarted("no such file".to_string()), false, false, "not started: no such file"),
    ];
    for (exit, passes, passes_when_dynamic, says) in cases {
        for (dynamic, passes) in [(false, passes), (true, passes_when_dynamic)] {
            let mut checker = checker(misc(dynamic, 1));
            run(&mut checker, exit.clone());
            assert_eq!(checker.failures() == 0, passes, "{exit:?} {dynamic}");
            assert!(checker.last_result().unwrap().starts_with(says), "{exit:?}");
        }
    }
}

#[test]
fn a_dynamic_weight_is_two_less_than_the_status_whatever_the_file_says() {
    let mut checker = checker(misc(true, 10));
    // (status, what is added to the weight of 10, whether that is told)
    let story = [(0, 0, false), (12, 0, false), (22, 10, true), (22, 10, false), (2, -10, true)];
    for (status, weight, told) in story {
        let outputs = run(&mut checker, Exit::Status(status));
        assert_eq!(checker.weight(), weight, "{status}");
        let expected = if told { vec![Output::Weight(weight)] } else { Vec::new() };
        assert_eq!(outputs, expected, "{status}");
    }
    assert_eq!(run(&mut checker, Exit::Status(255)), [Output::Weight(243)]);
    assert_eq!(run(&mut checker, Exit::Status(0)), [Output::Weight(0)]);
}

#[test]
fn a_weight_outlives_retries_and_ends_with_the_server() {
    let mut checker = checker(misc(true, 1));
    assert_eq!(run(&mut checker, Exit::Status(12)), [Output::Weight(9)]);
    assert_eq!(run(&mut checker, Exit::Status(1)), []);
    assert_eq!(checker.weight(), 9);
    let down = [verdict(false, "exit status 1"), Output::Weight(0)];
    assert_eq!(run(&mut checker, Exit::Status(1)), down);
    let up = [Output::Weight(4), verdict(true, "exit status 7, weight 5")];
    assert_eq!(run(&mut checker, Exit::Status(7)), up);
}

#[test]
fn a_program_that_runs_too_long_is_ended_and_has_failed() {
    let mut checker = checker(misc(false, 1));
    begin(&mut checker);
    // It has no connection that could open, speak or end.
    checker.handle_connected(at(1), Ok(()));
    checker.handle_bytes(at(2), b"x");
    checker.handle_end(at(3), Ok(()));
    checker.handle_timeout(at(2999));
    assert_eq!(outputs(&mut checker), []);
    checker.handle_timeout(at(3000));
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!((checker.failures(), checker.last_result()), (1, Some("still running after 3 s")));
    checker.handle_exited(at(3001), Exit::Signal(15));
    assert_eq!((outputs(&mut checker), checker.failures()), (Vec::new(), 1));
}
