//! Where adverts are sent and heard, and where announcements of addresses leave from.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use edge::arp::ArpSocket;
use edge::netlink::link::Interfaces;
use edge::raw::LinkSocket;
use model::vrrp::{VirtualAddress, VrrpInstance};
use proto::vrrp::packet;

/// The advert socket of one interface.
pub(super) struct Station {
    /// Index of the interface it was opened on.
    pub(super) index: u32,
    /// The socket.
    pub(super) socket: LinkSocket,
}

/// All sockets that packets of this role go through.
pub(super) struct Stations {
    arp: ArpSocket,
    /// Where adverts are sent and heard, by interface name.
    pub(super) open: BTreeMap<String, Station>,
}

impl Stations {
    /// None open yet.
    pub(super) fn new() -> io::Result<Stations> {
        Ok(Stations { arp: ArpSocket::open()?, open: BTreeMap::new() })
    }

    /// Opens the advert socket of an interface.
    pub(super) fn open(&mut self, name: &str, index: u32) -> io::Result<&Station> {
        let socket = LinkSocket::open(packet::PROTOCOL, packet::GROUP, name, index)?;
        self.open.insert(name.to_owned(), Station { index, socket });
        Ok(&self.open[name])
    }

    /// Sends an advert; nothing where the interface is gone.
    pub(super) fn send(
        &mut self,
        interface: &str,
        source: Ipv4Addr,
        message: &[u8],
    ) -> io::Result<()> {
        match self.open.get_mut(interface) {
            Some(station) => station.socket.send(source, message),
            None => Ok(()),
        }
    }

    /// Tells the link where an address is. Links without Ethernet addresses need no telling.
    pub(super) fn announce(
        &self,
        interfaces: &Interfaces,
        plan: &VrrpInstance,
        address: &VirtualAddress,
    ) -> io::Result<()> {
        let link = interfaces.link(plan.interface_of(address));
        let Some((index, mac)) = link.and_then(|link| Some((link.index, link.mac?))) else {
            return Ok(());
        };
        match address.address {
            IpAddr::V4(ipv4) => self.arp.announce(index, mac, ipv4),
            // Neighbour advertisements belong to VRRP over IPv6.
            IpAddr::V6(_) => Ok(()),
        }
    }
}
