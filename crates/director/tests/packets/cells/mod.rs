//! Every way of forwarding, with every protocol, in both families: what goes in and what comes out,
//! byte by byte. What is expected is built anew from its fields, as its sender would have built it,
//! and what comes out is also held against `etherparse`.

mod build;
mod choice;
mod leaving;
mod stages;
mod verify;
mod walk;

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use director::xdp::{TEST_SOURCE, TEST_SOURCE6};
use director::{Destination, Engine, ServiceSettings, TableChange};
use model::layer4::{Endpoint, Forwarding, Protocol, ServiceKey, Tunnel};
use model::vrrp::Family;

use self::build::{Header, Segment, packed};
use crate::bed::{Bed, CLIENT_MAC, THERE, THERE_MAC, WAY_MAC, server_mac};
use crate::frame::{OURS, THEIRS};

/// What packets speak, with the numbers of their ports.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
const TUNNELS: [Tunnel; 5] = [
    Tunnel::IpIp,
    Tunnel::Gre { checksum: false },
    Tunnel::Gre { checksum: true },
    Tunnel::Gue { port: 6080, checksum: false },
    Tunnel::Gue { port: 6080, checksum: true },
];

/// How packets reach the server, and of which family its address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) forwarding: Forwarding,
    pub(crate) server: Family,
}

/// All ways for services of a family.
fn ways(family: Family) -> Vec<Way> {
    let plain = [Forwarding::Nat, Forwarding::DirectRouting]
        .map(|forwarding| Way { forwarding, server: family });
    let packed = FAMILIES.into_iter().flat_map(|server| {
        TUNNELS.map(|tunnel| Way { forwarding: Forwarding::Tunnel(tunnel), server })
    });
    plain.into_iter().chain(packed).collect()
}

/// One row of the table: a service with one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
    pub(crate) way: Way,
    /// Of the service; tells the rows of a bed apart.
    pub(crate) port: u16,
}

fn address(family: Family, four: &str, six: &str) -> IpAddr {
    match family {
        Family::Ipv4 => four.parse().unwrap(),
        Family::Ipv6 => six.parse().unwrap(),
    }
}

impl Row {
    pub(crate) fn client(&self, port: u16) -> SocketAddr {
        SocketAddr::new(address(self.family, "198.51.100.7", "2001:db8:51::7"), port)
    }

    /// The virtual address.
    pub(crate) fn service(&self) -> SocketAddr {
        SocketAddr::new(address(self.family, "192.0.2.1", "2001:db8:2::1"), self.port)
    }

    pub(crate) fn server(&self) -> SocketAddr {
        let port = if self.is_nat() { self.port + 8000 } else { self.port };
        SocketAddr::new(address(self.way.server, "10.0.0.1", "2001:db8:1::1"), port)
    }

    /// Somebody on the way.
    pub(crate) fn router(&self) -> IpAddr {
        address(self.family, "203.0.113.9", "2001:db8:99::9")
    }

    pub(crate) fn is_nat(&self) -> bool {
        self.way.forwarding == Forwarding::Nat
    }

    pub(crate) fn key(&self) -> ServiceKey {
        let (address, port) = (self.service().ip(), self.port);
        ServiceKey::Address { address, port, protocol: self.protocol }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.server().ip(), port: self.server().port() }
    }

    /// What a client sends from this port.
    pub(crate) fn request(&self, port: u16, flags: u8) -> Segment {
        Segment::new(self.protocol.number(), self.client(port), self.service(), flags)
    }

    /// What the server sends back, translated or not.
    pub(crate) fn reply(&self, port: u16, flags: u8, translated: bool) -> Segment {
        let from = if translated { self.service() } else { self.server() };
        Segment::new(self.protocol.number(), from, self.client(port), flags)
    }

    /// How a client's segment looks behind us.
    pub(crate) fn behind(&self, sent: &Segment) -> Segment {
        let to = if self.is_nat() { self.server() } else { sent.to };
        Segment { to, hops: sent.hops - 1, ..sent.clone() }
    }

    /// Where tunnels to the server begin.
    pub(crate) fn tunnel_begins(&self) -> IpAddr {
        match self.way.server {
            Family::Ipv4 => IpAddr::V4(TEST_SOURCE),
            Family::Ipv6 => IpAddr::V6(TEST_SOURCE6),
        }
    }

    fn outer(&self, inner: &[u8]) -> Header {
        let header = Header::new(self.tunnel_begins(), self.server().ip(), 0);
        match self.family {
            Family::Ipv4 => {
                let flags = u16::from_be_bytes([inner[6], inner[7]]) & build::WHOLE;
                Header { class: inner[1], hops: inner[8], flags, id: 0, ..header }
            }
            Family::Ipv6 => {
                let class = inner[0] << 4 | inner[1] >> 4;
                Header { class, hops: inner[7], flags: 0, id: 0, ..header }
            }
        }
    }

    /// The packet that reaches the server's machine when this one is to reach the server. What
    /// nobody can foresee is as in `out`: the number of a datagram that may be split, and GUE's
    /// source port.
    pub(crate) fn carried(&self, packet: &[u8], out: &[u8]) -> Vec<u8> {
        let Forwarding::Tunnel(tunnel) = self.way.forwarding else { return packet.to_vec() };
        let mut outer = self.outer(packet);
        let length = if self.way.server == Family::Ipv4 { 20 } else { 40 };
        let word = |at: usize| u16::from_be_bytes([out[at], out[at + 1]]);
        if self.way.server == Family::Ipv4 && outer.flags == 0 {
            outer.id = word(4);
        }
        let flow = match tunnel {
            Tunnel::Gue { .. } => {
                assert!((32768..61000).contains(&word(length)), "GUE's source port");
                word(length)
            }
            Tunnel::IpIp | Tunnel::Gre { .. } => 0,
        };
        packed(tunnel, &outer, packet, flow)
    }

    /// Bytes that the tunnel takes.
    pub(crate) fn overhead(&self) -> u16 {
        let header = if self.way.server == Family::Ipv4 { 20 } else { 40 };
        match self.way.forwarding {
            Forwarding::Nat | Forwarding::DirectRouting => 0,
            Forwarding::Tunnel(Tunnel::IpIp) => header,
            Forwarding::Tunnel(Tunnel::Gre { checksum: false }) => header + 4,
            Forwarding::Tunnel(Tunnel::Gre { checksum: true }) => header + 8,
            Forwarding::Tunnel(Tunnel::Gue { .. }) => header + 12,
        }
    }
}

/// A frame with a packet of either family.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&to[..], &from, &ethertype, packet].concat()
}

/// Puts a packet in, addressed to us. Returns what is done with it, and the frame.
pub(crate) fn put(bed: &Bed, packet: &[u8]) -> (u32, Vec<u8>) {
    bed.run(&frame(OURS, THEIRS, packet))
}

/// A packet goes to the server as `expected`.
pub(crate) fn goes_to_server(bed: &Bed, row: &Row, packet: &[u8], expected: &[u8]) {
    let (action, out) = put(bed, packet);
    assert_eq!(action, crate::bed::REDIRECT, "{row:?}: {:?}", bed.engine.data_plane());
    let expected = row.carried(expected, &out[14..]);
    assert_eq!(hex(&out), hex(&frame(server_mac(1), THERE_MAC, &expected)), "{row:?}");
    verify::verify(&out[14..]);
}

/// A packet goes to the client as `expected`.
pub(crate) fn goes_to_client(bed: &Bed, row: &Row, packet: &[u8], expected: &[u8]) {
    let (action, out) = put(bed, packet);
    assert_eq!(action, crate::bed::REDIRECT, "{row:?}: {:?}", bed.engine.data_plane());
    assert_eq!(hex(&out), hex(&frame(CLIENT_MAC, WAY_MAC, expected)), "{row:?}");
    verify::verify(&out[14..]);
}

/// A packet is left to the kernel as it is.
pub(crate) fn passes(bed: &Bed, row: &Row, packet: &[u8]) {
    let (action, out) = put(bed, packet);
    assert_eq!(action, crate::bed::PASS, "{row:?}: {} {:?}", hex(&out), bed.engine.data_plane());
    assert_eq!(hex(&out), hex(&frame(OURS, THEIRS, packet)), "{row:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of a family, one service each, in a bed that knows the way to the client.
fn rows(bed: &mut Bed, family: Family) -> Vec<Row> {
    give_routes(bed);
    let mut rows = Vec::new();
    for (number, way) in ways(family).into_iter().enumerate() {
        for protocol in PROTOCOLS {
            let row = Row { family, protocol, way, port: 1000 + number as u16 };
            let destination = Destination::new(row.endpoint(), 1, way.forwarding);
            let settings = ServiceSettings::default();
            bed.engine
                .apply(&[
                    TableChange::AddService(row.key(), settings),
                    TableChange::AddDestination(row.key(), destination),
                ])
                .unwrap();
            bed.engine
                .test_next_hop(row.key(), row.endpoint(), THERE, server_mac(1), THERE_MAC)
                .unwrap();
            rows.push(row);
        }
    }
    rows
}

/// The kernel knows the way to the client, in both families.
fn give_routes(bed: &Bed) {
    bed.give_the_client_a_route();
    let mac = CLIENT_MAC.map(|byte| format!("{byte:02x}")).join(":");
    for arguments in [
        "-6 addr add 2001:db8:51::1/64 dev way nodad".to_owned(),
        format!("-6 neigh add 2001:db8:51::7 lladdr {mac} dev way nud permanent"),
    ] {
        let done = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(done.status.success(), "ip {arguments}: {done:?}");
    }
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
}
