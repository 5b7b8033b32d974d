use std::net::SocketAddr;
use std::time::Duration;

use model::check::{CheckKind, Checker, Pace};
use model::layer4::{Endpoint, RealServer, Scheduler, ServiceKey, VirtualServer};
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Authentication, Garp, InitialState, VirtualAddress, VrrpInstance};

use super::*;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn instance(name: &str, interface: &str, address: &str) -> VrrpInstance {
    VrrpInstance {
        name: name.into(),
        interface: interface.into(),
        virtual_router_id: VirtualRouterId::try_from(50).unwrap(),
        priority: Priority::try_from(100).unwrap(),
        advert_interval: Centiseconds(100),
        initial_state: InitialState::Master,
        authentication: Authentication::None,
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![VirtualAddress::new(ip(address).into(), 32)],
        excluded_addresses: Vec::new(),
        garp: Garp::default(),
        ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
    }
}

fn virtual_server(address: &str, forwarding: Forwarding, servers: &[&str]) -> VirtualServer {
    let pace = Pace::every(Duration::from_secs(6));
    let real_servers = servers.iter().map(|server| {
        let target = SocketAddr::new(ip(server).into(), 80);
        RealServer {
            forwarding,
            checkers: vec![Checker::new(CheckKind::Tcp, target, Duration::from_secs(10), pace)],
            ..RealServer::new(Endpoint { address: ip(server).into(), port: 80 })
        }
    });
    let key =
        ServiceKey::Address { address: ip(address).into(), port: 80, protocol: Protocol::Tcp };
    VirtualServer {
        scheduler: Scheduler::RoundRobin,
        real_servers: real_servers.collect(),
        ..VirtualServer::new(key)
    }
}

fn plan(instances: Vec<VrrpInstance>, service: VirtualServer) -> Plan {
    let mut plan = Plan::default();
    plan.vrrp.instances = instances;
    plan.layer4.virtual_servers.push(service);
    plan
}

#[test]
fn nat_with_two_interfaces_puts_clients_outside_and_servers_inside() {
    let instances =
        vec![instance("EXT", "eth0", "10.0.0.1"), instance("INT", "eth1", "192.168.1.1")];
    let servers = ["192.168.1.20", "192.168.1.21"];
    let topology =
        Topology::of(&plan(instances, virtual_server("10.0.0.1", Forwarding::Nat, &servers)))
            .unwrap();
    assert_eq!((topology.client_segment, topology.server_segment), (0, 1));
    assert!(!topology.client_on_server_segment);
    assert_eq!(topology.servers[0].gateway, Some(ip("192.168.1.1")));
    assert_eq!(topology.routed, []);
    assert_eq!(topology.segments[1].directors[0], [(ip("192.168.1.252"), 24)]);
    assert_eq!(topology.segments[1].directors[1], [(ip("192.168.1.253"), 24)]);
    assert_eq!(topology.notes, [""; 0]);
}

#[test]
fn a_service_address_in_the_servers_network_does_not_move_the_network_outside() {
    // The book's own example of chapter 3.1: nobody holds 192.168.1.11.
    let instances =
        vec![instance("EXT", "eth0", "10.0.0.1"), instance("INT", "eth1", "192.168.1.1")];
    let topology = Topology::of(&plan(
        instances,
        virtual_server("192.168.1.11", Forwarding::Nat, &["192.168.1.20"]),
    ))
    .unwrap();
    assert_eq!((topology.client_segment, topology.server_segment), (0, 1));
    let routed = Routed { address: ip("192.168.1.11"), via: Some(ip("10.0.0.1")), local: false };
    assert_eq!(topology.routed, [routed]);
    assert_eq!(topology.notes.len(), 1);
}

#[test]
fn direct_routing_on_one_interface_shares_the_segment() {
    let instances = vec![instance("RH_1", "eth0", "172.31.0.1")];
    let servers = ["192.168.0.1", "192.168.0.2"];
    let service = virtual_server("172.31.0.1", Forwarding::DirectRouting, &servers);
    let topology = Topology::of(&plan(instances, service)).unwrap();
    assert_eq!((topology.client_segment, topology.server_segment), (0, 0));
    assert!(!topology.client_on_server_segment);
    assert_eq!(topology.servers[0].loopback, [ip("172.31.0.1")]);
    assert_eq!(topology.servers[0].gateway, None);
    let networks: Vec<u8> =
        topology.segments[0].directors[0].iter().map(|(own, _)| own.octets()[0]).collect();
    assert_eq!(networks, [192, 172, 198]);
}

#[test]
fn servers_at_the_end_of_tunnels_have_the_virtual_address_and_unpack() {
    let instances = vec![instance("RH_1", "eth0", "172.31.0.1")];
    let tunnel = Tunnel::Gue { port: 6080, checksum: true };
    let servers = ["192.168.0.1", "192.168.0.2"];
    let service = virtual_server("172.31.0.1", Forwarding::Tunnel(tunnel), &servers);
    let topology = Topology::of(&plan(instances, service)).unwrap();
    for server in &topology.servers {
        assert_eq!(server.loopback, [ip("172.31.0.1")]);
        assert_eq!((&server.tunnels[..], server.gateway), (&[tunnel][..], None));
    }
}

#[test]
fn servers_of_nat_on_one_interface_answer_through_an_address_that_moves() {
    let instances = vec![instance("V", "eth0", "10.0.0.1")];
    let service = virtual_server("10.0.0.1", Forwarding::Nat, &["10.1.0.1"]);
    let topology = Topology::of(&plan(instances, service)).unwrap();
    assert_eq!(topology.servers[0].gateway, Some(ip("10.0.0.1")));
}

#[test]
fn without_an_instance_there_is_one_director() {
    let topology =
        Topology::of(&plan(vec![], virtual_server("10.0.0.1", Forwarding::Nat, &["10.1.0.1"])))
            .unwrap();
    assert_eq!(topology.directors, 1);
    assert_eq!(topology.routed, [Routed { address: ip("10.0.0.1"), via: None, local: false }]);
}

#[test]
fn nothing_to_use_is_an_error() {
    assert!(Topology::of(&Plan::default()).is_err());
}

#[test]
fn every_service_of_a_group_is_rehearsed_up_to_a_bound() {
    let mut group = virtual_server("192.0.2.100", Forwarding::Nat, &["10.0.0.1"]);
    group.services = (100..120)
        .map(|last| ServiceKey::Address {
            address: ip(&format!("192.0.2.{last}")).into(),
            port: 80,
            protocol: Protocol::Tcp,
        })
        .collect();
    let plan = plan(vec![instance("VI_1", "eth0", "192.0.2.100")], group);
    let mut notes = Vec::new();
    let found = services::find(&plan, &[], &mut notes).unwrap();
    assert_eq!(found.services.len(), 16);
    assert_eq!(found.services[15].address.ip(), &ip("192.0.2.115"));
    assert!(notes.iter().any(|note| note.contains("not the other 4")), "{notes:?}");
}
