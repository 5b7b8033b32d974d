//! Where adverts are heard, and by which interface they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use edge::netlink::link::Interfaces;
use edge::poll::{Interest, Poll};
use edge::raw::{Outgoing, Receiver, Sender};
use model::vrrp::{Authentication, Destination, Family, VirtualLink, VrrpInstance, VrrpPlan};
use proto::vrrp::packet::{self, AH_PROTOCOL, PROTOCOL};

/// An advert about to leave.
pub(super) struct Leaving {
    /// The instance whose advert it is.
    pub(super) plan: Arc<VrrpInstance>,
    /// Index of the interface it leaves by; zero for the one that the route names.
    pub(super) interface: u32,
    /// The packet.
    pub(super) packet: packet::Outgoing,
}

/// All sockets of adverts. One receiver is shared by the instances of an interface that speak the
/// same protocol; one sender serves them all.
pub(super) struct Stations {
    sender: Sender,
    pub(super) open: Vec<Station>,
    /// By name of the instance: the interface that its adverts leave by.
    ways: BTreeMap<String, u32>,
    opened: u32,
}

/// One place where adverts are heard.
pub(super) struct Station {
    place: Place,
    /// Token of its events: [`Stations::arrange`] gave it out.
    pub(super) token: u64,
    pub(super) receiver: Receiver,
    groups: BTreeSet<IpAddr>,
    /// By virtual router id: the name of the interface under which the router knows it.
    pub(super) serves: Box<[Option<Arc<str>>; 256]>,
}

/// What a receiver is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The interface or VRF; absent for adverts that are routed here from anywhere.
    pub(super) device: Option<(String, u32)>,
    family: Family,
    pub(super) protocol: u8,
}

/// A station that the plan asks for.
struct Wanted {
    place: Place,
    groups: BTreeSet<IpAddr>,
    serves: Vec<(u8, Arc<str>)>,
}

impl Stations {
    /// None open yet.
    pub(super) fn new() -> io::Result<Stations> {
        let sender = Sender::open(PROTOCOL)?;
        Ok(Stations { sender, open: Vec::new(), ways: BTreeMap::new(), opened: 0 })
    }

    /// Opens what the plan asks for on the interfaces that are there, and closes the others.
    /// Tokens of new sockets begin at `base`. Returns what went wrong.
    pub(super) fn arrange(
        &mut self,
        plan: &VrrpPlan,
        interfaces: &Interfaces,
        poll: &Poll,
        base: u64,
    ) -> Vec<String> {
        self.learn_ways(plan, interfaces);
        let wanted = wanted(plan, interfaces);
        self.open.retain(|station| wanted.iter().any(|wanted| wanted.place == station.place));
        let mut warnings = Vec::new();
        for wanted in wanted {
            let place = wanted.place.clone();
            if let Err(error) = self.fulfil(wanted, poll, base) {
                warnings.push(format!("no socket for adverts {place}: {error}"));
            }
        }
        warnings
    }

    /// Notes by which interface each instance's adverts leave.
    pub(super) fn learn_ways(&mut self, plan: &VrrpPlan, interfaces: &Interfaces) {
        let way =
            |instance: &VrrpInstance| Some((instance.name.clone(), way(instance, interfaces)?));
        self.ways = plan.instances.iter().filter_map(way).collect();
    }

    fn fulfil(&mut self, wanted: Wanted, poll: &Poll, base: u64) -> io::Result<()> {
        let place = match self.open.iter().position(|station| station.place == wanted.place) {
            Some(place) => place,
            None => {
                let place = wanted.place;
                let device = place.device.as_ref().map(|(name, _)| name.as_str());
                let receiver = Receiver::open(place.family, place.protocol, device)?;
                let token = base | u64::from(self.opened);
                self.opened += 1;
                poll.add(&receiver, token, Interest::Read)?;
                let serves = Box::new([const { None }; 256]);
                let groups = BTreeSet::new();
                self.open.push(Station { place, token, receiver, groups, serves });
                self.open.len() - 1
            }
        };
        let station = &mut self.open[place];
        station.serves.fill(None);
        for (id, name) in wanted.serves {
            station.serves[usize::from(id)] = Some(name);
        }
        station.change_groups(wanted.groups)
    }

    /// The interface that an instance's adverts leave by, zero for the one that the route names;
    /// nothing while it is not there.
    pub(super) fn way(&self, plan: &VrrpInstance) -> Option<u32> {
        self.ways.get(&plan.name).copied()
    }

    /// Sends adverts, all of one family with one system call. `failed` hears of each that was
    /// not sent. Nothing is allocated.
    pub(super) fn send(
        &mut self,
        adverts: &[Leaving],
        mut failed: impl FnMut(&Leaving, io::Error),
    ) {
        let packets = adverts.iter().map(|Leaving { interface, packet, .. }| Outgoing {
            interface: *interface,
            source: packet.source,
            destination: packet.destination,
            ttl: packet.ttl,
            protocol: packet.protocol,
            id: packet.ip_id,
            payload: &packet.payload,
        });
        self.sender.send(packets, |number, error| failed(&adverts[number], error));
    }
}

impl Station {
    /// Protocol of the packets heard here.
    pub(super) fn protocol(&self) -> u8 {
        self.place.protocol
    }

    fn change_groups(&mut self, wanted: BTreeSet<IpAddr>) -> io::Result<()> {
        let index = self.place.device.as_ref().map_or(0, |(_, index)| *index);
        for gone in self.groups.difference(&wanted) {
            // It fails where the interface has gone, and the membership with it.
            let _ = self.receiver.leave(*gone, index);
        }
        let mut joined = Ok(());
        for new in wanted.difference(&self.groups) {
            joined = joined.and(self.receiver.join(*new, index));
        }
        self.groups = wanted;
        joined
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = match self.family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        };
        match &self.device {
            Some((name, _)) => write!(f, "over {family} on {name}"),
            None => write!(f, "over {family}"),
        }
    }
}

/// The stations that the instances need, each once. None for an interface that is not there.
fn wanted(plan: &VrrpPlan, interfaces: &Interfaces) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let heard = |instance| protocols(instance).iter().map(move |protocol| (instance, *protocol));
    for (instance, protocol) in plan.instances.iter().flat_map(heard) {
        let Some(place) = place(instance, protocol, interfaces) else { continue };
        let wanted = match all.iter_mut().find(|wanted| wanted.place == place) {
            Some(wanted) => wanted,
            None => {
                all.push(Wanted { place, groups: BTreeSet::new(), serves: Vec::new() });
                all.last_mut().expect("it was pushed a line ago")
            }
        };
        if let Destination::Multicast(group) = instance.destination {
            wanted.groups.insert(group);
        }
        let name = Arc::from(instance.interface.as_str());
        wanted.serves.push((instance.virtual_router_id.number(), name));
    }
    all
}

/// Where an authentication header is expected, adverts without one are heard too, to be told of.
fn protocols(instance: &VrrpInstance) -> &'static [u8] {
    match &instance.authentication {
        Authentication::Ah(_) => &[AH_PROTOCOL, PROTOCOL],
        Authentication::None | Authentication::Pass(_) | Authentication::Hmac { .. } => &[PROTOCOL],
    }
}

fn place(instance: &VrrpInstance, protocol: u8, interfaces: &Interfaces) -> Option<Place> {
    let device = match (instance.routed, &instance.vrf) {
        (true, None) => None,
        (true, Some(name)) => Some(name),
        (false, _) => Some(&instance.interface),
    };
    let device = match device {
        Some(name) => Some((name.clone(), interfaces.link(name)?.index)),
        None => None,
    };
    Some(Place { device, family: instance.family, protocol })
}

/// Adverts are heard on the instance's interface, but leave by its virtual MAC interface.
fn way(instance: &VrrpInstance, interfaces: &Interfaces) -> Option<u32> {
    let name = match (&instance.link, instance.routed, &instance.vrf) {
        (VirtualLink::Macvlan { name, transmit_on_base: false, .. }, ..)
        | (VirtualLink::Ipvlan { name, .. }, ..) => name,
        (VirtualLink::Macvlan { .. } | VirtualLink::None, false, _) => &instance.interface,
        (VirtualLink::Macvlan { .. } | VirtualLink::None, true, Some(vrf)) => vrf,
        (VirtualLink::Macvlan { .. } | VirtualLink::None, true, None) => return Some(0),
    };
    Some(interfaces.link(name)?.index)
}
