//! Connections: their states, their counts, their end, and the servers that leave under them.

use std::net::Ipv4Addr;

use director::{Engine, TableChange};
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};

use crate::bed::{
    Bed, CLIENT, Outcome, VIRTUAL, endpoint, fresh_pins, in_namespace, persistence, service,
    with_bed,
};
use crate::frame::{ACK, FIN, Frame, RST, SYN, Side};

const WEB: Side = (VIRTUAL, 80);

fn client(port: u16) -> Side {
    (CLIENT, port)
}

fn nat(last: u8) -> Side {
    (Ipv4Addr::new(10, 0, 0, last), 8080)
}

#[test]
fn nat_states_follow_both_directions() {
    use Way::{FromServer, ToServer};
    enum Way {
        ToServer,
        FromServer,
    }
    type Step = (Way, u8, &'static str);
    let cases: &[(&str, &[Step])] = &[
        (
            "the client closes first",
            &[
                (ToServer, SYN, "SYN_RECV"),
                (FromServer, SYN | ACK, "SYN_RECV"),
                (ToServer, ACK, "ESTABLISHED"),
                (ToServer, FIN | ACK, "CLOSE_WAIT"),
                (FromServer, FIN | ACK, "TIME_WAIT"),
                (ToServer, ACK, "TIME_WAIT"),
            ],
        ),
        (
            "the server closes first",
            &[
                (ToServer, SYN, "SYN_RECV"),
                (ToServer, ACK, "ESTABLISHED"),
                (FromServer, FIN | ACK, "FIN_WAIT"),
                (ToServer, FIN | ACK, "TIME_WAIT"),
            ],
        ),
        ("refused", &[(ToServer, SYN, "SYN_RECV"), (FromServer, RST | ACK, "CLOSE")]),
        (
            "reset",
            &[
                (ToServer, SYN, "SYN_RECV"),
                (ToServer, ACK, "ESTABLISHED"),
                (ToServer, RST, "CLOSE"),
            ],
        ),
    ];
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        for (number, (what, steps)) in cases.iter().enumerate() {
            let port = 40000 + number as u16;
            for (way, flags, state) in *steps {
                let frame = match way {
                    ToServer => Frame::tcp(client(port), WEB, *flags),
                    FromServer => Frame::tcp(nat(1), client(port), *flags),
                };
                bed.send(&frame);
                assert_eq!(bed.state(port), *state, "{what}");
            }
        }
        assert_eq!(bed.load(key, endpoint(1, 8080)), (0, 4, 0));
    });
}

#[test]
fn direct_routing_states_follow_the_client_alone() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::DirectRouting);
        let at = endpoint(1, 80);
        for (flags, state, load) in [
            (SYN, "SYN_RECV", (1, 0, 0)),
            (ACK, "ESTABLISHED", (1, 0, 0)),
            (FIN | ACK, "FIN_WAIT", (0, 1, 0)),
            (ACK, "FIN_WAIT", (0, 1, 0)),
        ] {
            bed.send(&Frame::tcp(client(40000), WEB, flags)).forwarded();
            assert_eq!((bed.state(40000).as_str(), bed.load(key, at)), (state, load));
        }
    });
}

#[test]
fn a_port_used_again_after_its_connection_ended_gets_a_new_server() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.add(key, 2, 1, Forwarding::Nat);
        let first = bed.establish(key, client(40000));
        assert_eq!(bed.connect(key, client(40000)), first, "a SYN in ESTABLISHED changes nothing");
        bed.send(&Frame::tcp(client(40000), WEB, RST)).forwarded();
        assert_eq!(bed.state(40000), "CLOSE");
        assert_ne!(bed.connect(key, client(40000)), first);
        assert_eq!(bed.connections().len(), 1);
        assert_eq!(bed.load(key, endpoint(first, 8080)), (0, 0, 0));
    });
}

#[test]
fn weight_zero_drains_known_connections_go_on_and_no_new_one_comes() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::WeightedRoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, client(40000));
        bed.add(key, 2, 1, Forwarding::Nat);
        bed.update(key, 1, 0, Forwarding::Nat);
        for port in 41000..41010 {
            assert_eq!(bed.connect(key, client(port)), 2);
        }
        let next = bed.send(&Frame::tcp(client(40000), WEB, ACK)).forwarded();
        assert_eq!(next.to, nat(1));
    });
}

#[test]
fn a_removed_server_keeps_its_connections_for_its_return() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, client(40000));
        bed.remove(key, endpoint(1, 8080));
        let data = Frame::tcp(client(40000), WEB, ACK);
        assert_eq!(bed.send(&data), Outcome::Drop);
        assert_eq!(bed.counter("dropped_server_removed"), 1);
        bed.add(key, 1, 1, Forwarding::Nat);
        assert_eq!(bed.send(&data).forwarded().to, nat(1));
        assert_eq!(bed.load(key, endpoint(1, 8080)), (1, 0, 0));
    });
}

#[test]
fn clients_of_a_removed_server_that_start_over_get_another_one() {
    with_bed(|bed| {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let key = service(protocol, 80);
            bed.add_service(key, Scheduler::RoundRobin, None);
            bed.add(key, 1, 1, Forwarding::Nat);
            assert_eq!(bed.connect(key, client(40000)), 1);
            bed.add(key, 2, 1, Forwarding::Nat);
            bed.remove(key, endpoint(1, 8080));
            assert_eq!(bed.connect(key, client(40000)), 2, "{protocol}");
            assert_eq!(bed.load(key, endpoint(1, 8080)), (0, 0, 0));
        }
    });
}

#[test]
fn a_removed_service_is_the_kernels_business_again() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.connect(key, client(40000));
        bed.engine.apply(&[TableChange::RemoveService(key)]).unwrap();
        let syn = Frame::tcp(client(40000), WEB, SYN);
        assert_eq!(bed.send(&syn), Outcome::Pass(syn.clone()));
    });
}

#[test]
fn a_client_that_comes_back_gets_its_server_and_so_does_its_network() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(300, 24));
        for last in 1..=3 {
            bed.add(key, last, 1, Forwarding::Nat);
        }
        let first = bed.connect(key, client(40000));
        for port in 40001..40010 {
            assert_eq!(bed.connect(key, client(port)), first);
        }
        let neighbour = Ipv4Addr::new(198, 51, 100, 200);
        assert_eq!(bed.connect(key, (neighbour, 5000)), first, "same /24");
        let stranger = Ipv4Addr::new(198, 51, 101, 7);
        assert_ne!(bed.connect(key, (stranger, 5000)), first, "another /24");
        assert_eq!(bed.load(key, endpoint(first, 8080)), (11, 0, 1));
        let templates = bed.connections().iter().filter(|conn| conn.client.port == 0).count();
        assert_eq!(templates, 2);
    });
}

#[test]
fn a_template_outlives_weight_zero_but_not_the_removal_of_its_server() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(300, 32));
        bed.add(key, 1, 1, Forwarding::Nat);
        assert_eq!(bed.connect(key, client(40000)), 1);
        bed.add(key, 2, 1, Forwarding::Nat);
        bed.update(key, 1, 0, Forwarding::Nat);
        assert_eq!(bed.connect(key, client(40001)), 1);
        bed.remove(key, endpoint(1, 8080));
        assert_eq!(bed.connect(key, client(40002)), 2);
        assert_eq!(bed.load(key, endpoint(2, 8080)), (1, 0, 1));
    });
}

#[test]
fn a_service_for_every_port_keeps_a_client_on_one_server_over_all_ports() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 0);
        bed.add_service(key, Scheduler::RoundRobin, persistence(300, 32));
        for last in 1..=3 {
            bed.add(key, last, 1, Forwarding::Nat);
        }
        let out = |port| bed.send(&Frame::tcp(client(40000), (VIRTUAL, port), SYN)).forwarded();
        let first = out(80);
        assert_eq!(first.to.1, 80, "the port stays the client's");
        assert_eq!(out(443).to.0, first.to.0);
        assert_eq!(out(443).to.1, 443);
    });
}

#[test]
fn two_virtual_addresses_do_not_mix_one_clients_answers() {
    with_bed(|bed| {
        let web = service(Protocol::Tcp, 80);
        let address = Ipv4Addr::new(192, 0, 2, 2).into();
        let other = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        for key in [web, other] {
            bed.add_service(key, Scheduler::RoundRobin, None);
            bed.add(key, 1, 1, Forwarding::Nat);
        }
        bed.connect(web, client(40000));
        let second = Frame::tcp(client(40000), (Ipv4Addr::new(192, 0, 2, 2), 80), SYN);
        assert_eq!(bed.send(&second), Outcome::Drop, "the server could not tell them apart");
        assert_eq!(bed.counter("dropped_port_clash"), 1);
        bed.send(&Frame::tcp(nat(1), client(40000), RST | ACK));
        assert_eq!(bed.send(&second).forwarded().to, nat(1), "the first one is over");
        assert_eq!(bed.connections().len(), 1);
    });
}

#[test]
fn a_director_that_was_killed_is_succeeded_with_every_connection() {
    in_namespace(|| {
        let pins = fresh_pins();
        let mut first = Bed::new(pins.clone());
        let (web, dns) = (service(Protocol::Tcp, 80), service(Protocol::Udp, 53));
        first.add_service(web, Scheduler::WeightedRoundRobin, persistence(360, 24));
        first.add_service(dns, Scheduler::WeightedLeastConnection, None);
        for last in 1..=4 {
            first.add(web, last, u32::from(last), Forwarding::Nat);
            first.add(dns, last, 1, Forwarding::DirectRouting);
        }
        first.remove(dns, endpoint(2, 53));
        let server = first.establish(web, client(40000));
        first.connect(dns, client(40000));
        let (tables, connections) = (first.engine.tables().clone(), first.connections().len());
        // As SIGKILL does: nothing is undone.
        drop(first.engine);

        let mut second = Bed::new(pins.clone());
        assert!(second.engine.adopted());
        assert_eq!(director::diff(second.engine.tables(), &tables), []);
        assert_eq!(second.engine.tables(), &tables);
        assert_eq!(second.connections().len(), connections);
        let run = second.engine.test_forward(&Frame::tcp(client(40000), WEB, ACK).bytes(), 1);
        let out = Frame::read(&run.unwrap().packet);
        assert_eq!(out.to, nat(server));
        assert_eq!(second.load(web, endpoint(server, 8080)), (1, 0, 1));
        second.engine.stop().unwrap();
        assert_eq!(std::fs::read_dir(&pins).unwrap().count(), 1, "only the gate is left");
        let _ = std::fs::remove_dir_all(&pins);
    });
}
