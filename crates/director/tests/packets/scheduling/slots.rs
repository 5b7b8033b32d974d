//! dh, sh and mh.

use std::net::{IpAddr, Ipv4Addr};

use director::{Destination, Engine, ServiceSettings, TableChange};
use model::layer4::{Forwarding, HashFlags, Protocol, Scheduler, ServiceKey};
use sched::{Candidate, MaglevServer};

use super::run::{View, compare};
use crate::bed::{
    Bed, CLIENT, THERE, THERE_MAC, VIRTUAL, endpoint, fresh_pins, in_namespace, server_mac,
    service, with_bed,
};
use crate::frame::Frame;

fn flags(fallback: bool, port: bool) -> HashFlags {
    HashFlags { fallback, port }
}

fn port_of(view: &View<'_>, flags: HashFlags) -> u16 {
    if flags.port { view.from.1 } else { 0 }
}

fn compare_source(flags: HashFlags) {
    compare(Scheduler::SourceHashing(flags), &mut |view: &View<'_>| {
        let table = sched::source_table(view.candidates);
        let port = port_of(view, flags);
        table.by_source(view.candidates, view.from.0.into(), port, flags.fallback)
    });
}

fn compare_maglev(flags: HashFlags) {
    let mut made = (Vec::new(), sched::MaglevTable::default());
    compare(Scheduler::MaglevHashing(flags), &mut move |view: &View<'_>| {
        let server = |server: &super::run::Server| {
            let address = Ipv4Addr::new(10, 0, 0, server.last).into();
            MaglevServer { address, port: 80, weight: server.last_weight }
        };
        let servers: Vec<MaglevServer> = view.servers.iter().map(server).collect();
        if made.0 != servers {
            made = (servers.clone(), sched::maglev_table(&servers));
        }
        made.1.choose(view.candidates, view.from.0.into(), port_of(view, flags), flags.fallback)
    });
}

#[test]
fn destination_hashing_is_the_references() {
    compare(Scheduler::DestinationHashing, &mut |view: &View<'_>| {
        let table = sched::destination_table(view.servers.len());
        table.by_destination(view.candidates, VIRTUAL.into())
    });
}

#[test]
fn source_hashing_is_the_references() {
    compare_source(flags(false, false));
}

#[test]
fn source_hashing_with_fallback_is_the_references() {
    compare_source(flags(true, false));
}

#[test]
fn source_hashing_with_ports_and_fallback_is_the_references() {
    compare_source(flags(true, true));
}

#[test]
fn maglev_hashing_is_the_references() {
    compare_maglev(flags(false, false));
}

#[test]
fn maglev_hashing_with_fallback_is_the_references() {
    compare_maglev(flags(true, false));
}

#[test]
fn maglev_hashing_with_ports_and_fallback_is_the_references() {
    compare_maglev(flags(true, true));
}

#[test]
fn each_virtual_address_has_its_slot_of_destination_hashing() {
    with_bed(|bed| {
        let candidates = [Candidate { weight: 1, ..Candidate::default() }; 5];
        let table = sched::destination_table(5);
        for last in 1..=250u8 {
            let address = Ipv4Addr::new(192, 0, 2, last);
            let key =
                ServiceKey::Address { address: address.into(), port: 53, protocol: Protocol::Udp };
            bed.add_service(key, Scheduler::DestinationHashing, None);
            (1..=5).for_each(|server| bed.add(key, server, 1, Forwarding::DirectRouting));
            let from = (CLIENT, 2000 + u16::from(last));
            let sent = bed.send(&Frame::udp(from, (address, 53)));
            let expected = table.by_destination(&candidates, IpAddr::from(address)).unwrap();
            assert_eq!(sent.forwarded().to_mac[5], 5 - expected as u8);
        }
    });
}

#[test]
fn the_513th_service_with_a_table_is_refused_with_the_bound_and_others_are_not() {
    with_bed(|bed| {
        let key = |number: u16| service(Protocol::Tcp, 1 + number);
        let of = |scheduler| ServiceSettings { scheduler, ..ServiceSettings::default() };
        let hashing = of(Scheduler::SourceHashing(HashFlags::default()));
        for number in 0..512 {
            let kind =
                if number % 2 == 0 { Scheduler::DestinationHashing } else { hashing.scheduler };
            bed.add_service(key(number), kind, None);
        }
        let add = |settings| TableChange::AddService(key(512), settings);
        let refused = bed.engine.apply(&[add(hashing)]).unwrap_err().to_string();
        assert_eq!(refused, "more than 512 virtual servers with lb_algo dh, sh or mh");
        bed.engine.apply(&[add(of(Scheduler::RoundRobin))]).unwrap();
        let change = TableChange::UpdateService(key(512), hashing);
        assert!(bed.engine.apply(&[change]).is_err());
        let settings = &bed.engine.tables()[&key(512)].settings;
        assert_eq!(settings.scheduler, Scheduler::RoundRobin, "it stays what it was");
        bed.engine.apply(&[TableChange::RemoveService(key(7)), change]).unwrap();
        bed.add(key(512), 1, 1, Forwarding::DirectRouting);
        assert_eq!(bed.connect(key(512), (CLIENT, 1001)), 1);
        let back = TableChange::UpdateService(key(3), of(Scheduler::WeightedFailover));
        bed.engine.apply(&[back, TableChange::AddService(key(7), hashing)]).unwrap();
    });
}

#[test]
fn another_director_that_adopts_the_tables_chooses_the_same() {
    in_namespace(|| {
        let pins = fresh_pins();
        let key = service(Protocol::Udp, 53);
        let scheduler = Scheduler::MaglevHashing(flags(true, true));
        let answers = |bed: &Bed, first: u16| -> Vec<u8> {
            (0..200).map(|port| bed.connect(key, (CLIENT, first + port))).collect()
        };
        let mut bed = Bed::new(pins.clone());
        bed.add_service(key, scheduler, None);
        (1..=6).for_each(|last| bed.add(key, last, last.into(), Forwarding::DirectRouting));
        bed.update(key, 4, 0, Forwarding::DirectRouting);
        let before = answers(&bed, 2000);
        drop(bed);
        let mut bed = Bed::new(pins.clone());
        assert_eq!(bed.engine.tables()[&key].settings.scheduler, scheduler);
        // Weight 0 keeps its slots over the change of directors, and gets its clients back.
        let heavier = Destination::new(endpoint(4, 53), 4, Forwarding::DirectRouting);
        bed.engine.apply(&[TableChange::UpdateDestination(key, heavier)]).unwrap();
        for last in 1..=6 {
            let (at, to) = (endpoint(last, 53), server_mac(last));
            bed.engine.test_next_hop(key, at, THERE, to, THERE_MAC).unwrap();
        }
        let mut reference = Vec::new();
        for last in (1..=6u8).rev() {
            let address = Ipv4Addr::new(10, 0, 0, last).into();
            reference.push(MaglevServer { address, port: 53, weight: last.into() });
        }
        let table = sched::maglev_table(&reference);
        let candidates = [Candidate { weight: 1, ..Candidate::default() }; 6];
        let expected: Vec<u8> = (0..200)
            .map(|port| table.choose(&candidates, CLIENT.into(), 3000 + port, true).unwrap())
            .map(|position| 6 - position as u8)
            .collect();
        assert_eq!(answers(&bed, 3000), expected);
        assert!(expected.contains(&4) && !before.contains(&4));
        bed.engine.stop().unwrap();
        let _ = std::fs::remove_dir_all(&pins);
    });
}
