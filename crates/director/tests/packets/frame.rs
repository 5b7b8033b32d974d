//! Frames to put in, and an independent reading of what comes out: every checksum is computed
//! anew over the whole packet.

use std::net::Ipv4Addr;

/// MAC address of the director's interface.
pub(crate) const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// MAC address of whoever sends the frames.
pub(crate) const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;

/// Chunks of SCTP.
pub(crate) const INIT: u8 = 1;
pub(crate) const SACK: u8 = 3;

/// An address and a port.
pub(crate) type Side = (Ipv4Addr, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Right,
    /// Valid in UDP only.
    None,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) to_mac: [u8; 6],
    pub(crate) from_mac: [u8; 6],
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) protocol: u8,
    /// TCP's flags, or the type of SCTP's chunk.
    pub(crate) flags: u8,
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    /// Flags and offset: 0x4000 is "do not fragment".
    pub(crate) fragment: u16,
    /// Of the IP header, whole words.
    pub(crate) options: Vec<u8>,
    pub(crate) checksum: Checksum,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn tcp(from: Side, to: Side, flags: u8) -> Frame {
        Frame {
            to_mac: OURS,
            from_mac: THEIRS,
            from,
            to,
            protocol: TCP,
            flags,
            ttl: 64,
            id: 0x1234,
            fragment: 0,
            options: Vec::new(),
            checksum: Checksum::Right,
            payload: vec![0xab; 7],
        }
    }

    pub(crate) fn udp(from: Side, to: Side) -> Frame {
        Frame { protocol: UDP, ..Frame::tcp(from, to, 0) }
    }

    /// With one chunk.
    pub(crate) fn sctp(from: Side, to: Side, chunk: u8) -> Frame {
        Frame { protocol: SCTP, ..Frame::tcp(from, to, chunk) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut upper = Vec::new();
        upper.extend(self.from.1.to_be_bytes());
        upper.extend(self.to.1.to_be_bytes());
        let at = if self.protocol == TCP {
            upper.extend([0, 0, 0, 1, 0, 0, 0, 2, 5 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
            16
        } else if self.protocol == SCTP {
            upper.extend([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0, self.flags, 0]);
            upper.extend((4 + self.payload.len() as u16).to_be_bytes());
            8
        } else {
            upper.extend((8 + self.payload.len() as u16).to_be_bytes());
            upper.extend([0, 0]);
            6
        };
        upper.extend(&self.payload);
        if self.protocol == SCTP {
            let sum = crc32c(&upper);
            upper[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        } else if self.checksum == Checksum::Right {
            let sum = upper_checksum(self.from.0, self.to.0, self.protocol, &upper);
            let sum = if sum == 0 && self.protocol == UDP { 0xffff } else { sum };
            upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let header = 20 + self.options.len();
        let mut ip = vec![0x40 + (header / 4) as u8, 0];
        ip.extend(((header + upper.len()) as u16).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, self.protocol, 0, 0]);
        ip.extend(self.from.0.octets());
        ip.extend(self.to.0.octets());
        ip.extend(&self.options);
        let sum = internet_checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = Vec::new();
        frame.extend(self.to_mac);
        frame.extend(self.from_mac);
        frame.extend([8, 0]);
        frame.extend(ip);
        frame.extend(upper);
        frame
    }

    /// The frames of a network whose packets take `room` bytes after the IP header, a multiple of
    /// eight.
    pub(crate) fn fragments(&self, room: usize) -> Vec<Vec<u8>> {
        let whole = self.bytes();
        let header = 20 + self.options.len();
        let (head, rest) = whole.split_at(14 + header);
        let pieces = rest.chunks(room).enumerate();
        let last = rest.len().div_ceil(room) - 1;
        pieces
            .map(|(number, piece)| {
                let mut head = head.to_vec();
                let more = if number < last { 0x2000 } else { 0 };
                let place = more | (number * room / 8) as u16;
                let length = (header + piece.len()) as u16;
                head[16..18].copy_from_slice(&length.to_be_bytes());
                head[20..22].copy_from_slice(&place.to_be_bytes());
                head[24..26].copy_from_slice(&[0; 2]);
                let sum = internet_checksum(&head[14..]);
                head[24..26].copy_from_slice(&sum.to_be_bytes());
                [&head[..], piece].concat()
            })
            .collect()
    }

    /// Reads a frame back. Panics on any checksum that is wrong.
    pub(crate) fn read(bytes: &[u8]) -> Frame {
        let header = usize::from(bytes[14] & 15) * 4;
        let (ip, upper) = bytes[14..].split_at(header);
        assert_eq!(internet_checksum(ip), 0, "IP checksum");
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let word = |at: usize| u16::from_be_bytes([upper[at], upper[at + 1]]);
        let (from, to, protocol) = (address(12), address(16), ip[9]);
        let head = match protocol {
            TCP => 20,
            SCTP => 16,
            _ => 8,
        };
        let checksum = match protocol == UDP && word(6) == 0 {
            true => Checksum::None,
            false => Checksum::Right,
        };
        if protocol == SCTP {
            let mut covered = upper.to_vec();
            covered[8..12].fill(0);
            assert_eq!(upper[8..12], crc32c(&covered).to_le_bytes(), "SCTP checksum");
        } else if checksum == Checksum::Right {
            assert_eq!(upper_checksum(from, to, protocol, upper), 0, "TCP or UDP checksum");
        }
        Frame {
            to_mac: bytes[..6].try_into().unwrap(),
            from_mac: bytes[6..12].try_into().unwrap(),
            from: (from, word(0)),
            to: (to, word(2)),
            protocol,
            flags: match protocol {
                TCP => upper[13],
                SCTP => upper[12],
                _ => 0,
            },
            ttl: ip[8],
            id: u16::from_be_bytes([ip[4], ip[5]]),
            fragment: u16::from_be_bytes([ip[6], ip[7]]),
            options: ip[20..].to_vec(),
            checksum,
            payload: upper[head..].to_vec(),
        }
    }
}

/// SCTP's checksum (RFC 9260, appendix A), bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

pub(crate) fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub(crate) fn upper_checksum(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, upper: &[u8]) -> u16 {
    let mut all = Vec::new();
    all.extend(from.octets());
    all.extend(to.octets());
    all.extend([0, protocol]);
    all.extend((upper.len() as u16).to_be_bytes());
    all.extend(upper);
    internet_checksum(&all)
}
