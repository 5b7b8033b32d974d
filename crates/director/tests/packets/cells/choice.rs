//! Who is chosen for clients of IPv6, and what stays of it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use director::xdp::LAYOUT;
use director::{Destination, Engine, ServiceSettings, TableChange};
use model::layer4::{
    Endpoint, Forwarding, HashFlags, Persistence, Protocol, Scheduler, ServiceKey,
};
use sched::{Candidate, MaglevServer};

use super::build::Segment;
use super::put;
use crate::bed::{
    Bed, PASS, REDIRECT, THERE, THERE_MAC, fresh_pins, in_namespace, persistence, server_mac,
    with_bed,
};

const SERVERS: u8 = 5;

fn key(virtual_address: Ipv6Addr, port: u16) -> ServiceKey {
    ServiceKey::Address { address: virtual_address.into(), port, protocol: Protocol::Udp }
}

fn virtual_address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last)
}

fn server(last: u8) -> Endpoint {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last.into());
    Endpoint { address: address.into(), port: 53 }
}

fn add(bed: &mut Bed, key: ServiceKey, scheduler: Scheduler, persistence: Option<Persistence>) {
    let settings = ServiceSettings { scheduler, persistence, ..ServiceSettings::default() };
    bed.engine.apply(&[TableChange::AddService(key, settings)]).unwrap();
    for last in 1..=SERVERS {
        let destination = Destination::new(server(last), 1, Forwarding::DirectRouting);
        bed.engine.apply(&[TableChange::AddDestination(key, destination)]).unwrap();
    }
    resolve(bed, key);
}

fn resolve(bed: &mut Bed, key: ServiceKey) {
    for last in 1..=SERVERS {
        let (at, to) = (server(last), server_mac(last));
        bed.engine.test_next_hop(key, at, THERE, to, THERE_MAC).unwrap();
    }
}

/// The server that a client's datagram goes to.
fn ask(bed: &Bed, client: Ipv6Addr, port: u16, to: Ipv6Addr) -> u8 {
    let (from, to) = (SocketAddr::new(client.into(), port), SocketAddr::new(to.into(), 53));
    let (action, out) = put(bed, &Segment::new(17, from, to, 0).packet());
    assert_eq!(action, REDIRECT, "{:?}", bed.engine.data_plane());
    out[5]
}

/// Clients all over the address space.
fn clients() -> impl Iterator<Item = (Ipv6Addr, u16)> {
    let mixed = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    // Global unicast: 2000::/3.
    (1..200u128).map(move |n| (Ipv6Addr::from(mixed(n) >> 3 | 1 << 125), 1024 + n as u16))
}

/// A position in the list of members, whose newest comes first.
fn last_of(position: Option<usize>) -> u8 {
    SERVERS - position.unwrap() as u8
}

#[test]
fn schedulers_that_hash_fold_addresses_as_the_reference_does() {
    let candidates = [Candidate { weight: 1, ..Candidate::default() }; SERVERS as usize];
    let member = |last| {
        let Endpoint { address, port } = server(last);
        MaglevServer { address, port, weight: 1 }
    };
    let members: Vec<MaglevServer> = (1..=SERVERS).rev().map(member).collect();
    let (sources, maglev) = (sched::source_table(&candidates), sched::maglev_table(&members));
    with_bed(|bed| {
        for (number, by_port) in [(1, false), (2, true)] {
            let flags = HashFlags { fallback: true, port: by_port };
            let (sh, mh) = (virtual_address(number), virtual_address(number + 10));
            add(bed, key(sh, 53), Scheduler::SourceHashing(flags), None);
            add(bed, key(mh, 53), Scheduler::MaglevHashing(flags), None);
            for (client, port) in clients() {
                let (from, hashed) = (IpAddr::V6(client), if by_port { port } else { 0 });
                let expected = sources.by_source(&candidates, from, hashed, true);
                assert_eq!(ask(bed, client, port, sh), last_of(expected), "sh {client}");
                let expected = maglev.choose(&candidates, from, hashed, true);
                assert_eq!(ask(bed, client, port, mh), last_of(expected), "mh {client}");
            }
        }
        let destinations = sched::destination_table(SERVERS.into());
        for last in 100..140 {
            let to = virtual_address(last * 257);
            add(bed, key(to, 53), Scheduler::DestinationHashing, None);
            let expected = destinations.by_destination(&candidates, to.into());
            let (client, port) = clients().nth(last.into()).unwrap();
            assert_eq!(ask(bed, client, port, to), last_of(expected), "dh {to}");
        }
    });
}

#[test]
fn a_virtual_address_keeps_its_server_of_lblc() {
    with_bed(|bed| {
        for (last, scheduler) in
            [(1, Scheduler::LocalityBased), (2, Scheduler::LocalityBasedReplicated)]
        {
            let to = virtual_address(last);
            add(bed, key(to, 53), scheduler, None);
            let chosen: Vec<u8> =
                clients().take(20).map(|(client, port)| ask(bed, client, port, to)).collect();
            assert!(chosen.iter().all(|one| *one == chosen[0]), "{scheduler:?}: {chosen:?}");
        }
    });
}

#[test]
fn clients_that_share_a_prefix_share_a_server_and_others_do_not() {
    with_bed(|bed| {
        let base = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0x1234, 0x5678, 0x9abc, 0xdef0, 1, 2));
        for (number, bits) in [1, 31, 32, 48, 63, 64, 65, 96, 127, 128].into_iter().enumerate() {
            let to = virtual_address(1 + number as u16);
            add(bed, key(to, 53), Scheduler::RoundRobin, persistence(300, bits));
            let first = ask(bed, base.into(), 1000, to);
            if bits < 128 {
                for bit in [0, 127 - bits] {
                    let neighbour = Ipv6Addr::from(base ^ 1 << bit);
                    assert_eq!(ask(bed, neighbour, 1001, to), first, "/{bits}, bit {bit}");
                }
            }
            let stranger = Ipv6Addr::from(base ^ 1 << (128 - bits));
            assert_ne!(ask(bed, stranger, 1002, to), first, "/{bits}");
            let templates: u32 =
                (1..=SERVERS).map(|last| bed.load(key(to, 53), server(last)).2).sum();
            assert_eq!(templates, 2, "/{bits}");
        }
    });
}

#[test]
fn a_closed_gate_passes_what_is_for_its_address() {
    with_bed(|bed| {
        let (open, closed) = (virtual_address(1), virtual_address(2));
        for to in [open, closed] {
            add(bed, key(to, 53), Scheduler::RoundRobin, None);
        }
        bed.gate().set(closed.into(), false).unwrap();
        let (client, port) = clients().next().unwrap();
        ask(bed, client, port, open);
        let ends =
            [(client, port), (closed, 53)].map(|(at, port)| SocketAddr::new(at.into(), port));
        assert_eq!(put(bed, &Segment::new(17, ends[0], ends[1], 0).packet()).0, PASS);
        assert_eq!(bed.counter("passed_gate_closed"), 1);
    });
}

#[test]
fn the_next_director_takes_connections_over() {
    in_namespace(|| {
        let pins = fresh_pins();
        let to = virtual_address(1);
        let mut bed = Bed::new(pins.clone());
        add(&mut bed, key(to, 53), Scheduler::RoundRobin, persistence(300, 64));
        let before: Vec<u8> = clients().map(|(client, port)| ask(&bed, client, port, to)).collect();
        let listed = bed.connections().len();
        drop(bed);
        let mut bed = Bed::new(pins.clone());
        assert_eq!(bed.engine.tables().len(), 1);
        resolve(&mut bed, key(to, 53));
        let after: Vec<u8> = clients().map(|(client, port)| ask(&bed, client, port, to)).collect();
        assert_eq!((after, bed.connections().len()), (before, listed));
        bed.engine.apply(&[TableChange::RemoveService(key(to, 53))]).unwrap();
        assert!(bed.engine.tables().is_empty());
        bed.engine.stop().unwrap();
        let _ = std::fs::remove_dir_all(&pins);
    });
}

#[test]
fn without_a_service_of_ipv6_its_program_is_not_loaded_and_its_packets_pass() {
    with_bed(|bed| {
        let table = bed.pins.join(LAYOUT).join("connections6");
        let ends =
            [virtual_address(9), virtual_address(1)].map(|at| SocketAddr::new(at.into(), 53));
        let packet = Segment::new(17, ends[0], ends[1], 0).packet();
        assert!(!table.exists());
        assert_eq!(put(bed, &packet).0, PASS);
        add(bed, key(virtual_address(1), 53), Scheduler::RoundRobin, None);
        assert!(table.exists());
        assert_eq!(put(bed, &packet).0, REDIRECT);
    });
}

#[test]
fn a_server_of_the_other_family_takes_a_tunnel() {
    with_bed(|bed| {
        let of_six = key(virtual_address(1), 53);
        let of_four = crate::bed::service(Protocol::Udp, 53);
        let four = crate::bed::endpoint(1, 53);
        for (service, at) in [(of_six, four), (of_four, server(1))] {
            let settings = ServiceSettings::default();
            bed.engine.apply(&[TableChange::AddService(service, settings)]).unwrap();
            for forwarding in [Forwarding::Nat, Forwarding::DirectRouting] {
                let add = TableChange::AddDestination(service, Destination::new(at, 1, forwarding));
                let refused = bed.engine.apply(&[add]).unwrap_err().to_string();
                assert!(refused.ends_with("another address family takes a tunnel"), "{refused}");
            }
        }
    });
}
