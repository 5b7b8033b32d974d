//! Fragments: the first one decides, the others follow. What is expected is the translated datagram
//! split in the same places, so that the pieces make up a whole with right checksums.

use std::net::Ipv4Addr;

use director::Engine;
use director::xdp::LAYOUT;
use edge::bpf::Map;
use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::bed::{
    Bed, CLIENT, CLIENT_MAC, DROP, PASS, REDIRECT, THERE_MAC, VIRTUAL, WAY_MAC, endpoint,
    server_mac, service, with_bed,
};
use crate::frame::{ACK, Checksum, Frame, Side};

const FROM: Side = (CLIENT, 40000);
const DNS: Side = (VIRTUAL, 53);
const SERVER: Side = (Ipv4Addr::new(10, 0, 0, 1), 8053);
const ROOM: usize = 1480;

fn one_server(bed: &mut Bed, protocol: Protocol, forwarding: Forwarding) {
    let key = service(protocol, 53);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, forwarding);
}

fn datagram(from: Side, to: Side, length: usize) -> Frame {
    let payload = (0..length).map(|n| (n * 31 / 7) as u8).collect();
    Frame { payload, ..Frame::udp(from, to) }
}

/// Every piece comes out as its counterpart.
fn pieces_become(bed: &Bed, sent: &Frame, expected: &Frame, room: usize) {
    let (sent, expected) = (sent.fragments(room), expected.fragments(room));
    assert!(sent.len() > 1);
    for (number, (sent, expected)) in sent.iter().zip(expected).enumerate() {
        assert_eq!(bed.run(sent), (REDIRECT, expected), "fragment {number}");
    }
}

#[test]
fn all_pieces_of_a_request_reach_the_server_of_its_connection() {
    for (forwarding, to) in [(Forwarding::Nat, SERVER), (Forwarding::DirectRouting, DNS)] {
        with_bed(|bed| {
            one_server(bed, Protocol::Udp, forwarding);
            for (id, length, room) in [(1, 8192, ROOM), (2, 1473, ROOM), (3, 600, 8), (4, 65, 24)] {
                let sent = Frame { id, ..datagram(FROM, DNS, length) };
                let expected = Frame {
                    to_mac: server_mac(1),
                    from_mac: THERE_MAC,
                    to,
                    ttl: 63,
                    ..sent.clone()
                };
                pieces_become(bed, &sent, &expected, room);
            }
            assert_eq!(bed.connections().len(), 1);
            assert_eq!(bed.counter("passed_fragment"), 0);
        });
    }
}

#[test]
fn all_pieces_of_an_answer_reach_the_client_from_the_virtual_address() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        bed.send(&datagram(FROM, DNS, 10)).forwarded();
        bed.give_the_client_a_route();
        for checksum in [Checksum::Right, Checksum::None] {
            let sent = Frame { checksum, options: vec![1; 4], ..datagram(SERVER, FROM, 8192) };
            let expected =
                Frame { to_mac: CLIENT_MAC, from_mac: WAY_MAC, from: DNS, ttl: 63, ..sent.clone() };
            pieces_become(bed, &sent, &expected, ROOM - 8);
        }
        let load = bed.engine.destination_load(service(Protocol::Udp, 53), endpoint(1, 8053));
        assert_eq!(load.counters.packets_out, 12);
    });
}

#[test]
fn tcp_segments_in_pieces_are_followed_like_any_other() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        bed.establish(service(Protocol::Tcp, 53), FROM);
        let sent = Frame { payload: vec![9; 3000], ..Frame::tcp(FROM, DNS, ACK) };
        let expected = Frame {
            to_mac: server_mac(1),
            from_mac: THERE_MAC,
            to: SERVER,
            ttl: 63,
            ..sent.clone()
        };
        pieces_become(bed, &sent, &expected, ROOM);
    });
}

#[test]
fn a_piece_that_no_first_one_announced_passes_and_is_counted() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        let pieces = |id: u16| Frame { id, ..datagram(FROM, DNS, 3000) }.fragments(ROOM);
        let seven = pieces(7);
        assert_eq!(bed.run(&seven[1]), (PASS, seven[1].clone()), "too early");
        assert_eq!(bed.counter("passed_fragment"), 1);
        assert_eq!(bed.run(&seven[0]).0, REDIRECT);
        assert_eq!(bed.run(&seven[1]).0, REDIRECT);
        assert_eq!(bed.run(&pieces(8)[1]).0, PASS, "of another datagram");
        let mut tcp = seven[1].clone();
        tcp[23] = 6;
        assert_eq!(bed.run(&tcp).0, PASS, "of another protocol");
        let other = Frame { id: 7, ..datagram((VIRTUAL, 1), (CLIENT, 2), 3000) };
        assert_eq!(bed.run(&other.fragments(ROOM)[1]).0, PASS, "between others");
        assert_eq!(bed.counter("passed_fragment"), 4);
    });
}

#[test]
fn pieces_of_what_is_not_ours_pass() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        for piece in datagram(FROM, (VIRTUAL, 54), 5000).fragments(ROOM) {
            assert_eq!(bed.run(&piece), (PASS, piece.clone()));
        }
        let mut echo = datagram(FROM, DNS, 3000).fragments(ROOM);
        for piece in &mut echo {
            piece[23] = 1;
            assert_eq!(bed.run(piece), (PASS, piece.clone()));
        }
    });
}

#[test]
fn a_first_piece_without_the_whole_header_passes() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        for piece in Frame::tcp(FROM, DNS, 2).fragments(8) {
            assert_eq!(bed.run(&piece).0, PASS);
        }
        assert!(bed.connections().is_empty());
    });
}

#[test]
fn later_pieces_follow_the_gate_and_the_server() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::DirectRouting);
        let pieces = datagram(FROM, DNS, 3000).fragments(ROOM);
        assert_eq!(bed.run(&pieces[0]).0, REDIRECT);
        bed.gate().set(VIRTUAL.into(), false).unwrap();
        assert_eq!(bed.run(&pieces[1]).0, PASS);
        assert_eq!(bed.counter("passed_gate_closed"), 1);
        bed.gate().set(VIRTUAL.into(), true).unwrap();
        bed.remove(service(Protocol::Udp, 53), endpoint(1, 53));
        assert_eq!(bed.run(&pieces[1]).0, DROP);
        assert_eq!(bed.counter("dropped_server_removed"), 1);
    });
}

/// Makes every trail look as if it had been left `seconds` earlier.
fn age_trails(bed: &Bed, seconds: u64) {
    let map = Map::open(&bed.pins.join(LAYOUT).join("trails")).unwrap();
    for (key, value) in map.lookup_batch(&mut None, 256).unwrap().iter() {
        let (head, rest) = value.split_first_chunk::<8>().unwrap();
        let left = u64::from_ne_bytes(*head).saturating_sub(seconds * 1_000_000_000);
        map.update(key, &[&left.to_ne_bytes(), rest].concat()).unwrap();
    }
}

#[test]
fn a_trail_is_followed_for_half_a_minute() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        let pieces = datagram(FROM, DNS, 5000).fragments(ROOM);
        assert_eq!(bed.run(&pieces[0]).0, REDIRECT);
        age_trails(bed, 25);
        assert_eq!(bed.run(&pieces[1]).0, REDIRECT);
        age_trails(bed, 6);
        assert_eq!(bed.run(&pieces[2]).0, PASS);
    });
}

#[test]
fn pieces_too_big_for_the_way_are_split_further_by_the_kernel_or_dropped() {
    let key = service(Protocol::Udp, 53);
    for (forwarding, port) in [(Forwarding::Nat, 8053), (Forwarding::DirectRouting, 53)] {
        with_bed(|bed| {
            one_server(bed, Protocol::Udp, forwarding);
            bed.engine.test_mtu(key, endpoint(1, port), 1400).unwrap();
            let sent = datagram(FROM, DNS, 5000);
            let translated = Frame { to: SERVER, ..sent.clone() };
            let (sent, translated) = (sent.fragments(ROOM), translated.fragments(ROOM));
            for (sent, translated) in sent[..3].iter().zip(translated) {
                match forwarding {
                    Forwarding::Nat => assert_eq!(bed.run(sent), (PASS, translated)),
                    _ => assert_eq!(bed.run(sent).0, DROP),
                }
            }
            let counter = match forwarding {
                Forwarding::Nat => "passed_to_fragment",
                _ => "dropped_too_big",
            };
            assert_eq!(bed.counter(counter), 3);
        });
    }
}
