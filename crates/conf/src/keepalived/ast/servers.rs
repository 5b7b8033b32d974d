//! `virtual_server_group`, `virtual_server` and `real_server`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use model::layer4::{Conduct, Forwarding, HashFlags, Protocol, Scheduler};
use model::vrrp::{Command, Family};

use super::{Checker, Timers, Written};
use crate::source::{Span, Spanned};

/// An address, and a port where one was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

/// What stands after `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// `ADDRESS [PORT]`
    Service(Location),
    /// `group NAME`
    Group(String),
    /// `fwmark MARK`
    Mark(u32),
}

/// `virtual_server_group`
#[derive(Debug)]
pub(crate) struct ServerGroup {
    pub(crate) name: Spanned<String>,
    /// One line each, in file order.
    pub(crate) entries: Vec<Spanned<GroupEntry>>,
    /// A line was wrong: the group is not empty even if there are no entries.
    pub(crate) has_mistakes: bool,
}

/// One line of a `virtual_server_group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupEntry {
    /// `ADDRESS|RANGE|NETWORK [PORT]`
    Addresses(AddressRange),
    /// `fwmark MARK [inet|inet6]`; without a family it is that of the servers.
    Mark(u32, Option<Family>),
}

/// Every address from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRange {
    /// Of one family.
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
    pub(crate) port: Option<u16>,
}

impl AddressRange {
    /// Each of its addresses.
    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (bits(self.first)..=bits(self.last)).map(move |bits| with_bits(self.first, bits))
    }
}

/// An address as a number, the last bit lowest.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of the same family as another one that has these bits.
pub(crate) fn with_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// `persistence_granularity`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granularity {
    /// Leading ones of an IPv4 netmask, 1 to 32.
    Netmask(u8),
    /// A prefix length of IPv6, 1 to 128.
    Prefix(u8),
}

/// `virtual_server`
#[derive(Debug)]
pub(crate) struct VirtualServer {
    /// Address and port, or group, as written.
    pub(crate) served: Spanned<Served>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) scheduler: Option<Scheduler>,
    /// Of the scheduler, if it is one that has them.
    pub(crate) hash_flags: HashFlags,
    /// `flag-1` and `flag-2`
    pub(crate) numbered_flags: Vec<Span>,
    pub(crate) forwarding: Option<Forwarding>,
    pub(crate) persistence_timeout: Option<Duration>,
    pub(crate) granularity: Option<Spanned<Granularity>>,
    /// `ip_family`
    pub(crate) family: Option<Spanned<Family>>,
    /// Its switches; `ops` and time-outs depend on what else is written.
    pub(crate) conduct: Conduct,
    /// `ops`
    pub(crate) one_packet: Option<Span>,
    /// `state_timeout`: name and seconds.
    pub(crate) state_timeouts: Vec<Spanned<(String, u32)>>,
    pub(crate) virtual_host: Option<String>,
    /// `weight`: that of real servers which give none.
    pub(crate) weight: Option<u32>,
    pub(crate) timers: Timers,
    pub(crate) quorum: Quorum,
    pub(crate) ha_suspend: Option<Span>,
    pub(crate) alpha: bool,
    pub(crate) omega: bool,
    pub(crate) inhibit_on_failure: bool,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) real_servers: Vec<RealServer>,
    pub(crate) written: Written,
}

impl VirtualServer {
    /// One that says nothing but what it serves.
    pub(crate) fn new(served: Spanned<Served>) -> VirtualServer {
        VirtualServer {
            served,
            protocol: None,
            scheduler: None,
            hash_flags: HashFlags::default(),
            numbered_flags: Vec::new(),
            forwarding: None,
            persistence_timeout: None,
            granularity: None,
            family: None,
            conduct: Conduct::default(),
            one_packet: None,
            state_timeouts: Vec::new(),
            virtual_host: None,
            weight: None,
            timers: Timers::default(),
            quorum: Quorum::default(),
            ha_suspend: None,
            alpha: false,
            omega: false,
            inhibit_on_failure: false,
            smtp_alert: None,
            real_servers: Vec::new(),
            written: Written::default(),
        }
    }

    /// Where its address, or its group, is written.
    pub(crate) fn span(&self) -> Span {
        self.served.span
    }
}

/// `quorum` and all that hangs on it.
#[derive(Debug, Default)]
pub(crate) struct Quorum {
    pub(crate) weight: Option<Spanned<u32>>,
    pub(crate) hysteresis: Option<Spanned<u32>>,
    pub(crate) up: Option<Command>,
    pub(crate) down: Option<Command>,
    /// `sorry_server`
    pub(crate) sorry: Option<Spanned<Location>>,
    /// `sorry_server_inhibit`
    pub(crate) sorry_inhibit: Option<Span>,
    /// `sorry_server_lvs_method`
    pub(crate) sorry_forwarding: Option<Spanned<Forwarding>>,
}

/// `real_server`
#[derive(Debug)]
pub(crate) struct RealServer {
    /// Address and port as written.
    pub(crate) location: Spanned<Location>,
    pub(crate) weight: Option<u32>,
    pub(crate) forwarding: Option<Forwarding>,
    pub(crate) virtual_host: Option<String>,
    pub(crate) timers: Timers,
    pub(crate) alpha: Option<bool>,
    pub(crate) inhibit_on_failure: Option<bool>,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) notify_up: Option<Command>,
    pub(crate) notify_down: Option<Command>,
    pub(crate) upper_threshold: Option<Spanned<u32>>,
    pub(crate) lower_threshold: Option<Spanned<u32>>,
    pub(crate) checkers: Vec<Checker>,
}

impl RealServer {
    /// One that says nothing but where it is.
    pub(crate) fn new(location: Spanned<Location>) -> RealServer {
        RealServer {
            location,
            weight: None,
            forwarding: None,
            virtual_host: None,
            timers: Timers::default(),
            alpha: None,
            inhibit_on_failure: None,
            smtp_alert: None,
            notify_up: None,
            notify_down: None,
            upper_threshold: None,
            lower_threshold: None,
            checkers: Vec::new(),
        }
    }

    /// One more checker; nearly all servers have one.
    pub(crate) fn check(&mut self, checker: Checker) {
        self.checkers.reserve_exact(1);
        self.checkers.push(checker);
    }
}
