//! The packet that is asked about, as it would be on the wire.

use std::net::{IpAddr, SocketAddr};

use edge::netlink::neighbour::Mac;
use model::layer4::Protocol;

/// A packet somebody asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it goes to: of the same family.
    pub to: SocketAddr,
    /// What it carries.
    pub protocol: Protocol,
    /// Of TCP: its flags, as they stand in the header (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32).
    pub flags: u8,
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// Its hops, as most systems begin.
const HOPS: u8 = 64;
/// A chunk's type (RFC 9260, section 3.2).
const SCTP_INIT: u8 = 1;

/// The Internet checksum (RFC 1071) of what is added up here.
#[derive(Default)]
struct Sum(u32);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or_default();
            self.0 += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }

    fn finish(mut self) -> u16 {
        while self.0 > 0xffff {
            self.0 = (self.0 & 0xffff) + (self.0 >> 16);
        }
        !(self.0 as u16)
    }
}

/// The packet in an Ethernet frame to this machine's interface.
pub(super) fn frame(question: &Question, to: Mac) -> Vec<u8> {
    let upper = upper(question);
    let mut frame = Vec::with_capacity(ETHERNET + IPV6 + upper.len());
    frame.extend(to);
    // From nobody in particular: a locally administered address.
    frame.extend([2, 0, 0, 0, 0, 1]);
    match (question.from.ip(), question.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([8, 0]);
            let length = (IPV4 + upper.len()) as u16;
            let mut header = vec![0x45, 0];
            header.extend(length.to_be_bytes());
            header.extend([0, 0, 0x40, 0, HOPS, question.protocol.number(), 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let mut sum = Sum::default();
            sum.add(&header);
            header[10..12].copy_from_slice(&sum.finish().to_be_bytes());
            frame.extend(header);
        }
        (from, to) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((upper.len() as u16).to_be_bytes());
            frame.extend([question.protocol.number(), HOPS]);
            frame.extend(octets(from));
            frame.extend(octets(to));
        }
    }
    frame.extend(upper);
    frame
}

/// As IPv6 has it.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What is behind the IP header: no payload, but for SCTP an INIT chunk.
fn upper(question: &Question) -> Vec<u8> {
    let mut upper = Vec::new();
    upper.extend(question.from.port().to_be_bytes());
    upper.extend(question.to.port().to_be_bytes());
    let at = match question.protocol {
        Protocol::Tcp => {
            upper.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, question.flags, 0xff, 0xff, 0, 0, 0, 0]);
            16
        }
        Protocol::Udp => {
            upper.extend([0, 8, 0, 0]);
            6
        }
        Protocol::Sctp => {
            // Tag and checksum, which nobody looks at here, and the chunk.
            upper.extend([0; 8]);
            upper.extend([SCTP_INIT, 0, 0, 20]);
            upper.extend([0; 16]);
            return upper;
        }
    };
    let mut sum = Sum::default();
    for address in [question.from.ip(), question.to.ip()] {
        match address {
            IpAddr::V4(address) => sum.add(&address.octets()),
            IpAddr::V6(address) => sum.add(&address.octets()),
        }
    }
    sum.add(&[0, question.protocol.number()]);
    sum.add(&(upper.len() as u16).to_be_bytes());
    sum.add(&upper);
    let sum = match sum.finish() {
        0 if question.protocol == Protocol::Udp => 0xffff,
        sum => sum,
    };
    upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    upper
}
