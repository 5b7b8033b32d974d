//! Networks, and addresses in them that nobody uses yet.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use model::Plan;
use serde::Serialize;

use super::Held;
use super::services::Found;

/// The client's and the directors' common network: half of the benchmark range (RFC 2544).
const CLIENT_NETWORK: Network = Network { base: Ipv4Addr::new(198, 18, 0, 0), prefix_len: 24 };
/// Where the many clients of a drill come from: the other half.
pub const CLIENTS_NETWORK: Network = Network { base: Ipv4Addr::new(198, 19, 0, 0), prefix_len: 16 };

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Network {
    /// Its lowest address.
    pub base: Ipv4Addr,
    /// Its prefix length, 8 to 32.
    pub prefix_len: u8,
}

impl Network {
    /// The network of this size that an address is in.
    pub fn around(address: Ipv4Addr, prefix_len: u8) -> Network {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len.min(32))).unwrap_or(0);
        Network { base: Ipv4Addr::from(u32::from(address) & mask), prefix_len }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        Network::around(address, self.prefix_len) == self
    }

    /// The address at this distance from the base.
    pub fn at(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(offset))
    }
}

/// Networks of the files and the directors' addresses in them.
pub(super) struct AddressPlan {
    used: HashSet<Ipv4Addr>,
    /// Networks with the interface they are on and the directors' addresses in them.
    networks: Vec<(Network, String, [Ipv4Addr; 2])>,
    held: Vec<Held>,
}

impl AddressPlan {
    pub(super) fn new(plan: &Plan, held: &[Held], found: &Found) -> Result<AddressPlan, String> {
        let mut used: HashSet<Ipv4Addr> = held.iter().map(|held| held.address).collect();
        used.extend(found.services.iter().map(|service| *service.address.ip()));
        used.extend(found.servers.iter().map(|server| server.address));
        let services = plan.layer4.virtual_servers.iter().flat_map(|server| &server.services);
        used.extend(services.filter_map(|key| match key.address() {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        }));
        let clash = used.iter().find(|&&address| {
            CLIENT_NETWORK.contains(address) || CLIENTS_NETWORK.contains(address)
        });
        if let Some(address) = clash {
            return Err(format!("{address} is in 198.18.0.0/15, where the lab's own clients live"));
        }
        used.insert(CLIENT_NETWORK.at(1));
        Ok(AddressPlan { used, networks: Vec::new(), held: held.to_vec() })
    }

    /// The client's own address.
    pub(super) fn client(&self) -> Ipv4Addr {
        CLIENT_NETWORK.at(1)
    }

    /// The network of a server, placed on the servers' interface: that of an address held there
    /// with a real prefix, else its /24.
    pub(super) fn server_network(&mut self, server: Ipv4Addr, interface: &str) -> Network {
        let network = self
            .held
            .iter()
            .filter(|held| held.interface == interface)
            .map(network_of)
            .find(|network| network.contains(server))
            .unwrap_or(Network::around(server, 24));
        self.place(network, interface);
        network
    }

    /// The directors' addresses in a network that was placed.
    pub(super) fn director_in(&mut self, network: Network) -> [Ipv4Addr; 2] {
        let known = self.networks.iter().find(|(known, _, _)| *known == network);
        known.map_or([network.at(1); 2], |(_, _, directors)| *directors)
    }

    /// The directors' own addresses on an interface. Call it for the servers' interface after
    /// every [`server_network`](Self::server_network).
    pub(super) fn of_directors(
        &mut self,
        interface: &str,
        clients: bool,
    ) -> [Vec<(Ipv4Addr, u8)>; 2] {
        let here: Vec<Network> =
            self.held.iter().filter(|held| held.interface == interface).map(network_of).collect();
        for network in here {
            self.place(network, interface);
        }
        if clients {
            self.place(CLIENT_NETWORK, interface);
        }
        if !self.networks.iter().any(|(_, placed, _)| placed == interface) {
            // VRRP needs a source address even where nothing else has one.
            self.place(Network::around(Ipv4Addr::new(198, 18, 1, 0), 24), interface);
        }
        [0, 1].map(|director| {
            let here = self.networks.iter().filter(|(_, placed, _)| placed == interface);
            here.map(|(network, _, own)| (own[director], network.prefix_len)).collect()
        })
    }

    /// Puts a network on an interface, unless it is on one already, and picks the directors'
    /// addresses: from the top of the network downwards.
    fn place(&mut self, network: Network, interface: &str) {
        let overlaps =
            |other: Network| other.contains(network.base) || network.contains(other.base);
        if self.networks.iter().any(|(known, _, _)| overlaps(*known)) {
            return;
        }
        let last = (1u64 << (32 - u32::from(network.prefix_len))) as u32 - 2;
        let mut free = (1..=last).rev().map(|offset| network.at(offset)).filter(|address| {
            // .254 is where people expect a gateway.
            !self.used.contains(address) && address.octets()[3] < 254
        });
        let (Some(second), Some(first)) = (free.next(), free.next()) else { return };
        self.used.extend([first, second]);
        self.networks.push((network, interface.to_owned(), [first, second]));
    }
}

/// The network of a held address: its prefix when it is one, else its /24.
fn network_of(held: &Held) -> Network {
    let prefix_len = if (8..=29).contains(&held.prefix_len) { held.prefix_len } else { 24 };
    Network::around(held.address, prefix_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let network = Network::around(Ipv4Addr::new(10, 1, 2, 3), 24);
        assert_eq!(network.base, Ipv4Addr::new(10, 1, 2, 0));
        assert!(network.contains(Ipv4Addr::new(10, 1, 2, 255)));
        assert!(!network.contains(Ipv4Addr::new(10, 1, 3, 0)));
        assert!(Network::around(Ipv4Addr::new(1, 1, 1, 1), 32).contains(Ipv4Addr::new(1, 1, 1, 1)));
    }
}
