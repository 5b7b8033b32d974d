//! What a checker weighs, and what of it goes on after a reload or in another process.

use model::check::{HttpCheck, MiscCheck};
use model::vrrp::Command;

use super::*;

#[test]
fn forty_thousand_checkers_take_a_few_hundred_bytes_each() {
    let size = size_of::<Checker>();
    assert!(size <= 192, "{size} bytes besides the plan");
    let mut checker = checker(CheckKind::Tcp);
    let now = begin(&mut checker);
    checker.handle_connected(now, Ok(()));
    outputs(&mut checker);
    // Nothing is kept on the heap between two probes: no queue, no text.
    assert_eq!(checker.queued_capacity(), 0);
    assert!(checker.last_result_is_static());
}

/// Both do the same from now on.
fn assert_same_future(mut one: Checker, mut other: Checker) {
    for _ in 0..5 {
        assert_eq!(one.state(), other.state());
        let now = begin(&mut one);
        assert_eq!(begin(&mut other), now);
        for checker in [&mut one, &mut other] {
            checker.handle_connected(now, Err("connection refused".to_string()));
            checker.handle_exited(now, Exit::Status(1));
        }
        assert_eq!(outputs(&mut one), outputs(&mut other));
    }
}

#[test]
fn one_that_is_resumed_goes_on_as_the_former_would_have() {
    let command = Command { words: vec!["a".to_string()], user: None };
    let misc = MiscCheck { command, dynamic: true, configured_weight: 1 };
    let urls = HttpCheck::plain(vec![url("/a"), url("/b"), url("/c")]);
    for kind in [CheckKind::Tcp, CheckKind::Misc(misc), CheckKind::Http(urls)] {
        let plan = Plan { pace: Pace { fall: 4, ..PACE }, ..plan(kind) };
        for results in 0..16u32 {
            let mut former = Checker::new(plan.clone(), at(0), 7);
            for bit in 0..4 {
                let good = results >> bit & 1 == 1;
                let now = begin(&mut former);
                former.handle_connected(now, Ok(()));
                former.handle_exited(now, Exit::Status(if good { 9 } else { 1 }));
                let code: &[u8] = if good { b"200" } else { b"500" };
                let head: [&[u8]; 3] = [b"HTTP/1.0 ", code, b" x\r\nContent-Length: 0\r\n\r\n"];
                former.handle_bytes(now, &head.concat());
                outputs(&mut former);
            }
            let state = former.state();
            let resumed = Checker::resume(plan.clone(), state.clone(), at(9_000), 8);
            assert_eq!(resumed.state(), state);
            assert_same_future(former, resumed);
        }
    }
}

#[test]
fn an_untried_one_is_still_untried_when_it_is_resumed() {
    let former = Checker::new(plan(CheckKind::Tcp), at(0), 7);
    let mut resumed = Checker::resume(plan(CheckKind::Tcp), former.state(), at(1), 7);
    let now = begin(&mut resumed);
    resumed.handle_connected(now, Err("connection refused".to_string()));
    assert!(!resumed.is_up());
}

#[test]
fn a_probe_under_way_begins_again_within_the_warmup() {
    let mut plan = plan(CheckKind::Tcp);
    plan.pace.warmup = Duration::from_secs(6);
    let mut former = Checker::new(plan.clone(), at(0), 7);
    begin(&mut former);
    let resumed = Checker::resume(plan, former.state(), at(100), 8);
    assert!(resumed.next_deadline() >= at(100) && resumed.next_deadline() < at(6100));
    assert!(!resumed.is_probing());
}
