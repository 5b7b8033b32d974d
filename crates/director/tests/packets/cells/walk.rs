//! IPv6's extension headers, and what is the kernel's.

use model::layer4::{Forwarding, Protocol};
use model::vrrp::Family;

use super::build::{Fault, Header, ICMP6, Segment, TCP, UDP, error, sum_with_ends};
use super::{Row, goes_to_server, passes, rows};
use crate::bed::{Bed, with_bed};
use crate::frame::{ACK, SYN};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Rows of IPv6 with a bed.
fn with_rows(work: impl Fn(&Bed, &Row) + Sync + Copy) {
    with_bed(|bed| {
        for row in rows(bed, Family::Ipv6) {
            work(bed, &row);
        }
    });
}

/// One extension header of eight bytes times `units`, padded.
fn extension(next: u8, units: u8) -> Vec<u8> {
    let length = usize::from(units) * 8;
    let mut bytes = vec![next, units - 1, 1, length as u8 - 4];
    bytes.resize(length, 0);
    bytes
}

/// A chain of extension headers before a protocol.
fn chain(kinds: &[(u8, u8)], last: u8) -> Option<(u8, Vec<u8>)> {
    let mut next = last;
    let mut bytes = Vec::new();
    for (kind, units) in kinds.iter().rev() {
        bytes = [extension(next, *units), bytes].concat();
        next = *kind;
    }
    Some((next, bytes))
}

#[test]
fn extension_headers_go_along_unchanged_and_what_is_behind_them_is_translated() {
    with_rows(|bed, row| {
        let protocol = row.protocol.number();
        for (port, kinds) in [
            (40001, &[(HOP_BY_HOP, 1)][..]),
            (40002, &[(DESTINATION, 3)]),
            (40003, &[(HOP_BY_HOP, 2), (DESTINATION, 1), (ROUTING, 1)]),
            (40004, &[(HOP_BY_HOP, 1), (DESTINATION, 8), (DESTINATION, 2), (DESTINATION, 1)]),
        ] {
            let mut extensions = chain(kinds, protocol);
            if let Some((_, bytes)) = &mut extensions
                && kinds.iter().any(|(kind, _)| *kind == ROUTING)
            {
                // A routing header that was followed to its end.
                let at = bytes.len() - 8;
                bytes[at + 2..].fill(0);
            }
            for flags in [SYN, ACK] {
                let sent = Segment { extensions: extensions.clone(), ..row.request(port, flags) };
                goes_to_server(bed, row, &sent.packet(), &row.behind(&sent).packet());
            }
        }
    });
}

#[test]
fn chains_that_are_too_long_cut_short_or_not_at_their_end_are_the_kernels() {
    with_rows(|bed, row| {
        let protocol = row.protocol.number();
        let with = |extensions| Segment { extensions, ..row.request(40000, SYN) }.packet();
        passes(bed, row, &with(chain(&[(DESTINATION, 1); 7], protocol)));
        passes(bed, row, &with(chain(&[(AUTHENTICATION, 3)], protocol)));
        // Segments left: its destination is not the last one.
        passes(bed, row, &with(chain(&[(ROUTING, 1)], protocol)));
        let whole = with(chain(&[(HOP_BY_HOP, 1), (DESTINATION, 2)], protocol));
        for length in [40, 44, 47, 50, 60, 63, 64, 70] {
            passes(bed, row, &whole[..length]);
        }
    });
}

#[test]
fn neighbour_discovery_and_echo_are_the_kernels() {
    with_rows(|bed, row| {
        let (from, to) = (row.client(0).ip(), row.service().ip());
        for kind in [128, 129, 130, 131, 133, 134, 135, 136, 137, 143] {
            let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 1];
            message.extend([0x5a; 24]);
            let sum = sum_with_ends(from, to, ICMP6, &message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            passes(bed, row, &Header::new(from, to, ICMP6).before(&message));
        }
    });
}

#[test]
fn errors_that_quote_extension_headers_find_their_connection() {
    with_rows(|bed, row| {
        if row.way.forwarding != Forwarding::Nat {
            return;
        }
        let first = row.request(40000, SYN);
        goes_to_server(bed, row, &first.packet(), &row.behind(&first).packet());
        let extensions = chain(&[(HOP_BY_HOP, 1), (DESTINATION, 2)], row.protocol.number());
        let about = |translated| Segment {
            extensions: extensions.clone(),
            ..row.reply(40000, ACK, translated)
        };
        let header = |to, hops| Header { hops, ..Header::new(row.router(), to, ICMP6) };
        let fault = Fault::TooBig(1300);
        let sent = error(fault, &header(row.service().ip(), 50), &about(true).packet());
        let seen = error(fault, &header(row.server().ip(), 49), &about(false).packet());
        goes_to_server(bed, row, &sent, &seen);
    });
}

#[test]
fn a_udp_checksum_never_becomes_zero() {
    with_rows(|bed, row| {
        if (row.protocol, row.way.forwarding) != (Protocol::Udp, Forwarding::Nat) {
            return;
        }
        // One of these 65536 payloads makes it zero; `goes_to_server` compares with 0xffff.
        let mut zero = 0;
        let one = Segment { payload: vec![0; 2], ..row.request(40000, 0) };
        let base = row.behind(&one).upper();
        let sum = u16::from_be_bytes([base[6], base[7]]);
        for payload in [sum.to_be_bytes(), (!sum).to_be_bytes(), [0, 0], [0xff, 0xff]] {
            let sent = Segment { payload: payload.to_vec(), ..one.clone() };
            let behind = row.behind(&sent);
            zero += u32::from(behind.upper()[6..8] == [0xff, 0xff]);
            goes_to_server(bed, row, &sent.packet(), &behind.packet());
        }
        assert!(zero > 0, "none of them tests it");
    });
}

#[test]
fn the_protocols_are_those_of_the_table() {
    assert_eq!(super::PROTOCOLS.map(Protocol::number), [TCP, UDP]);
}
