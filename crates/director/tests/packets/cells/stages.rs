//! The stages of a connection, one test for each, over all rows of both families.

use model::layer4::{Forwarding, Protocol};
use model::vrrp::Family;

use super::build::{Fault, Header, Segment, WHOLE, error, icmp_of};
use super::{FAMILIES, Row, goes_to_client, goes_to_server, passes, put, rows};
use crate::bed::{Bed, DROP, with_bed};
use crate::frame::{ACK, FIN, RST, SYN};

/// Runs a stage over the table.
fn with_rows(stage: impl Fn(&mut Bed, &Row) + Sync + Copy) {
    for family in FAMILIES {
        with_bed(|bed| {
            for row in rows(bed, family) {
                stage(bed, &row);
            }
        });
    }
}

/// A client's first packet from this port reaches the server.
fn open(bed: &Bed, row: &Row, port: u16) {
    let sent = row.request(port, SYN);
    goes_to_server(bed, row, &sent.packet(), &row.behind(&sent).packet());
}

/// The server answers, where that goes through us, and the client goes on.
fn establish(bed: &Bed, row: &Row, port: u16) {
    open(bed, row, port);
    if row.is_nat() {
        let (sent, seen) = (row.reply(port, SYN | ACK, false), row.reply(port, SYN | ACK, true));
        goes_to_client(bed, row, &sent.packet(), &Segment { hops: 63, ..seen }.packet());
    }
    let sent = row.request(port, ACK);
    goes_to_server(bed, row, &sent.packet(), &row.behind(&sent).packet());
}

fn of_tcp(row: &Row, state: &'static str) -> &'static str {
    match row.protocol {
        Protocol::Tcp => state,
        Protocol::Udp => "UDP",
        Protocol::Sctp => unreachable!("no row of it"),
    }
}

#[test]
fn a_new_connection_reaches_its_server() {
    with_rows(|bed, row| {
        open(bed, row, 40000);
        let all = bed.connections();
        let found = all.iter().find(|conn| conn.service == row.key()).unwrap();
        assert_eq!((&*found.state, found.client.port), (of_tcp(row, "SYN_RECV"), 40000));
        assert_eq!(found.client.address, row.client(0).ip());
        assert_eq!(found.server, row.endpoint());
        let (active, inactive, _) = bed.load(row.key(), row.endpoint());
        assert_eq!(active + inactive, 1, "{row:?}");
    });
}

#[test]
fn an_established_connection_stays_with_its_server_whatever_its_payload() {
    with_rows(|bed, row| {
        establish(bed, row, 40000);
        let all = bed.connections();
        let found = all.iter().find(|conn| conn.service == row.key()).unwrap();
        assert_eq!(found.state, of_tcp(row, "ESTABLISHED"), "{row:?}");
        for length in 0..70u16 {
            let payload = (0..length).map(|n| (n * 37 + length) as u8).collect();
            let sent = Segment { payload, class: length as u8, ..row.request(40000, ACK) };
            goes_to_server(bed, row, &sent.packet(), &row.behind(&sent).packet());
        }
    });
}

#[test]
fn replies_come_from_the_virtual_address_with_nat_and_are_the_kernels_otherwise() {
    with_rows(|bed, row| {
        establish(bed, row, 40000);
        let sent = row.reply(40000, ACK, false);
        // Another family's would not be the client's.
        if row.way.server != row.family {
            return;
        }
        match row.is_nat() {
            true => {
                let seen = Segment { hops: 63, ..row.reply(40000, ACK, true) };
                goes_to_client(bed, row, &sent.packet(), &seen.packet());
            }
            false => passes(bed, row, &sent.packet()),
        }
    });
}

#[test]
fn fin_and_rst_reach_the_server_and_end_the_connection() {
    with_rows(|bed, row| {
        if row.protocol != Protocol::Tcp {
            return;
        }
        let one_sided = !row.is_nat();
        for (port, flags, state) in [
            (40000, FIN | ACK, if one_sided { "FIN_WAIT" } else { "CLOSE_WAIT" }),
            (40001, RST, "CLOSE"),
        ] {
            establish(bed, row, port);
            let sent = row.request(port, flags);
            goes_to_server(bed, row, &sent.packet(), &row.behind(&sent).packet());
            let all = bed.connections();
            let of_row = |conn: &&model::status::ConnectionStatus| {
                conn.service == row.key() && conn.client.port == port
            };
            assert_eq!(all.iter().find(of_row).unwrap().state, state, "{row:?}");
        }
    });
}

/// A router's message to whoever sent what it quotes.
fn message(row: &Row, fault: Fault, quoted: &Segment, cut: usize) -> Vec<u8> {
    let to = quoted.from.ip();
    let header = Header { hops: 50, ..Header::new(row.router(), to, icmp_of(to)) };
    let mut quoted = quoted.packet();
    quoted.truncate(cut);
    error(fault, &header, &quoted)
}

const FAULTS: [Fault; 3] = [Fault::TooBig(1300), Fault::NoPort, Fault::NoHopLeft];

#[test]
fn errors_about_answers_reach_the_server() {
    with_rows(|bed, row| {
        establish(bed, row, 40000);
        for fault in FAULTS {
            // The whole packet, the ports with TCP's checksum, and the ports alone.
            let header = if row.family == Family::Ipv4 { 20 } else { 40 };
            for cut in [usize::MAX, header + 20, header + 8] {
                let sent = message(row, fault, &row.reply(40000, ACK, true), cut);
                // The server is asked about what it sent itself.
                let about = row.reply(40000, ACK, !row.is_nat());
                let to = about.from.ip();
                let behind = Header { hops: 49, ..Header::new(row.router(), to, icmp_of(to)) };
                let mut quoted = about.packet();
                quoted.truncate(cut);
                goes_to_server(bed, row, &sent, &error(fault, &behind, &quoted));
            }
        }
    });
}

#[test]
fn errors_about_requests_reach_the_client_from_the_virtual_address() {
    with_rows(|bed, row| {
        if !row.is_nat() {
            return;
        }
        establish(bed, row, 40000);
        for fault in FAULTS {
            let about = Segment { hops: 60, ..row.behind(&row.request(40000, ACK)) };
            let sent = message(row, fault, &about, usize::MAX);
            let to = row.client(0).ip();
            let header = Header { hops: 49, ..Header::new(row.service().ip(), to, icmp_of(to)) };
            let quoted = Segment { to: row.service(), ..about }.packet();
            goes_to_client(bed, row, &sent, &error(fault, &header, &quoted));
        }
    });
}

#[test]
fn fragments_follow_the_first_one_in_both_directions() {
    with_rows(|bed, row| {
        establish(bed, row, 40000);
        let payload: Vec<u8> = (0..3000u16).map(|n| n as u8).collect();
        let sent = Segment { id: row.port, payload: payload.clone(), ..row.request(40000, ACK) };
        let behind = row.behind(&sent);
        let later = &sent.pieces(800)[1];
        let expected = behind.pieces(800);
        // Who overtakes the first one passes: the kernel has the only place for it.
        passes(bed, row, later);
        for (piece, expected) in sent.pieces(800).iter().zip(&expected) {
            goes_to_server(bed, row, piece, expected);
        }
        if row.is_nat() {
            let answer = Segment { id: row.port, payload, ..row.reply(40000, ACK, false) };
            let seen = Segment { from: row.service(), hops: 63, ..answer.clone() };
            for (piece, expected) in answer.pieces(800).iter().zip(&seen.pieces(800)) {
                goes_to_client(bed, row, piece, expected);
            }
        }
    });
}

/// The answer of the virtual address to the client about a packet.
fn answer(row: &Row, fault: Fault, sent: &Segment) -> Vec<u8> {
    let to = row.client(0).ip();
    let (class, most) = match row.family {
        Family::Ipv4 => (0xc0 | (sent.class & 0x1e), 512),
        Family::Ipv6 => (sent.class, 1232),
    };
    let header = Header::new(row.service().ip(), to, icmp_of(to));
    let header = Header { class, flags: WHOLE, id: 0, ..header };
    let mut quoted = sent.packet();
    quoted.truncate(most.min(quoted.len()) / 4 * 4);
    error(fault, &header, &quoted)
}

#[test]
fn what_does_not_fit_is_answered_with_what_does() {
    with_rows(|bed, row| {
        bed.engine.test_mtu(row.key(), row.endpoint(), 1400).unwrap();
        open(bed, row, 40000);
        let fits = 1400 - row.overhead();
        let of = |bytes: u16| {
            let empty = Segment { payload: Vec::new(), ..row.request(40000, ACK) };
            let payload = vec![7; usize::from(bytes) - empty.packet().len()];
            Segment { payload, class: 8, ..empty }
        };
        goes_to_server(bed, row, &of(fits).packet(), &row.behind(&of(fits)).packet());
        let sent = of(fits + 1);
        goes_to_client(bed, row, &sent.packet(), &answer(row, Fault::TooBig(fits), &sent));
    });
}

#[test]
fn who_has_no_hop_left_is_told_and_multicast_is_not() {
    with_rows(|bed, row| {
        open(bed, row, 40000);
        let sent = Segment { hops: 1, ..row.request(40000, ACK) };
        goes_to_client(bed, row, &sent.packet(), &answer(row, Fault::NoHopLeft, &sent));
        let nobody = match row.family {
            Family::Ipv4 => "239.1.2.3",
            Family::Ipv6 => "ff0e::1",
        };
        let from = std::net::SocketAddr::new(nobody.parse().unwrap(), 40000);
        let sent = Segment { from, hops: 1, ..row.request(40000, SYN) };
        assert_eq!(put(bed, &sent.packet()).0, DROP, "{row:?}");
    });
}

#[test]
fn what_routers_say_about_a_tunnel_its_client_is_told() {
    with_rows(|bed, row| {
        let Forwarding::Tunnel(_) = row.way.forwarding else { return };
        if row.way.server != row.family {
            return;
        }
        let sent = Segment { payload: vec![5; 900], ..row.request(40000, SYN) };
        let out = put(bed, &sent.packet()).1;
        let behind = row.behind(&sent);
        let outer = row.carried(&behind.packet(), &out[14..]);
        let to = row.tunnel_begins();
        for (fault, told) in [
            (Fault::TooBig(1350), Fault::TooBig(1350 - row.overhead())),
            (Fault::NoPort, Fault::NoPort),
            (Fault::NoHopLeft, Fault::NoHopLeft),
        ] {
            let header = Header::new(row.router(), to, icmp_of(to));
            let said = error(fault, &header, &outer);
            goes_to_client(bed, row, &said, &answer(row, told, &behind));
        }
    });
}
