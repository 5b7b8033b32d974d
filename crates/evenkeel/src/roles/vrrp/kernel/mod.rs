//! What the role changes in the kernel: it moves addresses and sets gates.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use edge::bpf::Gate;
use edge::netlink::Socket;
use edge::netlink::address::Assigned;
use edge::netlink::link::{Interfaces, Link};
use model::vrrp::{VirtualAddress, VrrpInstance, VrrpPlan};

/// Everything of the kernel that this role works on.
pub(in crate::roles::vrrp) struct Kernel {
    requests: Socket,
    /// The interfaces, as last told by events.
    pub(in crate::roles::vrrp) interfaces: Interfaces,
    /// Absent where BPF is not available.
    pub(in crate::roles::vrrp) gate: Option<Gate>,
}

impl Kernel {
    pub(in crate::roles::vrrp) fn open() -> io::Result<Kernel> {
        let mut requests = Socket::open()?;
        let interfaces = Interfaces::load(&mut requests)?;
        Ok(Kernel { requests, interfaces, gate: None })
    }

    /// Reads the interfaces anew, after events were lost.
    pub(in crate::roles::vrrp) fn reload(&mut self) -> io::Result<()> {
        self.interfaces = Interfaces::load(&mut self.requests)?;
        Ok(())
    }

    /// Opens the gate of an address and puts it on its interface.
    pub(in crate::roles::vrrp) fn add(
        &mut self,
        plan: &VrrpInstance,
        address: &VirtualAddress,
    ) -> io::Result<()> {
        self.set_gate(address.address, true);
        let link = self.link_of(plan, address).ok_or(io::ErrorKind::NotFound)?;
        let index = link.index;
        self.requests.add_address(index, address)
    }

    /// Closes the gate of an address and takes it from its interface. False when it was not
    /// there.
    pub(in crate::roles::vrrp) fn remove(
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

    /// Whether an address is on its interface.
    pub(in crate::roles::vrrp) fn holds(
        &self,
        plan: &VrrpInstance,
        address: &VirtualAddress,
    ) -> bool {
        let VirtualAddress { address: ip, prefix_len, .. } = *address;
        self.link_of(plan, address).is_some_and(|link| {
            self.interfaces.has(Assigned { interface: link.index, address: ip, prefix_len })
        })
    }

    /// The address that adverts on an interface come from: its first one that is no virtual
    /// address. Absent when the interface is not usable.
    pub(in crate::roles::vrrp) fn source(&self, name: &str, plan: &VrrpPlan) -> Option<Ipv4Addr> {
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
    pub(in crate::roles::vrrp) fn set_gate(&self, address: IpAddr, open: bool) {
        if let Some(gate) = &self.gate {
            // It fails when the map is full: then the address is open, as without VRRP.
            let _ = gate.set(address, open);
        }
    }

    /// Forgets the gate of an address that VRRP does not manage any more.
    pub(in crate::roles::vrrp) fn remove_gate(&self, address: IpAddr) {
        if let Some(gate) = &self.gate {
            // An address that has no gate is no error that matters here.
            let _ = gate.remove(address);
        }
    }

    fn link_of(&self, plan: &VrrpInstance, address: &VirtualAddress) -> Option<&Link> {
        self.interfaces.link(plan.interface_of(address))
    }
}

/// All addresses that an instance holds as master.
pub(in crate::roles::vrrp) fn addresses(
    plan: &VrrpInstance,
) -> impl Iterator<Item = &VirtualAddress> {
    plan.addresses.iter().chain(&plan.excluded_addresses)
}
