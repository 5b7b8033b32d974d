//! Switches of a service by IPVS's names, its own time-outs, and what is said to clients nobody
//! serves any more.

use std::net::Ipv4Addr;

use director::{Engine, ServiceSettings, TableChange};
use model::layer4::{Conduct, Forwarding, Protocol, Scheduler, ServiceKey, State, StateTimeouts};

use crate::bed::{
    Bed, CLIENT, CLIENT_MAC, DROP, Outcome, PASS, REDIRECT, VIRTUAL, WAY_MAC, endpoint,
    persistence, service, with_bed,
};
use crate::expiry::{age, sweep};
use crate::frame::{
    ACK, FIN, Frame, INIT, RST, SACK, SYN, Side, internet_checksum, upper_checksum,
};

const WEB: Side = (VIRTUAL, 80);

fn client(port: u16) -> Side {
    (CLIENT, port)
}

fn nat(last: u8) -> Side {
    (Ipv4Addr::new(10, 0, 0, last), 8080)
}

/// A service with these switches.
fn add(bed: &mut Bed, key: ServiceKey, conduct: Conduct) {
    let settings = ServiceSettings { scheduler: Scheduler::RoundRobin, persistence: None, conduct };
    bed.engine.apply(&[TableChange::AddService(key, settings)]).unwrap();
}

fn two_servers(bed: &mut Bed, key: ServiceKey, forwarding: Forwarding, conduct: Conduct) {
    add(bed, key, conduct);
    bed.add(key, 1, 1, forwarding);
    bed.add(key, 2, 1, forwarding);
}

#[test]
fn one_packet_schedules_every_datagram_by_itself_and_keeps_nothing() {
    let ops = Conduct { one_packet: true, ..Conduct::default() };
    with_bed(|bed| {
        let key = service(Protocol::Udp, 53);
        two_servers(bed, key, Forwarding::DirectRouting, ops);
        let served: Vec<u8> = (0..6).map(|_| bed.connect(key, client(4000))).collect();
        assert!(served.windows(2).all(|two| two[0] != two[1]), "in turn: {served:?}");
        assert!(bed.connections().is_empty());
        assert_eq!(bed.load(key, endpoint(1, 53)), (0, 0, 0));
        let counters = bed.engine.destination_load(key, endpoint(1, 53)).counters;
        assert_eq!((counters.connections, counters.packets_in), (3, 3));
    });
}

#[test]
fn a_connection_that_has_ended_is_reused_or_not_as_conn_reuse_mode_says() {
    for (mode, other) in [(0, false), (1, true), (2, true)] {
        with_bed(|bed| {
            let key = service(Protocol::Tcp, 80);
            let conduct = Conduct { conn_reuse_mode: mode, ..Conduct::default() };
            two_servers(bed, key, Forwarding::Nat, conduct);
            let first = bed.establish(key, client(40000));
            bed.send(&Frame::tcp(client(40000), WEB, RST)).forwarded();
            assert_eq!(bed.state(40000), "CLOSE");
            assert_eq!(bed.connect(key, client(40000)) != first, other, "mode {mode}");
        });
    }
}

#[test]
fn mode_2_begins_anew_in_fin_wait_where_answers_are_not_seen() {
    for (mode, other) in [(1, false), (2, true)] {
        with_bed(|bed| {
            let key = service(Protocol::Tcp, 80);
            let conduct = Conduct { conn_reuse_mode: mode, ..Conduct::default() };
            two_servers(bed, key, Forwarding::DirectRouting, conduct);
            let first = bed.connect(key, client(40000));
            for flags in [ACK, FIN | ACK] {
                bed.send(&Frame::tcp(client(40000), WEB, flags)).forwarded();
            }
            assert_eq!(bed.state(40000), "FIN_WAIT");
            assert_eq!(bed.connect(key, client(40000)) != first, other, "mode {mode}");
        });
    }
}

#[test]
fn expire_nodest_conn_ends_connections_with_their_server() {
    let conduct = Conduct { expire_nodest_conn: true, ..Conduct::default() };
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        two_servers(bed, key, Forwarding::Nat, conduct);
        let first = bed.establish(key, client(40000));
        // A new connection from the port of one whose server drains.
        bed.update(key, first, 0, Forwarding::Nat);
        assert_ne!(bed.connect(key, client(40000)), first);
        bed.update(key, first, 1, Forwarding::Nat);
        // The kernel, to which the packet passes, has no such connection and says so.
        let data = Frame::tcp(client(40000), WEB, ACK);
        bed.remove(key, endpoint(3 - first, 8080));
        assert_eq!(bed.send(&data), Outcome::Pass(data.clone()));
        assert_eq!(bed.counter("passed_no_connection"), 1);
        assert!(bed.connections().is_empty());
        // Those that say nothing too.
        bed.establish(key, client(40001));
        bed.remove(key, endpoint(first, 8080));
        sweep(bed);
        assert!(bed.connections().is_empty());
    });
}

#[test]
fn datagrams_never_wait_for_a_server_that_left() {
    with_bed(|bed| {
        let (dns, web) = (service(Protocol::Udp, 53), service(Protocol::Tcp, 80));
        two_servers(bed, dns, Forwarding::Nat, Conduct::default());
        two_servers(bed, web, Forwarding::Nat, Conduct::default());
        for port in 4000..4010 {
            bed.connect(dns, client(port));
            bed.connect(web, client(port));
        }
        bed.remove(dns, endpoint(1, 8053));
        bed.remove(web, endpoint(1, 8080));
        sweep(bed);
        let of = |protocol| {
            let all = bed.connections();
            all.iter().filter(|one| one.service.protocol() == Some(protocol)).count()
        };
        assert_eq!((of(Protocol::Udp), of(Protocol::Tcp)), (5, 10));
    });
}

/// Both ends hear of it, each when it says something.
#[test]
fn reset_nodest_conn_tells_both_ends() {
    let conduct = Conduct { reset_nodest_conn: true, ..Conduct::default() };
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        add(bed, key, conduct);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.give_the_client_a_route();
        bed.establish(key, client(40000));
        bed.remove(key, endpoint(1, 8080));
        let (action, out) = bed.run(&Frame::tcp(client(40000), WEB, ACK).bytes());
        assert_eq!(action, REDIRECT);
        assert_eq!((&out[..6], &out[6..12]), (&CLIENT_MAC[..], &WAY_MAC[..]));
        let flags = is_a_reset(&out, WEB, client(40000));
        // The number that the client waits for; frames of these tests acknowledge 2.
        assert_eq!((flags, &out[38..42]), (RST, &[0, 0, 0, 2][..]));
        assert_eq!(bed.state(40000), "CLOSE");
        let (action, out) = bed.run(&Frame::tcp(nat(1), client(40000), ACK | FIN).bytes());
        assert_eq!((action, is_a_reset(&out, client(40000), nat(1))), (REDIRECT, RST));
        // A segment that acknowledges nothing is acknowledged: 1, and seven bytes.
        let (_, out) = bed.run(&Frame::tcp(client(40000), WEB, 0).bytes());
        assert_eq!(is_a_reset(&out, WEB, client(40000)), RST | ACK);
        assert_eq!(out[42..46], [0, 0, 0, 8]);
        assert_eq!(bed.counter("answered_reset"), 3);
        // Nobody answers a reset, and who begins anew gets another server.
        let (action, _) = bed.run(&Frame::tcp(client(40000), WEB, RST).bytes());
        assert_eq!(action, DROP);
        bed.add(key, 2, 1, Forwarding::Nat);
        assert_eq!(bed.connect(key, client(40000)), 2);
    });
}

/// Its flags.
fn is_a_reset(packet: &[u8], from: Side, to: Side) -> u8 {
    assert_eq!(packet.len(), 54);
    assert_eq!(internet_checksum(&packet[14..34]), 0);
    assert_eq!(packet[26..30], from.0.octets());
    assert_eq!(packet[30..34], to.0.octets());
    assert_eq!(packet[34..36], from.1.to_be_bytes());
    assert_eq!(packet[36..38], to.1.to_be_bytes());
    assert_eq!(upper_checksum(from.0, to.0, 6, &packet[34..]), 0);
    packet[47]
}

#[test]
fn expire_quiescent_template_frees_clients_of_a_server_with_weight_zero() {
    for (expires, server) in [(false, 1), (true, 2)] {
        with_bed(|bed| {
            let key = service(Protocol::Tcp, 80);
            let settings = ServiceSettings {
                scheduler: Scheduler::RoundRobin,
                persistence: persistence(300, 32),
                conduct: Conduct { expire_quiescent_template: expires, ..Conduct::default() },
            };
            bed.engine.apply(&[TableChange::AddService(key, settings)]).unwrap();
            bed.add(key, 1, 1, Forwarding::Nat);
            assert_eq!(bed.connect(key, client(40000)), 1);
            bed.add(key, 2, 1, Forwarding::Nat);
            bed.update(key, 1, 0, Forwarding::Nat);
            assert_eq!(bed.connect(key, client(40001)), server);
        });
    }
}

#[test]
fn sloppy_services_begin_in_the_middle() {
    let sloppy = Conduct { sloppy_tcp: true, sloppy_sctp: true, ..Conduct::default() };
    with_bed(|bed| {
        let (web, sctp) = (service(Protocol::Tcp, 80), service(Protocol::Sctp, 80));
        two_servers(bed, web, Forwarding::Nat, sloppy);
        two_servers(bed, sctp, Forwarding::Nat, sloppy);
        bed.send(&Frame::tcp(client(40000), WEB, ACK)).forwarded();
        assert_eq!(bed.state(40000), "ESTABLISHED");
        bed.send(&Frame::tcp(client(40001), WEB, SYN | ACK)).forwarded();
        assert_eq!(bed.state(40001), "SYN_RECV");
        bed.send(&Frame::sctp(client(40002), WEB, SACK)).forwarded();
        assert_eq!(bed.state(40002), "ESTABLISHED");
        bed.send(&Frame::sctp(client(40003), WEB, INIT)).forwarded();
        assert_eq!(bed.state(40003), "INIT1");
        let abort = 6;
        for end in [Frame::tcp(client(9), WEB, RST), Frame::sctp(client(9), WEB, abort)] {
            assert_eq!(bed.run(&end.bytes()).0, PASS);
        }
        assert_eq!(bed.connections().len(), 4);
    });
}

#[test]
fn a_service_has_its_own_time_outs_and_others_do_not() {
    with_bed(|bed| {
        let (own, other) = (service(Protocol::Udp, 53), service(Protocol::Udp, 54));
        let mut timeouts = StateTimeouts::default();
        timeouts.set(State::named(Protocol::Udp, "UDP").unwrap().number, 30);
        two_servers(bed, own, Forwarding::Nat, Conduct { timeouts, ..Conduct::default() });
        two_servers(bed, other, Forwarding::Nat, Conduct::default());
        bed.connect(own, client(4000));
        bed.connect(other, client(4001));
        let left = |bed: &Bed, port: u16| {
            let all = bed.connections();
            all.iter().find(|one| one.client.port == port).map(|one| one.expires_seconds)
        };
        assert!(matches!(left(bed, 4000), Some(28..=30)), "{:?}", left(bed, 4000));
        assert!(matches!(left(bed, 4001), Some(298..=300)));
        age(bed, 31);
        sweep(bed);
        assert_eq!((left(bed, 4000).is_some(), left(bed, 4001).is_some()), (false, true));
        // A packet after the end begins anew even before the sweep.
        bed.connect(own, client(4002));
        age(bed, 31);
        let before = bed.engine.destination_load(own, endpoint(1, 8053)).counters.connections
            + bed.engine.destination_load(own, endpoint(2, 8053)).counters.connections;
        bed.connect(own, client(4002));
        let after = bed.engine.destination_load(own, endpoint(1, 8053)).counters.connections
            + bed.engine.destination_load(own, endpoint(2, 8053)).counters.connections;
        assert_eq!(after, before + 1);
        // Other settings count at once.
        let settings = ServiceSettings { scheduler: Scheduler::RoundRobin, ..Default::default() };
        bed.engine.apply(&[TableChange::UpdateService(own, settings)]).unwrap();
        assert!(matches!(left(bed, 4002), Some(298..=300)));
    });
}

#[test]
fn the_next_director_finds_switches_and_time_outs() {
    let mut timeouts = StateTimeouts::default();
    timeouts.set(1, 3600);
    let conduct = Conduct { sloppy_tcp: true, conn_reuse_mode: 0, timeouts, ..Conduct::default() };
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        two_servers(bed, key, Forwarding::Nat, conduct);
        bed.establish(key, client(40000));
        let next = Bed::new(bed.pins.clone());
        assert_eq!(next.engine.tables()[&key].settings.conduct, conduct);
        let all = next.connections();
        assert!((3590..=3600).contains(&all[0].expires_seconds), "{all:?}");
    });
}
