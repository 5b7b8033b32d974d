//! What the vrrp role needs to know.

mod bfd;
mod holdings;
mod instance;
mod script;
mod tracking;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use bfd::BfdSession;
pub use holdings::{
    AddressFlags, Broadcast, Holding, IpPrefix, NextHop, PreferredLifetime, RouteKind, RouteMetric,
    RuleAction, VirtualAddress, VirtualRoute, VirtualRule,
};
pub use instance::{
    AddressLink, AntiReplay, Authentication, Destination, ExtraGarp, Family, Garp, Hmac, HmacKey,
    HmacMode, InitialState, OldChecksum, Peer, Unicast, V3Checksum, Version, VirtualLink,
    VrrpInstance,
};
pub use script::{Command, FINISH_WITHIN, Fifo, HelperPlan, Notify, NotifySubject, UMASK, User};
pub use tracking::{
    InitFile, ParameterMatch, Track, TrackFile, TrackProcess, TrackScript, Tracked, Trackers,
};

/// Every VRRP instance and sync group of the configuration, and what they depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpPlan {
    /// What holds for all instances.
    pub settings: Settings,
    /// The instances, in file order. Names are unique.
    pub instances: Vec<VrrpInstance>,
    /// Groups whose members change state together.
    pub sync_groups: Vec<SyncGroup>,
    /// Scripts, files and processes that instances and groups track.
    pub trackers: Trackers,
    /// BFD sessions.
    pub bfd: Vec<BfdSession>,
    /// Addresses, routes and rules that stay whatever the state (`static_ipaddress`,
    /// `static_routes`, `static_rules`).
    pub statics: Vec<Holding>,
    /// Instances that go to fault when a static address, route or rule is lost and cannot be
    /// restored (`track_group`).
    pub track_groups: Vec<TrackGroup>,
    /// Interfaces that share a limit on gratuitous ARP and neighbour advertisements.
    pub garp_groups: Vec<GarpGroup>,
    /// How long a change of an interface must last before it counts
    /// (`interface_up_down_delays`).
    pub link_delays: Vec<LinkDelay>,
}

/// What holds for all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Instances start this long after the role (`vrrp_startup_delay`).
    pub startup_delay: Duration,
    /// Log adverts of virtual routers that are not configured (`log_unknown_vrids`).
    pub log_unknown_routers: bool,
    /// Where firewall rules go.
    pub firewall: Firewall,
    /// Switch the kernel's IGMP reports for link-local groups off (`disable_local_igmp`).
    pub disable_local_igmp: bool,
}

/// The nftables table of `no_accept` and of virtual MAC interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Its name (`nftables`); two directors in one network namespace need two.
    pub table: String,
    /// Priority of its chains (`nftables_priority`).
    pub priority: i32,
    /// Rules count what they match (`nftables_counters`).
    pub counters: bool,
}

impl Default for Firewall {
    /// Keepalived's: table `keepalived`, priority -1.
    fn default() -> Self {
        Firewall { table: "keepalived".into(), priority: -1, counters: false }
    }
}

/// Instances that become master or backup together (`vrrp_sync_group`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// The name in the file.
    pub name: String,
    /// Names of the members, all present in [`VrrpPlan::instances`].
    pub members: Vec<String>,
    /// What every member tracks by being in the group.
    pub tracks: Vec<Track>,
    /// Members may have weighted trackers (`sync_group_tracking_weight`, `global_tracking`).
    pub members_keep_weights: bool,
    /// Whom to tell of its changes of state.
    pub notify: Notify,
}

/// `track_group`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackGroup {
    /// The name in the file.
    pub name: String,
    /// Names of the instances.
    pub members: Vec<String>,
}

/// A limit on announcements (`garp_group`, `vrrp_garp_interval`, `vrrp_gna_interval`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarpGroup {
    /// The interfaces that share it; empty for each interface that no other group names, by
    /// itself.
    pub interfaces: Vec<String>,
    /// Least time between two gratuitous ARP messages; zero for none.
    pub garp_interval: Duration,
    /// Least time between two unsolicited neighbour advertisements; zero for none.
    pub na_interval: Duration,
}

/// `interface_up_down_delays`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDelay {
    /// The interface.
    pub interface: String,
    /// From going down to counting as down.
    pub down: Duration,
    /// From coming up to counting as up.
    pub up: Duration,
}
