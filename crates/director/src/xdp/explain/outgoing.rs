//! A packet that goes on, in words: a line for each header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Question;
use super::frame::frame;

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV6_IN: u8 = 41;
const GRE: u8 = 47;
const SCTP: u8 = 132;
/// Bytes of UDP's header and that of GUE.
const GUE: usize = 12;

/// What of the packet the kernel gets is other than what came; nothing if nothing is.
pub(super) fn changed(question: &Question, packet: &[u8]) -> Vec<String> {
    let to = packet.get(..6).and_then(|mac| mac.try_into().ok()).unwrap_or_default();
    if packet == frame(question, to) { Vec::new() } else { lines(packet) }
}

/// The headers of a frame.
pub(super) fn lines(frame: &[u8]) -> Vec<String> {
    let (Some(to), Some(kind)) = (frame.get(..6), frame.get(12..14)) else { return Vec::new() };
    let to: Vec<String> = to.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut lines = vec![format!("to {}", to.join(":"))];
    let mut at = ETHERNET;
    let mut kind = Some(u16::from_be_bytes([kind[0], kind[1]]));
    while let Some(next) = kind.take() {
        let Some(header) = Header::read(next, &frame[at.min(frame.len())..]) else { break };
        at += header.length;
        let rest = frame.get(at..).unwrap_or_default();
        lines.push(header.line(rest));
        (kind, at) = inside(header.protocol, rest, at);
    }
    lines
}

/// What a tunnel's packet has inside it, and where that begins.
fn inside(protocol: u8, rest: &[u8], at: usize) -> (Option<u16>, usize) {
    match protocol {
        IPIP => (Some(IPV4), at),
        IPV6_IN => (Some(IPV6), at),
        GRE => {
            let with_checksum = rest.first().is_some_and(|flags| flags & 0x80 != 0);
            let kind = rest.get(2..4).map(|kind| u16::from_be_bytes([kind[0], kind[1]]));
            (kind, at + if with_checksum { 8 } else { 4 })
        }
        UDP => match rest.get(8..GUE) {
            // Version 0 with one of IP inside: nothing else that is explained has a payload.
            Some([0, IPIP, 0, 0]) => (Some(IPV4), at + GUE),
            Some([0, IPV6_IN, 0, 0]) => (Some(IPV6), at + GUE),
            _ => (None, at),
        },
        _ => (None, at),
    }
}

struct Header {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    hops: u8,
    length: usize,
}

impl Header {
    fn read(kind: u16, bytes: &[u8]) -> Option<Header> {
        match kind {
            IPV4 => {
                let header: &[u8; 20] = bytes.first_chunk()?;
                let address = |at: usize| {
                    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
                };
                Some(Header {
                    from: address(12).into(),
                    to: address(16).into(),
                    protocol: header[9],
                    hops: header[8],
                    length: usize::from(header[0] & 15) * 4,
                })
            }
            IPV6 => {
                let header: &[u8; 40] = bytes.first_chunk()?;
                let address = |at: usize| {
                    let octets: Option<[u8; 16]> =
                        header.get(at..at + 16).and_then(|octets| octets.try_into().ok());
                    octets.map(Ipv6Addr::from)
                };
                Some(Header {
                    from: address(8)?.into(),
                    to: address(24)?.into(),
                    protocol: header[6],
                    hops: header[7],
                    length: 40,
                })
            }
            _ => None,
        }
    }

    fn line(&self, rest: &[u8]) -> String {
        let Header { from, to, protocol, hops, .. } = self;
        let name = match *protocol {
            TCP => "TCP",
            UDP => "UDP",
            SCTP => "SCTP",
            GRE => "GRE",
            IPIP | IPV6_IN => "IP in IP",
            _ => return format!("{from} -> {to}, protocol {protocol}, {hops} hops left"),
        };
        match (*protocol, rest) {
            (TCP | UDP | SCTP, [a, b, c, d, ..]) => {
                let from = SocketAddr::new(*from, u16::from_be_bytes([*a, *b]));
                let to = SocketAddr::new(*to, u16::from_be_bytes([*c, *d]));
                format!("{name} {from} -> {to}, {hops} hops left")
            }
            (_, _) => format!("{name} {from} -> {to}, {hops} hops left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer4::Protocol;

    fn question() -> Question {
        Question {
            from: "198.51.100.7:40000".parse().unwrap(),
            to: "192.0.2.1:80".parse().unwrap(),
            protocol: Protocol::Tcp,
            flags: 2,
        }
    }

    #[test]
    fn a_frame_is_read_as_it_was_made() {
        let bytes = frame(&question(), [2, 0, 0, 0, 0, 9]);
        let read = lines(&bytes);
        assert_eq!(read[0], "to 02:00:00:00:00:09");
        assert_eq!(read[1], "TCP 198.51.100.7:40000 -> 192.0.2.1:80, 64 hops left");
        assert_eq!(changed(&question(), &bytes), Vec::<String>::new());
    }

    #[test]
    fn a_tunnel_has_a_line_for_each_header() {
        let inner = frame(&question(), [2, 0, 0, 0, 0, 9]);
        let mut outer = inner[..34].to_vec();
        outer[23] = GRE;
        outer.extend([0, 0, 8, 0]);
        outer.extend(&inner[14..]);
        let read = lines(&outer);
        assert_eq!(read[1], "GRE 198.51.100.7 -> 192.0.2.1, 64 hops left");
        assert_eq!(read[2], "TCP 198.51.100.7:40000 -> 192.0.2.1:80, 64 hops left");
        let six = Question {
            from: "[2001:db8::7]:1".parse().unwrap(),
            to: "[2001:db8::1]:53".parse().unwrap(),
            protocol: Protocol::Udp,
            flags: 0,
        };
        let read = lines(&frame(&six, [2, 0, 0, 0, 0, 9]));
        assert_eq!(read[1], "UDP [2001:db8::7]:1 -> [2001:db8::1]:53, 64 hops left");
    }
}
