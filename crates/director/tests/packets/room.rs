//! Who gets a place in the connection table when there are too few.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use director::Engine;
use edge::clock;
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};

use crate::audit::{Found, audit, slots};
use crate::bed::{
    Bed, CLIENT, Outcome, VIRTUAL, endpoint, persistence, service, with_bed, with_room,
};
use crate::expiry::{age, sweep};
use crate::frame::{ACK, Frame, RST, SYN, Side};

const WEB: Side = (VIRTUAL, 80);

fn client(port: u16) -> Side {
    (CLIENT, port)
}

fn syn(from: Side) -> Frame {
    Frame::tcp(from, WEB, SYN)
}

/// Connections of one client port to many ports of one address: all of them want the same bucket.
fn every_port(bed: &mut Bed) -> ServiceKey {
    let key = service(Protocol::Tcp, 0);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, Forwarding::DirectRouting);
    key
}

fn crowd(port: u16, flags: u8) -> Frame {
    Frame::tcp(client(40000), (VIRTUAL, port), flags)
}

fn ports(bed: &Bed) -> Vec<u16> {
    let mut ports: Vec<u16> = bed.connections().iter().map(|conn| conn.service.port()).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn a_full_table_drops_new_nat_connections_and_keeps_the_established_ones() {
    with_room(64, |bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        let mut established = Vec::new();
        for port in 1024..1424 {
            if bed.send(&syn(client(port))) != Outcome::Drop {
                bed.send(&Frame::tcp(client(port), WEB, ACK)).forwarded();
                established.push(port);
            }
        }
        assert_eq!(bed.counter("dropped_table_full") as usize, 400 - established.len());
        assert!((100..=144).contains(&established.len()), "{} of 144 slots", established.len());
        // A flood of SYNs of others.
        for number in 0..5000u16 {
            let from = (Ipv4Addr::new(203, 0, (number >> 8) as u8, number as u8), 5000);
            bed.send(&syn(from));
        }
        for port in &established {
            assert_eq!(bed.state(*port), "ESTABLISHED");
            bed.send(&Frame::tcp(client(*port), WEB, ACK)).forwarded();
        }
        let found = audit(&bed.pins);
        assert!(found.connections <= 144 && found.away > 0, "{found:?}");
        assert_eq!(bed.load(key, endpoint(1, 8080)).0 as usize, established.len());
    });
}

#[test]
fn a_flood_of_syns_takes_turns_in_the_room_that_half_open_connections_have() {
    with_room(64, |bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        for number in 0..2000u16 {
            let from = (Ipv4Addr::new(203, 0, (number >> 8) as u8, number as u8), 5000);
            bed.send(&syn(from)).forwarded();
        }
        assert_eq!(bed.counter("dropped_table_full"), 0);
        let found = audit(&bed.pins);
        let replaced = bed.counter("replaced_half_open") as usize;
        assert_eq!((found.connections + replaced, found.templates), (2000, 0));
        // Somebody who means it gets through.
        bed.send(&syn(client(1001))).forwarded();
        bed.send(&Frame::tcp(client(1001), WEB, ACK)).forwarded();
        assert_eq!(bed.state(1001), "ESTABLISHED");
    });
}

#[test]
fn a_full_bucket_gives_away_the_connection_that_is_half_open_longest() {
    with_bed(|bed| {
        every_port(bed);
        bed.send(&crowd(1, SYN)).forwarded();
        age(bed, 1);
        for port in 2..=4 {
            bed.send(&crowd(port, SYN)).forwarded();
        }
        bed.send(&crowd(2, ACK)).forwarded();
        bed.send(&crowd(5, SYN)).forwarded();
        assert_eq!((ports(bed), audit(&bed.pins).away), (vec![1, 2, 3, 4, 5], 1), "all are young");
        age(bed, 5);
        bed.send(&crowd(6, SYN)).forwarded();
        assert_eq!(ports(bed), [2, 3, 4, 5, 6]);
        assert_eq!(bed.counter("replaced_half_open"), 1);
        age(bed, 56);
        bed.send(&crowd(7, SYN)).forwarded();
        assert_eq!(bed.counter("replaced_half_open"), 1, "the time of others was over");
        audit(&bed.pins);
    });
}

#[test]
fn at_most_nineteen_connections_of_one_client_port_have_an_entry() {
    with_bed(|bed| {
        let key = every_port(bed);
        bed.add(key, 2, 1, Forwarding::DirectRouting);
        for port in 1..=40 {
            bed.send(&crowd(port, SYN)).forwarded();
            bed.send(&crowd(port, ACK)).forwarded();
        }
        assert_eq!(audit(&bed.pins), Found { connections: 19, templates: 0, away: 15 });
        assert_eq!(bed.counter("forwarded_stateless"), 21 * 2);
    });
}

#[test]
fn direct_routing_without_room_goes_by_the_key_alone_and_always_the_same_way() {
    with_bed(|bed| {
        let key = every_port(bed);
        for last in 2..=5 {
            bed.add(key, last, 1, Forwarding::DirectRouting);
        }
        for port in 1..=19 {
            bed.send(&crowd(port, SYN)).forwarded();
            bed.send(&crowd(port, ACK)).forwarded();
        }
        let way = |port, flags| bed.send(&crowd(port, flags)).forwarded().to_mac[5];
        let first: Vec<u8> = (100..120).map(|port| way(port, SYN)).collect();
        for flags in [ACK, ACK | RST] {
            let again: Vec<u8> = (100..120).map(|port| way(port, flags)).collect();
            assert_eq!(again, first);
        }
        // Somebody else's connection that nobody knows is still the kernel's business.
        let stray = Frame::tcp((Ipv4Addr::new(203, 0, 113, 1), 1), WEB, ACK);
        assert_eq!(bed.send(&stray), Outcome::Pass(stray.clone()));
        // When all have gone the bucket forgets.
        age(bed, 1000);
        sweep(bed);
        let late = crowd(100, ACK);
        assert_eq!(bed.send(&late), Outcome::Pass(late.clone()));
        assert_eq!(audit(&bed.pins), Found::default());
    });
}

#[test]
fn a_slot_that_is_given_away_again_is_of_another_generation() {
    with_bed(|bed| {
        every_port(bed);
        let mut generations = Vec::new();
        for _ in 0..3 {
            bed.send(&crowd(1, SYN)).forwarded();
            let used = slots(&bed.pins).into_iter().find(|slot| (slot.tag >> 40) & 1 == 1);
            let used = used.expect("the connection's slot");
            generations.push(used.tag >> 51);
            assert_eq!((used.word >> 40) & 0xff, (used.tag >> 51) & 0xff, "the word says it too");
            bed.send(&crowd(1, ACK)).forwarded();
            bed.send(&crowd(1, RST)).forwarded();
            age(bed, 11);
            sweep(bed);
        }
        assert_eq!(generations, [0, 1, 2]);
    });
}

#[test]
fn a_template_that_follows_another_is_not_taken_for_it() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(300, 32));
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, client(1001));
        // Its server leaves and returns: the next connection makes a new template.
        bed.remove(key, endpoint(1, 8080));
        bed.add(key, 2, 1, Forwarding::Nat);
        assert_eq!(bed.connect(key, client(1002)), 2);
        bed.remove(key, endpoint(2, 8080));
        bed.add(key, 1, 1, Forwarding::Nat);
        assert_eq!(bed.connect(key, client(1003)), 1);
        let controlled = |bed: &Bed| {
            let all = slots(&bed.pins);
            all.iter().find(|slot| (slot.tag >> 42) & 1 == 1).map(|slot| slot.template)
        };
        assert_eq!(controlled(bed), Some(1));
        // The end of the first connection is nothing to it.
        bed.send(&Frame::tcp(client(1001), WEB, RST)).forwarded();
        age(bed, 11);
        sweep(bed);
        assert_eq!(bed.state(1001), "none");
        assert_eq!(controlled(bed), Some(1));
        audit(&bed.pins);
    });
}

#[test]
fn fifty_thousand_flows_that_end_in_a_second_are_swept_in_less() {
    const FLOWS: u32 = 65_536;
    with_room(FLOWS, |bed| {
        let key = service(Protocol::Udp, 53);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        for flow in 0..FLOWS {
            let from = (Ipv4Addr::new(203, 0, (flow >> 16) as u8, 1), flow as u16);
            bed.send(&Frame::udp(from, (VIRTUAL, 53))).forwarded();
        }
        assert_eq!(audit(&bed.pins).connections, FLOWS as usize);
        age(bed, 301);
        let (mut now, mut calls) = (clock::now(), 0);
        let (mut spent, mut longest) = (Duration::ZERO, Duration::ZERO);
        while bed.counter("swept_connections") < u64::from(FLOWS) {
            now = now.max(bed.engine.next_deadline());
            let begun = Instant::now();
            bed.engine.handle_timeout(now, Duration::from_millis(1));
            spent += begun.elapsed();
            longest = longest.max(begun.elapsed());
            calls += 1;
        }
        println!("{FLOWS} flows swept in {spent:?}, {calls} calls, the longest {longest:?}");
        assert!(spent < Duration::from_secs(1), "{spent:?}");
        assert_eq!(audit(&bed.pins), Found::default());
        assert_eq!(bed.load(key, endpoint(1, 8053)), (0, 0, 0));
    });
}
