//! What servers answer to checks. The first byte of an input says in pieces of how many bytes the
//! rest arrives.

use std::time::Duration;

use model::check::{
    CheckKind, Checker as Plan, DnsCheck, Former, HttpCheck, Pace, Pattern, SmtpCheck, UrlCheck,
};
use model::units::Time;
use proto::check::{Checker, Output};

/// A reply to HTTP_GET gives the same result however it is cut.
pub fn http_reply(bytes: &[u8]) {
    let Some((&piece, wire)) = bytes.split_first() else { return };
    let expression = "(?i)wel+come|<title>".to_owned();
    let pattern = Pattern { expression, negated: true, min_offset: 3, max_offset: Some(2000) };
    let url = UrlCheck {
        path: "/".to_owned(),
        digest: (piece & 1 == 1).then_some([0; 16]),
        pattern: Some(pattern),
        status: vec![(100, 599)],
        ..UrlCheck::default()
    };
    let kind = CheckKind::Http(HttpCheck::plain(vec![url]));
    let whole = probe(kind.clone(), wire, wire.len().max(1));
    assert_eq!(probe(kind, wire, usize::from(piece).max(1)), whole);
}

/// What a mail server says, each piece after whatever we said.
pub fn smtp_reply(bytes: &[u8]) {
    let Some((&piece, wire)) = bytes.split_first() else { return };
    let kind = CheckKind::Smtp(SmtpCheck { helo_name: "a".to_owned() });
    probe(kind, wire, usize::from(piece).max(1));
}

/// Datagrams of a name server. An input that begins with an even byte has our identifier put in
/// its place in every datagram.
pub fn dns_answer(bytes: &[u8]) {
    let Some((&piece, wire)) = bytes.split_first() else { return };
    let kind = CheckKind::Dns(DnsCheck { record_type: 6, name: "example.org".to_owned() });
    let mut checker = begin(kind);
    let sent = drain(&mut checker);
    let [identifier @ .., _, _] = sent.first_chunk::<4>().copied().expect("a query");
    let mut wire = wire.to_vec();
    let length = usize::from(piece).max(1);
    if piece & 1 == 0 {
        for datagram in wire.chunks_mut(length).filter(|datagram| datagram.len() > 1) {
            datagram[..2].copy_from_slice(&identifier);
        }
    }
    feed(&mut checker, &wire, length);
}

fn begin(kind: CheckKind) -> Checker {
    let second = Duration::from_secs(1);
    let pace = Pace { fall: 2, ..Pace::every(second) };
    let target = "10.0.0.2:80".parse().expect("an address");
    let plan = Plan::new(kind, target, second, pace);
    let mut checker = Checker::resume(plan, Former::new(true), Time::ZERO, 1);
    checker.handle_timeout(Time::ZERO);
    assert!(drain(&mut checker).is_empty(), "something is opened first");
    checker.handle_connected(Time::ZERO, Ok(()));
    checker
}

/// One probe to its end; what it says.
fn probe(kind: CheckKind, wire: &[u8], piece: usize) -> Option<String> {
    let mut checker = begin(kind);
    drain(&mut checker);
    feed(&mut checker, wire, piece)
}

fn feed(checker: &mut Checker, wire: &[u8], piece: usize) -> Option<String> {
    for part in wire.chunks(piece) {
        let deadline = checker.next_deadline();
        checker.handle_bytes(Time::ZERO, part);
        drain(checker);
        assert_eq!(checker.next_deadline().max(deadline), checker.next_deadline());
        // Another connection, when one host of several was well.
        checker.handle_connected(Time::ZERO, Ok(()));
        drain(checker);
    }
    checker.handle_end(Time::ZERO, Ok(()));
    drain(checker);
    // However it went, it ends by the deadlines alone.
    for _ in 0..2 {
        if checker.is_probing() {
            checker.handle_timeout(checker.next_deadline());
            drain(checker);
        }
    }
    assert!(!checker.is_probing());
    checker.last_result().map(str::to_owned)
}

/// What it wants to send.
fn drain(checker: &mut Checker) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut count = 0;
    while let Some(output) = checker.poll_output() {
        count += 1;
        if let Output::Send(bytes) = output {
            sent = bytes;
        }
    }
    assert!(count <= 3, "{count} outputs of one event");
    sent
}
