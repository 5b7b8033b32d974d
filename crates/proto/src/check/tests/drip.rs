//! However slowly bytes drip, a probe ends in time.

use model::check::{DnsCheck, HttpCheck, SmtpCheck, UdpCheck, UdpReply};

use super::*;

/// Gives one byte a second from the opening on, which takes half a second itself; returns when the
/// probe is over.
fn drip(kind: CheckKind, wire: &[u8]) -> (Time, String) {
    let mut checker = checker(kind);
    begin(&mut checker);
    checker.handle_connected(at(500), Ok(()));
    for (second, byte) in wire.iter().cycle().enumerate() {
        let now = at(1500 + 1000 * second as u64);
        if checker.next_deadline() < now {
            break;
        }
        assert_eq!(checker.next_deadline(), at(3500), "no byte moves the deadline");
        checker.handle_bytes(now, &[*byte]);
        assert!(checker.is_probing(), "{:?}", checker.last_result());
    }
    let due = checker.next_deadline();
    checker.handle_timeout(due);
    assert!(!checker.is_probing());
    (due, checker.last_result().unwrap().to_string())
}

#[test]
fn a_byte_a_second_ends_every_kind_at_its_deadline() {
    let url = UrlCheck { digest: Some([0; 16]), ..url("/") };
    let reply = UdpReply { bytes: Vec::new(), min_length: 2, max_length: 9 };
    let kinds: [(CheckKind, &[u8], &str); 5] = [
        (
            CheckKind::Http(HttpCheck::plain(vec![url])),
            b"HTTP/1.0 200 OK\r\n\r\n",
            "answer not complete within 3 s",
        ),
        (
            CheckKind::Smtp(SmtpCheck { helo_name: "a".to_string() }),
            b"220 mail\r\n",
            "greeting not complete within 3 s",
        ),
        (
            CheckKind::Dns(DnsCheck { record_type: 1, name: ".".to_string() }),
            b"\0",
            "no answer within 3 s, only too short a packet",
        ),
        (CheckKind::Ping, b"x", "no answer within 3 s"),
        (
            CheckKind::Udp(UdpCheck { payload: None, reply: Some(reply) }),
            b"",
            "no answer within 3 s",
        ),
    ];
    for (kind, wire, says) in kinds {
        assert_eq!(drip(kind, wire), (at(3500), says.to_string()));
    }
}

#[test]
fn a_connection_takes_two_time_outs_at_most() {
    let http = CheckKind::Http(HttpCheck::plain(vec![url("/")]));
    let mut checker = checker(http);
    begin(&mut checker);
    checker.handle_connected(at(2999), Ok(()));
    checker.handle_bytes(at(5998), b"HTTP/1.0 200 OK\r\n");
    assert_eq!(checker.next_deadline(), at(5999));
    checker.handle_timeout(at(5999));
    assert!(!checker.is_probing() && checker.failures() == 1);
}
