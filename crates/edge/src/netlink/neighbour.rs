//! The kernel's neighbour table: next hops it keeps resolved, and the MAC addresses of interfaces.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Socket;
use super::address::{family_number, write_address};
use super::batch::Batch;

/// Attribute of the further flags of a neighbour. Kernel: linux/neighbour.h.
const NDA_FLAGS_EXT: u16 = 15;
/// The kernel keeps the neighbour resolved.
const NTF_EXT_MANAGED: u32 = 1;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// One neighbour as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Interface it is on.
    pub interface: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address, if the kernel would use one now.
    pub mac: Option<Mac>,
    /// An administrator said where it is (`nud permanent`, `nud noarp`): nobody asks.
    pub fixed: bool,
}

/// An interface, as far as forwarding is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address; `None` for interfaces that have no Ethernet address.
    pub mac: Option<Mac>,
    /// It is set up by its administrator.
    pub up: bool,
    /// Largest IP packet that it sends, in bytes.
    pub mtu: u32,
}

/// What changed, in the words of those who forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A neighbour is new or other than before.
    Neighbour(Neighbour),
    /// A neighbour's entry is gone.
    NeighbourGone(Neighbour),
    /// An interface is new or other than before.
    Interface(Interface),
    /// An interface is gone.
    InterfaceGone(Interface),
    /// The routes changed: look up anew.
    Routes,
}

/// Groups to subscribe to for [`read_change`].
pub const GROUPS: [u32; 6] = [
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV6_IFADDR,
];

/// Reads an event; `None` when it is none of ours.
pub fn read_change(message: &RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewNeighbour(neighbour) => {
            read_neighbour(neighbour).map(Change::Neighbour)
        }
        RouteNetlinkMessage::DelNeighbour(neighbour) => {
            read_neighbour(neighbour).map(Change::NeighbourGone)
        }
        RouteNetlinkMessage::NewLink(link) => read_interface(link).map(Change::Interface),
        RouteNetlinkMessage::DelLink(link) => read_interface(link).map(Change::InterfaceGone),
        RouteNetlinkMessage::NewRoute(_)
        | RouteNetlinkMessage::DelRoute(_)
        | RouteNetlinkMessage::NewAddress(_)
        | RouteNetlinkMessage::DelAddress(_) => Some(Change::Routes),
        _ => None,
    }
}

fn read_neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let usable = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    );
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(of)) => {
                address = Some(IpAddr::from(*of));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(of)) => {
                address = Some(IpAddr::from(*of));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = Mac::try_from(&bytes[..]).ok(),
            _ => {}
        }
    }
    let interface = message.header.ifindex;
    let state = message.header.state;
    let fixed = matches!(state, NeighbourState::Permanent | NeighbourState::Noarp);
    Some(Neighbour { interface, address: address?, mac: mac.filter(|_| usable), fixed })
}

fn read_interface(message: &LinkMessage) -> Option<Interface> {
    // A bridge tells of its ports by messages of its own family: "gone" means that the
    // interface left the bridge.
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let (mut name, mut mac, mut mtu) = (None, None, u32::MAX);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(of) => name = Some(of.clone()),
            LinkAttribute::Mtu(of) => mtu = *of,
            LinkAttribute::Address(bytes) => mac = Mac::try_from(&bytes[..]).ok(),
            _ => {}
        }
    }
    let up = message.header.flags.contains(LinkFlags::Up);
    Some(Interface { index: message.header.index, name: name?, mac, up, mtu })
}

/// Every interface of this network namespace.
pub fn interfaces(socket: &mut Socket) -> io::Result<Vec<Interface>> {
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answer = socket.request(all, NLM_F_DUMP)?;
    Ok(answer
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => read_interface(link),
            _ => None,
        })
        .collect())
}

/// Every neighbour of this network namespace, of both families.
pub fn neighbours(socket: &mut Socket) -> io::Result<Vec<Neighbour>> {
    let question = NeighbourMessage::default();
    let answer = socket.request(RouteNetlinkMessage::GetNeighbour(question), NLM_F_DUMP)?;
    Ok(answer
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => read_neighbour(neighbour),
            _ => None,
        })
        .collect())
}

fn entry(interface: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    let (family, address) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    message.header.family = family;
    message.header.ifindex = interface;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}

/// Asks the kernel to keep a neighbour resolved (NTF_MANAGED, Linux 5.16): it resolves it now and
/// never lets the entry go.
pub fn manage(socket: &mut Socket, interface: u32, address: IpAddr) -> io::Result<()> {
    let mut message = entry(interface, address);
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    socket.request(RouteNetlinkMessage::NewNeighbour(message), flags).map(drop)
}

/// As [`manage`] for many, in few system calls. Those that the kernel refuses are left out: it may
/// have no room for them.
pub fn manage_many(socket: &mut Socket, all: &[(u32, IpAddr)]) -> io::Result<()> {
    let mut batch = Batch::new();
    for (interface, address) in all {
        // struct ndmsg: family, padding, interface, state, flags, type.
        let mut fixed = [0; 12];
        fixed[0] = family_number(*address);
        fixed[4..8].copy_from_slice(&interface.to_ne_bytes());
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        let mut message = batch.message(libc::RTM_NEWNEIGH, flags, &fixed);
        write_address(&mut message, libc::NDA_DST, *address);
        message.u32(NDA_FLAGS_EXT, NTF_EXT_MANAGED);
    }
    socket.run(&mut batch)
}

/// Tells the kernel the MAC address that a managed neighbour was just heard to have.
pub fn correct(socket: &mut Socket, interface: u32, address: IpAddr, mac: Mac) -> io::Result<()> {
    let mut message = entry(interface, address);
    message.header.state = NeighbourState::Reachable;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    socket.request(RouteNetlinkMessage::NewNeighbour(message), flags).map(drop)
}

/// Lets a neighbour go that [`manage`] asked for. One that is gone already is no error.
pub fn release(socket: &mut Socket, interface: u32, address: IpAddr) -> io::Result<()> {
    match socket.request(RouteNetlinkMessage::DelNeighbour(entry(interface, address)), 0) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_the_interfaces() {
        let all = interfaces(&mut Socket::open().unwrap()).unwrap();
        assert!(all.iter().any(|interface| interface.name == "lo" && interface.index == 1));
    }

    #[test]
    fn a_failed_neighbour_has_no_mac() {
        for address in ["192.0.2.1", "2001:db8::1", "fe80::1"] {
            let address: IpAddr = address.parse().unwrap();
            let mut message = entry(3, address);
            message.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![2; 6]));
            message.header.state = NeighbourState::Reachable;
            let read = read_neighbour(&message).unwrap();
            assert_eq!(read, Neighbour { interface: 3, address, mac: Some([2; 6]), fixed: false });
            message.header.state = NeighbourState::Failed;
            assert_eq!(read_neighbour(&message).unwrap().mac, None);
            message.header.state = NeighbourState::Permanent;
            assert!(read_neighbour(&message).unwrap().fixed);
        }
    }
}
