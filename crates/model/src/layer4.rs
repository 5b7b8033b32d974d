//! What the director role needs to know: virtual servers, real servers, forwarding.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// Most virtual servers: the data plane's tables have this many places.
pub const VIRTUAL_SERVERS_MAX: usize = 2_048;
/// Most real servers of one virtual server.
pub const REAL_SERVERS_MAX: usize = 256;
/// Most real servers over all virtual servers.
pub const REAL_SERVERS_TOTAL_MAX: usize = 65_536;

/// Every virtual server of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer4Plan {
    /// The virtual servers, in file order; keys are unique.
    pub virtual_servers: Vec<VirtualServer>,
    /// Interfaces where packets for virtual servers are expected, from the VRRP instances that
    /// hold their addresses. The director adds those that routes to the real servers use.
    pub interfaces: Vec<String>,
}

/// Layer-4 protocol of a virtual server.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

/// Identity of a virtual server: what a packet is matched with. Stable over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The virtual address.
    pub address: IpAddr,
    /// The virtual port; 0 takes every port (needs persistence, as in IPVS).
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for ServiceKey {
    /// `TCP 192.0.2.1:80`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, Endpoint { address: self.address, port: self.port })
    }
}

/// Identity of a real server within its virtual server. Stable over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port; 0 means the port the client used.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

/// How a server is chosen for a new connection. Names are those of IPVS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheduler {
    /// `rr`: one after the other.
    RoundRobin,
    /// `wrr`: one after the other, by weight, interleaved.
    WeightedRoundRobin,
    /// `wlc`, Keepalived's and ipvsadm's default.
    #[default]
    WeightedLeastConnection,
}

impl Scheduler {
    /// The name IPVS, ipvsadm and keepalived.conf use.
    pub const fn name(self) -> &'static str {
        match self {
            Scheduler::RoundRobin => "rr",
            Scheduler::WeightedRoundRobin => "wrr",
            Scheduler::WeightedLeastConnection => "wlc",
        }
    }
}

/// How packets reach the real server (`lb_kind`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Forwarding {
    /// Network address translation, both ways through the director.
    #[default]
    Nat,
    /// Direct routing: only the MAC address changes, the answer takes its own way.
    DirectRouting,
}

impl Forwarding {
    /// ipvsadm's word in its listings.
    pub const fn ipvsadm_name(self) -> &'static str {
        match self {
            Forwarding::Nat => "Masq",
            Forwarding::DirectRouting => "Route",
        }
    }
}

/// Clients that come back go to the server they had (`persistence_timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// How long the template outlives its last connection.
    pub timeout: Duration,
    /// Leading bits of the client address that are compared (`persistence_granularity`), 1 to 32.
    pub prefix_len: u8,
}

/// One `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// What it matches.
    pub key: ServiceKey,
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// The real servers, in file order; endpoints are unique.
    pub real_servers: Vec<RealServer>,
}

/// One `real_server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Share of new connections; 0 drains. At most 65535.
    pub weight: u32,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// All must pass for the server to be in the tables; none means it always is.
    pub checkers: Vec<Checker>,
}
