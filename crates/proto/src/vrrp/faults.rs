//! What keeps an instance from taking part.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use model::vrrp::{Family, Tracked};

/// One cause of the FAULT state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The instance's own interface is down or gone.
    InterfaceDown(String),
    /// The interface has no address that adverts of this family could come from.
    NoAddress(String, Family),
    /// `track_src_ip`: the configured source address is on no interface.
    NoSource(IpAddr),
    /// Its virtual interface could not be made: its adverts would not leave.
    NoVirtualInterface(String),
    /// `unicast_fault_no_peer`: there is nobody to send adverts to.
    NoPeers,
    /// Something tracked with weight 0 is down (or up, when reversed), or a tracked file's number
    /// weighs -254 or less.
    Tracked(Tracked),
    /// A static address, route or rule of this `track_group` is lost.
    StaticLost(String),
    /// A member of its sync group is faulty.
    Group(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::InterfaceDown(name) => write!(f, "interface {name} is down"),
            Fault::NoAddress(name, Family::Ipv4) => write!(f, "{name} has no IPv4 address"),
            Fault::NoAddress(name, Family::Ipv6) => write!(f, "{name} has no IPv6 address"),
            Fault::NoSource(address) => write!(f, "source address {address} is missing"),
            Fault::NoVirtualInterface(name) => write!(f, "there is no interface {name}"),
            Fault::NoPeers => f.write_str("no unicast peers"),
            Fault::Tracked(what) => write!(f, "{} failed", Named(what)),
            Fault::StaticLost(group) => write!(f, "a static object of track_group {group} is lost"),
            Fault::Group(group) => write!(f, "sync group {group} has a faulty member"),
        }
    }
}

/// Something tracked, in words.
pub(super) struct Named<'a>(pub(super) &'a Tracked);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Tracked::Interface(name) => write!(f, "tracked interface {name}"),
            Tracked::Script(name) => write!(f, "script {name}"),
            Tracked::File(name) => write!(f, "track_file {name}"),
            Tracked::Process(name) => write!(f, "process {name}"),
            Tracked::Bfd(name) => write!(f, "BFD session {name}"),
        }
    }
}

/// How the surroundings of an instance are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Why it cannot take part.
    pub faults: Vec<Fault>,
    /// What is not known yet; it does not begin before.
    pub waiting: Vec<Tracked>,
    /// Sum of the trackers' weights.
    pub weight: i32,
}
