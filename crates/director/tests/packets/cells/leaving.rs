//! What the kernel sends in our place, on its way out: the program at the egress run on packets.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::programs::SchedClassifier;
use edge::bpf::test_run;
use model::layer4::Protocol;
use model::vrrp::Family;

use super::build::{Fault, Header, Segment, error, icmp_of};
use super::{FAMILIES, Row, frame, put, rows, verify};
use crate::bed::{Bed, REDIRECT, with_bed};
use crate::drill;
use crate::frame::{ACK, OURS, SYN, THEIRS};

const PROGRAM: &str = "evenkeel_tc";
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel_tc.bpf.o"));
static OBJECT6: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/evenkeel_tc6.bpf.o"));

/// The packet as it leaves.
fn leaves(object: &Ebpf, packet: &[u8]) -> Vec<u8> {
    let program = object.program(PROGRAM).unwrap().fd().unwrap().as_fd();
    let run = test_run(program, &frame(THEIRS, OURS, packet), 1).unwrap();
    assert_eq!(run.packet[..12], frame(THEIRS, OURS, packet)[..12]);
    run.packet[14..].to_vec()
}

/// Rows of NAT with an open connection each, and the program of their family.
fn with_rows(work: impl Fn(&Bed, &Ebpf, &Row) + Sync + Copy) {
    for family in FAMILIES {
        with_bed(|bed| {
            let rows = rows(bed, family);
            let object = match family {
                Family::Ipv4 => OBJECT,
                Family::Ipv6 => OBJECT6,
            };
            let mut object = drill::load(&bed.pins, family, object, None);
            let program: &mut SchedClassifier =
                object.program_mut(PROGRAM).unwrap().try_into().unwrap();
            program.load().unwrap();
            for row in rows.iter().filter(|row| row.is_nat()) {
                assert_eq!(put(bed, &row.request(40000, SYN).packet()).0, REDIRECT, "{row:?}");
                work(bed, &object, row);
            }
        });
    }
}

#[test]
fn answers_get_the_virtual_address() {
    with_rows(|bed, object, row| {
        for (length, flags) in (0..60).zip([SYN | ACK, ACK].into_iter().cycle()) {
            let payload: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(41) ^ length).collect();
            let sent = Segment { payload, ..row.reply(40000, flags, false) };
            let seen = Segment { from: row.service(), ..sent.clone() };
            let out = leaves(object, &sent.packet());
            assert_eq!(out, seen.packet(), "{row:?}");
            verify::verify(&out);
        }
        if row.protocol == Protocol::Tcp {
            // The client's ACK completes what the answer began.
            assert_eq!(put(bed, &row.request(40000, ACK).packet()).0, REDIRECT);
            assert!(bed.connections().iter().any(|conn| conn.state == "ESTABLISHED"));
        }
        let stranger = row.reply(40001, ACK, false);
        assert_eq!(leaves(object, &stranger.packet()), stranger.packet());
    });
}

#[test]
fn fragments_of_answers_get_it_too() {
    with_rows(|_, object, row| {
        let payload = (0..3000u16).map(|n| n as u8).collect();
        let sent = Segment { id: row.port, payload, ..row.reply(40000, ACK, false) };
        let seen = Segment { from: row.service(), ..sent.clone() };
        for (piece, expected) in sent.pieces(800).iter().zip(&seen.pieces(800)) {
            assert_eq!(&leaves(object, piece), expected, "{row:?}");
        }
    });
}

#[test]
fn errors_about_requests_name_the_virtual_address() {
    with_rows(|_, object, row| {
        for fault in [Fault::TooBig(1300), Fault::NoPort, Fault::NoHopLeft] {
            let about = row.behind(&row.request(40000, ACK));
            let to = row.client(0).ip();
            let header = |from| Header::new(from, to, icmp_of(to));
            let sent = error(fault, &header(row.router()), &about.packet());
            let quoted = Segment { to: row.service(), ..about }.packet();
            let seen = error(fault, &header(row.service().ip()), &quoted);
            let out = leaves(object, &sent);
            assert_eq!(out, seen, "{row:?}");
            verify::verify(&out);
        }
    });
}
