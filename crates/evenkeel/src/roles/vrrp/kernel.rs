//! Does what the router asks for: sends adverts, moves addresses, announces them, sets gates.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use edge::arp::ArpSocket;
use edge::bpf::Gate;
use edge::netlink::Socket;
use edge::netlink::address::Assigned;
use edge::netlink::link::{Interfaces, Link};
use edge::raw::LinkSocket;
use model::vrrp::{VirtualAddress, VrrpInstance, VrrpPlan};
use proto::vrrp::packet;

/// The advert socket of one interface.
pub(super) struct Station {
    /// Index of the interface it was opened on.
    pub(super) index: u32,
    /// The socket.
    pub(super) socket: LinkSocket,
}

/// Everything of the kernel that this role works on.
pub(super) struct Kernel {
    requests: Socket,
    arp: ArpSocket,
    /// The interfaces, as last told by events.
    pub(super) interfaces: Interfaces,
    /// Where adverts are sent and heard, by interface name.
    pub(super) stations: BTreeMap<String, Station>,
    /// Absent where BPF is not available.
    pub(super) gate: Option<Gate>,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Kernel> {
        let mut requests = Socket::open()?;
        let interfaces = Interfaces::load(&mut requests)?;
        let arp = ArpSocket::open()?;
        Ok(Kernel { requests, arp, interfaces, stations: BTreeMap::new(), gate: None })
    }

    /// Reads the interfaces anew, after events were lost.
    pub(super) fn reload(&mut self) -> io::Result<()> {
        self.interfaces = Interfaces::load(&mut self.requests)?;
        Ok(())
    }

    /// Opens the advert socket of an interface.
    pub(super) fn station(&mut self, name: &str, index: u32) -> io::Result<&Station> {
        let socket = LinkSocket::open(packet::PROTOCOL, packet::GROUP, name, index)?;
        self.stations.insert(name.to_owned(), Station { index, socket });
        Ok(&self.stations[name])
    }

    /// Sends an advert; nothing where the interface is gone.
    pub(super) fn send(
        &mut self,
        interface: &str,
        source: Ipv4Addr,
        message: &[u8],
    ) -> io::Result<()> {
        match self.stations.get_mut(interface) {
            Some(station) => station.socket.send(source, message),
            None => Ok(()),
        }
    }

    /// Opens the gate of an address and puts it on its interface.
    pub(super) fn add(&mut self, plan: &VrrpInstance, address: &VirtualAddress) -> io::Result<()> {
        self.set_gate(address.address, true);
        let link = self.link_of(plan, address).ok_or(io::ErrorKind::NotFound)?;
        let index = link.index;
        self.requests.add_address(index, address)
    }

    /// Closes the gate of an address and takes it from its interface. False when it was not
    /// there.
    pub(super) fn remove(
        &mut self,
        plan: &VrrpInstance,
        address: &VirtualAddress,
    ) -> io::Result<bool> {
        self.set_gate(address.address, false);
        match self.link_of(plan, address).map(|link| link.index) {
            Some(index) => self.requests.remove_address(index, address),
            None => Ok(false),
        }
    }

    /// Tells the link where an address is. Links without Ethernet addresses need no telling.
    pub(super) fn announce(&self, plan: &VrrpInstance, address: &VirtualAddress) -> io::Result<()> {
        let link = self.link_of(plan, address);
        let Some((index, mac)) = link.and_then(|link| Some((link.index, link.mac?))) else {
            return Ok(());
        };
        match address.address {
            IpAddr::V4(ipv4) => self.arp.announce(index, mac, ipv4),
            // Neighbour advertisements belong to VRRP over IPv6.
            IpAddr::V6(_) => Ok(()),
        }
    }

    /// Whether an address is on its interface.
    pub(super) fn holds(&self, plan: &VrrpInstance, address: &VirtualAddress) -> bool {
        let VirtualAddress { address: ip, prefix_len, .. } = *address;
        self.link_of(plan, address).is_some_and(|link| {
            self.interfaces.has(Assigned { interface: link.index, address: ip, prefix_len })
        })
    }

    /// The address that adverts on an interface come from: its first one that is no virtual
    /// address. Absent when the interface is not usable.
    pub(super) fn source(&self, name: &str, plan: &VrrpPlan) -> Option<Ipv4Addr> {
        let link = self.interfaces.link(name).filter(|link| link.usable)?;
        let moving: BTreeSet<(IpAddr, u8)> = plan
            .instances
            .iter()
            // The addresses of their owner are its own.
            .filter(|instance| instance.priority.number() < 255)
            .flat_map(addresses)
            .map(|address| (address.address, address.prefix_len))
            .collect();
        let own = |(ip, prefix): &(Ipv4Addr, u8)| !moving.contains(&(IpAddr::V4(*ip), *prefix));
        self.interfaces.ipv4(link.index).find(own).map(|(address, _)| address)
    }

    /// Opens or closes the gate of an address.
    pub(super) fn set_gate(&self, address: IpAddr, open: bool) {
        if let Some(gate) = &self.gate {
            // It fails when the map is full: then the address is open, as without VRRP.
            let _ = gate.set(address, open);
        }
    }

    /// Forgets the gate of an address that VRRP does not manage any more.
    pub(super) fn remove_gate(&self, address: IpAddr) {
        if let Some(gate) = &self.gate {
            // An address that has no gate is no error that matters here.
            let _ = gate.remove(address);
        }
    }

    fn link_of(&self, plan: &VrrpInstance, address: &VirtualAddress) -> Option<&Link> {
        self.interfaces.link(address.interface.as_ref().unwrap_or(&plan.interface))
    }
}

/// All addresses that an instance holds as master.
pub(super) fn addresses(plan: &VrrpInstance) -> impl Iterator<Item = &VirtualAddress> {
    plan.addresses.iter().chain(&plan.excluded_addresses)
}
