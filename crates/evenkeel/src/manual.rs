//! What ipvsadm may say about the layer-4 tables: the words between its command line and the
//! supervisor.

use std::net::{IpAddr, Ipv4Addr};

use model::layer4::{Forwarding, ServiceKey};
use serde::{Deserialize, Serialize};

/// Most orders in one request: `ipvsadm -R` sends a longer list in parts.
pub(crate) const ORDERS_MAX: usize = 1_000;

/// One change of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// `-A`
    AddService(ServiceKey, ServiceSettings),
    /// `-E`
    EditService(ServiceKey, ServiceSettings),
    /// `-D`
    DeleteService(ServiceKey),
    /// `-a`
    AddServer(ServiceKey, Server),
    /// `-e`
    EditServer(ServiceKey, Server),
    /// `-d`
    DeleteServer(ServiceKey, IpAddr, u16),
    /// `-C`
    Clear,
    /// `--set`, in seconds; what is zero stays as it is.
    Timeouts { tcp: u32, tcp_fin: u32, udp: u32 },
}

/// How a service chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceSettings {
    /// `-s`
    pub(crate) scheduler: String,
    /// `-b`, in its words
    pub(crate) flags: Vec<String>,
    /// `-p`: seconds
    pub(crate) persistence: Option<u32>,
    /// `-M`
    pub(crate) mask: Option<Mask>,
    /// `-o`
    pub(crate) one_packet: bool,
    /// `--pe`
    pub(crate) engine: Option<String>,
}

/// Which clients are one for persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mask {
    /// A netmask.
    V4(Ipv4Addr),
    /// Leading bits.
    V6(u8),
}

/// A real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// Where it is; port 0 is the client's.
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// `-g`, `-i`, `-m`
    pub(crate) forwarding: Forwarding,
    /// `-w`
    pub(crate) weight: u32,
    /// `-x`
    pub(crate) upper_threshold: u32,
    /// `-y`
    pub(crate) lower_threshold: u32,
}

/// What became of an order: done, perhaps with something to say, or why not, in ipvsadm's words
/// where it has some.
pub(crate) type Outcome = Result<Option<String>, String>;
