//! Tunnels: the client's packet inside another one, byte by byte, every checksum added up anew.

use std::net::Ipv4Addr;

use director::Engine;
use director::xdp::TEST_SOURCE;
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey, Tunnel};

use crate::bed::{
    Bed, CLIENT, DROP, PASS, REDIRECT, THERE_MAC, VIRTUAL, endpoint, server_mac, service, with_bed,
};
use crate::frame::{ACK, FIN, Frame, OURS, SYN, Side, THEIRS, internet_checksum, upper_checksum};
use crate::icmp::{self, IcmpError, packet_of};

const FROM: Side = (CLIENT, 40000);
const WEB: Side = (VIRTUAL, 80);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const WHOLE: u16 = 0x4000;
const GUE_PORT: u16 = 6080;

/// Every kind, with what it puts before the client's packet.
const KINDS: [(Tunnel, u32); 5] = [
    (Tunnel::IpIp, 20),
    (Tunnel::Gre { checksum: false }, 24),
    (Tunnel::Gre { checksum: true }, 28),
    (Tunnel::Gue { port: GUE_PORT, checksum: false }, 32),
    (Tunnel::Gue { port: GUE_PORT, checksum: true }, 32),
];

fn one_server(bed: &mut Bed, protocol: Protocol, tunnel: Tunnel) -> ServiceKey {
    let key = service(protocol, 80);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, Forwarding::Tunnel(tunnel));
    key
}

/// The frame that carries a packet in a tunnel.
fn packed(packet: &[u8], tunnel: Tunnel, id: [u8; 2], from_port: u16) -> Vec<u8> {
    let (protocol, mut inside) = match tunnel {
        Tunnel::IpIp => (4, packet.to_vec()),
        Tunnel::Gre { checksum: false } => (47, [&[0, 0, 8, 0], packet].concat()),
        Tunnel::Gre { checksum: true } => (47, [&[0x80, 0, 8, 0, 0, 0, 0, 0], packet].concat()),
        Tunnel::Gue { port, .. } => {
            let length = 12 + packet.len() as u16;
            let ports = [from_port.to_be_bytes(), port.to_be_bytes()].concat();
            let head = [&ports[..], &length.to_be_bytes(), &[0, 0], &[0, 4, 0, 0]].concat();
            (17, [&head, packet].concat())
        }
    };
    match tunnel {
        Tunnel::Gre { checksum: true } => {
            let sum = internet_checksum(&inside);
            inside[4..6].copy_from_slice(&sum.to_be_bytes());
        }
        Tunnel::Gue { checksum: true, .. } => {
            let sum = match upper_checksum(TEST_SOURCE, SERVER, 17, &inside) {
                0 => 0xffff,
                sum => sum,
            };
            inside[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        Tunnel::IpIp | Tunnel::Gre { checksum: false } | Tunnel::Gue { checksum: false, .. } => {}
    }
    let mut outer = vec![0x45, packet[1]];
    outer.extend((20 + inside.len() as u16).to_be_bytes());
    outer.extend(id);
    outer.extend([packet[6] & 0x40, 0, packet[8], protocol, 0, 0]);
    outer.extend(TEST_SOURCE.octets());
    outer.extend(SERVER.octets());
    let sum = internet_checksum(&outer);
    outer[10..12].copy_from_slice(&sum.to_be_bytes());
    [&server_mac(1)[..], &THERE_MAC, &[8, 0], &outer, &inside].concat()
}

/// Sends a packet, which must come out packed with one hop less. Returns the port it came from.
fn goes_packed(bed: &Bed, sent: &[u8], tunnel: Tunnel) -> u16 {
    let (action, out) = bed.run(sent);
    assert_eq!(action, REDIRECT, "{tunnel:?}");
    let mut inner = sent[14..].to_vec();
    inner[8] -= 1;
    inner[10..12].copy_from_slice(&[0; 2]);
    let header = usize::from(inner[0] & 15) * 4;
    let sum = internet_checksum(&inner[..header]);
    inner[10..12].copy_from_slice(&sum.to_be_bytes());
    let id = [out[18], out[19]];
    if inner[6] & 0x40 != 0 {
        assert_eq!(id, [0; 2], "what is never split needs no number");
    }
    let port = u16::from_be_bytes([out[34], out[35]]);
    assert_eq!(out, packed(&inner, tunnel, id, port), "{tunnel:?}");
    port
}

#[test]
fn every_kind_packs_requests_of_every_length_with_right_checksums() {
    for (tunnel, _) in KINDS {
        with_bed(|bed| {
            one_server(bed, Protocol::Tcp, tunnel);
            one_server(bed, Protocol::Udp, tunnel);
            for length in (0..140).chain([1000, 1399, 1400]) {
                let payload: Vec<u8> = (0..length).map(|n| (n * 37 + length) as u8).collect();
                for fragment in [WHOLE, 0] {
                    let said = |frame| Frame { payload: payload.clone(), fragment, ..frame };
                    goes_packed(bed, &said(Frame::tcp(FROM, WEB, SYN)).bytes(), tunnel);
                    goes_packed(bed, &said(Frame::udp(FROM, WEB)).bytes(), tunnel);
                }
            }
            assert_eq!(bed.connections().len(), 2);
            assert_eq!(bed.counter("forwarded_to_server"), 4 * 143);
        });
    }
}

#[test]
fn the_whole_life_of_a_connection_goes_through_its_tunnel() {
    for (tunnel, _) in KINDS {
        with_bed(|bed| {
            let key = one_server(bed, Protocol::Tcp, tunnel);
            for flags in [SYN, ACK, FIN | ACK] {
                let sent = Frame { fragment: WHOLE, ..Frame::tcp(FROM, WEB, flags) };
                goes_packed(bed, &sent.bytes(), tunnel);
            }
            // Only the client is seen, as with direct routing.
            assert_eq!(bed.state(40000), "FIN_WAIT");
            let load = bed.engine.destination_load(key, endpoint(1, 80));
            assert_eq!((load.counters.connections, load.counters.packets_in), (1, 3));
            let mut marked = Frame { ttl: 9, options: vec![1; 8], ..Frame::tcp(FROM, WEB, ACK) };
            marked.fragment = WHOLE;
            let mut marked = marked.bytes();
            // Type of service, and the sum of the header after it.
            marked[15] = 0xb8;
            marked[24..26].copy_from_slice(&[0; 2]);
            let sum = internet_checksum(&marked[14..42]);
            marked[24..26].copy_from_slice(&sum.to_be_bytes());
            goes_packed(bed, &marked, tunnel);
        });
    }
}

#[test]
fn flows_of_a_udp_tunnel_come_from_ports_of_their_own() {
    let tunnel = Tunnel::Gue { port: GUE_PORT, checksum: false };
    with_bed(|bed| {
        one_server(bed, Protocol::Tcp, tunnel);
        let port = |from: u16, flags| {
            let sent = Frame { fragment: WHOLE, ..Frame::tcp((CLIENT, from), WEB, flags) };
            goes_packed(bed, &sent.bytes(), tunnel)
        };
        let ports: Vec<u16> = (1000..1200).map(|from| port(from, SYN)).collect();
        assert!(ports.iter().all(|port| (32768..=60999).contains(port)), "{ports:?}");
        let again: Vec<u16> = (1000..1200).map(|from| port(from, ACK)).collect();
        assert_eq!(ports, again, "a flow keeps its port");
        let different: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        assert!(different.len() > 190, "{} ports of 200 flows", different.len());
    });
}

#[test]
fn fragments_and_errors_go_through_the_tunnel_too() {
    for (tunnel, _) in KINDS {
        with_bed(|bed| {
            one_server(bed, Protocol::Udp, tunnel);
            let large = Frame { payload: vec![5; 4000], ..Frame::udp(FROM, WEB) };
            let ports: Vec<u16> =
                large.fragments(1400).iter().map(|piece| goes_packed(bed, piece, tunnel)).collect();
            if let Tunnel::Gue { .. } = tunnel {
                assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
            }
            let answer = Frame { payload: vec![1; 30], ..Frame::udp(WEB, FROM) };
            let error = IcmpError::about(&answer, Ipv4Addr::new(203, 0, 113, 9));
            goes_packed(bed, &error.bytes(), tunnel);
        });
    }
}

#[test]
fn what_fits_is_told_less_the_header_of_the_tunnel() {
    for (tunnel, overhead) in KINDS {
        with_bed(|bed| {
            let key = one_server(bed, Protocol::Udp, tunnel);
            bed.engine.test_mtu(key, endpoint(1, 80), 1000).unwrap();
            let fits = 1000 - overhead as u16;
            let of = |bytes: u16, fragment: u16| Frame {
                payload: vec![3; usize::from(bytes) - 28],
                fragment,
                ..Frame::udp(FROM, WEB)
            };
            goes_packed(bed, &of(fits, WHOLE).bytes(), tunnel);
            let sent = of(fits + 1, WHOLE);
            let [high, low] = fits.to_be_bytes();
            let mut quoted = packet_of(&sent);
            quoted.truncate(512);
            let expected = IcmpError {
                to_mac: THEIRS,
                from_mac: OURS,
                ttl: 64,
                id: 0,
                fragment: WHOLE,
                kind: icmp::UNREACHABLE,
                code: 4,
                rest: [0, 0, high, low],
                quoted,
                ..IcmpError::about(&sent, VIRTUAL)
            };
            assert_eq!(bed.run(&sent.bytes()), (REDIRECT, expected.bytes()), "{tunnel:?}");
            assert_eq!(bed.run(&of(fits + 1, 0).bytes()).0, DROP);
            assert_eq!(bed.counter("dropped_too_big"), 1);
        });
    }
}

/// A router on the way of the tunnel quotes what it got, or as much of it.
fn router_says(kind: u8, code: u8, mtu: u16, quoted: Vec<u8>) -> IcmpError {
    let [high, low] = mtu.to_be_bytes();
    let nobody = Frame::udp((TEST_SOURCE, 0), (SERVER, 0));
    let rest = [0, 0, high, low];
    IcmpError { kind, code, rest, quoted, ..IcmpError::about(&nobody, Ipv4Addr::new(10, 0, 0, 77)) }
}

#[test]
fn what_a_router_says_about_the_tunnel_the_client_is_told_about_its_packet() {
    for (tunnel, overhead) in KINDS {
        with_bed(|bed| {
            one_server(bed, Protocol::Udp, tunnel);
            let sent = Frame { payload: vec![9; 900], fragment: WHOLE, ..Frame::udp(FROM, WEB) };
            let (_, out) = bed.run(&sent.bytes());
            let packed = out[14..].to_vec();
            let overhead = overhead as usize;
            for (kind, code, mtu) in [
                (icmp::UNREACHABLE, 4, 800),
                (icmp::UNREACHABLE, 1, 0),
                (icmp::TIME_EXCEEDED, 0, 0),
            ] {
                // At least the client's header and its ports must be there.
                for length in [packed.len(), overhead + 100, overhead + 31, overhead + 28] {
                    let quoted = packed[..length].to_vec();
                    let inner = length - overhead;
                    let told = if mtu > 0 { mtu - overhead as u16 } else { 0 };
                    let [high, low] = told.to_be_bytes();
                    let expected = IcmpError {
                        to_mac: THEIRS,
                        from_mac: OURS,
                        ttl: 64,
                        id: 0,
                        fragment: WHOLE,
                        kind,
                        code,
                        rest: [0, 0, high, low],
                        quoted: packed[overhead..][..inner.min(512) / 4 * 4].to_vec(),
                        ..IcmpError::about(&sent, VIRTUAL)
                    };
                    let out = bed.run(&router_says(kind, code, mtu, quoted).bytes());
                    assert_eq!(out, (REDIRECT, expected.bytes()), "{tunnel:?}, {length} bytes");
                }
            }
            assert_eq!(bed.counter("errors_to_client"), 12);
        });
    }
}

#[test]
fn what_is_said_about_other_tunnels_passes() {
    for (tunnel, _) in KINDS {
        with_bed(|bed| {
            one_server(bed, Protocol::Udp, tunnel);
            let sent = Frame { fragment: WHOLE, ..Frame::udp(FROM, WEB) };
            let (_, out) = bed.run(&sent.bytes());
            let packed = out[14..].to_vec();
            let mut elsewhere = packed.clone();
            elsewhere[19] = 99;
            let mut stranger = packed.clone();
            let client = stranger.len() - 35 + 15;
            stranger[client] ^= 1;
            let mut from_another = router_says(3, 4, 800, packed.clone());
            from_another.to = Ipv4Addr::new(10, 0, 0, 253);
            for (what, error) in [
                ("to another server", router_says(3, 4, 800, elsewhere)),
                ("about another client", router_says(3, 4, 800, stranger)),
                ("not to whom it quotes", from_another),
                ("an echo", router_says(icmp::ECHO, 0, 0, packed.clone())),
                ("cut short", router_says(3, 4, 800, packed[..packed.len() - 12].to_vec())),
            ] {
                assert_eq!(bed.run(&error.bytes()), (PASS, error.bytes()), "{tunnel:?}: {what}");
            }
        });
    }
}
