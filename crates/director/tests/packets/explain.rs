//! What is told of a packet's way, and that the telling changes nothing.

use std::net::SocketAddr;

use director::xdp::explain::{Explanation, PacketFate, Question, explain};
use director::{Destination, Engine, TableChange};
use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};

use crate::bed::{
    Bed, CLIENT, THERE, THERE_MAC, VIRTUAL, endpoint, persistence, server_mac, service, with_bed,
};
use crate::frame::{ACK, SYN};

fn question(from_port: u16, flags: u8) -> Question {
    Question {
        from: SocketAddr::new(CLIENT.into(), from_port),
        to: SocketAddr::new(VIRTUAL.into(), 80),
        protocol: Protocol::Tcp,
        flags,
    }
}

fn ask(bed: &Bed, question: &Question) -> Explanation {
    explain(&bed.pins, question, Some("lo")).unwrap()
}

#[test]
fn a_new_connection_is_explained_as_it_then_happens_and_nothing_is_changed_by_that() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        for last in [2, 3] {
            bed.add(key, last, 1, Forwarding::Nat);
        }
        assert_eq!(bed.connect(key, (CLIENT, 1000)), 3);
        let counters = bed.engine.data_plane();
        for _ in 0..2 {
            let told = ask(bed, &question(1001, SYN));
            assert_eq!(told.fate, PacketFate::Forwarded);
            assert_eq!(
                told.steps,
                [
                    "no connection of this client's port is known",
                    "it is for the virtual server TCP 192.0.2.1:80: rr",
                    "rr chooses 10.0.0.2:8080 (NAT), of 10.0.0.3:8080 (weight 1, 1 active, \
                     0 inactive), 10.0.0.2:8080 (weight 1, 0 active, 0 inactive)",
                    "a connection to 10.0.0.2:8080 (NAT) is entered",
                    "out by interface 77",
                ]
            );
            assert_eq!(
                told.packet,
                ["to 02:00:00:00:01:02", "TCP 198.51.100.7:1001 -> 10.0.0.2:8080, 63 hops left"]
            );
        }
        assert_eq!(bed.engine.data_plane(), counters);
        assert_eq!(bed.connections().len(), 1);
        assert_eq!(bed.load(key, endpoint(2, 8080)), (0, 0, 0));
        assert_eq!(bed.connect(key, (CLIENT, 1001)), 2, "the turn was not used up");
    });
}

#[test]
fn a_known_connection_is_told_with_its_state() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 2, 1, Forwarding::DirectRouting);
        bed.connect(key, (CLIENT, 1000));
        let told = ask(bed, &question(1000, ACK));
        let known = "a connection of this client's port is known: to 10.0.0.2:80 (DR), SYN_RECV";
        assert_eq!(told.steps, [known, "out by interface 77"]);
        assert_eq!(bed.state(1000), "SYN_RECV");
        let stray = ask(bed, &question(1001, ACK));
        assert_eq!(stray.fate, PacketFate::Passed);
        assert!(stray.reason.ends_with("(passed_no_connection)"), "{}", stray.reason);
        assert_eq!(stray.packet, [""; 0], "as it came");
    });
}

#[test]
fn persistence_is_told_for_who_comes_first_and_who_comes_again() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(300, 24));
        for last in [2, 3] {
            bed.add(key, last, 1, Forwarding::DirectRouting);
        }
        let first = ask(bed, &question(1000, SYN));
        assert!(first.steps[1].ends_with("rr, persistent 300 s by /24"), "{:?}", first.steps);
        let begins = "persistence: this client's network comes for the first time; rr chooses";
        assert!(first.steps[2].starts_with(begins), "{:?}", first.steps);
        let last = bed.connect(key, (CLIENT, 1000));
        let again = ask(bed, &question(1001, SYN));
        let led = format!("persistence: this client's network was sent to 10.0.0.{last}:80 (DR)");
        assert!(again.steps[2].starts_with(&led), "{:?}", again.steps);
    });
}

#[test]
fn nobody_to_serve_and_nobody_asked_are_told_apart() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::WeightedLeastConnection, None);
        bed.add(key, 2, 0, Forwarding::Nat);
        let told = ask(bed, &question(1000, SYN));
        assert!(told.steps[2].starts_with("wlc finds no server"), "{:?}", told.steps);
        let mut elsewhere = question(1000, SYN);
        elsewhere.to.set_port(81);
        let told = ask(bed, &elsewhere);
        assert_eq!(told.fate, PacketFate::Passed);
        assert_eq!(told.steps.last().unwrap(), "it is for no virtual server");
        bed.gate().set(VIRTUAL.into(), false).unwrap();
        let told = ask(bed, &question(1000, SYN));
        assert!(told.reason.starts_with("this director is not master of the address"));
    });
}

#[test]
fn an_interface_that_takes_no_part_or_is_not_there_is_told() {
    with_bed(|bed| {
        bed.give_the_client_a_route();
        let told = explain(&bed.pins, &question(1, SYN), None).unwrap();
        assert_eq!(told.interface, "way");
        assert_eq!(told.reason, "the data plane takes no part on way");
        let error = explain(&bed.pins, &question(1, SYN), Some("eth9")).unwrap_err();
        assert_eq!(error.to_string(), "there is no interface eth9");
        let error = explain(&bed.pins.join("none"), &question(1, SYN), None).unwrap_err();
        assert!(error.to_string().starts_with("no data plane"), "{error}");
    });
}

#[test]
fn ipv6_is_explained_like_ipv4() {
    with_bed(|bed| {
        let address = "2001:db8:2::1".parse().unwrap();
        let key = ServiceKey::Address { address, port: 53, protocol: Protocol::Udp };
        bed.add_service(key, Scheduler::SourceHashing(Default::default()), None);
        let endpoint = Endpoint { address: "2001:db8:1::1".parse().unwrap(), port: 5353 };
        let destination = Destination::new(endpoint, 1, Forwarding::Nat);
        bed.engine.apply(&[TableChange::AddDestination(key, destination)]).unwrap();
        bed.engine.test_next_hop(key, endpoint, THERE, server_mac(1), THERE_MAC).unwrap();
        let question = Question {
            from: "[2001:db8:51::7]:1000".parse().unwrap(),
            to: "[2001:db8:2::1]:53".parse().unwrap(),
            protocol: Protocol::Udp,
            flags: 0,
        };
        let told = ask(bed, &question);
        assert_eq!(told.fate, PacketFate::Forwarded, "{told:?}");
        assert!(told.steps[2].starts_with("sh chooses [2001:db8:1::1]:5353 (NAT)"), "{told:?}");
        let goes = "UDP [2001:db8:51::7]:1000 -> [2001:db8:1::1]:5353, 63 hops left";
        assert_eq!(told.packet.last().unwrap(), goes);
        assert_eq!(bed.connections().len(), 0);
    });
}
