//! Telling a link where an address is: gratuitous ARP and unsolicited neighbour advertisements.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use crate::batch::{Address, Batch, Control, HEAD_MAX, Message};
use crate::sockopt;

/// Shortest Ethernet frame, without its check sequence.
const ARP_FRAME: usize = 60;
/// Ethernet, IPv6 and ICMPv6 headers, target, one option.
const ADVERTISEMENT_FRAME: usize = 86;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Ethernet address of the group of all nodes (RFC 2464 7).
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// The group of all nodes of a link (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// That an address is at a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Index of the interface to tell it on.
    pub interface: u32,
    /// Where the address is, and the sender of the frame.
    pub mac: [u8; 6],
    /// The address.
    pub address: IpAddr,
    /// We route IPv6 on that interface.
    pub router: bool,
}

/// An AF_PACKET socket that sends on any interface and receives nothing. Needs CAP_NET_RAW.
pub struct Announcer {
    socket: OwnedFd,
    batch: Batch,
}

impl Announcer {
    /// Opens it in this thread's network namespace.
    pub fn open() -> io::Result<Announcer> {
        // Protocol 0 receives nothing.
        let socket = sockopt::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        Ok(Announcer { socket, batch: Batch::new() })
    }

    /// Tells all of it, with one system call for every 512. It never waits and never allocates;
    /// `failed` hears the number of each announcement that was not sent.
    pub fn send(
        &mut self,
        announcements: impl Iterator<Item = Announcement>,
        failed: impl FnMut(usize, io::Error),
    ) {
        let messages = announcements.map(|announcement| message(&announcement)).enumerate();
        self.batch.send(&self.socket, messages, failed);
    }
}

fn message(announcement: &Announcement) -> Message<'static> {
    let Announcement { interface, mac, address, router } = *announcement;
    let mut head = [0; HEAD_MAX];
    let (head_length, protocol, to) = match address {
        IpAddr::V4(address) => {
            head[..ARP_FRAME].copy_from_slice(&gratuitous_arp(mac, address));
            (ARP_FRAME, ETHERTYPE_ARP, BROADCAST)
        }
        IpAddr::V6(address) => {
            let frame = neighbour_advertisement(mac, address, router);
            head[..ADVERTISEMENT_FRAME].copy_from_slice(&frame);
            (ADVERTISEMENT_FRAME, ETHERTYPE_IPV6, ALL_NODES_MAC)
        }
    };
    let to = Address::Link { interface, protocol, mac: to };
    Message { head, head_length, payload: &[], to, control: Control::Nothing }
}

/// An ARP announcement (RFC 5227 2.3): a broadcast request whose sender and target are both the
/// address.
fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr) -> [u8; ARP_FRAME] {
    let mut frame = [0; ARP_FRAME];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    // Ethernet, IPv4, their lengths, request.
    frame[14..22].copy_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// An unsolicited neighbour advertisement (RFC 4861 7.2.6) to all nodes, from the address itself
/// as Keepalived sends it, with the override flag.
fn neighbour_advertisement(
    mac: [u8; 6],
    address: Ipv6Addr,
    router: bool,
) -> [u8; ADVERTISEMENT_FRAME] {
    let mut frame = [0; ADVERTISEMENT_FRAME];
    frame[..6].copy_from_slice(&ALL_NODES_MAC);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
    // Version 6; 32 bytes of ICMPv6 with the hop limit that proves a neighbour.
    frame[14] = 0x60;
    frame[18..22].copy_from_slice(&[0, 32, 58, 255]);
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    frame[54] = 136;
    frame[58] = if router { 0xa0 } else { 0x20 };
    frame[62..78].copy_from_slice(&address.octets());
    // Target link-layer address, in units of eight bytes.
    frame[78..80].copy_from_slice(&[2, 1]);
    frame[80..86].copy_from_slice(&mac);
    let sum = icmpv6_checksum(&frame[22..54], &frame[54..86]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// RFC 4443 2.3: over both addresses, the length, the protocol and the message.
pub(crate) fn icmpv6_checksum(addresses: &[u8], message: &[u8]) -> u16 {
    let words = addresses.as_chunks::<2>().0.iter().chain(message.as_chunks::<2>().0);
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let mut sum = sum + message.len() as u32 + 58;
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gratuitous_arp_names_the_address_as_sender_and_target() {
        let frame = gratuitous_arp([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 7, 8, 6]);
        assert_eq!(frame[20..32], [0, 1, 2, 0, 0, 0, 0, 7, 10, 0, 0, 1]);
        assert_eq!(frame[32..42], [0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
        assert_eq!(frame.len(), 60);
    }

    #[test]
    fn a_neighbour_advertisement_is_the_one_that_keepalived_sends() {
        // Captured from Keepalived 2.2.7 on a host that does not route.
        let captured: [u8; 72] = [
            0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x77, 0xff, 0x02, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0x00,
            0x0b, 0xe7, 0x20, 0x00, 0x00, 0x00, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x77, 0x02, 0x01, 0xc2, 0x66, 0x8f, 0xa1,
            0xfa, 0xc0,
        ];
        let mac = [0xc2, 0x66, 0x8f, 0xa1, 0xfa, 0xc0];
        let frame = neighbour_advertisement(mac, "fe80::77".parse().unwrap(), false);
        assert_eq!(
            frame[..14],
            [0x33, 0x33, 0, 0, 0, 1, 0xc2, 0x66, 0x8f, 0xa1, 0xfa, 0xc0, 0x86, 0xdd]
        );
        assert_eq!(frame[14..], captured);
        assert_eq!(neighbour_advertisement(mac, Ipv6Addr::LOCALHOST, true)[58], 0xa0);
    }
}
