//! What comes out, held against `etherparse`: every checksum that a packet has, and those of what
//! it carries.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Slice, Icmpv6Slice, IpSlice, Ipv4Header, Ipv4HeaderSlice, TcpHeaderSlice, TcpSlice,
    UdpSlice,
};

/// Panics if a checksum of a whole packet is wrong, or a length.
pub(crate) fn verify(packet: &[u8]) {
    let ip = IpSlice::from_slice(packet).unwrap();
    if ip.ipv4().is_some() {
        check_header(packet);
    }
    if ip.is_fragmenting_payload() {
        return;
    }
    let upper = ip.payload();
    let (from, to) = (ip.source_addr(), ip.destination_addr());
    match upper.ip_number.0 {
        4 | 41 => verify(upper.payload),
        6 => check_tcp(from, to, upper.payload),
        17 => check_udp(from, to, upper.payload),
        1 => {
            let icmp = Icmpv4Slice::from_slice(upper.payload).unwrap();
            let sum = icmp.header().icmp_type.calc_checksum(icmp.payload());
            assert_eq!(sum, icmp.checksum(), "ICMP");
            // RFC 792: of what it quotes the header is there.
            check_header(icmp.payload());
        }
        58 => {
            let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else { panic!("ICMPv6") };
            let icmp = Icmpv6Slice::from_slice(upper.payload).unwrap();
            assert!(icmp.is_checksum_valid(from.octets(), to.octets()), "ICMPv6");
        }
        47 => {
            let with_checksum = upper.payload[0] & 0x80 != 0;
            if with_checksum {
                assert_eq!(crate::frame::internet_checksum(upper.payload), 0, "GRE");
            }
            verify(&upper.payload[if with_checksum { 8 } else { 4 }..]);
        }
        other => panic!("protocol {other}"),
    }
}

fn check_header(packet: &[u8]) {
    let header: Ipv4Header = Ipv4HeaderSlice::from_slice(packet).unwrap().to_header();
    assert_eq!(header.calc_header_checksum(), header.header_checksum, "IPv4 header");
}

fn check_tcp(from: IpAddr, to: IpAddr, bytes: &[u8]) {
    TcpHeaderSlice::from_slice(bytes).unwrap();
    let tcp = TcpSlice::from_slice(bytes).unwrap();
    let sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => tcp.calc_checksum_ipv4(from.octets(), to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => tcp.calc_checksum_ipv6(from.octets(), to.octets()),
        _ => panic!("addresses of two families"),
    };
    assert_eq!(sum.unwrap(), tcp.checksum(), "TCP");
}

fn check_udp(from: IpAddr, to: IpAddr, bytes: &[u8]) {
    const GUE: u16 = 6080;
    let udp = UdpSlice::from_slice(bytes).unwrap();
    let header = udp.to_header();
    let sum = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), udp.payload())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), udp.payload())
        }
        _ => panic!("addresses of two families"),
    };
    let is_gue = udp.destination_port() == GUE;
    if !(is_gue && udp.checksum() == 0) {
        assert_eq!(sum.unwrap(), udp.checksum(), "UDP");
    }
    if is_gue {
        verify(&udp.payload()[4..]);
    }
}
