//! ICMP errors about packets of our connections: to whom they go, and what they say there. What is
//! expected is built anew byte by byte, checksums included.

use std::net::Ipv4Addr;

use director::Engine;
use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::bed::{
    Bed, CLIENT, CLIENT_MAC, DROP, PASS, REDIRECT, THERE_MAC, VIRTUAL, WAY_MAC, endpoint,
    server_mac, service, with_bed,
};
use crate::frame::{ACK, Checksum, Frame, INIT, SACK, SYN, Side};
use crate::icmp::{self, IcmpError, packet_of};

const FROM: Side = (CLIENT, 40000);
const WEB: Side = (VIRTUAL, 80);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER_SIDE: Side = (SERVER, 8080);
const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// A connection of a client to the first server, and the first packet of it.
fn connected(bed: &mut Bed, protocol: Protocol, forwarding: Forwarding) -> Frame {
    let key = service(protocol, 80);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, forwarding);
    let first = match protocol {
        Protocol::Tcp => Frame::tcp(FROM, WEB, SYN),
        Protocol::Udp => Frame::udp(FROM, WEB),
        Protocol::Sctp => Frame::sctp(FROM, WEB, INIT),
    };
    bed.send(&first).forwarded();
    first
}

/// As a router sees an answer: from the virtual address, some hops later.
fn answer(protocol: Protocol, from: Side) -> Frame {
    let payload = (0..37).map(|n| n * 7).collect();
    let frame = match protocol {
        Protocol::Tcp => Frame::tcp(from, FROM, ACK),
        Protocol::Udp => Frame::udp(from, FROM),
        Protocol::Sctp => Frame::sctp(from, FROM, SACK),
    };
    Frame { payload, ttl: 57, ..frame }
}

/// Every length that a quote may have, from what RFC 792 asks for to the whole packet. Half a
/// checksum stays as it is: the other half is not known.
fn lengths(protocol: Protocol) -> Vec<usize> {
    match protocol {
        Protocol::Tcp => (28..37).chain(38..=77).collect(),
        Protocol::Udp => (28..=65).collect(),
        Protocol::Sctp => [28].into_iter().chain(32..=73).collect(),
    }
}

#[test]
fn an_error_about_an_answer_reaches_the_server_as_if_it_had_sent_to_the_client_itself() {
    for protocol in Protocol::ALL {
        with_bed(|bed| {
            connected(bed, protocol, Forwarding::Nat);
            let (seen, theirs) = (answer(protocol, WEB), answer(protocol, SERVER_SIDE));
            for length in lengths(protocol) {
                let sent = IcmpError::about(&seen, ROUTER).cut(length);
                let expected = IcmpError {
                    to_mac: server_mac(1),
                    from_mac: THERE_MAC,
                    ttl: 59,
                    ..IcmpError::about(&theirs, ROUTER).cut(length)
                };
                let out = bed.run(&sent.bytes());
                assert_eq!(out, (REDIRECT, expected.bytes()), "{protocol}, {length} bytes");
            }
            let errors = lengths(protocol).len() as u64;
            assert_eq!(bed.counter("errors_to_server"), errors);
            assert_eq!(bed.counter("forwarded_to_server"), 1);
            let load = bed.engine.destination_load(service(protocol, 80), endpoint(1, 8080));
            assert_eq!(load.counters.packets_in, 1 + errors);
        });
    }
}

#[test]
fn an_error_about_a_request_reaches_the_client_from_the_virtual_address() {
    for protocol in Protocol::ALL {
        with_bed(|bed| {
            let first = connected(bed, protocol, Forwarding::Nat);
            bed.give_the_client_a_route();
            let payload: Vec<u8> = (0..37).map(|n| n * 5).collect();
            let asked = Frame { payload, ttl: 50, ..first };
            let translated = Frame { to: SERVER_SIDE, ..asked.clone() };
            for length in lengths(protocol) {
                // The server itself, or a router on the way to it: the client knows neither.
                for from in [SERVER, Ipv4Addr::new(10, 0, 0, 200)] {
                    let sent = IcmpError::about(&translated, from).cut(length);
                    let expected = IcmpError {
                        to_mac: CLIENT_MAC,
                        from_mac: WAY_MAC,
                        ttl: 59,
                        ..IcmpError::about(&asked, VIRTUAL).cut(length)
                    };
                    let out = bed.run(&sent.bytes());
                    assert_eq!(out, (REDIRECT, expected.bytes()), "{protocol}, {length} bytes");
                }
            }
            let errors = 2 * lengths(protocol).len() as u64;
            assert_eq!(bed.counter("errors_to_client"), errors);
            let load = bed.engine.destination_load(service(protocol, 80), endpoint(1, 8080));
            assert_eq!(load.counters.packets_out, errors);
        });
    }
}

#[test]
fn every_kind_of_error_is_followed_with_what_it_says() {
    let kinds = [
        (icmp::UNREACHABLE, 3, [0; 4]),
        (icmp::UNREACHABLE, 1, [0; 4]),
        (icmp::UNREACHABLE, 4, [0, 0, 2, 64]),
        (icmp::SOURCE_QUENCH, 0, [0; 4]),
        (icmp::TIME_EXCEEDED, 0, [0; 4]),
        (icmp::PARAMETER_PROBLEM, 0, [20, 0, 0, 0]),
    ];
    with_bed(|bed| {
        connected(bed, Protocol::Udp, Forwarding::Nat);
        let theirs = answer(Protocol::Udp, SERVER_SIDE);
        for (kind, code, rest) in kinds {
            let said =
                |about: &Frame| IcmpError { kind, code, rest, ..IcmpError::about(about, ROUTER) };
            let expected =
                IcmpError { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 59, ..said(&theirs) };
            let out = bed.run(&said(&answer(Protocol::Udp, WEB)).bytes());
            assert_eq!(out, (REDIRECT, expected.bytes()), "type {kind}");
        }
    });
}

#[test]
fn an_error_about_a_datagram_without_a_checksum_does_not_give_it_one() {
    with_bed(|bed| {
        connected(bed, Protocol::Udp, Forwarding::Nat);
        let without = |from| Frame { checksum: Checksum::None, ..answer(Protocol::Udp, from) };
        let expected = IcmpError {
            to_mac: server_mac(1),
            from_mac: THERE_MAC,
            ttl: 59,
            ..IcmpError::about(&without(SERVER_SIDE), ROUTER)
        };
        let out = bed.run(&IcmpError::about(&without(WEB), ROUTER).bytes());
        assert_eq!(out, (REDIRECT, expected.bytes()));
    });
}

#[test]
fn options_of_either_header_are_no_hindrance() {
    with_bed(|bed| {
        connected(bed, Protocol::Tcp, Forwarding::Nat);
        for (outer, inner) in [(0, 12), (12, 0), (4, 8)] {
            let said = |from: Side| {
                let asked = Frame { options: vec![1; inner], ..answer(Protocol::Tcp, from) };
                IcmpError { options: vec![1; outer], ..IcmpError::about(&asked, ROUTER) }
            };
            let theirs = said(SERVER_SIDE);
            let expected =
                IcmpError { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 59, ..theirs };
            let out = bed.run(&said(WEB).bytes());
            assert_eq!(out, (REDIRECT, expected.bytes()), "{outer} and {inner} bytes");
        }
    });
}

#[test]
fn direct_routing_sends_an_error_about_an_answer_to_the_server_that_gave_it() {
    with_bed(|bed| {
        connected(bed, Protocol::Tcp, Forwarding::DirectRouting);
        let sent = IcmpError::about(&answer(Protocol::Tcp, WEB), ROUTER);
        let expected =
            IcmpError { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 59, ..sent.clone() };
        assert_eq!(bed.run(&sent.bytes()), (REDIRECT, expected.bytes()));
    });
}

#[test]
fn what_is_not_about_a_connection_of_ours_passes_untouched() {
    with_bed(|bed| {
        connected(bed, Protocol::Tcp, Forwarding::Nat);
        let good = IcmpError::about(&answer(Protocol::Tcp, WEB), ROUTER);
        let other = Frame::tcp((VIRTUAL, 81), FROM, ACK);
        let later = Frame { fragment: 0x00b9, ..answer(Protocol::Tcp, WEB) };
        let mut version = good.clone();
        version.quoted[0] = 0x65;
        let mut short = good.clone();
        short.quoted[0] = 0x44;
        let mut dccp = good.clone();
        dccp.quoted[9] = 33;
        let cases = [
            ("an echo request", IcmpError { kind: icmp::ECHO, ..good.clone() }),
            ("an echo reply", IcmpError { kind: 0, ..good.clone() }),
            ("a redirect", IcmpError { kind: icmp::REDIRECT, ..good.clone() }),
            ("another port", IcmpError::about(&other, ROUTER)),
            ("a later fragment", IcmpError::about(&later, ROUTER)),
            ("not to whom it quotes", IcmpError { to: ROUTER, ..good.clone() }),
            ("IP version 6", version),
            ("a header too short", short),
            ("DCCP", dccp),
        ];
        for (what, sent) in cases {
            assert_eq!(bed.run(&sent.bytes()), (PASS, sent.bytes()), "{what}");
        }
        let mut elsewhere = good.clone();
        elsewhere.to_mac = [2, 9, 9, 9, 9, 9];
        assert_eq!(bed.run(&elsewhere.bytes()), (PASS, elsewhere.bytes()), "another MAC");
        assert_eq!(bed.counter("passed_other_mac"), 1);
    });
}

#[test]
fn an_error_cut_short_anywhere_passes_untouched_until_the_ports_are_there() {
    with_bed(|bed| {
        connected(bed, Protocol::Tcp, Forwarding::Nat);
        let whole = IcmpError::about(&answer(Protocol::Tcp, WEB), ROUTER).bytes();
        for length in 14..14 + 20 + 8 + 28 {
            let out = bed.run(&whole[..length]);
            assert_eq!(out, (PASS, whole[..length].to_vec()), "{length} bytes");
        }
        assert_eq!(bed.run(&whole[..14 + 20 + 8 + 28]).0, REDIRECT);
    });
}

#[test]
fn an_error_changes_no_state_and_follows_the_gate() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        connected(bed, Protocol::Tcp, Forwarding::Nat);
        let sent = IcmpError::about(&answer(Protocol::Tcp, WEB), ROUTER).bytes();
        assert_eq!(bed.run(&sent).0, REDIRECT);
        assert_eq!((bed.state(40000).as_str(), bed.connections().len()), ("SYN_RECV", 1));
        bed.gate().set(VIRTUAL.into(), false).unwrap();
        assert_eq!(bed.run(&sent), (PASS, sent.clone()));
        assert_eq!(bed.counter("passed_gate_closed"), 1);
        bed.gate().set(VIRTUAL.into(), true).unwrap();
        bed.remove(key, endpoint(1, 8080));
        assert_eq!(bed.run(&sent).0, DROP);
        assert_eq!(bed.counter("dropped_server_removed"), 1);
    });
}

#[test]
fn an_error_whose_client_the_kernel_must_resolve_passes_unchanged() {
    with_bed(|bed| {
        let first = connected(bed, Protocol::Tcp, Forwarding::Nat);
        let translated = Frame { to: SERVER_SIDE, ..first };
        let sent = IcmpError::about(&translated, SERVER);
        assert_eq!(packet_of(&translated), sent.quoted);
        assert_eq!(bed.run(&sent.bytes()), (PASS, sent.bytes()));
        assert_eq!(bed.counter("passed_to_resolve"), 1);
    });
}
