//! What the routers ask for, and what they ask about.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::control::{NoticeKind, TrackerState};
use model::status::VrrpState;
use model::vrrp::{Family, Holding, SyncGroup, Tracked, VirtualAddress, VrrpInstance};

use super::packet::Outgoing;
use super::transition::Reason;

/// Something to do: for whom, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The configuration, at that moment, of whom it is for.
    pub subject: Subject,
    /// What is to be done.
    pub output: Output,
}

/// Whom a task is for. A group has [`Output::Notice`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An instance.
    Instance(Arc<VrrpInstance>),
    /// A sync group.
    Group(Arc<SyncGroup>),
}

impl Subject {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        match self {
            Subject::Instance(plan) => &plan.name,
            Subject::Group(group) => &group.name,
        }
    }
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this packet.
    SendAdvert(Outgoing),
    /// Put everything of the plan in place: addresses, routes, rules. What is there already
    /// stays untouched.
    Hold,
    /// Take all of that away; what is not there is no error.
    Release,
    /// Put these in place: a reload brought them.
    Add(Vec<Holding>),
    /// Take these away; those not there are no error.
    Remove(Vec<Holding>),
    /// Tell the network where addresses are: gratuitous ARP or unsolicited neighbour
    /// advertisements.
    Announce {
        /// Which of them.
        addresses: Announced,
        /// Messages per address, never zero.
        repeat: u8,
    },
    /// The state changed; whatever belongs to the change was asked for before.
    Transition {
        /// From.
        from: VrrpState,
        /// To.
        to: VrrpState,
        /// Why.
        reason: Reason,
        /// The priority now.
        priority: u8,
    },
    /// Tell scripts and pipes of this, with the priority.
    Notice(NoticeKind, u8),
    /// Tell the administrator.
    Alarm(Alarm),
}

/// Addresses to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// All that the instance holds.
    All,
    /// These.
    These(Vec<VirtualAddress>),
    /// `garp_extra_if`: all that it holds, on the other interfaces that they can be seen from.
    ExtraInterfaces,
}

/// Two masters were there at once: the network was cut, or somebody is not who he should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// While master, another master of lower priority (or equal priority and lower address) was
    /// heard. Told once per episode.
    Rival {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// That episode is over: it was not heard for a master-down interval, or said that it stops.
    RivalGone {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
}

/// What an interface is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// It is there, up and running.
    pub up: bool,
    /// The IPv4 address that adverts come from: its first one that is no virtual address.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address that adverts come from: its link-local one.
    pub ipv6: Option<Ipv6Addr>,
}

impl LinkState {
    /// The address that adverts of a family come from.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.ipv4.map(IpAddr::V4),
            Family::Ipv6 => self.ipv6.map(IpAddr::V6),
        }
    }
}

/// What the machine looks like when a configuration is taken over.
pub trait Surroundings {
    /// An interface; [`LinkState::default`] when it does not exist.
    fn link(&self, interface: &str) -> LinkState;
    /// A killed predecessor was master of this instance, and its addresses are still in place.
    fn resumes(&self, plan: &VrrpInstance) -> bool;
    /// The greatest sequence number of authentication headers that a killed predecessor knew of;
    /// zero without any.
    fn sequence(&self, plan: &VrrpInstance) -> u32 {
        let _ = plan;
        0
    }
    /// Whether a virtual interface is there, up or down.
    fn has_interface(&self, name: &str) -> bool {
        let _ = name;
        true
    }
    /// How a script, file, process or BFD session is. Interfaces are asked for by
    /// [`link`](Self::link).
    fn tracker(&self, what: &Tracked) -> TrackerState;
    /// Whether this machine has an address (`track_src_ip`).
    fn has_address(&self, address: IpAddr) -> bool;
}
