//! SCTP: states follow chunks, and a changed port changes the checksum without a look at the rest.

use std::net::Ipv4Addr;

use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::bed::{
    Bed, CLIENT, CLIENT_MAC, DROP, PASS, REDIRECT, THERE_MAC, VIRTUAL, WAY_MAC, endpoint,
    server_mac, service, with_bed,
};
use crate::frame::{Frame, INIT, SACK, Side};

const FROM: Side = (CLIENT, 40000);
const HERE: Side = (VIRTUAL, 36412);
const SERVER: Side = (Ipv4Addr::new(10, 0, 0, 1), 44412);

const DATA: u8 = 0;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

fn one_server(bed: &mut Bed, forwarding: Forwarding) {
    let key = service(Protocol::Sctp, HERE.1);
    bed.add_service(key, Scheduler::RoundRobin, None);
    bed.add(key, 1, 1, forwarding);
}

fn said(frame: Frame, length: usize) -> Frame {
    Frame { payload: (0..length).map(|n| (n * 37 + length) as u8).collect(), ..frame }
}

#[test]
fn nat_changes_ports_and_checksum_both_ways_whatever_the_length() {
    with_bed(|bed| {
        one_server(bed, Forwarding::Nat);
        bed.give_the_client_a_route();
        for length in (0..300).chain([511, 1024, 1399, 1400, 4000]) {
            let sent = said(Frame::sctp(FROM, HERE, INIT), length);
            let expected = Frame {
                to_mac: server_mac(1),
                from_mac: THERE_MAC,
                to: SERVER,
                ttl: 63,
                ..sent.clone()
            };
            // Beyond the test device's MTU the client would be told.
            if length < 1400 {
                assert_eq!(bed.run(&sent.bytes()), (REDIRECT, expected.bytes()), "{length}");
            }
            let answer = said(Frame::sctp(SERVER, FROM, SACK), length);
            let expected = Frame {
                to_mac: CLIENT_MAC,
                from_mac: WAY_MAC,
                from: HERE,
                ttl: 63,
                ..answer.clone()
            };
            if length < 1400 {
                assert_eq!(bed.run(&answer.bytes()), (REDIRECT, expected.bytes()), "{length}");
            }
        }
        assert_eq!(bed.connections().len(), 1);
    });
}

#[test]
fn a_wrong_checksum_stays_as_wrong_as_it_was() {
    with_bed(|bed| {
        one_server(bed, Forwarding::Nat);
        let mut sent = Frame::sctp(FROM, HERE, INIT).bytes();
        let right = Frame { to: SERVER, ..Frame::sctp(FROM, HERE, INIT) }.bytes();
        sent[43] ^= 0x5a;
        let (action, out) = bed.run(&sent);
        assert_eq!((action, out[43]), (REDIRECT, right[43] ^ 0x5a), "the server notices");
        assert_eq!(out[44..], right[44..]);
    });
}

#[test]
fn direct_routing_leaves_the_packet_as_it_is() {
    with_bed(|bed| {
        one_server(bed, Forwarding::DirectRouting);
        for chunk in [INIT, COOKIE_ECHO, DATA] {
            let sent = said(Frame::sctp(FROM, HERE, chunk), 333);
            let expected =
                Frame { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 63, ..sent.clone() };
            assert_eq!(bed.run(&sent.bytes()), (REDIRECT, expected.bytes()));
        }
        assert_eq!(bed.state(40000), "ESTABLISHED");
    });
}

#[test]
fn states_follow_the_chunks_of_both_sides() {
    use Way::{FromServer, ToServer};
    enum Way {
        ToServer,
        FromServer,
    }
    let steps = [
        (ToServer, INIT, "INIT1", (0, 1, 0)),
        (ToServer, INIT, "INIT", (0, 1, 0)),
        (FromServer, INIT_ACK, "C-SENT", (0, 1, 0)),
        (ToServer, COOKIE_ECHO, "C-REPLIED", (0, 1, 0)),
        (FromServer, COOKIE_ACK, "ESTABLISHED", (1, 0, 0)),
        (ToServer, DATA, "ESTABLISHED", (1, 0, 0)),
        (FromServer, SACK, "ESTABLISHED", (1, 0, 0)),
        (ToServer, SHUTDOWN, "S-RECEIVED", (0, 1, 0)),
        (FromServer, SHUTDOWN_ACK, "S-ACK-SENT", (0, 1, 0)),
        (ToServer, SHUTDOWN_COMPLETE, "CLOSED", (0, 1, 0)),
    ];
    with_bed(|bed| {
        one_server(bed, Forwarding::Nat);
        let key = service(Protocol::Sctp, HERE.1);
        for (way, chunk, state, load) in steps {
            let frame = match way {
                ToServer => Frame::sctp(FROM, HERE, chunk),
                FromServer => Frame::sctp(SERVER, FROM, chunk),
            };
            bed.send(&frame);
            let now = (bed.state(40000), bed.load(key, endpoint(1, SERVER.1)));
            assert_eq!(now, (state.to_owned(), load), "chunk {chunk}");
        }
        // From the same port again: the old one has ended.
        bed.send(&Frame::sctp(FROM, HERE, INIT)).forwarded();
        assert_eq!(bed.state(40000), "INIT1");
        assert_eq!(bed.connections().len(), 1);
    });
}

#[test]
fn an_abort_behind_a_cookie_counts() {
    with_bed(|bed| {
        one_server(bed, Forwarding::DirectRouting);
        bed.send(&Frame::sctp(FROM, HERE, INIT)).forwarded();
        // A cookie of seven bytes is padded to eight.
        let mut payload = vec![0x11; 8];
        payload.extend([ABORT, 0, 0, 4]);
        let both = Frame { payload, ..Frame::sctp(FROM, HERE, COOKIE_ECHO) };
        let mut bytes = both.bytes();
        bytes[48..50].copy_from_slice(&11u16.to_be_bytes());
        assert_eq!(bed.run(&bytes).0, REDIRECT);
        assert_eq!(bed.state(40000), "CLOSED");
    });
}

#[test]
fn only_an_init_begins_an_association() {
    with_bed(|bed| {
        one_server(bed, Forwarding::Nat);
        for chunk in [DATA, INIT_ACK, SACK, COOKIE_ECHO, ABORT] {
            let (action, _) = bed.run(&Frame::sctp(FROM, HERE, chunk).bytes());
            assert_eq!(action, PASS, "chunk {chunk}");
        }
        assert_eq!(bed.counter("passed_no_connection"), 5);
        assert!(bed.connections().is_empty());
    });
}

#[test]
fn fragments_are_forwarded_where_the_checksum_stays() {
    with_bed(|bed| {
        let whole = said(Frame { id: 7, ..Frame::sctp(FROM, HERE, INIT) }, 3000);
        one_server(bed, Forwarding::DirectRouting);
        let expected =
            Frame { to_mac: server_mac(1), from_mac: THERE_MAC, ttl: 63, ..whole.clone() };
        for (sent, expected) in whole.fragments(1480).iter().zip(expected.fragments(1480)) {
            assert_eq!(bed.run(sent), (REDIRECT, expected));
        }
    });
    with_bed(|bed| {
        // How long the whole is, on which the checksum's change depends, only the last one says.
        one_server(bed, Forwarding::Nat);
        let whole = said(Frame { id: 7, ..Frame::sctp(FROM, HERE, INIT) }, 3000);
        assert_eq!(bed.run(&whole.fragments(1480)[0]).0, DROP);
        assert_eq!(bed.counter("dropped_sctp_fragment"), 1);
    });
}
