//! What a master holds: addresses, routes and routing rules, in the words of ip(8).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Family;

/// One thing that moves with the master, or stays for good (`static_*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Holding {
    /// An address.
    Address(VirtualAddress),
    /// A route.
    Route(VirtualRoute),
    /// A routing rule.
    Rule(VirtualRule),
}

impl Holding {
    /// Its loss matters: it is restored, or the instance leaves Master. False for `no_track`.
    pub fn is_tracked(&self) -> bool {
        match self {
            Holding::Address(address) => address.track,
            Holding::Route(route) => route.track,
            Holding::Rule(rule) => rule.track,
        }
    }
}

/// One address that moves with the master.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address itself.
    pub address: IpAddr,
    /// Prefix length; 32 (128 for IPv6) when the file gives none.
    pub prefix_len: u8,
    /// Interface that holds it; the instance's own when absent (`dev`). Always there for static
    /// addresses.
    pub interface: Option<String>,
    /// Address label (`label eth0:1`), at most 15 bytes; IPv4 only.
    pub label: Option<String>,
    /// Broadcast address (`brd`); IPv4 only.
    pub broadcast: Option<Broadcast>,
    /// Scope number as in rtnetlink (`scope`): 0 global, 200 site, 253 link, 254 host.
    pub scope: u8,
    /// The other end of a point-to-point link (`peer`).
    pub peer: Option<IpPrefix>,
    /// `home`, `-nodad`, `mngtmpaddr`, `noprefixroute`, `autojoin`.
    pub flags: AddressFlags,
    /// How long it is preferred as a source (`preferred_lft`).
    pub preferred: PreferredLifetime,
    /// Restored, or the instance leaves Master, when somebody removes it. False for `no_track`.
    pub track: bool,
    /// It goes to a virtual MAC interface of its own: one of [`VrrpInstance::address_links`]
    /// (`use_vmac`, `use_vmac_addr`).
    ///
    /// [`VrrpInstance::address_links`]: super::VrrpInstance::address_links
    pub virtual_mac: bool,
    /// Instances that depend on it (`track_group`; static addresses only).
    pub track_group: Option<String>,
}

impl VirtualAddress {
    /// An address with everything else as if the file said nothing.
    pub fn new(address: IpAddr, prefix_len: u8) -> VirtualAddress {
        VirtualAddress {
            address,
            prefix_len,
            interface: None,
            label: None,
            broadcast: None,
            scope: 0,
            peer: None,
            flags: AddressFlags::default(),
            preferred: PreferredLifetime::default(),
            track: true,
            virtual_mac: false,
            track_group: None,
        }
    }
}

/// `brd`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Broadcast {
    /// This address.
    Address(Ipv4Addr),
    /// `+`: the network's address with all host bits set.
    HostBitsSet,
    /// `-`: the network's address with all host bits clear.
    HostBitsClear,
}

impl fmt::Display for Broadcast {
    /// As in ip-address(8).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broadcast::Address(address) => address.fmt(f),
            Broadcast::HostBitsSet => f.pad("+"),
            Broadcast::HostBitsClear => f.pad("-"),
        }
    }
}

/// Flags of an address (ip-address(8)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressFlags {
    /// `home`: a home address of Mobile IPv6.
    pub home: bool,
    /// `-nodad`: duplicate address detection runs. Otherwise an IPv6 address goes without it.
    pub no_dad: bool,
    /// `mngtmpaddr`
    pub manage_temporary: bool,
    /// `noprefixroute`
    pub no_prefix_route: bool,
    /// `autojoin`
    pub auto_join: bool,
}

/// `preferred_lft`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PreferredLifetime {
    /// Nothing said: forever, but an IPv6 address of 128 bits is deprecated from the start.
    #[default]
    Default,
    /// `forever`
    Forever,
    /// Seconds; 0 deprecates it from the start.
    Seconds(u32),
}

/// An address and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IpPrefix {
    /// The address.
    pub address: IpAddr,
    /// Bits that count.
    pub length: u8,
}

impl IpPrefix {
    /// Whether an address is of this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let other = network.to_bits() ^ address.to_bits();
                other.checked_shr(32 - u32::from(self.length.min(32))).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let other = network.to_bits() ^ address.to_bits();
                other.checked_shr(128 - u32::from(self.length.min(128))).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is a single address.
    pub fn is_host(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.length >= 32,
            IpAddr::V6(_) => self.length >= 128,
        }
    }
}

/// Type of a route (rtnetlink(7) `rtm_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// A gateway or direct route.
    #[default]
    Unicast,
    /// `local`
    Local,
    /// `broadcast`
    Broadcast,
    /// `anycast`
    Anycast,
    /// `multicast`
    Multicast,
    /// `blackhole`
    Blackhole,
    /// `unreachable`
    Unreachable,
    /// `prohibit`
    Prohibit,
    /// `throw`
    Throw,
}

/// One route (ip-route(8)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualRoute {
    /// Its family.
    pub family: Family,
    /// Its type.
    pub kind: RouteKind,
    /// Where it leads; absent for the default route.
    pub destination: Option<IpPrefix>,
    /// Packets from this network only (`from`).
    pub from: Option<IpPrefix>,
    /// Preferred source address (`src`).
    pub source: Option<IpAddr>,
    /// The gateways and interfaces; one for an ordinary route, several for `nexthop` and `or`.
    pub next_hops: Vec<NextHop>,
    /// Number of the table; absent for the main one.
    pub table: Option<u32>,
    /// Type of service.
    pub tos: u8,
    /// Who made it (`protocol`); absent for Keepalived's 18, `keepalived`.
    pub protocol: Option<u8>,
    /// Scope number; absent for what ip(8) would choose.
    pub scope: Option<u8>,
    /// `metric`, also called `priority` and `preference`.
    pub metric: Option<u32>,
    /// `mtu`, `advmss`, `rtt`...
    pub metrics: Vec<RouteMetric>,
    /// Congestion control algorithm, and whether it is locked (`congctl [lock] NAME`).
    pub congestion_control: Option<(String, bool)>,
    /// Routing realms of source and destination (`realms`).
    pub realms: Option<(u16, u16)>,
    /// Preference among IPv6 routers (`pref`): 0 medium, 1 high, 3 low.
    pub preference: Option<u8>,
    /// Seconds until it expires; IPv6 only.
    pub expires: Option<u32>,
    /// Propagate the TTL into a tunnel (`ttl-propagate`).
    pub ttl_propagate: Option<bool>,
    /// After routes that match, not before them (`append`).
    pub append: bool,
    /// Only when no route matches (`add`).
    pub exclusive: bool,
    /// Restored, or the instance leaves Master, when somebody removes it. False for `no_track`.
    pub track: bool,
    /// Instances that depend on it (`track_group`; static routes only).
    pub track_group: Option<String>,
}

impl VirtualRoute {
    /// A unicast route with everything else as if the file said nothing.
    pub fn new(family: Family, destination: Option<IpPrefix>) -> VirtualRoute {
        VirtualRoute {
            family,
            kind: RouteKind::Unicast,
            destination,
            from: None,
            source: None,
            next_hops: Vec::new(),
            table: None,
            tos: 0,
            protocol: None,
            scope: None,
            metric: None,
            metrics: Vec::new(),
            congestion_control: None,
            realms: None,
            preference: None,
            expires: None,
            ttl_propagate: None,
            append: false,
            exclusive: false,
            track: true,
            track_group: None,
        }
    }
}

/// One way of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NextHop {
    /// The gateway (`via`, `gw`), perhaps of the other family.
    pub gateway: Option<IpAddr>,
    /// The interface (`dev`).
    pub interface: Option<String>,
    /// Share of the traffic, 1 to 256.
    pub weight: u16,
    /// The gateway is on the link although no address says so.
    pub onlink: bool,
    /// Realms of this way.
    pub realms: Option<(u16, u16)>,
}

/// A metric of a route: RTAX number of linux/rtnetlink.h, value, locked. `features ecn` and
/// `quickack` are such numbers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteMetric {
    /// RTAX_MTU (2), RTAX_WINDOW (3), ...
    pub kind: u8,
    /// The value in the kernel's unit (rtt in 1/8 ms, rttvar in 1/4 ms, bytes, packets...).
    pub value: u32,
    /// The kernel may not change it (`lock`).
    pub locked: bool,
}

/// One routing rule (ip-rule(8)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VirtualRule {
    /// Its family.
    pub family: Family,
    /// It matches what the selectors do not (`not`).
    pub invert: bool,
    /// `from`
    pub from: Option<IpPrefix>,
    /// `to`
    pub to: Option<IpPrefix>,
    /// `tos` or `dsfield`
    pub tos: u8,
    /// `fwmark VALUE[/MASK]`
    pub mark: Option<(u32, Option<u32>)>,
    /// `iif`
    pub input: Option<String>,
    /// `oif`
    pub output: Option<String>,
    /// `preference`, `priority`, `order`; assigned by `lower` when the file gives none, as
    /// Keepalived does.
    pub preference: u32,
    /// What it does.
    pub action: RuleAction,
    /// `realms`
    pub realms: Option<(u16, u16)>,
    /// `tunnel-id`
    pub tunnel_id: Option<u64>,
    /// `uidrange`
    pub users: Option<(u32, u32)>,
    /// `l3mdev`
    pub l3mdev: bool,
    /// Who made it (`protocol`).
    pub protocol: Option<u8>,
    /// `ip_proto`
    pub ip_protocol: Option<u8>,
    /// `sport`
    pub source_ports: Option<(u16, u16)>,
    /// `dport`
    pub destination_ports: Option<(u16, u16)>,
    /// `suppress_prefixlength`
    pub suppress_prefix_length: Option<u8>,
    /// `suppress_ifgroup`
    pub suppress_group: Option<u32>,
    /// Restored, or the instance leaves Master, when somebody removes it. False for `no_track`.
    pub track: bool,
    /// Instances that depend on it (`track_group`; static rules only).
    pub track_group: Option<String>,
}

impl VirtualRule {
    /// A rule that sends everything to a table.
    pub fn new(family: Family, preference: u32, table: u32) -> VirtualRule {
        VirtualRule {
            family,
            invert: false,
            from: None,
            to: None,
            tos: 0,
            mark: None,
            input: None,
            output: None,
            preference,
            action: RuleAction::Table(table),
            realms: None,
            tunnel_id: None,
            users: None,
            l3mdev: false,
            protocol: None,
            ip_protocol: None,
            source_ports: None,
            destination_ports: None,
            suppress_prefix_length: None,
            suppress_group: None,
            track: true,
            track_group: None,
        }
    }
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// Looks it up in this table; 0 with `l3mdev`.
    Table(u32),
    /// Goes on at the rule of this preference.
    Goto(u32),
    /// Does nothing (`nop`).
    Nop,
    /// Drops it.
    Blackhole,
    /// Answers that the network is unreachable.
    Unreachable,
    /// Answers that it is prohibited.
    Prohibit,
}
