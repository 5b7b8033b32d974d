//! Firewall marks: steps of the firewall's rules, services of a mark, and persistence over all of
//! their ports. The steps are held against `model::marks`, their meaning in Rust.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use director::{Engine, EngineError};
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};
use model::marks::{MarkChange, MarkRules, MarkStep, OneOf, Packet, PacketMatch, STEPS_MAX};
use model::vrrp::{Family, IpPrefix};

use crate::bed::{Bed, CLIENT, Outcome, VIRTUAL, persistence, service, with_bed};
use crate::frame::{ACK, Frame, SYN};

const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const TCP: u8 = 6;
const UDP: u8 = 17;

fn marked(mark: u32) -> ServiceKey {
    ServiceKey::Mark { mark, family: Family::Ipv4 }
}

fn host(address: Ipv4Addr) -> IpPrefix {
    IpPrefix { address: address.into(), length: 32 }
}

/// Packets of a protocol to ports of an address.
fn to(address: Ipv4Addr, protocol: u8, ports: &[(u16, u16)]) -> PacketMatch {
    PacketMatch {
        destinations: OneOf::of(vec![host(address)]),
        protocols: OneOf::of(vec![protocol]),
        ports: OneOf::of(ports.to_vec()),
        ..PacketMatch::default()
    }
}

/// Rules one after the other.
fn rules(all: Vec<(PacketMatch, u32)>) -> MarkRules {
    let step = |(at, (packet, mark)): (usize, (PacketMatch, u32))| MarkStep {
        packet,
        change: Some(MarkChange::set(mark)),
        then: at as u16 + 1,
        otherwise: at as u16 + 1,
    };
    MarkRules { ipv4: all.into_iter().enumerate().map(step).collect(), ..MarkRules::default() }
}

fn set(bed: &mut Bed, rules: &MarkRules) {
    let addresses = BTreeSet::from([IpAddr::from(VIRTUAL), IpAddr::from(OTHER)]);
    bed.engine.set_marks(rules, &addresses).unwrap();
}

/// The last octet of the server, or none if the packet passes.
fn server(bed: &Bed, packet: &Frame) -> Option<u8> {
    match bed.send(packet) {
        Outcome::Pass(_) => None,
        other => Some(other.forwarded().to_mac[5]),
    }
}

fn book(bed: &mut Bed, seconds: Option<u64>, forwarding: Forwarding) {
    let web = [(80, 80), (443, 443)];
    set(bed, &rules(vec![(to(VIRTUAL, TCP, &web), 80)]));
    let settings = seconds.and_then(|seconds| persistence(seconds, 32));
    bed.add_service(marked(80), Scheduler::RoundRobin, settings);
    for last in [1, 2] {
        bed.add(marked(80), last, 1, forwarding);
    }
}

#[test]
fn every_port_of_a_mark_has_the_servers_of_its_service() {
    for forwarding in [Forwarding::Nat, Forwarding::DirectRouting] {
        with_bed(|bed| {
            book(bed, None, forwarding);
            let mut seen: BTreeMap<u16, BTreeSet<u8>> = BTreeMap::new();
            for from in 40_000..40_008u16 {
                let port = if from % 4 < 2 { 80 } else { 443 };
                let frame = Frame::tcp((CLIENT, from), (VIRTUAL, port), SYN);
                let sent = bed.send(&frame).forwarded();
                assert_eq!(sent.to.1, port, "the port the client used");
                seen.entry(port).or_default().insert(sent.to_mac[5]);
                // And the packets after it.
                let next = Frame::tcp((CLIENT, from), (VIRTUAL, port), ACK);
                assert_eq!(bed.send(&next).forwarded().to_mac, sent.to_mac);
            }
            assert_eq!(seen[&80], BTreeSet::from([1, 2]));
            assert_eq!(seen[&443], BTreeSet::from([1, 2]));
            for (address, port) in [(VIRTUAL, 81), (OTHER, 80)] {
                let frame = Frame::tcp((CLIENT, 50_000), (address, port), SYN);
                assert_eq!(server(bed, &frame), None, "{address}:{port} has no mark");
            }
            assert_eq!(server(bed, &Frame::udp((CLIENT, 50_000), (VIRTUAL, 80))), None);
        });
    }
}

#[test]
fn answers_of_a_marks_server_come_from_the_address_and_port_the_client_used() {
    with_bed(|bed| {
        book(bed, None, Forwarding::Nat);
        for port in [80, 443] {
            let request = Frame::tcp((CLIENT, 40_000 + port), (VIRTUAL, port), SYN);
            let sent = bed.send(&request).forwarded();
            let answer = Frame::tcp(sent.to, sent.from, SYN | ACK);
            let Outcome::Pass(passed) = bed.send(&answer) else { panic!("no way to the client") };
            assert_eq!(passed.from, sent.to, "left to the kernel, which knows no way yet");
            let known = bed.connections();
            let one = known.iter().find(|one| one.client.port == 40_000 + port).unwrap();
            assert_eq!(one.service, service(Protocol::Tcp, port));
            assert_eq!((one.server.port, &*one.state), (port, "SYN_RECV"));
        }
    });
}

#[test]
fn persistence_of_a_mark_bundles_ports_addresses_and_protocols() {
    with_bed(|bed| {
        let all = vec![
            (to(VIRTUAL, TCP, &[(80, 80), (443, 443)]), 80),
            (to(OTHER, UDP, &[(53, 53)]), 80),
        ];
        set(bed, &rules(all));
        bed.add_service(marked(80), Scheduler::RoundRobin, persistence(300, 24));
        for last in [1, 2] {
            bed.add(marked(80), last, 1, Forwarding::Nat);
        }
        let mut first = BTreeSet::new();
        for client in 0..4u8 {
            let from = Ipv4Addr::new(198, 51, 100 + client, 7);
            let neighbour = Ipv4Addr::new(198, 51, 100 + client, 8);
            let chosen = server(bed, &Frame::tcp((from, 1000), (VIRTUAL, 80), SYN)).unwrap();
            first.insert(chosen);
            for frame in [
                Frame::tcp((from, 1001), (VIRTUAL, 443), SYN),
                Frame::tcp((neighbour, 1002), (VIRTUAL, 80), SYN),
                Frame::udp((from, 1003), (OTHER, 53)),
            ] {
                assert_eq!(server(bed, &frame), Some(chosen), "{frame:?}");
            }
        }
        assert_eq!(first.len(), 2, "networks are spread");
        let known = bed.connections();
        let templates: Vec<_> = known.iter().filter(|one| one.client.port == 0).collect();
        assert_eq!(templates.len(), 4, "one for each network");
        assert!(templates.iter().all(|one| one.service == marked(80)), "{templates:?}");
    });
}

#[test]
fn a_mark_is_asked_before_an_address_and_an_address_where_no_service_has_the_mark() {
    with_bed(|bed| {
        let web = service(Protocol::Tcp, 80);
        bed.add_service(web, Scheduler::RoundRobin, None);
        bed.add(web, 3, 1, Forwarding::DirectRouting);
        book(bed, None, Forwarding::DirectRouting);
        let ask = |from| Frame::tcp((CLIENT, from), (VIRTUAL, 80), SYN);
        assert_ne!(server(bed, &ask(1)), Some(3));
        set(bed, &rules(vec![(to(VIRTUAL, TCP, &[]), 81)]));
        assert_eq!(server(bed, &ask(2)), Some(3), "mark 81 is nobody's");
        set(bed, &MarkRules::default());
        assert_eq!(server(bed, &ask(3)), Some(3));
    });
}

#[test]
fn packets_that_are_only_routed_through_have_no_mark() {
    with_bed(|bed| {
        book(bed, None, Forwarding::DirectRouting);
        set(bed, &rules(vec![(PacketMatch::default(), 80)]));
        let away = Frame::tcp((CLIENT, 1), (Ipv4Addr::new(203, 0, 113, 5), 80), SYN);
        assert_eq!(server(bed, &away), None);
        assert!(server(bed, &Frame::tcp((CLIENT, 1), (VIRTUAL, 80), SYN)).is_some());
    });
}

#[test]
fn connections_outlive_the_rules_that_began_them() {
    with_bed(|bed| {
        book(bed, None, Forwarding::Nat);
        let ask = |flags| Frame::tcp((CLIENT, 1), (VIRTUAL, 80), flags);
        let chosen = server(bed, &ask(SYN));
        set(bed, &MarkRules::default());
        assert_eq!(server(bed, &ask(ACK)), chosen);
        let another = Frame::tcp((CLIENT, 2), (VIRTUAL, 80), SYN);
        assert_eq!(server(bed, &another), None);
    });
}

#[test]
fn more_steps_than_there_is_room_for_leave_the_former_ones() {
    with_bed(|bed| {
        book(bed, None, Forwarding::DirectRouting);
        let many = rules(vec![(PacketMatch::default(), 7); STEPS_MAX + 1]);
        let refused = bed.engine.set_marks(&many, &BTreeSet::new());
        assert!(matches!(refused, Err(EngineError::Full { most: 256, .. })), "{refused:?}");
        assert!(server(bed, &Frame::tcp((CLIENT, 1), (VIRTUAL, 80), SYN)).is_some());
        let most = rules(vec![(PacketMatch::default(), 80); STEPS_MAX]);
        set(bed, &most);
        assert!(server(bed, &Frame::tcp((CLIENT, 2), (VIRTUAL, 99), SYN)).is_some());
    });
}

/// Numbers without a pattern, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn some<T: Clone>(&mut self, most: u64, all: &[T], may_negate: bool) -> OneOf<T> {
        let count = self.below(most + 1);
        let pick = |dice: &mut Dice| all[dice.below(all.len() as u64) as usize].clone();
        let values: Vec<T> = (0..count).map(|_| pick(self)).collect();
        let negated = may_negate && values.len() == 1 && self.below(3) == 0;
        OneOf { values, negated }
    }
}

#[test]
fn any_program_of_steps_gives_the_marks_of_the_reference() {
    with_bed(|bed| {
        let networks = [
            host(VIRTUAL),
            host(CLIENT),
            IpPrefix { address: [192, 0, 2, 0].into(), length: 28 },
            IpPrefix { address: [198, 51, 0, 0].into(), length: 16 },
            IpPrefix { address: [0, 0, 0, 0].into(), length: 0 },
        ];
        let ports = [(80, 80), (443, 443), (1, 100), (400, 500), (10_000, 20_000), (0, 65_535)];
        let names = ["lo".to_owned(), "l+".to_owned(), "eth0".to_owned()];
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        // One service for each mark that a rule may give, each with a server of its own.
        for mark in 1..=4u32 {
            bed.add_service(marked(mark), Scheduler::RoundRobin, None);
            bed.add(marked(mark), mark as u8, 1, Forwarding::DirectRouting);
        }
        let (mut from, mut given) = (1024u16, BTreeMap::<u32, u32>::new());
        for _ in 0..60 {
            let count = 1 + dice.below(12) as u16;
            let step = |dice: &mut Dice, at: u16| MarkStep {
                packet: PacketMatch {
                    sources: dice.some(2, &networks, true),
                    destinations: dice.some(2, &networks, true),
                    protocols: dice.some(1, &[TCP, UDP], true),
                    ports: dice.some(3, &ports, true),
                    interfaces: dice.some(1, &names, true),
                },
                change: (dice.below(4) > 0).then(|| MarkChange {
                    value: dice.below(5) as u32,
                    mask: [u32::MAX, 3, 0][dice.below(3) as usize],
                }),
                then: at + 1 + dice.below(u64::from(count - at)) as u16,
                otherwise: at + 1 + dice.below(2) as u16,
            };
            let ipv4 = (0..count).map(|at| step(&mut dice, at)).collect();
            let program = MarkRules { ipv4, ..MarkRules::default() };
            set(bed, &program);
            for (protocol, address, port) in [
                (TCP, VIRTUAL, 80),
                (TCP, VIRTUAL, 443),
                (UDP, VIRTUAL, 15_000),
                (TCP, OTHER, 99),
                (UDP, OTHER, 450),
            ] {
                from += 1;
                let packet = Packet {
                    source: CLIENT.into(),
                    destination: address.into(),
                    protocol,
                    port,
                    interface: "lo",
                };
                let mark = program.mark_of(&packet);
                let frame = match protocol {
                    TCP => Frame::tcp((CLIENT, from), (address, port), SYN),
                    _ => Frame::udp((CLIENT, from), (address, port)),
                };
                let expected = (1..=4).contains(&mark).then_some(mark as u8);
                assert_eq!(server(bed, &frame), expected, "{packet:?} {program:#?}");
                *given.entry(mark).or_default() += 1;
            }
        }
        assert!((0..=4).all(|mark| given.contains_key(&mark)), "{given:?}");
    });
}
