//! ICMP errors to put in, and an independent reading of what comes out.

use std::net::Ipv4Addr;

use crate::frame::{Frame, OURS, THEIRS, internet_checksum};

pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const SOURCE_QUENCH: u8 = 4;
pub(crate) const REDIRECT: u8 = 5;
pub(crate) const ECHO: u8 = 8;
pub(crate) const TIME_EXCEEDED: u8 = 11;
pub(crate) const PARAMETER_PROBLEM: u8 = 12;

/// What an ICMP message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) to_mac: [u8; 6],
    pub(crate) from_mac: [u8; 6],
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    /// Flags and offset of the IP header.
    pub(crate) fragment: u16,
    /// Of the IP header, whole words.
    pub(crate) options: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// The four bytes after the checksum: the MTU, a pointer.
    pub(crate) rest: [u8; 4],
    /// From the quoted IP header on.
    pub(crate) quoted: Vec<u8>,
}

/// The IP packet in a frame.
pub(crate) fn packet_of(frame: &Frame) -> Vec<u8> {
    frame.bytes()[14..].to_vec()
}

impl IcmpError {
    /// "Fragmentation needed", MTU 1400, about a packet, to its sender.
    pub(crate) fn about(frame: &Frame, from: Ipv4Addr) -> IcmpError {
        IcmpError {
            to_mac: OURS,
            from_mac: THEIRS,
            from,
            to: frame.from.0,
            ttl: 60,
            id: 0x4321,
            fragment: 0,
            options: Vec::new(),
            kind: UNREACHABLE,
            code: 4,
            rest: [0, 0, 0x05, 0x78],
            quoted: packet_of(frame),
        }
    }

    /// Of the quoted packet only the first bytes.
    pub(crate) fn cut(mut self, length: usize) -> IcmpError {
        self.quoted.truncate(length);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut icmp = vec![self.kind, self.code, 0, 0];
        icmp.extend(self.rest);
        icmp.extend(&self.quoted);
        let sum = internet_checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let header = 20 + self.options.len();
        let mut ip = vec![0x40 + (header / 4) as u8, 0xc0];
        ip.extend(((header + icmp.len()) as u16).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, 1, 0, 0]);
        ip.extend(self.from.octets());
        ip.extend(self.to.octets());
        ip.extend(&self.options);
        let sum = internet_checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        [&self.to_mac[..], &self.from_mac, &[8, 0], &ip, &icmp].concat()
    }
}
