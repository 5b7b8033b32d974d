//! What a packet is matched with.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Protocol};
use crate::vrrp::Family;

/// Identity of a service: what a packet is matched with. Stable over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServiceKey {
    /// Packets to one address.
    Address {
        /// The virtual address.
        address: IpAddr,
        /// The virtual port; 0 takes every port (needs persistence, as in IPVS).
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// Packets with a firewall mark (`virtual_server fwmark`): to whatever address and port, of
    /// whatever protocol. Asked before the others, as IPVS does.
    Mark {
        /// The mark, above 0.
        mark: u32,
        /// Of which family the packets are: each has its own services.
        family: Family,
    },
}

impl ServiceKey {
    /// The virtual address, if it stands for one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            ServiceKey::Address { address, .. } => Some(*address),
            ServiceKey::Mark { .. } => None,
        }
    }

    /// The virtual port; 0 for every port.
    pub const fn port(&self) -> u16 {
        match self {
            ServiceKey::Address { port, .. } => *port,
            ServiceKey::Mark { .. } => 0,
        }
    }

    /// The protocol; none if it is for all.
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            ServiceKey::Address { protocol, .. } => Some(*protocol),
            ServiceKey::Mark { .. } => None,
        }
    }

    /// The firewall mark, if it stands for one.
    pub const fn mark(&self) -> Option<u32> {
        match self {
            ServiceKey::Address { .. } => None,
            ServiceKey::Mark { mark, .. } => Some(*mark),
        }
    }

    /// Of which family its packets are.
    pub const fn family(&self) -> Family {
        match self {
            ServiceKey::Address { address: IpAddr::V4(_), .. } => Family::Ipv4,
            ServiceKey::Address { address: IpAddr::V6(_), .. } => Family::Ipv6,
            ServiceKey::Mark { family, .. } => *family,
        }
    }

    /// The port of all of these; 0 when they differ, which stands for the port the client used.
    pub fn common_port(services: &[ServiceKey]) -> u16 {
        match services {
            [first, rest @ ..] if rest.iter().all(|key| key.port() == first.port()) => first.port(),
            _ => 0,
        }
    }
}

impl fmt::Display for ServiceKey {
    /// `TCP 192.0.2.1:80`, `FWM 80`, `FWM 80 IPv6`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ServiceKey::Address { address, port, protocol } => {
                write!(f, "{protocol} {}", Endpoint { address, port })
            }
            ServiceKey::Mark { mark, family: Family::Ipv4 } => write!(f, "FWM {mark}"),
            ServiceKey::Mark { mark, family: Family::Ipv6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}
