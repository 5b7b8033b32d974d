//! DNS_CHECK, UDP_CHECK and PING_CHECK.

use model::check::{DnsCheck, UdpCheck, UdpReply};

use super::*;

fn dns() -> CheckKind {
    CheckKind::Dns(DnsCheck { record_type: 6, name: "example.org".to_string() })
}

fn udp(reply: Option<UdpReply>) -> CheckKind {
    CheckKind::Udp(UdpCheck { payload: Some(b"hello".to_vec()), reply })
}

#[test]
fn a_name_server_that_answers_is_well_and_one_that_refuses_is_not() {
    for (code, says) in [(0, "answered"), (2, "answered SERVFAIL"), (5, "answered REFUSED")] {
        let mut checker = checker(dns());
        let (now, mut packet) = open(&mut checker);
        assert_eq!(&packet[12..], b"\x07example\x03org\0\x00\x06\x00\x01");
        packet[2] |= 0x80;
        packet[3] |= code;
        checker.handle_bytes(now, &packet);
        assert_eq!(outputs(&mut checker), [Output::Close]);
        assert_eq!(checker.last_result(), Some(says));
        assert_eq!(checker.failures(), u32::from(code != 0));
    }
}

#[test]
fn what_is_no_answer_to_the_question_is_passed_over_until_the_time_out() {
    let mut checker = checker(dns());
    let (_, query) = open(&mut checker);
    checker.handle_bytes(at(10), b"");
    checker.handle_bytes(at(20), &query);
    let mut other = query.clone();
    (other[0], other[2]) = (!other[0], 0x81);
    checker.handle_bytes(at(30), &other);
    assert_eq!(outputs(&mut checker), []);
    checker.handle_timeout(at(3000));
    let says = "no answer within 3 s, only an answer with another identifier";
    assert_eq!(checker.last_result(), Some(says));
}

#[test]
fn every_query_has_an_identifier_of_its_own() {
    let mut checker = checker(dns());
    let mut identifiers = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let (now, query) = open(&mut checker);
        identifiers.insert([query[0], query[1]]);
        checker.handle_postponed(now);
        outputs(&mut checker);
    }
    assert!(identifiers.len() > 90, "{}", identifiers.len());
}

#[test]
fn without_a_wish_for_an_answer_only_an_icmp_error_fails() {
    let mut silent = checker(udp(None));
    let (_, payload) = open(&mut silent);
    assert_eq!(payload, b"hello");
    silent.handle_timeout(at(3000));
    assert_eq!(silent.last_result(), Some("not refused within 3 s"));
    assert_eq!(silent.failures(), 0);
    let mut refused = checker(udp(None));
    let (now, _) = open(&mut refused);
    refused.handle_end(now, Err("connection refused".to_string()));
    assert_eq!((refused.failures(), refused.last_result()), (1, Some("connection refused")));
    let mut answered = checker(udp(None));
    let (now, _) = open(&mut answered);
    answered.handle_bytes(now, b"");
    assert_eq!((answered.failures(), answered.last_result()), (0, Some("answered")));
}

#[test]
fn an_answer_that_is_wanted_has_the_length_and_the_bits_it_should() {
    let bytes = vec![(b'o', 0xff), (0x0f, 0x0f), (0, 0), (7, 0xff)];
    let reply = UdpReply { bytes, min_length: 2, max_length: 5 };
    let cases: [(&[u8], &str); 8] = [
        (b"o\x0f\x99\x07", "answered as expected"),
        (b"o\xff", "answered as expected"),
        (b"o\xffxxx", "answer is another from byte 3 on"),
        (b"o\xffx\x07y", "answered as expected"),
        (b"x\x0f", "answer is another from byte 0 on"),
        (b"o\x0e", "answer is another from byte 1 on"),
        (b"o", "answer of 1 bytes instead of 2 to 5"),
        (b"o\x0fx\x07yy", "answer of 6 bytes instead of 2 to 5"),
    ];
    for (answer, says) in cases {
        let mut checker = checker(udp(Some(reply.clone())));
        let (now, _) = open(&mut checker);
        checker.handle_bytes(now, answer);
        assert_eq!(checker.last_result(), Some(says), "{answer:?}");
        assert_eq!(checker.failures() == 0, says == "answered as expected");
    }
    let mut silent = checker(udp(Some(reply)));
    open(&mut silent);
    silent.handle_timeout(at(3000));
    assert_eq!((silent.failures(), silent.last_result()), (1, Some("no answer within 3 s")));
}

#[test]
fn payloads_that_are_nobodys_are_random() {
    let random = CheckKind::Udp(UdpCheck::default());
    let (_, first) = open(&mut Checker::new(plan(random.clone()), at(0), 1));
    let (_, second) = open(&mut Checker::new(plan(random), at(0), 2));
    assert!(first.len() == 32 && second.len() == 32 && first != second);
}

#[test]
fn an_echo_is_answered_by_its_own_payload_alone() {
    let mut checker = checker(CheckKind::Ping);
    let (now, payload) = open(&mut checker);
    assert_eq!(payload.len(), 128);
    checker.handle_bytes(now, &payload[1..]);
    checker.handle_bytes(now, &[0; 128]);
    assert_eq!(outputs(&mut checker), []);
    checker.handle_bytes(now, &payload);
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("echo answered"));
    let (now, _) = open(&mut checker);
    checker.handle_end(now, Err("host unreachable".to_string()));
    assert_eq!((checker.failures(), checker.last_result()), (1, Some("host unreachable")));
}
