//! Adverts as bytes: captured from Keepalived 2.2.7, or computed by other programs.

mod authentication;
mod captured;
mod checks;
mod sending;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::units::{Centiseconds, Priority, VirtualRouterId, WallTime};
use model::vrrp::{Destination, Family, Peer, Unicast, Version, VirtualAddress, VrrpInstance};

use super::{Advert, Discard, Guard, Outgoing, Received, Sealer, open};

/// An IP packet from its hexadecimal form.
struct Packet(Vec<u8>);

fn hex(text: &str) -> Packet {
    let digits: Vec<u8> =
        text.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    Packet(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

impl Packet {
    fn received(&self) -> Received<'_> {
        let Packet(bytes) = self;
        if bytes[0] >> 4 == 4 {
            let (ipv4_header, payload) = bytes.split_at(usize::from(bytes[0] & 15) * 4);
            let address = |at| IpAddr::from(*bytes[at..].first_chunk::<4>().unwrap());
            let (source, destination) = (address(12), address(16));
            let (ttl, protocol) = (bytes[8], bytes[9]);
            Received { source, destination, ttl, protocol, ipv4_header, payload }
        } else {
            let address = |at| IpAddr::from(*bytes[at..].first_chunk::<16>().unwrap());
            let (source, destination) = (address(8), address(24));
            let (ttl, protocol, payload) = (bytes[7], bytes[6], &bytes[40..]);
            Received { source, destination, ttl, protocol, ipv4_header: &[], payload }
        }
    }

    fn open(&self, plan: &VrrpInstance) -> Result<Advert, Discard> {
        open(&self.received(), plan, &mut Guard::default(), WALL)
    }
}

/// 2027-01-15 08:00:00.5 UTC.
const WALL: WallTime = WallTime::from_nanos(1_800_000_000_500_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An instance with these addresses; version 3 has adverts of half a second.
fn plan(version: Version, id: u8, addresses: &[&str]) -> VrrpInstance {
    let family = Family::of(ip(addresses[0]));
    let id = VirtualRouterId::try_from(id).unwrap();
    VrrpInstance {
        version,
        family,
        priority: Priority::try_from(150).unwrap(),
        advert_interval: match version {
            Version::V2 => Centiseconds(100),
            Version::V3 => Centiseconds(50),
        },
        destination: Destination::Multicast(family.group()),
        addresses: addresses.iter().map(|a| VirtualAddress::new(ip(a), 24)).collect(),
        ..VrrpInstance::new("VI_1", "eth0", id)
    }
}

fn unicast(plan: VrrpInstance, peers: &[&str], ttl: Option<u8>) -> VrrpInstance {
    let peer = |a: &&str| Peer { address: ip(a), min_ttl: None, max_ttl: None };
    let peers = peers.iter().map(peer).collect();
    let destination = Destination::Unicast(Unicast { peers, ttl, ..Unicast::default() });
    VrrpInstance { destination, ..plan }
}

fn sent(plan: &VrrpInstance, source: &str, priority: u8) -> Vec<Outgoing> {
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    sealer.emit(&mut guard, &Arc::new(plan.clone()), ip(source), priority, WALL).to_vec()
}

/// What a sent packet is at the other end.
fn arrived<'a>(packet: &'a Outgoing, ipv4_header: &'a [u8]) -> Received<'a> {
    let Outgoing { source, destination, ttl, protocol, ref payload, .. } = *packet;
    Received { source, destination, ttl, protocol, ipv4_header, payload }
}

fn header(packet: &Outgoing) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination) else {
        return Vec::new();
    };
    let mut header = Vec::from([0x45, 0xc0]);
    header.extend_from_slice(&(20 + packet.payload.len() as u16).to_be_bytes());
    header.extend_from_slice(&packet.ip_id.to_be_bytes());
    header.extend_from_slice(&[0, 0, packet.ttl, packet.protocol, 0x12, 0x34]);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    header
}
