//! The bounds of the tables: reached, they are named, and what is there goes on.

use std::net::Ipv4Addr;

use director::{Destination, Engine, TableChange};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

use crate::bed::{CLIENT, THERE, THERE_MAC, endpoint, server_mac, service, with_bed};

fn destination(address: Ipv4Addr, port: u16) -> Destination {
    let endpoint = Endpoint { address: address.into(), port };
    Destination::new(endpoint, 1, Forwarding::DirectRouting)
}

#[test]
fn the_257th_real_server_of_a_service_is_refused_with_the_bound() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        for last in 0..=255 {
            bed.add(key, last, 1, Forwarding::DirectRouting);
        }
        let one_more = destination(Ipv4Addr::new(10, 0, 1, 1), 80);
        let refused = bed.engine.apply(&[TableChange::AddDestination(key, one_more)]);
        let text = refused.unwrap_err().to_string();
        assert_eq!(text, "more than 256 real servers of TCP 192.0.2.1:80");
        assert_eq!(bed.engine.tables()[&key].destinations.len(), 256);
        bed.remove(key, endpoint(7, 80));
        bed.engine.apply(&[TableChange::AddDestination(key, one_more)]).unwrap();
        let to = server_mac(99);
        bed.engine.test_next_hop(key, one_more.endpoint, THERE, to, THERE_MAC).unwrap();
        assert_eq!(bed.connect(key, (CLIENT, 1001)), 99);
    });
}

#[test]
fn the_2049th_service_is_refused_with_the_bound() {
    with_bed(|bed| {
        let key = |number: u16| service(Protocol::Tcp, 1 + number);
        for number in 0..2048 {
            bed.add_service(key(number), Scheduler::RoundRobin, None);
        }
        let add = |key: ServiceKey| TableChange::AddService(key, Default::default());
        let refused = bed.engine.apply(&[add(key(2048))]);
        assert_eq!(refused.unwrap_err().to_string(), "more than 2048 virtual servers");
        assert_eq!(bed.engine.tables().len(), 2048);
        bed.engine.apply(&[TableChange::RemoveService(key(5)), add(key(2048))]).unwrap();
        bed.add(key(2048), 1, 1, Forwarding::DirectRouting);
        assert_eq!(bed.connect(key(2048), (CLIENT, 1001)), 1);
    });
}

#[test]
fn the_65537th_real_server_is_refused_with_the_bound() {
    with_bed(|bed| {
        let mut changes = Vec::new();
        for number in 0..257u16 {
            let key = service(Protocol::Udp, 1 + number);
            changes.push(TableChange::AddService(key, Default::default()));
            let servers = if number < 256 { 256 } else { 1 };
            // One address: what its next hop costs is not the matter here.
            let server = |at: u16| destination(Ipv4Addr::new(10, 0, 0, 1), 1 + at);
            changes.extend((0..servers).map(|at| TableChange::AddDestination(key, server(at))));
        }
        let refused = bed.engine.apply(&changes);
        assert_eq!(refused.unwrap_err().to_string(), "more than 65536 real servers");
        let there: usize = bed.engine.tables().values().map(|it| it.destinations.len()).sum();
        assert_eq!(there, 65536);
    });
}
