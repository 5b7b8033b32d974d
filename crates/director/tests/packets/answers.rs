//! Packets that do not fit or have no hop left: who is told, and what it says byte by byte.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use director::Engine;
use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::bed::{
    Bed, CLIENT, CLIENT_MAC, DROP, Outcome, REDIRECT, VIRTUAL, WAY_MAC, endpoint, service, with_bed,
};
use crate::frame::{ACK, Frame, OURS, SYN, Side, THEIRS};
use crate::icmp::{self, IcmpError, packet_of};

const FROM: Side = (CLIENT, 40000);
const WEB: Side = (VIRTUAL, 80);
const WHOLE: u16 = 0x4000;
const MTU: u16 = 1000;

/// One server, and only so much fits on the way to it.
fn narrow(bed: &mut Bed, protocol: Protocol, forwarding: Forwarding) {
    let key = service(protocol, 80);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, forwarding);
    let port = if forwarding == Forwarding::Nat { 8080 } else { 80 };
    bed.engine.test_mtu(key, endpoint(1, port), MTU.into()).unwrap();
}

/// A datagram whose IP packet has this many bytes.
fn datagram(bytes: u16, fragment: u16) -> Frame {
    let payload = (0..bytes - 28).map(|n| n as u8).collect();
    Frame { payload, fragment, ..Frame::udp(FROM, WEB) }
}

/// What a client is to be told about a packet.
fn told(about: &Frame, kind: u8, code: u8, mtu: u16) -> IcmpError {
    let mut quoted = packet_of(about);
    quoted.truncate(quoted.len().min(512) / 4 * 4);
    let [high, low] = mtu.to_be_bytes();
    IcmpError {
        to_mac: THEIRS,
        from_mac: OURS,
        ttl: 64,
        id: 0,
        fragment: WHOLE,
        kind,
        code,
        rest: [0, 0, high, low],
        quoted,
        ..IcmpError::about(about, VIRTUAL)
    }
}

#[test]
fn a_packet_that_does_not_fit_and_must_not_be_split_is_answered_with_the_size_that_fits() {
    for forwarding in [Forwarding::Nat, Forwarding::DirectRouting] {
        with_bed(|bed| {
            narrow(bed, Protocol::Udp, forwarding);
            bed.send(&datagram(MTU, WHOLE)).forwarded();
            for bytes in [MTU + 1, MTU + 2, MTU + 3, 1500] {
                let sent = datagram(bytes, WHOLE);
                let expected = told(&sent, icmp::UNREACHABLE, 4, MTU);
                let out = bed.run(&sent.bytes());
                assert_eq!(out, (REDIRECT, expected.bytes()), "{bytes} bytes");
            }
            assert_eq!(bed.counter("answered_too_big"), 4);
            assert_eq!(bed.counter("forwarded_to_server"), 1);
        });
    }
}

#[test]
fn the_answer_goes_by_route_where_the_kernel_knows_the_client() {
    with_bed(|bed| {
        narrow(bed, Protocol::Udp, Forwarding::DirectRouting);
        bed.give_the_client_a_route();
        let sent = datagram(1200, WHOLE);
        let expected = IcmpError {
            to_mac: CLIENT_MAC,
            from_mac: WAY_MAC,
            ..told(&sent, icmp::UNREACHABLE, 4, MTU)
        };
        assert_eq!(bed.run(&sent.bytes()), (REDIRECT, expected.bytes()));
    });
}

#[test]
fn a_packet_that_may_be_split_goes_translated_to_the_kernel() {
    with_bed(|bed| {
        narrow(bed, Protocol::Udp, Forwarding::Nat);
        let sent = datagram(1200, 0);
        let translated = Frame { to: (Ipv4Addr::new(10, 0, 0, 1), 8080), ..sent.clone() };
        assert_eq!(bed.send(&sent), Outcome::Pass(translated));
        assert_eq!(bed.counter("passed_to_fragment"), 1);
    });
}

#[test]
fn one_that_may_be_split_and_is_not_translated_is_dropped_and_counted() {
    with_bed(|bed| {
        narrow(bed, Protocol::Udp, Forwarding::DirectRouting);
        assert_eq!(bed.send(&datagram(1200, 0)), Outcome::Drop);
        assert_eq!(bed.counter("dropped_too_big"), 1);
    });
}

#[test]
fn an_error_that_does_not_fit_is_never_answered() {
    with_bed(|bed| {
        let key = service(Protocol::Udp, 80);
        narrow(bed, Protocol::Udp, Forwarding::DirectRouting);
        bed.send(&datagram(100, 0)).forwarded();
        let seen = Frame { payload: vec![7; 1100], ..Frame::udp(WEB, FROM) };
        let error = IcmpError { fragment: WHOLE, ..IcmpError::about(&seen, CLIENT) };
        assert_eq!(bed.run(&error.bytes()).0, DROP);
        assert_eq!(bed.counter("dropped_too_big"), 1);
        let spent = IcmpError { ttl: 1, ..IcmpError::about(&datagram(100, 0), CLIENT) };
        let spent = IcmpError { to: VIRTUAL, quoted: packet_of(&Frame::udp(WEB, FROM)), ..spent };
        assert_eq!(bed.run(&spent.bytes()).0, DROP);
        assert_eq!(bed.counter("dropped_ttl"), 1);
        assert_eq!(bed.engine.destination_load(key, endpoint(1, 80)).inactive, 1);
    });
}

#[test]
fn the_last_hop_of_a_ttl_is_told_from_the_virtual_address() {
    for forwarding in [Forwarding::Nat, Forwarding::DirectRouting] {
        with_bed(|bed| {
            narrow(bed, Protocol::Udp, forwarding);
            narrow(bed, Protocol::Tcp, forwarding);
            for length in [0, 1, 2, 3, 4, 5, 100, 483, 484, 485, 600] {
                let spent = Frame { ttl: 1, ..datagram(28 + length, 0) };
                let expected = told(&spent, icmp::TIME_EXCEEDED, 0, 0);
                let out = bed.run(&spent.bytes());
                assert_eq!(out, (REDIRECT, expected.bytes()), "{length} bytes");
            }
            let spent = Frame { ttl: 0, options: vec![1; 8], ..Frame::tcp(FROM, WEB, SYN) };
            let expected = told(&spent, icmp::TIME_EXCEEDED, 0, 0);
            assert_eq!(bed.run(&spent.bytes()), (REDIRECT, expected.bytes()));
            assert_eq!(bed.counter("answered_ttl"), 12);
            let last = Frame { ttl: 2, ..Frame::tcp(FROM, WEB, ACK) };
            assert_eq!(bed.send(&last).forwarded().ttl, 1);
        });
    }
}

#[test]
fn an_answer_of_a_server_without_a_hop_left_goes_to_the_kernel_which_tells_the_server() {
    with_bed(|bed| {
        narrow(bed, Protocol::Tcp, Forwarding::Nat);
        bed.send(&Frame::tcp(FROM, WEB, SYN)).forwarded();
        let from = (Ipv4Addr::new(10, 0, 0, 1), 8080);
        let spent = Frame { ttl: 1, ..Frame::tcp(from, FROM, SYN | ACK) };
        assert_eq!(bed.send(&spent), Outcome::Pass(spent.clone()));
        assert_eq!(bed.counter("passed_to_answer"), 1);
    });
}

#[test]
fn nobody_is_told_under_an_address_that_is_nobodys() {
    with_bed(|bed| {
        narrow(bed, Protocol::Udp, Forwarding::DirectRouting);
        for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 5], [255, 255, 255, 255]] {
            let from = (Ipv4Addr::from(address), 4000);
            let sent = Frame { from, ..datagram(1200, WHOLE) };
            assert_eq!(bed.run(&sent.bytes()).0, DROP, "{address:?}");
        }
        assert_eq!(bed.counter("dropped_unanswered"), 4);
    });
}

#[test]
fn packets_without_a_hop_left_are_answered_a_thousand_times_a_second_and_processor() {
    with_bed(|bed| {
        narrow(bed, Protocol::Udp, Forwarding::DirectRouting);
        let spent = Frame { ttl: 1, ..datagram(100, 0) }.bytes();
        let processors = std::thread::available_parallelism().unwrap().get() as u64;
        // Twice the bound: a second may begin in between.
        let (sent, begun) = (2 * 1000 * processors + 1, Instant::now());
        for _ in 0..sent {
            bed.run(&spent);
        }
        let (answered, dropped) = (bed.counter("answered_ttl"), bed.counter("dropped_ttl"));
        assert_eq!(answered + dropped, sent);
        assert!(answered >= 1000, "{answered} answers");
        if begun.elapsed() < Duration::from_secs(1) {
            assert!(dropped > 0, "{answered} answers");
        }
    });
}
