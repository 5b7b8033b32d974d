//! Neighbour discovery (RFC 4861): solicitations, and the advertisements that answer them.

use std::net::Ipv6Addr;

use socket2::SockFilter;

use crate::announce::icmpv6_checksum;
use crate::netlink::neighbour::Mac;

pub(super) const ETHERTYPE: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
/// Of an advertisement.
const FLAG_OVERRIDE: u8 = 0x20;
/// RFC 4861 section 7.1: a packet with another hop limit was routed.
const HOP_LIMIT: u8 = 255;

const IP: usize = 14;
const ICMP: usize = IP + 40;
/// ICMPv6 header, the target, one option with a MAC address.
const MESSAGE: usize = 8 + 16 + 8;
const FRAME: usize = ICMP + MESSAGE;

const fn statement(code: u32, unless: u8, k: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, unless, k)
}

/// Lets advertisements in: packets whose next header is ICMPv6, and its type theirs.
pub(super) const ADVERTISEMENTS: [SockFilter; 6] = [
    statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, IP as u32 + 6),
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 3, ICMPV6 as u32),
    statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, ICMP as u32),
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, ADVERTISEMENT as u32),
    statement(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
    statement(libc::BPF_RET | libc::BPF_K, 0, 0),
];

/// Everyone whose address ends like this one listens here (RFC 4291 section 2.7.1).
fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = target.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

pub(super) fn solicitation(
    from_mac: Mac,
    from: Ipv6Addr,
    target: Ipv6Addr,
    target_mac: Option<Mac>,
) -> [u8; FRAME] {
    let to = if target_mac.is_some() { target } else { solicited_node(target) };
    // RFC 2464 section 7: a group's MAC address ends in the last four bytes of its own.
    let [.., a, b, c, d] = to.octets();
    let to_mac = target_mac.unwrap_or([0x33, 0x33, a, b, c, d]);
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&to_mac);
    frame[6..12].copy_from_slice(&from_mac);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame[IP] = 6 << 4;
    frame[IP + 5] = MESSAGE as u8;
    frame[IP + 6] = ICMPV6;
    frame[IP + 7] = HOP_LIMIT;
    frame[IP + 8..IP + 24].copy_from_slice(&from.octets());
    frame[IP + 24..ICMP].copy_from_slice(&to.octets());
    frame[ICMP] = SOLICITATION;
    frame[ICMP + 8..ICMP + 24].copy_from_slice(&target.octets());
    frame[ICMP + 24..ICMP + 26].copy_from_slice(&[OPTION_SOURCE_MAC, 1]);
    frame[ICMP + 26..].copy_from_slice(&from_mac);
    let checksum = icmpv6_checksum(&frame[IP + 8..ICMP], &frame[ICMP..]);
    frame[ICMP + 2..ICMP + 4].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Whose it is, its MAC address, and whether that overrides what was known. An answer to a
/// question that was not a multicast one may leave the MAC address to its frame. The checksum is
/// not looked at: over virtual cables it may never have been completed.
pub(super) fn read_advertisement(frame: &[u8]) -> Option<(Ipv6Addr, Mac, bool)> {
    let ip = frame.get(IP..ICMP)?;
    let message = frame.get(ICMP..)?;
    if ip[6] != ICMPV6 || ip[7] != HOP_LIMIT || *message.first_chunk::<2>()? != [ADVERTISEMENT, 0] {
        return None;
    }
    let overrides = message.get(4)? & FLAG_OVERRIDE != 0;
    let target: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let mut options = &message[24..];
    let mut mac: Mac = frame[6..12].try_into().ok()?;
    while let Some([kind, eights, ..]) = options.first_chunk::<2>() {
        let length = usize::from(*eights) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if *kind == OPTION_TARGET_MAC {
            mac = option[2..8].try_into().ok()?;
        }
        options = &options[length..];
    }
    Some((target.into(), mac, overrides))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0xa, 0x12, 0x3456);

    #[test]
    fn everyone_is_asked_at_the_solicited_node_group_and_one_at_its_own_address() {
        let frame = solicitation([2; 6], OURS, TARGET, None);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(frame[IP + 24..ICMP], group.octets());
        let frame = solicitation([2; 6], OURS, TARGET, Some([9; 6]));
        assert_eq!(frame[..6], [9; 6]);
        assert_eq!(frame[IP + 24..ICMP], TARGET.octets());
        assert_eq!(icmpv6_checksum(&frame[IP + 8..ICMP], &frame[ICMP..]), 0, "it is complete");
    }

    fn advertisement() -> [u8; FRAME] {
        let mut frame = solicitation([7; 6], TARGET, TARGET, Some([2; 6]));
        frame[ICMP] = ADVERTISEMENT;
        frame[ICMP + 24] = OPTION_TARGET_MAC;
        frame[ICMP + 26..].copy_from_slice(&[9; 6]);
        frame
    }

    #[test]
    fn an_advertisement_names_the_mac_or_leaves_it_to_the_frame() {
        let mut frame = advertisement();
        assert_eq!(read_advertisement(&frame), Some((TARGET, [9; 6], false)));
        frame[ICMP + 4] = FLAG_OVERRIDE;
        assert_eq!(read_advertisement(&frame), Some((TARGET, [9; 6], true)));
        assert_eq!(read_advertisement(&frame[..ICMP + 24]), Some((TARGET, [7; 6], true)));
        for length in (0..ICMP + 24).chain(ICMP + 26..FRAME) {
            assert_eq!(read_advertisement(&frame[..length]), None, "{length} bytes");
        }
        frame[ICMP + 25] = 0;
        assert_eq!(read_advertisement(&frame), None, "an option without length");
    }

    #[test]
    fn what_was_routed_is_no_advertisement() {
        let mut frame = advertisement();
        frame[IP + 7] = 254;
        assert_eq!(read_advertisement(&frame), None);
        assert_eq!(read_advertisement(&solicitation([2; 6], OURS, TARGET, None)), None);
    }
}
