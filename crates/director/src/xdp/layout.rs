//! The layouts of the maps: Rust's side of bpf/maps.h. Addresses and ports are in
//! network byte order, everything else in the machine's.

use std::net::{IpAddr, Ipv6Addr};

use model::layer4::{Endpoint, Forwarding, HashFlags, Protocol, Scheduler, ServiceKey, Tunnel};
use model::vrrp::Family;
use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::variant::PADDING;

/// Directory of the pinned maps below that of the pins; a new name whenever a layout changes.
pub const LAYOUT: &str = if PADDING == 0 { "v6" } else { "padded" };

pub(crate) const SERVICES_MAX: u32 = model::layer4::VIRTUAL_SERVERS_MAX as u32;
pub(crate) const MEMBERS_MAX: usize = model::layer4::REAL_SERVERS_MAX;
pub(crate) const INTERFACES_LOW: u32 = 4096;
pub(crate) const DESTINATIONS_MAX: u32 = model::layer4::REAL_SERVERS_TOTAL_MAX as u32;
/// Services with a prepared table: each takes 8 KiB, whether or not there is one.
pub(crate) const TABLES_MAX: u32 = 512;
pub(crate) const SLOTS_MAX: usize = 4096;

/// An address of either family, IPv4 mapped into IPv6.
pub(crate) type WideAddress = [u8; 16];

/// A key of the map `services`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawServiceKey4 {
    pub(crate) address: [u8; 4],
    pub(crate) port: U16,
    pub(crate) protocol: u8,
    pub(crate) unused: u8,
}

/// A key of the map `services6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawServiceKey6 {
    pub(crate) address: [u8; 16],
    pub(crate) port: U16,
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 5],
}

/// Whose destination it is, whatever the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawServiceName {
    pub(crate) address: WideAddress,
    pub(crate) port: U16,
    pub(crate) protocol: u8,
    pub(crate) unused: u8,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawService {
    pub(crate) padding: [u8; PADDING],
    pub(crate) index: u32,
    pub(crate) row: u32,
    pub(crate) count: u32,
    pub(crate) scheduler: u32,
    pub(crate) weight_max: u32,
    pub(crate) weight_gcd: u32,
    pub(crate) persistence_seconds: u32,
    pub(crate) persistence_bits: u32,
    pub(crate) hash_flags: u32,
    pub(crate) table: u32,
    pub(crate) mark: u32,
    pub(crate) switches: u32,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawMember {
    pub(crate) destination: u32,
    pub(crate) weight: u32,
}

/// What lblc and lblcr keep servers under.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawLocalityKey {
    pub(crate) address: [u8; 16],
    pub(crate) service: u32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawLocality {
    pub(crate) used: u64,
    pub(crate) modified: u64,
    pub(crate) count: u32,
    pub(crate) unused: u32,
    pub(crate) destinations: [u16; MEMBERS_MAX],
}

/// In a member's weight: its destination has an upper threshold.
pub(crate) const LIMITED: u32 = 1 << 31;

pub(crate) const IN_USE: u8 = 1;
pub(crate) const REMOVED: u8 = 2;
/// With REMOVED: its connections end at once.
pub(crate) const EXPIRES: u8 = 16;
/// With REMOVED: whoever sends a segment of one of its TCP connections gets an RST.
pub(crate) const RESETS: u8 = 32;
pub(crate) const RESOLVED: u8 = 4;
pub(crate) const LOCAL: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawDestination {
    pub(crate) padding: [u8; PADDING],
    pub(crate) address: WideAddress,
    pub(crate) port: U16,
    pub(crate) forwarding: u8,
    pub(crate) flags: u8,
    pub(crate) ifindex: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    /// Largest IP packet on the way, a tunnel's header included; meaningful while RESOLVED.
    pub(crate) mtu: u32,
    pub(crate) weight: u32,
    pub(crate) upper_threshold: u32,
    pub(crate) lower_threshold: u32,
    pub(crate) tunnel_port: U16,
    pub(crate) tunnel: u8,
    pub(crate) tunnel_flags: u8,
    /// The end of what every packet needs.
    pub(crate) unused_hot: [u32; 2],
    /// This machine's address there, or zeros; meaningful while RESOLVED.
    pub(crate) source: WideAddress,
    pub(crate) service: RawServiceName,
    /// Grows with each addition: orders a service's destinations when tables are adopted.
    pub(crate) position: u32,
    /// The last weight that was not 0, or the one it was added with: Maglev's tables are made of
    /// these.
    pub(crate) last_weight: u32,
    pub(crate) unused: [u32; 5],
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawLoad {
    pub(crate) active: u32,
    pub(crate) inactive: u32,
    pub(crate) templates: u32,
    pub(crate) unused: u32,
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawStats {
    pub(crate) connections: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawInterface {
    pub(crate) mac: [u8; 6],
    pub(crate) takes_part: u16,
}

/// An address as maps of both families have it.
pub(crate) fn wide(address: IpAddr) -> WideAddress {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The address again.
pub(crate) fn narrow(address: WideAddress) -> IpAddr {
    Ipv6Addr::from(address).to_canonical()
}

pub(crate) fn protocol_of(number: u8) -> Protocol {
    Protocol::of_number(number).unwrap_or_default()
}

/// The protocol of a service of a firewall mark, whose address is the mark (IPVS: IPPROTO_IP).
pub(crate) const MARKED: u8 = 0;

/// A service's key in the map of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawServiceKey {
    V4(RawServiceKey4),
    V6(RawServiceKey6),
}

impl RawServiceKey {
    pub(crate) fn of(key: &ServiceKey) -> RawServiceKey {
        let name = RawServiceName::of(key);
        let RawServiceName { address, port, protocol, .. } = name;
        match key.family() {
            Family::Ipv4 => {
                let [.., a, b, c, d] = address;
                RawServiceKey::V4(RawServiceKey4 {
                    address: [a, b, c, d],
                    port,
                    protocol,
                    unused: 0,
                })
            }
            Family::Ipv6 => {
                RawServiceKey::V6(RawServiceKey6 { address, port, protocol, unused: [0; 5] })
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            RawServiceKey::V4(key) => key.as_bytes(),
            RawServiceKey::V6(key) => key.as_bytes(),
        }
    }
}

/// What keys of the maps of services say.
pub(crate) trait NamesService {
    fn service(&self) -> ServiceKey;
}

impl NamesService for RawServiceKey4 {
    fn service(&self) -> ServiceKey {
        let address = wide(IpAddr::from(self.address));
        RawServiceName { address, port: self.port, protocol: self.protocol, unused: 0 }.service()
    }
}

impl NamesService for RawServiceKey6 {
    fn service(&self) -> ServiceKey {
        let RawServiceKey6 { address, port, protocol, .. } = *self;
        RawServiceName { address, port, protocol, unused: 0 }.service()
    }
}

impl RawServiceName {
    pub(crate) fn of(key: &ServiceKey) -> RawServiceName {
        match *key {
            ServiceKey::Address { address, port, protocol } => RawServiceName {
                address: wide(address),
                port: port.into(),
                protocol: protocol.number(),
                unused: 0,
            },
            ServiceKey::Mark { mark, family } => {
                // The last word, as an address of its family has it.
                let address = match family {
                    Family::Ipv4 => IpAddr::V4(mark.into()),
                    Family::Ipv6 => IpAddr::V6(u128::from(mark).into()),
                };
                RawServiceName {
                    address: wide(address),
                    port: U16::ZERO,
                    protocol: MARKED,
                    unused: 0,
                }
            }
        }
    }
}

impl NamesService for RawServiceName {
    fn service(&self) -> ServiceKey {
        let address = narrow(self.address);
        if self.protocol == MARKED {
            let [.., a, b, c, d] = self.address;
            let mark = u32::from_be_bytes([a, b, c, d]);
            return ServiceKey::Mark { mark, family: Family::of(address) };
        }
        let protocol = protocol_of(self.protocol);
        ServiceKey::Address { address, port: self.port.get(), protocol }
    }
}

impl RawDestination {
    pub(crate) const EMPTY: RawDestination = RawDestination {
        padding: [0; PADDING],
        address: [0; 16],
        port: U16::ZERO,
        forwarding: 0,
        flags: 0,
        ifindex: 0,
        mac: [0; 6],
        source_mac: [0; 6],
        mtu: 0,
        weight: 0,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel_port: U16::ZERO,
        tunnel: 0,
        tunnel_flags: 0,
        unused_hot: [0; 2],
        source: [0; 16],
        service: RawServiceName { address: [0; 16], port: U16::ZERO, protocol: 0, unused: 0 },
        position: 0,
        last_weight: 0,
        unused: [0; 5],
    };

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { address: narrow(self.address), port: self.port.get() }
    }

    /// The same, forwarded to like this.
    pub(crate) fn forwarded_by(self, forwarding: Forwarding) -> RawDestination {
        let (number, tunnel) = match forwarding {
            Forwarding::Nat => (NAT, Tunnel::IpIp),
            Forwarding::DirectRouting => (DIRECT, Tunnel::IpIp),
            Forwarding::Tunnel(tunnel) => (TUNNEL, tunnel),
        };
        let (tunnel, port, checksum) = match tunnel {
            Tunnel::IpIp => (IPIP, 0, false),
            Tunnel::Gre { checksum } => (GRE, 0, checksum),
            Tunnel::Gue { port, checksum } => (GUE, port, checksum),
        };
        let tunnel_flags = if checksum { CHECKSUM } else { 0 };
        RawDestination {
            forwarding: number,
            tunnel,
            tunnel_port: port.into(),
            tunnel_flags,
            ..self
        }
    }

    /// How it is forwarded to.
    pub(crate) fn forwarding(&self) -> Forwarding {
        let checksum = self.tunnel_flags & CHECKSUM != 0;
        match (self.forwarding, self.tunnel) {
            (TUNNEL, GRE) => Forwarding::Tunnel(Tunnel::Gre { checksum }),
            (TUNNEL, GUE) => {
                Forwarding::Tunnel(Tunnel::Gue { port: self.tunnel_port.get(), checksum })
            }
            (TUNNEL, _) => Forwarding::Tunnel(Tunnel::IpIp),
            (DIRECT, _) => Forwarding::DirectRouting,
            (_, _) => Forwarding::Nat,
        }
    }
}

const NAT: u8 = 0;
const DIRECT: u8 = 1;
const TUNNEL: u8 = 2;
const IPIP: u8 = 0;
const GRE: u8 = 1;
const GUE: u8 = 2;
/// What the numbers are called in a manifest.
pub(crate) const FORWARDING_NAMES: [(u64, &str); 3] =
    [(NAT as u64, "nat"), (DIRECT as u64, "direct"), (TUNNEL as u64, "tunnel")];
pub(crate) const TUNNEL_NAMES: [(u64, &str); 3] =
    [(IPIP as u64, "ipip"), (GRE as u64, "gre"), (GUE as u64, "gue")];
/// In `tunnel_flags`.
pub(crate) const CHECKSUM: u8 = 1;

pub(crate) const fn scheduler_number(scheduler: Scheduler) -> u32 {
    match scheduler {
        Scheduler::RoundRobin => 0,
        Scheduler::WeightedRoundRobin => 1,
        Scheduler::WeightedLeastConnection => 2,
        Scheduler::LeastConnection => 3,
        Scheduler::ShortestExpectedDelay => 4,
        Scheduler::NeverQueue => 5,
        Scheduler::WeightedFailover => 6,
        Scheduler::WeightedOverflow => 7,
        Scheduler::DestinationHashing => 8,
        Scheduler::SourceHashing(_) => 9,
        Scheduler::MaglevHashing(_) => 10,
        Scheduler::LocalityBased => 11,
        Scheduler::LocalityBasedReplicated => 12,
        Scheduler::TwoChoices => 13,
    }
}

pub(crate) const HASH_FALLBACK: u32 = 1;
pub(crate) const HASH_PORT: u32 = 2;

pub(crate) const fn hash_flags_number(scheduler: Scheduler) -> u32 {
    let flags = scheduler.hash_flags();
    let fallback = if flags.fallback { HASH_FALLBACK } else { 0 };
    fallback | if flags.port { HASH_PORT } else { 0 }
}

pub(crate) const fn scheduler_of(number: u32, flags: u32) -> Scheduler {
    let flags = HashFlags { fallback: flags & HASH_FALLBACK != 0, port: flags & HASH_PORT != 0 };
    match number {
        0 => Scheduler::RoundRobin,
        1 => Scheduler::WeightedRoundRobin,
        3 => Scheduler::LeastConnection,
        4 => Scheduler::ShortestExpectedDelay,
        5 => Scheduler::NeverQueue,
        6 => Scheduler::WeightedFailover,
        7 => Scheduler::WeightedOverflow,
        8 => Scheduler::DestinationHashing,
        9 => Scheduler::SourceHashing(flags),
        10 => Scheduler::MaglevHashing(flags),
        11 => Scheduler::LocalityBased,
        12 => Scheduler::LocalityBasedReplicated,
        13 => Scheduler::TwoChoices,
        _ => Scheduler::WeightedLeastConnection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_forwarding_is_read_back_as_it_was_written() {
        let tunnels = [
            Tunnel::IpIp,
            Tunnel::Gre { checksum: false },
            Tunnel::Gre { checksum: true },
            Tunnel::Gue { port: 6080, checksum: false },
            Tunnel::Gue { port: 65535, checksum: true },
        ];
        let all = [Forwarding::Nat, Forwarding::DirectRouting];
        for forwarding in all.into_iter().chain(tunnels.map(Forwarding::Tunnel)) {
            let raw = RawDestination::EMPTY.forwarded_by(forwarding);
            assert_eq!(raw.forwarding(), forwarding);
            let plain = raw.forwarded_by(Forwarding::Nat);
            assert_eq!(plain, RawDestination::EMPTY, "nothing stays of {forwarding}");
        }
    }

    #[test]
    fn services_of_both_families_are_read_back_from_the_names_they_have_in_the_maps() {
        let at = |address: &str| ServiceKey::Address {
            address: address.parse().unwrap(),
            port: 80,
            protocol: Protocol::Udp,
        };
        let marked = |family| ServiceKey::Mark { mark: 0xfffe_0001, family };
        let addresses = [at("192.0.2.1"), at("2001:db8::1")];
        for key in addresses.into_iter().chain([Family::Ipv4, Family::Ipv6].map(marked)) {
            assert_eq!(RawServiceName::of(&key).service(), key);
            let read = match RawServiceKey::of(&key) {
                RawServiceKey::V4(raw) => raw.service(),
                RawServiceKey::V6(raw) => raw.service(),
            };
            assert_eq!(read, key);
        }
    }

    #[test]
    fn the_sizes_are_those_of_the_c_side() {
        assert_eq!(size_of::<RawServiceKey4>(), 8);
        assert_eq!(size_of::<RawServiceKey6>(), 24);
        assert_eq!(size_of::<RawService>(), 48 + PADDING);
        assert_eq!(size_of::<RawLocalityKey>(), 20);
        assert_eq!(size_of::<RawLocality>(), 24 + 2 * MEMBERS_MAX);
        assert_eq!(size_of::<RawDestination>(), 128 + PADDING);
        assert_eq!(std::mem::offset_of!(RawDestination, source), 64 + PADDING, "one line is hot");
    }

    #[test]
    fn schedulers_come_back_from_their_numbers_with_their_flags() {
        for scheduler in Scheduler::ALL {
            for flags in [(false, false), (true, false), (false, true), (true, true)] {
                let (fallback, port) = flags;
                let scheduler = scheduler.with_hash_flags(HashFlags { fallback, port });
                let raw = (scheduler_number(scheduler), hash_flags_number(scheduler));
                assert_eq!(scheduler_of(raw.0, raw.1), scheduler);
            }
        }
    }
}
