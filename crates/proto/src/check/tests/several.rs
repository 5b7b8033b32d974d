//! Several urls in order, with Keepalived's waits between them.

use model::check::HttpCheck;

use super::*;

const GOOD: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &[u8] = b"HTTP/1.0 503 Busy\r\nContent-Length: 0\r\n\r\n";

fn pages(fast_recovery: bool) -> Plan {
    let http = HttpCheck::plain(vec![url("/one"), url("/two"), url("/three")]);
    plan(CheckKind::Http(HttpCheck { fast_recovery, ..http }))
}

/// One step of a story: after how many milliseconds which url is asked for, how it answers, and
/// what the verdict becomes, if another.
type Step = (u64, &'static str, &'static [u8], Option<bool>);

fn tell(checker: &mut Checker, story: &[Step]) {
    let mut before = at(0);
    for (number, (wait, path, wire, becomes)) in story.iter().enumerate() {
        let (now, request) = open(checker);
        assert_eq!(now.since(before).as_millis(), u128::from(*wait), "step {number}");
        let request = String::from_utf8(request).unwrap();
        assert_eq!(request.split(' ').nth(1), Some(*path), "step {number}");
        checker.handle_bytes(now, wire);
        let verdict = outputs(checker).into_iter().find_map(|output| match output {
            Output::Verdict(verdict) => Some(verdict.up),
            _ => None,
        });
        assert_eq!(verdict, *becomes, "step {number}: {:?}", checker.last_result());
        before = now;
    }
}

#[test]
fn urls_take_turns_with_an_interval_between_them_and_retries_of_their_own() {
    let mut checker = Checker::resume(pages(false), Former::new(true), at(0), 0);
    let story: [Step; 8] = [
        (0, "/one", GOOD, None),
        (6000, "/two", BAD, None),
        (1000, "/two", GOOD, None),
        (6000, "/three", BAD, None),
        (1000, "/three", GOOD, None),
        (6000, "/one", GOOD, None),
        (6000, "/two", BAD, None),
        (1000, "/two", BAD, Some(false)),
    ];
    tell(&mut checker, &story);
    assert_eq!(checker.last_result(), Some("/two: HTTP status 503"));
}

#[test]
fn the_url_that_failed_has_to_answer_before_all_of_them_do() {
    let former = Former { untried: true, ..Former::new(true) };
    let mut checker = Checker::resume(pages(false), former, at(0), 0);
    let story: [Step; 9] = [
        (0, "/one", GOOD, None),
        // Nothing is known yet of the server as a whole: no retry.
        (6000, "/two", BAD, Some(false)),
        (6000, "/two", BAD, None),
        (6000, "/two", GOOD, None),
        (6000, "/one", GOOD, None),
        // On the way up a url that fails is asked again, alone.
        (6000, "/two", BAD, None),
        (1000, "/two", GOOD, None),
        (6000, "/three", GOOD, Some(true)),
        (6000, "/one", GOOD, None),
    ];
    tell(&mut checker, &story);
}

#[test]
fn fast_recovery_leaves_out_the_waits_until_the_server_is_up() {
    let mut plan = pages(true);
    plan.pace.initially_up = false;
    let mut checker = Checker::new(plan, at(0), 0);
    let story: [Step; 12] = [
        (0, "/one", GOOD, None),
        (1, "/two", GOOD, None),
        (1, "/three", GOOD, Some(true)),
        (6000, "/one", GOOD, None),
        (6000, "/two", BAD, None),
        (1000, "/two", BAD, Some(false)),
        (6000, "/two", GOOD, None),
        (1, "/one", GOOD, None),
        // Keepalived would spin here.
        (1, "/two", BAD, None),
        (1000, "/two", GOOD, None),
        (1, "/three", GOOD, Some(true)),
        (6000, "/one", GOOD, None),
    ];
    tell(&mut checker, &story);
}

#[test]
fn a_single_url_that_answers_again_brings_its_server_up_at_once() {
    let kind = CheckKind::Http(HttpCheck::plain(vec![url("/")]));
    let story: [Step; 4] = [
        (0, "/", BAD, Some(false)),
        (6000, "/", BAD, None),
        (6000, "/", GOOD, Some(true)),
        (6000, "/", GOOD, None),
    ];
    tell(&mut Checker::new(plan(kind), at(0), 0), &story);
}

#[test]
fn pages_of_a_server_that_is_down_wait_for_a_retry_even_when_the_interval_is_shorter() {
    let mut plan = plan(CheckKind::Http(HttpCheck::plain(vec![url("/")])));
    plan.pace.down_interval = Duration::from_millis(200);
    let story: [Step; 3] =
        [(0, "/", BAD, Some(false)), (1000, "/", BAD, None), (1000, "/", GOOD, Some(true))];
    tell(&mut Checker::new(plan, at(0), 0), &story);
}
