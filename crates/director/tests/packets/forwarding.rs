//! What becomes of packets: NAT, direct routing, and everything that is not ours.

use std::net::Ipv4Addr;

use director::Engine;
use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::bed::{
    Bed, CLIENT, Outcome, THERE_MAC, VIRTUAL, endpoint, server_mac, service, with_bed,
};
use crate::frame::{ACK, Checksum, FIN, Frame, RST, SYN, Side, THEIRS};

const FROM: Side = (CLIENT, 40000);
const WEB: Side = (VIRTUAL, 80);
const NAT_SERVER: Side = (Ipv4Addr::new(10, 0, 0, 1), 8080);

fn one_server(bed: &mut Bed, protocol: Protocol, forwarding: Forwarding) {
    let key = service(protocol, 80);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, forwarding);
}

#[test]
fn nat_rewrites_the_destination_of_a_request_and_keeps_the_rest() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        let sent = Frame::tcp(FROM, WEB, SYN);
        let Outcome::Redirect(out) = bed.send(&sent) else { panic!("not redirected") };
        let expected = Frame {
            to_mac: server_mac(1),
            from_mac: THERE_MAC,
            to: NAT_SERVER,
            ttl: 63,
            ..sent.clone()
        };
        assert_eq!(out, expected);
        assert_eq!(bed.state(40000), "SYN_RECV");
    });
}

#[test]
fn nat_answers_whose_client_the_kernel_must_resolve_pass_unchanged() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        bed.connect(service(Protocol::Tcp, 80), FROM);
        let answer = Frame::tcp(NAT_SERVER, FROM, SYN | ACK);
        assert_eq!(bed.send(&answer), Outcome::Pass(answer.clone()));
        assert_eq!(bed.counter("passed_to_resolve"), 1);
        bed.send(&Frame::tcp(FROM, WEB, ACK)).forwarded();
        assert_eq!(bed.state(40000), "ESTABLISHED");
    });
}

#[test]
fn direct_routing_changes_only_mac_addresses_and_ttl() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::DirectRouting);
        for flags in [SYN, ACK, ACK | FIN, RST] {
            let sent = Frame::tcp(FROM, WEB, flags);
            let expected =
                Frame { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 63, ..sent.clone() };
            assert_eq!(bed.send(&sent), Outcome::Redirect(expected), "flags {flags}");
        }
    });
}

#[test]
fn a_payload_of_any_length_keeps_right_checksums() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        for length in 0..200u16 {
            let payload: Vec<u8> = (0..length).map(|n| (n * 37 + length) as u8).collect();
            let from = (Ipv4Addr::new(198, 51, (length % 255) as u8, 7), 1024 + length * 251);
            let tcp = Frame { payload: payload.clone(), ..Frame::tcp(from, WEB, SYN) };
            assert_eq!(bed.send(&tcp).forwarded().payload, payload);
            let udp = Frame { payload: payload.clone(), ..Frame::udp(from, WEB) };
            assert_eq!(bed.send(&udp).forwarded().payload, payload);
        }
    });
}

#[test]
fn udp_without_a_checksum_stays_without() {
    with_bed(|bed| {
        one_server(bed, Protocol::Udp, Forwarding::Nat);
        let sent = Frame { checksum: Checksum::None, ..Frame::udp(FROM, WEB) };
        let out = bed.send(&sent).forwarded();
        assert_eq!((out.checksum, out.to), (Checksum::None, NAT_SERVER));
        assert_eq!(bed.state(40000), "UDP");
    });
}

#[test]
fn what_is_not_ours_passes_untouched() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        let wire = Frame::tcp(FROM, WEB, SYN);
        let cases = [
            ("another port", Frame::tcp(FROM, (VIRTUAL, 81), SYN), "passed_not_ours"),
            ("another protocol", Frame::udp(FROM, WEB), "passed_not_ours"),
            ("another MAC", Frame { to_mac: THEIRS, ..wire.clone() }, "passed_other_mac"),
            ("broadcast", Frame { to_mac: [0xff; 6], ..wire.clone() }, "passed_other_mac"),
            ("a later fragment", Frame { fragment: 0x00b9, ..wire.clone() }, "passed_fragment"),
            ("no connection", Frame::tcp(FROM, WEB, ACK), "passed_no_connection"),
            ("a stray RST", Frame::tcp(FROM, WEB, RST), "passed_no_connection"),
        ];
        for (what, frame, counter) in cases {
            let before = bed.counter(counter);
            assert_eq!(bed.send(&frame), Outcome::Pass(frame.clone()), "{what}");
            assert_eq!(bed.counter(counter), before + 1, "{what} counts as {counter}");
        }
        assert!(bed.connections().is_empty());
    });
}

#[test]
fn a_frame_cut_short_passes() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        let whole = Frame::tcp(FROM, WEB, SYN).bytes();
        for length in 14..53 {
            let run = bed.engine.test_forward(&whole[..length], 1).unwrap();
            assert_eq!((run.action, &run.packet[..]), (2, &whole[..length]), "{length} bytes");
        }
    });
}

#[test]
fn icmp_that_is_no_error_passes() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        let mut icmp = Frame::tcp(FROM, WEB, SYN).bytes();
        icmp[23] = 1;
        assert_eq!(bed.engine.test_forward(&icmp, 1).unwrap().packet, icmp);
    });
}

#[test]
fn ip_options_go_along_unchanged() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        one_server(bed, Protocol::Udp, Forwarding::DirectRouting);
        for words in 1..=10u8 {
            // A timestamp option with room, then no-operations.
            let mut options = vec![1; usize::from(words) * 4];
            options[..4].copy_from_slice(&[68, 4, 5, 0]);
            let from = (CLIENT, 40000 + u16::from(words));
            for (frame, to) in
                [(Frame::tcp(from, WEB, SYN), NAT_SERVER), (Frame::udp(from, WEB), WEB)]
            {
                let sent = Frame { options: options.clone(), ..frame };
                let expected = Frame {
                    to_mac: server_mac(1),
                    from_mac: THERE_MAC,
                    to,
                    ttl: 63,
                    ..sent.clone()
                };
                assert_eq!(bed.send(&sent), Outcome::Redirect(expected), "{words} words");
            }
        }
    });
}

#[test]
fn a_header_of_the_wrong_length_passes() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        for length in [0x40, 0x44, 0x4f] {
            let mut frame = Frame::tcp(FROM, WEB, SYN).bytes();
            frame[14] = length;
            let run = bed.engine.test_forward(&frame, 1).unwrap();
            assert_eq!((run.action, run.packet), (2, frame), "{length:x}");
        }
    });
}

#[test]
fn a_closed_gate_passes_everything_and_an_open_one_nothing() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::DirectRouting);
        let (gate, syn) = (bed.gate(), Frame::tcp(FROM, WEB, SYN));
        gate.set(VIRTUAL.into(), false).unwrap();
        assert_eq!(bed.send(&syn), Outcome::Pass(syn.clone()), "a new connection");
        gate.set(VIRTUAL.into(), true).unwrap();
        bed.send(&syn).forwarded();
        gate.set(VIRTUAL.into(), false).unwrap();
        // What is on its way within the same tick of the kernel's clock (10 ms at most) goes on.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let next = Frame::tcp(FROM, WEB, ACK);
        assert_eq!(bed.send(&next), Outcome::Pass(next.clone()), "a known connection");
        gate.remove(VIRTUAL.into()).unwrap();
        bed.send(&next).forwarded();
        assert_eq!(bed.counter("passed_gate_closed"), 2);
    });
}

#[test]
fn without_a_server_of_any_weight_the_client_is_told_and_it_is_counted() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        for scheduler in [
            Scheduler::RoundRobin,
            Scheduler::WeightedRoundRobin,
            Scheduler::WeightedLeastConnection,
        ] {
            bed.add_service(key, scheduler, None);
            assert_eq!(bed.send(&Frame::tcp(FROM, WEB, SYN)), Outcome::Refused);
            bed.add(key, 1, 0, Forwarding::Nat);
            assert_eq!(bed.send(&Frame::tcp(FROM, WEB, SYN)), Outcome::Refused);
            bed.engine.apply(&[director::TableChange::RemoveService(key)]).unwrap();
        }
        assert_eq!(bed.counter("answered_unreachable"), 6);
        assert_eq!(bed.load(key, endpoint(1, 8080)), (0, 0, 0));
    });
}

#[test]
fn counters_of_server_and_service_tell_packets_bytes_and_connections() {
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, Forwarding::Nat);
        let key = service(Protocol::Tcp, 80);
        bed.establish(key, FROM);
        let counters = bed.engine.destination_load(key, endpoint(1, 8080)).counters;
        assert_eq!((counters.connections, counters.packets_in, counters.packets_out), (1, 2, 0));
        assert_eq!(counters.bytes_in, 2 * 47);
        assert_eq!(bed.engine.service_counters(key), counters);
    });
}

#[test]
fn nothing_from_outside_reaches_a_loopback_address() {
    with_bed(|bed| {
        let before = bed.counter("dropped_loopback");
        let to = (Ipv4Addr::new(127, 0, 0, 1), 8080);
        assert!(matches!(bed.send(&Frame::tcp((CLIENT, 1000), to, SYN)), Outcome::Drop));
        assert!(matches!(bed.send(&Frame::udp((CLIENT, 1000), to)), Outcome::Drop));
        assert_eq!(bed.counter("dropped_loopback"), before + 2);
    });
}
