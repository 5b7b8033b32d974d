//! The checker as a whole, with a virtual clock and a scripted server.

use alloc::string::ToString;
use alloc::vec;

use model::check::{HttpCheck, Pace, UrlCheck};

use super::*;

fn at(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

fn checker(kind: CheckKind) -> Checker {
    let pace = Pace {
        interval: Duration::from_secs(6),
        down_interval: Duration::from_secs(6),
        retry_interval: Duration::from_secs(1),
        rise: 1,
        fall: 2,
        warmup: Duration::ZERO,
        initially_up: true,
    };
    let target = "10.0.0.2:80".parse().unwrap();
    let plan = model::check::Checker::new(kind, target, Duration::from_secs(3), pace);
    Checker::new(plan, at(0), 0)
}

fn url(path: &str) -> UrlCheck {
    UrlCheck { path: path.to_string(), ..UrlCheck::default() }
}

fn outputs(checker: &mut Checker) -> Vec<Output> {
    core::iter::from_fn(|| checker.poll_output()).collect()
}

fn verdict(up: bool, reason: &str) -> Output {
    Output::Verdict(Verdict { up, reason: reason.to_string() })
}

/// Lets the next probe begin; returns when.
fn begin(checker: &mut Checker) -> Time {
    let now = checker.next_deadline();
    checker.handle_timeout(now);
    let target = checker.plan().target;
    let connect = Output::Connect { target, source: Source::default(), tls: None };
    assert_eq!(outputs(checker), [connect]);
    now
}

/// One probe of one url, answered with these bytes and the end.
fn answer(checker: &mut Checker, wire: &[u8]) -> Vec<Output> {
    let now = begin(checker);
    checker.handle_connected(now, Ok(()));
    assert!(matches!(outputs(checker)[..], [Output::Send(_)]));
    checker.handle_bytes(now, wire);
    checker.handle_end(now, Ok(()));
    outputs(checker)
}

#[test]
fn a_refused_connection_takes_a_server_down_and_an_accepted_one_brings_it_back() {
    let mut checker = checker(CheckKind::Tcp);
    let now = begin(&mut checker);
    checker.handle_connected(now, Err("connection refused".to_string()));
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert!(checker.is_up());
    let now = begin(&mut checker);
    assert_eq!(now, at(1000));
    checker.handle_connected(now, Err("connection refused".to_string()));
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(false, "connection refused")]);
    let now = begin(&mut checker);
    assert_eq!(now, at(7000));
    checker.handle_connected(now, Ok(()));
    assert_eq!(outputs(&mut checker), [Output::Close, verdict(true, "connection accepted")]);
    assert_eq!(checker.last_result(), Some("connection accepted"));
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
fn a_dripping_answer_fails_at_the_deadline_of_the_exchange() {
    let mut checker = checker(CheckKind::Http(HttpCheck::plain(vec![url("/")])));
    begin(&mut checker);
    checker.handle_connected(at(500), Ok(()));
    let mut now = at(500);
    for byte in b"HTTP/1.0 200 OK\r\n\r\n" {
        now = now + Duration::from_millis(150);
        checker.handle_bytes(now, &[*byte]);
        assert_eq!(checker.next_deadline(), at(3500));
    }
    outputs(&mut checker);
    checker.handle_timeout(at(3500));
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("answer not complete within 3 s"));
}

#[test]
fn the_request_is_keepaliveds() {
    let mut page = url("/a b");
    let checker_with = |page: &UrlCheck| {
        let mut checker = checker(CheckKind::Http(HttpCheck::plain(vec![page.clone()])));
        let now = begin(&mut checker);
        checker.handle_connected(now, Ok(()));
        match outputs(&mut checker).remove(0) {
            Output::Send(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        checker_with(&page),
        "GET /a%20b HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.0.0.2:80\r\n\r\n"
    );
    page.virtual_host = Some("www.example.org\r\nX: y".to_string());
    assert!(checker_with(&page).ends_with("Host: www.example.orgX: y\r\n\r\n"));
}

#[test]
fn status_and_digest_decide_and_say_why() {
    // (status rule, digest rule, reply, what the probe says)
    let of_hello = *b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92";
    let digest =
        "digest 5d41402abc4b2a76b9719d911017c592 instead of 00000000000000000000000000000000";
    let hello = "HTTP/1.0 200 OK\r\n\r\nhello";
    let cases = [
        (None, None, hello, true, "HTTP status 200"),
        (None, None, "HTTP/1.0 204 No\r\n\r\n", true, "HTTP status 204"),
        (None, None, "HTTP/1.0 302 Found\r\n\r\n", false, "HTTP status 302"),
        (None, Some(of_hello), hello, true, "HTTP status 200, digest matches"),
        (None, Some([0; 16]), hello, false, digest),
        (None, Some(of_hello), "HTTP/1.0 500 No\r\n\r\nhello", false, "HTTP status 500"),
        (
            Some((500, 500)),
            Some(of_hello),
            "HTTP/1.0 500 No\r\n\r\nhello",
            true,
            "HTTP status 500, digest matches",
        ),
        (Some((200, 399)), None, "HTTP/1.0 302 Found\r\n\r\n", true, "HTTP status 302"),
        (Some((201, 201)), None, hello, false, "HTTP status 200"),
    ];
    for (status, digest, reply, passes, says) in cases {
        let mut page = url("/");
        (page.status, page.digest) = (Option::into_iter(status).collect(), digest);
        let mut checker = checker(CheckKind::Http(HttpCheck::plain(vec![page])));
        answer(&mut checker, reply.as_bytes());
        assert_eq!(checker.last_result(), Some(says));
        let next = if passes { 6000 } else { 1000 };
        assert_eq!(checker.next_deadline(), at(next), "{says}");
    }
}

#[test]
fn urls_are_asked_in_order_over_a_connection_each() {
    let mut checker = checker(CheckKind::Http(HttpCheck::plain(vec![url("/one"), url("/two")])));
    let first = answer(&mut checker, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(matches!(first[..], [Output::Close, Output::Connect { .. }]));
    assert!(checker.is_probing());
    checker.handle_connected(at(10), Ok(()));
    let [Output::Send(request)] = &outputs(&mut checker)[..] else { panic!("a request") };
    assert!(request.starts_with(b"GET /two "));
    checker.handle_bytes(at(20), b"HTTP/1.0 503 Busy\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("/two: HTTP status 503"));
    // The next round begins at the first url again.
    let now = begin(&mut checker);
    checker.handle_connected(now, Ok(()));
    assert!(
        matches!(&outputs(&mut checker)[..], [Output::Send(request)] if request.starts_with(b"GET /one "))
    );
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
    assert_eq!(checker.last_result(), None);
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
    checker.handle_connected(now, Err("connection refused".to_string()));
    assert_eq!(outputs(&mut checker), []);
    assert_eq!(checker.next_deadline(), due);
}

#[test]
fn spans_read_as_people_write_them() {
    let texts = [(3000, "3 s"), (1500, "1.5 s"), (200, "200 ms"), (60_050, "60.05 s")];
    for (milliseconds, text) in texts {
        assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
    }
}
