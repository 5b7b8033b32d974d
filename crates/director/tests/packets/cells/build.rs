//! Packets of both families, built field by field.

use std::net::{IpAddr, SocketAddr};

use model::layer4::Tunnel;

use crate::frame::internet_checksum;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP6: u8 = 58;
const FRAGMENT: u8 = 44;
/// "Do not fragment" in IPv4's word of flags and offset.
pub(crate) const WHOLE: u16 = 0x4000;

/// The IP header of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    pub(crate) class: u8,
    pub(crate) id: u16,
    /// IPv4's word of flags and offset.
    pub(crate) flags: u16,
    /// IPv6: offset in bytes and whether more follow.
    pub(crate) piece: Option<(u16, bool)>,
    /// IPv6's extension headers, with their first one's number; the last names the protocol.
    pub(crate) extensions: Option<(u8, Vec<u8>)>,
}

impl Header {
    pub(crate) fn new(from: IpAddr, to: IpAddr, protocol: u8) -> Header {
        Header {
            from,
            to,
            protocol,
            hops: 64,
            class: 0,
            id: 0x1234,
            flags: WHOLE,
            piece: None,
            extensions: None,
        }
    }

    /// The packet with this behind its header.
    pub(crate) fn before(&self, payload: &[u8]) -> Vec<u8> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut ip = vec![0x45, self.class];
                ip.extend((20 + payload.len() as u16).to_be_bytes());
                ip.extend(self.id.to_be_bytes());
                ip.extend(self.flags.to_be_bytes());
                ip.extend([self.hops, self.protocol, 0, 0]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                let sum = internet_checksum(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                [&ip[..], payload].concat()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let (mut next, mut between) = (self.protocol, Vec::new());
                if let Some((offset, more)) = self.piece {
                    between = vec![next, 0];
                    between.extend((offset | u16::from(more)).to_be_bytes());
                    between.extend(u32::from(self.id).to_be_bytes());
                    next = FRAGMENT;
                }
                if let Some((first, bytes)) = &self.extensions {
                    between = [&bytes[..], &between].concat();
                    next = *first;
                }
                let mut ip = vec![0x60 | (self.class >> 4), self.class << 4, 0, 0];
                ip.extend(((between.len() + payload.len()) as u16).to_be_bytes());
                ip.extend([next, self.hops]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                [&ip[..], &between, payload].concat()
            }
            _ => panic!("addresses of two families"),
        }
    }
}

/// Sum over a pseudo header and what follows it.
pub(crate) fn sum_with_ends(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes.extend(payload);
    internet_checksum(&bytes)
}

/// A TCP segment or UDP datagram with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
    pub(crate) hops: u8,
    pub(crate) class: u8,
    /// Of the datagram.
    pub(crate) id: u16,
    pub(crate) extensions: Option<(u8, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    pub(crate) fn new(protocol: u8, from: SocketAddr, to: SocketAddr, flags: u8) -> Segment {
        let payload = vec![0xab; 37];
        let (hops, class, id, extensions) = (64, 0, 0x1234, None);
        Segment { from, to, protocol, flags, hops, class, id, extensions, payload }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            hops: self.hops,
            class: self.class,
            id: self.id,
            extensions: self.extensions.clone(),
            ..Header::new(self.from.ip(), self.to.ip(), self.protocol)
        }
    }

    /// What is behind the IP header.
    pub(crate) fn upper(&self) -> Vec<u8> {
        let mut upper = Vec::new();
        upper.extend(self.from.port().to_be_bytes());
        upper.extend(self.to.port().to_be_bytes());
        let at = match self.protocol {
            TCP => {
                upper.extend([0, 0, 0, 1, 0, 0, 0, 2, 5 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
                16
            }
            UDP => {
                upper.extend((8 + self.payload.len() as u16).to_be_bytes());
                upper.extend([0, 0]);
                6
            }
            other => panic!("protocol {other}"),
        };
        upper.extend(&self.payload);
        let sum = sum_with_ends(self.from.ip(), self.to.ip(), self.protocol, &upper);
        let sum = if sum == 0 && self.protocol == UDP { 0xffff } else { sum };
        upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        upper
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        self.header().before(&self.upper())
    }

    /// In pieces of so many bytes after the IP header, a multiple of eight.
    pub(crate) fn pieces(&self, room: usize) -> Vec<Vec<u8>> {
        let upper = self.upper();
        let last = upper.len().div_ceil(room) - 1;
        let piece = |(number, bytes): (usize, &[u8])| {
            let (offset, more) = ((number * room) as u16, number < last);
            let flags = (offset / 8) | if more { 0x2000 } else { 0 };
            let header = Header { flags, piece: Some((offset, more)), ..self.header() };
            header.before(bytes)
        };
        upper.chunks(room).enumerate().map(piece).collect()
    }
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    TooBig(u16),
    NoPort,
    NoHopLeft,
}

/// An ICMP error about a packet, from `from` to `to`.
pub(crate) fn error(fault: Fault, header: &Header, quoted: &[u8]) -> Vec<u8> {
    let is_four = header.from.is_ipv4();
    let (kind, code) = match (fault, is_four) {
        (Fault::TooBig(_), true) => (3, 4),
        (Fault::TooBig(_), false) => (2, 0),
        (Fault::NoPort, true) => (3, 3),
        (Fault::NoPort, false) => (1, 4),
        (Fault::NoHopLeft, true) => (11, 0),
        (Fault::NoHopLeft, false) => (3, 0),
    };
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend(match fault {
        Fault::TooBig(mtu) => mtu.to_be_bytes(),
        Fault::NoPort | Fault::NoHopLeft => [0; 2],
    });
    message.extend(quoted);
    let sum = match is_four {
        true => internet_checksum(&message),
        false => sum_with_ends(header.from, header.to, ICMP6, &message),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    header.before(&message)
}

/// The protocol of a family's errors.
pub(crate) fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { ICMP } else { ICMP6 }
}

/// A packet inside a tunnel. GUE's datagrams come from `flow`.
pub(crate) fn packed(tunnel: Tunnel, outer: &Header, inner: &[u8], flow: u16) -> Vec<u8> {
    let (ethertype, protocol) = match inner[0] >> 4 {
        4 => ([8, 0], 4),
        _ => ([0x86, 0xdd], 41),
    };
    let (protocol, shim) = match tunnel {
        Tunnel::IpIp => (protocol, Vec::new()),
        Tunnel::Gre { checksum: false } => (47, [&[0, 0], &ethertype[..]].concat()),
        Tunnel::Gre { checksum: true } => {
            let mut gre = [&[0x80, 0], &ethertype[..], &[0; 4]].concat();
            let sum = internet_checksum(&[&gre[..], inner].concat());
            gre[4..6].copy_from_slice(&sum.to_be_bytes());
            (47, gre)
        }
        Tunnel::Gue { port, checksum } => {
            let length = 12 + inner.len() as u16;
            let mut gue = Vec::new();
            for word in [flow, port, length, 0, u16::from(protocol), 0] {
                gue.extend(word.to_be_bytes());
            }
            if checksum {
                let whole = [&gue[..], inner].concat();
                let sum = sum_with_ends(outer.from, outer.to, UDP, &whole);
                gue[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
            }
            (UDP, gue)
        }
    };
    Header { protocol, ..outer.clone() }.before(&[&shim[..], inner].concat())
}
