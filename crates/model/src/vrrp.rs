//! What the vrrp role needs to know.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Centiseconds, Priority, VirtualRouterId};

/// Every VRRP instance and sync group of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpPlan {
    /// The instances, in file order. Names are unique, and so is (interface, virtual router id).
    pub instances: Vec<VrrpInstance>,
    /// Groups whose members change state together.
    pub sync_groups: Vec<SyncGroup>,
}

/// One virtual router on one interface (`vrrp_instance`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpInstance {
    /// The name in the file: the instance's stable identity over reloads.
    pub name: String,
    /// Interface that adverts travel on, and where addresses go that name no other.
    pub interface: String,
    /// Identity of the virtual router on its network.
    pub virtual_router_id: VirtualRouterId,
    /// Priority in the election; 255 owns the addresses.
    pub priority: Priority,
    /// Interval between adverts. Version 2 carries whole seconds on the wire.
    pub advert_interval: Centiseconds,
    /// The state asked for at start (`state`). Whatever it says, an instance that is not the owner
    /// begins as backup and waits its master-down interval, as Keepalived 2.2.7 does.
    pub initial_state: InitialState,
    /// How adverts are authenticated.
    pub authentication: Authentication,
    /// Take over from a master of lower priority. False for `nopreempt`.
    pub preempt: bool,
    /// Wait this long after first hearing a weaker master before preempting (`preempt_delay`).
    pub preempt_delay: Duration,
    /// Addresses held while master and listed in adverts.
    pub addresses: Vec<VirtualAddress>,
    /// Addresses held while master and not listed in adverts.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// Gratuitous ARP timing.
    pub garp: Garp,
    /// Source address of adverts (`mcast_src_ip`); the interface's first address when absent.
    pub source: Option<Ipv4Addr>,
}

/// `state` of a vrrp_instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitialState {
    /// `state MASTER`
    Master,
    /// `state BACKUP`, and the default.
    #[default]
    Backup,
}

/// Authentication of adverts (RFC 2338 5.3.6; removed by RFC 3768 but still in use).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// None.
    #[default]
    None,
    /// Type 1: a clear-text password, cut to eight bytes and padded with zeros.
    Pass([u8; 8]),
}

/// One address that moves with the master.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address itself.
    pub address: IpAddr,
    /// Prefix length; 32 when the file gives none.
    pub prefix_len: u8,
    /// Interface that holds it; the instance's own when absent (`dev`).
    pub interface: Option<String>,
    /// Address label (`label eth0:1`), at most 15 bytes.
    pub label: Option<String>,
    /// Broadcast address (`brd`).
    pub broadcast: Option<Ipv4Addr>,
    /// Scope number as in rtnetlink (`scope`): 0 global, 200 site, 253 link, 254 host.
    pub scope: u8,
}

/// Timing of gratuitous ARP after becoming master (keepalived.conf(5) `vrrp_garp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garp {
    /// Messages per address in one burst.
    pub repeat: u8,
    /// Time from becoming master to the second burst; zero for none.
    pub delay: Duration,
    /// Time between later refreshing bursts; zero for none.
    pub refresh: Duration,
    /// Messages per address in a refreshing burst.
    pub refresh_repeat: u8,
}

impl Default for Garp {
    /// Keepalived's defaults: 5 at once, 5 more after 5 s, no refresh.
    fn default() -> Self {
        Garp {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
        }
    }
}

/// Instances that become master or backup together (`vrrp_sync_group`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// The name in the file.
    pub name: String,
    /// Names of the members, all present in [`VrrpPlan::instances`].
    pub members: Vec<String>,
}
