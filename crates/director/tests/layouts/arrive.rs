//! What arrives in another layout: every kind of connection, with its state, its time and its
//! template, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::bpf::{Map, MapKind};
use edge::clock;
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey, Tunnel};

use crate::audit::{audit, audit_both};
use crate::bed::{
    Bed, THERE, THERE_MAC, Unpinned, VIRTUAL, endpoint, fresh_pins, in_namespace, persistence,
    server_mac, service,
};
use crate::frame::{ACK, FIN, Frame, OURS, SYN, Side};

const WEB6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PATIENCE: Duration = Duration::from_secs(60);

/// The connections, one per line, without their time, and how long the longest has.
fn listed(engine: &dyn Engine) -> (Vec<String>, Vec<u32>) {
    let all = engine.connections(clock::now()).unwrap();
    let mut lines: Vec<(String, u32)> = all
        .iter()
        .map(|one| {
            let line = format!("{} {} {} {}", one.service, one.client, one.server, one.state);
            (line, one.expires_seconds)
        })
        .collect();
    lines.sort();
    lines.into_iter().unzip()
}

/// Active, inactive and templates of every destination.
fn loads(engine: &dyn Engine) -> Vec<String> {
    let of_service = |(key, table): (&ServiceKey, &director::ServiceTable)| {
        let of = |one: &Destination| {
            let load = engine.destination_load(*key, one.endpoint);
            let counts = (load.active, load.inactive, load.templates);
            format!("{key} {} {counts:?}", one.endpoint)
        };
        table.destinations.iter().map(of).collect::<Vec<_>>()
    };
    engine.tables().iter().flat_map(of_service).collect()
}

fn finish(engine: &mut dyn Engine, mut is_over: impl FnMut(&mut dyn Engine) -> bool) {
    let begun = Instant::now();
    while !is_over(engine) {
        assert!(begun.elapsed() < PATIENCE);
        engine.handle_timeout(clock::now(), Duration::from_millis(1));
        thread::sleep(Duration::from_millis(1));
    }
}

fn others_there(pins: &Path, layout: &str) -> bool {
    let entries = std::fs::read_dir(pins).unwrap().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| name != layout && name != "links" && name != "gate")
}

/// A datagram of IPv6; nobody asks for its checksum here.
fn datagram6(client: Ipv6Addr, port: u16) -> Vec<u8> {
    let mut frame = [OURS, [2, 0, 0, 0, 9, 9]].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, 64]);
    frame.extend(client.octets());
    frame.extend(WEB6.octets());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 53, 0, 12, 1, 2, 3, 4, 5, 6]);
    frame
}

fn fill(bed: &mut Bed) {
    let (web, names) = (service(Protocol::Tcp, 80), service(Protocol::Udp, 53));
    let tunnelled = service(Protocol::Tcp, 443);
    bed.add_service(web, Scheduler::WeightedLeastConnection, None);
    bed.add_service(names, Scheduler::RoundRobin, persistence(500, 24));
    bed.add_service(tunnelled, Scheduler::RoundRobin, persistence(300, 32));
    for last in 1..=3 {
        bed.add(web, last, u32::from(last), Forwarding::Nat);
        bed.add(names, last, 1, Forwarding::DirectRouting);
        bed.add(tunnelled, last, 1, Forwarding::Tunnel(Tunnel::IpIp));
    }
    let client = |last: u8| Ipv4Addr::new(198, 51, 100, last);
    for port in 0..300u16 {
        let from: Side = (client((port % 200) as u8), 3000 + port);
        match port % 3 {
            0 => drop(bed.connect(web, from)),
            1 => drop(bed.establish(web, from)),
            _ => {
                bed.establish(web, from);
                bed.send(&Frame::tcp(from, (VIRTUAL, 80), FIN | ACK));
            }
        }
        bed.connect(names, from);
        let first = Frame::tcp(from, (VIRTUAL, 443), SYN);
        assert_eq!(bed.run(&first.bytes()).0, 4, "redirected");
    }
    // One leaves; its connections stay.
    bed.remove(web, endpoint(3, 8080));
    let names6 = ServiceKey::Address { address: WEB6.into(), port: 53, protocol: Protocol::Udp };
    let settings = ServiceSettings { persistence: persistence(100, 64), ..Default::default() };
    let server: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 7).into();
    let at = Endpoint { address: server, port: 53 };
    let changes = [
        TableChange::AddService(names6, settings),
        TableChange::AddDestination(names6, Destination::new(at, 1, Forwarding::DirectRouting)),
    ];
    bed.engine.apply(&changes).unwrap();
    bed.engine.test_next_hop(names6, at, THERE, server_mac(7), THERE_MAC).unwrap();
    for last in 1..40 {
        let client = Ipv6Addr::new(0x2001, 0xdb8, 5, last, 0, 0, 0, 1);
        assert_eq!(bed.run(&datagram6(client, 4000 + last)).0, 4, "redirected");
    }
}

#[test]
fn every_connection_and_template_arrives_as_it_was_and_comes_back() {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        let mut bed = Bed::new(pins.0.clone());
        fill(&mut bed);
        let (before, times) = listed(&bed.engine);
        let counted = loads(&bed.engine);
        assert!(before.len() > 900, "{}", before.len());
        drop(bed);
        let options = crate::xdp::XdpOptions::new(&pins.0);
        let mut there = crate::xdp::XdpEngine::start(&options).unwrap();
        assert!(there.adopted());
        finish(&mut there, |_| !others_there(&pins.0, crate::xdp::LAYOUT));
        let (arrived, left) = listed(&there);
        assert_eq!(arrived, before);
        let drift = times.iter().zip(&left).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(drift.unwrap() <= 15, "seconds: {drift:?}");
        assert_eq!(loads(&there), counted);
        drop(there);
        let mut back = Bed::new(pins.0.clone());
        finish(&mut back.engine, |_| !others_there(&pins.0, director::xdp::LAYOUT));
        assert_eq!(listed(&back.engine).0, before);
        assert_eq!(loads(&back.engine), counted);
        let [found, six] = audit_both(&pins.0);
        assert_eq!((six.connections, six.templates), (39, 39));
        assert!(found.templates > 200 && found.connections >= 900, "{found:?}");
        back.engine.stop().unwrap();
    });
}

/// Maps of version 5, as it wrote them: its layout is history and does not change.
fn write_version_5(pins: &Path) {
    edge::gate::ensure_gate(pins).unwrap();
    let directory = pins.join("v5");
    std::fs::create_dir_all(&directory).unwrap();
    let make = |name: &str, kind, key, value, most| {
        let map = Map::create(kind, name, key, value, most).unwrap();
        map.pin(&directory.join(name)).unwrap();
        map
    };
    let services = make("services", MapKind::Hash, 8, 40, 16);
    let mut service = [0u8; 40];
    service[8] = 1;
    assert_eq!(service.len(), 40);
    services.update(&[192, 0, 2, 1, 0, 53, 17, 0], &service).unwrap();
    let destinations = make("destinations", MapKind::Array, 4, 64, 16);
    let mut destination = [0u8; 64];
    destination[..12].copy_from_slice(&[10, 0, 0, 3, 0, 53, 1, 1, 2, 0, 0, 0]);
    destination[28..36].copy_from_slice(&[192, 0, 2, 1, 0, 53, 17, 0]);
    destination[52] = 2;
    destinations.update(&3u32.to_ne_bytes(), &destination).unwrap();
    let connections = make("connections", MapKind::MappableArray, 4, 128, 36);
    let now = (clock::now().as_nanos() >> 21) as u32;
    for number in 0..20u16 {
        let mut bucket = [0u8; 128];
        let tag = u64::from((4000 + number).to_be()) | u64::from(53u16.to_be()) << 16;
        let tag = tag | 17 << 32 | 1 << 40 | 1 << 44;
        bucket[..8].copy_from_slice(&tag.to_ne_bytes());
        bucket[8..16].copy_from_slice(&(3u64 | 11 << 32).to_ne_bytes());
        bucket[20..24].copy_from_slice(&now.to_ne_bytes());
        bucket[24..].copy_from_slice(&[&[198, 51, 100, 9, 192, 0, 2, 1][..], &[0; 96]].concat());
        connections.update(&u32::from(number).to_ne_bytes(), &bucket).unwrap();
    }
}

#[test]
fn the_connections_of_version_5_arrive() {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        write_version_5(&pins.0);
        let mut bed = Bed::new(pins.0.clone());
        assert!(bed.engine.adopted());
        let key = service(Protocol::Udp, 53);
        let expected = Destination::new(endpoint(3, 53), 2, Forwarding::DirectRouting);
        assert_eq!(bed.engine.tables()[&key].destinations, [expected]);
        finish(&mut bed.engine, |_| !others_there(&pins.0, director::xdp::LAYOUT));
        let (arrived, left) = listed(&bed.engine);
        assert_eq!(arrived.len(), 20);
        assert_eq!(arrived[0], "UDP 192.0.2.1:53 198.51.100.9:4000 10.0.0.3:53 UDP");
        assert!(left.iter().all(|left| (290..=300).contains(left)), "{left:?}");
        assert_eq!(bed.load(key, endpoint(3, 53)), (0, 20, 0));
        assert_eq!(audit(&pins.0).connections, 20);
        bed.engine.stop().unwrap();
    });
}

#[test]
fn maps_that_do_not_say_what_they_are_like_are_left_with_a_warning() {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        std::fs::create_dir_all(&pins.0).unwrap_or_default();
        edge::gate::ensure_gate(&pins.0).unwrap();
        std::fs::create_dir_all(pins.0.join("v99")).unwrap();
        let mut bed = Bed::new(pins.0.clone());
        let warned = std::iter::from_fn(|| bed.engine.poll_log()).any(|(severity, line)| {
            severity == 4 && line.contains("layout v99") && line.contains("lost")
        });
        assert!(warned);
        assert!(!others_there(&pins.0, director::xdp::LAYOUT));
        bed.engine.stop().unwrap();
    });
}
