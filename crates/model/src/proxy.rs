//! What the proxy role needs to know: frontends, backends, rules. One Plan type for both modes.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::Checker;

/// Everything haproxy.cfg says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyPlan {
    /// Settings of the process: a change of these needs a successor process.
    pub process: ProcessSettings,
    /// Frontends (and the front half of `listen` sections), in file order; names are unique.
    pub frontends: Vec<Frontend>,
    /// Backends (and the back half of `listen` sections), in file order; names are unique.
    pub backends: Vec<Backend>,
}

/// The `global` section's settings of the process itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// User to run as, resolved (`user`, `uid`).
    pub user: Option<Account>,
    /// Group to run as, resolved (`group`, `gid`).
    pub group: Option<Account>,
    /// Directory to chroot into once everything is open.
    pub chroot: Option<String>,
    /// File that receives the process id.
    pub pid_file: Option<String>,
    /// Go to the background once ready (`daemon`).
    pub daemon: bool,
    /// Event loops (`nbthread`), at least 1.
    pub threads: u16,
    /// Connections accepted at a time over all frontends (`maxconn`).
    pub max_connections: Option<u32>,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        ProcessSettings {
            user: None,
            group: None,
            chroot: None,
            pid_file: None,
            daemon: false,
            threads: 1,
            max_connections: None,
        }
    }
}

impl ProcessSettings {
    /// A running process cannot change to these settings: a successor must take over.
    pub fn needs_successor(&self, new: &ProcessSettings) -> bool {
        self.user != new.user
            || self.group != new.group
            || self.chroot != new.chroot
            || self.threads != new.threads
    }
}

/// A user or a group, as written and as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// As written.
    pub name: String,
    /// Its number; absent when this machine does not know the name. A process that should run
    /// as an unknown user refuses to start.
    pub id: Option<u32>,
}

/// `mode` of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Bytes, uninterpreted. HAProxy's default.
    #[default]
    Tcp,
    /// HTTP/1.
    Http,
}

/// One `frontend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontend {
    /// Stable identity over reloads.
    pub name: String,
    /// TCP or HTTP.
    pub mode: Mode,
    /// Listening addresses.
    pub binds: Vec<Bind>,
    /// Connections accepted at a time.
    pub max_connections: Option<u32>,
    /// What is logged, and where.
    pub log: LogSettings,
    /// Bounds on the client's side.
    pub timeouts: ClientTimeouts,
    /// Add X-Forwarded-For.
    pub forward_for: Option<ForwardFor>,
    /// How long connections live.
    pub connection_mode: ConnectionMode,
    /// Chooses the backend: the first whose condition holds.
    pub use_backends: Vec<UseBackend>,
    /// Taken when no rule chose one (`default_backend`). Name of an entry of
    /// [`ProxyPlan::backends`]; without one the client gets 503.
    pub default_backend: Option<String>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bind {
    /// Address and port; the unspecified address takes all.
    pub address: SocketAddr,
    /// May be bound although no interface has the address yet (a VRRP address of this
    /// configuration): IP_FREEBIND.
    pub freebind: bool,
}

/// Bounds on the client's side; absent means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTimeouts {
    /// Inactivity (`timeout client`).
    pub client: Option<Duration>,
    /// The whole request head (`timeout http-request`).
    pub http_request: Option<Duration>,
    /// The wait for the next request (`timeout http-keep-alive`; falls back to http_request).
    pub http_keep_alive: Option<Duration>,
}

/// Bounds on the server's side; absent means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTimeouts {
    /// Establishing a connection (`timeout connect`).
    pub connect: Option<Duration>,
    /// Inactivity (`timeout server`).
    pub server: Option<Duration>,
    /// Waiting for a free slot (`timeout queue`; falls back to connect).
    pub queue: Option<Duration>,
    /// Both sides, once a tunnel stands (`timeout tunnel`).
    pub tunnel: Option<Duration>,
}

/// `option http-keep-alive`, `http-server-close`, `httpclose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectionMode {
    /// Both sides stay open (the default).
    #[default]
    KeepAlive,
    /// The server's side closes after each response.
    ServerClose,
    /// Both sides close after each response.
    Close,
}

/// `option forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardFor {
    /// Name of the header.
    pub header: String,
    /// Clients whose requests are left alone (`except NETWORK`).
    pub except: Option<(IpAddr, u8)>,
    /// Only when the request has none (`if-none`).
    pub if_none: bool,
}

/// What is logged, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// Receivers; empty means no log.
    pub targets: Vec<LogTarget>,
    /// Shape of the lines.
    pub format: LogFormat,
    /// No line for a connection that carried nothing (`option dontlognull`).
    pub dont_log_null: bool,
    /// Program name in the lines (`log-tag`), `haproxy` unless set.
    pub tag: String,
}

/// Shape of a log line (HAProxy configuration manual, chapter 8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `Connect from ...` (8.2.1).
    #[default]
    Default,
    /// `option tcplog` (8.2.2).
    Tcp,
    /// `option httplog` (8.2.3).
    Http,
}

/// One `log` line, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogTarget {
    /// Where to.
    pub to: LogDestination,
    /// Syslog facility number, 0 to 23.
    pub facility: u8,
    /// Least severe level sent, 0 (emerg) to 7 (debug, the default).
    pub max_level: u8,
    /// More severe levels are lowered to this one; 0 (the default) lowers none.
    pub min_level: u8,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogDestination {
    /// Syslog datagrams (RFC 3164) to this address.
    Udp(SocketAddr),
    /// Syslog datagrams to this Unix socket (`/dev/log`).
    Unix(String),
    /// Standard output, raw.
    Stdout,
    /// Standard error, raw.
    Stderr,
}

/// `use_backend NAME if ...`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseBackend {
    /// Name of an entry of [`ProxyPlan::backends`].
    pub backend: String,
    /// When it applies; absent means always.
    pub condition: Option<Condition>,
}

/// A condition: any of the groups holds; a group holds when all of its terms do.
/// (`if a b or !c` is `[[a, b], [!c]]`; `unless` is lowered by De Morgan into the same shape.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The groups joined by `or`.
    pub any: Vec<Vec<Term>>,
}

/// One ACL in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// `!acl`
    pub negated: bool,
    /// Any of these tests matches (several `acl` lines with one name add up).
    pub tests: Vec<AclTest>,
}

/// One `acl` line: a sample and the patterns it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclTest {
    /// What is looked at.
    pub sample: Sample,
    /// How it is compared.
    pub matching: Matching,
    /// Without regard to case (`-i`).
    pub ignore_case: bool,
    /// Any pattern that matches is enough.
    pub patterns: Vec<String>,
}

/// What an ACL looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sample {
    /// The path of the request, without query (`path`, `path_beg`, ...).
    Path,
    /// The request target as sent, query included (`url`, `url_beg`, ...).
    Url,
    /// The method (`method`).
    Method,
    /// Each value of a header, commas split (`hdr(name)`, `hdr_beg(name)`, ...).
    Header(String),
    /// The client's address, as text patterns of networks (`src`).
    Source,
}

/// How an ACL compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matching {
    /// Equal (`-m str`).
    Exact,
    /// Begins with (`_beg`).
    Begins,
    /// Ends with (`_end`).
    Ends,
    /// Contains (`_sub`).
    Contains,
    /// A path component equals (`_dir`).
    Directory,
    /// Address in network (`src`).
    Network,
}

/// One `backend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Stable identity over reloads.
    pub name: String,
    /// TCP or HTTP; equals the mode of every frontend that uses it.
    pub mode: Mode,
    /// How a server is chosen.
    pub balance: Balance,
    /// The servers, in file order; names are unique within the backend.
    pub servers: Vec<Server>,
    /// Bounds on the server's side.
    pub timeouts: ServerTimeouts,
    /// Tries after a failed connect (`retries`, 3 by default).
    pub retries: u32,
    /// The last try may go to another server (`option redispatch`).
    pub redispatch: bool,
    /// Add X-Forwarded-For.
    pub forward_for: Option<ForwardFor>,
    /// How long connections live.
    pub connection_mode: ConnectionMode,
    /// Where server state changes are logged.
    pub log: LogSettings,
}

/// `balance`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// By weight, smooth (the default).
    #[default]
    RoundRobin,
}

/// One `server` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Stable identity within the backend.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Share of requests, 0 to 256; 0 takes none.
    pub weight: u16,
    /// Used only when no other server is up.
    pub backup: bool,
    /// Its health check, if it has one.
    pub check: Option<Checker>,
}
