//! What the director role needs to know: virtual servers, real servers, forwarding.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::compact::{exact_list, is_default};
use crate::pair::pair;
use crate::shared::Shared;
use crate::units::Seconds;
use crate::vrrp::{Command, Family, Fifo, TrackFile, User};

mod conduct;
mod scheduler;
mod service;

pub use conduct::{Conduct, State, StateTimeouts};
pub use scheduler::{HashFlags, Scheduler};
pub use service::ServiceKey;

/// Most virtual servers: the data plane's tables have this many places.
pub const VIRTUAL_SERVERS_MAX: usize = 2_048;
/// Most real servers of one virtual server.
pub const REAL_SERVERS_MAX: usize = 256;
/// Most real servers over all virtual servers.
pub const REAL_SERVERS_TOTAL_MAX: usize = 65_536;

/// Every virtual server of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer4Plan {
    /// The virtual servers, in file order; identities and services are unique.
    pub virtual_servers: Vec<VirtualServer>,
    /// Interfaces where packets for virtual servers are expected, from the VRRP instances that
    /// hold their addresses. The director adds those that routes to the real servers use; when none
    /// is here, those that have a virtual address and that of the default route.
    pub interfaces: Vec<String>,
    /// Programs that the director runs, files that it follows and pipes that it tells.
    pub outside: Outside,
    /// Connections without a packet for so long are forgotten.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// How long connections last without a packet (`lvs_timeouts`, `ipvsadm --set`): at least one
/// second and at most 31 days. Kernel: net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_set_timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: Seconds,
    /// TCP after a FIN.
    pub tcp_fin: Seconds,
    /// UDP.
    pub udp: Seconds,
}

impl Default for Timeouts {
    /// IPVS's.
    fn default() -> Timeouts {
        Timeouts { tcp: Seconds(900), tcp_fin: Seconds(120), udp: Seconds(300) }
    }
}

impl Layer4Plan {
    /// For each virtual server the place of the one in `former` whose life it goes on with: the
    /// one of its identity, or else one that is gone and had one of its services (an address that
    /// moved into a group, a group with another name).
    pub fn origins(&self, former: &Layer4Plan) -> Vec<Option<usize>> {
        let mut places = pair(&former.virtual_servers, &self.virtual_servers, |one| &one.id);
        if places.iter().all(Option::is_some) {
            return places;
        }
        let mut gone: Vec<bool> = former.virtual_servers.iter().map(|_| true).collect();
        for &place in places.iter().flatten() {
            gone[place] = false;
        }
        let mut of_services: BTreeMap<ServiceKey, usize> = BTreeMap::new();
        for (place, server) in former.virtual_servers.iter().enumerate() {
            of_services.extend(server.services.iter().map(|key| (*key, place)));
        }
        for (server, place) in self.virtual_servers.iter().zip(&mut places) {
            if place.is_none() {
                let of_services = server.services.iter().filter_map(|key| of_services.get(key));
                *place = of_services.copied().find(|&found| core::mem::take(&mut gone[found]));
            }
        }
        places
    }

    /// The firewall marks that virtual servers are of, and whose.
    pub fn marks(&self) -> impl Iterator<Item = (u32, Family, &VirtualServerId)> {
        self.virtual_servers.iter().flat_map(|server| {
            let marks = server.services.iter().filter_map(|key| Some((key.mark()?, key.family())));
            marks.map(|(mark, family)| (mark, family, &server.id))
        })
    }

    /// Real servers that a former plan has just so become one with those: whoever compares the two
    /// plans from then on, or keeps both, has to do with the differences alone.
    pub fn share(&mut self, former: &Layer4Plan) {
        let places = pair(&former.virtual_servers, &self.virtual_servers, |one| &one.id);
        for (server, place) in self.virtual_servers.iter_mut().zip(places) {
            let former = place.and_then(|place| former.virtual_servers.get(place));
            if let Some(former) = former
                && server.real_servers == former.real_servers
            {
                server.real_servers = former.real_servers.clone();
            }
        }
    }
}

/// What the director role has to do with besides the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The `track_file` blocks that a FILE_CHECK names.
    pub files: Vec<TrackFile>,
    /// Pipes that are told of virtual and real servers (`lvs_notify_fifo`, `notify_fifo`).
    pub fifos: Vec<Fifo>,
    /// Whom programs run as that name nobody (`script_user`; `keepalived_script` if it exists).
    pub script_user: Option<User>,
    /// Programs that others than root can change are not run as root
    /// (`enable_script_security`).
    pub script_security: bool,
    /// At the end programs that still run have this long to finish (`child_wait_time`).
    pub finish_within: Duration,
    /// File mode mask of programs and pipes (`umask`).
    pub umask: u32,
    /// Certificates of SSL_GET (`SSL` block).
    pub tls: TlsFiles,
    /// Scripts and pipes are told of real servers that are up from the start
    /// (`rs_init_notifies`).
    pub init_notifies: bool,
}

/// The `SSL` block: what SSL_GET shows to servers that ask for it. Theirs are not verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// PEM file of our certificate and those between it and an authority (`certificate`).
    pub certificate: Option<String>,
    /// PEM file of our private key (`key`).
    pub key: Option<String>,
}

/// Layer-4 protocol of a virtual server.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP (RFC 9260).
    Sctp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// Its name, as keepalived.conf and ipvsadm write it.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }

    /// The one of a name, in any case.
    pub fn of_name(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// The one of an IP protocol number.
    pub fn of_number(number: u8) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|one| one.number() == number)
    }

    /// IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

impl Endpoint {
    /// A host can have this address: it is neither unspecified nor a multicast or broadcast one.
    pub fn is_of_a_host(address: IpAddr) -> bool {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        !address.is_unspecified() && !address.is_multicast() && !broadcast
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
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
    /// Inside another packet, to wherever routes lead; the answer takes its own way.
    Tunnel(Tunnel),
}

/// How a packet is packed into another one (`type` after `lvs_method TUN`). A checksum is one over
/// all that is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tunnel {
    /// IP in IP (RFC 2003), 20 bytes.
    #[default]
    IpIp,
    /// Generic routing encapsulation (RFC 2784), 24 bytes, 28 with a checksum.
    Gre {
        /// With a checksum.
        checksum: bool,
    },
    /// Generic UDP encapsulation, 32 bytes.
    Gue {
        /// The server's UDP port.
        port: u16,
        /// With a UDP checksum.
        checksum: bool,
    },
}

impl Forwarding {
    /// ipvsadm's word in its listings.
    pub const fn ipvsadm_name(self) -> &'static str {
        match self {
            Forwarding::Nat => "Masq",
            Forwarding::DirectRouting => "Route",
            Forwarding::Tunnel(_) => "Tunnel",
        }
    }

    /// Whether the server gets the packet as the client sent it, and answers the client itself:
    /// the port stays, and the server has the virtual address.
    pub const fn is_direct(self) -> bool {
        match self {
            Forwarding::Nat => false,
            Forwarding::DirectRouting | Forwarding::Tunnel(_) => true,
        }
    }
}

impl fmt::Display for Forwarding {
    /// As keepalived.conf says it: `TUN type gue port 6080 csum`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |checksum: bool| if checksum { " csum" } else { "" };
        match *self {
            Forwarding::Nat => f.write_str("NAT"),
            Forwarding::DirectRouting => f.write_str("DR"),
            Forwarding::Tunnel(Tunnel::IpIp) => f.write_str("TUN"),
            Forwarding::Tunnel(Tunnel::Gre { checksum }) => {
                write!(f, "TUN type gre{}", sum(checksum))
            }
            Forwarding::Tunnel(Tunnel::Gue { port, checksum }) => {
                write!(f, "TUN type gue port {port}{}", sum(checksum))
            }
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

/// Identity of a virtual server. Stable over reloads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum VirtualServerId {
    /// `virtual_server ADDRESS PORT`
    Service(ServiceKey),
    /// `virtual_server group NAME`
    Group {
        /// The group's name.
        name: String,
        /// The protocol: a group may be used once for each.
        protocol: Protocol,
    },
}

impl fmt::Display for VirtualServerId {
    /// `TCP 192.0.2.1:80`, `TCP group web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VirtualServerId::Service(key) => key.fmt(f),
            VirtualServerId::Group { name, protocol } => write!(f, "{protocol} group {name}"),
        }
    }
}

/// One `virtual_server`: one service, or several that share real servers and checkers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// Which one.
    pub id: VirtualServerId,
    /// What it matches: one key, or those of its group in file order. Never empty; a key belongs
    /// to one virtual server only.
    pub services: Vec<ServiceKey>,
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// How it treats its connections.
    pub conduct: Conduct,
    /// The real servers, in file order; endpoints are unique. Plans that follow each other share
    /// those that did not change.
    pub real_servers: Shared<Vec<RealServer>>,
    /// When it works, and what happens when it does not.
    pub quorum: Quorum,
    /// Checks pause while none of its addresses is on this machine (`ha_suspend`).
    pub ha_suspend: bool,
    /// Servers count as down until a check succeeds, and the quorum as lost (`alpha`). The
    /// checkers' `initially_up` says the same of each.
    pub alpha: bool,
    /// The scripts for down are run at the end too (`omega`).
    pub omega: bool,
    /// Changes of its quorum are mailed.
    pub smtp_alert: bool,
}

impl VirtualServer {
    /// One of a single service, with every setting at its default and without real servers.
    pub fn new(key: ServiceKey) -> VirtualServer {
        VirtualServer {
            id: VirtualServerId::Service(key),
            services: Vec::from([key]),
            scheduler: Scheduler::default(),
            persistence: None,
            conduct: Conduct::default(),
            real_servers: Shared::default(),
            quorum: Quorum::default(),
            ha_suspend: false,
            alpha: false,
            omega: false,
            smtp_alert: false,
        }
    }

    /// How packets reach a real server of which nobody said it: as they reach the others.
    pub fn usual_forwarding(&self) -> Forwarding {
        let of_servers = self.real_servers.first().map(|server| server.forwarding);
        let of_sorry = || self.quorum.sorry.as_ref().map(|sorry| sorry.forwarding);
        of_servers.or_else(of_sorry).unwrap_or_default()
    }

    /// What its services speak; none if that is left to the packets (`virtual_server fwmark`).
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.id {
            VirtualServerId::Service(key) => key.protocol(),
            VirtualServerId::Group { protocol, .. } => Some(*protocol),
        }
    }

    /// The first service that it matches, by which it is known where there is room for one.
    pub fn key(&self) -> ServiceKey {
        match (&self.id, self.services.first()) {
            (VirtualServerId::Service(key), _) | (_, Some(key)) => *key,
            (VirtualServerId::Group { protocol, .. }, None) => {
                ServiceKey::Address { address: [0; 4].into(), port: 0, protocol: *protocol }
            }
        }
    }
}

/// `quorum` and all that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Total weight of the living servers that is needed. At least 1.
    pub weight: u32,
    /// The quorum is gained at `weight + hysteresis` and lost below `weight - hysteresis`.
    pub hysteresis: u32,
    /// Run when it is gained (`quorum_up`).
    pub up: Option<Command>,
    /// Run when it is lost (`quorum_down`).
    pub down: Option<Command>,
    /// Takes the place of the real servers while it is lost.
    pub sorry: Option<SorryServer>,
}

impl Default for Quorum {
    fn default() -> Quorum {
        Quorum { weight: 1, hysteresis: 0, up: None, down: None, sorry: None }
    }
}

/// `sorry_server`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryServer {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How packets get there (`sorry_server_lvs_method`).
    pub forwarding: Forwarding,
    /// It stays in the tables with weight 0 while the quorum is there (`sorry_server_inhibit`).
    pub inhibit: bool,
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
    #[serde(deserialize_with = "exact_list")]
    pub checkers: Vec<Checker>,
    /// A failed server stays in the tables with weight 0 (`inhibit_on_failure`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub inhibit_on_failure: bool,
    /// Connections from which on it takes no new ones; 0 for no bound (`uthreshold`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub upper_threshold: u32,
    /// Connections below which it takes new ones again; 0 for three quarters of the upper
    /// threshold (`lthreshold`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub lower_threshold: u32,
    /// Run when it comes up (`notify_up`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub notify_up: Option<Command>,
    /// Run when it goes down (`notify_down`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub notify_down: Option<Command>,
    /// Its changes are mailed.
    pub smtp_alert: bool,
}

impl RealServer {
    /// One of weight 1, with every setting at its default and without checkers.
    pub fn new(endpoint: Endpoint) -> RealServer {
        RealServer {
            endpoint,
            weight: 1,
            forwarding: Forwarding::default(),
            checkers: Vec::new(),
            inhibit_on_failure: false,
            upper_threshold: 0,
            lower_threshold: 0,
            notify_up: None,
            notify_down: None,
            smtp_alert: true,
        }
    }
}
