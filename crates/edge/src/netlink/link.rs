//! A picture of the interfaces and their addresses, kept up to date by events.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::link::{
    InfoKind, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Socket;
use super::address::{Assigned, assigned, settled};
use super::assignments::Assignments;
use super::virtual_link::Place;

/// The event groups that [`Interfaces`] follows.
pub const GROUPS: [u32; 3] =
    [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Tells it from another that had its index before.
    pub generation: u64,
    /// Its name.
    pub name: String,
    /// Its administrator set it up.
    pub up: bool,
    /// It is up and has a carrier.
    pub usable: bool,
    /// Its Ethernet address; absent on the loopback and on devices without one.
    pub mac: Option<[u8; 6]>,
    /// Its kind, where that is one of ours.
    pub kind: Option<LinkKind>,
    /// Index of the interface below it; of another namespace where this one has none of it.
    pub base: Option<u32>,
    /// Its group and VRF.
    pub place: Place,
}

/// The kinds of virtual interface that VRRP makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// macvlan
    Macvlan,
    /// ipvlan
    Ipvlan,
}

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface is new.
    LinkAppeared(Link),
    /// An interface is gone, and its addresses with it.
    LinkVanished(Link),
    /// An interface is other than before.
    LinkChanged {
        /// As it was.
        before: Link,
        /// As it is.
        now: Link,
    },
    /// An interface has one more address, or one more that passed duplicate address detection.
    AddressAdded(Assigned),
    /// An interface has an address less.
    AddressGone(Assigned),
}

/// All interfaces of a network namespace with their addresses. Lookups are hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    links: HashMap<u32, Link>,
    names: HashMap<String, u32>,
    addresses: Assignments,
    generation: u64,
}

impl Interfaces {
    /// Reads them. To miss nothing, subscribe to [`GROUPS`] on another socket before.
    pub fn load(requests: &mut Socket) -> io::Result<Interfaces> {
        let mut interfaces = Interfaces::default();
        interfaces.reload(requests).map(|_| interfaces)
    }

    /// Reads them anew and says what changed.
    pub fn reload(&mut self, requests: &mut Socket) -> io::Result<Vec<Change>> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = requests.request(all, NLM_F_DUMP)?;
        let mut addresses = Assignments::default();
        for (address, settled) in requests.dump_addresses()? {
            addresses.add(address, settled);
        }
        let mut changes = Vec::new();
        let mut gone: Vec<u32> = self.links.keys().copied().collect();
        for message in &links {
            if let RouteNetlinkMessage::NewLink(link) = message {
                gone.retain(|index| *index != link.header.index);
            }
        }
        gone.into_iter().for_each(|index| changes.extend(self.remove(index)));
        changes.extend(links.iter().filter_map(|message| self.apply(message)));
        changes.extend(self.addresses.missing_in(&addresses).map(Change::AddressGone));
        changes.extend(addresses.missing_in(&self.addresses).map(Change::AddressAdded));
        self.addresses = addresses;
        Ok(changes)
    }

    /// Takes over what an event says; events about other things are nothing.
    pub fn apply(&mut self, event: &RouteNetlinkMessage) -> Option<Change> {
        match event {
            // A bridge tells of its ports by messages of its own family: "gone" means that the
            // interface left the bridge.
            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)
                if message.header.interface_family != AddressFamily::Unspec =>
            {
                None
            }
            RouteNetlinkMessage::NewLink(message) => self.insert(link(message)?),
            RouteNetlinkMessage::DelLink(message) => self.remove(message.header.index),
            RouteNetlinkMessage::NewAddress(message) => {
                let address = assigned(message)?;
                let added = self.addresses.add(address, settled(message));
                added.then_some(Change::AddressAdded(address))
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let address = assigned(message)?;
                self.addresses.remove(address).then_some(Change::AddressGone(address))
            }
            _ => None,
        }
    }

    fn insert(&mut self, mut now: Link) -> Option<Change> {
        let before = self.links.get(&now.index).cloned();
        now.generation = before.as_ref().map_or(self.generation + 1, |link| link.generation);
        self.generation = self.generation.max(now.generation);
        // A name may have gone to another interface since.
        if let Some(before) = &before
            && before.name != now.name
            && self.names.get(&before.name) == Some(&now.index)
        {
            self.names.remove(&before.name);
        }
        self.names.insert(now.name.clone(), now.index);
        self.links.insert(now.index, now.clone());
        match before {
            None => Some(Change::LinkAppeared(now)),
            Some(before) if before == now => None,
            Some(before) => Some(Change::LinkChanged { before, now }),
        }
    }

    fn remove(&mut self, index: u32) -> Option<Change> {
        let link = self.links.remove(&index)?;
        if self.names.get(&link.name) == Some(&index) {
            self.names.remove(&link.name);
        }
        self.addresses.remove_all(index);
        Some(Change::LinkVanished(link))
    }

    /// The interface of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.names.get(name).and_then(|index| self.links.get(index))
    }

    /// The interface with this index.
    pub fn by_index(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// All interfaces, in no order.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The IPv4 addresses of an interface with their prefix lengths, the primary one first.
    pub fn ipv4(&self, index: u32) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        self.addresses.of(index).filter_map(|(address, length)| match address {
            IpAddr::V4(address) => Some((address, length)),
            IpAddr::V6(_) => None,
        })
    }

    /// The IPv6 addresses of an interface with their prefix lengths, those left out that
    /// duplicate address detection has not let pass.
    pub fn ipv6(&self, index: u32) -> impl Iterator<Item = (Ipv6Addr, u8)> {
        self.addresses.of(index).filter_map(|(address, length)| match address {
            IpAddr::V6(address) => Some((address, length)),
            IpAddr::V4(_) => None,
        })
    }

    /// Whether an interface has an address, usable already or not.
    pub fn has(&self, address: Assigned) -> bool {
        self.addresses.contains(address)
    }

    /// Whether any interface has this address, whatever its prefix length.
    pub fn has_anywhere(&self, address: IpAddr) -> bool {
        self.addresses.contains_address(address)
    }

    /// Asks the kernel for one interface by name, before an event tells of it.
    pub fn learn(&mut self, requests: &mut Socket, name: &str) -> io::Result<Option<Change>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answer = requests.request(RouteNetlinkMessage::GetLink(message), 0)?;
        Ok(answer.iter().find_map(|message| self.apply(message)))
    }

    /// Notes that an interface was removed, before the event says so.
    pub fn forget(&mut self, index: u32) {
        self.remove(index);
    }

    /// Notes that an address was added or removed, before the event says so.
    pub fn note(&mut self, address: Assigned, present: bool) {
        match present {
            true => self.addresses.add(address, true),
            false => self.addresses.remove(address),
        };
    }
}

fn link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        generation: 0,
        name: String::new(),
        up: flags.contains(LinkFlags::Up),
        usable: flags.contains(LinkFlags::Up | LinkFlags::Running),
        mac: None,
        kind: None,
        base: None,
        place: Place::default(),
    };
    let mut controller = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = <[u8; 6]>::try_from(&bytes[..]).ok(),
            LinkAttribute::Link(base) => link.base = Some(*base),
            LinkAttribute::Group(group) => link.place.group = *group,
            LinkAttribute::Controller(index) => controller = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(kind);
                let in_vrf = infos.iter().any(is_vrf_port);
                link.place.vrf = if in_vrf { Some(0) } else { None };
            }
            _ => {}
        }
    }
    link.place.vrf = link.place.vrf.and(controller);
    link.mac = link.mac.filter(|mac| *mac != [0; 6]);
    (!link.name.is_empty()).then_some(link)
}

fn kind(info: &LinkInfo) -> Option<LinkKind> {
    match info {
        LinkInfo::Kind(InfoKind::MacVlan) => Some(LinkKind::Macvlan),
        LinkInfo::Kind(InfoKind::IpVlan) => Some(LinkKind::Ipvlan),
        _ => None,
    }
}

fn is_vrf_port(info: &LinkInfo) -> bool {
    matches!(info, LinkInfo::PortKind(InfoPortKind::Vrf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Interfaces {
        Interfaces::load(&mut Socket::open().unwrap()).unwrap()
    }

    fn message(index: u32, name: &str, mac: u8) -> RouteNetlinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up | LinkFlags::Running;
        message.attributes.push(LinkAttribute::IfName(name.into()));
        message.attributes.push(LinkAttribute::Address(vec![2, 0, 0, 0, 0, mac]));
        RouteNetlinkMessage::NewLink(message)
    }

    fn gone(index: u32) -> RouteNetlinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        RouteNetlinkMessage::DelLink(message)
    }

    #[test]
    fn the_loopback_is_usable_and_has_its_address() {
        let interfaces = load();
        let lo = interfaces.link("lo").unwrap();
        assert!(lo.usable && lo.mac.is_none());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(interfaces.has(Assigned { interface: lo.index, address, prefix_len: 8 }));
        assert!(interfaces.has_anywhere(address));
        assert_eq!(interfaces.ipv4(lo.index).next(), Some((Ipv4Addr::LOCALHOST, 8)));
    }

    #[test]
    fn an_interface_that_left_a_bridge_is_still_there() {
        let mut interfaces = load();
        let mut message = LinkMessage::default();
        message.header.index = interfaces.link("lo").unwrap().index;
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(interfaces.apply(&RouteNetlinkMessage::DelLink(message)), None);
        assert!(interfaces.link("lo").is_some());
    }

    #[test]
    fn an_interface_that_vanished_takes_its_addresses_along() {
        let mut interfaces = load();
        let lo = interfaces.link("lo").unwrap().index;
        assert!(matches!(interfaces.apply(&gone(lo)), Some(Change::LinkVanished(_))));
        assert!(interfaces.link("lo").is_none());
        assert_eq!(interfaces.ipv4(lo).count(), 0);
        assert!(!interfaces.has_anywhere(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_interface_made_again_under_its_index_is_another_one() {
        let mut interfaces = Interfaces::default();
        interfaces.apply(&message(7, "eth0", 1));
        let before = interfaces.link("eth0").unwrap().clone();
        assert_eq!(interfaces.apply(&message(7, "eth0", 1)), None);
        interfaces.apply(&gone(7));
        interfaces.apply(&message(7, "eth0", 1));
        let after = interfaces.link("eth0").unwrap();
        assert_ne!(before.generation, after.generation);
    }

    #[test]
    fn names_follow_when_two_interfaces_swap_them() {
        let mut interfaces = Interfaces::default();
        interfaces.apply(&message(7, "eth0", 1));
        interfaces.apply(&message(8, "eth1", 2));
        for (index, name) in [(7, "spare"), (8, "eth0"), (7, "eth1")] {
            let change = interfaces.apply(&message(index, name, index as u8 - 6));
            assert!(matches!(change, Some(Change::LinkChanged { .. })));
        }
        assert_eq!(interfaces.link("eth0").map(|link| link.index), Some(8));
        assert_eq!(interfaces.link("eth1").map(|link| link.index), Some(7));
        assert!(interfaces.link("spare").is_none());
    }

    #[test]
    fn reading_anew_says_what_was_missed() {
        let mut interfaces = load();
        let lo = interfaces.link("lo").unwrap().clone();
        interfaces.apply(&message(0x7fff_0000, "ghost", 1));
        let address = Assigned {
            interface: lo.index,
            address: Ipv4Addr::new(127, 9, 9, 9).into(),
            prefix_len: 8,
        };
        interfaces.note(address, true);
        let changes = interfaces.reload(&mut Socket::open().unwrap()).unwrap();
        assert!(changes.contains(&Change::AddressGone(address)), "{changes:?}");
        assert!(
            changes.iter().any(|c| matches!(c, Change::LinkVanished(l) if l.name == "ghost")),
            "{changes:?}"
        );
        assert_eq!(interfaces.link("lo").unwrap().generation, lo.generation);
    }
}
