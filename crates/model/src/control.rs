//! What the supervisor and its roles say to each other. Frames are JSON over a Unix stream
//! socket (`edge::ipc`); listeners travel beside them as descriptors.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delta::Layer4Delta;
use crate::layer4::{Endpoint, Forwarding, Layer4Plan, ServiceKey, VirtualServerId};
use crate::proxy::ProxyPlan;
use crate::status::{
    ConnectionStatus, DirectorReport, HelperReport, ProxyReport, VrrpReport, VrrpState,
};
use crate::vrrp::{HelperPlan, Tracked, VrrpPlan};

/// Settings of one run of the program, the same for all of its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Directory of sockets and pid files: `/run/evenkeel`.
    pub directory: String,
    /// Directory on a BPF file system where programs, links and maps are pinned:
    /// `/sys/fs/bpf/evenkeel`. Two directors on one machine (the lab) need two.
    pub pin_directory: String,
    /// `auto`, `native`, `generic` or `tc`: how the forwarding program attaches.
    pub xdp_mode: XdpMode,
    /// Connections that a connection table made from now on has room for.
    pub connections_max: u32,
    /// The same of IPv6, whose table is made with the first virtual server of IPv6.
    pub connections6_max: u32,
}

/// How the forwarding program attaches to interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum XdpMode {
    /// Native XDP where the drivers can, tc otherwise.
    #[default]
    Auto,
    /// Native XDP only.
    Native,
    /// Generic XDP only.
    Generic,
    /// tc only.
    Tc,
}

/// From the supervisor to a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRole {
    /// Always the first message, once.
    Hello(Runtime),
    /// Take this over from what you have: apply only the differences. Sent at start and whenever
    /// the role's part changed. Answered by [`FromRole::Configured`].
    Configure {
        /// Number of this configuration, growing.
        generation: u64,
        /// The role's part.
        plan: RolePlan,
        /// Addresses of the listeners whose descriptors travel with this frame, in order
        /// (proxy only): `threads` descriptors in a row for each address. Only listeners the
        /// role does not have yet are sent; those no longer in the plan the role closes.
        listeners: Vec<SocketAddr>,
    },
    /// Report your state. Answered by [`FromRole::Report`].
    Report {
        /// Number to answer with.
        id: u64,
    },
    /// Report some virtual servers alone (director only). Answered by [`FromRole::Report`] without
    /// the others.
    Services {
        /// Number to answer with.
        id: u64,
        /// Which ones. Those that are not there are left out.
        scopes: Vec<Scope>,
    },
    /// List the layer-4 connections (director only). Answered by [`FromRole::Connections`].
    Connections {
        /// Number to answer with.
        id: u64,
    },
    /// Change a real server without a reload (director only). Answered by [`FromRole::Server`].
    Server {
        /// Number to answer with.
        id: u64,
        /// What to change.
        request: ServerRequest,
    },
    /// Count anew (director only). Answered by [`FromRole::Zeroed`].
    Zero {
        /// Number to answer with.
        id: u64,
        /// Of this service and its real servers; of all otherwise.
        only: Option<ServiceKey>,
    },
    /// Changes of real servers that are in force: they lie over the configuration that comes
    /// next (director only, before its first one).
    Changes(Vec<ServerRequest>),
    /// A BFD session changed, or this is how it is when the director starts (director only).
    Bfd {
        /// Its name.
        name: String,
        /// It is up.
        up: bool,
    },
    /// The connection between the vrrp role and the helper role, sent to both whenever either
    /// was started: one descriptor travels with it, on which they speak [`ToHelper`] and
    /// [`FromHelper`]. A former one is dropped.
    Link,
    /// Finish in order: vrrp sends priority 0 and removes its addresses, the director detaches
    /// its programs, the proxy drains. End of file without this message means that the
    /// supervisor died: vrrp does the same, the director leaves forwarding in place, the proxy
    /// stops accepting and drains.
    Stop,
    /// End at once and leave behind what is there: virtual addresses without a word to anybody,
    /// forwarding (Keepalived's `-V` and `-I`). The proxy drains.
    Leave,
}

/// The part of the Plan a role gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolePlan {
    /// For the vrrp role.
    Vrrp(Box<VrrpPlan>),
    /// For the helper role.
    Helper(HelperPlan),
    /// For the director role.
    Director(Layer4Plan),
    /// For the director role: what changes. One that is not of the configuration in force there
    /// is answered by [`FromRole::Whole`].
    DirectorDelta(Layer4Delta),
    /// For the proxy role.
    Proxy(ProxyPlan),
}

/// From a role to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRole {
    /// The configuration is in force, or could not be and the former one still is.
    Configured {
        /// The number of [`ToRole::Configure`].
        generation: u64,
        /// Why it is not in force.
        error: Option<String>,
    },
    /// What was told to change is not what is in force: tell the whole plan of this configuration.
    Whole {
        /// The number of [`ToRole::Configure`].
        generation: u64,
    },
    /// Answer to [`ToRole::Report`] and [`ToRole::Services`].
    Report {
        /// The number of the question.
        id: u64,
        /// The answer.
        report: RoleReport,
    },
    /// Answer to [`ToRole::Connections`]; several of these for a long table.
    Connections {
        /// The number of the question.
        id: u64,
        /// Some of the connections.
        connections: Vec<ConnectionStatus>,
        /// This was the last part.
        last: bool,
    },
    /// Answer to [`ToRole::Server`]: what was done, in words, or why it was not.
    Server {
        /// The number of the question.
        id: u64,
        /// The answer.
        result: Result<String, String>,
    },
    /// Answer to [`ToRole::Zero`].
    Zeroed {
        /// The number of the question.
        id: u64,
        /// Why not.
        error: Option<String>,
    },
    /// Something worth a log line, or an alert.
    Event(Event),
}

/// A virtual server that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Which one.
    pub virtual_server: VirtualServerId,
    /// These of its real servers; all of them when absent.
    pub servers: Option<Vec<Endpoint>>,
}

/// A change of a real server at run time. It outlives reloads and the director, until it is taken
/// back or its server is in no file any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRequest {
    /// The virtual server.
    pub virtual_server: VirtualServerId,
    /// The real server.
    pub server: Endpoint,
    /// What to do.
    pub action: ServerAction,
}

/// What can be done to a real server at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAction {
    /// No new connections: weight 0. After this time the rest are cut off: the server leaves the
    /// tables. Without one they may take as long as they like.
    Drain {
        /// From now on.
        within: Option<Duration>,
    },
    /// Takes back a drain and a weight: as the file says.
    Ready,
    /// Another weight than the file's; what checkers add to it counts as before.
    Weight(u32),
    /// A server that the file does not have, without checkers.
    Add {
        /// Its weight.
        weight: u32,
        /// How packets get there; the virtual server's way when absent.
        forwarding: Option<Forwarding>,
    },
    /// Takes a server out, one of the file's too.
    Delete,
}

/// A role's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleReport {
    /// Of the vrrp role.
    Vrrp(VrrpReport),
    /// Of the director role.
    Director(DirectorReport),
    /// Of the proxy role.
    Proxy(ProxyReport),
    /// Of the helper role.
    Helper(HelperReport),
}

/// From the vrrp role to the helper, over their own connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHelper {
    /// Run the scripts for this and write it to the pipes.
    Notice(Notice),
    /// What was last told of an instance or group, for a helper that was started again: nobody is
    /// to be told once more. Sent for each when the connection is made.
    Known(Notice),
}

/// From the helper to the vrrp role, over their own connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHelper {
    /// What a script, file or process is like: sent for each when the connection is made, and on
    /// every change.
    Tracker {
        /// Which one. Never an interface or a BFD session.
        what: Tracked,
        /// How it is.
        state: TrackerState,
    },
}

/// How something tracked is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackerState {
    /// Not known yet: an instance that tracks it waits before it begins.
    #[default]
    Unknown,
    /// Up: the script succeeded, enough processes run.
    Up,
    /// Down.
    Down,
    /// A file's number.
    Value(i32),
}

/// A change that scripts and pipes are told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// It is about a sync group.
    pub group: bool,
    /// Name of the instance or group.
    pub name: String,
    /// What happened.
    pub kind: NoticeKind,
    /// The priority now.
    pub priority: u8,
}

/// What can happen to an instance or group, in Keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoticeKind {
    /// It became master, or is it still and says so again after two masters were seen.
    Master,
    /// It became backup.
    Backup,
    /// It cannot take part.
    Fault,
    /// VRRP stops.
    Stop,
    /// A reload removed it.
    Deleted,
    /// As master it heard a weaker one.
    MasterRxLowerPri,
    /// Its priority changed while master.
    MasterPriority,
    /// Its priority changed while not master.
    BackupPriority,
}

impl fmt::Display for NoticeKind {
    /// As in the arguments of `notify` scripts and the lines of pipes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NoticeKind::Master => "MASTER",
            NoticeKind::Backup => "BACKUP",
            NoticeKind::Fault => "FAULT",
            NoticeKind::Stop => "STOP",
            NoticeKind::Deleted => "DELETED",
            NoticeKind::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            NoticeKind::MasterPriority => "MASTER_PRIORITY",
            NoticeKind::BackupPriority => "BACKUP_PRIORITY",
        })
    }
}

/// What made a real server come up or go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The checker at this place among those of the server.
    Check(usize),
    /// A reload or a command took the server away.
    Removal,
    /// The program ends (`omega`).
    End,
    /// A reload or a command changed what decides.
    Change,
}

/// When a quorum is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// The virtual server is new, and its sorry server never served.
    Start,
    /// It was gained or lost.
    Change,
    /// A reload, or the start with the sorry server: the sorry server goes with it.
    Reload,
    /// A reload takes the virtual server away.
    Removal,
    /// The program ends (`omega`).
    End,
}

/// Something that happened in a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A VRRP instance changed state.
    VrrpState {
        /// Its name.
        instance: String,
        /// From.
        from: VrrpState,
        /// To.
        to: VrrpState,
        /// Why: `master down timer`, `advert of 10.0.0.2 with priority 120`...
        reason: String,
    },
    /// A real server left or entered the tables, or a backend's server changed state.
    Health {
        /// `TCP 192.0.2.1:80` or the backend's name.
        service: String,
        /// `10.0.0.2:80` or the server's name.
        server: String,
        /// It is up now.
        up: bool,
        /// The check's last result.
        reason: String,
        /// What made the difference.
        cause: Cause,
        /// It is to be mailed.
        alert: bool,
    },
    /// One of several checkers changed its verdict, which left the server as it was.
    Check {
        /// `TCP 192.0.2.1:80`
        service: String,
        /// `10.0.0.2:80`
        server: String,
        /// The server is up.
        up: bool,
        /// The checker: its place among those of the server.
        check: usize,
        /// It passes now.
        passed: bool,
        /// Its last result.
        reason: String,
        /// It is to be mailed.
        alert: bool,
    },
    /// A virtual server gained or lost its quorum.
    Quorum {
        /// `TCP 192.0.2.1:80`, `TCP group web`
        service: String,
        /// It is gained.
        gained: bool,
        /// The weight that lives now.
        living: u32,
        /// The weight that is needed.
        needed: u32,
        /// The hysteresis.
        hysteresis: u32,
        /// When it is told.
        moment: Moment,
        /// It is to be mailed.
        alert: bool,
    },
    /// A sorry server took the place of the real servers, or gave it back.
    Sorry {
        /// The virtual server.
        service: String,
        /// `10.0.0.9:80`
        server: String,
        /// It serves now.
        serves: bool,
    },
    /// A BFD session changed. From the vrrp role, for the director.
    Bfd {
        /// Its name.
        name: String,
        /// It is up.
        up: bool,
    },
    /// A master heard another one, or no longer hears it. Told once for each episode.
    TwoMasters {
        /// The instance.
        instance: String,
        /// The other master.
        rival: IpAddr,
        /// Its priority.
        priority: u8,
        /// It is gone.
        over: bool,
    },
    /// An instance or group whose changes are mailed (`smtp_alert`) changed. From the helper.
    Notice(Notice),
    /// Anything else, for the log.
    Log {
        /// Syslog severity: 3 error, 4 warning, 5 notice, 6 info.
        severity: u8,
        /// The text, one line.
        text: String,
    },
}
