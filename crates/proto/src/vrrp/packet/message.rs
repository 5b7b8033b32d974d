//! The message itself, which both versions and families share: RFC 3768 5.1, RFC 9568 5.1.
//!
//! ```text
//! |version|type | router id | priority | count |
//! | two bytes of the version    | checksum     |
//! | addresses, 4 or 16 bytes each              |
//! | version 2: 8 bytes of authentication data  |
//! ```

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::units::VirtualRouterId;
use model::vrrp::{Family, Version, VrrpInstance};

use super::{ADDRESSES_MAX, Discard, v2, v3};

pub(super) const HEADER: usize = 8;
/// Where the checksum stands.
pub(super) const CHECKSUM: core::ops::Range<usize> = 6..8;
const ADVERTISEMENT: u8 = 1;

/// A message whose lengths agree, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The version it claims.
    pub(super) version: u8,
    pub(super) priority: u8,
    /// The two bytes before the checksum, which each version uses its own way.
    pub(super) specific: [u8; 2],
    pub(super) family: Family,
    /// Bytes of the addresses.
    addresses: &'a [u8],
    /// Version 2 over IPv4: the authentication data.
    pub(super) authentication: &'a [u8],
    /// All of it, without a trailer.
    pub(super) bytes: &'a [u8],
    /// The bytes behind it.
    pub(super) trailer: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes bytes apart. What follows the message must be nothing, or `trailer` bytes.
    pub(super) fn read(
        bytes: &'a [u8],
        family: Family,
        trailer: usize,
    ) -> Result<Message<'a>, Discard> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Discard::Truncated);
        };
        let [version_and_type, id, priority, count, first, second, _, _] = *header;
        let version = version_and_type >> 4;
        let addresses = usize::from(count) * address_size(family);
        let Some((addresses, rest)) = rest.split_at_checked(addresses) else {
            return Err(Discard::Truncated);
        };
        let authentication = match (version, family) {
            (2, Family::Ipv4) => v2::AUTHENTICATION,
            _ => 0,
        };
        let Some((authentication, rest)) = rest.split_at_checked(authentication) else {
            return Err(Discard::Truncated);
        };
        let length = bytes.len() - rest.len();
        if !rest.is_empty() && rest.len() != trailer {
            return Err(Discard::Length(bytes.len(), length));
        }
        if version_and_type & 15 != ADVERTISEMENT {
            return Err(Discard::Type(version_and_type & 15));
        }
        if VirtualRouterId::try_from(id).is_err() {
            return Err(Discard::VirtualRouterId);
        }
        Ok(Message {
            version,
            priority,
            specific: [first, second],
            family,
            addresses,
            authentication,
            bytes: &bytes[..length],
            trailer: rest,
        })
    }

    /// The addresses it lists.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.chunks_exact(address_size(self.family)).filter_map(|octets| {
            match self.family {
                Family::Ipv4 => {
                    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from).map(IpAddr::V4)
                }
                Family::Ipv6 => {
                    <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from).map(IpAddr::V6)
                }
            }
        })
    }

    /// Its addresses and ours are the same, in whatever order (RFC 3768 7.1).
    pub(super) fn check_addresses(&self, plan: &VrrpInstance) -> Result<(), Discard> {
        let (theirs, ours) = (self.addresses().count(), advertised(plan).count());
        if theirs != ours {
            return Err(Discard::AddressCount(theirs as u8, ours as u8));
        }
        let stranger = self.addresses().find(|theirs| !advertised(plan).any(|o| o == *theirs));
        if let Some(stranger) = stranger {
            return Err(Discard::Address(stranger));
        }
        match advertised(plan).find(|ours| !self.addresses().any(|theirs| theirs == *ours)) {
            Some(missing) => Err(Discard::Lacks(missing)),
            None => Ok(()),
        }
    }
}

/// The message of one advert of `plan`, its checksum still zero. `priority` 0 says that we stop.
pub(super) fn write(plan: &VrrpInstance, priority: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 16 * plan.addresses.len() + v2::AUTHENTICATION);
    let [first, second] = match version(plan) {
        Version::V2 => v2::specific(plan),
        Version::V3 => v3::specific(plan),
    };
    message.extend_from_slice(&[
        number(version(plan)) << 4 | ADVERTISEMENT,
        plan.virtual_router_id.number(),
        priority,
        advertised(plan).count() as u8,
        first,
        second,
        0,
        0,
    ]);
    for address in advertised(plan) {
        match address {
            IpAddr::V4(address) => message.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => message.extend_from_slice(&address.octets()),
        }
    }
    match version(plan) {
        Version::V2 => message.extend_from_slice(&v2::authentication(&plan.authentication)),
        Version::V3 => {}
    }
    message
}

/// The version that an instance speaks: IPv6 has version 3 only.
pub(super) fn version(plan: &VrrpInstance) -> Version {
    match (plan.version, plan.family) {
        (Version::V2, Family::Ipv4) => Version::V2,
        (Version::V2, Family::Ipv6) | (Version::V3, _) => Version::V3,
    }
}

/// A version's number on the wire.
pub(super) fn number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

fn address_size(family: Family) -> usize {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    }
}

/// The addresses that adverts list; more than an advert holds are cut.
fn advertised(plan: &VrrpInstance) -> impl Iterator<Item = IpAddr> {
    let ours = |address: &IpAddr| Family::of(*address) == plan.family;
    plan.addresses.iter().map(|address| address.address).filter(ours).take(ADDRESSES_MAX)
}
