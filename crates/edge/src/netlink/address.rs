//! Addresses of interfaces: adding, removing, listing.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use model::vrrp::{Broadcast, PreferredLifetime, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::Socket;
use super::batch::{Batch, Writer};

// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_HOMEADDRESS: u32 = 0x10;
const IFA_F_MANAGETEMPADDR: u32 = 0x100;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_MCAUTOJOIN: u32 = 0x400;
const FOREVER: u32 = u32::MAX;

/// An address that an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assigned {
    /// Index of the interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length; with a peer, that of the peer's network.
    pub prefix_len: u8,
}

/// An event says that an interface has a new address.
pub fn is_new(event: &RouteNetlinkMessage) -> bool {
    matches!(event, RouteNetlinkMessage::NewAddress(_))
}

impl Assigned {
    /// What an interface has that holds a virtual address.
    pub fn of(interface: u32, address: &VirtualAddress) -> Assigned {
        Assigned { interface, address: address.address, prefix_len: prefix_len(address) }
    }

    /// What an address message is about.
    pub fn read(message: &AddressMessage) -> Option<Assigned> {
        assigned(message)
    }
}

impl Batch {
    /// Puts an address on the interface with this index. EEXIST: it is there already.
    pub fn add_address(&mut self, interface: u32, address: &VirtualAddress) {
        let fixed = fixed(interface, address, address.scope);
        let mut message = self.message(libc::RTM_NEWADDR, NLM_F_CREATE, &fixed);
        write_local(&mut message, address.address);
        if let Some(peer) = address.peer {
            write_address(&mut message, IFA_ADDRESS, peer.address);
        }
        if let (Some(broadcast), IpAddr::V4(ipv4)) = (address.broadcast, address.address)
            && let Some(broadcast) = broadcast_of(broadcast, ipv4, prefix_len(address))
        {
            message.bytes(IFA_BROADCAST, &broadcast.octets());
        }
        if let Some(label) = &address.label {
            message.text(IFA_LABEL, label);
        }
        if let Some(preferred) = preferred(address) {
            // struct ifa_cacheinfo: preferred and valid in seconds, and two times it only tells.
            let words = [preferred, FOREVER, 0, 0].map(u32::to_ne_bytes);
            message.bytes(IFA_CACHEINFO, &words.concat());
        }
        message.u32(IFA_FLAGS, flags(address));
    }

    /// Takes an address from the interface with this index. EADDRNOTAVAIL: it was not there;
    /// ENODEV: the interface is gone.
    pub fn remove_address(&mut self, interface: u32, address: &VirtualAddress) {
        let mut message = self.message(libc::RTM_DELADDR, 0, &fixed(interface, address, 0));
        write_local(&mut message, address.address);
        // Without it the kernel takes the first of several with this address.
        let network = address.peer.map_or(address.address, |peer| peer.address);
        write_address(&mut message, IFA_ADDRESS, network);
    }
}

impl Socket {
    /// All addresses of this network namespace, in the kernel's order (an interface's first
    /// address is its primary one).
    pub fn addresses(&mut self) -> io::Result<Vec<Assigned>> {
        Ok(self.dump_addresses()?.into_iter().map(|(assigned, _)| assigned).collect())
    }

    /// As [`addresses`](Self::addresses), and whether each can be used already.
    pub(super) fn dump_addresses(&mut self) -> io::Result<Vec<(Assigned, bool)>> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answer = self.request(all, NLM_F_DUMP)?;
        Ok(answer
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => {
                    Some((assigned(message)?, settled(message)))
                }
                _ => None,
            })
            .collect())
    }
}

/// What an address message is about.
pub(super) fn assigned(message: &AddressMessage) -> Option<Assigned> {
    let attribute = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    // On point-to-point interfaces Address is the other side; IPv6 has no Local otherwise.
    let local = attribute(|a| match a {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        attribute(|a| match a {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let prefix_len = message.header.prefix_len;
    Some(Assigned { interface: message.header.index, address, prefix_len })
}

/// Duplicate address detection has let the address pass, or was not asked.
pub(super) fn settled(message: &AddressMessage) -> bool {
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    flags.is_none_or(|flags| !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed))
}

/// struct ifaddrmsg
fn fixed(interface: u32, address: &VirtualAddress, scope: u8) -> [u8; 8] {
    let family = family_number(address.address);
    let mut fixed = [family, prefix_len(address), 0, scope, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&interface.to_ne_bytes());
    fixed
}

/// AF_INET or AF_INET6
pub(super) fn family_number(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn prefix_len(address: &VirtualAddress) -> u8 {
    address.peer.map_or(address.prefix_len, |peer| peer.length)
}

fn write_local(message: &mut Writer<'_>, address: IpAddr) {
    write_address(message, IFA_LOCAL, address);
}

/// An attribute that is an address of either family.
pub(super) fn write_address(message: &mut Writer<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => message.bytes(kind, &address.octets()),
        IpAddr::V6(address) => message.bytes(kind, &address.octets()),
    };
}

/// `+` and `-` mean nothing where a network has no address to spare.
fn broadcast_of(broadcast: Broadcast, address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    let host = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
    match broadcast {
        Broadcast::Address(broadcast) => Some(broadcast),
        Broadcast::HostBitsSet | Broadcast::HostBitsClear if prefix_len > 30 => None,
        Broadcast::HostBitsSet => Some(Ipv4Addr::from_bits(address.to_bits() | host)),
        Broadcast::HostBitsClear => Some(Ipv4Addr::from_bits(address.to_bits() & !host)),
    }
}

/// Seconds, where it is not forever. As Keepalived: IPv6 only, and an address of 128 bits is
/// deprecated, so that nothing chooses it as a source.
fn preferred(address: &VirtualAddress) -> Option<u32> {
    let is_ipv6 = address.address.is_ipv6();
    match address.preferred {
        _ if !is_ipv6 => None,
        PreferredLifetime::Default => (prefix_len(address) == 128).then_some(0),
        PreferredLifetime::Forever => None,
        PreferredLifetime::Seconds(seconds) => Some(seconds),
    }
}

fn flags(address: &VirtualAddress) -> u32 {
    let set = &address.flags;
    let no_dad = address.address.is_ipv6() && !set.no_dad;
    [
        (no_dad, IFA_F_NODAD),
        (set.home, IFA_F_HOMEADDRESS),
        (set.manage_temporary, IFA_F_MANAGETEMPADDR),
        (set.no_prefix_route, IFA_F_NOPREFIXROUTE),
        (set.auto_join, IFA_F_MCAUTOJOIN),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .fold(0, |flags, (_, flag)| flags | flag)
}
