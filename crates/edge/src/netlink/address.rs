//! Addresses of interfaces: adding, removing, listing.

use std::io;
use std::net::IpAddr;

use model::vrrp::{Broadcast, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Socket;

/// An address that an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assigned {
    /// Index of the interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix_len: u8,
}

/// An event says that an interface has a new address.
pub fn is_new(event: &RouteNetlinkMessage) -> bool {
    matches!(event, RouteNetlinkMessage::NewAddress(_))
}

impl Socket {
    /// Puts an address on the interface with this index; one that is already there stays.
    pub fn add_address(&mut self, interface: u32, address: &VirtualAddress) -> io::Result<()> {
        let mut message = message(interface, address);
        if let Some(Broadcast::Address(broadcast)) = address.broadcast {
            message.attributes.push(AddressAttribute::Broadcast(broadcast));
        }
        if let Some(label) = &address.label {
            message.attributes.push(AddressAttribute::Label(label.clone()));
        }
        let message = RouteNetlinkMessage::NewAddress(message);
        self.request(message, NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    /// Takes an address from the interface with this index. False when it was not there, or the
    /// interface is gone.
    pub fn remove_address(&mut self, interface: u32, address: &VirtualAddress) -> io::Result<bool> {
        let message = RouteNetlinkMessage::DelAddress(message(interface, address));
        match self.request(message, 0) {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EADDRNOTAVAIL | libc::ENODEV) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// All addresses of this network namespace, in the kernel's order (an interface's first
    /// address is its primary one).
    pub fn addresses(&mut self) -> io::Result<Vec<Assigned>> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answer = self.request(all, NLM_F_DUMP)?;
        Ok(answer
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => assigned(message),
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

fn message(interface: u32, address: &VirtualAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = interface;
    message.header.prefix_len = address.prefix_len;
    message.header.scope = address.scope.into();
    message.header.family = match address.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.attributes =
        vec![AddressAttribute::Local(address.address), AddressAttribute::Address(address.address)];
    message
}
