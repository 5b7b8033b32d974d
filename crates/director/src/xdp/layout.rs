//! The layouts of the maps: Rust's side of bpf/maps.h. Addresses and ports are in
//! network byte order, everything else in the machine's.

use std::net::{IpAddr, Ipv4Addr};

use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey};
use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Directory of the pinned maps below that of the pins; a new name whenever a layout changes.
pub const LAYOUT: &str = "v3";

pub(crate) const SERVICES_MAX: u32 = model::layer4::VIRTUAL_SERVERS_MAX as u32;
pub(crate) const MEMBERS_MAX: usize = model::layer4::REAL_SERVERS_MAX;
pub(crate) const INTERFACES_LOW: u32 = 4096;
pub(crate) const DESTINATIONS_MAX: u32 = model::layer4::REAL_SERVERS_TOTAL_MAX as u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawServiceKey {
    pub(crate) address: [u8; 4],
    pub(crate) port: U16,
    pub(crate) protocol: u8,
    pub(crate) unused: u8,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawService {
    pub(crate) index: u32,
    pub(crate) row: u32,
    pub(crate) count: u32,
    pub(crate) scheduler: u32,
    pub(crate) weight_max: u32,
    pub(crate) weight_gcd: u32,
    pub(crate) persistence_seconds: u32,
    pub(crate) persistence_bits: u32,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub(crate) struct RawMember {
    pub(crate) destination: u32,
    pub(crate) weight: u32,
}

/// In a member's weight: its destination has an upper threshold.
pub(crate) const LIMITED: u32 = 1 << 31;

pub(crate) const IN_USE: u8 = 1;
pub(crate) const REMOVED: u8 = 2;
pub(crate) const RESOLVED: u8 = 4;
pub(crate) const LOCAL: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawDestination {
    pub(crate) address: [u8; 4],
    pub(crate) port: U16,
    pub(crate) forwarding: u8,
    pub(crate) flags: u8,
    pub(crate) weight: u32,
    pub(crate) ifindex: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    pub(crate) service: RawServiceKey,
    /// Grows with each addition: orders a service's destinations when tables are adopted.
    pub(crate) position: u32,
    pub(crate) upper_threshold: u32,
    pub(crate) lower_threshold: u32,
    /// Largest IP packet of a client that fits on the way; meaningful while RESOLVED.
    pub(crate) mtu: u32,
    pub(crate) unused: [u8; 12],
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

/// The octets of an IPv4 address; `None` for IPv6, which this engine does not forward.
pub(crate) fn octets(address: IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    }
}

pub(crate) fn protocol_of(number: u8) -> Protocol {
    if number == Protocol::Udp.number() { Protocol::Udp } else { Protocol::Tcp }
}

impl RawServiceKey {
    pub(crate) fn of(key: &ServiceKey) -> Option<RawServiceKey> {
        Some(RawServiceKey {
            address: octets(key.address)?,
            port: key.port.into(),
            protocol: key.protocol.number(),
            unused: 0,
        })
    }

    pub(crate) fn key(&self) -> ServiceKey {
        ServiceKey {
            address: Ipv4Addr::from(self.address).into(),
            port: self.port.get(),
            protocol: protocol_of(self.protocol),
        }
    }
}

impl RawDestination {
    pub(crate) const EMPTY: RawDestination = RawDestination {
        address: [0; 4],
        port: U16::ZERO,
        forwarding: 0,
        flags: 0,
        weight: 0,
        ifindex: 0,
        mac: [0; 6],
        source_mac: [0; 6],
        service: RawServiceKey { address: [0; 4], port: U16::ZERO, protocol: 0, unused: 0 },
        position: 0,
        upper_threshold: 0,
        lower_threshold: 0,
        mtu: 0,
        unused: [0; 12],
    };

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { address: Ipv4Addr::from(self.address).into(), port: self.port.get() }
    }
}

pub(crate) const fn forwarding_number(forwarding: Forwarding) -> u8 {
    match forwarding {
        Forwarding::Nat => 0,
        Forwarding::DirectRouting => 1,
    }
}

pub(crate) const fn forwarding_of(number: u8) -> Forwarding {
    if number == 1 { Forwarding::DirectRouting } else { Forwarding::Nat }
}

pub(crate) const fn scheduler_number(scheduler: Scheduler) -> u32 {
    match scheduler {
        Scheduler::RoundRobin => 0,
        Scheduler::WeightedRoundRobin => 1,
        Scheduler::WeightedLeastConnection => 2,
    }
}

pub(crate) const fn scheduler_of(number: u32) -> Scheduler {
    match number {
        0 => Scheduler::RoundRobin,
        1 => Scheduler::WeightedRoundRobin,
        _ => Scheduler::WeightedLeastConnection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_c_side() {
        assert_eq!(size_of::<RawServiceKey>(), 8);
        assert_eq!(size_of::<RawService>(), 32);
        assert_eq!(size_of::<RawDestination>(), 64);
    }
}
