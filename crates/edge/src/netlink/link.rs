//! A picture of the interfaces and their addresses, kept up to date by events.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Socket;
use super::address::{Assigned, assigned};

/// The event groups that [`Interfaces`] follows.
pub const GROUPS: [u32; 3] =
    [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is up and has a carrier.
    pub usable: bool,
    /// Its Ethernet address; absent on the loopback and on devices without one.
    pub mac: Option<[u8; 6]>,
}

/// All interfaces of a network namespace with their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Assigned>,
}

impl Interfaces {
    /// Reads them. To miss nothing, subscribe to [`GROUPS`] on another socket before.
    pub fn load(requests: &mut Socket) -> io::Result<Interfaces> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut interfaces = Interfaces::default();
        for message in requests.request(all, NLM_F_DUMP)? {
            interfaces.apply(&message);
        }
        interfaces.addresses = requests.addresses()?;
        Ok(interfaces)
    }

    /// Takes over what an event says; events about other things are nothing.
    pub fn apply(&mut self, event: &RouteNetlinkMessage) {
        match event {
            // A bridge tells of its ports by messages of its own family: "gone" means that the
            // interface left the bridge.
            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family != AddressFamily::Unspec => {}
            RouteNetlinkMessage::NewLink(message) => {
                if let Some(link) = link(message) {
                    self.links.insert(link.index, link);
                }
            }
            RouteNetlinkMessage::DelLink(message) => {
                let index = message.header.index;
                self.links.remove(&index);
                self.addresses.retain(|address| address.interface != index);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let Some(address) = assigned(message) else { return };
                if !self.addresses.contains(&address) {
                    self.addresses.push(address);
                }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let gone = assigned(message);
                self.addresses.retain(|address| Some(*address) != gone);
            }
            _ => {}
        }
    }

    /// The interface of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The IPv4 addresses of an interface with their prefix lengths, the primary one first.
    pub fn ipv4(&self, index: u32) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        self.addresses.iter().filter_map(move |assigned| match assigned.address {
            std::net::IpAddr::V4(address) if assigned.interface == index => {
                Some((address, assigned.prefix_len))
            }
            _ => None,
        })
    }

    /// The IPv6 addresses of an interface with their prefix lengths.
    pub fn ipv6(&self, index: u32) -> impl Iterator<Item = (Ipv6Addr, u8)> {
        self.addresses.iter().filter_map(move |assigned| match assigned.address {
            std::net::IpAddr::V6(address) if assigned.interface == index => {
                Some((address, assigned.prefix_len))
            }
            _ => None,
        })
    }

    /// All interfaces, by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Whether an interface has an address.
    pub fn has(&self, address: Assigned) -> bool {
        self.addresses.contains(&address)
    }
}

fn link(message: &LinkMessage) -> Option<Link> {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    });
    let flags = message.header.flags;
    Some(Link {
        index: message.header.index,
        name,
        usable: flags.contains(LinkFlags::Up | LinkFlags::Running),
        mac: mac.filter(|mac| *mac != [0; 6]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn the_loopback_is_usable_and_has_its_address() {
        let interfaces = Interfaces::load(&mut Socket::open().unwrap()).unwrap();
        let lo = interfaces.link("lo").unwrap();
        assert!(lo.usable && lo.mac.is_none());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(interfaces.has(Assigned { interface: lo.index, address, prefix_len: 8 }));
        assert_eq!(interfaces.ipv4(lo.index).next(), Some((Ipv4Addr::LOCALHOST, 8)));
    }

    #[test]
    fn an_interface_that_left_a_bridge_is_still_there() {
        let mut interfaces = Interfaces::load(&mut Socket::open().unwrap()).unwrap();
        let mut message = LinkMessage::default();
        message.header.index = interfaces.link("lo").unwrap().index;
        message.header.interface_family = AddressFamily::Bridge;
        interfaces.apply(&RouteNetlinkMessage::DelLink(message));
        assert!(interfaces.link("lo").is_some());
    }

    #[test]
    fn an_interface_that_vanished_takes_its_addresses_along() {
        let mut interfaces = Interfaces::load(&mut Socket::open().unwrap()).unwrap();
        let lo = interfaces.link("lo").unwrap().index;
        let mut message = LinkMessage::default();
        message.header.index = lo;
        interfaces.apply(&RouteNetlinkMessage::DelLink(message));
        assert!(interfaces.link("lo").is_none());
        assert_eq!(interfaces.ipv4(lo).count(), 0);
    }
}
