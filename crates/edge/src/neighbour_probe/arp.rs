//! ARP (RFC 826).

use std::net::Ipv4Addr;

use crate::netlink::neighbour::Mac;

pub(super) const ETHERTYPE: u16 = 0x0806;
const FRAME: usize = 42;
const BROADCAST: Mac = [0xff; 6];
const OPERATION_REQUEST: u16 = 1;
const OPERATION_REPLY: u16 = 2;

pub(super) fn request(
    from_mac: Mac,
    from: Ipv4Addr,
    target: Ipv4Addr,
    target_mac: Option<Mac>,
) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&target_mac.unwrap_or(BROADCAST));
    frame[6..12].copy_from_slice(&from_mac);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    frame[20..22].copy_from_slice(&OPERATION_REQUEST.to_be_bytes());
    frame[22..28].copy_from_slice(&from_mac);
    frame[28..32].copy_from_slice(&from.octets());
    frame[38..42].copy_from_slice(&target.octets());
    frame
}

pub(super) fn read_answer(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(14..FRAME)?;
    if arp[..6] != [0, 1, 8, 0, 6, 4] || arp[6..8] != OPERATION_REPLY.to_be_bytes() {
        return None;
    }
    let address: [u8; 4] = arp[14..18].try_into().ok()?;
    Some((Ipv4Addr::from(address), arp[8..14].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_to_our_request_names_address_and_mac() {
        let (from, target) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 9));
        let mut frame = request([2; 6], from, target, None);
        assert_eq!(read_answer(&frame), None, "a request is no answer");
        frame[21] = 2;
        frame[22..28].copy_from_slice(&[9; 6]);
        frame[28..32].copy_from_slice(&target.octets());
        assert_eq!(read_answer(&frame), Some((target, [9; 6])));
        assert_eq!(read_answer(&frame[..40]), None, "cut short");
    }
}
