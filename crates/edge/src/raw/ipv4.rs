//! The IPv4 header.

use std::net::Ipv4Addr;

use super::INTERNETWORK_CONTROL;

/// Length of a header without options.
pub(super) const HEADER: usize = 20;

/// A header without options. The kernel fills in the checksum, and the identification where it is
/// zero (raw(7)).
pub(super) fn header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    protocol: u8,
    id: u16,
    payload_length: usize,
) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = 0x45;
    header[1] = INTERNETWORK_CONTROL;
    header[2..4].copy_from_slice(&((HEADER + payload_length) as u16).to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[8] = ttl;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    header
}

/// A packet taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) header: &'a [u8],
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) payload: &'a [u8],
}

/// Takes a packet apart. What lies beyond its own length is padding.
pub(super) fn dissect(packet: &[u8]) -> Option<Parts<'_>> {
    let first = packet.first_chunk::<HEADER>()?;
    let length = usize::from(first[0] & 15) * 4;
    if first[0] >> 4 != 4 || length < HEADER {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(*first[at..].first_chunk::<4>()?));
    let total = usize::from(u16::from_be_bytes([first[2], first[3]])).min(packet.len());
    Some(Parts {
        header: packet.get(..length)?,
        source: address(12)?,
        destination: address(16)?,
        payload: packet.get(length..total)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_panics_and_padding_is_cut_off() {
        let mut packet = [0u8; 30];
        packet[0] = 0x46;
        packet[3] = 26;
        packet[8] = 255;
        packet[15] = 9;
        packet[16..20].copy_from_slice(&[224, 0, 0, 18]);
        packet[24..26].copy_from_slice(&[1, 2]);
        let parts = dissect(&packet).unwrap();
        assert_eq!(parts.source, Ipv4Addr::new(0, 0, 0, 9));
        assert_eq!(parts.destination, Ipv4Addr::new(224, 0, 0, 18));
        assert_eq!((parts.header.len(), parts.payload), (24, &[1, 2][..]));
        for length in 0..24 {
            assert_eq!(dissect(&packet[..length]), None);
        }
        packet[0] = 0x44;
        assert_eq!(dissect(&packet), None);
    }

    #[test]
    fn a_header_is_taken_apart_as_it_was_put_together() {
        let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut packet = header(source, destination, 64, 51, 7, 3).to_vec();
        packet.extend_from_slice(b"abc");
        let parts = dissect(&packet).unwrap();
        assert_eq!((parts.source, parts.destination), (source, destination));
        assert_eq!((parts.payload, &parts.header[4..10]), (&b"abc"[..], &[0, 7, 0, 0, 64, 51][..]));
    }
}
