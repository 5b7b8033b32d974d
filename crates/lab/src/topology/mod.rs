//! Which machines and networks a configuration implies.
//!
//! Every interface that the files name becomes one network segment. The client sits on the
//! segment of the addresses that clients connect to, in a network of its own, and has a host
//! route to each of them; real servers sit on the segment whose addresses are in their network,
//! else on the last one. Pure: a Plan goes in, a [`Topology`] comes out.

mod addresses;
mod services;

use std::net::{IpAddr, Ipv4Addr};

use model::Plan;
use model::layer4::{Forwarding, Protocol, Tunnel};
use model::plan::Global;
use serde::Serialize;

pub use addresses::{CLIENTS_NETWORK, Network};
pub(crate) use services::GREETING_PORTS;
pub use services::{Layer, Request, Service, Share};

use addresses::AddressPlan;

/// The most machines a lab starts: beyond it a rehearsal on one machine says nothing.
pub const SERVERS_MAX: usize = 64;

/// Everything that is going to be built.
#[derive(Clone, Debug, Serialize)]
pub struct Topology {
    /// Name of the pair of directors (`router_id`), for the picture.
    pub title: Option<String>,
    /// One per interface of the directors.
    pub segments: Vec<Segment>,
    /// Segment of the client's first interface.
    pub client_segment: usize,
    /// Segment of the servers.
    pub server_segment: usize,
    /// The client has an interface there too: with direct routing, servers answer it themselves.
    pub client_on_server_segment: bool,
    /// The client's own address.
    pub client: Ipv4Addr,
    /// Where further clients come from; routed to the client's own address.
    pub clients: Network,
    /// One or two: without a vrrp_instance there is nothing a second one could take over.
    pub directors: usize,
    /// The machines behind.
    pub servers: Vec<Server>,
    /// What clients use.
    pub services: Vec<Service>,
    /// Addresses that move with the master.
    pub held: Vec<Held>,
    /// Service addresses that nobody holds: the directors know them without answering for them,
    /// and the client routes them through the held address.
    pub routed: Vec<Routed>,
    /// What had to be assumed, in sentences.
    pub notes: Vec<String>,
}

/// One network segment: an interface of each director and whoever else is on it.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// Name of the directors' interface.
    pub interface: String,
    /// Own addresses of each director there.
    pub directors: [Vec<(Ipv4Addr, u8)>; 2],
}

/// A machine behind the directors.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// What it answers with.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network's prefix length.
    pub prefix_len: u8,
    /// Where it listens.
    pub ports: Vec<(Protocol, u16)>,
    /// Its default gateway (NAT only).
    pub gateway: Option<Ipv4Addr>,
    /// Service addresses it has on its loopback (direct routing and tunnels).
    pub loopback: Vec<Ipv4Addr>,
    /// Tunnels that end there.
    pub tunnels: Vec<Tunnel>,
}

/// An address that moves with the master of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The address.
    pub address: Ipv4Addr,
    /// Its prefix length in the file.
    pub prefix_len: u8,
    /// The interface that gets it.
    pub interface: String,
    /// The vrrp_instance.
    pub instance: String,
}

/// A service address outside of every instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Routed {
    /// The address.
    pub address: Ipv4Addr,
    /// The held address that the client's route names; absent when the directors hold none.
    pub via: Option<Ipv4Addr>,
    /// The directors need it on their loopback because a proxy listens on it.
    pub local: bool,
}

impl Topology {
    /// What a Plan implies, or why nothing can be rehearsed.
    pub fn of(plan: &Plan) -> Result<Topology, String> {
        let mut notes = Vec::new();
        let held = held(plan, &mut notes);
        let found = services::find(plan, &held, &mut notes)?;
        let interfaces = interfaces(plan);
        let client_segment = segment_of_clients(&interfaces, &held, &found.services);
        let server_segment = segment_of_servers(&interfaces, &held, &found.servers, client_segment);
        let direct = found.services.iter().any(|service| service.is_direct());

        let mut addresses = AddressPlan::new(plan, &held, &found)?;
        let mut servers = found.servers;
        for server in &mut servers {
            let network = addresses.server_network(server.address, &interfaces[server_segment]);
            server.prefix_len = network.prefix_len;
        }
        place_gateways(
            &mut servers,
            &found.services,
            &held,
            &interfaces[server_segment],
            &mut addresses,
            &mut notes,
        );
        let segments = (0..interfaces.len())
            .map(|number| Segment {
                interface: interfaces[number].clone(),
                directors: addresses.of_directors(&interfaces[number], number == client_segment),
            })
            .collect();
        let routed = routed(&found.services, &held, &interfaces[client_segment], &mut notes);
        if plan.vrrp.instances.is_empty() {
            notes.push(
                "there is no vrrp_instance: one director is started and nothing can take over \
                 from it"
                    .into(),
            );
        }
        Ok(Topology {
            title: title(&plan.global),
            segments,
            client_segment,
            server_segment,
            client_on_server_segment: direct && client_segment != server_segment,
            client: addresses.client(),
            clients: CLIENTS_NETWORK,
            directors: if plan.vrrp.instances.is_empty() { 1 } else { 2 },
            servers,
            services: found.services,
            held,
            routed,
            notes,
        })
    }
}

fn title(global: &Global) -> Option<String> {
    global.router_id.clone()
}

/// Every IPv4 address that an instance holds.
fn held(plan: &Plan, notes: &mut Vec<String>) -> Vec<Held> {
    let mut held = Vec::new();
    for instance in &plan.vrrp.instances {
        for virtual_address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            match virtual_address.address {
                IpAddr::V4(address) => held.push(Held {
                    address,
                    prefix_len: virtual_address.prefix_len,
                    interface: virtual_address
                        .interface
                        .clone()
                        .unwrap_or_else(|| instance.interface.clone()),
                    instance: instance.name.clone(),
                }),
                IpAddr::V6(address) => {
                    notes.push(format!("{address}: the lab rehearses IPv4 only"));
                }
            }
        }
    }
    held
}

/// The directors' interfaces, in file order. Without any instance: one.
fn interfaces(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for instance in &plan.vrrp.instances {
        let of_addresses = instance
            .addresses
            .iter()
            .chain(&instance.excluded_addresses)
            .filter_map(|address| address.interface.as_ref());
        for name in std::iter::once(&instance.interface).chain(of_addresses) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    if names.is_empty() {
        names.push("eth0".into());
    }
    names
}

/// Where the first service's address is held, else the first interface.
fn segment_of_clients(interfaces: &[String], held: &[Held], services: &[Service]) -> usize {
    services
        .iter()
        .find_map(|service| held.iter().find(|held| held.address == *service.address.ip()))
        .and_then(|held| interfaces.iter().position(|name| *name == held.interface))
        .unwrap_or(0)
}

/// Where an address of the servers' network is held; else the first interface that is not the
/// clients'; else the same one.
fn segment_of_servers(
    interfaces: &[String],
    held: &[Held],
    servers: &[Server],
    client_segment: usize,
) -> usize {
    let near = servers.first().and_then(|server| {
        let network = Network::around(server.address, 24);
        let held = held.iter().filter(|held| network.contains(held.address));
        // The clients' side only when no other side will do.
        held.filter_map(|held| interfaces.iter().position(|name| *name == held.interface))
            .max_by_key(|&number| number != client_segment)
    });
    near.or_else(|| (0..interfaces.len()).find(|&number| number != client_segment))
        .unwrap_or(client_segment)
}

/// Servers behind NAT must answer through the director that is master: their default gateway is
/// an address that moves with it.
fn place_gateways(
    servers: &mut [Server],
    services: &[Service],
    held: &[Held],
    interface: &str,
    addresses: &mut AddressPlan,
    notes: &mut Vec<String>,
) {
    for (number, server) in servers.iter_mut().enumerate() {
        let behind_nat = services.iter().any(|service| {
            matches!(service.layer, Layer::Four { .. })
                && service.shares.iter().any(|share| {
                    share.server == number && share.forwarding == Some(Forwarding::Nat)
                })
        });
        if !behind_nat {
            continue;
        }
        let network = Network::around(server.address, server.prefix_len);
        let here = || held.iter().filter(|held| held.interface == interface);
        let gateway = here()
            .find(|held| network.contains(held.address))
            .or_else(|| here().next())
            .map(|held| held.address);
        server.gateway = Some(gateway.unwrap_or_else(|| {
            let own = addresses.director_in(network)[0];
            if !held.is_empty() {
                notes.push(format!(
                    "{}: no address on {interface} moves with the master, so the server's gateway \
                     is director 1 itself, and NAT will not survive that director",
                    server.name
                ));
            }
            own
        }));
    }
}

/// Service addresses that no instance holds.
fn routed(
    services: &[Service],
    held: &[Held],
    client_interface: &str,
    notes: &mut Vec<String>,
) -> Vec<Routed> {
    let via = held.iter().find(|held| held.interface == client_interface).map(|held| held.address);
    let mut routed: Vec<Routed> = Vec::new();
    for service in services {
        let address = *service.address.ip();
        if held.iter().any(|held| held.address == address) {
            continue;
        }
        let local = matches!(service.layer, Layer::Seven { .. });
        if let Some(known) = routed.iter_mut().find(|routed| routed.address == address) {
            known.local |= local;
            continue;
        }
        if let Some(via) = via {
            notes.push(format!(
                "{address} is held by no vrrp_instance: the lab's client routes it through {via}"
            ));
        }
        routed.push(Routed { address, via, local });
    }
    routed
}

#[cfg(test)]
mod tests;
