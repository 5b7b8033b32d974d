//! What the roles report of themselves: the content of `evenkeel status`, as data.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::control::TrackerState;
use crate::layer4::{
    Endpoint, Forwarding, Persistence, Scheduler, ServiceKey, Timeouts, VirtualServerId,
};
use crate::marks::MarkRules;
use crate::proxy::Mode;
use crate::vrrp::Tracked;

/// State of a VRRP instance (RFC 3768 6.4, and Keepalived's FAULT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VrrpState {
    /// Not started.
    Init,
    /// Listens to a master.
    Backup,
    /// Holds the addresses.
    Master,
    /// Cannot take part: its interface is down or gone.
    Fault,
}

impl fmt::Display for VrrpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            VrrpState::Init => "INIT",
            VrrpState::Backup => "BACKUP",
            VrrpState::Master => "MASTER",
            VrrpState::Fault => "FAULT",
        })
    }
}

/// Report of the vrrp role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpReport {
    /// One entry per instance, in file order.
    pub instances: Vec<InstanceStatus>,
    /// One entry per sync group, in file order.
    pub groups: Vec<SyncGroupStatus>,
    /// What instances and groups track, and how it is.
    pub trackers: Vec<TrackerStatus>,
    /// One entry per BFD session, in file order.
    pub bfd: Vec<BfdStatus>,
    /// How late adverts and timeouts ran, worst case since start, nanoseconds.
    pub worst_lateness_ns: u64,
    /// How late they ran: upper bound of each bucket in nanoseconds (the last one is
    /// `u64::MAX`), and how many fell into it.
    pub lateness: Vec<(u64, u64)>,
    /// It runs under real-time priority (SCHED_FIFO).
    pub realtime: bool,
}

/// Report of the helper role: what only it knows. States of trackers are in [`VrrpReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperReport {
    /// One entry per `vrrp_script` that somebody tracks, by name.
    pub scripts: Vec<ScriptStatus>,
}

/// One `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptStatus {
    /// Name in the file.
    pub name: String,
    /// What it is doing.
    pub run: ScriptRun,
}

/// What a script that is run again and again does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptRun {
    /// It waits for its next start.
    Idle,
    /// It runs.
    Running,
    /// It ran longer than it may: it has failed already and is being ended.
    Overtime,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroupStatus {
    /// Name in the file.
    pub name: String,
    /// State of all of its members.
    pub state: VrrpState,
    /// Names of its members.
    pub members: Vec<String>,
}

/// Something tracked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Which one.
    pub what: Tracked,
    /// How it is.
    pub state: TrackerState,
}

/// One BFD session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdStatus {
    /// Name in the file.
    pub name: String,
    /// The other end.
    pub neighbour: IpAddr,
    /// `AdminDown`, `Down`, `Init` or `Up`.
    pub state: String,
    /// Seconds in this state.
    pub state_seconds: u64,
    /// Times it came up.
    pub ups: u64,
    /// Time after which a silent neighbour is down, microseconds; zero while it is not up.
    pub detection_us: u64,
}

/// Adverts discarded and otherwise wrong, in the terms of the VRRP MIBs and Keepalived's dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertErrors {
    /// Wrong length.
    pub packet_length: u64,
    /// Another advert interval.
    pub advert_interval: u64,
    /// Wrong TTL or hop limit.
    pub ttl: u64,
    /// Not an advert.
    pub invalid_type: u64,
    /// Wrong checksum.
    pub checksum: u64,
    /// Other addresses than configured.
    pub address_list: u64,
    /// An authentication type that does not exist.
    pub invalid_authentication: u64,
    /// Another authentication type than configured.
    pub authentication_mismatch: u64,
    /// Wrong password or signature.
    pub authentication_failure: u64,
    /// Anything else: version, virtual router id, a stranger in unicast.
    pub other: u64,
}

/// One VRRP instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Name in the file.
    pub name: String,
    /// Interface of the adverts.
    pub interface: String,
    /// Virtual router id.
    pub virtual_router_id: u8,
    /// State now.
    pub state: VrrpState,
    /// Seconds in this state.
    pub state_seconds: u64,
    /// Own priority.
    pub priority: u8,
    /// Source address and priority of the master's last advert, when another is master.
    pub master: Option<(IpAddr, u8)>,
    /// The virtual addresses, as `address/prefix dev interface`.
    pub addresses: Vec<String>,
    /// Adverts sent.
    pub adverts_sent: u64,
    /// Valid adverts received.
    pub adverts_received: u64,
    /// Adverts discarded: wrong authentication, interval, TTL, checksum, addresses.
    pub adverts_discarded: u64,
    /// Times it became master.
    pub became_master: u64,
    /// Times it stopped being master.
    pub released_master: u64,
    /// Version of the protocol, 2 or 3.
    pub version: u8,
    /// Over IPv6.
    pub ipv6: bool,
    /// Priority in the file, before weights.
    pub base_priority: u8,
    /// Its sync group.
    pub group: Option<String>,
    /// Adverts of priority zero sent.
    pub zero_sent: u64,
    /// Adverts of priority zero received.
    pub zero_received: u64,
    /// Why adverts were discarded.
    pub errors: AdvertErrors,
    /// Adverts of another master heard while master itself: two masters were there.
    pub rivals: u64,
    /// The last such rival: its address and priority, and how many seconds ago.
    pub last_rival: Option<(IpAddr, u8, u64)>,
    /// What keeps it in Fault or Init, in words: `interface eth0 is down`.
    pub faults: Vec<String>,
}

/// Packet and byte counters, in IPVS's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients (NAT only).
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients (NAT only).
    pub bytes_out: u64,
}

/// Report of the director role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectorReport {
    /// `xdp` or `ipvs`.
    pub engine: String,
    /// Interfaces with the program attached, with the mode: `eth0 (native)`.
    pub interfaces: Vec<String>,
    /// Tables of an earlier director were found at start and taken over.
    pub adopted: bool,
    /// One entry per virtual server, in file order.
    pub services: Vec<ServiceStatus>,
    /// Named counters of the data plane (drops, passes, table full...).
    pub data_plane: Vec<(String, u64)>,
    /// How long connections last without a packet.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What the firewall says about marks, while a virtual server has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Box<MarksStatus>>,
}

/// The firewall's rules for marks as they are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarksStatus {
    /// The rules.
    pub rules: MarkRules,
    /// Why the data plane does not have them, if it does not.
    pub refused: Option<String>,
    /// Tools of the firewall that failed, in words.
    pub failures: Vec<String>,
}

/// One virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Which one.
    pub id: VirtualServerId,
    /// What it matches: an entry of the group.
    pub key: ServiceKey,
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// Each datagram is scheduled for itself.
    #[serde(default)]
    pub one_packet: bool,
    /// Its quorum.
    pub quorum: QuorumStatus,
    /// Its sorry server, if it has one.
    pub sorry: Option<SorryStatus>,
    /// Checks pause: its address is elsewhere (`ha_suspend`).
    pub suspended: bool,
    /// Sum over all connections ever scheduled, or since they were set to zero.
    pub counters: Counters,
    /// The same per second, estimated as IPVS does.
    #[serde(default)]
    pub rates: Counters,
    /// What was changed at run time, in words: `added`, `settings changed`.
    #[serde(default)]
    pub changed: Option<String>,
    /// The real servers, in file order, those out of the tables too.
    pub servers: Vec<RealServerStatus>,
}

/// One real server of a virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServerStatus {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Weight in the tables.
    pub weight: u32,
    /// In the tables now.
    pub in_table: bool,
    /// Checkers' verdict; true without checkers.
    pub up: bool,
    /// Text of the last check's result: `connection refused`, `HTTP status 500`...
    pub last_result: Option<String>,
    /// Weight in the file.
    pub configured_weight: u32,
    /// What was changed at run time, in words: `drain, 12 s left`, `weight 3`, `added`.
    pub changed: Option<String>,
    /// Its checkers, in file order.
    pub checkers: Vec<CheckerStatus>,
    /// Times it changed between up and down.
    pub flaps: u64,
    /// The last changes, the latest first: seconds ago, up or down, the result that made it.
    pub history: Vec<(u64, bool, String)>,
    /// TCP connections between their SYN and the first FIN or RST.
    pub active: u32,
    /// Other connections, all of UDP among them.
    pub inactive: u32,
    /// Persistence templates that point here.
    pub templates: u32,
    /// Connections from which on it takes no new ones; 0 for no bound.
    #[serde(default)]
    pub upper_threshold: u32,
    /// Connections below which it takes new ones again; 0 for three quarters of the upper
    /// threshold.
    #[serde(default)]
    pub lower_threshold: u32,
    /// Its counters.
    pub counters: Counters,
    /// The same per second.
    #[serde(default)]
    pub rates: Counters,
}

/// One checker of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckerStatus {
    /// Keepalived's name: `TCP_CHECK`.
    pub name: String,
    /// What it tries: `10.0.0.1:80`, a program, a file.
    pub target: String,
    /// Its verdict.
    pub up: bool,
    /// What it adds to the weight of the server.
    pub weight: i32,
    /// Text of the last result.
    pub last_result: Option<String>,
    /// Milliseconds since the last result.
    pub last_age_ms: Option<u64>,
    /// Milliseconds until the next check begins; absent while one is under way, for a checker
    /// that only listens, and while checks pause.
    pub next_in_ms: Option<u64>,
    /// Failures in a row, of those that change the verdict.
    pub failures: u32,
}

/// The quorum of a virtual server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// Weight that lives.
    pub living: u32,
    /// Weight that is needed.
    pub needed: u32,
    /// Hysteresis.
    pub hysteresis: u32,
    /// It is there.
    pub held: bool,
}

/// A sorry server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryStatus {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Weight in the tables; absent when it is not there.
    pub weight: Option<u32>,
    /// It serves instead of the real servers.
    pub serves: bool,
    /// TCP connections between their SYN and the first FIN or RST.
    pub active: u32,
    /// Other connections, all of UDP among them.
    pub inactive: u32,
}

/// One line of `ipvsadm -Lnc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Protocol and virtual address.
    pub service: ServiceKey,
    /// The client; port 0 in a persistence template.
    pub client: Endpoint,
    /// The real server.
    pub server: Endpoint,
    /// IPVS's state name: ESTABLISHED, SYN_RECV, FIN_WAIT, UDP, NONE (template)...
    pub state: String,
    /// Seconds until it expires.
    pub expires_seconds: u32,
}

/// Report of the proxy role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyReport {
    /// Frontends, in file order.
    pub frontends: Vec<FrontendStatus>,
    /// Backends, in file order.
    pub backends: Vec<BackendStatus>,
    /// Log lines that could not be sent.
    pub logs_dropped: u64,
    /// Process id of the proxy.
    pub pid: u32,
}

/// One frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendStatus {
    /// Name in the file.
    pub name: String,
    /// TCP or HTTP.
    pub mode: Mode,
    /// Listening addresses.
    pub binds: Vec<SocketAddr>,
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted ever.
    pub connections_total: u64,
    /// Requests received ever (HTTP).
    pub requests: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Responses by class: 1xx, 2xx, 3xx, 4xx, 5xx, as sent to clients.
    pub responses: [u64; 5],
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Name in the file.
    pub name: String,
    /// TCP or HTTP.
    pub mode: Mode,
    /// Its servers, in file order.
    pub servers: Vec<ServerStatus>,
}

/// One server of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Name in the file.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Takes requests now.
    pub up: bool,
    /// It has a health check.
    pub checked: bool,
    /// Backup server.
    pub backup: bool,
    /// Weight.
    pub weight: u16,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions ever.
    pub sessions_total: u64,
    /// Failed connects.
    pub connect_errors: u64,
    /// Tries repeated.
    pub retries: u64,
    /// Text of the last check's result.
    pub last_result: Option<String>,
}
